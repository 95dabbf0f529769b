//! A run as its shard has published it: read on the thread of whoever asks, and kept by whoever takes a snapshot of it.

use std::hash::{BuildHasher, Hash};
use std::panic::RefUnwindSafe;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxBuildHasher;
use strata_primitives::{
    Answer as Validated, Context, Draft, EntityRef, Erasure, Error, KeyKind, Limits, Mutation, Operation,
    Outcome, RunState, Stamp, Timestamp, TraceId, validate,
};
use strata_runtime::{Publication, Published};

use crate::boot::Boot;

/// What a shard publishes of a run: all of it, at a version that everybody may see. It shares everything with the run until that
/// changes, as a fork does.
#[derive(Debug)]
pub(crate) struct Picture {
    state: Arc<RunState>,
    pin: Arc<Pin>,
}

/// The same for those who go on looking when the run has changed: its shard erases in it what is erased in the run, gives it up when
/// too much is kept for it, and ends it when the shard ends.
#[derive(Debug)]
pub struct Pin {
    stamp: Stamp,
    boot: Boot,
    /// Gone, once there is a reason why.
    shown: Published<Shown>,
    why: OnceLock<Error>,
}

// What it shows is exchanged, never changed in place: a panic of who looks leaves nothing half done.
impl RefUnwindSafe for Pin {}

#[derive(Debug)]
struct Shown {
    state: Arc<RunState>,
    /// What was erased last on the shard that is erased in the picture.
    erasure_mark: u64,
}

impl Picture {
    pub(crate) fn new(state: RunState, boot: Boot, erasure_mark: u64) -> Picture {
        let (stamp, state) = (state.view().stamp(), Arc::new(state));
        let shown = Published::new(Some(Arc::new(Shown { state: Arc::clone(&state), erasure_mark })));
        Picture { state, pin: Arc::new(Pin { stamp, boot, shown, why: OnceLock::new() }) }
    }

    /// The run.
    #[inline]
    pub(crate) fn state(&self) -> &RunState {
        &self.state
    }

    /// The picture for those who keep it.
    pub(crate) fn pin(&self) -> &Arc<Pin> {
        &self.pin
    }
}

impl Pin {
    /// The newest commit that it shows.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(crate) fn boot(&self) -> Boot {
        self.boot
    }

    /// The run as the picture shows it, sharing everything with it; and what was erased last that is erased in it.
    pub(crate) fn share(&self) -> Result<(RunState, Boot, u64), Error> {
        self.look(|shown| (shown.state.share(), self.boot, shown.erasure_mark))
    }

    /// Looks at the run.
    #[inline]
    pub(crate) fn with_state<R>(&self, look: impl FnOnce(&RunState) -> R) -> Result<R, Error> {
        self.look(|shown| look(&shown.state))
    }

    #[inline]
    fn look<R>(&self, look: impl FnOnce(&Shown) -> R) -> Result<R, Error> {
        let seen = self.shown.read(|shown| shown.map(|shown| look(shown)));
        seen.ok_or_else(|| self.why.get().expect("a picture that is gone has a reason").clone())
    }

    /// Shows markers in the place of what these erasures cover. It has all that was erased up to `erasure_mark` then, where there is one.
    pub(crate) fn redact(&self, erasures: &[Erasure], erasure_mark: Option<u64>) {
        if erasures.is_empty() && erasure_mark.is_none() {
            return;
        }
        let Ok((mut state, _, mark_before)) = self.share() else { return };
        erasures.iter().for_each(|erasure| drop(state.redact(erasure)));
        let erasure_mark = erasure_mark.unwrap_or(mark_before);
        self.shown.set(Some(Arc::new(Shown { state: Arc::new(state), erasure_mark })));
    }

    /// About how many bytes its names take as those sorted them who look at it.
    pub(crate) fn sorted_memory(&self) -> usize {
        self.shown.read(|shown| shown.map_or(0, |shown| shown.state.sorted_memory()))
    }

    /// What it shows, which is not dropped before this is.
    pub(crate) fn state(&self) -> Option<Arc<RunState>> {
        self.shown.read(|shown| shown.map(|shown| Arc::clone(&shown.state)))
    }

    /// Shows nothing any more; every further look is answered with this.
    pub(crate) fn end(&self, why: Error) {
        // The first reason stays.
        let _ = self.why.set(why);
        self.shown.set(None);
    }
}

/// Answers a read on a run that belongs to nobody else at this moment.
///
/// # Panics
/// If it is a write.
pub(crate) fn answer(
    state: &RunState,
    boot: Boot,
    operation: Operation,
    now: Timestamp,
    limits: &Limits,
) -> Result<Outcome, Error> {
    let context = Context { now, boot: boot.number };
    match validate(operation, &mut Draft::new(state.view()), &context, limits)? {
        Validated::Read(outcome) => Ok(boot.tell_orphaned(outcome)),
        Validated::Write(_) => unreachable!("a read has no effect"),
    }
}

/// What of a run a read looks at, as far as changes of it are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One thing, by its mark.
    Thing(u64),
    /// An event: once it is there it stays as it is.
    Event(u64),
    /// Everything, or something that no mark stands for; also what tells at which version it is true.
    Whole,
    /// What is not in a picture.
    Beyond,
}

impl Reach {
    /// What a read looks at.
    pub(crate) fn of(operation: &Operation) -> Reach {
        match operation {
            Operation::KvGet { key } | Operation::KvTtl { key } => Reach::key(KeyKind::Kv, key),
            Operation::CellRead { name } | Operation::CellTtl { name } => Reach::key(KeyKind::Cell, name),
            Operation::JsonGet { name, .. } => Reach::Thing(document_mark(name)),
            Operation::TraceGet { id } => Reach::Thing(trace_mark(id)),
            Operation::EventRead { sequence } => Reach::Event(*sequence),
            Operation::EntityStat { entity } => Reach::entity(entity),
            Operation::RunReceipt { .. } => Reach::Beyond,
            _ => Reach::Whole,
        }
    }

    fn entity(entity: &EntityRef) -> Reach {
        match entity {
            EntityRef::Kv { key, .. } => Reach::key(KeyKind::Kv, key),
            EntityRef::Cell { name, .. } => Reach::key(KeyKind::Cell, name),
            EntityRef::Json { name, .. } => Reach::Thing(document_mark(name)),
            EntityRef::Trace { id, .. } => Reach::Thing(trace_mark(id)),
            EntityRef::Event { sequence, .. } => Reach::Event(*sequence),
            _ => Reach::Whole,
        }
    }

    #[inline]
    pub(crate) fn key(kind: KeyKind, key: &str) -> Reach {
        Reach::Thing(key_mark(kind, key))
    }

    /// Whether all that it looks at is as published.
    #[inline]
    pub(crate) fn is_as_published(self, publication: &Publication<Picture>) -> bool {
        match self {
            Reach::Thing(mark) => !publication.is_marked(mark),
            Reach::Event(sequence) => {
                sequence < publication.shown().state.event_count() || publication.is_newest()
            }
            Reach::Whole => publication.is_newest(),
            Reach::Beyond => false,
        }
    }
}

/// What a mutation changes, as far as it is marked. `Beyond` what it may change is more than marks can say.
pub(crate) fn reach_of(mutation: &Mutation) -> Reach {
    match mutation {
        Mutation::KvPut { key, .. } | Mutation::KvDelete { key, .. } | Mutation::KvDeadline { key, .. } => {
            Reach::key(KeyKind::Kv, key)
        }
        Mutation::CellSet { name, .. } | Mutation::CellDelete { name, .. } => Reach::key(KeyKind::Cell, name),
        Mutation::JsonWrite { name, .. } | Mutation::JsonDestroy { name, .. } => {
            Reach::Thing(document_mark(name))
        }
        Mutation::TraceRecord { trace } => Reach::Thing(trace_mark(&trace.id)),
        Mutation::TraceEnd { id, .. } => Reach::Thing(trace_mark(id)),
        // What is there stays; what is more shows in whatever looks at the whole.
        Mutation::EventAppend { .. }
        | Mutation::EventErased { .. }
        | Mutation::RunBegin { .. }
        | Mutation::RunStatus { .. }
        | Mutation::RunTags { .. }
        | Mutation::RunMetadata { .. }
        | Mutation::RunRetention { .. }
        | Mutation::EventRetention { .. }
        | Mutation::TraceRetention { .. } => Reach::Whole,
        Mutation::EventTrim { .. }
        | Mutation::TraceTrim { .. }
        | Mutation::Erase { .. }
        | Mutation::RunCreate { .. }
        | Mutation::RunFork { .. }
        | Mutation::RunImport { .. }
        | Mutation::RunDelete { .. } => Reach::Beyond,
    }
}

#[inline]
fn key_mark(kind: KeyKind, key: &str) -> u64 {
    match kind {
        KeyKind::Kv => mark(0, key),
        KeyKind::Cell => mark(1, key),
    }
}

fn document_mark(name: &str) -> u64 {
    mark(2, name)
}

fn trace_mark(id: &TraceId) -> u64 {
    mark(3, id)
}

/// The hash under which a thing of a kind is marked. Who chooses names that collide makes his own reads go by message.
#[inline]
fn mark(kind: u64, name: &(impl Hash + ?Sized)) -> u64 {
    FxBuildHasher.hash_one(name).wrapping_add(kind).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use strata_primitives::{Encoded, OrderIndex, RunId, Version};

    use super::*;

    #[test]
    fn who_pages_through_a_picture_has_its_keys_sorted_once_and_that_is_counted() {
        let boot = Boot { number: 1, ..Boot::default() };
        let mut state = RunState::new(RunId::from_bytes([7; 16]), 1);
        for key in ["b", "a", "c"] {
            let (value, previous) = (Encoded::from_int(1), Version(0));
            let put = Mutation::KvPut { key: key.into(), value, deadline: None, previous };
            drop(state.apply(put, Stamp { version: Version(1), timestamp: Timestamp(1) }));
        }
        let picture = Picture::new(state, boot, 0);
        let keys = OrderIndex::Keys(KeyKind::Kv);
        let look = |state: &RunState| {
            state.ensure_sorted(keys);
            state.has_order(keys)
        };
        let page = || picture.pin().with_state(look).unwrap();
        assert_eq!((page(), picture.pin().sorted_memory()), (false, 0), "one page alone is not worth it");
        assert_eq!((page(), picture.pin().sorted_memory()), (true, 3 * 8));
    }
}
