//! Cells that expire, as leases: whoever holds one renews it, and an old token is refused.

use std::time::Duration;

use strata::{Database, Deadline, Durability, ErrorKind, Reads, RunHandle, RunSpec, Value, Version, Writes};

use crate::support::{TestClock, options};

const LEASE: Deadline = Deadline::In(Duration::from_secs(10));

#[test]
fn a_lease_that_ran_out_is_taken_over_and_its_old_token_is_refused() {
    let (clock, database) = on_a_clock();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let first = run.cell_init_expiring("job", "first", LEASE).unwrap().version;
    let taken = run.cell_init_expiring("job", "second", LEASE).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);

    clock.advance(Duration::from_secs(10));
    let late = run.cell_cas("job", first, "result").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict, "a lease that ran out is lost even before it is taken over");
    let second = run.cell_init_expiring("job", "second", LEASE).unwrap().version;
    assert!(second > first, "tokens of a run ascend");
    let late = run.cell_cas("job", first, "result").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    run.cell_cas("job", second, "result").unwrap();

    clock.advance(Duration::from_secs(60));
    assert_eq!(
        run.cell_read("job").unwrap().unwrap().value,
        Value::from("result"),
        "a result does not expire"
    );
    assert_eq!(run.cell_ttl("job").unwrap().unwrap().value, None);
}

#[test]
fn a_batch_claims_renews_and_ends_a_lease_together_with_events() {
    let (clock, database) = on_a_clock();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let mut claim = run.batch();
    claim.cell_init_expiring("job", "held", LEASE).unwrap().append("claimed", 1).unwrap();
    let token = run.commit(claim.clone()).unwrap().commit.unwrap().version;
    assert_eq!(run.commit(claim).unwrap_err().kind(), ErrorKind::AlreadyExists);

    clock.advance(Duration::from_secs(9));
    let renewed = renew(&run, token).unwrap();
    clock.advance(Duration::from_secs(9));
    assert_eq!(run.cell_ttl("job").unwrap().unwrap().value, Some(Duration::from_secs(1)), "renewed once");
    assert_eq!(renew(&run, token).unwrap_err().kind(), ErrorKind::Conflict, "by its old token");
    let mut end = run.batch();
    end.cell_set_expiring("job", "ending", LEASE).unwrap().append("ending", 1).unwrap();
    run.commit(end).unwrap();
    assert_eq!(renew(&run, renewed).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(run.event_count().unwrap().value, 3, "a batch that is refused tells nothing");

    clock.advance(Duration::from_secs(10));
    assert_eq!(run.cell_read("job").unwrap(), None);
}

fn renew(run: &RunHandle, token: Version) -> strata::Result<Version> {
    let mut batch = run.batch();
    batch.cell_cas_expiring("job", token, "held", LEASE)?.append("renewed", 1)?;
    Ok(run.commit(batch)?.commit.expect("a renewal is a commit").version)
}

fn on_a_clock() -> (TestClock, Database) {
    let clock = TestClock::at(1_000_000);
    let database = Database::start(None, options(Durability::InMemory, 1), clock.clock(), None).unwrap();
    (clock, database)
}
