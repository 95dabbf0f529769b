//! Random reads, mostly of things that are there.

use strata::{Direction, KvScan, Timestamp, TraceFilter};

use crate::chance::{CELLS, Chance, DOCUMENTS, KEYS, KINDS, PREFIXES, TAGS, Topic};
use crate::read::Read;
use crate::state::State;

impl Chance {
    fn scan(&mut self, names: &[&str]) -> KvScan {
        KvScan {
            prefix: self.name(&PREFIXES),
            start_after: self.one_in(3).then(|| self.name(names)),
            limit: 1 + self.below(7) as usize,
            direction: self.direction(),
        }
    }

    fn direction(&mut self) -> Direction {
        if self.one_in(2) { Direction::Forward } else { Direction::Reverse }
    }

    /// One read of a run that is as `state`.
    pub(crate) fn read(&mut self, state: &State) -> Read {
        match self.topic() {
            Topic::Keys => self.read_keys(),
            Topic::Events => self.read_events(state),
            Topic::Cells => self.read_cells(),
            Topic::Documents if self.one_in(6) => {
                Read::JsonList(KvScan { prefix: "d".into(), ..self.scan(&DOCUMENTS) })
            }
            Topic::Documents => {
                let name = self.document_name();
                Read::Json { path: self.path(state, &name), name }
            }
            Topic::Traces => self.read_trace(state),
            Topic::Run => Read::Info,
        }
    }

    fn read_keys(&mut self) -> Read {
        let key = self.name(&KEYS);
        match self.below(11) {
            0..5 => Read::Get(key),
            5 => Read::GetMany((0..self.below(4)).map(|_| self.name(&KEYS)).collect()),
            6 => Read::Exists(key),
            7 => Read::Ttl(key),
            8 => Read::List(self.scan(&KEYS)),
            9 => Read::ListValues(self.scan(&KEYS)),
            _ => Read::Count(self.name(&PREFIXES)),
        }
    }

    fn read_cells(&mut self) -> Read {
        let cell = self.name(&CELLS);
        match self.below(4) {
            0 => Read::CellTtl(cell),
            1 => Read::CellList(KvScan { prefix: "l".into(), ..self.scan(&CELLS) }),
            _ => Read::Cell(cell),
        }
    }

    fn read_events(&mut self, state: &State) -> Read {
        let (limit, count) = (1 + self.below(6) as usize, state.events.len() as u64 + 2);
        let (start, kind) = (self.below(count), self.name(&KINDS));
        match self.below(7) {
            0 => Read::Event(start),
            1 => Read::Events { start, limit, direction: self.direction() },
            2 => Read::LastEvents(limit),
            3 => Read::EventsByType { kind, start, limit, direction: self.direction() },
            4 => Read::EventCount(self.one_in(2).then_some(kind)),
            5 => Read::EventHead(self.one_in(2).then_some(kind)),
            _ => Read::VerifyChain,
        }
    }

    fn read_trace(&mut self, state: &State) -> Read {
        let (id, limit) = (self.trace_id(state), 1 + self.below(8) as usize);
        let start = self.one_in(2).then(|| self.below(state.traces.len() as u64 + 2));
        match self.below(6) {
            0 => Read::Trace(id),
            1 | 2 => {
                let recorded = state.traces.iter().map(|trace| trace.recorded.timestamp);
                let times: Vec<Timestamp> = recorded.chain([Timestamp(0)]).collect();
                let filter = TraceFilter {
                    kind: self.one_in(3).then(|| "tool_call".to_owned()),
                    tag: self.one_in(3).then(|| self.name(&TAGS)),
                    parent: self.one_in(4).then_some(id),
                    from: self.one_in(4).then(|| self.pick(&times)),
                    to: self.one_in(4).then(|| self.pick(&times)),
                    is_open: self.one_in(3).then(|| self.one_in(2)),
                };
                Read::TraceList { filter, start, limit, direction: self.direction() }
            }
            3 => Read::TraceChildren { id, start, limit },
            4 => Read::TraceTree { id, limit },
            _ => Read::TraceCount(self.one_in(2).then(|| "query".to_owned())),
        }
    }
}
