//! How long requests lie in each layer, as stores tell that measure it.

use std::hint::black_box;

use strata::{Durability, LayerTimes, Reads, RunHandle};
use strata_benches::arguments::Arguments;
use strata_benches::clients::alone;
use strata_benches::figure::{Figure, Setting};
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds};
use strata_benches::workload::{Store, VALUE_SIZE, mode_name};

use crate::{KEY_SIZE, Load};

/// Keys that fit the caches.
const KEY_COUNT: usize = 1000;
const LAYERS: [&str; 4] = ["queue", "shard", "log", "reply"];

/// What is asked, once a call.
#[derive(Clone, Copy)]
enum Call {
    /// By a handle that has read nothing before, so by message.
    Get,
    Put,
}

/// One question and its rounds: the middle and the tail of each layer and of the whole call, microseconds.
struct Question {
    name: &'static str,
    call: Call,
    durability: Durability,
    /// Calls of a round.
    count: usize,
    layers: [[Rounds; 2]; 4],
    whole: [Rounds; 2],
    placement: Placement,
}

/// Measures where the time of gets and puts goes, in rounds that take turns.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    let (many, few) = (arguments.pick(50_000, 2_000), arguments.pick(4_000, 200));
    let mut questions = [
        ("get_in_memory", Call::Get, Durability::InMemory, many),
        ("put_in_memory", Call::Put, Durability::InMemory, many),
        ("put_buffered", Call::Put, Durability::Buffered, many),
        ("put_strict", Call::Put, Durability::Strict, few),
    ]
    .map(|(name, call, durability, count)| Question {
        name,
        call,
        durability,
        count,
        layers: Default::default(),
        whole: Default::default(),
        placement: Placement::anywhere(),
    });
    let is_wanted = |question: &&mut Question| arguments.wants(&format!("layers_of_{}", question.name));
    let load = Load::of(KEY_COUNT);
    for _ in 0..arguments.pick(7, 2) {
        for question in questions.iter_mut().filter(is_wanted) {
            question.round(arguments, &load);
        }
    }
    eprintln!(
        "\nus, p50 and p99 of a round, medians; what lies between the layers and the call is the caller's own"
    );
    let heads: String = LAYERS.iter().chain(&["call"]).map(|layer| format!("{layer:>16}")).collect();
    eprintln!("{:<16}{heads}", "");
    for question in questions.iter_mut().filter(is_wanted) {
        question.tell(report);
    }
}

impl Question {
    fn round(&mut self, arguments: &Arguments, load: &Load) {
        let (store, run) = load.store(&arguments.dir, self.durability, true);
        self.placement = Placement::apart();
        let whole = alone(&self.placement, || {
            Latencies::of(self.count, |index| match self.call {
                Call::Get => get(&store, &run, load.key(index)),
                Call::Put => load.put(&run, index),
            })
        });
        let stats = store.database.stats().expect("an open store tells its counters");
        let told: &LayerTimes = stats.shards[0].layers.as_ref().expect("the store measures layers");
        for (share, place) in [(0.5, 0), (0.99, 1)] {
            for (layer, times) in [&told.queue, &told.shard, &told.log, &told.reply].into_iter().enumerate() {
                self.layers[layer][place].push(times.quantile(share).as_nanos() as f64 / 1e3);
            }
            self.whole[place].push(whole.percentile(share));
        }
        store.close().expect("a store closes");
    }

    /// A figure for each layer, and the row of the table.
    fn tell(&self, report: &mut Report) {
        let setting = Setting {
            mode: mode_name(self.durability),
            value_size: VALUE_SIZE,
            batch_size: 1,
            clients: 1,
            shards: 1,
            placement: self.placement.clone(),
        };
        let mut row = format!("{:<16}", self.name);
        for (layer, rounds) in LAYERS.iter().chain(&["call"]).zip(self.layers.iter().chain([&self.whole])) {
            for (part, rounds) in ["p50", "p99"].iter().zip(rounds) {
                let question = format!("layers_of_{}_{layer}_{part}", self.name);
                let figure = Figure::new(question, "us", rounds.clone()).with(&setting);
                report.note(&figure.note("key_size", KEY_SIZE));
            }
            row += &format!("{:>8.2}{:>8.2}", rounds[0].median(), rounds[1].median());
        }
        eprintln!("{row}");
    }
}

fn get(store: &Store, run: &RunHandle, key: &str) {
    let stranger = store.database.run(run.id());
    black_box(stranger.get(key).expect("a get is answered"));
}
