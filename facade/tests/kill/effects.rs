//! A program of effects is killed with SIGKILL at any moment and run again, by the next child or by the parent: what it was told is not
//! called again.
//!
//! The world is a file to which every call adds a line, before it answers; a line that is written survives the process. 20 kills by
//! default; `STRATA_KILLS` is another number.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use strata::{Database, Error, Reads, RunHandle, RunSpec};

use crate::support::{Dice, number, process, seed};
use crate::{MODE, MODES, Mode, STORE, lines_of, say, store_options};

const WORLD: &str = "STRATA_KILL_WORLD";
const NAMES: [&str; 3] = ["search", "think", "write"];

/// Adds a line for this call, and answers how many there are of its effect, which makes every call another.
fn call(world: &mut File, path: &Path, step: u64) -> i64 {
    world.write_all(format!("{step}\n").as_bytes()).expect("the world is called");
    calls(path)[&step] as i64
}

/// How often each effect was called.
fn calls(path: &Path) -> BTreeMap<u64, u64> {
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        *calls.entry(line.parse().expect("the world is written by whole lines")).or_default() += 1;
    }
    calls
}

/// Executes the program from its beginning, so many effects of it.
fn execute(run: &RunHandle, path: &Path, steps: u64, mut tell: impl FnMut(u64, i64)) {
    let mut world = OpenOptions::new().create(true).append(true).open(path).expect("the world is there");
    let execution = run.begin_execution();
    for step in 0..steps {
        let name = NAMES[step as usize % NAMES.len()];
        let call = || Ok::<_, Error>(call(&mut world, path, step));
        let performed = execution.effect(name, step as i64, call).expect("an effect is taken");
        tell(step, performed.value.as_int().expect("a count was recorded"));
    }
}

fn execute_until_killed() -> ! {
    let store = std::env::var_os(STORE).expect("the parent names the store");
    let world = PathBuf::from(std::env::var_os(WORLD).expect("the parent names the world"));
    let mode = std::env::var(MODE).expect("the parent names the mode");
    let mode = *MODES.iter().find(|known| format!("{known:?}") == mode).expect("a mode of this test");
    let database = Database::open(&store, store_options(mode, 1)).expect("the store opens");
    let run = database.begin_run(RunSpec::named("program")).expect("the program has a run");
    execute(&run, &world, u64::MAX, |step, value| say(&format!("effect {step} {value}")));
    unreachable!("a program of so many effects is killed");
}

/// Takes one line of a child: what an effect came to, which is what it was told to have come to before.
fn hear(line: &str, told: &mut BTreeMap<u64, i64>) {
    let words: Vec<_> = line.split(' ').collect();
    let ["effect", step, value] = words[..] else { panic!("the child said: {line}") };
    let (step, value) = (step.parse().unwrap(), value.parse().unwrap());
    let before = told.insert(step, value);
    assert!(before.is_none_or(|before| before == value), "effect {step} was {before:?} and is {value}");
}

#[test]
fn what_was_acknowledged_of_a_program_that_is_killed_is_not_called_again() {
    let name = "effects::what_was_acknowledged_of_a_program_that_is_killed_is_not_called_again";
    if process::is_child(name) {
        execute_until_killed();
    }
    let mut dice = Dice::new(seed());
    let kills = number("STRATA_KILLS", 20);
    let (mut kill, mut told_count) = (0, 0);
    while kill < kills {
        let mode = if dice.below(2) == 0 { Mode::Strict } else { Mode::Buffered };
        let scratch = tempfile::tempdir().unwrap();
        let (store, world) = (scratch.path().join("strata.db"), scratch.path().join("world"));
        let mut told = BTreeMap::new();
        for _ in 0..5.min(kills - kill) {
            kill += 1;
            let mut command = process::command(name);
            command.env(STORE, &store).env(MODE, format!("{mode:?}")).env(WORLD, &world);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let lines = lines_of(child.stderr.take().unwrap());
            // What is recorded is told again first, so this is a little behind that.
            let messages = told.len() as u64 + dice.below(60);
            for _ in 0..messages {
                match lines.recv_timeout(Duration::from_secs(60)) {
                    Ok(line) => hear(&line, &mut told),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => panic!("the child stopped"),
                }
            }
            if let Ok(line) = lines.recv_timeout(Duration::from_micros(dice.below(2_000))) {
                hear(&line, &mut told);
            }
            child.kill().unwrap();
            let status = child.wait().unwrap();
            lines.iter().for_each(|line| hear(&line, &mut told));
            assert_eq!(status.signal(), Some(9), "the child ended by itself");
        }
        compare(&store, &world, mode, &told);
        told_count += told.len() as u64;
    }
    println!("{kills} kills, {told_count} effects that were acknowledged");
    assert!(told_count > kills, "the children had time to call");
}

/// What was told is recorded and not called again; what was called and not recorded is called again, one effect a kill at most.
fn compare(store: &Path, world: &Path, mode: Mode, told: &BTreeMap<u64, i64>) {
    let database = Database::open(store, store_options(mode, 1)).expect("a killed store opens again");
    let run = database.begin_run(RunSpec::named("program")).expect("the program has a run");
    let before = calls(world);
    let recorded = run.effects(None, usize::MAX).unwrap();
    assert!(recorded.next.is_none() && recorded.effects.len() >= told.len(), "what was told is recorded");
    for (effect, step) in recorded.effects.iter().zip(0..) {
        let (value, called) = (effect.value.result.as_int().unwrap(), before[&step]);
        assert_eq!(effect.value.input.as_int(), Some(step as i64), "each is recorded once, in its order");
        assert!(told.get(&step).is_none_or(|told| *told == value), "effect {step} is what it was told to be");
        // The one that was recorded is the last that was called.
        assert_eq!(value, called as i64, "effect {step} is not called again once it was recorded");
    }
    let count = recorded.effects.len() as u64;
    assert!(before.len() as u64 <= count + 1, "one that is not recorded may have been called");
    execute(&run, world, count, |step, value| assert_eq!(value, before[&step] as i64));
    execute(&run.fork().unwrap(), world, count, |step, value| assert_eq!(value, before[&step] as i64));
    assert_eq!(calls(world), before, "nothing is called again");
    database.close().expect("a reopened store closes");
}
