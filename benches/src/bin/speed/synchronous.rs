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
use strata_benches::workload::{Store, VALUE_SIZE, keys, mode_name, value};

/// Keys that fit the caches: what a run works with at the moment.
const KEY_COUNT: usize = 1000;
/// Calls before a round that are not timed: both sides are awake afterwards.
const WARM_UP: usize = 500;

/// The numbers of one question over the rounds.
#[derive(Default)]
struct Distribution {
    p50: Rounds,
    p99: Rounds,
    p999: Rounds,
}

impl Distribution {
    fn push(&mut self, latencies: &Latencies) {
        self.p50.push(latencies.median());
        self.p99.push(latencies.percentile(0.99));
        self.p999.push(latencies.percentile(0.999));
    }
}

#[derive(Default)]
struct Answers {
    put: Distribution,
    get: Distribution,
    channel: Distribution,
    crossbeam: Distribution,
    map_put: Distribution,
    map_get: Distribution,
}

/// Measures put and get of one key a call.
pub(crate) fn measure(arguments: &Arguments, durability: Durability, report: &mut Report) {
    let mode = mode_name(durability);
    if !arguments.wants(&format!("put_{mode}_synchronous"))
        && !arguments.wants(&format!("get_{mode}_synchronous"))
    {
        return;
    }
    let store = Store::create(&arguments.dir, durability, 1).expect("a new store opens");
    let run = store.run().expect("a new store takes a run");
    let placement = Placement::apart();
    let shard_cpus = shard_threads()[0].cpu().map_or_else(allowed_cpus, |cpu| vec![cpu]);
    let (rounds, count) = (arguments.pick(15, 2), arguments.pick(50_000, 2000));
    let answers = alone(&placement, || rounds_of(&run, &shard_cpus, rounds, count));
    let setting = Setting { mode, value_size: VALUE_SIZE, batch_size: 1, clients: 1, shards: 1, placement };
    if durability == Durability::InMemory {
        let (own, peer) = (&answers.channel, &answers.crossbeam);
        for (part, own, peer) in [("p50", &own.p50, &peer.p50), ("p99", &own.p99, &peer.p99)] {
            let figure = Figure::new(format!("bare_channel_round_trip_{part}"), "us", own.clone());
            report.add(&figure.against(&format!("two bare crossbeam channels {part}"), peer));
        }
    }
    let pairs = [("put", &answers.put, &answers.map_put), ("get", &answers.get, &answers.map_get)];
    for (name, own, map) in pairs {
        let question = |part: &str| format!("{name}_{mode}_synchronous_{part}");
        let figure = Figure::new(question("p50"), "us", own.p50.clone())
            .with(&setting)
            .against("bare channel round trip p50", &answers.channel.p50)
            .note("bare_fx_hash_map_p50_us", map.p50.median());
        report.add(&if durability == Durability::InMemory { figure.goal(Goal::AtMost(2.0)) } else { figure });
        let tails = [("p99", &own.p99, &answers.channel.p99), ("p999", &own.p999, &answers.channel.p999)];
        for (part, own, channel) in tails {
            let limit = format!("bare channel round trip {part}");
            report
                .add(&Figure::new(question(part), "us", own.clone()).with(&setting).against(&limit, channel));
        }
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
    let mut answers = Answers::default();
    for _ in 0..rounds {
        answers.channel.push(&channel_round(shard_cpus, count));
        answers.crossbeam.push(&crossbeam_round(shard_cpus, count));
        (0..WARM_UP.max(KEY_COUNT)).for_each(put);
        answers.put.push(&Latencies::of(count, put));
        (0..WARM_UP).for_each(get);
        answers.get.push(&Latencies::of(count, get));
        answers.map_put.push(&Latencies::of(count, |index| map.put(key(index), &value)));
        answers.map_get.push(&Latencies::of(count, |index| drop(black_box(map.get(key(index))))));
    }
    answers
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
