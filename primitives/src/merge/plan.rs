//! The operations by which a run takes over what was done to another.
use super::conflict::{Conflict, KeyConflict, PlaceConflict};
use super::entries::Apart;
use super::sides::{Alike, Sides, Verdict, ends_alike};
use super::three_way::verdicts;
use crate::diff::{
    DiffPlace, Difference, DocumentChange, KeyDifference, OperationPlan, Seen, TraceDifference,
};
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::json::PlaceDifference;
use crate::key_kind::KeyKind;
use crate::operation::Operation;
use crate::recorded_effect::RecordedEffect;
use crate::trace_id::TraceId;
use foldhash::{HashMap, HashSet};

/// What becomes of a key, a cell or a place of a document that both sides have changed, each in its own way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Nothing is merged.
    #[default]
    Fail,
    /// It stays as it is in ours.
    Ours,
    /// It becomes what it is in theirs.
    Theirs,
}

/// What becomes of events, or traces, when both sides have some that the other has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EntryStrategy {
    /// Nothing is merged.
    #[default]
    Fail,
    /// Those of ours stay, and none of theirs is taken over.
    Ours,
    /// Those of theirs come behind those of ours, as one block in their order.
    Append,
}

/// What becomes of what both sides have changed, each in its own way; what only one of both has changed asks nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strategies {
    /// Of keys.
    pub keys: Strategy,
    /// Of cells.
    pub cells: Strategy,
    /// Of places of documents.
    pub documents: Strategy,
    /// Of events.
    pub events: EntryStrategy,
    /// Of traces. One that both have recorded or ended, each in its own way, cannot be written once more: with `Append` it is as with `Fail`.
    pub traces: EntryStrategy,
}

/// What a strategy has made of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// None: nothing is merged.
    Open,
    /// Ours stays.
    Ours,
    /// Theirs is taken over.
    Theirs,
    /// Theirs comes behind ours.
    Appended,
}

/// A conflict, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedConflict {
    /// What both have changed.
    pub conflict: Conflict,
    /// What becomes of it.
    pub resolution: Resolution,
}

/// What merging comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct MergePlan {
    /// What is to be done to ours, in order, as one commit; nothing while a conflict is open.
    pub operations: Vec<Operation>,
    /// Where ours changes by that.
    pub changes: Vec<DiffPlace>,
    /// What both have changed, each in its own way, in the order of their places.
    pub conflicts: Vec<ResolvedConflict>,
}

impl MergePlan {
    /// Whether a conflict is left that no strategy decides.
    pub fn is_open(&self) -> bool {
        self.conflicts.iter().any(|conflict| conflict.resolution == Resolution::Open)
    }
}

/// How `ours` takes over what was done in `theirs` since `base`, as one commit.
///
/// What theirs alone has changed is taken over: keys and cells with their deadlines, places of documents, events with their types and payloads,
/// and traces with their ids and times. What ours alone has changed stays. Versions, times of commits and hashes of events are those of
/// the new commit. What a run says of itself, status and retention too, is no part of it, and neither is what was erased. An event that
/// ours has already, as it was merged before, is known by its salt and a trace by its id: neither is taken over twice.
///
/// # Errors
/// `Unsupported`, naming the thing in theirs, for a value, an event or a trace that theirs has written and that was erased since, and for a
/// trace whose parent is neither in ours nor taken over; and for an effect that does not come next of its name in ours, because theirs does not
/// keep those before it, or ours had it and does not keep it. Those of reading a value.
pub fn plan<'a>(
    base: impl Into<Seen<'a>>,
    ours: impl Into<Seen<'a>>,
    theirs: impl Into<Seen<'a>>,
    strategies: Strategies,
) -> Result<MergePlan, Error> {
    let sides = Sides::new(base.into(), ours.into(), theirs.into());
    let mut merge = Merge {
        plan: OperationPlan::new(sides.ours.state, sides.theirs.state, sides.theirs.now),
        sides,
        strategies,
        changes: Vec::new(),
        conflicts: Vec::new(),
    };
    // Of events and traces what theirs alone has depends on what ours has too.
    for Verdict { taken, conflicts, apart } in verdicts(&sides)? {
        let apart = apart.unwrap_or_default();
        if let Some(taken) = taken {
            let is_contested = conflicts.iter().any(|conflict| matches!(conflict, Conflict::Traces(_)));
            merge.take(taken, &apart, is_contested)?;
        }
        for conflict in conflicts {
            merge.resolve(conflict, &apart)?;
        }
    }
    let Merge { plan, mut changes, conflicts, .. } = merge;
    changes.dedup();
    let mut plan = MergePlan { operations: plan.into_operations(), changes, conflicts };
    if plan.is_open() {
        plan.operations.clear();
        plan.changes.clear();
    }
    Ok(plan)
}

struct Merge<'a> {
    sides: Sides<'a>,
    strategies: Strategies,
    plan: OperationPlan<'a>,
    changes: Vec<DiffPlace>,
    conflicts: Vec<ResolvedConflict>,
}

impl Merge<'_> {
    /// What asks nobody. Of traces that is the end of those that are open in ours, and what theirs alone has unless that is contested.
    fn take(&mut self, taken: Difference, apart: &Apart, is_contested: bool) -> Result<(), Error> {
        self.changes.push(taken.place());
        match taken {
            Difference::Events(_) => self.append_events(apart),
            Difference::Traces(_) => {
                self.end_spans(apart)?;
                if is_contested { Ok(()) } else { self.record_traces(apart) }
            }
            taken => self.plan.take(taken),
        }
    }

    fn resolve(&mut self, conflict: Conflict, apart: &Apart) -> Result<(), Error> {
        let Strategies { keys, cells, documents, events, traces } = self.strategies;
        let resolution = match &conflict {
            Conflict::Key(_) => keys.resolution(),
            Conflict::Cell(_) => cells.resolution(),
            Conflict::Place(_) => documents.resolution(),
            Conflict::Events(_) => events.resolution(),
            Conflict::Traces(_) => traces.resolution(),
            Conflict::Trace(_) if traces == EntryStrategy::Ours => Resolution::Ours,
            Conflict::Trace(_) => Resolution::Open,
        };
        if matches!(resolution, Resolution::Theirs | Resolution::Appended) {
            self.changes.push(conflict.place());
            match &conflict {
                Conflict::Key(conflict) => self.put(conflict, KeyKind::Kv)?,
                Conflict::Cell(conflict) => self.put(conflict, KeyKind::Cell)?,
                Conflict::Place(conflict) => self.write(conflict)?,
                Conflict::Events(_) => self.append_events(apart)?,
                Conflict::Traces(_) => self.record_traces(apart)?,
                Conflict::Trace(_) => unreachable!("a trace has one end"),
            }
        }
        self.conflicts.push(ResolvedConflict { conflict, resolution });
        Ok(())
    }

    fn put(&mut self, conflict: &KeyConflict, kind: KeyKind) -> Result<(), Error> {
        let KeyConflict { key, ours, theirs, .. } = conflict.clone();
        self.plan.take_key(KeyDifference { key, before: ours, after: theirs }, kind)
    }

    fn write(&mut self, conflict: &PlaceConflict) -> Result<(), Error> {
        let PlaceConflict { name, path, ours, theirs, .. } = conflict.clone();
        let is_whole = path.is_root();
        let change = match (ours, theirs) {
            (Some(ours), None) if is_whole => DocumentChange::Removed(ours),
            (None, Some(theirs)) if is_whole => DocumentChange::Added(theirs),
            (before, after) => DocumentChange::Changed(vec![PlaceDifference { path, before, after }]),
        };
        self.plan.take_document(name.clone(), change)
    }

    /// Those of theirs that ours has not.
    fn append_events(&mut self, apart: &Apart) -> Result<(), Error> {
        apart.theirs.iter().try_for_each(|sequence| self.plan.append_event(*sequence))
    }

    /// The same of traces.
    fn record_traces(&mut self, apart: &Apart) -> Result<(), Error> {
        self.check_parents(&apart.theirs)?;
        self.check_effects(&apart.theirs)?;
        apart.theirs.iter().try_for_each(|place| self.plan.record_trace(*place))
    }

    /// Refuses a trace below one that ours has not and does not take over: one that was left out before, or that ours does not keep.
    fn check_parents(&self, taken: &[u64]) -> Result<(), Error> {
        let [_, ours, theirs] = self.sides.contents();
        let mut there = HashSet::default();
        for trace in taken.iter().filter_map(|place| theirs.traces.get(*place)) {
            let is_there =
                |parent: &TraceId| there.contains(parent) || ours.traces.place_of(parent).is_some();
            if let Some(parent) = trace.parent.filter(|parent| !is_there(parent)) {
                let message = format!("it is below trace {parent}, which is neither in ours nor taken over");
                let entity = EntityRef::trace(self.sides.theirs.state.id(), trace.id);
                return Err(Error::new(ErrorKind::Unsupported, message).with_entity(entity));
            }
            there.insert(trace.id);
        }
        Ok(())
    }

    /// Refuses an effect that does not come next of its name in ours. What was recorded of a name is known by how many there were, also when
    /// they are not kept any more: one in front of which others are missing would be none of those, and one that ours had and does not
    /// keep would be recorded twice.
    fn check_effects(&self, taken: &[u64]) -> Result<(), Error> {
        let [_, ours, theirs] = self.sides.contents();
        let mut counts: HashMap<String, u64> = HashMap::default();
        for trace in taken.iter().filter_map(|place| theirs.traces.get(*place)) {
            if !RecordedEffect::is_kind(&trace.kind) {
                continue;
            }
            let (content, ..) = trace.parts()?;
            // Somebody may have recorded another trace of such a kind.
            let Ok(effect) = RecordedEffect::from_trace(trace.id, content) else { continue };
            let RecordedEffect { name, ordinal, .. } = effect;
            let next = counts.entry(name).or_insert_with(|| ours.traces.kind_count(&trace.kind));
            if ordinal != *next {
                let message = format!(
                    "it is effect {ordinal} of its name, and the one that ours records next is {next}"
                );
                let entity = EntityRef::trace(self.sides.theirs.state.id(), trace.id);
                return Err(Error::new(ErrorKind::Unsupported, message).with_entity(entity));
            }
            *next += 1;
        }
        Ok(())
    }

    /// The ends of those that are open in ours, and over in theirs.
    fn end_spans(&mut self, apart: &Apart) -> Result<(), Error> {
        for (place, before, after) in self.sides.traces_of_both(apart) {
            if matches!(ends_alike(before, after), Alike::Ends) {
                let (before, after) = (before.clone(), after.clone());
                self.plan.take(Difference::Trace(TraceDifference { place, before, after }))?;
            }
        }
        Ok(())
    }
}

impl Strategy {
    fn resolution(self) -> Resolution {
        match self {
            Self::Fail => Resolution::Open,
            Self::Ours => Resolution::Ours,
            Self::Theirs => Resolution::Theirs,
        }
    }
}

impl EntryStrategy {
    fn resolution(self) -> Resolution {
        match self {
            Self::Fail => Resolution::Open,
            Self::Ours => Resolution::Ours,
            Self::Append => Resolution::Appended,
        }
    }
}
