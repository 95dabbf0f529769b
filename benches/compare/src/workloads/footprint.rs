//! What a key takes of memory and of the disk. Each engine is weighed in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command as Process;

use strata_benches::timing::Rounds;

use crate::command::Command;
use crate::engine::{Ability, Engine, Promise};
use crate::engines::ENGINES;
use crate::row::{Row, Unit};

const VALUE_SIZE: usize = 128;
/// Keys of a call that fills a store.
const FILL_SIZE: usize = 1000;
/// Keys of a scan of all of them, a call.
const SCAN_COUNT: usize = 1000;

/// What is weighed, in the order processes tell it.
const QUESTIONS: [&str; 5] = [
    "resident memory a key, 32 + 128 bytes, without durability",
    "the same, handed to the kernel",
    "the same after a scan and a transaction",
    "disk a key, after closing",
    "disk a key, compacted, without history",
];

/// Memory and disk of a key of 32 bytes with a value of 128.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    if !QUESTIONS.iter().any(|question| command.wants(question)) {
        return;
    }
    let mut answers: [Vec<(&'static dyn Engine, Rounds)>; 5] = Default::default();
    for engine in command.engines().filter(|engine| engine.can(Ability::Get)) {
        let mut weights: [Rounds; 5] = Default::default();
        for _ in 0..command.pick(3, 1) {
            let told = weigh_alone(command, engine);
            weights.iter_mut().zip(told).for_each(|(weight, told)| weight.push(told));
        }
        for (answers, weight) in answers.iter_mut().zip(weights) {
            // A limit has no file and reads nothing in order, and not everybody has a mode without durability.
            if weight.median() > 0.0 {
                answers.push((engine, weight));
            }
        }
    }
    for (question, answers) in QUESTIONS.into_iter().zip(answers) {
        if command.wants(question) {
            tell(Row { question: question.to_string(), unit: Unit::Bytes, answers });
        }
    }
}

/// Starts this program again, for each of two stores, to weigh one engine.
fn weigh_alone(command: &Command, engine: &dyn Engine) -> [f64; 5] {
    let weigh = |is_bare: bool| -> Vec<f64> {
        let mut process = Process::new(std::env::current_exe().expect("this program is a file"));
        process.args(["--weigh", engine.name(), "--dir"]).arg(&command.dir);
        process.args(is_bare.then_some("--bare")).args(command.is_quick.then_some("--quick"));
        let output = process.output().expect("this program can be started again");
        assert!(output.status.success(), "{}: {}", engine.name(), String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a weighed process tells numbers")
    };
    let bare = match engine.settings(Promise::Nothing) {
        Some(_) => weigh(true)[0],
        None => 0.0,
    };
    let kept = weigh(false);
    [bare, kept[0], kept[1], kept[2], kept[3]]
}

/// In a process of its own: fills a store of one engine, without durability when it is to be bare, and tells what a key of it
/// takes: of memory, the same after reads, of the disk, the same after compaction.
///
/// # Panics
/// If there is no such engine.
pub fn weigh(command: &Command, name: &str) -> [f64; 4] {
    let engine =
        ENGINES.iter().copied().find(|engine| engine.name() == name).expect("an engine has this name");
    let promise = match engine.settings(Promise::Kernel) {
        Some(_) if !command.is_bare => Promise::Kernel,
        _ => engine.least(),
    };
    let directory = tempfile::tempdir_in(&command.dir).expect("there is a place for a store");
    let count = command.pick(200_000, 5_000);
    let value = "v".repeat(VALUE_SIZE);
    let store = engine.open(directory.path(), promise, 1);
    let before = resident();
    {
        let mut session = store.session(0);
        for start in (0..count).step_by(FILL_SIZE) {
            let keys: Vec<String> =
                (start..start + FILL_SIZE).map(|number| format!("key/{number:028}")).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            session.put(&keys, &value);
        }
    }
    let a_key = |bytes: u64| bytes as f64 / count as f64;
    let filled = a_key(resident().saturating_sub(before));
    let mut read = 0.0;
    if engine.can(Ability::Scan) {
        let mut session = store.session(0);
        session.scan(SCAN_COUNT);
        session.transact("key/a", "key/b", &value);
        read = a_key(resident().saturating_sub(before));
    }
    drop(store);
    let closed = a_key(size_of(directory.path()));
    let mut compacted = 0.0;
    if !command.is_bare && engine.can(Ability::Reopening) {
        let mut store = engine.open(directory.path(), promise, 1);
        store.compact();
        drop(store);
        compacted = a_key(size_of(directory.path()));
    }
    [filled, read, closed, compacted]
}

/// Bytes of this process that are in memory, files that it maps included.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells what a process takes");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is told");
    1024 * line
        .split_whitespace()
        .next()
        .and_then(|number| number.parse::<u64>().ok())
        .expect("a number of KiB")
}

/// Bytes that the files below a directory take of the disk: holes in them do not count.
fn size_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
        true => size_of(&entry.path()),
        false => entry.metadata().map_or(0, |metadata| 512 * metadata.blocks()),
    });
    sizes.sum()
}
