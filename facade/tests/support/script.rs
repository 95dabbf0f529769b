//! A run whose state after every commit is known: step `n` is commit `n + 1`, and says what it left.
//!
//! Every step writes to every primitive in one commit, so that a half commit would show: as a batch, or as a
//! transaction that looks before it writes. It carries its own operation id, so that it can be sent again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use strata::{
    Batch, BatchReceipt, Commit, Database, Direction, Durability, Effect, ErrorKind, KvScan, Namespace,
    NewTrace, OperationId, Reads, Result, Retention, RunHandle, RunId, RunSpec, TraceContent, TraceEnd,
    TraceFilter, TraceId, Transaction, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use super::{open_on, options};

/// From this step on only so many events are kept, and so many traces.
const KEEPS_FROM: u64 = 11;
const KEPT_COUNT: u64 = 6;
const KEPT_TRACE_COUNT: u64 = 7;

/// The id of a scripted run.
pub(crate) fn id_of(name: &str) -> RunId {
    RunId::named(&Namespace::default(), name)
}

/// The scripted run, created if it is not there yet.
pub(crate) fn begin(database: &Database, name: &str) -> Result<RunHandle> {
    match database.create_run(RunSpec::named(name)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(database.run(id_of(name))),
        created => created,
    }
}

/// What a power loss leaves of a store with a run `a`: all of what was synced, and of what was written since as much as the seed says, torn
/// more often than not.
pub(crate) fn cut_off(seed: u64, synced: RangeInclusive<u64>, written: RangeInclusive<u64>) -> SimDisk {
    let disk = SimDisk::new(seed);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = begin(&database, "a").unwrap();
    steps(&run, synced);
    run.sync().unwrap();
    steps(&run, written);
    disk.power_cycle(seed)
}

/// What step `number` asks of the run.
pub(crate) fn batch(run: &RunHandle, number: u64) -> Result<Batch> {
    let mut batch = run.batch();
    let now = number as i64;
    batch.increment("steps", 1)?.append("step", now)?.put("left", now)?;
    if number % 5 == 2 {
        batch.put(&format!("note/{number}"), note(number))?;
    }
    if number % 5 == 4 {
        batch.delete_prefix("note/")?;
    }
    if number % 7 == 3 {
        batch.put("big", big(number))?;
    }
    if number == KEEPS_FROM {
        batch.set_event_retention(Retention::KeepLast(KEPT_COUNT))?;
        batch.set_trace_retention(Retention::KeepLast(KEPT_TRACE_COUNT))?;
    }
    batch.put("right", now)?;
    match number {
        1 => batch.cell_init("turn", now)?.json_create("diary", diary(1))?,
        // The step before was the commit of this number.
        _ => batch.cell_cas("turn", Version(number), now)?.json_append("diary", "/pages", now)?,
    };
    if is_new_volume(number) {
        batch.json_set("diary", "/pages", pages(number))?;
    }
    batch.json_set("diary", "/last", now)?;
    match number % 2 {
        1 => batch.trace_begin(span(number))?,
        _ => batch.trace_end(trace_id(number - 1), ended(number))?.trace_record(detail(number))?,
    };
    Ok(batch)
}

/// The same as a transaction, which finds the run as the step before has left it.
fn transact(tx: &Transaction, number: u64) -> Result<()> {
    let (now, before) = (number as i64, (number > 1).then_some(Value::Int(number as i64 - 1)));
    assert_eq!(tx.get("steps")?.map(|read| read.value), before, "step {number} finds the one before");
    assert_eq!(tx.cell_read("turn")?.map(|read| read.value), before, "step {number} finds the one before");
    tx.increment("steps", 1)?;
    tx.append("step", now)?;
    tx.put("left", now)?;
    if number % 5 == 2 {
        tx.put(&format!("note/{number}"), note(number))?;
    }
    if number % 5 == 4 {
        tx.delete_prefix("note/")?;
    }
    if number % 7 == 3 {
        tx.put("big", big(number))?;
    }
    if number == KEEPS_FROM {
        tx.set_event_retention(Retention::KeepLast(KEPT_COUNT))?;
        tx.set_trace_retention(Retention::KeepLast(KEPT_TRACE_COUNT))?;
    }
    tx.put("right", now)?;
    if number == 1 {
        tx.cell_init("turn", now)?;
        tx.json_create("diary", diary(1))?;
    } else {
        tx.cell_cas("turn", Version(number), now)?;
        tx.json_append("diary", "/pages", now)?;
    }
    if is_new_volume(number) {
        tx.json_set("diary", "/pages", pages(number))?;
    }
    tx.json_set("diary", "/last", now)?;
    if number % 2 == 1 {
        tx.trace_begin(span(number))?;
    } else {
        tx.trace_end(trace_id(number - 1), ended(number))?;
        tx.trace_record(detail(number))?;
    }
    Ok(())
}

/// Takes step `number`; sent again, it is answered as the first time.
pub(crate) fn step(run: &RunHandle, number: u64) -> Result<Commit> {
    let once = run.with_operation_id(operation_id(number));
    let receipt = match number % 3 {
        0 => once_transacted(&once, number)?,
        _ => once.commit(batch(run, number)?)?,
    };
    let commit = receipt.commit.expect("a step always changes something");
    assert_eq!(commit.version, Version(number + 1), "step {number} is commit {}", number + 1);
    assert_eq!(receipt.effects[0], Effect::Integer(number as i64), "step {number} counted once");
    assert_eq!(receipt.effects[1], Effect::Sequence { first: number - 1, count: 1 });
    Ok(commit)
}

/// A transaction that was committed before is refused, and its receipt can be asked for.
fn once_transacted(run: &RunHandle, number: u64) -> Result<BatchReceipt> {
    match run.transaction(|tx| transact(tx, number)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let receipt = run.receipt(operation_id(number))?.expect("what happened before has a receipt");
            Ok(BatchReceipt { commit: Some(receipt.commit), effects: receipt.effects })
        }
        done => done.map(|done| done.receipt),
    }
}

/// Takes several steps.
pub(crate) fn steps(run: &RunHandle, numbers: RangeInclusive<u64>) {
    for number in numbers {
        step(run, number).unwrap_or_else(|error| panic!("step {number}: {error:?}"));
    }
}

/// The id that step `number` is sent with.
pub(crate) fn operation_id(number: u64) -> OperationId {
    OperationId((u128::from(number) << 8 | 0x5c).to_le_bytes())
}

/// The run's version: 0 if it does not exist, else one more than the steps it took.
pub(crate) fn version_of(database: &Database, name: &str) -> u64 {
    let info = database.get_run(id_of(name)).expect("a run that may exist can be asked for");
    info.map_or(0, |info| info.version.0)
}

/// Reads everything the run holds and fails unless it is exactly the state after some step.
/// Returns the run's version, 0 if it does not exist.
pub(crate) fn expect_whole(database: &Database, name: &str) -> u64 {
    let version = version_of(database, name);
    if version == 0 {
        return 0;
    }
    expect_whole_at(&database.run(id_of(name)), name, version);
    version
}

/// Reads everything that there is of the run, now or as it was, and fails unless it is exactly the state at this version.
pub(crate) fn expect_whole_at(run: &dyn Reads, name: &str, version: u64) {
    let steps = version - 1;
    let page = run.list_values(&KvScan::default()).expect("a run that exists can be listed");
    assert_eq!(page.version, Version(version), "{name}: nobody else writes");
    let found: BTreeMap<String, (Value, u64)> =
        page.items.into_iter().map(|(key, read)| (key, (read.value, read.version.0))).collect();
    assert!(found == state_after(steps), "{name} is not as step {steps} left it: {}", summary(&found));
    expect_events(run, name, steps);
    if steps > 0 {
        expect_cell_and_diary(run, name, steps);
    }
    expect_traces(run, name, steps);
}

fn expect_cell_and_diary(run: &dyn Reads, name: &str, steps: u64) {
    let cells = run.cell_list(&KvScan::default()).expect("cells can be listed").items;
    let cells: Vec<_> = cells.into_iter().map(|(cell, read)| (cell, read.value, read.version.0)).collect();
    assert_eq!(cells, [("turn".to_owned(), Value::Int(steps as i64), steps + 1)], "{name}: the cell");
    for (path, value) in [("", diary(steps)), ("/pages", pages(steps)), ("/last", (steps as i64).into())] {
        let found = run.json_get("diary", path).expect("a document can be read");
        let found = found.map(|read| (read.value, read.version.0));
        assert_eq!(found, Some((value, steps + 1)), "{name}: {path:?} of the diary");
    }
}

/// Each span with its version and whether it has ended, and what was recorded below it.
fn expect_traces(run: &dyn Reads, name: &str, steps: u64) {
    let page = run.trace_list(&TraceFilter::default(), None, 1_000_000, Direction::Forward);
    let traces = page.expect("traces can be listed").traces;
    let first = if steps < KEEPS_FROM { 0 } else { steps - KEPT_TRACE_COUNT };
    assert_eq!(run.first_trace().expect("the first trace can be asked for").value, first, "{name}");
    assert_eq!(traces.len() as u64, steps - first, "{name}: one trace for each step");
    for (number, trace) in (first + 1..).zip(traces) {
        let (ending, is_span) = (number + 1, number % 2 == 1);
        let (version, content) = match is_span && ending <= steps {
            true => (ending + 1, work(Some(ending as i64))),
            false => (number + 1, if is_span { work(None) } else { detail(number).content }),
        };
        let is_open = is_span && ending > steps;
        let found = (trace.id, trace.recorded.version.0, trace.version.0, trace.ended.is_none());
        assert_eq!(found, (trace_id(number), number + 1, version, is_open), "{name}: trace {number}");
        assert_eq!(trace.content, content, "{name}: trace {number}");
        assert_eq!(trace.parent, (!is_span).then(|| trace_id(number - 1)), "{name}: trace {number}");
    }
}

fn expect_events(run: &dyn Reads, name: &str, steps: u64) {
    let mut next = Some(0);
    let first = if steps < KEEPS_FROM { 0 } else { steps - KEPT_COUNT };
    let mut expected = first;
    assert_eq!(run.first_event().expect("the first event can be asked for").value, first, "{name}");
    while let Some(start) = next {
        let page = run.events(start, 500, Direction::Forward).expect("events can be read");
        for event in page.events {
            assert_eq!((event.sequence, event.version), (expected, Version(expected + 2)), "{name}: no gap");
            assert_eq!(event.payload, Value::Int(expected as i64 + 1), "{name}: step {}", expected + 1);
            expected += 1;
        }
        next = page.next;
    }
    assert_eq!(expected, steps, "{name}: one event for each step");
    let chain = run.verify_chain().expect("the chain can be checked");
    assert!(
        chain.valid && (chain.first, chain.length) == (first, steps),
        "{name}: the chain holds: {chain:?}"
    );
}

/// Each key with its value and the version that wrote it, after `steps` steps.
fn state_after(steps: u64) -> BTreeMap<String, (Value, u64)> {
    let mut state = BTreeMap::new();
    if steps == 0 {
        return state;
    }
    for key in ["steps", "left", "right"] {
        state.insert(key.to_owned(), (Value::Int(steps as i64), steps + 1));
    }
    if let Some(last) = (1..=steps).rev().find(|number| number % 5 == 2)
        && !(last..=steps).any(|number| number % 5 == 4)
    {
        state.insert(format!("note/{last}"), (note(last), last + 1));
    }
    if let Some(last) = (1..=steps).rev().find(|number| number % 7 == 3) {
        state.insert("big".to_owned(), (big(last), last + 1));
    }
    state
}

/// The diary after so many steps.
fn diary(steps: u64) -> Value {
    Value::from([("pages", pages(steps)), ("last", (steps as i64).into())])
}

/// A page for each step since the last new volume.
fn pages(steps: u64) -> Value {
    let first = (1..=steps).rev().find(|number| is_new_volume(*number)).unwrap_or(1);
    Value::Array((first..=steps).map(|number| Value::Int(number as i64)).collect())
}

fn is_new_volume(number: u64) -> bool {
    number.is_multiple_of(16)
}

fn trace_id(number: u64) -> TraceId {
    TraceId::from_bytes((u128::from(number) << 8 | 0x7a).to_be_bytes())
}

fn span(number: u64) -> NewTrace {
    NewTrace::new(trace_id(number), work(None))
}

fn work(result: Option<i64>) -> TraceContent {
    let result = result.map(Value::Int);
    TraceContent::ToolCall { name: "work".into(), arguments: Value::Null, result, error: None }
}

fn ended(number: u64) -> TraceEnd {
    TraceEnd { result: Some(Value::Int(number as i64)), ..TraceEnd::default() }
}

fn detail(number: u64) -> NewTrace {
    let thought = TraceContent::Thought { text: format!("of step {number}"), confidence: None };
    NewTrace { parent: Some(trace_id(number - 1)), ..NewTrace::new(trace_id(number), thought) }
}

fn note(number: u64) -> Value {
    Value::String(format!("note of step {number}: {}", "x".repeat(number as usize * 37 % 5_000)))
}

fn big(number: u64) -> Value {
    Value::Bytes(vec![number as u8; 25_000 * (1 + number as usize % 3)])
}

fn summary(found: &BTreeMap<String, (Value, u64)>) -> String {
    let shorten = |(key, (value, version)): (&String, &(Value, u64))| {
        let text: String = value.to_string().chars().take(40).collect();
        format!("{key} = {text} at {version}")
    };
    found.iter().map(shorten).collect::<Vec<_>>().join("; ")
}
