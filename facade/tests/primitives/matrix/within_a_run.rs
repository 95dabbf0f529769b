//! Invariant 5: everything exists within a run. The same name in two runs is two things, and without a run there is
//! none.

use strata::{Database, Durability, EntityRef, ErrorKind, Namespace, Reads, RunId, RunSpec};

use super::rows::Row;
use crate::support::options;

pub(crate) fn check(row: impl Row) {
    for shards in [1, 3] {
        let database = Database::in_memory_with(options(Durability::InMemory, shards)).unwrap();
        two_runs_have_two_things(row, &database);
        a_missing_run_has_none(row, &database);
    }
}

fn two_runs_have_two_things(row: impl Row, database: &Database) {
    let runs = ["a", "b", "c", "d"].map(|name| database.create_run(RunSpec::named(name)).unwrap());
    for (run, value) in runs.iter().zip(0..) {
        row.create(run, 0, value.into()).unwrap();
    }
    let value_of = |index: usize| row.read(&runs[index], 0).unwrap().map(|read| read.value);
    assert_eq!([0, 1, 2, 3].map(value_of), [0, 1, 2, 3].map(|value| Some(value.into())));
    assert_ne!(row.entity(runs[0].id(), 0), row.entity(runs[1].id(), 0));
    if let Some(evolved) = row.evolve(&runs[1], 0, 11.into()) {
        evolved.unwrap();
        assert_eq!([value_of(0), value_of(1)], [Some(0.into()), Some(11.into())]);
    }
    if let Some(destroyed) = row.destroy(&runs[2], 0) {
        destroyed.unwrap();
        assert_eq!([value_of(2), value_of(3)], [None, Some(3.into())]);
    }
    runs[0].delete_run().unwrap();
    assert_eq!(value_of(3), Some(3.into()));
    assert!(row.counts(&runs[3]).unwrap().iter().all(|count| count.value == 1));
}

fn a_missing_run_has_none(row: impl Row, database: &Database) {
    let run = database.run(RunId::named(&Namespace::default(), "nobody"));
    let tx = run.begin();
    let answers = [
        row.read(&run, 0).map(drop),
        row.counts(&run).map(drop),
        row.read(&tx, 0).map(drop),
        row.create(&run, 0, 1.into()).map(drop),
        run.transaction(|tx| row.create(tx, 0, 1.into()).map(drop)).map(drop),
        run.execute(move |run| row.create(run, 0, 1.into()).map(drop)).map(drop),
        run.stat(&row.entity(run.id(), 0)).map(drop),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let error = answer.unwrap_err();
        assert_eq!(
            (error.kind(), error.entity()),
            (ErrorKind::NotFound, Some(&EntityRef::run(run.id()))),
            "answer {number}"
        );
    }
    assert_eq!(database.get_run(run.id()).unwrap(), None, "no call has brought it into being");
}
