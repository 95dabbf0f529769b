//! Invariant 2: everything is versioned. A write answers with its commit, a read with the commit it shows.

use strata::{Commit, Database, Durability, RunSpec, Timestamp, Version, Writes};

use super::rows::{DURABILITIES, Row};
use crate::support::{TestClock, options};

const START: u64 = 1_750_000_000_000_000;

pub(crate) fn check(row: impl Row) {
    DURABILITIES.into_iter().for_each(|durability| check_in(row, durability));
}

fn check_in<R: Row>(row: R, durability: Durability) {
    let directory = tempfile::tempdir().unwrap();
    let path = (durability > Durability::InMemory).then(|| directory.path().join("strata.db"));
    let clock = TestClock::at(START);
    let database = Database::start(path, options(durability, 1), clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let at = |version: u64| Commit {
        version: Version(version),
        timestamp: Timestamp(START + version),
        durability,
    };
    let next_moment = |version: u64| clock.set(START + version);

    next_moment(2);
    assert_eq!(row.create(&run, 0, 10.into()).unwrap(), Some(at(2)), "a write answers with its commit");
    let read = row.read(&run, 0).unwrap().unwrap();
    assert_eq!((read.value, read.version, read.timestamp), (10.into(), Version(2), Timestamp(START + 2)));

    next_moment(3);
    let evolved = row.evolve(&run, 0, 20.into());
    match evolved {
        Some(evolved) => {
            assert_eq!(evolved.unwrap(), Some(at(3)));
            let read = row.read(&run, 0).unwrap().unwrap();
            assert_eq!(
                (read.value, read.version),
                (20.into(), Version(3)),
                "the newest commit that wrote it"
            );
        }
        None => drop(run.put("unrelated", 1).unwrap()),
    }

    next_moment(4);
    run.set_tags(["unrelated"]).unwrap();
    if !R::IS_THE_RUN {
        let read = row.read(&run, 0).unwrap().unwrap();
        assert!(read.version < Version(4), "what another commit did not write keeps its version");
    }
    for count in row.counts(&run).unwrap() {
        assert_eq!((count.version, count.timestamp), (Version(4), Timestamp(START + 4)), "true at present");
        assert_eq!(count.value, 1);
    }
    database.close().unwrap();
}
