//! Random histories under open snapshots: the run that is shared at one is the run as it was when that was opened, and nothing that
//! becomes of one of both is seen by the other.
mod support;

use proptest::prelude::*;
use strata_primitives::*;
use support::history::{Change, Step, decide, history, name, reads};
use support::{run_id, trace_id};

type Answers = Vec<Result<Answer, (ErrorKind, String)>>;

/// What a view answers to every read, at the time of its version.
fn answers(view: RunView<'_>) -> Answers {
    let context = Context { now: view.stamp().timestamp, boot: 1 };
    let mut draft = Draft::new(view);
    let mut answer = |read| validate(read, &mut draft, &context, &Limits::default());
    reads()
        .into_iter()
        .map(|read| answer(read).map_err(|error| (error.kind(), error.message().to_owned())))
        .collect()
}

/// All entries of an image of the whole run, in an order that no map decides.
fn entries(view: RunView<'_>) -> Vec<Vec<u8>> {
    let (mut walk, mut slice) = (ImageWalk::flat(), ImageSlice::new());
    walk.write(&view, usize::MAX, &mut slice);
    assert!(walk.is_done());
    let bytes = slice.into_bytes().unwrap();
    let (mut input, mut entries) = (&bytes[..], Vec::new());
    while !input.is_empty() {
        let mut bytes = Vec::new();
        match ImageEntry::decode(&mut input).unwrap() {
            // What a fork says of its events though none was removed, and a count that says no more than the others.
            ImageEntry::EventsBegin { first: 0, .. } | ImageEntry::End { .. } => continue,
            entry => entry.encode(&mut bytes),
        }
        entries.push(bytes);
    }
    entries.sort();
    entries
}

struct World {
    state: RunState,
    now: u64,
    /// Each with the run as it was when it was opened, unless something was erased since.
    open: Vec<(Snapshot, Option<RunState>)>,
}

impl World {
    fn new() -> Self {
        Self { state: RunState::new(run_id(), 7), now: 1_000, open: Vec::new() }
    }

    /// It goes on as a fork of itself.
    fn fork(&mut self) {
        let Some(meta) = self.state.meta().cloned() else { return };
        let point = ForkPoint { run: run_id(), version: self.state.version() };
        self.state = self.state.fork(run_id());
        self.commit(vec![Mutation::RunFork { point, meta: Box::new(meta) }]);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Commit { pause, steps } => {
                self.now += pause;
                drop(self.decide(steps));
            }
            Step::TakenBack { commits } => {
                let before = Stamp { version: self.state.version(), timestamp: self.state.timestamp() };
                let replaced: Vec<_> = commits.iter().flat_map(|changes| self.decide(changes)).collect();
                replaced.into_iter().rev().for_each(|replaced| self.state.revert(replaced));
                self.state.restore_stamp(before);
            }
            Step::Open => {
                let shared = self.state.share();
                self.open.push((self.state.open_snapshot(), Some(shared)));
            }
            Step::Close { .. } if self.open.is_empty() => {}
            Step::Close { snapshot } => {
                let (snapshot, _) = self.open.swap_remove(snapshot % self.open.len());
                self.state.close_snapshot(snapshot);
            }
            Step::Order => {
                self.state.ensure_order(OrderIndex::Keys(KeyKind::Kv));
                self.state.ensure_order(OrderIndex::Keys(KeyKind::Cell));
            }
        }
    }

    fn erase(&mut self, number: u8) {
        let thing = number / 4;
        let entity = match number % 4 {
            0 => EntityRef::kv(run_id(), name(thing % 6)),
            1 => EntityRef::json(run_id(), name(thing % 2)),
            2 => EntityRef::event(run_id(), (thing % 6).into()),
            _ => EntityRef::trace(run_id(), trace_id((thing % 12).into())),
        };
        let (entity, versions, reason) = (Box::new(entity), ErasedVersions::All, "asked for".into());
        let operation = Operation::RunErase { entity, versions, reason };
        let context = Context { now: Timestamp(self.now), boot: 1 };
        let mut draft = Draft::new(self.state.view());
        if validate(operation, &mut draft, &context, &Limits::default()).is_ok() {
            self.commit(draft.into_mutations());
            self.open.iter_mut().for_each(|(_, shared)| *shared = None);
        }
    }

    fn decide(&mut self, changes: &[Change]) -> Vec<Replaced> {
        self.commit(decide(&self.state, changes, self.now))
    }

    fn commit(&mut self, mutations: Vec<Mutation>) -> Vec<Replaced> {
        if mutations.is_empty() {
            return Vec::new();
        }
        let stamp = Stamp { version: self.state.version().next(), timestamp: Timestamp(self.now) };
        let replaced = mutations.into_iter().map(|mutation| self.state.apply(mutation, stamp)).collect();
        self.state.commit(stamp);
        replaced
    }

    fn assert_shared(&self) -> Result<(), TestCaseError> {
        for (snapshot, then) in &self.open {
            let shared = self.state.share_at(snapshot).expect("an open snapshot is shared");
            let view = self.state.view_at(snapshot).expect("an open snapshot has its view");
            prop_assert_eq!((shared.id(), shared.view().stamp()), (view.id(), view.stamp()));
            for ((found, expected), read) in answers(shared.view()).iter().zip(answers(view)).zip(reads()) {
                prop_assert_eq!(found, &expected, "{:?} at {:?}", read, snapshot);
            }
            prop_assert!(entries(shared.view()) == entries(view), "the images at {:?} differ", snapshot);
            if let Some(then) = then {
                prop_assert!(shared.same_state(then), "{:?} is not {:?}", shared, then);
            }
            let is_known = |erasure: &Erasure| erasure.by <= shared.version();
            prop_assert!(shared.erasures().iter().all(is_known), "an erasure to come at {:?}", snapshot);
            prop_assert_eq!(shared.kept_size(), 0);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shared_at_a_snapshot_is_the_run_as_that_shows_it(
        began in proptest::option::of(history()),
        history in history(),
        erasures in proptest::collection::vec(proptest::option::weighted(0.1, any::<u8>()), 60),
    ) {
        let (mut world, mut twin) = (World::new(), World::new());
        for world in [&mut world, &mut twin] {
            for step in began.iter().flatten().filter(|step| matches!(step, Step::Commit { .. })) {
                world.take(step);
            }
            if began.is_some() {
                world.fork();
            }
        }
        for (step, erasure) in history.iter().zip(erasures) {
            for world in [&mut world, &mut twin] {
                world.take(step);
                erasure.into_iter().for_each(|number| world.erase(number));
            }
            world.assert_shared()?;
        }
        prop_assert!(world.state.same_state(&twin.state), "the run is as if nobody had shared it");
        prop_assert_eq!(world.state.kept_size(), twin.state.kept_size());
    }

    #[test]
    fn what_is_shared_at_a_snapshot_goes_on_like_the_run_went_on(before in history(), after in history()) {
        let mut world = World::new();
        before.iter().for_each(|step| world.take(step));
        let snapshot = world.state.open_snapshot();
        let began = world.now;
        let commits = |world: &mut World| {
            after.iter().filter(|step| matches!(step, Step::Commit { .. })).for_each(|step| world.take(step));
        };
        commits(&mut world);
        let state = world.state.share_at(&snapshot).expect("an open snapshot is shared");
        let live = world.state.share();
        let mut again = World { state, now: began, open: Vec::new() };
        commits(&mut again);
        prop_assert!(again.state.same_state(&live), "{:?} is not {:?}", again.state, live);
        prop_assert!(world.state.share().same_state(&live), "the run does not see what becomes of what was shared");
    }
}

#[test]
fn nothing_is_shared_at_a_snapshot_that_was_given_up() {
    let mut driver = support::Driver::created();
    driver.put("a", 1);
    let snapshot = driver.state.open_snapshot();
    driver.put("a", 2);
    assert!(driver.state.share_at(&snapshot).is_some());
    driver.state.bound_past(0);
    assert!(driver.state.share_at(&snapshot).is_none());
    driver.state.close_snapshot(snapshot);
}
