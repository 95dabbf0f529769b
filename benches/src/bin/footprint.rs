//! How large does a store grow whose keys are overwritten for ever, and does keeping it small hold anybody up?
//!
//! One client overwrites 10,000 keys of a run that keeps its last commit, one a commit, Buffered, one shard. While it writes, the size of the directory is
//! read again and again, against the bytes of the keys and values. Beside it the same without checkpoints: what they cost
//! writers, and how long a turn of the shard takes with and without. Sizes are those of ten times as many commits, the last one
//! after a compaction and a close.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use strata::{CompactReport, Compaction, Database, Durability, Options, Retention, RunSpec, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::figure::{Figure, Goal};
use strata_benches::report::Report;
use strata_benches::timing::{Rounds, rate, time};

const KEY_COUNT: usize = 10_000;
const VALUE_SIZE: usize = 1_024;

/// What one store answered.
struct Answer {
    puts_a_second: f64,
    largest: f64,
    compacted: f64,
    compaction: Duration,
    turn_p999: Duration,
    turn_max: Duration,
    images: u64,
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("footprint", &arguments);
    let (mut with, mut without, mut long) = (Vec::new(), Vec::new(), Vec::new());
    let count = arguments.pick(1_000_000, 20_000);
    for round in 0..arguments.pick(3, 1) {
        let kinds =
            [(4 << 20, count, &mut with), (u64::MAX, count, &mut without), (4 << 20, 10 * count, &mut long)];
        // One of the long ones is enough.
        for (checkpoint_log_size, count, answers) in kinds.into_iter().take(if round == 0 { 3 } else { 2 }) {
            match overwrite(count, checkpoint_log_size) {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    eprintln!("footprint: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    let rounds = |answers: &[Answer], of: fn(&Answer) -> f64| {
        let mut rounds = Rounds::new();
        answers.iter().for_each(|answer| rounds.push(of(answer)));
        rounds
    };
    let put = |answers| rounds(answers, |answer| answer.puts_a_second);
    report.add(&Figure::new("puts", "/s", put(&with)).against("without checkpoints", &put(&without)));
    let p999 = rounds(&with, |answer| micros(answer.turn_p999));
    let p999_without = rounds(&without, |answer| micros(answer.turn_p999));
    let p999 = Figure::new("turn_p999", "us", p999).against("without checkpoints", &p999_without);
    report.add(&p999.goal(Goal::AtMost(1_000.0)));
    report.add(&Figure::new("turn_max", "us", rounds(&with, |answer| micros(answer.turn_max))));
    let long = |of: fn(&Answer) -> f64| rounds(&long, of);
    let p999 = Figure::new("turn_p999_of_ten_times", "us", long(|answer| micros(answer.turn_p999)));
    report.add(&p999.goal(Goal::AtMost(1_000.0)));
    report.add(&Figure::new("largest", "x payload", long(|answer| answer.largest)).goal(Goal::AtMost(8.0)));
    let compacted = Figure::new("compacted", "x payload", long(|answer| answer.compacted));
    report.add(&compacted.goal(Goal::AtMost(3.0)));
    report.add(&Figure::new("compaction", "ms", long(|answer| micros(answer.compaction) / 1e3)));
    report.add(&Figure::new("images", "", long(|answer| answer.images as f64)));
    report.end()
}

fn overwrite(count: usize, checkpoint_log_size: u64) -> Result<Answer, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("strata.db");
    let options = Options {
        durability: Durability::Buffered,
        shards: Some(1),
        checkpoint_log_size,
        retention: Retention::KeepLast(1),
        ..Options::default()
    };
    let database = Database::open(&path, options)?;
    let run = database.create_run(RunSpec::named("run"))?;
    let value = "v".repeat(VALUE_SIZE);
    let keys: Vec<String> = (0..KEY_COUNT).map(|number| format!("key/{number:08}")).collect();
    let payload = (KEY_COUNT * (keys[0].len() + VALUE_SIZE)) as f64;
    let (is_over, largest) = (AtomicBool::new(false), AtomicU64::new(0));
    let elapsed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                largest.fetch_max(size_of_store(&path), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let elapsed = time(|| {
            for number in 0..count {
                run.put(&keys[number % KEY_COUNT], value.as_str()).expect("the store takes writes");
            }
        });
        is_over.store(true, Ordering::Relaxed);
        elapsed
    });
    let stats = database.stats()?.shards.swap_remove(0);
    let mut compacted = Ok(CompactReport::default());
    let compaction = time(|| compacted = database.compact(Compaction::Full));
    compacted?;
    database.close()?;
    Ok(Answer {
        puts_a_second: rate(count, elapsed),
        largest: largest.into_inner() as f64 / payload,
        compacted: size_of_store(&path) as f64 / payload,
        compaction,
        turn_p999: stats.turns.quantile(0.999),
        turn_max: stats.turns.max(),
        images: stats.images,
    })
}

/// Bytes of the files below a directory.
fn size_of_store(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
        true => size_of_store(&entry.path()),
        false => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}
