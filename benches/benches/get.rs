//! How long does a get from another core take, in each durability mode, and one of 64 keys?

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use strata::{Durability, Reads, RunHandle, Writes};
use strata_benches::bare_channel::BareChannel;
use strata_benches::bare_map::BareMap;
use strata_benches::placement::{Placement, allowed_cpus, stay_on};
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, keys, mode_name, value};

const KEY_COUNT: usize = 10_000;

fn get(criterion: &mut Criterion) {
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
        let store = Store::create(&std::env::temp_dir(), durability, 1).expect("a new store opens");
        let run = store.run().expect("a new store takes a run");
        let everywhere = allowed_cpus();
        stay_on(&Placement::apart().clients);
        get_one_and_many(criterion, durability, &run);
        stay_on(&everywhere);
    }
}

fn get_one_and_many(criterion: &mut Criterion, durability: Durability, run: &RunHandle) {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    for keys in keys.chunks(1000) {
        run.put_many(keys.iter().map(|key| (key, value.as_str()))).expect("a new run takes its keys");
    }
    let mut group = criterion.benchmark_group(format!("get_{}_one_shard", mode_name(durability)));
    let mut turn = keys.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter(1), |bencher| {
        bencher.iter(|| run.get(turn.next().expect("a cycle has no end")).expect("a get is answered"));
    });
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut turn = names.chunks_exact(CALL_SIZE).cycle();
    group.throughput(Throughput::Elements(CALL_SIZE as u64));
    group.bench_function(BenchmarkId::from_parameter(CALL_SIZE), |bencher| {
        bencher.iter(|| run.get_many(turn.next().expect("a cycle has no end")).expect("a get is answered"));
    });
    group.finish();
}

fn limits(criterion: &mut Criterion) {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let mut group = criterion.benchmark_group("get_limits");
    let mut map = BareMap::new();
    keys.iter().for_each(|key| map.put(key, &value));
    let mut turn = keys.iter().cycle();
    group.bench_function("bare_fx_hash_map", |bencher| {
        bencher.iter(|| black_box(map.get(turn.next().expect("a cycle has no end"))));
    });
    let cpus = allowed_cpus();
    let channel = BareChannel::start(&cpus[..1]);
    stay_on(&cpus[cpus.len() - 1..]);
    group.bench_function("bare_channel_round_trip", |bencher| {
        bencher.iter(|| channel.round_trip(black_box(7)))
    });
    stay_on(&cpus);
    group.finish();
}

criterion_group!(benches, limits, get);
criterion_main!(benches);
