//! Beginnings and ends: close, drop, fork, panic, and many of everything.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pollster::block_on;
use rustix::process::{WaitOptions, waitpid};
use rustix::time::{ClockId, clock_gettime};
use strata::{
    AsyncReads, AsyncWrites, Database, Direction, Durability, ErrorKind, KvScan, Options, Pipeline, Reads,
    RunFilter, RunHandle, RunSpec, Value, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::held::HeldShard;
use crate::support::tasks::poll_once;
use crate::support::{eventually, open_on, options, process, script};

#[test]
fn handles_that_outlive_close_answer_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    for store in [Some(&path), None] {
        let database = open(store);
        let run = script::begin(&database, "run").unwrap();
        script::step(&run, 1).unwrap();
        database.close().unwrap();
        expect_closed(&run);
    }
    // Nobody keeps the directory: it opens again, with the handle still there.
    let database = open(Some(&path));
    assert!(database.recovery().was_clean);
    assert_eq!(script::expect_whole(&database, "run"), 2);
}

#[test]
fn dropping_a_database_closes_it_for_the_handles_that_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = open(Some(&path));
    let run = script::begin(&database, "run").unwrap();
    script::steps(&run, 1..=5);
    drop(database);
    expect_closed(&run);

    let database =
        Database::open(&path, Options::default()).expect("a dropped database lets go of its directory");
    assert!(database.recovery().was_clean, "dropping closes in order");
    assert_eq!(script::expect_whole(&database, "run"), 6);
}

#[test]
fn calls_under_way_while_the_database_closes_are_done_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 2)).unwrap();
    let acknowledged: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let run = script::begin(&database, &format!("run-{writer}")).unwrap();
            scope.spawn(move || {
                for number in 1.. {
                    match script::step(&run, number) {
                        Ok(_) => acknowledged.store(number, Ordering::SeqCst),
                        Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
                    }
                }
            });
        }
        eventually("everybody writes", || acknowledged.iter().all(|n| n.load(Ordering::SeqCst) > 20));
        database.close().unwrap();
    });
    let database = Database::open(&path, options(Durability::Buffered, 2)).unwrap();
    assert!(database.recovery().was_clean);
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let steps = script::expect_whole(&database, &format!("run-{writer}")) - 1;
        let told = acknowledged.load(Ordering::SeqCst);
        // A close may come between the commit and its answer, but only for the last one.
        assert!(steps == told || steps == told + 1, "writer {writer} was told of {told}, {steps} are there");
    }
}

#[test]
fn in_memory_databases_opened_and_closed_in_a_row_leak_nothing() {
    process::in_own_process("lifetimes::in_memory_databases_opened_and_closed_in_a_row_leak_nothing", || {
        let one = |durable: Option<&Path>| {
            let database = match durable {
                Some(path) => Database::open(path, Options::default()).unwrap(),
                None => Database::in_memory().unwrap(),
            };
            let run = database.begin_run(RunSpec::named("run")).unwrap();
            run.put("plan", 1).unwrap();
            database.close().unwrap();
        };
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("strata.db");
        let before = counts();
        one(None);
        one(Some(&store));
        // A thread that was waited for is counted for a moment more.
        eventually("the first two have left no thread and no descriptor", || counts() == before);
        (0..1000).for_each(|_| one(None));
        (0..30).for_each(|_| one(Some(&store)));
        eventually("there are as many threads and descriptors as before 1,000 databases", || {
            counts() == before
        });
    });
}

/// How many threads and descriptors there are.
fn counts() -> (usize, usize) {
    (threads(), descriptors())
}

/// A waker that unparks the thread which polls: the smallest executor there is.
struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_call_inside_a_future_blocks_its_thread_and_answers() {
    let database = Database::in_memory_with(options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let mut work = std::pin::pin!(async {
        run.put("a", 1)?;
        run.get("a")
    });
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let polled = work.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    let std::task::Poll::Ready(answer) = polled else { panic!("a blocking call is never pending") };
    assert_eq!(answer.unwrap().unwrap().value.as_int(), Some(1));
}

#[test]
fn a_refused_open_leaks_nothing() {
    process::in_own_process("lifetimes::a_refused_open_leaks_nothing", || {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("strata.db");
        let database = Database::open(&store, options(Durability::Buffered, 2)).unwrap();
        let refused = || assert!(Database::open(&store, options(Durability::Buffered, 2)).is_err());
        refused();
        let before = (threads(), descriptors());
        (0..100).for_each(|_| refused());
        assert_eq!((threads(), descriptors()), before);
        database.close().unwrap();
    });
}

#[test]
fn an_idle_store_burns_no_cpu() {
    process::in_own_process("lifetimes::an_idle_store_burns_no_cpu", || {
        let dir = tempfile::tempdir().unwrap();
        let stores = [
            Database::open(dir.path().join("buffered"), options(Durability::Buffered, 2)).unwrap(),
            Database::open(dir.path().join("strict"), options(Durability::Strict, 2)).unwrap(),
            Database::in_memory_with(options(Durability::InMemory, 2)).unwrap(),
        ];
        for database in &stores {
            let run = script::begin(database, "run").unwrap();
            script::steps(&run, 1..=20);
            run.put_with_ttl("lease", 1, Duration::from_secs(3600)).unwrap();
            let _ = database.sync();
        }
        // Doing nothing is what is measured, so this test does nothing, for two seconds.
        let (started, burned) = (Instant::now(), cpu_time());
        std::thread::sleep(Duration::from_secs(2));
        let (elapsed, burned) = (started.elapsed(), cpu_time() - burned);
        let allowed = elapsed.mul_f64(0.005 * 6.0);
        assert!(
            burned < allowed,
            "six idle shards burned {burned:?} of {elapsed:?}, {allowed:?} are allowed"
        );
    });
}

/// Who drops a snapshot sends no message, and for an hour there may be no other: what only he looked at stayed in memory.
#[test]
fn a_store_at_rest_gives_back_what_a_dropped_snapshot_kept() {
    process::in_own_process("lifetimes::a_store_at_rest_gives_back_what_a_dropped_snapshot_kept", || {
        const COUNT: usize = 50;
        let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
        let run = script::begin(&database, "run").unwrap();
        for number in 0..COUNT {
            run.put(&format!("key{number}"), vec![1; 1_000_000]).unwrap();
        }
        let mut snapshot = None;
        eventually("a picture is kept", || {
            run.get("key0").unwrap();
            snapshot = Some(run.snapshot().unwrap());
            database.stats().unwrap().shards[0].pinned > 0
        });
        for number in 0..COUNT {
            run.put(&format!("key{number}"), 1).unwrap();
        }
        assert!(resident() > COUNT * 900_000, "{} bytes", resident());
        drop(snapshot);
        eventually("it is given back, though nobody asks", || resident() < COUNT * 500_000);
    });
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
}

#[test]
fn a_hundred_threads_on_one_store_are_right() {
    const THREADS: u64 = 100;
    const ROUNDS: u64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    // A mailbox that is often full: callers wait for room.
    let tight = || Options { mailbox_capacity: 8, ..options(Durability::Buffered, 2) };
    let database = Database::open(&path, tight()).unwrap();
    let shared = database.create_run(RunSpec::named("shared")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (database, shared) = (&database, &shared);
            scope.spawn(move || {
                let own = patiently(|| script::begin(database, &format!("own-{thread}")));
                for round in 1..=ROUNDS {
                    patiently(|| script::step(&own, round));
                    patiently(|| shared.increment("count", 1));
                    let place = patiently(|| shared.append(&thread.to_string(), round as i64)).sequence;
                    let read = patiently(|| shared.event(place)).expect("what was acknowledged can be read");
                    assert_eq!((read.kind, read.payload), (thread.to_string(), Value::Int(round as i64)));
                }
            });
        }
    });
    let check = |database: &Database| {
        let shared = database.run(script::id_of("shared"));
        assert_eq!(shared.get("count").unwrap().unwrap().value, Value::Int((THREADS * ROUNDS) as i64));
        assert_eq!(shared.info().unwrap().version.0, 1 + 2 * THREADS * ROUNDS, "one commit for each write");
        assert!(shared.verify_chain().unwrap().valid);
        for thread in 0..THREADS {
            let page = shared.events_by_type(&thread.to_string(), 0, 1000, Direction::Forward).unwrap();
            let rounds: Vec<_> = page.events.iter().map(|event| event.payload.as_int().unwrap()).collect();
            assert_eq!(rounds, (1..=ROUNDS as i64).collect::<Vec<_>>(), "one caller's writes in order");
            assert_eq!(script::expect_whole(database, &format!("own-{thread}")), ROUNDS + 1);
        }
    };
    check(&database);
    database.close().unwrap();
    check(&Database::open(&path, tight()).unwrap());
}

#[test]
fn a_panic_latches_its_shard_closed_and_a_restart_recovers_it() {
    let disk = SimDisk::new(21);
    let slow = Options { sync_interval: Duration::from_secs(3600), ..options(Durability::Buffered, 2) };
    let database = open_on(&disk, slow).unwrap();
    let names = names_on_each_shard(&database);
    let runs = names.each_ref().map(|name| script::begin(&database, name).unwrap());
    runs.iter().for_each(|run| script::steps(run, 1..=10));

    // Nothing is under way and no segment is due, so the next call is the shard's own.
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Panic));
    let error = script::step(&runs[0], 11).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");

    expect_closed(&runs[0]);
    script::steps(&runs[1], 11..=20);
    assert_eq!(script::expect_whole(&database, &names[1]), 21, "the other shard goes on serving");

    let recovery = database.restart_shard(0).unwrap();
    assert_eq!((recovery.shard, recovery.runs), (0, 1));
    let version = script::expect_whole(&database, &names[0]);
    assert!(
        version == 11 || version == 12,
        "ten steps were acknowledged, one is unknown, the version is {version}"
    );
    script::step(&runs[0], 11).expect("the unknown step can be sent again");
    script::step(&runs[0], 12).expect("a restarted shard takes writes");
    let error = database.restart_shard(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "a shard that serves is not restarted: {error}");
    assert_eq!(database.restart_shard(2).unwrap_err().kind(), ErrorKind::InvalidArgument);
    database.close().unwrap();

    let database = open_on(&disk, options(Durability::Buffered, 2)).unwrap();
    assert!(database.recovery().was_clean);
    assert_eq!(names.each_ref().map(|name| script::expect_whole(&database, name)), [13, 21]);
}

#[test]
fn a_database_with_a_panicked_shard_closes_and_opens_again() {
    let disk = SimDisk::new(22);
    let database = open_on(&disk, options(Durability::Strict, 2)).unwrap();
    let names = names_on_each_shard(&database);
    let runs = names.each_ref().map(|name| script::begin(&database, name).unwrap());
    runs.iter().for_each(|run| script::steps(run, 1..=4));
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Panic));
    assert_eq!(script::step(&runs[1], 5).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(
        database.close().unwrap_err().kind(),
        ErrorKind::Closed,
        "one shard could not be closed in order"
    );

    let database = open_on(&disk, options(Durability::Strict, 2)).unwrap();
    assert!(!database.recovery().was_clean);
    assert_eq!(script::expect_whole(&database, &names[0]), 5);
    assert!((5..=6).contains(&script::expect_whole(&database, &names[1])));
}

/// The test binary may not hold unsafe code, and fork(2) has no safe door. So a small library is put
/// before libc, in a process of its own, that forks when it is asked to change to a directory of a
/// certain name.
const FORK: &str = r#"
#include <errno.h>
#include <string.h>
#include <unistd.h>
int chdir(const char *path) {
    if (strcmp(path, "strata test: fork now") == 0) return fork() < 0 ? -1 : 0;
    errno = ENOTSUP;
    return -1;
}
"#;

#[test]
fn a_forked_child_is_answered_closed_and_its_parent_goes_on() {
    let name = "lifetimes::a_forked_child_is_answered_closed_and_its_parent_goes_on";
    if process::is_child(name) {
        return fork_with_an_open_store();
    }
    let dir = tempfile::tempdir().unwrap();
    let library = compile(FORK, dir.path());
    let mut command = process::command(name);
    command.env("LD_PRELOAD", library).env("STRATA_FORK_DIR", dir.path());
    process::expect_passed(name, &command.output().unwrap());
}

fn fork_with_an_open_store() {
    let dir = PathBuf::from(std::env::var_os("STRATA_FORK_DIR").unwrap());
    let path = dir.join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 2)).unwrap();
    let memory = Database::in_memory().unwrap();
    let run = script::begin(&database, "run").unwrap();
    script::steps(&run, 1..=10);
    // From here on it is read without a message.
    let is_pinned = || {
        run.snapshot().is_ok() && database.stats().unwrap().shards.iter().any(|shard| shard.publications > 0)
    };
    eventually("the run is published", is_pinned);
    let snapshot = run.snapshot().unwrap();
    let twin = database.begin_run(RunSpec::named("other")).unwrap().to_async();
    let held = HeldShard::of(twin.handle());
    let mut sent = Box::pin(twin.increment("sent before the fork", 1));
    assert!(poll_once(sent.as_mut()).is_pending());
    let mut pipeline = Pipeline::new(1);
    pipeline.send(twin.handle(), script::batch(twin.handle(), 1).unwrap()).unwrap();
    assert!(pipeline.try_receive().is_none());
    let parent = std::process::id();

    std::env::set_current_dir("strata test: fork now").expect("the process forks");

    if std::process::id() != parent {
        let passed = std::panic::catch_unwind(AssertUnwindSafe(|| {
            expect_closed(&run);
            assert_eq!(block_on(sent.as_mut()).unwrap_err().kind(), ErrorKind::Closed);
            // Nothing is believed to be sent, and who looks for an answer again and again would look for ever.
            let unsent = Pipeline::new(1).send(&run, script::batch(&run, 1).unwrap());
            assert_eq!(unsent.unwrap_err().kind(), ErrorKind::Closed);
            let answer = pipeline.try_receive().expect("an answer that cannot come any more is one");
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
            for reads in [&run as &dyn Reads, &snapshot] {
                assert_eq!(reads.get("plan").unwrap_err().kind(), ErrorKind::Closed);
                assert_eq!(reads.info().unwrap_err().kind(), ErrorKind::Closed);
                let visited = reads.visit_last_events(1, &mut |_| {});
                assert_eq!(visited.unwrap_err().kind(), ErrorKind::Closed);
                let visited = reads.visit_values(&KvScan::default(), &mut |_| {});
                assert_eq!(visited.unwrap_err().kind(), ErrorKind::Closed);
            }
            assert_eq!(snapshot.detach().unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(run.snapshot().unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(memory.create_run(RunSpec::named("run")).unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(database.sync().unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(database.stats().unwrap_err().kind(), ErrorKind::Closed);
        }));
        drop((database, memory));
        std::process::exit(if passed.is_ok() { 0 } else { 17 });
    }
    let (_, status) = waitpid(None, WaitOptions::empty()).unwrap().expect("the child ends");
    assert_eq!(status.exit_status(), Some(0), "every call in the child was answered Closed");
    held.let_go();
    assert_eq!(block_on(sent).unwrap().0, 1);
    assert!(pipeline.receive().unwrap().is_ok());
    script::steps(&run, 11..=20);
    let second = Database::open(&path, Options::default()).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::AlreadyOpen, "the child has not let go of the parent's lock");
    database.close().unwrap();
    let database = Database::open(&path, Options::default()).unwrap();
    assert!(database.recovery().was_clean, "the child has marked nothing");
    assert_eq!(script::expect_whole(&database, "run"), 21);
}

/// Compiles a library with the C compiler that building this workspace needs anyway.
fn compile(source: &str, dir: &Path) -> PathBuf {
    let (file, library) = (dir.join("fork.c"), dir.join("fork.so"));
    fs::write(&file, source).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &file]).status();
    assert!(status.expect("there is a C compiler").success(), "the library compiles");
    library
}

fn open(store: Option<&PathBuf>) -> Database {
    match store {
        Some(path) => Database::open(path, options(Durability::Buffered, 2)).unwrap(),
        None => Database::in_memory().unwrap(),
    }
}

/// Calls of every sort, each answered Closed.
fn expect_closed(run: &RunHandle) {
    let errors = [
        run.get("left").map(drop),
        run.put("left", 1).map(drop),
        run.append("step", 1).map(drop),
        run.list(&KvScan::default()).map(drop),
        run.info().map(drop),
        run.sync(),
        run.commit(script::batch(run, 1).unwrap()).map(drop),
    ];
    let (twin, mut pipeline) = (run.to_async(), Pipeline::new(1));
    let sent = pipeline.send(run, script::batch(run, 1).unwrap());
    let ahead = [
        block_on(twin.get("left")).map(drop),
        block_on(twin.put("left", 1)).map(drop),
        block_on(twin.snapshot()).map(drop),
        sent.and_then(|()| pipeline.receive().unwrap().map(drop)),
    ];
    for error in errors.into_iter().chain(ahead) {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Closed);
    }
}

/// Names of two runs, on shard 0 and on shard 1.
fn names_on_each_shard(database: &Database) -> [String; 2] {
    assert!(database.runs(&RunFilter::default(), None, 1).unwrap().runs.is_empty());
    [0, 1].map(|shard| {
        let mut names = (0..).map(|number| format!("run-{number}"));
        names.find(|name| database.shard_of(script::id_of(name)) == shard).expect("names go everywhere")
    })
}

/// Asks again when the shard had no room for the question: nothing has happened then.
fn patiently<T>(call: impl Fn() -> strata::Result<T>) -> T {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Busy => {}
            answer => return answer.unwrap(),
        }
    }
}

/// What all threads of this process have burned.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A closure on a shard of one database held the last handle of another. It could not be closed there and was left
/// with its shards running and its lock gone: a second opener wrote to the same log, which nobody could open
/// afterwards.
#[test]
fn a_database_that_is_dropped_on_a_shard_of_another_is_closed_and_never_unlocked_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let other = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let outer = other.begin_run(RunSpec::named("outer")).unwrap();
    for round in 1..=3u64 {
        let database = open(Some(&path));
        let run = database.begin_run(RunSpec::named("inner")).unwrap();
        let kept = run.clone();
        run.append("round", round as i64).unwrap();
        let dropping = move |_: &strata::Scope<'_, '_, '_>| {
            drop((database, run));
            Ok::<_, strata::Error>(())
        };
        outer.execute(dropping).unwrap();
        // It is closed soon, and until then nobody else may have it.
        let started = Instant::now();
        let database = loop {
            match Database::open(&path, options(Durability::Buffered, 2)) {
                Ok(database) => break database,
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyOpen, "{error}"),
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it is never closed");
            std::thread::yield_now();
        };
        assert!(database.recovery().was_clean);
        assert_eq!(database.run(kept.id()).event_count().unwrap().value, round);
        assert_eq!(kept.get("k").unwrap_err().kind(), ErrorKind::Closed);
        database.close().unwrap();
    }
}
