//! What does one call on each primitive cost, and does it cost the same in a run that holds documents?
//!
//! In memory, one client on another CPU than the one shard, every call waited for. The same calls are made on a run
//! without documents and on one that holds a thousand of 5 KB; their rounds take turns, so the ratio says what the
//! documents cost the others. `json_set` changes one number in a document of 5 KB, `json_set_watched` does so while a
//! snapshot is open.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use strata::{Durability, NewTrace, Reads, RunHandle, TraceContent, Value, Writes, new_trace};
use strata_benches::arguments::Arguments;
use strata_benches::clients::alone;
use strata_benches::figure::{Figure, Setting};
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds};
use strata_benches::workload::{Store, VALUE_SIZE, keys, value};

const KEY_COUNT: usize = 1000;
const DOCUMENT_COUNT: usize = 1000;
const WARM_UP: usize = 300;

/// The medians of one call in both runs.
struct Call {
    name: &'static str,
    plain: Rounds,
    beside_documents: Rounds,
}

/// A run, and everything that calls on it need.
struct Workload {
    run: RunHandle,
    keys: Vec<String>,
    value: String,
}

impl Workload {
    fn new(store: &Store, document_count: usize) -> Workload {
        let run = store.run().expect("a new store takes a run");
        let workload = Workload { run, keys: keys(KEY_COUNT), value: value(VALUE_SIZE) };
        for number in 0..document_count.max(1) {
            workload.run.json_create(&format!("document/{number}"), document()).expect("a document is taken");
        }
        (0..KEY_COUNT).for_each(|index| workload.put(index));
        workload
    }

    fn key(&self, index: usize) -> &str {
        &self.keys[index % KEY_COUNT]
    }

    fn put(&self, index: usize) {
        self.run.put(self.key(index), self.value.as_str()).expect("a put is taken");
    }

    fn get(&self, index: usize) {
        self.run.get(self.key(index)).expect("a get is answered").expect("the key is there");
    }

    fn cell_set(&self, index: usize) {
        self.run.cell_set(self.key(index), self.value.as_str()).expect("a cell is set");
    }

    fn append(&self, _: usize) {
        self.run.append("step", self.value.as_str()).expect("an event is taken");
    }

    fn trace(&self, _: usize) {
        let content = TraceContent::Thought { text: self.value.clone(), confidence: None };
        self.run.trace_record(NewTrace { ..new_trace(content) }).expect("a trace is taken");
    }

    fn json_get(&self, index: usize) {
        let path = format!("/items/{}/score", index % 40);
        self.run.json_get("document/0", &path).expect("a place is read").expect("it is there");
    }

    fn json_set(&self, index: usize) {
        let path = format!("/items/{}/score", index % 40);
        self.run.json_set("document/0", &path, index as i64).expect("a place is set");
    }

    fn json_set_watched(&self, index: usize) {
        // A fresh one now and then: each set behind it copies what it shares.
        let snapshot = index.is_multiple_of(64).then(|| self.run.snapshot().expect("a snapshot opens"));
        self.json_set(index);
        drop(snapshot);
    }
}

/// A document whose encoding has about 5 KB.
fn document() -> Value {
    let item = |number: i64| {
        Value::from([("name", value(80).into()), ("score", number.into()), ("done", false.into())])
    };
    Value::from([("title", "list".into()), ("items", Value::Array((0..40).map(item).collect()))])
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("primitives", &arguments);
    let store = Store::create(&arguments.dir, Durability::InMemory, 1).expect("a store in memory opens");
    let plain = Workload::new(&store, 0);
    let beside_documents = Workload::new(&store, arguments.pick(DOCUMENT_COUNT, 50));
    let placement = Placement::apart();
    let (rounds, count) = (arguments.pick(15, 2), arguments.pick(20_000, 500));
    let calls = alone(&placement, || measure(&plain, &beside_documents, rounds, count));
    let setting = Setting {
        mode: "in_memory",
        value_size: VALUE_SIZE,
        batch_size: 1,
        clients: 1,
        shards: 1,
        placement,
    };
    for Call { name, plain, beside_documents } in calls {
        report.add(&Figure::new(format!("{name}_p50"), "us", plain.clone()).with(&setting));
        let figure = Figure::new(format!("{name}_beside_documents_p50"), "us", beside_documents);
        report.add(&figure.with(&setting).against("the same without documents", &plain));
    }
    report.end()
}

fn measure(plain: &Workload, beside_documents: &Workload, rounds: usize, count: usize) -> Vec<Call> {
    type Do = fn(&Workload, usize);
    let calls: [(&'static str, Do); 8] = [
        ("kv_put", Workload::put),
        ("kv_get", Workload::get),
        ("cell_set", Workload::cell_set),
        ("event_append", Workload::append),
        ("trace_record", Workload::trace),
        ("json_get", Workload::json_get),
        ("json_set", Workload::json_set),
        ("json_set_watched", Workload::json_set_watched),
    ];
    let call = |(name, _)| Call { name, plain: Rounds::new(), beside_documents: Rounds::new() };
    let mut answers: Vec<Call> = calls.map(call).into();
    let median = |workload: &Workload, call: Do| {
        (0..WARM_UP).for_each(|index| call(workload, index));
        Latencies::of(count, |index| call(workload, index)).median()
    };
    for _ in 0..rounds {
        for (answer, (_, call)) in answers.iter_mut().zip(calls) {
            answer.plain.push(median(plain, call));
            answer.beside_documents.push(median(beside_documents, call));
        }
    }
    answers
}
