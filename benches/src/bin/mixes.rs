//! How long should a thread look before it sleeps, for which mix of clients and shards?
//!
//! 1 to 16 clients, each with a run of its own, over 1 to 4 shards, wherever the kernel puts them. Each puts one key,
//! waits for the answer and puts the next, in memory. Beside what ships the same with other waits, on both sides: park
//! at once, and look for 5 or for 20 us without ever giving up the CPU. Every round of a mix is a new store for each of
//! them, and they take turns in who is first. What ships is held against the best of the others in the same round.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use strata::{Durability, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::clients::closed_loops;
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::Rounds;
use strata_benches::workload::{Store, VALUE_SIZE, keys, value};
use strata_runtime::Spin;

const KEY_COUNT: usize = 1000;
const CLIENT_COUNTS: [usize; 5] = [1, 2, 4, 8, 16];
const SHARD_COUNTS: [usize; 3] = [1, 2, 4];
/// What ships reaches at least so much of the best other, in every mix.
const SHARE_MIN: f64 = 0.8;

/// One way to wait; none is what ships.
struct Policy {
    name: &'static str,
    spin: Option<Spin>,
}

fn policies() -> [Policy; 4] {
    let stubborn = |micros| Some(Spin::stubborn(Duration::from_micros(micros)));
    [
        Policy { name: "park", spin: stubborn(0) },
        Policy { name: "5 us", spin: stubborn(5) },
        Policy { name: "20 us", spin: stubborn(20) },
        Policy { name: "ships", spin: None },
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::read();
    let mut report = Report::begin("mixes", &arguments);
    if arguments.shards.is_empty() {
        arguments.shards = SHARD_COUNTS.to_vec();
    }
    let mut rows = Vec::new();
    for &shards in &arguments.shards {
        for clients in CLIENT_COUNTS {
            let question = format!("put_in_memory_{clients}_clients/{shards}");
            if arguments.wants(&question) {
                rows.push(measure(&arguments, question, clients, shards, &mut report));
            }
        }
    }
    let names: String = policies().iter().map(|policy| format!("{:>8}", policy.name)).collect();
    eprintln!(
        "\nk puts/s, medians; the last column is what ships over the best other, the median of the rounds"
    );
    eprintln!("{:<22}{names}{:>8}", "", "ratio");
    rows.iter().for_each(|row| eprintln!("{row}"));
    report.end()
}

/// Measures one mix; the row of the table that is printed at the end.
fn measure(
    arguments: &Arguments,
    question: String,
    clients: usize,
    shards: usize,
    report: &mut Report,
) -> String {
    let policies = policies();
    let ours = policies.len() - 1;
    let mut rates: Vec<Rounds> = policies.iter().map(|_| Rounds::new()).collect();
    let mut best_other = Rounds::new();
    let mut placement = Placement::anywhere();
    for round in 0..arguments.pick(ROUND_COUNT, 1) {
        let mut best = 0.0_f64;
        for turn in 0..policies.len() {
            let index = (round + turn) % policies.len();
            let rate;
            (rate, placement) = rate_of(arguments, &policies[index], clients, shards);
            rates[index].push(rate);
            if index != ours {
                best = best.max(rate);
            }
        }
        best_other.push(best);
    }
    let row: String = rates.iter().map(|rate| format!("{:>8.0}", rate.median() / 1e3)).collect();
    let ratio = rates[ours].ratio_to(&best_other).median();
    let setting =
        Setting { mode: "in_memory", value_size: VALUE_SIZE, batch_size: 1, clients, shards, placement };
    let mut figure = Figure::new(question, "puts/s", rates[ours].clone())
        .with(&setting)
        .against("the best other wait", &best_other)
        .goal(Goal::RatioAtLeast(SHARE_MIN));
    for (policy, rate) in policies.iter().zip(&rates).take(ours) {
        figure = figure.note(policy.name, rate.median());
    }
    report.add(&figure);
    format!("{:<22}{row}{ratio:>8.2}", format!("{clients} clients, {shards} shards"))
}

/// Rounds of a mix.
const ROUND_COUNT: usize = 7;

/// Puts a second of all clients, who wait as `policy` says, and where they ran.
fn rate_of(arguments: &Arguments, policy: &Policy, clients: usize, shards: usize) -> (f64, Placement) {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    Spin::replace_default(policy.spin);
    let store = Store::create(&arguments.dir, Durability::InMemory, shards).expect("a store in memory opens");
    let run = |client| store.run_on(client % shards).expect("a new store takes a run");
    let mut runs: Vec<RunHandle> = (0..clients).map(run).collect();
    let mut put_for = |length| {
        closed_loops(length, &mut runs, |run, index| {
            run.put(&keys[index % KEY_COUNT], value.as_str()).expect("a put is taken");
        })
    };
    put_for(arguments.pick(Duration::from_millis(10), Duration::from_millis(1)));
    let rate = put_for(arguments.pick(Duration::from_millis(80), Duration::from_millis(2)));
    let placement = Placement::anywhere();
    Spin::replace_default(None);
    (rate, placement)
}
