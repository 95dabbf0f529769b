//! Two trials of a task compared: the step at which they part, and what they came to.

use strata::{
    Difference, DocumentChange, LogDifference, Parting, PlaceDifference, Reads, RunStatus, Value, View,
};

use crate::Result;
use crate::family::OUTCOME;
use crate::figures::{counted, fit};
use crate::steps::{Stored, Unit};

/// How many places of documents are shown of a task.
const SHOWN_COUNT: usize = 4;

/// How many differences are asked for at once.
const PAGE_COUNT: usize = 100;

/// What differs between two trials.
pub(crate) struct Pair {
    pub trials: (String, String),
    /// All steps in front of this one are the same.
    pub parting: u64,
    /// What each of them does there.
    apart: String,
    solved: (bool, bool),
    documents: Vec<Changed>,
}

/// A document that is not the same in both.
struct Changed {
    name: String,
    change: DocumentChange,
}

impl Pair {
    /// Compares two trials as they are at their ends.
    pub(crate) fn compare(one: &View, other: &View, unit: Unit) -> Result<Pair> {
        let (mut parting, mut documents, mut behind) = (None, Vec::new(), None);
        loop {
            let page = one.diff(other, behind.as_ref(), PAGE_COUNT)?;
            for difference in page.differences {
                match difference {
                    Difference::Traces(log) if unit == Unit::Call => parting = place(&log),
                    Difference::Events(log) if unit == Unit::Message => parting = place(&log),
                    Difference::Document(document) if document.name != OUTCOME => {
                        documents.push(Changed { name: document.name, change: document.change });
                    }
                    _ => {}
                }
            }
            behind = page.next;
            if behind.is_none() {
                break;
            }
        }
        // Without such a difference both took the same steps to the end.
        let parting = parting.map_or_else(|| unit.count(one), Ok)?;
        let apart =
            Stored::tell_apart(Stored::read(one, unit, parting)?, Stored::read(other, unit, parting)?);
        let solved = (is_solved(one)?, is_solved(other)?);
        Ok(Pair { trials: Default::default(), parting, apart, solved, documents })
    }

    /// The documents that differ: those that both have, then those that only one of them has.
    fn documents(&self) -> String {
        let (mut parts, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
        for Changed { name, change } in &self.documents {
            match change {
                DocumentChange::Added(_) => second.push(name.as_str()),
                DocumentChange::Removed(_) => first.push(name.as_str()),
                DocumentChange::Changed(places) => {
                    parts.push(format!("{name} at {}", counted(places.len() as u64, "place", "places")));
                }
            }
        }
        let (one, other) = &self.trials;
        for (names, trial) in [(first, one), (second, other)] {
            if !names.is_empty() {
                parts.push(format!("{} only in {trial}", names.join(" ")));
            }
        }
        parts.join(", ")
    }

    /// What became of the documents, a line for each place that is not the same.
    fn places(&self) -> Vec<String> {
        let shown = |value: &Option<Value>| fit(&value.as_ref().map_or("-".to_owned(), Value::to_string), 36);
        let (one, other) = &self.trials;
        let lines = self.documents.iter().flat_map(|Changed { name, change }| match change {
            DocumentChange::Added(_) => vec![format!("{name} is only in trial {other}")],
            DocumentChange::Removed(_) => vec![format!("{name} is only in trial {one}")],
            DocumentChange::Changed(places) => places
                .iter()
                .map(|PlaceDifference { path, before, after }| {
                    format!("{name} {path}: {} | {}", shown(before), shown(after))
                })
                .collect(),
        });
        lines.collect()
    }
}

/// Prints a line for each pair. Of the two that went the longest way together and came to different ends it prints, too, what
/// became of the reservations.
pub(crate) fn show(pairs: &[Pair]) {
    for pair in pairs {
        let (one, other) = &pair.trials;
        let apart = fit(&pair.apart, 52);
        let line = format!(
            "  {one} and {other} part at step {:<3} {apart:<52}  {}",
            pair.parting,
            fit(&pair.documents(), 64)
        );
        say!("{}", line.trim_end());
    }
    let torn = pairs.iter().filter(|pair| pair.solved.0 != pair.solved.1);
    if let Some(pair) = torn.max_by_key(|pair| pair.parting) {
        let (one, other) = &pair.trials;
        let (solved, failed) = if pair.solved.0 { (one, other) } else { (other, one) };
        say!("  trial {solved} solved it, trial {failed} did not");
        let places = pair.places();
        for line in places.iter().take(SHOWN_COUNT) {
            say!("    {line}");
        }
        if let Some(more) = places.len().checked_sub(SHOWN_COUNT).filter(|more| *more > 0) {
            say!("    ... and {more} more");
        }
    }
    say!();
}

fn place(log: &LogDifference) -> Option<u64> {
    match log.parting {
        Parting::At(place) => Some(place),
        Parting::Removed => None, // these runs keep all they have
    }
}

fn is_solved(trial: &View) -> Result<bool> {
    Ok(trial.info()?.status == RunStatus::Completed)
}
