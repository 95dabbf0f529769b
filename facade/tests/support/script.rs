//! A run whose state after every commit is known: step `n` is commit `n + 1`, and says what it left.
//!
//! Every step is a batch of several operations, so that a half commit would show, and carries its
//! own operation id, so that it can be sent again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use strata::{
    Batch, Commit, Database, Direction, Effect, ErrorKind, KvScan, Namespace, OperationId, Reads, Result,
    RunHandle, RunId, RunSpec, Value, Version,
};

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
    batch.put("right", now)?;
    Ok(batch)
}

/// Takes step `number`; sent again, it is answered as the first time.
pub(crate) fn step(run: &RunHandle, number: u64) -> Result<Commit> {
    let batch = batch(run, number)?;
    let receipt = run.with_operation_id(operation_id(number)).commit(batch)?;
    let commit = receipt.commit.expect("a step always changes something");
    assert_eq!(commit.version, Version(number + 1), "step {number} is commit {}", number + 1);
    assert_eq!(receipt.effects[0], Effect::Integer(number as i64), "step {number} counted once");
    assert_eq!(receipt.effects[1], Effect::Sequence { first: number - 1, count: 1 });
    Ok(commit)
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
    let (run, steps) = (database.run(id_of(name)), version - 1);
    let page = run.list_values(&KvScan::default()).expect("a run that exists can be listed");
    assert_eq!(page.version, Version(version), "{name}: nobody else writes");
    let found: BTreeMap<String, (Value, u64)> =
        page.items.into_iter().map(|(key, read)| (key, (read.value, read.version.0))).collect();
    assert!(found == state_after(steps), "{name} is not as step {steps} left it: {}", summary(&found));
    expect_events(&run, name, steps);
    version
}

fn expect_events(run: &RunHandle, name: &str, steps: u64) {
    let mut next = Some(0);
    let mut expected = 0;
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
    assert!(chain.valid && chain.length == steps, "{name}: the chain holds: {chain:?}");
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
