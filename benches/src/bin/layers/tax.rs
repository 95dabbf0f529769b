//! A0, A1 and B: what a put costs in a bare map, on the shard, and through the facade.

use std::sync::Arc;

use strata::{Batch, Durability, Error, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::bare_map::BareMap;
use strata_benches::clients::alone;
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds, time};
use strata_benches::workload::{CALL_SIZE, VALUE_SIZE};

use crate::{KEY_SIZE, Load};

const KEY_COUNT: usize = 16 * 1024;
/// Puts of one closure, or of one batch that is ready: enough that its way to the shard and back is nothing beside them.
const COMMIT_SIZE: usize = 1024;

/// What a ratio is to be, and what it must not come near.
#[derive(Clone, Copy)]
struct Bounds {
    target: f64,
    red_flag: Option<f64>,
}

const A1_OVER_A0: Bounds = Bounds { target: 10.0, red_flag: Some(20.0) };
const B_OVER_A1: Bounds = Bounds { target: 5.0, red_flag: Some(8.0) };
const B_OVER_A0: Bounds = Bounds { target: 30.0, red_flag: None };

/// One way to put, and the nanoseconds a put of each round.
struct Way {
    name: &'static str,
    batch_size: usize,
    rounds: Rounds,
}

impl Way {
    fn new(name: &'static str, batch_size: usize) -> Way {
        Way { name, batch_size, rounds: Rounds::new() }
    }

    /// Times `pass`, so many times over, which makes `count` puts each time.
    fn time(&mut self, passes: usize, count: usize, mut pass: impl FnMut()) {
        let elapsed = time(|| (0..passes).for_each(|_| pass()));
        self.rounds.push(elapsed.as_nanos() as f64 / (passes * count) as f64);
    }
}

/// All ways to put.
struct Tax {
    load: Arc<Load>,
    map: BareMap,
    bare: Way,
    closure: Way,
    ready: Way,
    calls: Way,
    synchronous: Way,
    measured: Way,
    placement: Placement,
}

/// Measures all of them, in rounds that take turns.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    if !arguments.wants("facade_tax") {
        return;
    }
    let mut tax = Tax::new();
    for _ in 0..arguments.pick(15, 2) {
        tax.round(arguments);
    }
    tax.tell(report);
}

impl Tax {
    fn new() -> Tax {
        let (load, mut map) = (Arc::new(Load::of(KEY_COUNT)), BareMap::new());
        load.keys.iter().for_each(|key| map.put(key, &load.value));
        Tax {
            load,
            map,
            bare: Way::new("A0 bare FxHashMap", 1),
            closure: Way::new("A1 a closure's puts", COMMIT_SIZE),
            ready: Way::new("A1 ready puts", COMMIT_SIZE),
            calls: Way::new("B calls of 64", CALL_SIZE),
            synchronous: Way::new("B synchronous", 1),
            measured: Way::new("B synchronous, measured", 1),
            placement: Placement::anywhere(),
        }
    }

    fn round(&mut self, arguments: &Arguments) {
        let (passes, single) = (arguments.pick(4, 1), arguments.pick(30_000, 2_000));
        let Tax { load, map, bare, closure, ready, calls, synchronous, measured, placement } = self;
        let put_each = |run: &RunHandle| 1e3 * Latencies::of(single, |index| load.put(run, index)).median();

        let (store, run) = load.store(&arguments.dir, Durability::InMemory, false);
        let mut batches = vec![ready_batches(&run, load); passes].into_iter();
        *placement = Placement::apart();
        alone(placement, || {
            bare.time(passes, KEY_COUNT, || load.keys.iter().for_each(|key| map.put(key, &load.value)));
            closure.time(passes, KEY_COUNT, || put_by_closures(&run, load));
            ready.time(passes, KEY_COUNT, || commit_all(&run, batches.next().expect("one for each pass")));
            calls.time(passes, KEY_COUNT, || load.put_all(&run));
            synchronous.rounds.push(put_each(&run));
        });
        store.close().expect("a store closes");

        let (store, run) = load.store(&arguments.dir, Durability::InMemory, true);
        alone(&Placement::apart(), || measured.rounds.push(put_each(&run)));
        store.close().expect("a store closes");
    }

    fn tell(&self, report: &mut Report) {
        let Tax { bare, closure, ready, calls, synchronous, measured, .. } = self;
        let mut table = Vec::new();
        for (name, way, limit, bounds) in [
            ("a1_closure_over_a0", closure, bare, A1_OVER_A0),
            ("a1_ready_over_a0", ready, bare, A1_OVER_A0),
            ("b_calls_of_64_over_a1_closure", calls, closure, B_OVER_A1),
            ("b_calls_of_64_over_a1_ready", calls, ready, B_OVER_A1),
            ("b_synchronous_over_a1_closure", synchronous, closure, B_OVER_A1),
            ("b_synchronous_over_a1_ready", synchronous, ready, B_OVER_A1),
            ("b_calls_of_64_over_a0", calls, bare, B_OVER_A0),
            ("b_synchronous_over_a0", synchronous, bare, B_OVER_A0),
        ] {
            let figure = self.figure(name, way, limit).goal(Goal::RatioAtMost(bounds.target));
            report.note(&match bounds.red_flag {
                Some(red_flag) => figure.note("red_flag", red_flag),
                None => figure,
            });
            table.push(row(way, limit, bounds));
        }
        report.note(&self.figure("b_synchronous_measured", measured, synchronous));
        eprintln!(
            "\nns a put, median [lowest .. highest] of the rounds; a ratio is that of the middle round"
        );
        for Way { name, rounds, .. } in [bare, closure, ready, calls, synchronous, measured] {
            eprintln!("{name:<40}{:>6.0} [{:.0} .. {:.0}]", rounds.median(), rounds.low(), rounds.high());
        }
        table.iter().for_each(|row| eprintln!("{row}"));
        let cost = measured.rounds.ratio_to(&synchronous.rounds).median();
        eprintln!("{:<40}{cost:>6.2}", format!("{} / {}", measured.name, synchronous.name));
    }

    /// The time of a way beside that of another one.
    fn figure(&self, name: &str, way: &Way, limit: &Way) -> Figure {
        let figure = Figure::new(format!("facade_tax_{name}"), "ns/put", way.rounds.clone());
        let setting = Setting {
            mode: "in_memory",
            value_size: VALUE_SIZE,
            batch_size: way.batch_size,
            clients: 1,
            shards: 1,
            placement: self.placement.clone(),
        };
        figure.with(&setting).against(limit.name, &limit.rounds).note("key_size", KEY_SIZE)
    }
}

/// A ratio beside what it is to be.
fn row(way: &Way, limit: &Way, bounds: Bounds) -> String {
    let ratio = way.rounds.ratio_to(&limit.rounds).median();
    let Bounds { target, red_flag } = bounds;
    let flag = red_flag.map_or(String::new(), |red_flag| format!(", red flag {red_flag}"));
    let verdict = match ratio {
        ratio if ratio < target => "met",
        ratio if red_flag.is_some_and(|red_flag| ratio >= red_flag) => "RED FLAG",
        _ => "MISSED",
    };
    let of = format!("{} / {}", way.name, limit.name);
    format!("{of:<40}{ratio:>6.2}  target < {target}{flag}: {verdict}")
}

/// Every key once, in batches that were made beforehand.
fn ready_batches(run: &RunHandle, load: &Load) -> Vec<Batch> {
    let batch_of = |keys: &[String]| {
        let mut batch = run.batch();
        for key in keys {
            batch.put(key, load.value.as_str()).expect("a small put is within the limits");
        }
        batch
    };
    load.keys.chunks(COMMIT_SIZE).map(batch_of).collect()
}

fn commit_all(run: &RunHandle, batches: Vec<Batch>) {
    for batch in batches {
        run.commit(batch).expect("a batch is taken");
    }
}

/// A put of every key, by closures that are shipped to the shard and make them there.
fn put_by_closures(run: &RunHandle, load: &Arc<Load>) {
    for first in (0..KEY_COUNT).step_by(COMMIT_SIZE) {
        let load = Arc::clone(load);
        let done = run.execute(move |scope| {
            for key in &load.keys[first..first + COMMIT_SIZE] {
                scope.put(key, load.value.as_str())?;
            }
            Ok::<_, Error>(())
        });
        done.expect("a closure is taken");
    }
}
