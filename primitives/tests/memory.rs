//! What a run says of the memory it takes, against what is allocated.
//!
//! One test alone in its process, because the counter sees every thread.

#[path = "../../runtime/tests/counting/mod.rs"]
mod counting;
mod support;

use std::time::Duration;

use counting::live_bytes;
use strata_primitives::*;
use support::{Driver, encoded};

type Filling = fn(&mut Driver, u64);

fn text(size: usize) -> Encoded {
    encoded("x".repeat(size))
}

/// Writes the thing with this number.
const FILLINGS: [(&str, Filling); 14] = [
    ("small keys", |driver, number| {
        let key = format!("key/{number}").into();
        driver.write(Operation::KvPut { key, value: encoded(number as i64), deadline: Deadline::None });
    }),
    ("keys of 32 and values of 128 bytes", |driver, number| {
        let key = format!("{number:032}").into();
        driver.write(Operation::KvPut { key, value: text(128), deadline: Deadline::None });
    }),
    ("large values", |driver, number| {
        let key = format!("key/{number}").into();
        driver.write(Operation::KvPut { key, value: text(4_000), deadline: Deadline::None });
    }),
    ("keys that expire", |driver, number| {
        let (key, deadline) = (format!("key/{number}").into(), Deadline::In(Duration::from_secs(number + 1)));
        driver.write(Operation::KvPut { key, value: text(20), deadline });
    }),
    ("keys that are listed", |driver, number| {
        let key = format!("key/{number}").into();
        driver.write(Operation::KvPut { key, value: text(20), deadline: Deadline::None });
        driver.state.ensure_order(OrderIndex::Keys(KeyKind::Kv));
    }),
    ("keys that are listed and expire, whose values were larger", |driver, number| {
        let deadline = Deadline::At(Timestamp(u64::MAX / 2 + number));
        for size in [4_000, 20] {
            let key = format!("key/{number}").into();
            driver.write(Operation::KvPut { key, value: text(size), deadline });
            driver.state.ensure_order(OrderIndex::Keys(KeyKind::Kv));
        }
    }),
    ("cells", |driver, number| {
        let name = format!("cell/{number}").into();
        driver.write(Operation::CellSet { name, value: text(40), deadline: Deadline::None });
    }),
    ("events", |driver, number| {
        let kind = if number % 3 == 0 { "step" } else { "thought" };
        driver.write(Operation::EventAppend { kind: kind.into(), payload: text(100), salt: [7; 16] });
    }),
    ("the last of many events", |driver, number| {
        if number == 0 {
            let retention = Some(Retention::KeepLast(2_000));
            driver.write(Operation::RunSetEventRetention { retention });
        }
        let kind = if number % 3 == 0 { "step" } else { "thought" };
        driver.write(Operation::EventAppend { kind: kind.into(), payload: text(100), salt: [7; 16] });
    }),
    ("small documents", |driver, number| {
        let value = encoded(Value::from([("name", "x".into()), ("turn", (number as i64).into())]));
        driver.write(Operation::JsonCreate { name: format!("doc/{number}").into(), value });
    }),
    ("documents of 100 items", |driver, number| {
        let items: Vec<Value> = (0..100).map(|item| Value::from(format!("item {item}"))).collect();
        let value = encoded(Value::from([("items", Value::Array(items))]));
        driver.write(Operation::JsonCreate { name: format!("doc/{number}").into(), value });
    }),
    ("traces", |driver, number| {
        let content = TraceContent::Thought { text: "x".repeat(80), confidence: None };
        let mut trace = NewTrace::new(TraceId::from_bytes(u128::from(number + 1).to_be_bytes()), content);
        trace.parent =
            (number > 0).then(|| TraceId::from_bytes(u128::from(number.div_ceil(4)).to_be_bytes()));
        driver.write(Operation::TraceRecord { trace: Box::new(trace) });
    }),
    ("the last of many traces", |driver, number| {
        if number == 0 {
            let retention = Some(Retention::KeepLast(2_000));
            driver.write(Operation::RunSetTraceRetention { retention });
        }
        let content = TraceContent::Thought { text: "x".repeat(80), confidence: None };
        let mut trace = NewTrace::new(TraceId::from_bytes(u128::from(number + 1).to_be_bytes()), content);
        trace.parent =
            (number > 0).then(|| TraceId::from_bytes(u128::from(number.div_ceil(4)).to_be_bytes()));
        driver.write(Operation::TraceRecord { trace: Box::new(trace) });
    }),
    ("remembered writes", |driver, number| {
        let commit = Commit {
            version: driver.state.version(),
            timestamp: driver.state.timestamp(),
            durability: Durability::Buffered,
        };
        let receipt = Receipt { commit, effects: vec![Effect::None], fingerprint: Fingerprint([3; 8]) };
        driver.state.remember(OperationId(u128::from(number).to_be_bytes()), receipt);
    }),
];

#[test]
fn a_run_says_what_it_takes() {
    for (what, fill) in FILLINGS {
        for count in [10, 300, 5_000, 20_000] {
            let before = live_bytes();
            let mut driver = Driver::created();
            (0..count).for_each(|number| fill(&mut driver, number));
            let (taken, said) = ((live_bytes() - before) as f64, driver.state.memory() as f64);
            let ratio = said / taken;
            println!("{count:6} {what:36} {taken:12.0} taken, {said:12.0} said, {ratio:.2}");
            let bounds = if count < 100 { 0.6..3.0 } else { 0.8..1.4 };
            assert!(bounds.contains(&ratio), "{count} {what}: {taken} bytes are taken, {said} are said");
            if what == FILLINGS[1].0 && count == 20_000 {
                // 240 and what the allocator rounds up.
                let of_key = taken / count as f64;
                assert!(of_key < 260.0, "a key of 32 bytes with 128 takes {of_key} bytes");
            }
        }
    }
}
