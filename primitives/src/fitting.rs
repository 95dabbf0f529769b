//! Whether what was read from a file fits the run that it is of.
use super::RunState;
use crate::entry_log::EntryLog;
use crate::fork::ForkPoint;
use crate::json::{JsonWrite, check_json_encoded};
use crate::mutation::Mutation;
use crate::trace::Trace;
use crate::trace_id::TraceId;

impl RunState {
    /// Whether a mutation read from a file fits this state; the reason says what contradicts what.
    pub fn check(&self, mutation: &Mutation) -> Result<(), String> {
        let exists = self.exists();
        match mutation {
            Mutation::RunCreate { .. } if exists => Err("it creates a run that exists".to_owned()),
            Mutation::RunFork { .. } if exists => Err("it makes a fork of a run that exists".to_owned()),
            Mutation::RunImport { .. } if exists => Err("it imports a run that exists".to_owned()),
            Mutation::RunCreate { .. } if self.fork_point().is_some() => {
                Err("it creates a run that is a fork".to_owned())
            }
            Mutation::RunCreate { .. } => Ok(()),
            Mutation::RunFork { point, .. } if self.fork_point() != Some(*point) => Err(format!(
                "it is a fork of run {} at version {}, and begins as another",
                point.run, point.version
            )),
            Mutation::RunFork { .. } => Ok(()),
            Mutation::RunImport { version, meta, .. } => {
                let point = ForkPoint { run: self.id, version: *version };
                match self.fork_point() == Some(point) && meta.imported == Some(*version) {
                    true => Ok(()),
                    false => {
                        Err(format!("it imports commits up to {version}, and the run begins as another"))
                    }
                }
            }
            other if !exists => Err(format!("{} in a run that does not exist", other.name())),
            Mutation::EventAppend { sequence, .. } | Mutation::EventErased { sequence, .. }
                if *sequence != self.content.events.end() =>
            {
                Err(format!("event {sequence} follows {} events", self.content.events.end()))
            }
            Mutation::EventTrim { before } => check_trim(&self.content.events, *before, "events"),
            Mutation::TraceTrim { before } => check_trim(&self.content.traces, *before, "traces"),
            Mutation::KvDeadline { key, .. } if self.content.kv.get(key).is_none() => {
                Err(format!("it gives a deadline to the missing key {key:?}"))
            }
            Mutation::JsonWrite { name, write, .. } => self.check_json(name, write),
            Mutation::JsonDestroy { name, .. } if self.content.documents.get(name).is_none() => {
                Err(format!("it destroys the missing document {name:?}"))
            }
            Mutation::TraceRecord { trace } => self.check_new_trace(trace),
            Mutation::TraceEnd { id, .. } => self.check_trace_end(id),
            Mutation::Erase { entity, .. } if entity.run_id() != self.id => {
                Err(format!("it erases {entity}, which is of another run"))
            }
            _ => Ok(()),
        }
    }

    fn check_json(&self, name: &str, write: &JsonWrite) -> Result<(), String> {
        match (self.content.documents.get(name), write) {
            (Some(entry), write) => entry.value.check(write),
            (None, JsonWrite::Put { value }) => {
                check_json_encoded(value).map_err(|error| error.message().to_owned())
            }
            (None, _) => Err(format!("it changes the missing document {name:?}")),
        }
        .map_err(|reason| format!("document {name:?}: {reason}"))
    }

    fn check_new_trace(&self, trace: &Trace) -> Result<(), String> {
        let Trace { id, parent, .. } = trace;
        let is_missing = |parent: &TraceId| self.content.traces.place_of(parent).is_none();
        // Whether one that is missing was removed is not known.
        match parent.filter(is_missing).filter(|_| self.content.traces.first() == 0) {
            _ if self.content.traces.place_of(id).is_some() => {
                Err(format!("it records the trace {id} a second time"))
            }
            Some(parent) => Err(format!("it records the trace {id} below the missing trace {parent}")),
            None => Ok(()),
        }
    }

    fn check_trace_end(&self, id: &TraceId) -> Result<(), String> {
        let traces = &self.content.traces;
        match traces.place_of(id).and_then(|place| traces.get(place)) {
            None => Err(format!("it ends the missing trace {id}")),
            Some(Trace { ended: Some(ended), .. }) => {
                Err(format!("it ends the trace {id}, which has ended at {ended}"))
            }
            Some(_) => Ok(()),
        }
    }
}

fn check_trim<L: EntryLog>(log: &L, before: u64, what: &str) -> Result<(), String> {
    let (first, end) = (log.first(), log.end());
    match first < before && before <= end {
        true => Ok(()),
        false => Err(format!("it removes {what} below {before}, and there are {first} to {end}")),
    }
}
