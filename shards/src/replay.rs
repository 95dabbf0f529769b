//! From records back to runs.
//!
//! Replay is the live path without its decisions: the same `apply`, fed with the mutations that
//! the log holds.

use strata_primitives::{Commit, ForkPoint, Mutation, Receipt, Stamp};
use strata_wal::RecordRef;

use crate::base::Origin;
use crate::cold_run::ColdRun;
use crate::image_directory::RunEntry;
use crate::record::{self, IdentifiedWrite, Record, RecordPlace};
use crate::run::Run;
use crate::run_table::RunTable;

/// Applies one record of log `log` to the runs, unless the image of its run has it; that of a cold run is kept for when it
/// is loaded. The reason of a failure says what contradicts what.
pub(crate) fn replay(runs: &mut RunTable, log: u32, found: RecordRef<'_>) -> Result<(), String> {
    let record = record::decode(found.body)?;
    let kind = record::kind_of(&record.mutations);
    if found.kind != kind {
        return Err(format!("a record of kind {} holds a commit of kind {kind}", found.kind));
    }
    let (id, version) = (record.head.run, record.head.version);
    if let [Mutation::RunFork { point, .. }, ..] = record.mutations[..]
        && !runs.contains(id)
    {
        // What it began as is made when the fork is loaded.
        let origin = Origin { point, record: record.head.previous };
        let summary = runs.blank(id).summary();
        runs.insert_cold(ColdRun::new(RunEntry::of_fork(id, origin, summary)));
    }
    if let [Mutation::RunImport { version: through, floor, .. }, ..] = record.mutations[..]
        && version > runs.known_version(id)
    {
        let origin = Origin { point: ForkPoint { run: id, version: through }, record: record.head.previous };
        if origin.archive().is_none() {
            return Err(format!("commit {version} of run {id} imports it, and names no archive"));
        }
        // Of an earlier life that was deleted nothing is needed any more.
        runs.remove(id);
        let mut entry = RunEntry::of_fork(id, origin, runs.blank(id).summary());
        entry.retained.floor = floor;
        runs.insert_cold(ColdRun::new(entry));
    }
    if let Some(cold) = runs.cold_mut(id) {
        // Its image may have been made behind the place from which the log is read.
        if version > cold.entry.summary.stamp.version {
            runs.put_behind(id, found.lsn, record);
        }
        return Ok(());
    }
    runs.change(id, |run| apply(run, RecordPlace { log, lsn: found.lsn }, record))
}

/// Applies the commit of the record at a place to its run.
pub(crate) fn apply(run: &mut Run, place: RecordPlace, record: Record) -> Result<(), String> {
    let Record { head, mutations, size } = record;
    let kind = record::kind_of(&mutations);
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
    run.pass(place, kind, stamp, size);
    run.durability = run.state.meta().and_then(|meta| meta.durability);
    Ok(())
}

/// A run's commits follow each other without a gap, and its time never runs backwards. Only a creation may come later
/// than that: the run may have lived before, in memory, under the same name.
fn check_order(before: Stamp, head: &record::RecordHead, mutations: &[Mutation]) -> Result<(), String> {
    let follows = head.version.0.checked_sub(1) == Some(before.version.0);
    let is_beginning =
        matches!(mutations.first(), Some(Mutation::RunCreate { .. } | Mutation::RunImport { .. }));
    let begins_later = head.version > before.version && is_beginning;
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
