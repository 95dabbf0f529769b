//! Invariant 1: everything is addressable. An `EntityRef` names it in errors, in notices and in questions.

use std::time::Duration;

use strata::{EntityRef, ErrorKind, Notice, Reads, RunHandle, Writes};

use super::in_memory;
use super::rows::Row;

pub(crate) fn check(row: impl Row) {
    let (_database, run) = in_memory();
    let entity = row.entity(run.id(), 0);
    assert_eq!(entity.to_string().parse::<EntityRef>().unwrap(), entity, "its text is its address");
    let mut bytes = Vec::new();
    entity.encode(&mut bytes);
    assert_eq!(EntityRef::decode(&mut &bytes[..]).unwrap(), entity, "and so are its bytes");
    assert_eq!(entity.run_id(), run.id());
    an_error_names_it(row, &run, &entity);
    a_question_names_it(row, &run, &entity);
    notices_name_it(row);
}

fn an_error_names_it(row: impl Row, run: &RunHandle, entity: &EntityRef) {
    let tx = run.begin();
    assert_eq!(row.read(&tx, 0).unwrap(), None);
    tx.put("unrelated", 1).unwrap();
    row.create(run, 0, 1.into()).unwrap();
    let error = tx.commit().unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(entity)), "{error}");
    assert!(error.to_string().contains(&entity.to_string()), "{error}");

    // What a transaction was told of a write is compared at its commit, under the name that the operation gives.
    let tx = run.begin();
    row.create(&tx, 1, 1.into()).unwrap();
    row.create(run, 1, 2.into()).unwrap();
    if let Err(error) = tx.commit() {
        let entity = row.entity(run.id(), 1);
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&entity)), "{error}");
    }
}

fn a_question_names_it<R: Row>(row: R, run: &RunHandle, entity: &EntityRef) {
    let read = row.read(run, 0).unwrap().unwrap();
    let stat = run.stat(entity).unwrap().unwrap();
    assert_eq!((stat.version, stat.timestamp), (read.version, read.timestamp));
    if !R::IS_THE_RUN {
        assert_eq!(run.stat(&row.entity(run.id(), 99)).unwrap(), None, "nothing has this address");
    }
    let of_another = row.entity(strata::RunId::from_bytes([9; 16]), 0);
    assert_eq!(run.stat(&of_another).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

fn notices_name_it(row: impl Row) {
    let (_database, run) = in_memory();
    let mut commits = run.subscribe_commits(run.info().unwrap().version).unwrap();
    let mut next = || match commits.next(Duration::from_secs(60)).unwrap() {
        Some(Notice::Commit(commit)) => commit.changes,
        other => panic!("{other:?} is not a commit"),
    };
    let alone = [row.entity(run.id(), 0)];
    row.create(&run, 0, 1.into()).unwrap();
    assert_eq!(next(), alone, "what was created");
    if let Some(evolved) = row.evolve(&run, 0, 2.into()) {
        evolved.unwrap();
        assert_eq!(next(), alone, "what was changed");
    }
    if let Some(destroyed) = row.destroy(&run, 0) {
        destroyed.unwrap();
        assert_eq!(next(), alone, "what was taken away");
    }
    let mut batch = run.batch();
    row.create_in(&mut batch, 1, 1.into()).unwrap();
    row.create_in(&mut batch, 2, 1.into()).unwrap();
    run.commit(batch).unwrap();
    let mut both = vec![row.entity(run.id(), 1), row.entity(run.id(), 2)];
    both.dedup();
    assert_eq!(next(), both, "each once, in order");
}
