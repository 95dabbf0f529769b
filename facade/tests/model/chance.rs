//! Chance: what a history is about, and random writes, mostly to things that are there.

use std::time::Duration;

use strata::{
    Condition, Deadline, NewTrace, OperationId, RunStatus, Timestamp, TraceContent, TraceEnd, TraceId, Usage,
    Value, Version,
};

use crate::patch::Patch;
use crate::state::{Named, State};
use crate::support::Dice;
use crate::write::Write;

/// A source of everything that is random in a history.
pub(crate) struct Chance {
    dice: Dice,
    traces: u64,
    /// What a transaction and its rivals are mostly about, so that they meet.
    focus: Option<Topic>,
    /// Whether places of documents are a few only.
    is_narrow: bool,
}

/// One of the things that a run holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Topic {
    Keys,
    Events,
    Cells,
    Documents,
    Traces,
    Run,
}

/// Documents twice: there is more to go wrong.
const TOPICS: [Topic; 6] =
    [Topic::Keys, Topic::Events, Topic::Cells, Topic::Documents, Topic::Documents, Topic::Traces];

pub(crate) const KEYS: [&str; 9] = ["a/1", "a/2", "a/3", "ab", "b/1", "b/2", "count", "ключ", "z"];
pub(crate) const PREFIXES: [&str; 5] = ["", "a/", "a", "b/", "q"];
pub(crate) const CELLS: [&str; 5] = ["lease", "lease/2", "plan", "turn", "votes"];
pub(crate) const DOCUMENTS: [&str; 3] = ["doc", "doc/trip", "notes"];
const MEMBERS: [&str; 7] = ["a", "b", "list", "0", "-", "x/y", "m~"];
pub(crate) const KINDS: [&str; 3] = ["call", "say", "think"];
pub(crate) const TAGS: [&str; 3] = ["red", "green", "blue"];

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance { dice: Dice::new(seed), traces: 0, focus: None, is_narrow: false }
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.dice.roll()
    }

    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.dice.below(count)
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// From now on most of what is asked for is about one topic.
    pub(crate) fn set_focus(&mut self) {
        self.focus = Some(self.pick(&TOPICS));
        self.is_narrow = self.one_in(2);
    }

    pub(crate) fn clear_focus(&mut self) {
        self.focus = None;
        self.is_narrow = false;
    }

    /// The topic of the next thing that is asked for.
    pub(crate) fn topic(&mut self) -> Topic {
        match (self.focus, self.below(100)) {
            (Some(focus), 0..80) => focus,
            (_, 0..38) => Topic::Keys,
            (_, 38..48) => Topic::Events,
            (_, 48..60) => Topic::Cells,
            (_, 60..80) => Topic::Documents,
            (_, 80..94) => Topic::Traces,
            _ => Topic::Run,
        }
    }

    pub(crate) fn document_name(&mut self) -> String {
        let is_focused = matches!(self.focus, Some(Topic::Documents));
        self.name(if is_focused { &DOCUMENTS[..1] } else { &DOCUMENTS })
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    pub(crate) fn name(&mut self, of: &[&str]) -> String {
        self.pick(of).to_owned()
    }

    pub(crate) fn operation_id(&mut self) -> OperationId {
        OperationId((u128::from(self.roll()) << 64 | u128::from(self.roll())).to_le_bytes())
    }

    fn scalar(&mut self) -> Value {
        match self.below(8) {
            0 => Value::Null,
            1 => Value::Bool(self.one_in(2)),
            2 => Value::Float(self.below(1000) as f64 / 8.0),
            3 | 4 => Value::String(format!("text {}", self.below(100))),
            _ => Value::Int(self.below(1000) as i64 - 300),
        }
    }

    /// Something that a JSON document can hold.
    pub(crate) fn json(&mut self, depth: u64) -> Value {
        match self.below(if depth == 0 { 4 } else { 8 }) {
            4 | 5 => Value::Array((0..self.below(5)).map(|_| self.json(depth - 1)).collect()),
            6 | 7 => {
                let mut members: Vec<(String, Value)> = Vec::new();
                for _ in 0..self.below(5) {
                    let name = self.name(&MEMBERS);
                    if members.iter().all(|(own, _)| *own != name) {
                        members.push((name, self.json(depth - 1)));
                    }
                }
                Value::Object(members)
            }
            _ => self.scalar(),
        }
    }

    /// Anything; now and then as large as a few blocks.
    pub(crate) fn value(&mut self) -> Value {
        match self.below(24) {
            0 => Value::Bytes(vec![self.roll() as u8; 3_000 + self.below(9_000) as usize]),
            1 => Value::Bytes(self.roll().to_le_bytes().to_vec()),
            2 => Value::Float(f64::NAN),
            3..6 => self.json(2),
            6..12 => self.scalar(),
            _ => Value::Int(self.below(50) as i64),
        }
    }

    fn deadline(&mut self, now: Timestamp) -> Deadline {
        let ttl = [12_000, 20_001, 40_000, 200_000, 5_000_000];
        match self.below(6) {
            0 | 1 => Deadline::In(Duration::from_micros(self.pick(&ttl))),
            2 => Deadline::At(self.time(now)),
            _ => Deadline::None,
        }
    }

    /// Mostly a time ahead.
    fn time(&mut self, now: Timestamp) -> Timestamp {
        match self.below(12) {
            0 => now,
            1 => Timestamp(now.0 - 5),
            2 => Timestamp(now.0 + 1),
            _ => Timestamp(now.0 + 10_000 * (1 + self.below(8))),
        }
    }

    fn version(&mut self, held: Option<Version>) -> Version {
        match (self.below(4), held) {
            (0, _) => Version(self.below(30)),
            (_, Some(version)) => version,
            (_, None) => Version::NEVER,
        }
    }

    /// One write to a run that is as `state`.
    pub(crate) fn write(&mut self, state: &State, now: Timestamp) -> Write {
        match (self.topic(), self.below(6)) {
            (Topic::Keys, _) => self.write_key(state, now),
            (Topic::Events, _) => self.write_event(),
            (Topic::Cells, _) => self.write_cell(state, now),
            (Topic::Documents, _) => self.write_document(state),
            (Topic::Traces, _) => self.write_trace(state),
            (Topic::Run, 0..3) => Write::Tags((0..self.below(4)).map(|_| self.name(&TAGS)).collect()),
            (Topic::Run, 3) => Write::Metadata(self.json(2)),
            (Topic::Run, _) => Write::Status(self.status(state)),
        }
    }

    /// Mostly a status that the run comes back from.
    fn status(&mut self, state: &State) -> RunStatus {
        let is_paused = state.meta.as_ref().is_some_and(|meta| meta.status == RunStatus::Paused);
        match self.below(10) {
            0 => self.pick(&RunStatus::ALL),
            1..3 if !is_paused => RunStatus::Paused,
            _ => RunStatus::Active,
        }
    }

    fn write_key(&mut self, state: &State, now: Timestamp) -> Write {
        let key = self.name(&KEYS);
        let held = state.live(Named::Key, &key, now).map(|entry| entry.stamp.version);
        match self.below(20) {
            0..7 => Write::Put { key, value: self.value(), deadline: self.deadline(now) },
            7 => Write::PutMany((0..self.below(4)).map(|_| (self.name(&KEYS), self.value())).collect()),
            8 => Write::PutIf { key, value: self.value(), condition: Condition::Absent },
            9 => {
                let condition = Condition::Version(self.version(held));
                Write::PutIf { key, value: self.value(), condition }
            }
            10..12 => Write::Delete(key),
            12 => Write::DeletePrefix(self.name(&PREFIXES[1..])),
            13..17 => {
                let by = if self.one_in(20) { i64::MAX } else { self.below(9) as i64 - 4 };
                Write::Increment { key, by }
            }
            17 | 18 => Write::SetDeadline { key, deadline: self.time(now) },
            _ => Write::ClearDeadline(key),
        }
    }

    /// One write to something that is about to expire, or just has: to it as it was, mostly.
    pub(crate) fn write_to(&mut self, kind: Named, name: &str, held: Version, now: Timestamp) -> Write {
        let (name, value, expected) = (name.to_owned(), self.scalar(), held);
        match (kind, self.below(5)) {
            (Named::Key, 0) => Write::Increment { key: name, by: 1 },
            (Named::Key, 1) => Write::PutIf { key: name, value, condition: Condition::Version(held) },
            (Named::Key, 2) => Write::Delete(name),
            (Named::Key, 3) => Write::SetDeadline { key: name, deadline: Timestamp(now.0 + 40_000) },
            (Named::Key, _) => Write::PutIf { key: name, value, condition: Condition::Absent },
            (Named::Cell, 0) => Write::CellDelete(name),
            (Named::Cell, 1 | 2) => Write::CellInit { name, value, deadline: Deadline::None },
            (Named::Cell, _) => Write::CellCas { name, expected, value, deadline: Deadline::None },
        }
    }

    fn write_event(&mut self) -> Write {
        if self.one_in(4) {
            return Write::AppendMany(
                (0..self.below(4)).map(|_| (self.name(&KINDS), self.value())).collect(),
            );
        }
        Write::Append { kind: self.name(&KINDS), payload: self.value() }
    }

    fn write_cell(&mut self, state: &State, now: Timestamp) -> Write {
        let name = self.name(&CELLS);
        let held = state.live(Named::Cell, &name, now).map(|entry| entry.stamp.version);
        let (value, deadline) = (self.value(), self.deadline(now));
        match self.below(6) {
            0 | 1 => Write::CellInit { name, value, deadline },
            2 => Write::CellSet { name, value, deadline },
            3 | 4 => Write::CellCas { name, expected: self.version(held), value, deadline },
            _ => Write::CellDelete(name),
        }
    }

    fn write_document(&mut self, state: &State) -> Write {
        let name = self.document_name();
        let Some(document) = state.documents.get(&name) else {
            if self.one_in(8) {
                return Write::JsonSet { name, path: String::new(), value: self.scalar() };
            }
            return Write::JsonCreate { name, value: self.fresh_document() };
        };
        let (held, path) = (Some(document.newest().version), self.path(state, &name));
        match self.below(40) {
            // What has lost its shape gets one again.
            0..12 if path.is_empty() => Write::JsonSet { name, path, value: self.fresh_document() },
            0..12 => Write::JsonSet { name, path, value: self.json(2) },
            12..14 => {
                let (expected, value) = (self.version(held), self.json(1));
                Write::JsonCas { name, expected, path, value }
            }
            14..20 => Write::JsonDelete { name, path },
            20..26 => {
                let patch = (0..1 + self.below(3)).map(|_| self.patch(state, &name)).collect();
                Write::JsonPatch { name, patch }
            }
            26..31 if path.is_empty() => {
                let patch = Value::Object(vec![("a".to_owned(), self.json(2))]);
                Write::JsonMerge { name, path, patch }
            }
            26..31 => Write::JsonMerge { name, path, patch: self.json(2) },
            31..36 => {
                let path = if self.one_in(3) { path } else { "/list".to_owned() };
                Write::JsonAppend { name, path, value: self.json(1) }
            }
            36 => Write::JsonCreate { name, value: self.json(1) },
            _ => Write::JsonDestroy(name),
        }
    }

    fn fresh_document(&mut self) -> Value {
        let list = (0..2 + self.below(3)).map(|_| self.scalar()).collect();
        Value::from([("list", Value::Array(list)), ("a", self.json(2))])
    }

    /// A place of a document, mostly one that is there or could be.
    pub(crate) fn path(&mut self, state: &State, name: &str) -> String {
        if self.is_narrow {
            // Few enough that a transaction and its rivals meet at them.
            return self.name(&["", "/a", "/a", "/list/0", "/list/0", "/list/1"]);
        }
        let places = state.documents.get(name).map_or(vec![String::new()], |document| document.places());
        let place = self.pick(&places);
        match self.below(8) {
            0 => format!("{place}/{}", crate::document::escaped(&self.name(&MEMBERS))),
            1 => format!("{place}/{}", self.below(4)),
            2 => format!("{place}/-"),
            3 if places.len() > 1 => self.pick(&places[1..]),
            _ => place,
        }
    }

    fn patch(&mut self, state: &State, name: &str) -> Patch {
        let (path, from) = (self.path(state, name), self.path(state, name));
        match self.below(8) {
            0 | 1 => Patch::Add { path, value: self.json(1) },
            2 => Patch::Remove { path },
            3 => Patch::Replace { path, value: self.json(1) },
            4 => Patch::Move { from, path },
            5 => Patch::Copy { from, path },
            _ => {
                let found = state.documents.get(name).and_then(|document| document.get(&path));
                let value = found.map_or(Value::Null, |(value, _)| value);
                Patch::Test { path, value: if self.one_in(6) { self.scalar() } else { value } }
            }
        }
    }

    fn write_trace(&mut self, state: &State) -> Write {
        match self.below(10) {
            0..5 => Write::Record(self.new_trace(state, false)),
            5..7 => Write::Begin(self.new_trace(state, true)),
            _ => Write::End { id: self.trace_id(state), end: self.trace_end() },
        }
    }

    fn new_trace(&mut self, state: &State, is_span: bool) -> NewTrace {
        self.traces += 1;
        let id = if self.one_in(20) { self.trace_id(state) } else { self.fresh_trace_id() };
        let parent = if self.one_in(2) { Some(self.trace_id(state)) } else { None };
        let (began, took) =
            (Timestamp(state.stamp.timestamp.0.saturating_sub(self.below(900))), self.below(90));
        NewTrace {
            parent: parent.filter(|parent| *parent != id),
            tags: (0..self.below(3)).map(|_| self.name(&TAGS)).collect(),
            metadata: if self.one_in(3) { self.json(1) } else { Value::Null },
            usage: Usage {
                model: self.one_in(4).then(|| "m".into()),
                input_tokens: None,
                output_tokens: None,
            },
            began: self.one_in(3).then_some(began),
            duration: (!is_span && self.one_in(2)).then_some(Duration::from_micros(took)),
            ..NewTrace::new(id, self.content())
        }
    }

    fn content(&mut self) -> TraceContent {
        let text = format!("step {}", self.traces);
        match self.below(7) {
            0 | 1 => {
                TraceContent::ToolCall { name: text, arguments: self.json(1), result: None, error: None }
            }
            2 => TraceContent::Query { kind: "sql".into(), text, result_count: None },
            3 => TraceContent::Thought { text, confidence: Some(0.5) },
            4 => {
                let (options, chosen) = (vec![self.scalar(), self.scalar()], self.scalar());
                TraceContent::Decision { question: text, options, chosen, reasoning: None }
            }
            5 => TraceContent::Error { kind: "timeout".into(), message: text, recoverable: self.one_in(2) },
            _ => TraceContent::Custom { kind: "hop".into(), content: self.json(1) },
        }
    }

    fn trace_end(&mut self) -> TraceEnd {
        TraceEnd {
            result: self.one_in(2).then(|| self.scalar()),
            error: self.one_in(4).then(|| "late".to_owned()),
            input_tokens: self.one_in(3).then(|| self.below(100)),
            output_tokens: None,
        }
    }

    fn fresh_trace_id(&mut self) -> TraceId {
        TraceId::from_bytes((u128::from(self.roll()) << 64 | u128::from(self.traces)).to_be_bytes())
    }

    pub(crate) fn trace_id(&mut self, state: &State) -> TraceId {
        let newest = state.traces.len().saturating_sub(12);
        let newest: Vec<TraceId> = state.traces[newest..].iter().map(|trace| trace.id).collect();
        if newest.is_empty() || self.one_in(12) { self.fresh_trace_id() } else { self.pick(&newest) }
    }
}
