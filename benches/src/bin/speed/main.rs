//! What does one call cost, and one call of 64, in each durability mode?
//!
//! | figure | how it is measured | limit beside it |
//! |---|---|---|
//! | `put_*_synchronous`, and the same of `get`, `append` and `snapshot` | one client on another CPU than the one shard, each call waited for and timed; p50, p99, p99.9 and p99 over the mean of each round | a bare round trip over the same mailbox and reply slot; a bare FxHashMap on the client's own thread |
//! | `get_in_memory_of_a_million_keys` | the same, of a run that no cache holds | a bare FxHashMap of as many |
//! | `bare_channel_round_trip` | that bare round trip, in the same rounds | the same word over two bare crossbeam channels, both sides always awake |
//! | `put_*_calls_of_64` | 1, 2 and 4 clients, each call waited for; puts of all clients over the time of a round | a bare FxHashMap with the same keys and values; with one `pwrite`, or one durable append, per 64 |
//! | `put_strict_one_client` | as synchronous | the raw durable append of 4 KiB in the same directory |
//! | `put_strict_16_clients` | 16 closed-loop clients, commits of a round over its time | a bare group commit with 16 threads on the raw log |
//!
//! Rounds of a figure and rounds of its limit take turns.
#![forbid(unsafe_code)]

mod calls;
mod strict;
mod synchronous;

use std::process::ExitCode;

use strata::Durability;
use strata_benches::arguments::Arguments;
use strata_benches::report::Report;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("speed", &arguments);
    for durability in [Durability::InMemory, Durability::Buffered] {
        synchronous::measure(&arguments, durability, &mut report);
    }
    synchronous::measure_cold(&arguments, &mut report);
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
        calls::measure(&arguments, durability, &mut report);
    }
    strict::measure_one_client(&arguments, &mut report);
    strict::measure_many_clients(&arguments, &mut report);
    report.end()
}
