//! What a process leaves behind: runs that were at work when it went away.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use strata::{Database, Durability, ErrorKind, Reads, RunFilter, RunSpec, RunStatus, Version, Writes};

use crate::support::{options, process, script};

const STORE: &str = "STRATA_ORPHANS_STORE";

fn open(path: &PathBuf) -> Database {
    Database::open(path, options(Durability::Buffered, 2)).unwrap()
}

fn orphans(database: &Database, is_orphaned: bool) -> Vec<String> {
    let filter = RunFilter { orphaned: Some(is_orphaned), ..RunFilter::default() };
    let runs = database.runs(&filter, None, 100).unwrap().runs;
    let mut names: Vec<_> = runs.into_iter().map(|info| info.name.unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_killed_process_leaves_orphans_that_are_found_taken_up_or_ended() {
    let name = "orphans::a_killed_process_leaves_orphans_that_are_found_taken_up_or_ended";
    if process::is_child(name) {
        work_until_killed();
    }
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let mut child = process::command(name).env(STORE, &path).stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    assert!(out.lines().any(|line| line.unwrap().ends_with("at work")), "the child said what it has");
    child.kill().unwrap();
    child.wait().unwrap();

    let database = open(&path);
    assert!(!database.recovery().was_clean);
    assert_eq!(orphans(&database, true), ["began", "ended", "resumed"]);
    assert_eq!(orphans(&database, false), ["done", "paused"]);
    let began = database.run(script::id_of("began"));
    assert_eq!(began.info().unwrap().version, Version(2), "being orphaned is not written");
    assert_eq!(began.get("step").unwrap().unwrap().value, 1.into());
    began.put("step", 2).unwrap();
    assert!(began.info().unwrap().orphaned, "a write takes nothing up: who goes on says so");
    began.resume().unwrap().expect("taking it up is a commit");
    database.begin_run(RunSpec::named("resumed")).unwrap();
    database.run(script::id_of("ended")).end(RunStatus::Failed).unwrap();
    assert!(orphans(&database, true).is_empty());
    database.close().unwrap();
    assert!(orphans(&open(&path), true).is_empty(), "nor after an orderly close");
}

/// The child: five runs, three of them at work. It never closes the store.
fn work_until_killed() -> ! {
    let database = open(&std::env::var_os(STORE).expect("the parent names the store").into());
    for name in ["began", "resumed", "ended", "paused", "done"] {
        database.begin_run(RunSpec::named(name)).unwrap().put("step", 1).unwrap();
    }
    database.run(script::id_of("paused")).update_status(RunStatus::Paused).unwrap();
    database.run(script::id_of("done")).end(RunStatus::Completed).unwrap();
    println!("at work");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_database_that_is_dropped_closes_in_order_and_orphans_nobody() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let database = open(&path);
    database.begin_run(RunSpec::named("began")).unwrap().put("step", 1).unwrap();
    drop(database);
    let database = open(&path);
    assert!(database.recovery().was_clean);
    assert_eq!((orphans(&database, true), orphans(&database, false)), (vec![], vec!["began".to_owned()]));
}

#[test]
fn a_deleted_run_keeps_its_numbers_through_a_crash() {
    let name = "orphans::a_deleted_run_keeps_its_numbers_through_a_crash";
    if process::is_child(name) {
        let database = open(&std::env::var_os(STORE).expect("the parent names the store").into());
        let run = database.begin_run(RunSpec::named("run")).unwrap();
        run.put("step", 1).unwrap();
        run.delete_run().unwrap();
        println!("at work");
        std::process::abort();
    }
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let output = process::command(name).env(STORE, &path).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("at work"), "{output:?}");

    let database = open(&path);
    let run = database.run(script::id_of("run"));
    assert_eq!(run.info().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(orphans(&database, true).is_empty(), "what is deleted is nobody's orphan");
    database.begin_run(RunSpec::named("run")).unwrap();
    assert_eq!((run.info().unwrap().version, run.get("step").unwrap()), (Version(4), None));
    run.delete_run().unwrap();
    database.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(run.info().unwrap().version, Version(6), "however often");
}
