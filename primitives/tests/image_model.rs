//! Random histories whose images are written in slices while they go on: each image is the run as it was at its version.
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
    fn new() -> Self {
        Self { state: RunState::new(run_id(), 7), now: 1_000 }
    }

    fn of(history: &[Step]) -> Self {
        let mut world = Self::new();
        history.iter().for_each(|step| world.take(step));
        world
    }

    /// Commits only: a walk is given up when commits are taken back.
    fn take(&mut self, step: &Step) {
        match step {
            Step::Commit { pause, steps } => {
                self.now += pause;
                self.commit(steps);
            }
            Step::Order => self.state.ensure_order(OrderIndex::Keys(KeyKind::Kv)),
            Step::TakenBack { .. } | Step::Open | Step::Close { .. } => {}
        }
    }

    fn commit(&mut self, changes: &[Change]) {
        let mutations = decide(&self.state, changes, self.now);
        if mutations.is_empty() {
            return;
        }
        let (version, timestamp) = (self.state.version().next(), Timestamp(self.now));
        let stamp = Stamp { version, timestamp };
        mutations.into_iter().for_each(|mutation| drop(self.state.apply(mutation, stamp)));
        self.state.commit(stamp);
        if version.0.is_multiple_of(2) {
            let commit = Commit { version, timestamp, durability: Durability::Buffered };
            let (effects, fingerprint) = (vec![Effect::Integer(version.0 as i64)], Fingerprint([3; 8]));
            let id = OperationId(u128::from(version.0).to_le_bytes());
            self.state.remember(id, Receipt { commit, effects, fingerprint });
        }
    }
}

fn load(image: &[Vec<u8>]) -> Result<RunState, String> {
    let mut load = ImageLoad::new(run_id(), 99);
    image.iter().try_for_each(|slice| load.take(slice))?;
    load.finish()
}

/// The image of a run that does not change meanwhile.
fn image_of(state: &mut RunState, slice_size: usize) -> Vec<Vec<u8>> {
    let (snapshot, mut walk, mut slices) = (state.open_snapshot(), ImageWalk::new(), Vec::new());
    while !walk.is_done() {
        let mut slice = ImageSlice::new();
        walk.write(&state.view_at(&snapshot).expect("nothing was given up"), slice_size, &mut slice);
        slices.push(slice.into_bytes().unwrap());
    }
    state.close_snapshot(snapshot);
    slices
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn an_image_is_the_run_at_its_version_whatever_happens_meanwhile(
        before in history(),
        meanwhile in history(),
        slice_size in 1..600_usize,
    ) {
        let (mut world, twin) = (World::of(&before), World::of(&before));
        let (snapshot, mut walk, mut slices) = (world.state.open_snapshot(), ImageWalk::new(), Vec::new());
        let mut steps = meanwhile.iter();
        while !walk.is_done() {
            let mut slice = ImageSlice::new();
            let view = world.state.view_at(&snapshot).expect("nothing was given up");
            walk.write(&view, slice_size, &mut slice);
            slices.push(slice.into_bytes().unwrap());
            if let Some(step) = steps.next() {
                world.take(step);
            }
        }
        world.state.close_snapshot(snapshot);
        let loaded = load(&slices).unwrap();
        prop_assert!(loaded.same_state(&twin.state), "{:?} is not {:?}", loaded, twin.state);
        prop_assert_eq!(world.state.kept_size(), 0);
    }

    #[test]
    fn a_loaded_run_goes_on_like_the_one_it_is_the_image_of(before in history(), after in history()) {
        let mut world = World::of(&before);
        let image = image_of(&mut world.state, 100);
        let mut loaded = World { state: load(&image).unwrap(), now: world.now };
        for step in &after {
            world.take(step);
            loaded.take(step);
        }
        prop_assert!(loaded.state.same_state(&world.state));
    }

    #[test]
    fn damaged_images_are_refused_or_loaded_as_others_and_never_panic(
        before in history(),
        places in proptest::collection::vec((any::<usize>(), 0..8_u32), 1..4),
        cut in any::<usize>(),
    ) {
        let mut world = World::of(&before);
        let mut image = image_of(&mut world.state, usize::MAX).concat();
        prop_assert!(load(&[image[..cut % image.len()].to_vec()]).is_err(), "an image that is cut is refused");
        for (place, bit) in places {
            let place = place % image.len();
            image[place] ^= 1 << bit;
        }
        let _ = load(&[image]);
    }
}

#[test]
fn a_run_with_very_many_keys_is_written_while_its_map_grows() {
    let mut world = World::new();
    let context = |now| Context { now: Timestamp(now), boot: 1 };
    let write = |state: &mut RunState, operations: Vec<Operation>| {
        let mut draft = Draft::new(state.view());
        for operation in operations {
            validate(operation, &mut draft, &context(1_000), &Limits::default()).unwrap();
        }
        let stamp = Stamp { version: state.version().next(), timestamp: Timestamp(1_000) };
        draft.into_mutations().into_iter().for_each(|mutation| drop(state.apply(mutation, stamp)));
        state.commit(stamp);
    };
    let put = |key: usize, value: i64| support::put(&format!("key/{key}"), value, Deadline::None);
    write(&mut world.state, vec![Operation::RunCreate { spec: Box::default() }]);
    let mut twin = World::new();
    write(&mut twin.state, vec![Operation::RunCreate { spec: Box::default() }]);
    for state in [&mut world.state, &mut twin.state] {
        write(state, (0..20_000).map(|key| put(key, 1)).collect());
    }
    let (snapshot, mut walk, mut load) =
        (world.state.open_snapshot(), ImageWalk::new(), ImageLoad::new(run_id(), 3));
    let mut round = 0;
    while !walk.is_done() {
        let mut slice = ImageSlice::new();
        walk.write(&world.state.view_at(&snapshot).unwrap(), 20_000, &mut slice);
        assert!(slice.len() < 21_000, "a slice of {} bytes", slice.len());
        load.take(&slice.into_bytes().unwrap()).unwrap();
        // Changed, taken out and put back, and so many new ones that parts are split.
        let changes = (0..300).map(|key| put((key * 61 + round * 7) % 20_000, 2));
        let deletes =
            (0..20).map(|key| Operation::KvDelete { key: format!("key/{}", key * 977 + round).into() });
        let news = (0..700).map(|key| put(100_000 + round * 700 + key, 3));
        write(&mut world.state, changes.chain(deletes).chain(news).collect());
        round += 1;
    }
    world.state.close_snapshot(snapshot);
    assert!(round > 20, "{round} slices");
    assert!(load.finish().unwrap().same_state(&twin.state));
}
