//! Invariant 4: everything has a lifecycle. It is created, exists, evolves, and is taken away, alone or with its run.

use strata::{ErrorKind, Operation, Reads, RunSpec, Version};

use super::in_memory;
use super::rows::Row;

pub(crate) fn check<R: Row>(row: R) {
    let (database, run) = in_memory();
    assert_eq!(row.read(&run, 0).unwrap(), None);
    assert!(row.counts(&run).unwrap().iter().all(|count| count.value == 0));
    row.create(&run, 0, 1.into()).unwrap();
    assert_eq!(row.read(&run, 0).unwrap().unwrap().value, 1.into());
    if let Some(evolved) = row.evolve(&run, 0, 2.into()) {
        evolved.unwrap();
        assert_eq!(row.read(&run, 0).unwrap().unwrap().value, 2.into());
    }
    assert!(row.counts(&run).unwrap().iter().all(|count| count.value == 1), "it is still one thing");

    match row.destroy(&run, 0) {
        Some(destroyed) => {
            let last = destroyed.unwrap().expect("taking something away is a commit").version;
            assert_eq!(row.read(&run, 0).unwrap(), None);
            assert_eq!(row.destroy(&run, 0).unwrap().unwrap(), None, "taking nothing away is none");
            let again = row.create(&run, 0, 3.into()).unwrap().unwrap();
            assert_eq!(again.version, last.next(), "what comes again has a version of its own");
        }
        None => expect_no_operation_that_destroys(row),
    }

    let last = run.delete_run().unwrap().version;
    let gone = row.read(&run, 0).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound, "everything goes with its run");
    let run = database.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(run.info().unwrap().version, last.next());
    assert_eq!(row.read(&run, 0).unwrap(), None, "and does not come back with its name");
    assert_eq!(row.create(&run, 0, 4.into()).unwrap().unwrap().version, Version(last.0 + 2));
}

/// What has no end of its own says so: nothing that could be asked would end it.
fn expect_no_operation_that_destroys<R: Row>(row: R) {
    let primitive = row.entity(strata::RunId::from_bytes([0; 16]), 0).to_string();
    let primitive = primitive.split(':').next().unwrap_or_default().to_owned();
    let ends = ["delete", "destroy", "remove"].map(|end| format!("{primitive}_{end}"));
    let found = Operation::table().iter().filter(|row| ends.iter().any(|end| row.name.starts_with(end)));
    let names: Vec<_> = found.map(|row| row.name).collect();
    let of_the_run: &[&str] = if R::IS_THE_RUN { &["run_delete"] } else { &[] };
    assert_eq!(names, of_the_run);
}
