//! How long does the append of an event take, one a call and 64 a call, in each durability mode?

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use strata::{Durability, RunHandle, Writes};
use strata_benches::placement::{Placement, allowed_cpus, stay_on};
use strata_benches::raw_log::{KernelLog, RawLog};
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, mode_name, value};

const KIND: &str = "tool.call";

fn append(criterion: &mut Criterion) {
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
        let store = Store::create(&std::env::temp_dir(), durability, 1).expect("a new store opens");
        let run = store.run().expect("a new store takes a run");
        let everywhere = allowed_cpus();
        stay_on(&Placement::apart().clients);
        append_one_and_many(criterion, durability, &run);
        stay_on(&everywhere);
    }
}

fn append_one_and_many(criterion: &mut Criterion, durability: Durability, run: &RunHandle) {
    let payload = value(VALUE_SIZE);
    let mut group = criterion.benchmark_group(format!("append_{}_one_shard", mode_name(durability)));
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter(1), |bencher| {
        bencher.iter(|| run.append(KIND, payload.as_str()).expect("an event is taken"));
    });
    group.throughput(Throughput::Elements(CALL_SIZE as u64));
    group.bench_function(BenchmarkId::from_parameter(CALL_SIZE), |bencher| {
        let events = || vec![(KIND, payload.as_str()); CALL_SIZE];
        let append = |events| run.append_many(events).expect("events are taken");
        bencher.iter_batched(events, append, BatchSize::SmallInput);
    });
    group.finish();
}

fn limits(criterion: &mut Criterion) {
    let payload = value(VALUE_SIZE);
    let directory = tempfile::tempdir().expect("there is a place for temporary files");
    let mut group = criterion.benchmark_group("append_limits");
    let mut kernel = KernelLog::create(directory.path(), "kernel", 64 << 20).expect("a file can be made");
    group.bench_function("bare_write", |bencher| {
        bencher.iter(|| kernel.append(payload.as_bytes()).expect("a file can be written"));
    });
    let mut raw = RawLog::create(directory.path(), "raw", 64 << 20).expect("a raw file can be made");
    group.bench_function("raw_durable_4_kib_append", |bencher| {
        bencher.iter(|| raw.append_block().expect("a raw file can be written"));
    });
    group.finish();
}

criterion_group!(benches, limits, append);
criterion_main!(benches);
