//! What does a store cost that is not used, and what does it leave behind when it is closed?
//!
//! The CPU time of the whole process is read before and after a pause in which nobody calls, in each
//! durability mode; every thread of the store is in it. Then databases in memory are opened and
//! closed one after another, and threads, descriptors and memory are counted before and after.
//! Exceeding a bound here in every round fails the bench: these are promises, not speeds.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use strata::{Database, Durability, RunSpec, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::{Placement, shard_threads};
use strata_benches::report::Report;
use strata_benches::timing::Rounds;
use strata_benches::workload::{Store, VALUE_SIZE, mode_name, value};

/// What an idle shard may use of a CPU, in percent.
const CPU_SHARE_MAX: f64 = 0.5;
/// How long a store is left alone before the measurement, so that its last interval sync is over.
const SETTLING: Duration = Duration::from_millis(200);
/// Databases opened and closed before the first count, for what is made once in a process.
const WARM_UP: usize = 10;
/// How long a thread that was joined may still be listed by the kernel.
const LISTED_MAX: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("idle", &arguments);
    let shard_counts = if arguments.shards.is_empty() { vec![1] } else { arguments.shards.clone() };
    for shards in shard_counts {
        for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
            measure_cpu(&arguments, durability, shards, &mut report);
        }
    }
    measure_leaks(&arguments, &mut report);
    report.end()
}

fn measure_cpu(arguments: &Arguments, durability: Durability, shards: usize, report: &mut Report) {
    let store = Store::create(&arguments.dir, durability, shards).expect("a new store opens");
    for shard in 0..shards {
        let run = store.run_on(shard).expect("a new store takes a run");
        run.put("goal", value(VALUE_SIZE)).expect("a put is taken");
    }
    std::thread::sleep(SETTLING);
    let length = arguments.pick(Duration::from_secs(5), Duration::from_millis(200));
    let (mut whole, mut of_shards) = (Rounds::new(), Rounds::new());
    for _ in 0..5 {
        let (start, before, shards_before) = (Instant::now(), process_cpu_time(), shards_cpu_time());
        std::thread::sleep(length);
        let elapsed = start.elapsed().as_secs_f64() * shards as f64;
        whole.push((process_cpu_time() - before).as_secs_f64() / elapsed * 100.0);
        of_shards.push((shards_cpu_time() - shards_before).as_secs_f64() / elapsed * 100.0);
    }
    let mode = mode_name(durability);
    let placement = Placement::apart();
    let setting = Setting { mode, value_size: VALUE_SIZE, batch_size: 1, clients: 0, shards, placement };
    let figure = Figure::new(format!("idle_{mode}_cpu_a_shard/{shards}"), "% of a CPU", whole)
        .with(&setting)
        .goal(Goal::AtMost(CPU_SHARE_MAX))
        .note("shard_threads_percent", of_shards.median())
        .note("seconds_a_round", length.as_secs_f64());
    report.require(&figure);
}

fn measure_leaks(arguments: &Arguments, report: &mut Report) {
    let count = arguments.pick(1000, 100);
    (0..WARM_UP).for_each(|_| open_and_close());
    let before = Held::now();
    let start = Instant::now();
    (0..count).for_each(|_| open_and_close());
    let each = start.elapsed().as_secs_f64() * 1e6 / count as f64;
    let after = Held::settled(before);
    let left = |before: usize, after: usize| {
        let mut rounds = Rounds::new();
        rounds.push(after as f64 - before as f64);
        rounds
    };
    let threads = Figure::new(
        format!("threads_left_by_{count}_databases"),
        "threads",
        left(before.threads, after.threads),
    );
    report.require(&threads.goal(Goal::AtMost(0.0)));
    let descriptors = left(before.descriptors, after.descriptors);
    let descriptors =
        Figure::new(format!("descriptors_left_by_{count}_databases"), "descriptors", descriptors);
    report.require(&descriptors.goal(Goal::AtMost(0.0)));
    let memory = left(before.resident_kib, after.resident_kib);
    report.add(&Figure::new(format!("memory_left_by_{count}_databases"), "KiB", memory));
    let mut open = Rounds::new();
    open.push(each);
    report.add(&Figure::new("open_begin_put_close_in_memory", "us", open).note("databases", count));
}

fn open_and_close() {
    let database = Database::in_memory().expect("a database in memory opens");
    let run = database.begin_run(RunSpec::default()).expect("a new database takes a run");
    run.put("goal", 1).expect("a put is taken");
    database.close().expect("a database in memory closes");
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    threads: usize,
    descriptors: usize,
    resident_kib: usize,
}

impl Held {
    fn now() -> Held {
        Held {
            threads: entry_count("/proc/self/task"),
            descriptors: entry_count("/proc/self/fd"),
            resident_kib: resident_kib(),
        }
    }

    /// What is held once the kernel lists no more threads than `before`, or has had long enough to.
    fn settled(before: Held) -> Held {
        let start = Instant::now();
        loop {
            let now = Held::now();
            if now.threads <= before.threads || start.elapsed() > LISTED_MAX {
                return now;
            }
            std::thread::yield_now();
        }
    }
}

fn entry_count(dir: &str) -> usize {
    fs::read_dir(dir).expect("the kernel lists what a process holds").count()
}

fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    resident.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn process_cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

fn shards_cpu_time() -> Duration {
    shard_threads().iter().map(|shard| shard.cpu_time).sum()
}
