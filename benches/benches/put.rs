//! How long does a put take, one a call and 64 a call, in each durability mode?

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use strata::{Batch, Durability, RunHandle, Writes};
use strata_benches::bare_map::BareMap;
use strata_benches::placement::{Placement, allowed_cpus, stay_on};
use strata_benches::raw_log::RawLog;
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, keys, mode_name, value};

const KEY_COUNT: usize = 10_000;

fn put(criterion: &mut Criterion) {
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
        let store = Store::create(&std::env::temp_dir(), durability, 1).expect("a new store opens");
        let run = store.run().expect("a new store takes a run");
        let everywhere = allowed_cpus();
        stay_on(&Placement::apart().clients);
        put_one_and_many(criterion, durability, &run);
        stay_on(&everywhere);
    }
}

fn put_one_and_many(criterion: &mut Criterion, durability: Durability, run: &RunHandle) {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let mut group = criterion.benchmark_group(format!("put_{}_one_shard", mode_name(durability)));
    let mut turn = keys.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter(1), |bencher| {
        bencher.iter(|| {
            run.put(turn.next().expect("a cycle has no end"), value.as_str()).expect("a put is taken")
        });
    });
    let batches: Vec<Batch> = keys.chunks(CALL_SIZE).map(|keys| batch_of(run, keys, &value)).collect();
    let mut turn = batches.iter().cycle();
    group.throughput(Throughput::Elements(CALL_SIZE as u64));
    group.bench_function(BenchmarkId::from_parameter(CALL_SIZE), |bencher| {
        let batch = || turn.next().expect("a cycle has no end").clone();
        bencher.iter_batched(
            batch,
            |batch| run.commit(batch).expect("a batch is taken"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn batch_of(run: &RunHandle, keys: &[String], value: &str) -> Batch {
    let mut batch = run.batch();
    for key in keys {
        batch.put(key, value).expect("a small put is within the limits");
    }
    batch
}

fn limits(criterion: &mut Criterion) {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let mut group = criterion.benchmark_group("put_limits");
    let (mut map, mut turn) = (BareMap::new(), keys.iter().cycle());
    group.bench_function("bare_fx_hash_map", |bencher| {
        bencher.iter(|| map.put(turn.next().expect("a cycle has no end"), black_box(&value)));
    });
    let directory = tempfile::tempdir().expect("there is a place for temporary files");
    let mut raw = RawLog::create(directory.path(), "raw", 64 << 20).expect("a raw file can be made");
    group.bench_function("raw_durable_4_kib_append", |bencher| {
        bencher.iter(|| raw.append_block().expect("a raw file can be written"));
    });
    group.finish();
}

criterion_group!(benches, limits, put);
criterion_main!(benches);
