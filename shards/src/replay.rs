//! From records back to runs.
//!
//! Replay is the live path without its decisions: the same `apply`, fed with the mutations that
//! the log holds.

use strata_primitives::{Commit, Mutation, Receipt, Stamp};
use strata_wal::RecordRef;

use crate::record::{self, IdentifiedWrite, Record, RecordPlace};
use crate::run_table::RunTable;

/// Applies one record of log `log` to the runs, unless the image of its run has it. The reason of a failure says what contradicts what.
pub(crate) fn replay(runs: &mut RunTable, log: u32, record: RecordRef<'_>) -> Result<(), String> {
    let Record { head, mutations } = record::decode(record.body)?;
    let kind = record::kind_of(&mutations);
    if record.kind != kind {
        return Err(format!("a record of kind {} holds a commit of kind {kind}", record.kind));
    }
    let run = runs.get_or_insert(head.run);
    if run.image.is_some_and(|image| head.version <= image.version) {
        // Its image was made behind the place from which the log is read.
        return Ok(());
    }
    let before = Stamp { version: run.state.version(), timestamp: run.state.timestamp() };
    check_order(before, &head, &mutations)?;
    let stamp = Stamp { version: head.version, timestamp: head.timestamp };
    for mutation in mutations {
        run.state.check(&mutation).map_err(|reason| contradiction(&head, &reason))?;
        // What was replaced is not needed: what is in the log is not taken back.
        drop(run.state.apply(mutation, stamp));
    }
    run.state.commit(stamp);
    if let Some(IdentifiedWrite { id, fingerprint, effects }) = head.operation {
        let commit = Commit { version: head.version, timestamp: head.timestamp, durability: head.durability };
        run.state.remember(id, Receipt { commit, effects, fingerprint });
    }
    (run.place, run.logged) = (RecordPlace { log, lsn: record.lsn }, stamp);
    run.durability = run.state.meta().and_then(|meta| meta.durability);
    runs.refresh_deadline(head.run);
    Ok(())
}

/// A run's commits follow each other without a gap, and its time never runs backwards. Only a creation may come later
/// than that: the run may have lived before, in memory, under the same name.
fn check_order(before: Stamp, head: &record::RecordHead, mutations: &[Mutation]) -> Result<(), String> {
    let follows = head.version.0.checked_sub(1) == Some(before.version.0);
    let begins_later =
        head.version > before.version && matches!(mutations.first(), Some(Mutation::RunCreate { .. }));
    if (follows || begins_later) && head.timestamp >= before.timestamp {
        return Ok(());
    }
    Err(format!(
        "commit {} of run {} at {} follows its commit {} at {}",
        head.version, head.run, head.timestamp, before.version, before.timestamp
    ))
}

fn contradiction(head: &record::RecordHead, reason: &str) -> String {
    format!("commit {} of run {} contradicts what came before it: {reason}", head.version.0, head.run)
}
