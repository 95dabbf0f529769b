//! What a store tells by `tracing` events, and that the page about it names exactly those that there are.
//!
//! Events come from the threads of a store, so each test listens to a process of its own.

#[path = "../tidy/tree.rs"]
#[allow(dead_code, reason = "the tests of the code's form use the rest of it")]
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use strata::{Database, Durability, ErrorKind, Reads, Writes};
use strata_wal::sim::{FaultKind, Faults, SimDisk};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::process::in_own_process;
use crate::support::{eventually, open_on, options, script, sim_path};

/// One event as it was told.
#[derive(Clone, Debug, Default)]
struct Told {
    level: String,
    message: String,
    fields: BTreeMap<String, String>,
}

/// Listens to everything that a store tells in this process.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<Told>>>);

impl Listener {
    fn listen() -> Listener {
        let listener = Listener::default();
        tracing::subscriber::set_global_default(listener.clone()).expect("nobody else listens");
        listener
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Told>> {
        self.0.lock().unwrap()
    }

    /// The events with this message, so far.
    fn all(&self, message: &str) -> Vec<Told> {
        self.heard().iter().filter(|told| told.message == message).cloned().collect()
    }

    /// The only event with this message, when it has come.
    fn one(&self, message: &str) -> Told {
        eventually(message, || !self.all(message).is_empty());
        let all = self.all(message);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    /// All but those that tell of the ordinary life of a store.
    fn complaints(&self) -> Vec<Told> {
        self.heard().iter().filter(|told| told.level != "INFO").cloned().collect()
    }
}

impl Told {
    fn expect(&self, level: &str, fields: &[(&str, &str)]) {
        assert_eq!(self.level, level, "{self:?}");
        for (field, value) in fields {
            assert_eq!(self.fields.get(*field).map(String::as_str), Some(*value), "{field} of {self:?}");
        }
    }

    fn number(&self, field: &str) -> u64 {
        self.fields[field].parse().unwrap_or_else(|_| panic!("{field} of {self:?} is a number"))
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => drop(self.fields.insert(name.to_owned(), text)),
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "strata"
    }

    fn event(&self, event: &Event<'_>) {
        let mut told = Told { level: event.metadata().level().to_string(), ..Told::default() };
        event.record(&mut told);
        self.heard().push(told);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn opening_a_checkpoint_and_closing_are_told() {
    in_own_process("observing::opening_a_checkpoint_and_closing_are_told", || {
        let listener = Listener::listen();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strata.db");
        let database = Database::open(&path, options(Durability::Buffered, 2)).unwrap();
        let shown = path.display().to_string();
        let new =
            [("path", &*shown), ("shards", "2"), ("boot", "1"), ("created", "true"), ("was_clean", "true")];
        listener.one("the store is open").expect("INFO", &new);
        assert_eq!(listener.all("the shard is recovered").len(), 2, "one for each");

        let run = script::begin(&database, "run").unwrap();
        script::steps(&run, 1..=10);
        let made = database.checkpoint().unwrap().shards[database.shard_of(run.id())];
        let (shard, through) = (made.shard.to_string(), made.through.to_string());
        eventually("its checkpoint", || !listener.all("a checkpoint is made").is_empty());
        let of_shard = listener.all("a checkpoint is made");
        let told = of_shard.iter().find(|told| told.fields["shard"] == shard).unwrap();
        told.expect("INFO", &[("number", "1"), ("through", &through)]);
        assert!(told.number("bytes") > 4096 && told.fields.contains_key("took_micros"), "{told:?}");

        assert!(Database::open(&path, options(Durability::Buffered, 2)).is_err());
        let refused = listener.one("the store cannot be opened");
        refused.expect("ERROR", &[("path", &shown)]);
        assert!(refused.fields["error"].contains("already open"), "{refused:?}");

        database.close().unwrap();
        listener.one("the store is closed").expect("INFO", &[("path", &shown)]);
        assert_eq!(listener.complaints().len(), 1, "only of the second opener: {:?}", listener.complaints());
    });
}

#[test]
fn other_shards_are_told_before_the_store_is_open_with_them() {
    in_own_process("observing::other_shards_are_told_before_the_store_is_open_with_them", || {
        let disk = SimDisk::new(1);
        let database = open_on(&disk, options(Durability::Buffered, 2)).unwrap();
        script::steps(&script::begin(&database, "run").unwrap(), 1..=10);
        database.close().unwrap();
        let listener = Listener::listen();
        let database = open_on(&disk, options(Durability::Buffered, 3)).unwrap();
        let placed = listener.one("the runs of the store are placed anew");
        placed.expect("INFO", &[("before", "2"), ("shards", "3"), ("runs", "1"), ("records", "11")]);
        listener
            .one("the store is open")
            .expect("INFO", &[("shards", "3"), ("boot", "3"), ("was_clean", "true")]);
        let images = listener.all("the shard is recovered");
        let of_shard = |told: &Told| (told.fields["shard"].clone(), told.fields["runs"].clone());
        let mut shards: Vec<_> = images.iter().map(of_shard).collect();
        shards.drain(..2); // with those it had
        shards.sort();
        let own = database.shard_of(script::id_of("run")).to_string();
        let expected =
            ["0", "1", "2"].map(|shard| (shard.into(), if own == shard { "1" } else { "0" }.into()));
        assert_eq!(shards, expected, "shards are counted from 0, whatever the numbers of their logs");
        assert_eq!(listener.complaints().len(), 0, "{:?}", listener.complaints());
    });
}

/// It was told as of a shard with the number of the log.
#[test]
fn an_archive_that_is_removed_is_told_as_one_of_its_shard_whatever_the_number_of_the_log() {
    let name =
        "observing::an_archive_that_is_removed_is_told_as_one_of_its_shard_whatever_the_number_of_the_log";
    in_own_process(name, || {
        let disk = SimDisk::new(1);
        for shards in [2, 3] {
            let database = open_on(&disk, options(Durability::Buffered, shards)).unwrap();
            script::steps(&script::begin(&database, "run").unwrap(), 1..=10);
            database.close().unwrap();
        }
        disk.set_bytes(&sim_path().join("DATA/003-0000000007.arc"), b"what nothing refers to");
        let listener = Listener::listen();
        open_on(&disk, options(Durability::Buffered, 3)).unwrap();
        let told = listener.one("an archive is removed that nothing refers to");
        told.expect("INFO", &[("shard", "1"), ("number", "7")]);
    });
}

#[test]
fn a_recovery_that_cuts_a_torn_tail_tells_where_and_how_much() {
    in_own_process("observing::a_recovery_that_cuts_a_torn_tail_tells_where_and_how_much", || {
        let listener = Listener::listen();
        // Of these seeds most leave something behind the last whole batch.
        let cut = (0..32).find_map(|seed| {
            let crashed = script::cut_off(seed, 1..=3, 4..=9);
            let database = open_on(&crashed, options(Durability::Buffered, 1)).unwrap();
            let recovery = database.recovery().clone();
            recovery.shards[0].log.cut.clone().map(|cut| (recovery.records(), cut))
        });
        let (records, cut) = cut.expect("some tail is torn");

        let told = listener.one("a torn tail is cut");
        let segment = cut.segment.to_string();
        told.expect("WARN", &[("log", "0"), ("segment", &segment), ("error", &cut.reason)]);
        told.expect("WARN", &[("from", &cut.from.to_string()), ("to", &cut.to.to_string())]);
        assert_eq!((told.number("offset"), told.number("bytes")), (cut.offset, cut.bytes));
        let recovered = listener.all("the shard is recovered");
        recovered.last().unwrap().expect("INFO", &[("shard", "0"), ("records", &records.to_string())]);
        let opened = listener.all("the store is open");
        let crash = [("was_clean", "false"), ("created", "false"), ("bytes_cut", &*cut.bytes.to_string())];
        opened.last().unwrap().expect("INFO", &crash);
    });
}

#[test]
fn a_log_that_fails_is_told_once() {
    in_own_process("observing::a_log_that_fails_is_told_once", || {
        let listener = Listener::listen();
        let disk = SimDisk::new(1);
        let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
        let run = script::begin(&database, "run").unwrap();
        assert!(listener.complaints().is_empty(), "{:?}", listener.complaints());
        disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
        for _ in 0..3 {
            assert_eq!(run.put("key", 1).unwrap_err().kind(), ErrorKind::LogFailed);
        }
        let told = listener.one("the log has failed");
        told.expect("ERROR", &[("log", "0")]);
        assert!(told.fields["error"].starts_with("could not write log 0 at segment 1"), "{told:?}");
        assert!(database.close().is_err());
        listener.one("the store is not closed in order").expect("ERROR", &[]);
        assert!(listener.all("the store is closed").is_empty());
    });
}

/// Every refused write of a full disk was two warnings: a client that went on trying filled the log of its application.
#[test]
fn a_full_disk_is_told_when_it_begins_and_when_it_ends() {
    in_own_process("observing::a_full_disk_is_told_when_it_begins_and_when_it_ends", || {
        let listener = Listener::listen();
        let disk = SimDisk::new(1);
        let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
        let run = script::begin(&database, "run").unwrap();
        disk.set_capacity(Some(900 << 10));
        let refused = (1..10_000).find(|number| script::step(&run, *number).is_err()).unwrap();
        for _ in 0..20 {
            assert_eq!(script::step(&run, refused).unwrap_err().kind(), ErrorKind::Full);
        }
        disk.set_capacity(Some(0)); // an image would still find room
        assert_eq!(database.checkpoint().unwrap_err().kind(), ErrorKind::Full);
        listener
            .one("no segment can be prepared: writes that need one are refused")
            .expect("WARN", &[("shard", "0")]);
        let failed = listener.one("a checkpoint has failed");
        failed.expect("WARN", &[("shard", "0")]);
        assert!(failed.fields["error"].contains("no space left"), "{failed:?}");
        disk.set_capacity(None);
        eventually("writes are taken again", || script::step(&run, refused).is_ok());
        listener.one("segments can be prepared again").expect("INFO", &[("shard", "0")]);
        assert_eq!(run.get("left").unwrap().unwrap().value.as_int(), Some(refused as i64));
    });
}

/// The source tells which events there are: each is one call with the target `strata` and a message that is always the same.
#[test]
fn the_page_of_observing_names_every_event_with_its_level_and_fields() {
    let mut there = BTreeMap::new();
    for file in tree::files("rs").into_iter().filter(|file| is_shipped(&file.path)) {
        for call in file.text.split("tracing::").skip(1) {
            let Some((level, rest)) = call.split_once("!(") else { continue };
            if !["error", "warn", "info", "debug", "trace"].contains(&level) {
                continue;
            }
            let (before, message) = event(rest);
            let (target, fields) = before.split_once(',').unwrap_or((&before, ""));
            assert_eq!(target.trim(), "target: \"strata\"", "{}: {message}", file.path);
            let again = there.insert(message, (level.to_owned(), field_names(fields)));
            assert!(again.is_none(), "{}: two events have the same message: {again:?}", file.path);
        }
    }
    let document = tree::read("docs/observing.md");
    let rows = document.lines().skip_while(|line| *line != "| event | level | fields | when |").skip(2);
    let told: BTreeMap<_, _> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let fields = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (cells[0].to_owned(), (cells[1].to_owned(), fields))
        })
        .collect();
    assert!(there.len() > 20, "events are found: {there:?}");
    assert_eq!(told, there);
}

fn is_shipped(path: &str) -> bool {
    ["primitives", "wal", "runtime", "shards", "facade"]
        .iter()
        .any(|name| path.starts_with(&format!("{name}/src/")))
}

/// What stands before the message of an event, and the message: the last piece of text of the call.
fn event(call: &str) -> (String, String) {
    let target_end = call.find("\"strata\"").map_or(0, |at| at + "\"strata\"".len());
    let message_at = target_end + call[target_end..].find('"').expect("an event has a message");
    let message = call[message_at + 1..].split('"').next().unwrap_or_default();
    (call[..message_at].to_owned(), message.to_owned())
}

/// The names of fields: `name = value`, `%name`, `?name` or `name`.
fn field_names(fields: &str) -> Vec<String> {
    let names = fields.split(',').map(|field| field.split('=').next().unwrap_or_default().trim());
    names.map(|name| name.trim_start_matches(['%', '?']).to_owned()).filter(|name| !name.is_empty()).collect()
}
