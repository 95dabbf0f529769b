//! What does a transaction of four operations cost, through each of its doors?
//!
//! Two gets and two puts of keys that fit the caches, in memory, one client on another CPU than the one shard:
//!
//! | figure | how |
//! |---|---|
//! | `transaction_execute` | a closure that travels to the shard: one message |
//! | `transaction_optimistic` | `run.transaction`: one message a read, one for the commit with both writes |
//! | `transaction_blind_batch` | the two puts alone, as a batch: one message |
//! | `snapshot_open_close` | a snapshot opened and dropped: two messages, of which one is waited for |
//!
//! Beside each the bare round trip over the same mailbox and reply slot.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use strata::{Durability, Error, Reads, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::bare_channel::BareChannel;
use strata_benches::clients::alone;
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::{Placement, allowed_cpus, shard_threads};
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds};
use strata_benches::workload::{Store, VALUE_SIZE, keys, value};

const KEY_COUNT: usize = 1000;
const WARM_UP: usize = 500;

/// One way to do it: its name, its goal in microseconds, and the medians and tails of its rounds.
struct Door {
    name: &'static str,
    goal: Option<f64>,
    p50: Rounds,
    p99: Rounds,
}

impl Door {
    fn new(name: &'static str, goal: Option<f64>) -> Door {
        Door { name, goal, p50: Rounds::new(), p99: Rounds::new() }
    }

    fn push(&mut self, latencies: &Latencies) {
        self.p50.push(latencies.median());
        self.p99.push(latencies.percentile(0.99));
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("transactions", &arguments);
    let store = Store::create(&arguments.dir, Durability::InMemory, 1).expect("a store in memory opens");
    let run = store.run().expect("a new store takes a run");
    let placement = Placement::apart();
    let shard_cpus = shard_threads()[0].cpu().map_or_else(allowed_cpus, |cpu| vec![cpu]);
    let (rounds, count) = (arguments.pick(15, 2), arguments.pick(30_000, 1000));
    let (doors, channel) = alone(&placement, || measure(&run, &shard_cpus, rounds, count));
    let setting = Setting {
        mode: "in_memory",
        value_size: VALUE_SIZE,
        batch_size: 4,
        clients: 1,
        shards: 1,
        placement,
    };
    for Door { name, goal, p50, p99 } in doors {
        let figure = Figure::new(format!("{name}_p50"), "us", p50)
            .with(&setting)
            .against("bare channel round trip p50", &channel.p50);
        report.add(&match goal {
            Some(goal) => figure.goal(Goal::AtMost(goal)),
            None => figure,
        });
        report.add(&Figure::new(format!("{name}_p99"), "us", p99).with(&setting));
    }
    report.end()
}

fn measure(run: &RunHandle, shard_cpus: &[usize], rounds: usize, count: usize) -> (Vec<Door>, Door) {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let key = |index: usize| keys[index % KEY_COUNT].as_str();
    run.put_many(keys.iter().map(|key| (key, value.as_str()))).expect("puts are taken");
    let execute = |index: usize| {
        let (from, to, value) = (key(index).to_owned(), key(index + 1).to_owned(), value.clone());
        let moved = run.execute(move |run| {
            let (_, second) = (run.get(&from)?, run.get(&to)?);
            run.put(&from, value)?;
            run.put(&to, second.map(|second| second.value))?;
            Ok::<_, Error>(())
        });
        moved.expect("a closure runs");
    };
    let optimistic = |index: usize| {
        let moved = run.transaction(|tx| {
            let (_, second) = (tx.get(key(index))?, tx.get(key(index + 1))?);
            tx.put(key(index), value.as_str())?;
            tx.put(key(index + 1), second.map(|second| second.value))?;
            Ok::<_, Error>(())
        });
        moved.expect("a transaction commits");
    };
    let batch = |index: usize| {
        let mut batch = run.batch();
        batch.put(key(index), value.as_str()).expect("a put is taken");
        batch.put(key(index + 1), value.as_str()).expect("a put is taken");
        run.commit(batch).expect("a batch is taken");
    };
    let snapshot = |_| drop(run.snapshot().expect("a snapshot opens"));
    let mut doors = vec![
        Door::new("transaction_execute", Some(2.0)),
        Door::new("transaction_optimistic", Some(8.0)),
        Door::new("transaction_blind_batch", None),
        Door::new("snapshot_open_close", None),
    ];
    let calls: [&dyn Fn(usize); 4] = [&execute, &optimistic, &batch, &snapshot];
    let mut channel = Door::new("channel", None);
    for _ in 0..rounds {
        channel.push(&channel_round(shard_cpus, count));
        for (door, call) in doors.iter_mut().zip(calls) {
            (0..WARM_UP).for_each(call);
            door.push(&Latencies::of(count, call));
        }
    }
    (doors, channel)
}

/// The shard sleeps meanwhile, so the bare thread has its CPU.
fn channel_round(cpus: &[usize], count: usize) -> Latencies {
    let channel = BareChannel::start(cpus);
    let round_trip = |index| {
        std::hint::black_box(channel.round_trip(index as u64));
    };
    (0..WARM_UP).for_each(round_trip);
    Latencies::of(count, round_trip)
}
