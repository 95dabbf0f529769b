//! A process is killed with SIGKILL at any moment, and what it was told is still there.
//!
//! A child (this binary again) writes to one store from several threads, forks a run of it, merges forks into another and reverts that,
//! erases, exports and imports, and compacts it again and again, and says on a pipe what was acknowledged. Each may have another number of
//! shards. It is killed, the store is reopened, and the two are compared, older versions among them. 40 kills by default;
//! `STRATA_KILLS=2000` is the long form.

mod effects;
mod merges;
mod parcel;
mod secrets;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use strata::{
    Compaction, Database, Direction, Durability, ErrorKind, OperationId, Options, Reads, Retention,
    RunHandle, RunId, RunSpec, Value, Version, Writes,
};
use support::{Dice, busy_options, number, process, script, seed};

use crate::merges::Merges;
use crate::parcel::Parcel;
use crate::secrets::Secrets;

const WRITERS: u64 = 3;
/// Forks that are there at a time.
const FORKS: usize = 8;
const STORE: &str = "STRATA_KILL_STORE";
const MODE: &str = "STRATA_KILL_MODE";
const SHARDS: &str = "STRATA_KILL_SHARDS";

/// What the writers of a store are promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Strict,
    Buffered,
    /// A Buffered store; the first writer asks for Strict at every call.
    Mixed,
}

const MODES: [Mode; 3] = [Mode::Strict, Mode::Buffered, Mode::Mixed];

#[test]
fn no_acknowledged_commit_is_lost_to_a_sigkill_and_none_is_half_there() {
    let name = "no_acknowledged_commit_is_lost_to_a_sigkill_and_none_is_half_there";
    if process::is_child(name) {
        write_until_killed();
    }
    let seed = seed();
    let kills = number("STRATA_KILLS", 40);
    let mut dice = Dice::new(seed);
    let (mut acknowledged_count, mut erased_count, mut import_count) = (0, 0, 0);
    let mut kill = 0;
    while kill < kills {
        // A new store every few kills, so that creation is killed too.
        let mode = MODES[dice.below(3) as usize];
        let scratch = tempfile::tempdir().unwrap();
        let store = scratch.path().join("strata.db");
        let mut told = Told::default();
        for _ in 0..6.min(kills - kill) {
            kill += 1;
            println!("kill {kill} of {kills}, {mode:?}, after {} acknowledged commits", told.count());
            kill_one(name, &store, mode, &mut dice, &mut told);
            // Some crashes are recovered by the next child, which is killed in its turn.
            if dice.below(4) > 0 {
                reopen_and_compare(&store, mode, &mut told, &mut dice);
            }
        }
        reopen_and_compare(&store, mode, &mut told, &mut dice);
        acknowledged_count += told.count();
        erased_count += told.secrets.erased();
        import_count += told.parcel.imports();
    }
    println!("{kills} kills, {acknowledged_count} acknowledged commits, all there");
    println!("among them {erased_count} secrets that were erased, and {import_count} imports");
    assert!(acknowledged_count > kills, "the children had time to write");
}

/// What the outside world has heard of a store.
#[derive(Default)]
struct Told {
    /// Each writer's newest step that was acknowledged or read back.
    steps: [u64; WRITERS as usize],
    /// Each writer's newest entry in the shared run.
    entries: [u64; WRITERS as usize],
    /// Where an acknowledged entry of the shared run stands: (writer, entry) to sequence.
    places: HashMap<(u64, u64), u64>,
    /// Forks of the shared run that are there, with how many entries each began with.
    forks: HashMap<RunId, u64>,
    secrets: Secrets,
    parcel: Parcel,
    merges: Merges,
}

impl Told {
    fn count(&self) -> u64 {
        let others =
            self.forks.len() as u64 + self.secrets.count() + self.parcel.count() + self.merges.count();
        self.steps.iter().chain(&self.entries).sum::<u64>() + others
    }

    /// Takes one line of a child; `false` for one that is not a message.
    fn hear(&mut self, line: &str) -> bool {
        let mut words = line.split(' ');
        let word = words.next();
        if let Some("fork" | "unfork") = word {
            let Some(fork) = words.next().and_then(|id| id.parse().ok()) else { return false };
            match words.next().and_then(|count| count.parse().ok()) {
                Some(count) => drop(self.forks.insert(fork, count)),
                // It is about to be deleted: whether it was is not known.
                None => drop(self.forks.remove(&fork)),
            }
            return true;
        }
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        match (word, &numbers[..]) {
            (Some("opened"), []) => {}
            (Some("step"), &[writer, step]) => {
                let known = &mut self.steps[writer as usize];
                *known = step.max(*known);
            }
            (Some("entry"), &[writer, entry, sequence]) => {
                self.entries[writer as usize] = entry.max(self.entries[writer as usize]);
                self.places.insert((writer, entry), sequence);
            }
            (Some(word), numbers) => {
                return self.secrets.hear(word, numbers)
                    || self.parcel.hear(word, numbers)
                    || self.merges.hear(word, numbers);
            }
            _ => return false,
        }
        true
    }
}

/// Starts a child, kills it at a moment of chance, and hears what it said.
fn kill_one(name: &str, store: &Path, mode: Mode, dice: &mut Dice, told: &mut Told) {
    let mut command = process::command(name);
    // Some of them give the store another number of shards first, and are killed over that.
    let shards = dice.below(4);
    command.env(STORE, store).env(MODE, format!("{mode:?}")).env(SHARDS, shards.to_string());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = lines_of(child.stderr.take().unwrap());
    let mut other = Vec::new();
    let mut hear = |line: String| {
        if !told.hear(&line) {
            other.push(line);
        }
    };
    // Either soon, while it creates or recovers, or after some messages and a little more.
    let messages = if dice.below(4) == 0 { 0 } else { dice.below(150) };
    println!("  a child with {shards} shards, killed behind {messages} messages");
    for _ in 0..messages {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => hear(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("the child stopped writing"),
        }
    }
    let little_more = Duration::from_micros(dice.below(if messages == 0 { 40_000 } else { 3_000 }));
    if let Ok(line) = lines.recv_timeout(little_more) {
        hear(line);
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    lines.iter().for_each(hear);
    assert_eq!(status.signal(), Some(9), "the child ended by itself:\n{}", other.join("\n"));
    // A thread that panics does not end the child, since the others write on; what it says goes between the messages and tears them.
    assert!(other.is_empty(), "the child said what is no message:\n{}", other.join("\n"));
}

fn lines_of(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

fn reopen_and_compare(store: &Path, mode: Mode, told: &mut Told, dice: &mut Dice) {
    let shards = dice.below(4) as usize;
    println!("  compared with {shards} shards");
    let database = Database::open(store, store_options(mode, shards)).expect("a killed store opens again");
    for writer in 0..WRITERS {
        let name = writer_name(writer);
        let known = told.steps[writer as usize];
        let version = script::expect_whole(&database, &name);
        let steps = version.saturating_sub(1);
        assert!(steps >= known, "writer {writer} was told of step {known}, the store has {steps}");
        assert!(
            steps <= known + 1,
            "writer {writer} waits for one step, {known} were told, {steps} are there"
        );
        let Ok(run) = script::begin(&database, &name) else { panic!("writer {writer} has no run") };
        // What was under way has an unknown outcome: sent again, twice, it happens once.
        script::step(&run, known + 1).expect("a resent step is answered");
        script::step(&run, known + 1).expect("a resent step is answered");
        assert_eq!(script::expect_whole(&database, &name), known + 2, "step {} happened once", known + 1);
        told.steps[writer as usize] = known + 1;
        (0..3).for_each(|_| compare_past(&run, &name, 1 + dice.below(known + 2), known + 2, mode));
    }
    if dice.below(4) == 0 {
        // Nothing that was left is in its way.
        println!("  compacted");
        database.compact(Compaction::Full).expect("a killed store is compacted");
        let verified = database.verify(|_| {}).expect("a killed store is read");
        assert!(verified.damage.is_empty(), "{:?}", verified.damage);
        told.secrets.expect_gone(store);
    }
    compare_shared(&database, told);
    compare_forks(&database, told);
    told.secrets.compare(&database);
    told.parcel.compare(&database, store);
    told.merges.compare(&database);
    database.close().expect("a reopened store closes");
}

/// A version of a writer's run that is kept is what it was.
fn compare_past(run: &RunHandle, name: &str, version: u64, newest: u64, mode: Mode) {
    let kept = match store_options(mode, 0).retention {
        Retention::KeepLast(count) => count,
        _ => newest,
    };
    match run.at(Version(version)) {
        Ok(past) => script::expect_whole_at(&past, name, version),
        Err(error) => {
            let is_trimmed = error.kind() == ErrorKind::HistoryTrimmed && version + kept <= newest;
            assert!(is_trimmed, "{name} at {version} of {newest}: {error}");
        }
    }
}

/// Every entry that was acknowledged stands where its writer was told, and none is there twice.
fn compare_shared(database: &Database, told: &mut Told) {
    let run = script::begin(database, "shared").expect("the shared run can be had");
    for writer in 0..WRITERS {
        let known = told.entries[writer as usize];
        let first = enter(&run, writer, known + 1);
        assert_eq!(first, enter(&run, writer, known + 1), "a resent entry is answered as the first time");
        told.entries[writer as usize] = known + 1;
        told.places.insert((writer, known + 1), first);
    }
    let count = run.event_count().unwrap().value;
    assert_eq!(count, told.entries.iter().sum::<u64>(), "the shared run has every entry once");
    let mut newest = [0; WRITERS as usize];
    let mut next = Some(0);
    while let Some(start) = next {
        let page = run.events(start, 1000, Direction::Forward).unwrap();
        for event in page.events {
            let writer: u64 = event.kind.parse().expect("an entry's type is its writer");
            newest[writer as usize] += 1;
            assert_eq!(
                event.payload,
                Value::Int(newest[writer as usize]),
                "entries of writer {writer} in order"
            );
            let place = told.places.get(&(writer, newest[writer as usize] as u64));
            assert!(place.is_none_or(|place| *place == event.sequence), "an entry stands where it was told");
        }
        next = page.next;
    }
    assert!(run.verify_chain().unwrap().valid, "the chain of the shared run holds");
}

/// Every fork that was acknowledged holds what the shared run held then, and its own entry.
fn compare_forks(database: &Database, told: &Told) {
    let shared = database.run(script::id_of("shared"));
    for (fork, count) in &told.forks {
        let fork = database.run(*fork);
        assert_eq!(fork.event_count().expect("an acknowledged fork is there").value, count + 1);
        assert!(fork.verify_chain().unwrap().valid, "the chain of a fork holds");
        let own = fork.event(*count).unwrap().expect("a fork has its own entry");
        assert_eq!((&*own.kind, own.payload), ("fork", Value::Int(*count as i64)));
        if let Some(newest) = count.checked_sub(1) {
            assert_eq!(
                fork.event(newest).unwrap(),
                shared.event(newest).unwrap(),
                "a fork has what it began with"
            );
        }
    }
}

/// With so many shards, or with those that the store has.
fn store_options(mode: Mode, shards: usize) -> Options {
    let durability = if mode == Mode::Strict { Durability::Strict } else { Durability::Buffered };
    Options { shards: (shards > 0).then_some(shards), ..busy_options(durability, 1) }
}

fn writer_name(writer: u64) -> String {
    format!("writer-{writer}")
}

/// Appends one entry to the shared run; sent again, it is answered as the first time.
fn enter(run: &RunHandle, writer: u64, entry: u64) -> u64 {
    let id = OperationId(((u128::from(writer) << 64) | u128::from(entry)).to_le_bytes());
    run.with_operation_id(id).append(&writer.to_string(), entry as i64).expect("an entry is taken").sequence
}

/// The child: writes for ever, and says what it was told.
fn write_until_killed() -> ! {
    let store = std::env::var_os(STORE).expect("the parent names the store");
    let mode = std::env::var(MODE).expect("the parent names the mode");
    let mode = *MODES.iter().find(|known| format!("{known:?}") == mode).expect("a mode of this test");
    let shards = std::env::var(SHARDS).unwrap().parse().unwrap();
    let database = Database::open(&store, store_options(mode, shards)).expect("the store opens");
    say("opened");
    match database.create_run(RunSpec::named("shared")) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), strata::ErrorKind::AlreadyExists, "{error}"),
    }
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let database = &database;
            scope.spawn(move || write(database, writer, mode));
        }
        scope.spawn(|| fork(&database));
        scope.spawn(|| merges::merge(&database));
        scope.spawn(|| compact(&database));
        scope.spawn(|| secrets::keep(&database));
        scope.spawn(|| parcel::send(&database, Path::new(&store)));
    });
    unreachable!("writers write until they are killed");
}

fn write(database: &Database, writer: u64, mode: Mode) {
    let strict = mode == Mode::Mixed && writer == 0;
    let raise = |run: RunHandle| if strict { run.with_durability(Durability::Strict) } else { run };
    let run = raise(script::begin(database, &writer_name(writer)).expect("a writer has a run"));
    let shared = raise(database.run(script::id_of("shared")));
    // What is read back survives from now on, as if it had just been acknowledged.
    let mut step = script::version_of(database, &writer_name(writer)) - 1;
    let newest = shared.event_head_of(&writer.to_string()).expect("the shared run can be read");
    let mut entry = newest.and_then(|event| event.payload.as_int()).unwrap_or(0) as u64;
    say(&format!("step {writer} {step}"));
    if let Some(event) = shared.event_head_of(&writer.to_string()).expect("the shared run can be read") {
        say(&format!("entry {writer} {entry} {}", event.sequence));
    }
    loop {
        step += 1;
        script::step(&run, step).expect("a step is taken");
        say(&format!("step {writer} {step}"));
        entry += 1;
        let sequence = enter(&shared, writer, entry);
        say(&format!("entry {writer} {entry} {sequence}"));
    }
}

/// Forks the shared run for ever, and deletes all but the latest forks.
fn fork(database: &Database) {
    let shared = database.run(script::id_of("shared"));
    let mut forks = VecDeque::new();
    loop {
        let fork = shared.fork().expect("a run is forked");
        let count = fork.event_count().expect("a fork is read").value;
        fork.append("fork", count as i64).expect("a fork takes an entry");
        say(&format!("fork {} {count}", fork.id()));
        forks.push_back(fork);
        if forks.len() > FORKS {
            let oldest = forks.pop_front().expect("there are some");
            say(&format!("unfork {}", oldest.id()));
            oldest.delete_run().expect("a fork is deleted");
        }
    }
}

/// Compacts for ever, most often all there is.
fn compact(database: &Database) {
    for number in 0_u64.. {
        let compaction = if number % 4 == 0 { Compaction::WalOnly } else { Compaction::Full };
        match database.compact(compaction) {
            // An export holds a checkpoint.
            Err(error) if error.kind() == ErrorKind::Busy => {}
            compacted => drop(compacted.expect("the store is compacted")),
        }
        // The writers are to come to something meanwhile.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One write call for each line: a pipe takes it whole, or not at all. A child that is not heard ends.
fn say(line: &str) {
    if std::io::stderr().write_all(format!("{line}\n").as_bytes()).is_err() {
        std::process::abort();
    }
}
