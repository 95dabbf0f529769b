//! The examples as a reader would start them, on small folders and on the recording that ships here.
//!
//! A whole `cargo test` builds the examples; `cargo test --test examples` alone does not, so give it a
//! `cargo build --examples` first. The agent's own check is tested from the inside as well: it has to notice what
//! the engine never does.

mod built;
#[path = "../../examples/agent/check.rs"]
mod check;
mod import_runs;
#[path = "../../examples/agent/plan.rs"]
mod plan;
#[path = "../../examples/agent/survey.rs"]
#[expect(dead_code, reason = "the example uses the rest")]
mod survey;
#[path = "../../examples/agent/tools.rs"]
mod tools;
mod trials;
#[path = "../../examples/show/values.rs"]
mod values;
mod what_if;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use strata::{Database, Options, Reads, RunFilter, RunSpec, RunStatus, Value, Writes};
use tempfile::TempDir;

use crate::built::{example, fail, succeed, texts};
use crate::check::check;
use crate::plan::{Plan, Tool};
use crate::survey::{Agent, Brief, Receipt};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/agent-run.json");

#[test]
fn a_killed_agent_goes_on_and_finishes_its_plan() {
    let folder = small_folder();
    for kill_after in [None, Some(1), Some(planned(&folder) - 2)] {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("agent.db");
        let mut command = example("agent");
        command.arg(folder.path()).arg("--store").arg(&store);
        if let Some(steps) = kill_after {
            command.args(["--kill-after", &steps.to_string()]);
        }
        let output = succeed(&mut command);
        assert!(output.contains("SIGKILL after"), "{output}");
        assert!(output.contains("the boot before was not closed cleanly"), "{output}");

        let database = Database::open(&store, Options::default()).unwrap();
        let runs = database.runs(&RunFilter::default(), None, 10).unwrap().runs;
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].status, runs[0].event_count), (RunStatus::Completed, planned(&folder)));
        assert!(database.run(runs[0].id).verify_chain().unwrap().valid);
        database.close().unwrap();
        let shown = succeed(example("inspect").arg(&store));
        assert!(shown.contains("1 run: 1 completed; 0 orphaned"), "{shown}");
        assert!(shown.contains("the last one was closed cleanly"), "{shown}");
    }
}

#[test]
fn a_run_the_agent_records_is_imported_and_equal() {
    let (folder, place) = (small_folder(), tempfile::tempdir().unwrap());
    let file = place.path().join("run.json");
    succeed(example("agent").arg(folder.path()).arg("--record").arg(&file));
    let messages = 1 + 2 * planned(&folder);
    let output = succeed(example("import_runs").arg(&file));
    assert_eq!(output.matches(&format!("{messages} equal messages")).count(), 6, "{output}");
}

#[test]
fn the_shipped_recording_is_small_and_equal_in_every_mode() {
    assert!(std::fs::metadata(RECORDING).unwrap().len() < 30_000);
    let place = tempfile::tempdir().unwrap();
    let output =
        succeed(example("import_runs").arg(RECORDING).arg("--store").arg(place.path().join("stores")));
    assert_eq!(output.matches("equal messages").count(), 6, "{output}");
    let shown = succeed(example("inspect").arg(place.path().join("stores/strict-run.db")));
    assert!(shown.contains("1 run: 1 completed; 0 orphaned"), "{shown}");
}

#[test]
fn an_import_refuses_a_place_that_holds_stores_already() {
    let place = tempfile::tempdir().unwrap();
    succeed(example("import_runs").arg(RECORDING).arg("--store").arg(place.path()));
    let before = files(place.path());
    let error = fail(1, example("import_runs").arg(RECORDING).arg("--store").arg(place.path()));
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(files(place.path()), before);
}

#[test]
fn inspect_changes_nothing_and_tells_damage_with_its_place() {
    let (folder, place) = (small_folder(), tempfile::tempdir().unwrap());
    let store = place.path().join("agent.db");
    succeed(example("agent").arg(folder.path()).arg("--store").arg(&store));
    let before = files(&store);
    succeed(example("inspect").arg(&store));
    assert_eq!(files(&store), before, "a look changes nothing");

    let segment = before
        .iter()
        .filter(|(path, _)| is_segment(path))
        .find(|(_, bytes)| bytes[4_096..].iter().any(|&byte| byte != 0))
        .expect("some log holds records");
    let mut bytes = segment.1.clone();
    bytes[4_096 + 70] ^= 1; // in the body of the first batch, which a clean close has proven durable
    std::fs::write(segment.0, bytes).unwrap();
    let output = example("inspect").arg(&store).output().unwrap();
    let (shown, error) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{error}");
    assert!(shown.contains("DAMAGED") && shown.contains("at offset 4096"), "{shown}");
    assert!(error.contains("restore"), "{error}");
}

#[test]
fn inspect_shows_a_crashed_store_as_the_next_open_finds_it() {
    let (place, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = Database::open(place.path().join("live.db"), Options::default()).unwrap();
    let run = database.begin_run(RunSpec::named("at-work")).unwrap();
    for step in 0..10 {
        run.put("step", step).unwrap();
    }
    // What is acknowledged lies with the kernel, so a copy of the open store is what a crash would leave.
    let (crashed, torn) = (copies.path().join("crashed.db"), copies.path().join("torn.db"));
    let image = settled_files(&place.path().join("live.db"));
    write_files(&image, &crashed);
    write_files(&image, &torn);
    let error = fail(1, example("inspect").arg(place.path().join("live.db")));
    assert!(error.contains("close it first"), "{error}");
    database.close().unwrap();

    let shown = succeed(example("inspect").arg(&crashed));
    assert!(shown.contains("the last one was not closed"), "{shown}");
    assert!(shown.contains("1 run: 1 active; 1 orphaned") && shown.contains("11 records"), "{shown}");

    tear(&torn);
    let shown = succeed(example("inspect").arg(&torn));
    assert!(shown.contains("torn tail") && shown.contains("10 records"), "{shown}");
    let reopened = Database::open(&torn, Options::default()).unwrap();
    assert!(reopened.recovery().bytes_cut() > 0);
    assert_eq!(reopened.run(run.id()).get("step").unwrap().unwrap().value, Value::Int(8));
    reopened.close().unwrap();
}

#[test]
fn salvage_dumps_a_store_that_does_not_open_and_says_what_is_lost() {
    let (folder, place) = (small_folder(), tempfile::tempdir().unwrap());
    let store = place.path().join("agent.db");
    succeed(example("agent").arg(folder.path()).arg("--store").arg(&store));
    let whole = place.path().join("whole");
    let shown = succeed(example("salvage").arg(&store).arg(&whole));
    assert!(shown.contains("1 runs: 1 whole, 0 partial, 0 deleted, 0 lost"), "{shown}");
    let error = fail(1, example("salvage").arg(&store).arg(&whole));
    assert!(error.contains("is not empty"), "{error}");

    std::fs::write(store.join("MANIFEST"), [0xff; 32_768]).unwrap();
    assert!(Database::open(&store, Options::default()).is_err());
    let before = files(&store);
    let dump = place.path().join("dump");
    let output = example("salvage").arg(&store).arg(&dump).output().unwrap();
    let (shown, error) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{error}");
    assert!(shown.contains("1 whole") && shown.contains("MANIFEST at offset 16384: slot 1"), "{shown}");
    assert!(error.contains("what is proven is in the dump"), "{error}");
    assert_eq!(files(&store), before, "the store is as it was");
    let of_run = |files: BTreeMap<PathBuf, Vec<u8>>| {
        files
            .into_iter()
            .find(|(path, _)| path.extension().is_some_and(|extension| extension == "jsonl"))
            .unwrap()
            .1
    };
    assert!(of_run(files(&dump)) == of_run(files(&whole)), "nothing of the run is lost");
}

#[test]
fn inspect_ends_in_order_when_its_reader_goes_away() {
    let place = tempfile::tempdir().unwrap();
    Database::open(place.path().join("empty.db"), Options::default()).unwrap().close().unwrap();
    let mut command = example("inspect");
    let mut child = command.arg(place.path().join("empty.db")).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn examples_refuse_bad_arguments_with_advice_and_create_nothing() {
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("missing");
    for name in
        ["agent", "import_runs", "inspect", "salvage", "transfer", "document", "coordination", "trials"]
    {
        assert!(succeed(example(name).arg("--help")).contains("usage:"));
        let error = fail(2, example(name).arg("--frobnicate"));
        assert!(error.contains("not an option") && error.contains("usage:"), "{error}");
    }
    for (name, option, value) in [
        ("transfer", "--threads", "0"),
        ("transfer", "--mode", "quick"),
        ("document", "--threads", "65"),
        ("coordination", "--workers", "1"),
        ("coordination", "--jobs", "3"),
    ] {
        let error = fail(2, example(name).args([option, value]));
        assert!(error.contains(value) && error.contains("usage:"), "{error}");
    }
    for name in ["import_runs", "inspect", "trials"] {
        assert!(fail(2, &mut example(name)).contains("is missing"));
        assert!(fail(1, example(name).arg(&missing)).starts_with("error: "));
    }
    assert!(fail(2, example("salvage").arg(&missing)).contains("INTO is missing"));
    assert!(fail(1, example("salvage").arg(&missing).arg(place.path().join("dump"))).contains("no store"));
    let error = fail(1, example("agent").arg(&missing).arg("--store").arg(place.path().join("a.db")));
    assert!(error.contains("name a folder"), "{error}");
    let not_json = place.path().join("not.json");
    std::fs::write(&not_json, "[{\"traj\": 3").unwrap();
    assert!(fail(1, example("import_runs").arg(&not_json)).contains("is not JSON"));
    std::fs::write(&not_json, "[{\"traj\": 3}]").unwrap();
    assert!(fail(1, example("import_runs").arg(&not_json)).contains("a list called `traj` is expected"));
    let held: Vec<_> = files(place.path()).into_keys().collect();
    assert_eq!(held, [not_json]);
}

#[test]
fn one_page_of_use_prints_what_it_proves() {
    let shown = succeed(&mut example("hello"));
    for line in
        ["180 left, 3 writes in one commit", "still 300", "budget = 180", "event 1  book", "chain      valid"]
    {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    assert!(shown.contains("expected version 4, found version 5"), "{shown}");
}

#[test]
fn money_moves_under_contention_in_every_mode_and_the_sum_stays() {
    for mode in ["memory", "buffered", "strict"] {
        let mut command = example("transfer");
        let shown = succeed(command.args(["--mode", mode, "--threads", "3", "--transfers", "200"]));
        assert!(shown.contains("4,000, in every observation and at the end"), "{shown}");
        let again = row(&shown, "closures that ran again");
        assert_eq!(again.len(), 2, "{shown}");
        assert_eq!(again[1], "0", "a closure on the shard runs once: {shown}");
    }
}

#[test]
fn threads_patch_one_document_and_nothing_is_lost() {
    let shown = succeed(example("document").args(["--threads", "3", "--patches", "100"]));
    assert_eq!(row(&shown, "found in the document"), ["300", "300"], "{shown}");
    assert_eq!(row(&shown, "conflicts, tried again")[0], "0", "places beside each other: {shown}");
    for line in [
        "\"/stays/0/city\"    version 2        as created",
        "nothing to change, no commit",
        "/stays/1/city      \"Bergen\"",
        "patch operation 1: at \"/paid/by\": the test failed",
        "then           version 2, spent 0",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
}

#[test]
fn every_job_is_done_once_although_workers_stop_and_come_back() {
    let shown = succeed(example("coordination").args(["--workers", "4", "--jobs", "8"]));
    assert!(shown.contains("8 of 8 jobs, each exactly once"), "{shown}");
    let steps =
        |kind: &str| shown.lines().filter(|line| line.split_whitespace().nth(3) == Some(kind)).count();
    assert_eq!(steps("done"), 8, "{shown}");
    assert!(steps("claimed") >= 8 + 2 && steps("refused") >= 2, "two workers stop once: {shown}");
    assert!(steps("renewed") >= 1, "one job takes longer than a lease: {shown}");
}

#[test]
fn a_plan_is_the_same_each_time_and_survives_the_store() {
    let folder = small_folder();
    let plan = Plan::survey(folder.path(), 1_000).unwrap();
    let subjects = |tool| {
        plan.calls.iter().filter(|call| call.tool == tool).map(|call| &call.subject[..]).collect::<Vec<_>>()
    };
    assert_eq!(subjects(Tool::List), [".", "deep", "deep/deeper"], "target and .git are left out");
    assert_eq!(subjects(Tool::Read), ["a.md", "b.txt", "deep/c.md", "deep/deeper/d.bin"]);
    assert_eq!(subjects(Tool::Count), ["md", "bin", "txt"]);
    assert_eq!(Plan::survey(folder.path(), 1_000).unwrap().calls, plan.calls);
    assert_eq!(Plan::from_value(&plan.to_value()).unwrap().calls, plan.calls);
    assert!(Plan::from_value(&Value::from("read a.md")).is_none());
    let sampled = Plan::survey(folder.path(), 14).unwrap();
    assert!(sampled.step_count() <= 14, "{:?}", sampled.calls);
}

#[test]
fn the_check_notices_a_lost_and_a_changed_step() {
    let AtWork { agent, receipts, .. } = &agent_after(5);
    assert_eq!(check(&agent.run, &agent.plan, receipts).unwrap(), 5);
    let next = Receipt { step: 5, sequence: 5, version: 7, fingerprint: 0 };
    let lost = [receipts.clone(), vec![next]].concat();
    assert!(reason(agent, &lost).contains("step 5 was acknowledged and is lost"));
    let mut changed = receipts.clone();
    changed[3].fingerprint ^= 1;
    assert!(reason(agent, &changed).contains("step 3 was acknowledged as"));
    let doubled = [receipts.clone(), vec![receipts[4]]].concat();
    assert!(reason(agent, &doubled).contains("step 4 was acknowledged after step 4"));
}

#[test]
fn the_check_notices_a_doubled_step_and_half_a_step() {
    let AtWork { agent, receipts, .. } = &agent_after(3);
    let third = agent.run.event(2).unwrap().unwrap();
    agent.run.append(&third.kind, third.payload).unwrap();
    assert!(reason(agent, receipts).contains("tells of step Some(2)"));

    let AtWork { agent, receipts, .. } = &agent_after(3);
    agent.run.delete(&survey::note_key(2)).unwrap();
    assert!(reason(agent, receipts).contains("half a step"));

    let AtWork { agent, receipts, .. } = &agent_after(3);
    let note = agent.run.get(&survey::note_key(1)).unwrap().unwrap();
    agent.run.put(&survey::note_key(1), note.value).unwrap();
    assert!(reason(agent, receipts).contains("the note of step 1 does not belong to its event"));
}

#[test]
fn a_step_sent_again_answers_with_its_first_receipt() {
    let AtWork { agent, receipts, .. } = &agent_after(4);
    let again = agent.take(2).unwrap();
    assert_eq!(again, receipts[2]);
    assert_eq!(agent.next_step().unwrap(), 4);
}

/// An agent at work on a small folder, with all it needs to stay alive.
struct AtWork {
    agent: Agent,
    receipts: Vec<Receipt>,
    _database: Database,
    _folder: TempDir,
}

fn agent_after(steps: u64) -> AtWork {
    let folder = small_folder();
    let database = Database::in_memory().unwrap();
    let brief = Brief { name: "survey".to_owned(), root: folder.path().to_owned(), step_count_max: 100 };
    let agent = Agent::begin(&database, &brief).unwrap();
    let receipts = (0..steps).map(|step| agent.take(step).unwrap()).collect();
    AtWork { agent, receipts, _database: database, _folder: folder }
}

fn reason(agent: &Agent, acknowledged: &[Receipt]) -> String {
    check(&agent.run, &agent.plan, acknowledged).unwrap_err().to_string()
}

fn planned(folder: &TempDir) -> u64 {
    Plan::survey(folder.path(), 1_000).unwrap().step_count()
}

/// Four files to read, one of them binary, and two folders to stay out of.
fn small_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for below in ["deep/deeper", "target", ".git"] {
        std::fs::create_dir_all(folder.path().join(below)).unwrap();
    }
    for (name, content) in [
        ("a.md", &b"# Notes\n\nA test of an error.\n"[..]),
        ("b.txt", b"todo: buy milk\n"),
        ("deep/c.md", "# Größe\n".as_bytes()),
        ("deep/deeper/d.bin", b"\0\x01\xff"),
        ("target/e.md", b"never read"),
        (".git/f.md", b"never read"),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The cells of the row of a printed table that begins with this name.
fn row<'a>(shown: &'a str, name: &str) -> Vec<&'a str> {
    let line = shown.lines().find_map(|line| line.trim_start().strip_prefix(name));
    line.unwrap_or_default().split_whitespace().collect()
}

/// Every file below `folder`, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.append(&mut self::files(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// The files of an open store at one moment: read twice, until nothing has changed in between.
fn settled_files(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut before = files(store);
    loop {
        let after = files(store);
        if after == before {
            return after
                .into_iter()
                .map(|(path, bytes)| (path.strip_prefix(store).unwrap().into(), bytes))
                .collect();
        }
        before = after;
    }
}

fn write_files(files: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Changes the last byte that was written to any segment: the end of the newest record.
fn tear(store: &Path) {
    let written = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte != 0).filter(|&last| last >= 4_096);
    let (path, mut bytes) = files(store)
        .into_iter()
        .rfind(|(path, bytes)| is_segment(path) && written(bytes).is_some())
        .expect("some log holds records");
    let last = written(&bytes).expect("found above");
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
