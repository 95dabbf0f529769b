//! One client, one call at a time, from another core than the shard's.

use std::hint::black_box;

use strata::{Durability, Reads, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::bare_channel::BareChannel;
use strata_benches::bare_crossbeam::BareCrossbeam;
use strata_benches::bare_map::BareMap;
use strata_benches::clients::alone;
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::{Placement, allowed_cpus, shard_threads};
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds};
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, keys, mode_name, value};

/// Keys that fit the caches: what a run works with at the moment.
const KEY_COUNT: usize = 1000;
/// Calls before a round that are not timed: both sides are awake afterwards.
const WARM_UP: usize = 500;

/// Keys of a run that no cache holds.
const COLD_KEY_COUNT: usize = 1_000_000;
/// p99 of a call is at most so many times its mean.
const TAIL_MAX: f64 = 20.0;

/// The numbers of one question over the rounds.
#[derive(Default)]
struct Distribution {
    p50: Rounds,
    p99: Rounds,
    p999: Rounds,
    tail: Rounds,
}

impl Distribution {
    fn push(&mut self, latencies: &Latencies) {
        self.p50.push(latencies.median());
        self.p99.push(latencies.percentile(0.99));
        self.p999.push(latencies.percentile(0.999));
        self.tail.push(latencies.percentile(0.99) / latencies.mean());
    }
}

#[derive(Default)]
struct Answers {
    put: Distribution,
    get: Distribution,
    append: Distribution,
    snapshot: Distribution,
    channel: Distribution,
    crossbeam: Distribution,
    map_put: Distribution,
    map_get: Distribution,
}

/// Measures a put, a get, an append and a snapshot, one a call.
pub(crate) fn measure(arguments: &Arguments, durability: Durability, report: &mut Report) {
    let mode = mode_name(durability);
    let question = |name: &str| format!("{name}_{mode}_synchronous");
    if !["put", "get", "append", "snapshot"].iter().any(|name| arguments.wants(&question(name))) {
        return;
    }
    let store = Store::create(&arguments.dir, durability, 1).expect("a new store opens");
    let run = store.run().expect("a new store takes a run");
    let placement = Placement::apart();
    let shard_cpus = shard_threads()[0].cpu().map_or_else(allowed_cpus, |cpu| vec![cpu]);
    let (rounds, count) = (arguments.pick(15, 2), arguments.pick(50_000, 2000));
    let answers = alone(&placement, || rounds_of(&run, &shard_cpus, rounds, count));
    let setting = Setting { mode, value_size: VALUE_SIZE, batch_size: 1, clients: 1, shards: 1, placement };
    let in_memory = durability == Durability::InMemory;
    if in_memory {
        let (own, peer) = (&answers.channel, &answers.crossbeam);
        for (part, own, peer) in [("p50", &own.p50, &peer.p50), ("p99", &own.p99, &peer.p99)] {
            let figure = Figure::new(format!("bare_channel_round_trip_{part}"), "us", own.clone());
            report.add(&figure.against(&format!("two bare crossbeam channels {part}"), peer));
        }
    }
    let rows = [
        ("put", &answers.put, Some(&answers.map_put), Some(if in_memory { 1.2 } else { 2.0 })),
        ("get", &answers.get, Some(&answers.map_get), Some(0.1)),
        ("append", &answers.append, None, None),
        ("snapshot", &answers.snapshot, None, Some(0.1)),
    ];
    for (name, own, map, most) in rows {
        let part = |part: &str| format!("{}_{part}", question(name));
        let mut figure = Figure::new(part("p50"), "us", own.p50.clone())
            .with(&setting)
            .against("bare channel round trip p50", &answers.channel.p50);
        if let Some(map) = map {
            figure = figure.note("bare_fx_hash_map_p50_us", map.p50.median());
        }
        report.add(&match most {
            Some(most) => figure.goal(Goal::AtMost(most)),
            None => figure,
        });
        let tails = [("p99", &own.p99, &answers.channel.p99), ("p999", &own.p999, &answers.channel.p999)];
        for (name, own, channel) in tails {
            let limit = format!("bare channel round trip {name}");
            report.add(&Figure::new(part(name), "us", own.clone()).with(&setting).against(&limit, channel));
        }
        let tail = Figure::new(part("p99_over_mean"), "x", own.tail.clone()).with(&setting);
        report.add(&tail.goal(Goal::AtMost(TAIL_MAX)));
    }
}

fn rounds_of(run: &RunHandle, shard_cpus: &[usize], rounds: usize, count: usize) -> Answers {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let key = |index: usize| keys[index % KEY_COUNT].as_str();
    let mut map = BareMap::new();
    keys.iter().for_each(|key| map.put(key, &value));
    let put = |index| {
        run.put(key(index), value.as_str()).expect("a put is taken");
    };
    let get = |index| drop(black_box(run.get(key(index)).expect("a get is answered")));
    let append = |_| {
        run.append("observation", value.as_str()).expect("an append is taken");
    };
    let snapshot = |_| drop(black_box(run.snapshot().expect("a snapshot opens")));
    let mut answers = Answers::default();
    for _ in 0..rounds {
        answers.channel.push(&channel_round(shard_cpus, count));
        answers.crossbeam.push(&crossbeam_round(shard_cpus, count));
        (0..WARM_UP.max(KEY_COUNT)).for_each(put);
        answers.put.push(&Latencies::of(count, put));
        (0..WARM_UP).for_each(get);
        answers.get.push(&Latencies::of(count, get));
        answers.append.push(&Latencies::of(count, append));
        answers.snapshot.push(&Latencies::of(count, snapshot));
        answers.map_put.push(&Latencies::of(count, |index| map.put(key(index), &value)));
        answers.map_get.push(&Latencies::of(count, |index| drop(black_box(map.get(key(index))))));
    }
    answers
}

/// Measures a get of a run that is larger than the caches, in memory.
pub(crate) fn measure_cold(arguments: &Arguments, report: &mut Report) {
    let question = "get_in_memory_of_a_million_keys_p50";
    if !arguments.wants(question) {
        return;
    }
    let store = Store::create(&arguments.dir, Durability::InMemory, 1).expect("a new store opens");
    let run = store.run().expect("a new store takes a run");
    let (keys, value) = (keys(arguments.pick(COLD_KEY_COUNT, KEY_COUNT)), value(VALUE_SIZE));
    for call in keys.chunks(CALL_SIZE) {
        run.put_many(call.iter().map(|key| (key, value.as_str()))).expect("a call is taken");
    }
    let mut map = BareMap::new();
    keys.iter().for_each(|key| map.put(key, &value));
    let placement = Placement::apart();
    let (mut own, mut bare) = (Rounds::new(), Rounds::new());
    let count = arguments.pick(50_000, 2000);
    alone(&placement, || {
        for round in 0..arguments.pick(15, 2) {
            // Keys are in an order of no rule, and a round takes the next ones.
            let key = |index: usize| keys[(round * count + index) % keys.len()].as_str();
            let get = |index| drop(black_box(run.get(key(index)).expect("a get is answered")));
            own.push(Latencies::of(count, get).median());
            bare.push(Latencies::of(count, |index| drop(black_box(map.get(key(index))))).median());
        }
    });
    let setting = Setting {
        mode: mode_name(Durability::InMemory),
        value_size: VALUE_SIZE,
        batch_size: 1,
        clients: 1,
        shards: 1,
        placement,
    };
    let figure = Figure::new(question, "us", own).with(&setting).against("bare FxHashMap", &bare);
    report.add(&figure.goal(Goal::AtMost(0.4)));
}

/// The shard sleeps meanwhile, so the bare thread has its CPU.
fn channel_round(cpus: &[usize], count: usize) -> Latencies {
    let channel = BareChannel::start(cpus);
    let round_trip = |index| {
        black_box(channel.round_trip(index as u64));
    };
    (0..WARM_UP).for_each(round_trip);
    Latencies::of(count, round_trip)
}

/// The same over the peer's queues, on the same CPUs.
fn crossbeam_round(cpus: &[usize], count: usize) -> Latencies {
    let channels = BareCrossbeam::start(cpus);
    let round_trip = |index| {
        black_box(channels.round_trip(index as u64));
    };
    (0..WARM_UP).for_each(round_trip);
    Latencies::of(count, round_trip)
}
