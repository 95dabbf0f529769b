//! Random histories under open snapshots: each answers for ever what it answered when it was opened.
mod support;

use proptest::prelude::*;
use strata_primitives::*;
use support::history::{Change, Step, change, decide, history, reads};
use support::run_id;

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

/// A run with open snapshots and what each of them answered when it was opened.
struct World {
    state: RunState,
    now: u64,
    open: Vec<(Snapshot, Answers)>,
}

impl World {
    fn new() -> Self {
        Self { state: RunState::new(run_id(), 7), now: 1_000, open: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit { pause, steps } => {
                self.now += pause;
                self.commit(&steps);
            }
            Step::TakenBack { commits } => {
                let before = Stamp { version: self.state.version(), timestamp: self.state.timestamp() };
                let replaced: Vec<_> = commits.iter().flat_map(|changes| self.commit(changes)).collect();
                replaced.into_iter().rev().for_each(|replaced| self.state.revert(replaced));
                self.state.restore_stamp(before);
            }
            Step::Open => {
                let snapshot = self.state.open_snapshot();
                let answers = answers(self.state.view());
                self.open.push((snapshot, answers));
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

    fn commit(&mut self, changes: &[Change]) -> Vec<Replaced> {
        let mutations = decide(&self.state, changes, self.now);
        if mutations.is_empty() {
            return Vec::new();
        }
        let stamp = Stamp { version: self.state.version().next(), timestamp: Timestamp(self.now) };
        let replaced = mutations.into_iter().map(|mutation| self.state.apply(mutation, stamp)).collect();
        self.state.commit(stamp);
        replaced
    }

    fn assert_unchanged(&self) -> Result<(), TestCaseError> {
        for (snapshot, expected) in &self.open {
            let view = self.state.view_at(snapshot).expect("an open snapshot has its view");
            for ((found, expected), read) in answers(view).iter().zip(expected).zip(reads()) {
                prop_assert_eq!(found, expected, "{:?} at {:?}", read, snapshot);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_answers_for_ever_what_it_answered_when_it_was_opened(history in history()) {
        let mut world = World::new();
        for step in history {
            world.take(step);
            world.assert_unchanged()?;
        }
        while !world.open.is_empty() {
            world.take(Step::Close { snapshot: 1 });
            world.assert_unchanged()?;
        }
        prop_assert_eq!(world.state.kept_size(), 0, "nothing is kept for nobody");
    }

    #[test]
    fn commits_taken_back_leave_the_run_as_it_was(history in history(), commits in proptest::collection::vec(proptest::collection::vec(change(), 1..5), 1..4)) {
        let (mut world, mut twin) = (World::new(), World::new());
        for step in history {
            world.take(step.clone());
            twin.take(step);
        }
        let kept = world.state.kept_size();
        world.take(Step::TakenBack { commits });
        prop_assert!(world.state.same_state(&twin.state));
        prop_assert_eq!(world.state.kept_size(), kept);
    }
}
