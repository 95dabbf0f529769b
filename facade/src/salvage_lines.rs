//! A run as lines of JSON, each one thing of it: what `docs/recovery.md` says of a dump.

use std::io::Write;
use std::time::Duration;

use strata_primitives::{
    Answer, Context, Direction, Draft, Error, ErrorKind, KeyKind, KvItem, KvPage, Limits, Operation,
    OrderIndex, Outcome, Pointer, Retention, RunInfo, RunState, Timestamp, Trace, Value, Version, Versioned,
    validate,
};

use crate::Result;
use crate::answers::unexpected;
use crate::json_text::json_line;
use crate::tagged::{hex, tagged, tagged_number};

/// How many things are asked for at once; each is decoded on its own.
const PAGE_COUNT: usize = 1_000;

/// Writes a run, and tells how many lines that took.
///
/// # Errors
/// `Corrupt` when something of it is no value, and what `out` answers.
pub(crate) fn write_run(state: &mut RunState, out: &mut dyn Write) -> Result<u64> {
    for index in [OrderIndex::Keys(KeyKind::Kv), OrderIndex::Keys(KeyKind::Cell), OrderIndex::Documents] {
        state.ensure_order(index);
    }
    let info = state.info().expect("a run that is written exists");
    let mut dump = Dump { limits: limits_of_reading(), state, out, count: 0 };
    dump.line(members_of(info))?;
    dump.keys(KeyKind::Kv)?;
    dump.keys(KeyKind::Cell)?;
    dump.documents()?;
    dump.events()?;
    dump.traces()?;
    Ok(dump.count)
}

type Members = Vec<(String, Value)>;

struct Dump<'a> {
    state: &'a RunState,
    limits: Limits,
    out: &'a mut dyn Write,
    count: u64,
}

impl Dump<'_> {
    fn line(&mut self, members: Members) -> Result<()> {
        let line = json_line(&Value::Object(members));
        self.count += 1;
        writeln!(self.out, "{line}").map_err(|error| write_error("a line", error))
    }

    /// Asks the run as it was at its last commit.
    fn ask(&self, operation: Operation) -> Result<Outcome> {
        let context = Context { now: self.state.timestamp(), boot: 0 };
        let mut draft = Draft::new(self.state.view());
        match validate(operation, &mut draft, &context, &self.limits)? {
            Answer::Read(outcome) => Ok(outcome),
            Answer::Write(effect) => unreachable!("a read has the effect {effect:?}"),
        }
    }

    fn keys(&mut self, kind: KeyKind) -> Result<()> {
        let has_deadlines = self.state.next_deadline().is_some();
        let mut start_after = None;
        loop {
            let (prefix, limit, direction) = ("".into(), PAGE_COUNT, Direction::Forward);
            let operation = match kind {
                KeyKind::Kv => Operation::KvList { prefix, start_after, limit, direction, values: true },
                KeyKind::Cell => Operation::CellList { prefix, start_after, limit, direction },
            };
            let page = page_of(self.ask(operation)?);
            for KvItem { key, value, version, timestamp } in page.items {
                let value = value.expect("values were asked for").to_value()?;
                let name = if kind == KeyKind::Kv { "key" } else { "cell" };
                let mut members = named(name, text(&key));
                members.push(member("value", tagged(value)));
                stamp(&mut members, version, timestamp);
                if has_deadlines {
                    let operation = match kind {
                        KeyKind::Kv => Operation::KvTtl { key },
                        KeyKind::Cell => Operation::CellTtl { name: key },
                    };
                    if let Outcome::Ttl(Some(Versioned { value: Some(ttl), .. })) = self.ask(operation)? {
                        members.push(member("deadline", time(ttl.deadline)));
                    }
                }
                self.line(members)?;
            }
            match page.next {
                Some(next) => start_after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn documents(&mut self) -> Result<()> {
        let mut start_after = None;
        loop {
            let (prefix, limit, direction) = ("".into(), PAGE_COUNT, Direction::Forward);
            let page = page_of(self.ask(Operation::JsonList { prefix, start_after, limit, direction })?);
            for KvItem { key: name, .. } in page.items {
                let shown = text(&name);
                let found = match self.ask(Operation::JsonGet { name, path: Pointer::root() })? {
                    Outcome::Value(found) => found.expect("a document that is listed is there"),
                    other => unexpected(&other),
                };
                let mut members = named("document", shown);
                members.push(member("value", tagged(found.value.to_value()?)));
                stamp(&mut members, found.version, found.timestamp);
                self.line(members)?;
            }
            match page.next {
                Some(next) => start_after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn events(&mut self) -> Result<()> {
        // From 0 on: with the first that is there.
        let mut start = Some(0);
        while start.is_some() {
            let (limit, direction) = (PAGE_COUNT, Direction::Forward);
            let page = match self.ask(Operation::EventRange { start, limit, direction })? {
                Outcome::Events(page) => page,
                other => unexpected(&other),
            };
            for event in page.events {
                let mut members = named("event", tagged_number(event.sequence));
                members.push(member("type", text(&event.kind)));
                members.push(member("value", tagged(event.payload.to_value()?)));
                stamp(&mut members, event.version, event.timestamp);
                members.push(member("hash", text(&hex(&event.hash))));
                self.line(members)?;
            }
            start = page.next;
        }
        Ok(())
    }

    fn traces(&mut self) -> Result<()> {
        let mut start = None;
        loop {
            let (filter, limit, direction) = (Box::default(), PAGE_COUNT, Direction::Forward);
            let page = match self.ask(Operation::TraceList { filter, start, limit, direction })? {
                Outcome::Traces(page) => page,
                other => unexpected(&other),
            };
            for trace in page.traces {
                self.trace(trace)?;
            }
            match page.next {
                Some(next) => start = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn trace(&mut self, trace: Trace) -> Result<()> {
        let mut members = named("trace", text(&trace.id.to_string()));
        members.push(member("parent", option(trace.parent, |parent| text(&parent.to_string()))));
        members.push(member("type", text(&trace.kind)));
        members.push(member("tags", Value::Array(trace.tags.iter().map(|tag| text(tag)).collect())));
        members.push(member("value", tagged(trace.body.to_value()?)));
        members.push(member("began", time(trace.began)));
        members.push(member("ended", option(trace.ended, time)));
        members.push(member("recorded_version", tagged_number(trace.recorded.version.0)));
        members.push(member("recorded", time(trace.recorded.timestamp)));
        stamp(&mut members, trace.stamp.version, trace.stamp.timestamp);
        self.line(members)
    }
}

/// The first line of a run.
fn members_of(info: RunInfo) -> Members {
    let mut members = named("run", text(&info.id.to_string()));
    members.push(member("name", option(info.name, Value::String)));
    let [tenant, app, agent] =
        [info.namespace.tenant, info.namespace.app, info.namespace.agent].map(Value::String);
    let namespace = vec![member("tenant", tenant), member("app", app), member("agent", agent)];
    members.push(member("namespace", Value::Object(namespace)));
    members.push(member("parent", option(info.parent, |parent| text(&parent.to_string()))));
    members.push(member("tags", Value::Array(info.tags.into_iter().map(Value::String).collect())));
    members.push(member("metadata", tagged(info.metadata)));
    members.push(member("status", text(info.status.name())));
    members.push(member("created", time(info.created)));
    members.push(member("begun_in_boot", tagged_number(info.begun_in_boot)));
    members.push(member("durability", option(info.durability, |durability| text(&durability.to_string()))));
    members.push(member("retention", option(info.retention, retention)));
    members.push(member("event_retention", option(info.event_retention, retention)));
    members.push(member("trace_retention", option(info.trace_retention, retention)));
    let forked_from = option(info.forked_from, |point| {
        let run = member("run", text(&point.run.to_string()));
        Value::Object(vec![run, member("version", tagged_number(point.version.0))])
    });
    members.push(member("forked_from", forked_from));
    stamp(&mut members, info.version, info.timestamp);
    members
}

fn retention(retention: Retention) -> Value {
    let micros = |duration: Duration| tagged_number(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    match retention {
        Retention::KeepAll => text("all"),
        Retention::KeepLast(count) => Value::Object(vec![member("last", tagged_number(count))]),
        Retention::KeepFor(duration) => Value::Object(vec![member("micros", micros(duration))]),
    }
}

/// Reading is bounded by what there is; a store may have been written with other limits.
fn limits_of_reading() -> Limits {
    Limits { key_size_max: usize::MAX, ..Limits::default() }
}

fn page_of(outcome: Outcome) -> KvPage {
    match outcome {
        Outcome::Page(page) => page,
        other => unexpected(&other),
    }
}

fn named(kind: &str, name: Value) -> Members {
    vec![member(kind, name)]
}

fn member(name: &str, value: Value) -> (String, Value) {
    (name.to_string(), value)
}

fn stamp(members: &mut Members, version: Version, timestamp: Timestamp) {
    members.push(member("version", tagged_number(version.0)));
    members.push(member("timestamp", time(timestamp)));
}

fn time(time: Timestamp) -> Value {
    tagged_number(time.0)
}

fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

fn option<T>(value: Option<T>, convert: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, convert)
}

/// What the disk refuses of a dump.
pub(crate) fn write_error(what: &str, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("could not write {what} of the dump: {error}")).with_source(error)
}
