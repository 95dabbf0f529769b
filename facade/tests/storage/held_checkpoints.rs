//! Checkpoints that are held and let go, many at once: each told whoever puts away, for whom there was so little room that others were refused
//! as if the store was closing.

use crate::support::options;
use crate::support::versions::{disk, open_at};
use strata::{Compaction, Database, Durability, Options, RunSpec, Writes};

fn store() -> Database {
    open_at(&disk(1), "store", Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) })
}

#[test]
fn a_checkpoint_is_made_also_when_many_were_let_go_at_once() {
    let database = store();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for round in 0..100 {
        let held: Vec<_> = (0..12).map(|_| database.checkpoint().unwrap()).collect();
        run.put("key", round).unwrap();
        drop(held);
        let made = database.checkpoint();
        assert!(made.is_ok(), "round {round}: {}", made.map(drop).unwrap_err());
    }
}

#[test]
fn a_compaction_is_made_also_when_many_checkpoints_were_let_go_at_once() {
    let database = store();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for round in 0..20 {
        let held: Vec<_> = (0..12).map(|_| database.checkpoint().unwrap()).collect();
        run.put("key", round).unwrap();
        drop(held);
        let made = database.compact(Compaction::Full);
        assert!(made.is_ok(), "round {round}: {}", made.map(drop).unwrap_err());
    }
}
