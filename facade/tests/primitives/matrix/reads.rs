//! Invariant 7: reads never write. The log and the disk count the same before and after, whatever is promised.

use std::time::Duration;

use strata::{Database, Durability, Options, Reads, RunHandle, RunSpec, Writes};
use strata_wal::sim::SimDisk;

use super::rows::{DURABILITIES, Row};
use crate::support::counted::Counted;
use crate::support::{open_on, options};

pub(crate) fn check(row: impl Row) {
    for durability in [Durability::Buffered, Durability::Strict] {
        let disk = SimDisk::new(5);
        let settings = Options { sync_interval: Duration::from_secs(3600), ..options(durability, 1) };
        let database = open_on(&disk, settings).unwrap();
        for of_run in DURABILITIES.into_iter().filter(|of_run| {
            // A run may be in memory, or promise no less than its store.
            *of_run == Durability::InMemory || *of_run >= durability
        }) {
            let name = of_run.to_string().replace(' ', "-");
            let spec = RunSpec { durability: Some(of_run), ..RunSpec::named(name) };
            let run = database.create_run(spec).unwrap();
            row.create(&run, 0, 1.into()).unwrap();
            row.evolve(&run, 0, 2.into()).transpose().unwrap();
            database.sync().unwrap();
            expect_quiet(row, &database, &disk, &run);
        }
    }
}

fn expect_quiet(row: impl Row, database: &Database, disk: &SimDisk, run: &RunHandle) {
    let before = Counted::of(database, disk);
    let version = run.info().unwrap().version;
    row.ask_everything(run).unwrap();
    run.stat(&row.entity(run.id(), 0)).unwrap();
    let snapshot = run.snapshot().unwrap();
    row.ask_everything(&snapshot).unwrap();
    drop(snapshot);
    run.transaction(|tx| row.ask_everything(tx)).unwrap();
    run.execute(move |run| row.ask_everything(run)).unwrap();
    let after = Counted::of(database, disk);
    assert_eq!(after.quiet(), before.quiet(), "appends, batches, syncs, commits, and the disk's calls");
    assert_eq!(run.info().unwrap().version, version);
    run.put("unrelated", 1).unwrap();
    let commits = Counted::of(database, disk).commits;
    assert_eq!(commits, before.commits + 1, "a write is counted");
}
