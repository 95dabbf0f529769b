//! One page of use: a run keeps keys, events and cells, changes them together, and is there again after a restart.
//!
//! ```text
//! cargo run --example hello
//! ```

use strata::{Database, Direction, KvScan, Options, Reads, RunSpec, Writes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?; // yours would be a path that stays
    let directory = place.path().join("hello.db");

    let database = Database::open(&directory, Options::default())?;
    let run = database.begin_run(RunSpec::named("trip-to-oslo"))?;
    run.put("budget", 300)?; // a key: the latest value counts
    run.append("search", "hotels near the harbour")?; // an event: never changed, chained by hash to those before
    let phase = run.cell_init("phase", "searching")?; // a cell: changed by whoever has read its latest version

    let before = run.snapshot()?;
    let booked = run.transaction(|tx| -> strata::Result<i64> {
        let budget = tx.get("budget")?.and_then(|found| found.value.as_int()).unwrap_or(0);
        tx.put("budget", budget - 120)?;
        tx.append("book", "a room with a view, 120")?;
        tx.cell_cas("phase", phase.version, "booked")?;
        Ok(budget - 120)
    })?;
    println!("booked     {} left, {} writes in one commit", booked.value, booked.receipt.effects.len());
    println!("snapshot   still {}", before.get("budget")?.expect("it was put above").value);
    let late = run.cell_cas("phase", phase.version, "searching").unwrap_err();
    println!("too late   {}", late.message());
    drop(before);
    database.close()?;

    let database = Database::open(&directory, Options::default())?;
    let run = database.begin_run(RunSpec::named("trip-to-oslo"))?; // the same run, taken up where it was
    println!("reopened   at version {}: to take it up was a commit too", run.info()?.version);
    for (key, found) in run.list_values(&KvScan::default())?.items {
        println!("  key      {key} = {}, written by commit {}", found.value, found.version);
    }
    for (name, found) in run.cell_list(&KvScan::default())?.items {
        println!("  cell     {name} = {}, written by commit {}", found.value, found.version);
    }
    for event in run.events(0, 10, Direction::Forward)?.events {
        println!("  event {}  {}: {}", event.sequence, event.kind, event.payload);
    }
    println!("chain      {}", if run.verify_chain()?.valid { "valid" } else { "broken" });
    Ok(database.close()?)
}
