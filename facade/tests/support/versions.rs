//! Runs with every version that they have, and the archives and stores of one disk that they are in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata::{
    Clock, Database, Durability, ErrorKind, OperationId, Options, Reads, Retention, RunHandle, TraceContent,
    TraceEnd, TraceFilter, Value, Version, View, Writes,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use super::contents::of_run;
use super::{Dice, busy_options};

pub(crate) fn open_at(disk: &SimDisk, name: &str, options: Options) -> Database {
    open_with(disk, name, options, Clock::System)
}

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new("/agent").join(name)
}

/// The same with another clock.
pub(crate) fn open_with(disk: &SimDisk, name: &str, options: Options, clock: Clock) -> Database {
    Database::start(Some(file(name)), options, clock, Some(Arc::new(disk.clone()))).unwrap()
}

/// A disk with an empty directory for archives and stores.
pub(crate) fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new("/agent")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// Changes something of a run, of any primitive, or what is known of it.
pub(crate) fn change(run: &RunHandle, dice: &mut Dice) {
    change_among(run, dice, 16);
}

/// Changes something of a run that its forks inherit.
pub(crate) fn change_inherited(run: &RunHandle, dice: &mut Dice) {
    change_among(run, dice, 12);
}

fn change_among(run: &RunHandle, dice: &mut Dice, kinds: u64) {
    let (name, value) = (format!("name/{}", dice.below(9)), dice.below(1_000) as i64);
    match dice.below(kinds) {
        0..=2 => drop(run.put(&name, value).unwrap()),
        3 => drop(run.delete(&name).unwrap()),
        4 => drop(run.append("step", value).unwrap()),
        5 => drop(run.cell_set(&name, value).unwrap()),
        6 => match run.json_get(&name, "").unwrap().is_some() {
            true if value % 4 == 0 => drop(run.json_destroy(&name).unwrap()),
            true => drop(run.json_set(&name, "/at", value).unwrap()),
            false => drop(run.json_create(&name, strata::Value::from([("at", 0.into())])).unwrap()),
        },
        7 => {
            let content = TraceContent::Thought { text: format!("thought {value}"), confidence: None };
            run.trace_begin(strata::new_trace(content)).unwrap();
        }
        8 => {
            let filter = TraceFilter { is_open: Some(true), ..TraceFilter::default() };
            let open = run.trace_list(&filter, None, 100, strata::Direction::Forward).unwrap().traces;
            if let Some(trace) = open.get(value as usize % open.len().max(1)) {
                run.trace_end(trace.id, TraceEnd::default()).unwrap();
            }
        }
        9 => drop(run.append_many([("step", value), ("other", value)]).unwrap()),
        10 => {
            let kept = [Retention::KeepLast(1 + value as u64 % 5), Retention::KeepAll];
            run.set_event_retention(kept[usize::from(value % 3 == 0)]).unwrap();
        }
        11 => {
            let kept = [Retention::KeepLast(1 + value as u64 % 4), Retention::KeepAll];
            run.set_trace_retention(kept[usize::from(value % 3 == 0)]).unwrap();
        }
        12 => drop(run.set_tags(vec![name]).unwrap()),
        13 => {
            let id = OperationId([value as u8 % 8; 16]);
            let _ = run.with_operation_id(id).append("identified", value);
        }
        14 => drop(run.set_metadata(strata::Value::Int(value)).unwrap()),
        _ => {
            let scope: Vec<_> = (0..3).map(|part| (format!("many/{part}"), value + part)).collect();
            run.put_many(scope).unwrap();
        }
    }
}

/// What a run is at each of its versions, as far as these can be looked at.
pub(crate) fn versions(run: &RunHandle) -> BTreeMap<u64, String> {
    let newest = run.info().unwrap().version.0;
    let mut known = BTreeMap::new();
    for version in 1..=newest {
        match run.at(Version(version)) {
            Ok(was) => drop(known.insert(version, all_of(run, &was))),
            Err(error) => assert!(is_gone(error.kind()), "{error:?}"),
        }
    }
    known
}

/// Whether there is no such version, or it is that of a run that was deleted.
pub(crate) fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::HistoryTrimmed | ErrorKind::VersionNotFound | ErrorKind::NotFound)
}

/// All that is told of a version; what was inherited is told under the id of the run that it was inherited from, or under its own.
pub(crate) fn all_of(run: &RunHandle, was: &dyn Reads) -> String {
    of_run(was).replace(&was.info().unwrap().id.to_string(), &run.id().to_string())
}

/// Every version that was there is there and the same, and nothing else but what came since.
pub(crate) fn expect_versions(run: &RunHandle, known: &BTreeMap<u64, String>, story: &str) {
    let newest = *known.last_key_value().unwrap().0;
    for (version, was) in known {
        let found = run.at(Version(*version)).unwrap_or_else(|error| panic!("{version}: {error}: {story}"));
        assert_eq!(all_of(run, &found), *was, "version {version} of {newest}: {story}");
    }
    let missing = (1..newest).filter(|version| !known.contains_key(version));
    for version in missing {
        let error = run.at(Version(version)).map(drop).unwrap_err();
        assert!(is_gone(error.kind()), "version {version}: {error:?}: {story}");
    }
}

/// A run as it is, in hand.
pub(crate) fn now(run: &RunHandle) -> View {
    run.snapshot().unwrap().detach().unwrap()
}

pub(crate) fn thought(text: &str) -> TraceContent {
    TraceContent::Thought { text: text.into(), confidence: None }
}

/// A call of a tool that has not answered.
pub(crate) fn call(name: &str) -> TraceContent {
    TraceContent::ToolCall { name: name.into(), arguments: Value::Null, result: None, error: None }
}

pub(crate) fn keep_all(shards: usize) -> Options {
    Options { retention: Retention::KeepAll, ..busy_options(Durability::Buffered, shards) }
}
