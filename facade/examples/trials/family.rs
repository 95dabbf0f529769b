//! The trials of one task in a store: a run, and forks of it and of each other.

use strata::{Database, ForkNode, Lineage, Reads, RunHandle, RunSpec, RunStatus, Value, Version};

use crate::Result;
use crate::figures::counted;
use crate::pairs::Pair;
use crate::recorded::Recorded;
use crate::steps::{Step, Stored, Task, Trial, Unit};
use crate::values::from_json;

/// The document that says how a trial came out.
pub(crate) const OUTCOME: &str = "outcome";

/// The commit that creates a run: a trial that has no step in common with another parts from it here.
const CREATED: Version = Version(1);

/// What trials have of each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Forks,
    Nothing, // each is a run of its own
}

/// The runs of the trials of a task.
pub(crate) struct Family {
    runs: Vec<RunHandle>,
    steps: u64,
    written: u64,
}

/// Where a trial leaves the run of another.
struct Parting {
    step: usize,
    version: Version, // that of the last step they have in common
}

impl Family {
    /// Writes the trials of a task one after the other, each step once.
    pub(crate) fn write(database: &Database, task: &Task<'_>, sharing: Sharing) -> Result<Family> {
        let mut family = Family { runs: Vec::with_capacity(task.trials.len()), steps: 0, written: 0 };
        for trial in &task.trials {
            let nearest = match sharing {
                Sharing::Forks => family.nearest(trial, task.unit)?,
                Sharing::Nothing => None,
            };
            let (run, left) = match nearest {
                Some((run, parting)) => (run.fork_at(parting.version)?, &trial.steps[parting.step..]),
                None => (create(database, trial)?, &trial.steps[..]),
            };
            go_on(&run, left)?;
            finish(&run, trial)?;
            family.steps += trial.steps.len() as u64;
            family.written += left.len() as u64;
            family.runs.push(run);
        }
        Ok(family)
    }

    /// The first of the runs that have the most steps in common with a trial.
    fn nearest(&self, trial: &Trial<'_>, unit: Unit) -> Result<Option<(&RunHandle, Parting)>> {
        let mut nearest: Option<(&RunHandle, Parting)> = None;
        for run in &self.runs {
            let parting = follow(run, trial, unit)?;
            if nearest.as_ref().is_none_or(|(_, nearest)| parting.step > nearest.step) {
                nearest = Some((run, parting));
            }
        }
        Ok(nearest)
    }

    pub(crate) fn step_count(&self) -> u64 {
        self.steps
    }

    pub(crate) fn written_count(&self) -> u64 {
        self.written
    }

    /// Any two trials compared.
    pub(crate) fn pairs(&self, task: &Task<'_>) -> Result<Vec<Pair>> {
        let views = self.runs.iter().map(|run| Ok(run.snapshot()?.detach()?)).collect::<Result<Vec<_>>>()?;
        let mut pairs = Vec::new();
        for (index, one) in task.trials.iter().enumerate() {
            for (other_index, other) in task.trials.iter().enumerate().skip(index + 1) {
                let mut pair = Pair::compare(&views[index], &views[other_index], task.unit)?;
                let common = one.common_count(other) as u64;
                if pair.parting != common {
                    let names = (&one.recorded.name, &other.recorded.name);
                    return Err(
                        format!("{names:?} part at step {common}, the store says {}", pair.parting).into()
                    );
                }
                pair.trials = (one.recorded.trial.to_string(), other.recorded.trial.to_string());
                pairs.push(pair);
            }
        }
        Ok(pairs)
    }

    /// Prints the tree of forks, as the store tells it.
    pub(crate) fn show(&self, database: &Database, lineage: &Lineage, task: &Task<'_>) -> Result<()> {
        let solved = task.trials.iter().filter(|trial| trial.recorded.is_solved()).count();
        let trials = counted(task.trials.len() as u64, "trial", "trials");
        let steps = counted(self.steps, "step", "steps");
        say!(
            "Task {}: {trials}, {solved} of them solved it; {steps}, {} of them written",
            task.name,
            self.written
        );
        for ForkNode { run, depth, version, .. } in lineage.tree(self.runs[0].id()) {
            let run = database.run(run);
            let begins = match lineage.parent(run.id()) {
                Some(parent) => {
                    let shared = match task.unit.count(&run.at(version)?)? {
                        0 => "none".to_owned(),
                        count => format!("the first {count}"),
                    };
                    format!(", {shared} as trial {}", trial_of(&database.run(parent.run))?)
                }
                None => String::new(),
            };
            let name = format!("{:depth$}trial {}", "", trial_of(&run)?, depth = 2 * depth);
            let status = if run.info()?.status == RunStatus::Completed { "solved" } else { "failed" };
            say!("  {name:<16} {status}  {}{begins}", counted(task.unit.count(&run)?, "step", "steps"));
        }
        Ok(())
    }
}

/// How many steps of a run a trial takes too.
fn follow(run: &RunHandle, trial: &Trial<'_>, unit: Unit) -> Result<Parting> {
    let mut parting = Parting { step: 0, version: CREATED };
    for (place, step) in trial.steps.iter().enumerate() {
        match Stored::read(run, unit, place as u64)? {
            Some(stored) if stored.is(step) => {
                parting = Parting { step: place + 1, version: stored.version() }
            }
            _ => break,
        }
    }
    Ok(parting)
}

fn create(database: &Database, trial: &Trial<'_>) -> Result<RunHandle> {
    let name = Some(trial.recorded.name.clone());
    Ok(database.create_run(RunSpec { name, ..RunSpec::default() })?)
}

/// Writes steps, each as one commit.
fn go_on(run: &RunHandle, steps: &[Step<'_>]) -> Result<()> {
    for step in steps {
        let mut batch = run.batch();
        step.write(&mut batch, |document| Ok(run.json_get(document, "")?.is_some()))?;
        run.commit(batch)?;
    }
    Ok(())
}

/// Says how a trial came out: in one commit, behind all of its steps, where no other trial begins.
fn finish(run: &RunHandle, trial: &Trial<'_>) -> Result<()> {
    let Recorded { trial: number, reward, .. } = trial.recorded;
    let steps = i64::try_from(trial.steps.len())?;
    let mut batch = run.batch();
    batch
        .json_create(OUTCOME, Value::from([("reward", from_json(reward)?), ("steps", Value::Int(steps))]))?;
    batch.set_metadata(Value::from([("trial", from_json(number)?)]))?;
    batch.update_status(if trial.recorded.is_solved() { RunStatus::Completed } else { RunStatus::Failed })?;
    run.commit(batch)?;
    Ok(())
}

/// Which trial a run is, as it says of itself.
fn trial_of(run: &RunHandle) -> Result<String> {
    Ok(run.info()?.metadata.get("trial").map_or("-".to_owned(), Value::to_string))
}
