//! A real file system fills up to its last block, at every moment of a store's life, and is given space again.
//!
//! Writers fill a small ext4 while checkpoints are made and somebody else takes every block that is left. What they were told
//! is compared: nothing acknowledged is lost, a refused write is `Full` and did not happen, and writes are taken again as soon
//! as there is space, by a store that was full, closed, or killed there. It needs root, `mkfs.ext4` and a loop device, and says
//! so on stderr where it has none. 6 fills by default; `STRATA_FILLS=100` is the long form, which fails where it cannot run.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strata::{
    Database, Durability, Error, ErrorKind, Options, Reads, Retention, RunHandle, ShardState, Value,
};
use strata_wal::disk::Disk;
use strata_wal::storage::Storage;
use support::small_disk::{SmallDisk, in_own_mounts, say};
use support::{Dice, eventually, number, options, process, script, seed};

const WRITERS: [&str; 3] = ["a", "b", "c"];
const SIZE: u64 = 24 << 20;
const STORE: &str = "STRATA_FILL_STORE";
const MODE: &str = "STRATA_FILL_MODE";

/// How a store leaves the full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It goes on when there is space.
    Resumed,
    /// It is closed and opened again while there is none.
    Closed,
    /// Its process is killed while there is none.
    Killed,
}

#[test]
fn a_file_system_that_is_filled_at_any_moment_costs_nothing_that_was_acknowledged() {
    let name = "a_file_system_that_is_filled_at_any_moment_costs_nothing_that_was_acknowledged";
    if std::env::var_os(STORE).is_some() {
        fill_until_killed();
    }
    in_own_mounts(name, || fill_again_and_again(name));
}

fn fill_again_and_again(name: &str) {
    let mut dice = Dice::new(seed());
    let fills = number("STRATA_FILLS", 6);
    let mut met = BTreeSet::new();
    for fill in 0..fills {
        // Every ending in both modes, and each time as much room as chance has it: from none to some segments and images.
        let ending = [Ending::Resumed, Ending::Closed, Ending::Killed][fill as usize % 3];
        let durability = [Durability::Buffered, Durability::Strict][fill as usize / 3 % 2];
        let block_size = [1024, 4096][dice.below(2) as usize];
        let room = dice.below(6) * dice.below(512 << 10);
        let disk = SmallDisk::mount(SIZE, block_size);
        println!("fill {fill} of {fills}: {ending:?}, {durability}, blocks of {block_size}, room for {room}");
        let scene = Scene { disk: &disk, durability, room, met: Mutex::default() };
        scene.play(name, ending);
        met.extend(scene.met.into_inner().unwrap());
    }
    println!("full was met by {met:?}");
    assert!(met.iter().any(|what| what == "segment"), "writes were refused for want of a segment: {met:?}");
}

/// One file system, and what happens on it.
struct Scene<'a> {
    disk: &'a SmallDisk,
    durability: Durability,
    room: u64,
    /// What was refused for want of space.
    met: Mutex<BTreeSet<String>>,
}

impl Scene<'_> {
    fn play(&self, name: &str, ending: Ending) {
        let mut steps = [0; WRITERS.len()];
        match ending {
            Ending::Killed => self.fill_in_a_child(name, &mut steps),
            Ending::Resumed | Ending::Closed => {
                let database = self.open();
                self.fill(&database, &mut steps);
                self.expect_served(&database, steps);
                if ending == Ending::Resumed {
                    self.resume(&database, &mut steps);
                }
                database.close().expect("closing needs no new space");
            }
        }
        let database = self.open();
        assert_eq!(database.recovery().was_clean, ending != Ending::Killed);
        for (writer, told) in WRITERS.iter().zip(&mut steps) {
            let there = script::expect_whole(&database, writer) - 1;
            let under_way = u64::from(ending == Ending::Killed);
            assert!(
                (*told..=*told + under_way).contains(&there),
                "{writer} was told of {told}, {there} are there"
            );
            *told = there;
        }
        if ending != Ending::Resumed {
            self.resume(&database, &mut steps);
        }
        database.close().expect("a store with space closes");
        expect_steps(&self.open(), steps);
    }

    fn open(&self) -> Database {
        Database::open(self.disk.store(), store_options(self.durability)).expect("opening needs no new space")
    }

    /// Lets writers write until each was refused, while somebody else takes what is left.
    fn fill(&self, database: &Database, steps: &mut [u64]) {
        for (writer, steps) in WRITERS.iter().zip(&mut *steps) {
            script::steps(&script::begin(database, writer).unwrap(), 1..=3);
            *steps = 3;
        }
        self.disk.fill(self.room);
        let writing = AtomicUsize::new(WRITERS.len());
        std::thread::scope(|scope| {
            for (writer, steps) in WRITERS.iter().zip(steps) {
                let writing = &writing;
                scope.spawn(move || {
                    let _ended = Ended(writing);
                    let run = database.run(script::id_of(writer));
                    self.write_until_refused(&run, steps, |_| {});
                });
            }
            scope.spawn(|| self.checkpoint_while(database, || writing.load(Ordering::Relaxed) > 0));
            self.eat_while(|| writing.load(Ordering::Relaxed) > 0);
        });
    }

    /// Takes steps until three in a row were refused.
    fn write_until_refused(&self, run: &RunHandle, steps: &mut u64, told: impl Fn(u64)) {
        let mut refused = 0;
        while refused < 3 {
            match script::step(run, *steps + 1) {
                Ok(_) => (*steps, refused) = (*steps + 1, 0),
                Err(error) => {
                    self.expect_full(&error);
                    refused += 1;
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
            }
            told(*steps);
        }
    }

    fn checkpoint_while(&self, database: &Database, goes_on: impl Fn() -> bool) {
        while goes_on() {
            if let Err(error) = database.checkpoint() {
                self.expect_full(&error);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The space that writers and images leave, and what truncation gives back, goes to somebody else after a while.
    fn eat_while(&self, goes_on: impl Fn() -> bool) {
        let started = Instant::now();
        while goes_on() {
            if started.elapsed() > Duration::from_millis(150) {
                self.disk.fill(0);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn expect_full(&self, error: &Error) {
        assert_eq!(error.kind(), ErrorKind::Full, "a full disk answers Full: {error:?}");
        let what = match error.message() {
            message if message.contains("/SNAPSHOTS") => "image",
            message if message.contains("segment") => "segment",
            message => message,
        };
        self.met.lock().unwrap().insert(what.to_owned());
    }

    /// Everything but writing works on a full disk, and what was refused did not happen.
    fn expect_served(&self, database: &Database, steps: [u64; WRITERS.len()]) {
        expect_steps(database, steps);
        database.sync().expect("what was acknowledged can be made durable");
        for shard in database.stats().unwrap().shards {
            assert_eq!(shard.state, ShardState::Serving, "a full disk is no failed log");
        }
    }

    /// Writes are taken again as soon as there is space, without anything else being done.
    fn resume(&self, database: &Database, steps: &mut [u64]) {
        self.disk.empty();
        for (writer, steps) in WRITERS.iter().zip(steps) {
            let run = database.run(script::id_of(writer));
            eventually("writes are taken again", || match script::step(&run, *steps + 1) {
                Ok(_) => true,
                Err(error) => {
                    self.expect_full(&error);
                    false
                }
            });
            script::steps(&run, *steps + 2..=*steps + 20);
            *steps += 20;
        }
        database.checkpoint().expect("there is space for images");
    }

    /// The same in another process, which is killed when every writer was refused.
    fn fill_in_a_child(&self, name: &str, steps: &mut [u64]) {
        let mut command = process::command(name);
        command.env(STORE, self.disk.store()).env(MODE, self.durability.to_string());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (full, other) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let is_open = AtomicBool::new(false);
        let goes_on = || full.load(Ordering::Relaxed) < WRITERS.len();
        std::thread::scope(|scope| {
            let hearing = scope.spawn(|| {
                for line in lines {
                    let words: Vec<_> = line.split(' ').collect();
                    match (
                        words[0],
                        words.get(1).and_then(|writer| WRITERS.iter().position(|it| it == writer)),
                    ) {
                        ("step", Some(writer)) => steps[writer] = words[2].parse().unwrap(),
                        ("full", Some(_)) => drop(full.fetch_add(1, Ordering::Relaxed)),
                        ("open", None) => is_open.store(true, Ordering::Relaxed),
                        _ => other.lock().unwrap().push(line),
                    }
                }
                // It has ended, by itself where it must not.
                full.store(WRITERS.len(), Ordering::Relaxed);
                is_open.store(true, Ordering::Relaxed);
            });
            eventually("the child has a store with its runs", || is_open.load(Ordering::Relaxed));
            self.disk.fill(self.room + (1 << 20));
            self.eat_while(goes_on);
            child.kill().unwrap();
            hearing.join().unwrap();
        });
        let status = child.wait().unwrap();
        assert_eq!(
            status.signal(),
            Some(9),
            "the child ended by itself:\n{}",
            other.into_inner().unwrap().join("\n")
        );
        self.met.lock().unwrap().insert("kill".to_owned());
    }
}

/// The child: writes until it is full, says so, and goes on until it is killed.
fn fill_until_killed() -> ! {
    // A thread that panics is not waited for by those that write until they are killed.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panicked| {
        tell(panicked);
        std::process::abort();
    }));
    let store = std::env::var_os(STORE).expect("the parent names the store");
    let mode = std::env::var(MODE).expect("the parent names the mode");
    let durability =
        if mode == Durability::Strict.to_string() { Durability::Strict } else { Durability::Buffered };
    let database =
        Database::open(&store, store_options(durability)).expect("the parent leaves room for a store");
    let runs = WRITERS.map(|writer| script::begin(&database, writer).expect("there is room for a run"));
    say("open");
    std::thread::scope(|scope| {
        for (writer, run) in WRITERS.iter().zip(runs) {
            scope.spawn(move || {
                let (mut steps, mut has_told) = (0, false);
                loop {
                    match script::step(&run, steps + 1) {
                        Ok(_) => {
                            steps += 1;
                            say(&format!("step {writer} {steps}"));
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Full, "a full disk answers Full: {error:?}");
                            if !has_told {
                                say(&format!("full {writer}"));
                            }
                            has_told = true;
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            loop {
                if let Err(error) = database.checkpoint() {
                    assert_eq!(error.kind(), ErrorKind::Full, "a full disk answers Full: {error:?}");
                }
            }
        });
    });
    unreachable!("writers write until they are killed");
}

/// With every number of blocks too few, from none to enough, a checkpoint changes nothing; among them are those with
/// which the image can be written and not get its name.
#[test]
fn a_checkpoint_that_lacks_any_number_of_blocks_changes_nothing() {
    in_own_mounts("a_checkpoint_that_lacks_any_number_of_blocks_changes_nothing", || {
        checkpoint_with_every_number_of_blocks(Durability::Buffered);
        checkpoint_with_every_number_of_blocks(Durability::Strict);
    });
}

fn checkpoint_with_every_number_of_blocks(durability: Durability) {
    let disk = SmallDisk::mount(4 * SIZE, 1024);
    let slow =
        Options { checkpoint_log_size: 64 << 20, retention: Retention::KeepAll, ..options(durability, 1) };
    let database = Database::open(disk.store(), slow.clone()).unwrap();
    let run = script::begin(&database, "a").unwrap();
    let mut steps = 0;
    // Until segments were moved: the directory that they go to is there.
    while !disk.store().join("DATA").exists() {
        script::steps(&run, steps + 1..=steps + 20);
        steps += 20;
        database.checkpoint().unwrap();
    }
    // What images make unnecessary is put away by then, and frees nothing later.
    database.close().unwrap();
    let database = Database::open(disk.store(), slow.clone()).unwrap();
    let run = run_of(&database);
    script::steps(&run, steps + 1..=steps + 3);
    steps += 3;
    disk.fill_up();
    for dir in ["SNAPSHOTS", "DATA"] {
        leave_room_for_one_name(&disk, &disk.store().join(dir));
    }
    let (mut refusals, mut blocks) = (Vec::new(), 0);
    while let Err(error) = database.checkpoint() {
        assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
        refusals.push(error.message().to_owned());
        assert_eq!(run.get("left").unwrap().unwrap().value, Value::Int(steps as i64), "reads are served");
        assert!(blocks < 4096, "an image of one run is small: {error}");
        blocks += 1;
        disk.fill_up();
        disk.give_back(blocks << 10);
    }
    let named = refusals.iter().filter(|message| message.contains(".img")).count();
    println!(
        "{durability}: an image needs {blocks} blocks, {named} of {} refusals came at its name",
        refusals.len()
    );
    assert!(refusals.len() > named && named > 0, "both were met: {:?}", refusals.last());
    drop(database);
    let database = Database::open(disk.store(), slow.clone()).expect("opening needs no new space");
    assert_eq!(script::expect_whole(&database, "a"), steps + 1);
    disk.empty();
    script::steps(&run_of(&database), steps + 1..=steps + 20);
    database.checkpoint().expect("there is space for an image");
    database.close().unwrap();
}

/// However few blocks there are, a store is created or it is not, and later it can be.
#[test]
fn a_store_is_created_with_enough_blocks_and_not_with_fewer() {
    let name = "a_store_is_created_with_enough_blocks_and_not_with_fewer";
    in_own_mounts(name, create_with_more_and_more_blocks);
}

fn create_with_more_and_more_blocks() {
    let disk = SmallDisk::mount(SIZE, 4096);
    for room in (0..).step_by(64 << 10) {
        assert!(room < 16 << 20, "an empty store is small");
        disk.fill_up();
        disk.give_back(room);
        match Database::open(disk.store(), store_options(Durability::Strict)) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{room}: {error:?}"),
            Ok(database) => {
                assert!(room > 0, "a store needs some room");
                assert!(database.recovery().created, "an unfinished creation is created in");
                disk.empty();
                script::steps(&script::begin(&database, "a").unwrap(), 1..=3);
                return;
            }
        }
    }
}

/// A Strict store that was opened while the disk was full wrote and synced on its shards' threads ever after, and they served
/// nobody meanwhile: what was looked at, whether blocks can be written directly, had been refused for want of one.
#[test]
fn a_full_disk_is_no_reason_to_write_otherwise_than_on_one_with_space() {
    in_own_mounts("a_full_disk_is_no_reason_to_write_otherwise_than_on_one_with_space", || {
        let disk = SmallDisk::mount(SIZE, 4096);
        let capabilities = || Disk::new().probe(&disk.path()).unwrap();
        let with_space = capabilities();
        disk.fill_up();
        assert_eq!(capabilities().direct, with_space.direct);
        assert_eq!(capabilities().ring, with_space.ring);
    });
}

/// Fills a directory with names until its last block has room for one more of the length of a segment's or an image's.
fn leave_room_for_one_name(disk: &SmallDisk, dir: &Path) {
    let name = |number: u64| dir.join(format!("pad-{number:010}.pad"));
    let refused = (0..200).find(|number| match File::create(name(*number)) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{}: {error}", dir.display());
            true
        }
    });
    match refused.expect("a directory needs a block for some more names, and there is none") {
        // Its last block was full: it gets one more.
        0 => {
            disk.give_back(1 << 10);
            leave_room_for_one_name(disk, dir);
        }
        refused => fs::remove_file(name(refused - 1)).unwrap(),
    }
}

fn run_of(database: &Database) -> RunHandle {
    database.run(script::id_of("a"))
}

fn expect_steps(database: &Database, steps: [u64; WRITERS.len()]) {
    for (writer, steps) in WRITERS.iter().zip(steps) {
        assert_eq!(script::expect_whole(database, writer), steps + 1, "{writer}");
    }
}

/// A store that makes a checkpoint every few commits. In one mode it keeps its history, and fills the disk by itself.
fn store_options(durability: Durability) -> Options {
    let retention =
        if durability == Durability::Strict { Retention::KeepAll } else { Retention::KeepLast(3) };
    let (checkpoint_log_size, checkpoint_interval) = (64 << 10, Duration::from_millis(1));
    let memory_budget = 1 << 20;
    Options { checkpoint_log_size, checkpoint_interval, memory_budget, retention, ..options(durability, 2) }
}

/// Counts one down, however a writer ends.
struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
