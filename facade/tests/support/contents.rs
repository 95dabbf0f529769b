//! What a store holds, as text, and a store as a directory of files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use strata::{
    ChainReport, Database, Direction, ErrorKind, KvScan, OperationId, Reads, RunFilter, RunInfo, TraceFilter,
};

/// Everything that can be read, as text.
pub(crate) fn contents(database: &Database) -> String {
    let mut text = String::new();
    let page = database.runs(&RunFilter::default(), None, 1_000).unwrap();
    for info in page.runs {
        text += &of_run(&database.run(info.id));
    }
    text
}

/// Everything that can be read of a run, as text.
pub(crate) fn of_run(run: &dyn Reads) -> String {
    let mut text = String::new();
    let info = run.info().unwrap();
    let RunInfo { name, parent, tags, metadata, status, created, version, timestamp, size, .. } = &info;
    writeln!(text, "{} {name:?} {parent:?} {tags:?} {metadata:?} {status}", info.id).unwrap();
    info.event_retention.iter().for_each(|kept| writeln!(text, "  events: {kept}").unwrap());
    info.trace_retention.iter().for_each(|kept| writeln!(text, "  traces: {kept}").unwrap());
    writeln!(text, "  created {created}, commit {version} at {timestamp}, {size} bytes").unwrap();
    read(run, &mut text);
    text
}

/// Everything that a fork has in common with what it began as, as text.
pub(crate) fn inherited(run: &dyn Reads) -> String {
    let mut text = String::new();
    read(run, &mut text);
    // The version at which a chain was checked is that of the run; the rest of it, like everything else, is inherited.
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("ChainReport"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn read(run: &dyn Reads, text: &mut String) {
    let scan = KvScan::default();
    for (key, value) in run.list_values(&scan).unwrap().items {
        writeln!(text, "  key {key:?} {value:?} {:?}", run.ttl(&key).unwrap()).unwrap();
    }
    for event in run.events(0, 1_000, Direction::Forward).unwrap().events {
        writeln!(text, "  {event:?}").unwrap();
    }
    let chain = run.verify_chain().unwrap();
    // As texts of older formats have it.
    let ChainReport { valid, first, length, first_invalid, erased, version, timestamp } = chain;
    write!(text, "  ChainReport {{ valid: {valid:?}, length: {length}, first_invalid: {first_invalid:?}, ")
        .unwrap();
    writeln!(text, "erased: {erased}, version: {version:?}, timestamp: {timestamp:?} }}").unwrap();
    if first > 0 {
        let of_kinds = ["step", "other"].map(|kind| run.event_count_of(kind).unwrap().value);
        let counts = (run.first_event().unwrap().value, run.event_count().unwrap().value, of_kinds);
        writeln!(text, "  events begin with {first}: {counts:?}").unwrap();
    }
    for (name, value) in run.cell_list(&scan).unwrap().items {
        writeln!(text, "  cell {name:?} {value:?}").unwrap();
    }
    for name in run.json_list(&scan).unwrap().keys {
        writeln!(text, "  document {name:?} {:?}", run.json_get(&name, "").unwrap()).unwrap();
        writeln!(text, "  its steps {:?}", run.json_get(&name, "/steps").unwrap()).unwrap();
    }
    for trace in run.trace_list(&TraceFilter::default(), None, 1_000, Direction::Forward).unwrap().traces {
        writeln!(text, "  {trace:?}").unwrap();
    }
    let first = run.first_trace().unwrap().value;
    if first > 0 {
        let counts =
            [None, Some("thought"), Some("tool_call")].map(|kind| run.trace_count(kind).unwrap().value);
        writeln!(text, "  traces begin with {first}: {counts:?}").unwrap();
    }
    let receipt = match run.receipt(OperationId([9; 16])) {
        Err(error) if error.kind() == ErrorKind::Unsupported => None,
        receipt => receipt.unwrap(),
    };
    writeln!(text, "  {receipt:?}").unwrap();
}

/// Copies a directory with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}
