//! What do more shards bring?
//!
//! One self-contained program: build it with `cargo build --release -p strata-benches --bin scaling`,
//! copy `target/release/scaling` to a bigger machine and start it there. By default it measures 1, 2,
//! 4 ... shards up to the number of CPUs; `--shards 1,2,4,8` says otherwise.
//!
//! - `load_on_shards`: disjoint runs, one a shard, and work made beforehand. Every shard has two
//!   clients that hand it ready batches of 4,096 puts and sleep until each is answered, so one batch
//!   always waits and, while a round lasts, only shards work. Beside it as many threads as shards,
//!   each on its own CPU with a bare FxHashMap and the same keys and values.
//! - `client_threads`: as many clients as shards, each on a run of a shard of its own, in calls of 64
//!   puts that the client makes itself, and one a call; clients and shards share the CPUs. Beside it the same bare maps.
//! - `one_run`: as many clients as `--shards` says share one run of one shard: all put one key, one a call, beside one bare
//!   map behind a mutex; all get its keys, beside one bare map that nobody writes.
//! - `strict_closed_loop`: one client a shard, one put a call, each on stable storage before the next.
//!   Beside it as many threads, each with the raw durable append of 4 KiB to a file of its own.
//!
//! One store with the largest number of shards serves all rounds; in a round of fewer the others sleep.
//! The speed-up of a round is its rate over that of one shard in the same round.
#![forbid(unsafe_code)]

mod client_threads;
mod load_on_shards;
mod one_run;
mod speed_up;
mod strict_closed_loop;

use std::process::ExitCode;

use strata::Durability;
use strata_benches::arguments::Arguments;
use strata_benches::placement::allowed_cpus;
use strata_benches::report::Report;

fn main() -> ExitCode {
    let mut arguments = Arguments::read();
    if arguments.shards.is_empty() {
        let cpus = allowed_cpus().len();
        arguments.shards =
            (0..).map(|power| 1 << power).take_while(|&shards| shards <= cpus.max(2)).collect();
    }
    if arguments.shards[0] != 1 {
        arguments.shards.insert(0, 1);
    }
    let mut report = Report::begin("scaling", &arguments);
    for durability in [Durability::InMemory, Durability::Buffered] {
        load_on_shards::measure(&arguments, durability, &mut report);
    }
    client_threads::measure(&arguments, &mut report);
    one_run::measure(&arguments, &mut report);
    strict_closed_loop::measure(&arguments, &mut report);
    report.end()
}
