//! Writes that are on stable storage when they return, beside the same disk without an engine.

use std::time::Duration;

use strata::{Durability, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::clients::{alone, closed_loops};
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::group_commit::GroupCommit;
use strata_benches::placement::Placement;
use strata_benches::raw_log::RawLog;
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds};
use strata_benches::workload::{Store, VALUE_SIZE, keys, value};

const KEY_COUNT: usize = 1000;
/// Size of the plain file that the limits are written to.
const FILE_SIZE: u64 = 64 << 20;
/// Bytes of one put in a log, as the bare group commit stages it.
const RECORD_SIZE: usize = 256;
const CLIENT_COUNT: usize = 16;

/// One client beside the raw durable append, in rounds that take turns.
pub(crate) fn measure_one_client(arguments: &Arguments, report: &mut Report) {
    let question = "put_strict_one_client";
    if !arguments.wants(question) {
        return;
    }
    let store = Store::create(&arguments.dir, Durability::Strict, 1).expect("a new store opens");
    let run = store.run().expect("a new store takes a run");
    let directory = tempfile::tempdir_in(&arguments.dir).expect("there is a place for a plain file");
    let mut raw = RawLog::create(directory.path(), "raw", FILE_SIZE).expect("a plain file can be made");
    let way = raw.way();
    let placement = Placement::apart();
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let (rounds, count) = (arguments.pick(41, 2), arguments.pick(250, 20));
    let put = |index: usize| {
        run.put(&keys[index % KEY_COUNT], value.as_str()).expect("a put is taken");
    };
    let (mut own, mut own_tail) = (Rounds::new(), Rounds::new());
    let (mut limit, mut limit_tail) = (Rounds::new(), Rounds::new());
    alone(&placement, || {
        (0..count).for_each(put);
        for _ in 0..rounds {
            let latencies =
                Latencies::of(count, |_| raw.append_block().expect("a plain file can be written"));
            limit.push(latencies.median());
            limit_tail.push(latencies.percentile(0.99));
            let latencies = Latencies::of(count, put);
            own.push(latencies.median());
            own_tail.push(latencies.percentile(0.99));
        }
    });
    let setting =
        Setting { mode: "strict", value_size: VALUE_SIZE, batch_size: 1, clients: 1, shards: 1, placement };
    let figure = Figure::new(format!("{question}_p50"), "us", own).with(&setting).note("raw_append", way);
    report.add(&figure.against("raw durable 4 KiB append p50", &limit).goal(Goal::RatioAtMost(1.6)));
    let figure =
        Figure::new(format!("{question}_p99"), "us", own_tail).with(&setting).note("raw_append", way);
    report.add(&figure.against("raw durable 4 KiB append p99", &limit_tail));
}

/// 16 clients beside 16 threads on a bare group commit, in rounds that take turns.
pub(crate) fn measure_many_clients(arguments: &Arguments, report: &mut Report) {
    let question = format!("put_strict_{CLIENT_COUNT}_clients");
    if !arguments.wants(&question) {
        return;
    }
    let store = Store::create(&arguments.dir, Durability::Strict, 1).expect("a new store opens");
    let mut runs: Vec<RunHandle> =
        (0..CLIENT_COUNT).map(|_| store.run().expect("a new store takes a run")).collect();
    let directory = tempfile::tempdir_in(&arguments.dir).expect("there is a place for a plain file");
    let raw = RawLog::create(directory.path(), "raw", FILE_SIZE).expect("a plain file can be made");
    let way = raw.way();
    let group = GroupCommit::new(raw);
    let placement = Placement::anywhere();
    let length = arguments.pick(Duration::from_millis(500), Duration::from_millis(50));
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let (mut own, mut limit) = (Rounds::new(), Rounds::new());
    for _ in 0..arguments.pick(11, 2) {
        limit.push(closed_loops(length, &mut [(); CLIENT_COUNT], |(), _| group.commit(&[0x5a; RECORD_SIZE])));
        own.push(closed_loops(length, &mut runs, |run, index| {
            run.put(&keys[index % KEY_COUNT], value.as_str()).expect("a put is taken");
        }));
    }
    let setting = Setting {
        mode: "strict",
        value_size: VALUE_SIZE,
        batch_size: 1,
        clients: CLIENT_COUNT,
        shards: 1,
        placement,
    };
    let figure = Figure::new(question, "commits/s", own).with(&setting).note("raw_append", way);
    report.add(&figure.against("bare group commit, 16 threads", &limit).goal(Goal::RatioAtLeast(0.6)));
}
