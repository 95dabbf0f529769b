//! What differs, in words.

use strata::{
    Cause, Change, ChangeEffect, Conflict, Database, DiffPlace, Difference, DocumentChange, EntityRef,
    ForkNode, KeyState, MergeConflict, Parting, PastCommit, Reads, RunHandle, RunId, Value, View,
};

use crate::Result;
use crate::traveller::{LEFT, PLAN};

/// The two runs of this story.
pub(crate) struct Names {
    pub run: RunId,
    pub fork: RunId,
}

impl Names {
    fn of(&self, id: RunId) -> &'static str {
        match id {
            id if id == self.run => "the run",
            id if id == self.fork => "the fork",
            _ => "another run",
        }
    }
}

/// The tree of runs, each with what it came to.
pub(crate) fn tree(database: &Database, names: &Names) -> Result<()> {
    for ForkNode { run, depth, version, .. } in database.lineage()?.tree(names.run) {
        let name = format!("{:depth$}{}", "", names.of(run), depth = 2 * depth);
        let from = if depth == 0 { "at version" } else { "forked at version" };
        say!("  {name:<12} {from} {version}: {}", outcome(&database.run(run))?);
    }
    Ok(())
}

/// What a run came to, in a line.
pub(crate) fn outcome(run: &impl Reads) -> Result<String> {
    let plan = run.json_get(PLAN, "")?.ok_or("there is no plan")?.value;
    let left = run.get(LEFT)?.ok_or("nobody knows what is left")?.value;
    Ok(format!("{plan}, {left} euros left"))
}

/// What differs between two runs at their ends, but for what they say of themselves: a fork has no name.
pub(crate) fn differences(one: &View, other: &View) -> Result<()> {
    for difference in one.diff(other, None, 100)?.differences {
        match difference {
            Difference::Key(key) => {
                let values = format!("{} | {}", value(key.before.as_ref()), value(key.after.as_ref()));
                say!("  key {:<14} {values}", key.key);
            }
            Difference::Document(document) => {
                let DocumentChange::Changed(places) = document.change else { continue };
                for place in places {
                    let values =
                        format!("{} | {}", shown(place.before.as_ref()), shown(place.after.as_ref()));
                    say!("  {:<18} {values}", format!("{} {}", document.name, place.path));
                }
            }
            Difference::Events(log) => say!("  {:<18} {}", "events", parting(log.parting)),
            Difference::Traces(log) => say!("  {:<18} {}", "traces", parting(log.parting)),
            Difference::Run(_) => {}
            other => say!("  {}", named(&other.place())),
        }
    }
    Ok(())
}

/// What two runs made of what both began as, and what would be merged without asking.
pub(crate) fn three_way(base: &View, ours: &View, theirs: &View) -> Result<()> {
    for difference in base.three_way(ours, theirs, None, 100)?.differences {
        let sides = [&difference.ours, &difference.theirs];
        let Some(place) = sides.into_iter().flatten().next().map(Difference::place) else { continue };
        if matches!(place, DiffPlace::Run(_)) {
            continue; // what runs say of themselves is not merged
        }
        let changed = match sides {
            [Some(_), Some(_)] => "both",
            [Some(_), None] => "the run",
            _ => "the fork",
        };
        let comes = match (difference.conflicts.len(), &difference.taken) {
            (0, None) => "nothing to take over",
            (0, Some(_)) => "is taken over",
            (1, _) => "a conflict",
            _ => "conflicts",
        };
        say!("  {:<18} changed by {changed}: {comes}", named(&place));
    }
    Ok(())
}

/// What a merge would do.
pub(crate) fn conflicts(conflicts: &[MergeConflict]) {
    for MergeConflict { conflict, resolution } in conflicts {
        let (place, values) = match conflict {
            Conflict::Key(key) | Conflict::Cell(key) => {
                let [base, ours, theirs] =
                    [&key.base, &key.ours, &key.theirs].map(|state| value(state.as_ref()));
                (format!("key {}", key.key), format!("{base}: {ours} | {theirs}"))
            }
            Conflict::Place(place) => {
                let [base, ours, theirs] =
                    [&place.base, &place.ours, &place.theirs].map(|value| shown(value.as_ref()));
                (format!("{} {}", place.document, place.path), format!("{base}: {ours} | {theirs}"))
            }
            Conflict::Events(entries) => {
                ("events".to_owned(), format!("{:?} | {:?}", entries.ours, entries.theirs))
            }
            Conflict::Traces(entries) => {
                ("traces".to_owned(), format!("{:?} | {:?}", entries.ours, entries.theirs))
            }
            other => ("a span".to_owned(), format!("{other:?}")),
        };
        say!("  {place:<18} {values:<34} {resolution:?}");
    }
}

/// What became of the plan in a run, newest first, and why.
pub(crate) fn history(run: &RunHandle, names: &Names) -> Result<()> {
    for commit in run.history(&EntityRef::json(run.id(), PLAN), 100, None)?.commits {
        let PastCommit { version, cause, changes, .. } = commit;
        let changes: Vec<_> = changes.iter().filter_map(change).collect();
        let why = match cause {
            Some(Cause::Commit { run, version }) => {
                format!("  because of commit {version} of {}", names.of(run))
            }
            Some(cause) => format!("  because of {cause:?}"),
            None => String::new(),
        };
        say!("  commit {version:<4} {}{why}", changes.join(", "));
    }
    Ok(())
}

fn change(change: &Change) -> Option<String> {
    Some(match &change.effect {
        ChangeEffect::DocumentPut { value } => format!("is {value}"),
        ChangeEffect::PlaceSet { path, value } => format!("{path} is {value}"),
        ChangeEffect::PlaceRemoved { path } => format!("{path} is gone"),
        _ => return None,
    })
}

fn value(state: Option<&KeyState>) -> String {
    shown(state.map(|state| &state.value))
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("-".to_owned(), Value::to_string)
}

fn parting(parting: Parting) -> String {
    match parting {
        Parting::At(place) => format!("part at {place}"),
        Parting::Removed => "part where nothing is kept".to_owned(),
    }
}

fn named(place: &DiffPlace) -> String {
    match place {
        DiffPlace::Key(key) => format!("key {key}"),
        DiffPlace::Cell(name) => format!("cell {name}"),
        DiffPlace::Document(name) => format!("document {name}"),
        DiffPlace::Events => "events".to_owned(),
        DiffPlace::Traces => "traces".to_owned(),
        other => format!("{other:?}"),
    }
}
