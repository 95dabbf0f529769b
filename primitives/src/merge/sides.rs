//! What became of one thing on two sides of a base.
use super::conflict::{Conflict, EntryConflict, KeyConflict, PlaceConflict, TraceConflict};
use super::entries::{Apart, Entries};
use super::three_way::ThreeWayDifference;
use crate::content::Content;
use crate::diff::{
    CommonCommits, Difference, DocumentChange, DocumentDifference, KeyDifference, KeyState, LogDifference,
    Seen, TraceDifference, Written, end_of,
};
use crate::encoded::Encoded;
use crate::error::Error;
use crate::json::{ContestedPlace, Document, Pointer, ThreeWayPlaces};
use crate::trace::Trace;

/// Three states, judged at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) base: Seen<'a>,
    pub(super) ours: Seen<'a>,
    pub(super) theirs: Seen<'a>,
    /// Those of ours and theirs.
    commits: CommonCommits,
}

/// What ours takes over of a thing, and what both have made of it.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) taken: Option<Difference>,
    pub(super) conflicts: Vec<Conflict>,
    /// Of events and traces, what each has alone.
    pub(super) apart: Option<Apart>,
}

impl Verdict {
    fn taken(difference: Difference) -> Self {
        Self { taken: Some(difference), ..Self::default() }
    }

    fn conflict(conflict: Conflict) -> Self {
        Self { conflicts: vec![conflict], ..Self::default() }
    }
}

impl<'a> Sides<'a> {
    pub(super) fn new(base: Seen<'a>, ours: Seen<'a>, theirs: Seen<'a>) -> Self {
        let now = ours.now.max(theirs.now);
        let [base, ours, theirs] = [base, ours, theirs].map(|seen| Seen { now, ..seen });
        Self { base, ours, theirs, commits: CommonCommits::of(ours, theirs) }
    }

    /// What both sides are to one another where they differ from the base.
    pub(super) fn compare(
        &self,
        ours: Option<Difference>,
        theirs: Option<Difference>,
    ) -> Result<ThreeWayDifference, Error> {
        let Verdict { taken, conflicts, .. } = match &theirs {
            Some(theirs) => self.judge(ours.as_ref(), theirs)?,
            None => Verdict::default(),
        };
        Ok(ThreeWayDifference { ours, theirs, taken, conflicts })
    }

    /// The same of something that differs in theirs.
    pub(super) fn judge(&self, ours: Option<&Difference>, theirs: &Difference) -> Result<Verdict, Error> {
        Ok(match (theirs, ours) {
            (Difference::Run(_) | Difference::EventErased(_), _) => Verdict::default(),
            (Difference::Key(theirs), ours) => {
                let ours = ours.and_then(Difference::as_key);
                self.judge_key(ours, theirs, Difference::Key, Conflict::Key)?
            }
            (Difference::Cell(theirs), ours) => {
                let ours = ours.and_then(Difference::as_key);
                self.judge_key(ours, theirs, Difference::Cell, Conflict::Cell)?
            }
            (Difference::Document(theirs), None) if !is_erasure(theirs) => {
                Verdict::taken(Difference::Document(theirs.clone()))
            }
            (Difference::Document(theirs), _) => self.judge_document(theirs),
            (Difference::Trace(theirs), _) => self.judge_trace(theirs),
            (Difference::Events(theirs), ours) => {
                self.judge_events(ours.and_then(Difference::as_log), theirs)?
            }
            (Difference::Traces(theirs), ours) => {
                self.judge_traces(ours.and_then(Difference::as_log), theirs)?
            }
        })
    }

    fn judge_key(
        &self,
        ours: Option<&KeyDifference>,
        theirs: &KeyDifference,
        taken: fn(KeyDifference) -> Difference,
        conflict: fn(KeyConflict) -> Conflict,
    ) -> Result<Verdict, Error> {
        // What is erased was so by who could: it is nothing that theirs has written.
        let is_erased = theirs.before.as_ref().zip(theirs.after.as_ref()).is_some_and(|(before, after)| {
            after.value.is_erased() && (before.written, before.deadline) == (after.written, after.deadline)
        });
        if is_erased {
            return Ok(Verdict::default());
        }
        let Some(ours) = ours else { return Ok(Verdict::taken(taken(theirs.clone()))) };
        if self.is_same_key(&ours.after, &theirs.after)? {
            return Ok(Verdict::default());
        }
        let (base, key) = (theirs.before.clone(), theirs.key.clone());
        let (ours, theirs) = (ours.after.clone(), theirs.after.clone());
        Ok(Verdict::conflict(conflict(KeyConflict { key, base, ours, theirs })))
    }

    fn is_same_key(&self, ours: &Option<KeyState>, theirs: &Option<KeyState>) -> Result<bool, Error> {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                let [own, other] =
                    [ours, theirs].map(|state| Written::new(&state.value, state.written, state.stamp));
                Ok(ours.deadline == theirs.deadline && self.commits.is_same(own, other)?)
            }
            (None, None) => Ok(true),
            _ => Ok(false),
        }
    }

    fn judge_document(&self, theirs: &DocumentDifference) -> Verdict {
        if is_erasure(theirs) {
            return Verdict::default();
        }
        let name = &theirs.name;
        let [base, own, other] =
            self.contents().map(|content| content.documents.get(name).map(|entry| &entry.value));
        if let (Some(base), Some(own), Some(other)) = (base, own, other) {
            let ThreeWayPlaces { taken, contested } = base.three_way(own, other);
            let conflict = |ContestedPlace { path, base, ours, theirs }| {
                Conflict::Place(PlaceConflict { name: name.clone(), path, base, ours, theirs })
            };
            let is_taken = !taken.is_empty();
            let difference = DocumentDifference { change: DocumentChange::Changed(taken), ..theirs.clone() };
            let taken = is_taken.then_some(Difference::Document(difference));
            let conflicts = contested.into_iter().map(conflict).collect();
            return Verdict { taken, conflicts, apart: None };
        }
        let [base, ours, theirs] = [base, own, other].map(|document| document.map(whole));
        if ours == theirs {
            return Verdict::default();
        }
        let (name, path) = (name.clone(), Pointer::root());
        Verdict::conflict(Conflict::Place(PlaceConflict { name, path, base, ours, theirs }))
    }

    /// Where it stands in ours may be another place than in the base, so its id tells.
    fn judge_trace(&self, theirs: &TraceDifference) -> Verdict {
        let TraceDifference { place, before, after } = theirs;
        let traces = &self.ours.state.content().traces;
        let Some(ours) = traces.place_of(&after.id).and_then(|place| traces.get(place)) else {
            // It is not kept in ours any more.
            return Verdict::default();
        };
        if before.body.is_erased() {
            return Verdict::default();
        }
        match ends_alike(ours, after) {
            Alike::Same => Verdict::default(),
            Alike::Ends => Verdict::taken(Difference::Trace(theirs.clone())),
            Alike::Apart => Verdict::conflict(trace_conflict(*place, ours, after)),
        }
    }

    fn judge_events(&self, ours: Option<&LogDifference>, theirs: &LogDifference) -> Result<Verdict, Error> {
        let apart = Entries::Events.apart(self.contents(), ours, Some(theirs))?;
        let verdict = match EntryConflict::of(&apart) {
            Some(found) => Verdict::conflict(Conflict::Events(found)),
            None if apart.theirs.is_empty() => Verdict::default(),
            None => Verdict::taken(Difference::Events(theirs.clone())),
        };
        Ok(Verdict { apart: Some(apart), ..verdict })
    }

    /// Both may have recorded a trace of one id: when it was merged before, and each on its own where ids are made of what is recorded, as
    /// those of effects are.
    fn judge_traces(&self, ours: Option<&LogDifference>, theirs: &LogDifference) -> Result<Verdict, Error> {
        let apart = Entries::Traces.apart(self.contents(), ours, Some(theirs))?;
        let (mut conflicts, mut is_taken) = (Vec::new(), false);
        for (place, ours, theirs) in self.traces_of_both(&apart) {
            match ends_alike(ours, theirs) {
                Alike::Same => {}
                Alike::Ends => is_taken = true,
                Alike::Apart => conflicts.push(trace_conflict(place, ours, theirs)),
            }
        }
        match EntryConflict::of(&apart) {
            Some(found) => conflicts.push(Conflict::Traces(found)),
            None => is_taken |= !apart.theirs.is_empty(),
        }
        let taken = is_taken.then(|| Difference::Traces(theirs.clone()));
        Ok(Verdict { taken, conflicts, apart: Some(apart) })
    }

    /// Those that both have recorded since the base, with their places in theirs.
    pub(super) fn traces_of_both(&self, apart: &Apart) -> impl Iterator<Item = (u64, &'a Trace, &'a Trace)> {
        let [_, ours, theirs] = self.contents();
        apart
            .both
            .iter()
            .filter_map(|(own, other)| Some((*other, ours.traces.get(*own)?, theirs.traces.get(*other)?)))
    }

    pub(super) fn contents(&self) -> [&'a Content; 3] {
        [self.base, self.ours, self.theirs].map(|seen| seen.state.content())
    }
}

/// What two records of one trace are to one another.
pub(super) enum Alike {
    /// The same, or one of both is erased.
    Same,
    /// That of ours is open, and the other one is what it is when it has ended.
    Ends,
    /// Neither.
    Apart,
}

pub(super) fn ends_alike(ours: &Trace, theirs: &Trace) -> Alike {
    let is_same_step = (&ours.kind, ours.parent, &ours.tags) == (&theirs.kind, theirs.parent, &theirs.tags);
    if ours.body.is_erased() || theirs.body.is_erased() {
        return Alike::Same;
    }
    if !is_same_step {
        return Alike::Apart;
    }
    match (ours.is_open(), theirs.is_open()) {
        (true, false) if end_of(ours, theirs).is_ok_and(|end| end.is_some()) => Alike::Ends,
        (true, false) => Alike::Apart,
        // What has ended in ours alone is what ours has done.
        (false, true) => Alike::Same,
        (true, true) | (false, false) if ours.body == theirs.body => Alike::Same,
        (true, true) | (false, false) => Alike::Apart,
    }
}

fn trace_conflict(place: u64, ours: &Trace, theirs: &Trace) -> Conflict {
    let (ours, theirs) = (ours.clone(), theirs.clone());
    Conflict::Trace(Box::new(TraceConflict { place, ours, theirs }))
}

/// Whether nothing was written, so that it differs by what was erased alone.
fn is_erasure(difference: &DocumentDifference) -> bool {
    difference.before.is_some() && difference.before == difference.after
}

fn whole(document: &Document) -> Encoded {
    document.get(&Pointer::root()).expect("a document has a root").value
}
