//! A run that a random history is applied to, and its images.
use super::history::{Change, Step, decide, name};
use super::{run_id, trace_id};
use strata_primitives::*;

pub(crate) struct World {
    pub(crate) state: RunState,
    pub(crate) now: u64,
    /// Each commit as the log holds it.
    pub(crate) log: Vec<(Stamp, Vec<Mutation>)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::under(run_id())
    }

    pub(crate) fn under(id: RunId) -> Self {
        Self { state: RunState::new(id, 7), now: 1_000, log: Vec::new() }
    }

    /// What these steps lead to.
    pub(crate) fn of(history: &[Step]) -> Self {
        let mut world = Self::new();
        world.take_all(history);
        world
    }

    /// Commits only.
    pub(crate) fn take_all(&mut self, history: &[Step]) {
        for step in history {
            match step {
                Step::Commit { pause, steps } => {
                    self.now += pause;
                    self.decide(steps);
                }
                Step::Order => self.state.ensure_order(OrderIndex::Keys(KeyKind::Kv)),
                Step::TakenBack { .. } | Step::Open | Step::Close { .. } => {}
            }
        }
    }

    fn decide(&mut self, changes: &[Change]) {
        self.commit(decide(&self.state, changes, self.now));
    }

    /// Erases one thing, if the run has written it.
    pub(crate) fn erase(&mut self, number: u8) {
        let (run, thing) = (self.state.id(), number / 4);
        let entity = match number % 4 {
            0 => EntityRef::kv(run, name(thing % 6)),
            1 => EntityRef::json(run, name(thing % 2)),
            2 => EntityRef::event(run, (thing % 6).into()),
            _ => EntityRef::trace(run, trace_id((thing % 12).into())),
        };
        let (entity, versions, reason) = (Box::new(entity), ErasedVersions::All, "asked for".into());
        let _ = self.write(vec![Operation::RunErase { entity, versions, reason }]);
    }

    /// These operations as one commit, or why one of them is refused.
    pub(crate) fn write(&mut self, operations: Vec<Operation>) -> Result<(), Error> {
        let context = Context { now: Timestamp(self.now), boot: 1 };
        let mut draft = Draft::new(self.state.view());
        for operation in operations {
            validate(operation, &mut draft, &context, &Limits::default())?;
        }
        trim_entries(&mut draft, &context, &EntryRetention::default());
        let mutations = draft.into_mutations();
        self.commit(mutations);
        Ok(())
    }

    pub(crate) fn commit(&mut self, mutations: Vec<Mutation>) {
        if mutations.is_empty() {
            return;
        }
        let stamp = Stamp { version: self.state.version().next(), timestamp: Timestamp(self.now) };
        apply(&mut self.state, stamp, &mutations);
        self.log.push((stamp, mutations));
    }

    /// It goes on as a fork of itself, under this id.
    pub(crate) fn fork(&self, id: RunId) -> Option<Self> {
        // What the log holds of a description when a fork is made: retentions are set by commits of their own.
        let meta = RunMeta {
            retention: None,
            event_retention: None,
            trace_retention: None,
            ..self.state.meta().cloned()?
        };
        let point = ForkPoint { run: self.state.id(), version: self.state.version() };
        let mut fork = Self { state: self.state.fork(id), now: self.now, log: Vec::new() };
        fork.commit(vec![Mutation::RunFork { point, meta: Box::new(meta) }]);
        Some(fork)
    }
}

pub(crate) fn apply(state: &mut RunState, stamp: Stamp, mutations: &[Mutation]) {
    mutations.iter().for_each(|mutation| drop(state.apply(mutation.clone(), stamp)));
    state.commit(stamp);
}

/// An image of the whole run.
pub(crate) fn image_of(state: &RunState) -> Vec<u8> {
    let (mut walk, mut slice) = (ImageWalk::flat(), ImageSlice::new());
    walk.write(&state.view(), usize::MAX, &mut slice);
    assert!(walk.is_done());
    slice.into_bytes().unwrap()
}

/// The entries of an image of the whole run.
pub(crate) fn entries_of(state: &RunState) -> Vec<ImageEntry> {
    let (image, mut entries) = (image_of(state), Vec::new());
    let mut input = &image[..];
    while !input.is_empty() {
        entries.push(ImageEntry::decode(&mut input).unwrap());
    }
    entries
}

/// The same run, made of its image; it shares nothing with the other.
pub(crate) fn loaded(state: &RunState, hash_seed: usize) -> RunState {
    let mut load = ImageLoad::flat(state.id(), hash_seed);
    load.take(&image_of(state)).unwrap();
    load.finish().unwrap()
}
