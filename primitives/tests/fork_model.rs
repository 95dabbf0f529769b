//! Random histories of a run and of a fork of it: neither sees what becomes of the other, and the image of a fork over what it
//! began with is the fork.
mod support;

use proptest::prelude::*;
use strata_primitives::*;
use support::history::{Change, Step, decide, history};
use support::run_id;

/// A run that a history is applied to.
struct World {
    state: RunState,
    now: u64,
}

impl World {
    fn of(history: &[Step]) -> Self {
        let mut world = Self { state: RunState::new(run_id(), 7), now: 1_000 };
        world.take_all(history);
        if !world.state.exists() {
            world.commit_mutations(vec![Mutation::RunCreate { meta: meta(), previous: Version::NEVER }]);
        }
        world
    }

    /// A run with the same content that shares nothing with this one.
    fn unshared(&mut self) -> Self {
        let mut load = ImageLoad::new(run_id(), 99);
        image_of(&mut self.state, 100, |_| {}).iter().for_each(|slice| load.take(slice).unwrap());
        Self { state: load.finish().unwrap(), now: self.now }
    }

    fn fork(&self) -> Self {
        let mut fork = Self { state: self.state.fork(fork_id()), now: self.now };
        fork.commit_mutations(vec![Mutation::RunFork { point: self.point(), meta: meta() }]);
        fork
    }

    fn point(&self) -> ForkPoint {
        ForkPoint { run: run_id(), version: self.state.version() }
    }

    fn take_all(&mut self, history: &[Step]) {
        history.iter().for_each(|step| self.take(step));
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Commit { pause, steps } => {
                self.now += pause;
                drop(self.commit(steps));
            }
            Step::TakenBack { commits } => {
                let before = Stamp { version: self.state.version(), timestamp: self.state.timestamp() };
                let replaced: Vec<_> = commits.iter().flat_map(|changes| self.commit(changes)).collect();
                replaced.into_iter().rev().for_each(|replaced| self.state.revert(replaced));
                self.state.restore_stamp(before);
            }
            Step::Order => self.state.ensure_order(OrderIndex::Keys(KeyKind::Kv)),
            Step::Open | Step::Close { .. } => {}
        }
    }

    fn commit(&mut self, changes: &[Change]) -> Vec<Replaced> {
        self.commit_mutations(decide(&self.state, changes, self.now))
    }

    fn commit_mutations(&mut self, mutations: Vec<Mutation>) -> Vec<Replaced> {
        if mutations.is_empty() {
            return Vec::new();
        }
        let stamp = Stamp { version: self.state.version().next(), timestamp: Timestamp(self.now) };
        let replaced = mutations.into_iter().map(|mutation| self.state.apply(mutation, stamp)).collect();
        self.state.commit(stamp);
        replaced
    }
}

fn fork_id() -> RunId {
    RunId::from_bytes([8; 16])
}

fn meta() -> Box<RunMeta> {
    let spec = RunState::new(run_id(), 1);
    let mut draft = Draft::new(spec.view());
    let context = Context { now: Timestamp(900), boot: 1 };
    validate(Operation::RunCreate { spec: Box::default() }, &mut draft, &context, &Limits::default())
        .unwrap();
    match draft.into_mutations().remove(0) {
        Mutation::RunCreate { meta, .. } => meta,
        other => panic!("{other:?} creates no run"),
    }
}

/// The image of a run, to which `meanwhile` happens between its slices.
fn image_of(
    state: &mut RunState,
    slice_size: usize,
    mut meanwhile: impl FnMut(&mut RunState),
) -> Vec<Vec<u8>> {
    let (snapshot, mut walk, mut slices) = (state.open_snapshot(), ImageWalk::new(), Vec::new());
    while !walk.is_done() {
        let mut slice = ImageSlice::new();
        walk.write(&state.view_at(&snapshot).expect("nothing was given up"), slice_size, &mut slice);
        slices.push(slice.into_bytes().unwrap());
        meanwhile(state);
    }
    state.close_snapshot(snapshot);
    slices
}

fn flat_image_of(state: &RunState, slice_size: usize) -> Vec<Vec<u8>> {
    let (mut walk, mut slices) = (ImageWalk::flat(), Vec::new());
    while !walk.is_done() {
        let mut slice = ImageSlice::new();
        walk.write(&state.view(), slice_size, &mut slice);
        slices.push(slice.into_bytes().unwrap());
    }
    slices
}

fn load_over(base: &RunState, image: &[Vec<u8>]) -> Result<RunState, String> {
    load_into(ImageLoad::over(base, fork_id()), image)
}

/// One that was deleted and created anew is no fork any more.
fn load_as(was: &RunState, base: &RunState, image: &[Vec<u8>]) -> Result<RunState, String> {
    match was.fork_point() {
        Some(_) => load_over(base, image),
        None => load_into(ImageLoad::new(fork_id(), 3), image),
    }
}

fn load_into(mut load: ImageLoad, image: &[Vec<u8>]) -> Result<RunState, String> {
    image.iter().try_for_each(|slice| load.take(slice))?;
    load.finish()
}

/// Commits only: a walk is given up when commits are taken back.
fn is_commit(step: &Step) -> bool {
    matches!(step, Step::Commit { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_run_and_its_fork_go_on_as_if_each_were_alone(
        before in history(), of_run in history(), of_fork in history(),
    ) {
        let mut run = World::of(&before);
        let mut alone = run.unshared();
        let (mut fork, mut fork_alone) = (run.fork(), alone.unshared().fork());
        prop_assert_eq!(fork.state.info().unwrap().forked_from, Some(run.point()));
        for place in 0..of_run.len().max(of_fork.len()) {
            of_run.get(place).into_iter().for_each(|step| run.take(step));
            of_fork.get(place).into_iter().for_each(|step| fork.take(step));
        }
        alone.take_all(&of_run);
        fork_alone.take_all(&of_fork);
        prop_assert!(run.state.same_state(&alone.state));
        prop_assert!(fork.state.same_state(&fork_alone.state));
    }

    #[test]
    fn the_image_of_a_fork_over_what_it_began_with_is_the_fork(
        before in history(), of_run in history(), of_fork in history(), meanwhile in history(), slice_size in 1..600_usize,
    ) {
        let mut run = World::of(&before);
        let base = run.unshared();
        let (mut fork, mut twin) = (run.fork(), run.fork());
        run.take_all(&of_run);
        fork.take_all(&of_fork);
        twin.take_all(&of_fork);
        let mut steps = meanwhile.iter().filter(|step| is_commit(step));
        let mut now = fork.now;
        let image = image_of(&mut fork.state, slice_size, |state| {
            let mut world = World { state: std::mem::replace(state, RunState::new(fork_id(), 7)), now };
            steps.next().into_iter().for_each(|step| world.take(step));
            (*state, now) = (world.state, world.now);
        });
        let mut loaded = World { state: load_as(&twin.state, &base.state, &image).unwrap(), now: twin.now };
        prop_assert!(loaded.state.same_state(&twin.state), "{:?} is not {:?}", loaded.state, twin.state);
        // All of it may be written too, and needs nothing then.
        let flat = load_into(ImageLoad::flat(fork_id(), 3), &flat_image_of(&twin.state, slice_size)).unwrap();
        prop_assert!(flat.same_state(&twin.state), "{flat:?} is not {:?}", twin.state);
        // It is a fork all the same, whose next image is as small.
        twin.take_all(&of_run);
        loaded.take_all(&of_run);
        let image = image_of(&mut loaded.state, slice_size, |_| {});
        prop_assert!(load_as(&twin.state, &base.state, &image).unwrap().same_state(&twin.state));
    }

    #[test]
    fn damaged_images_of_forks_are_refused_or_loaded_as_others_and_never_panic(
        before in history(),
        of_fork in history(),
        places in proptest::collection::vec((any::<usize>(), 0..8_u32), 1..4),
    ) {
        let run = World::of(&before);
        let mut fork = run.fork();
        fork.take_all(&of_fork);
        let mut image = image_of(&mut fork.state, usize::MAX, |_| {}).concat();
        for (place, bit) in places {
            let place = place % image.len();
            image[place] ^= 1 << bit;
        }
        let _ = load_over(&run.state, &[image]);
    }
}

/// A run with so many keys, events and documents.
fn large(count: usize) -> World {
    let mut world = World::of(&[]);
    let context = Context { now: Timestamp(1_000), boot: 1 };
    let mut draft = Draft::new(world.state.view());
    for number in 0..count {
        for operation in [
            support::put(&format!("key/{number}"), 1, Deadline::None),
            support::append("step", number as i64),
            Operation::JsonCreate {
                name: format!("doc/{number}").into(),
                value: support::encoded(Value::Array(vec![])),
            },
        ] {
            validate(operation, &mut draft, &context, &Limits::default()).unwrap();
        }
    }
    let mutations = draft.into_mutations();
    drop(world.commit_mutations(mutations));
    world
}

#[test]
fn the_image_and_the_memory_of_a_fork_are_as_small_as_what_it_changed() {
    let mut run = large(5_000);
    let mut fork = run.fork();
    let size = |world: &mut World| image_of(&mut world.state, usize::MAX, |_| {}).concat().len();
    assert!(size(&mut run) > 500_000 && size(&mut fork) < 300, "{} and {}", size(&mut run), size(&mut fork));
    assert!(fork.state.memory() < 2_000, "{} bytes", fork.state.memory());
    let previous = Version::NEVER;
    drop(fork.commit_mutations(vec![
        Mutation::KvDelete { key: "key/7".into(), previous },
        Mutation::KvPut { key: "key/8".into(), value: support::encoded(2_i64), deadline: None, previous },
        Mutation::JsonDestroy { name: "doc/9".into(), previous },
    ]));
    assert!(size(&mut fork) < 500, "{}", size(&mut fork));
    let memory = fork.state.memory();
    assert!((8_000..60_000).contains(&memory), "parts of two maps are its own: {memory} bytes");
    assert_eq!((run.state.kv_count(), fork.state.kv_count()), (5_000, 4_999));
}

#[test]
fn an_image_over_something_else_than_it_began_with_is_refused() {
    let run = World::of(&[]);
    let mut fork = run.fork();
    let image = image_of(&mut fork.state, usize::MAX, |_| {});
    let mut later = run.state.share();
    let stamp = Stamp { version: later.version().next(), timestamp: later.timestamp() };
    drop(later.apply(Mutation::RunTags { tags: vec![], previous: Version::NEVER }, stamp));
    later.commit(stamp);
    let reason = load_over(&later, &image).unwrap_err();
    assert!(reason.contains("begins as another"), "{reason}");
    let mut whole = ImageLoad::new(fork_id(), 3);
    assert!(whole.take(&image[0]).unwrap_err().contains("begins as another"));
}
