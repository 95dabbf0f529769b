//! What a run holds, as text: of the run as the database answers, and of its file in a dump, read by what `docs/recovery.md` says of it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use strata::{
    Direction, EntityRef, KvScan, Limits, Reads, RunId, RunInfo, Timestamp, TraceFilter, TraceId, Value,
    Versioned, parse_json,
};
use strata_primitives::{Encoded, Stamp, Trace as StoredTrace};

/// Everything that can be read of a run at `now`, the time of its last commit.
pub(crate) fn answered(run: &dyn Reads, now: u64) -> String {
    let RunInfo { id, name, namespace, parent, tags, metadata, status, created, .. } = run.info().unwrap();
    let RunInfo { begun_in_boot, durability, retention, forked_from, version, timestamp, .. } =
        run.info().unwrap();
    let mut text = String::new();
    let durability = durability.map(|durability| durability.to_string());
    let retention = retention.map(|retention| match retention {
        strata::Retention::KeepAll => "all".to_string(),
        strata::Retention::KeepLast(count) => format!("last {count}"),
        strata::Retention::KeepFor(duration) => format!("micros {}", duration.as_micros()),
    });
    let (space, parent) =
        ([namespace.tenant, namespace.app, namespace.agent], parent.map(|run| run.to_string()));
    let forked = forked_from.map(|point| (point.run.to_string(), point.version.0));
    writeln!(text, "{id} {name:?} {space:?} {parent:?} {tags:?} {metadata:?} {status} {created}").unwrap();
    writeln!(text, "{begun_in_boot} {durability:?} {retention:?} {forked:?} {version} {timestamp}").unwrap();
    let scan = KvScan { limit: 10_000, ..KvScan::default() };
    let deadline = |ttl: Option<Versioned<Option<std::time::Duration>>>| {
        ttl.unwrap().value.map(|left| now + left.as_micros() as u64)
    };
    for (key, Versioned { value, version, timestamp }) in run.list_values(&scan).unwrap().items {
        let deadline = deadline(run.ttl(&key).unwrap());
        writeln!(text, "key {key:?} {} {version} {timestamp} {deadline:?}", shown(&value)).unwrap();
    }
    for (name, Versioned { value, version, timestamp }) in run.cell_list(&scan).unwrap().items {
        let deadline = deadline(run.cell_ttl(&name).unwrap());
        writeln!(text, "cell {name:?} {} {version} {timestamp} {deadline:?}", shown(&value)).unwrap();
    }
    for name in run.json_list(&scan).unwrap().keys {
        let Versioned { value, version, timestamp } = run.json_get(&name, "").unwrap().unwrap();
        writeln!(text, "document {name:?} {} {version} {timestamp}", shown(&value)).unwrap();
    }
    for event in run.events(0, 10_000, Direction::Forward).unwrap().events {
        let (kind, payload, hash) = (&event.kind, shown(&event.payload), event.hash);
        writeln!(
            text,
            "event {} {kind:?} {payload} {} {} {hash:?}",
            event.sequence, event.version, event.timestamp
        )
        .unwrap();
    }
    for trace in run.trace_list(&TraceFilter::default(), None, 4_000, Direction::Forward).unwrap().traces {
        let (parent, ended) =
            (trace.parent.map(|parent| parent.to_string()), trace.ended.map(|ended| ended.0));
        let (recorded, stamp) = (trace.recorded, (trace.version, trace.timestamp));
        writeln!(text, "trace {} {parent:?} {:?} {} {ended:?}", trace.id, trace.tags, trace.began).unwrap();
        writeln!(text, "  {:?} {:?} {:?}", trace.content, trace.usage, trace.metadata).unwrap();
        writeln!(text, "  {} {} {} {}", recorded.version, recorded.timestamp, stamp.0, stamp.1).unwrap();
    }
    text
}

/// The same of a file of a dump.
pub(crate) fn dumped(path: &Path) -> String {
    let mut text = String::new();
    for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
        let line = Line(parse_json(line).unwrap());
        let (version, timestamp) = (line.number("version"), line.number("timestamp"));
        let stamped = || format!("{} {version} {timestamp}", shown(&line.value("value")));
        let deadline = line.0.get("deadline").map(|deadline| deadline.as_int().unwrap());
        let Value::Object(members) = &line.0 else { panic!("a line is an object: {line:?}") };
        match (&*members[0].0, number) {
            ("run", 0) => line.run(&mut text),
            ("key", _) => writeln!(text, "key {:?} {} {deadline:?}", line.text("key"), stamped()).unwrap(),
            ("cell", _) => writeln!(text, "cell {:?} {} {deadline:?}", line.text("cell"), stamped()).unwrap(),
            ("document", _) => writeln!(text, "document {:?} {}", line.text("document"), stamped()).unwrap(),
            ("event", _) => {
                let (sequence, kind, hash) =
                    (line.number("event"), line.text("type"), bytes(&line.text("hash")));
                let value = shown(&line.value("value"));
                writeln!(text, "event {sequence} {kind:?} {value} {version} {timestamp} {hash:?}").unwrap();
            }
            ("trace", _) => line.trace(&mut text),
            (other, _) => panic!("line {number} is of {other:?}"),
        }
    }
    text
}

/// One line of a dump.
#[derive(Debug)]
struct Line(Value);

impl Line {
    fn value(&self, name: &str) -> Value {
        untagged(self.0.get(name).unwrap_or_else(|| panic!("{name} of {self:?}")).clone())
    }

    fn number(&self, name: &str) -> i64 {
        self.value(name).as_int().unwrap()
    }

    fn text(&self, name: &str) -> String {
        self.value(name).as_str().unwrap().to_string()
    }

    fn option(&self, name: &str) -> Option<String> {
        self.value(name).as_str().map(str::to_string)
    }

    fn tags(&self) -> Vec<String> {
        let Value::Array(tags) = self.value("tags") else { panic!("tags of {self:?}") };
        tags.iter().map(|tag| tag.as_str().unwrap().to_string()).collect()
    }

    fn run(&self, text: &mut String) {
        let space = Line(self.value("namespace"));
        let space = ["tenant", "app", "agent"].map(|part| space.text(part));
        let (id, name, parent, tags) =
            (self.text("run"), self.option("name"), self.option("parent"), self.tags());
        let (metadata, status, created) =
            (self.value("metadata"), self.text("status"), self.number("created"));
        writeln!(text, "{id} {name:?} {space:?} {parent:?} {tags:?} {metadata:?} {status} {created}")
            .unwrap();
        let retention = match self.value("retention") {
            Value::Null => None,
            Value::String(all) => Some(all),
            Value::Object(members) => Some(format!("{} {}", members[0].0, members[0].1.as_int().unwrap())),
            other => panic!("{other:?} is no retention"),
        };
        let forked = match self.value("forked_from") {
            Value::Null => None,
            point => Some((Line(point.clone()).text("run"), Line(point).number("version"))),
        };
        let (boot, durability) = (self.number("begun_in_boot"), self.option("durability"));
        let (version, timestamp) = (self.number("version"), self.number("timestamp"));
        writeln!(text, "{boot} {durability:?} {retention:?} {forked:?} {version} {timestamp}").unwrap();
    }

    fn trace(&self, text: &mut String) {
        let (id, parent, tags, began) =
            (self.text("trace"), self.option("parent"), self.tags(), self.number("began"));
        let ended = self.value("ended").as_int();
        writeln!(text, "trace {id} {parent:?} {tags:?} {began} {ended:?}").unwrap();
        let run = || EntityRef::run(RunId::from_bytes([0; 16]));
        // The members of the body are those that docs/format.md lists.
        let stored = StoredTrace {
            id: TraceId::from_bytes([0; 16]),
            parent: None,
            kind: self.text("type").into(),
            tags: Arc::default(),
            body: Encoded::from_value(&self.value("value"), &Limits::default(), run).unwrap(),
            began: Timestamp(0),
            ended: None,
            stamp: Stamp::default(),
            recorded: Stamp::default(),
        };
        let (content, usage, metadata) = stored.parts().unwrap();
        writeln!(text, "  {content:?} {usage:?} {metadata:?}").unwrap();
        let recorded = (self.number("recorded_version"), self.number("recorded"));
        let stamp = (self.number("version"), self.number("timestamp"));
        writeln!(text, "  {} {} {} {}", recorded.0, recorded.1, stamp.0, stamp.1).unwrap();
    }
}

/// A value from its JSON, as the table in `docs/recovery.md` has it.
fn untagged(value: Value) -> Value {
    let each = |members: Vec<(String, Value)>| {
        Value::Object(members.into_iter().map(|(name, member)| (name, untagged(member))).collect())
    };
    match value {
        Value::Object(members) => match &members[..] {
            [(name, Value::String(text))] if name == "$int" => Value::Int(text.parse().unwrap()),
            [(name, Value::String(text))] if name == "$float" => Value::Float(text.parse().unwrap()),
            [(name, Value::String(text))] if name == "$bytes" => Value::Bytes(bytes(text)),
            [(name, Value::Object(members))] if name == "$object" => each(members.clone()),
            [(name, _)] if name.starts_with('$') => panic!("{name} is no tag"),
            _ => each(members),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(untagged).collect()),
        plain => plain,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A value, or what tells long bytes from others (the hash of Fowler, Noll and Vo).
fn shown(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) if bytes.len() > 64 => {
            let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
            format!("{} bytes {hash:x}", bytes.len())
        }
        other => format!("{other:?}"),
    }
}
