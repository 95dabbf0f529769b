//! Everything that can be read of a run, compared with its model.

use strata::{Direction, EntityRef, KvScan, Reads, TraceFilter};

use crate::answer::Eye;
use crate::read::{Read, Seen};
use crate::state::State;

/// Reads everything of a run and says what is not as it should be.
pub(crate) struct Comparison<'a, R> {
    pub(crate) run: &'a R,
    pub(crate) state: &'a State,
    pub(crate) eye: Eye,
}

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Reverse];

impl<R: Reads> Comparison<'_, R> {
    /// Compares all of it; `places` of documents are looked at besides the whole of each.
    pub(crate) fn whole(&self, places: &[(String, String)]) -> Result<(), String> {
        let Self { run, state, .. } = self;
        self.same(&Read::Info)?;
        if state.meta.is_none() {
            return Ok(());
        }
        for direction in DIRECTIONS {
            self.lists(direction)?;
            self.events(direction)?;
            self.traces(direction)?;
        }
        for key in state.keys.keys() {
            self.same(&Read::Get(key.clone()))?;
            self.same(&Read::Ttl(key.clone()))?;
        }
        for name in state.cells.keys() {
            self.same(&Read::Cell(name.clone()))?;
            self.same(&Read::CellTtl(name.clone()))?;
        }
        for prefix in ["", "a/", "b"] {
            self.same(&Read::Count(prefix.to_owned()))?;
        }
        let whole = state.documents.keys().map(|name| (name.clone(), String::new()));
        for (name, path) in whole.chain(places.iter().cloned()) {
            self.same(&Read::Json { name, path })?;
        }
        self.same(&Read::VerifyChain)?;
        for id in state.receipts.keys().rev().take(6) {
            self.same(&Read::Receipt(strata::OperationId(*id)))?;
        }
        let traces: u64 = state.traces.iter().filter_map(|trace| self.size_of_trace(trace.id)).sum();
        let size = run.info().map_err(|error| error.to_string())?.size;
        let due = state.size() + traces;
        if size == due { Ok(()) } else { Err(format!("the run has {size} bytes, it should have {due}")) }
    }

    fn size_of_trace(&self, id: strata::TraceId) -> Option<u64> {
        self.run.stat(&EntityRef::trace(self.run.run_id(), id)).ok()?.map(|size| size.value)
    }

    fn lists(&self, direction: Direction) -> Result<(), String> {
        for kind in 0..4 {
            let mut scan = KvScan { limit: 4, direction, ..KvScan::default() };
            loop {
                let read = match kind {
                    0 => Read::List(scan.clone()),
                    1 => Read::ListValues(scan.clone()),
                    2 => Read::CellList(scan.clone()),
                    _ => Read::JsonList(scan.clone()),
                };
                scan.start_after = match self.same(&read)? {
                    Seen::Keys(page) => page.next,
                    Seen::Items(page) => page.next,
                    other => unreachable!("a list is {other:?}"),
                };
                if scan.start_after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn events(&self, direction: Direction) -> Result<(), String> {
        let limit = 40;
        let mut next = Some(if direction == Direction::Forward { 0 } else { u64::MAX });
        while let Some(start) = next {
            let Seen::Events(page) = self.same(&Read::Events { start, limit, direction })? else {
                unreachable!("a page of events is asked for")
            };
            next = page.next;
        }
        for kind in ["call", "say", "think", "nothing"] {
            let kind = kind.to_owned();
            self.same(&Read::EventCount(Some(kind.clone())))?;
            self.same(&Read::EventHead(Some(kind.clone())))?;
            let start = if direction == Direction::Forward { 0 } else { u64::MAX };
            self.same(&Read::EventsByType { kind, start, limit: 1000, direction })?;
        }
        self.same(&Read::EventCount(None))?;
        self.same(&Read::EventHead(None)).map(drop)
    }

    fn traces(&self, direction: Direction) -> Result<(), String> {
        let (filter, mut start) = (TraceFilter::default(), None);
        loop {
            let read = Read::TraceList { filter: filter.clone(), start, limit: 20, direction };
            let Seen::Traces(page) = self.same(&read)? else { unreachable!("a page of traces is asked for") };
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        for filter in [
            TraceFilter { is_open: Some(true), ..TraceFilter::default() },
            TraceFilter { tag: Some("red".into()), ..TraceFilter::default() },
            TraceFilter { kind: Some("tool_call".into()), ..TraceFilter::default() },
        ] {
            self.same(&Read::TraceList { filter, start: None, limit: 1000, direction })?;
        }
        let roots = self.state.traces.iter().filter(|trace| trace.parent.is_none()).rev().take(8);
        for id in roots.map(|trace| trace.id) {
            self.same(&Read::TraceTree { id, limit: 1000 })?;
            self.same(&Read::TraceChildren { id, start: None, limit: 3 })?;
        }
        self.same(&Read::TraceCount(None))?;
        self.same(&Read::TraceCount(Some("query".into()))).map(drop)
    }

    fn same(&self, read: &Read) -> Result<Seen, String> {
        match (read.ask(self.run), self.state.answer(read, self.eye)) {
            (Ok(found), Ok(due)) if found == due => Ok(found),
            (Err(error), Err(refusal)) if error.kind() == refusal.kind => Ok(Seen::Trace(Box::new(None))),
            (found, due) => Err(format!("{read:?}\n   is {found:?}\n  not {due:?}")),
        }
    }
}
