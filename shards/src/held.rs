//! A run as the table of its shard holds it: in memory, or cold.

use strata_primitives::{RunId, RunInfo};

use crate::base::{Known, Origin};
use crate::cold_run::ColdRun;
use crate::run::{Need, Run};

/// A run as the table holds it.
#[derive(Debug)]
pub(crate) enum Held {
    Resident(Box<Run>),
    Cold(Box<ColdRun>),
}

impl Held {
    pub(crate) fn id(&self) -> RunId {
        match self {
            Held::Resident(run) => run.state.id(),
            Held::Cold(cold) => cold.entry.run,
        }
    }

    /// What a caller is told about the run, if it exists.
    pub(crate) fn info(&self) -> Option<RunInfo> {
        match self {
            Held::Resident(run) => run.state.info(),
            Held::Cold(cold) => cold.entry.summary.info(cold.entry.run),
        }
    }

    /// What a reader of the run waits for.
    pub(crate) fn need(&self) -> Need {
        match self {
            Held::Resident(run) => run.need,
            Held::Cold(_) => Need::default(),
        }
    }

    /// What is known of it as one that others were forked from.
    pub(crate) fn known(&self) -> Known<'_> {
        match self {
            Held::Cold(cold) => cold.entry.known(),
            Held::Resident(run) => {
                let Run { image, retained, origin, .. } = &**run;
                let images = retained.anchors.iter().copied().chain(*image).rev().collect();
                Known { images, floor: retained.floor, origin: *origin, live: Some(&run.state) }
            }
        }
    }

    /// What it began as, while it is a fork that needs it.
    pub(crate) fn origin(&self) -> Option<Origin> {
        match self {
            Held::Resident(run) => run.origin,
            Held::Cold(cold) => cold.entry.origin,
        }
    }

    pub(crate) fn exists(&self) -> bool {
        match self {
            Held::Resident(run) => run.state.exists(),
            // Of one without an image nothing is known but its commits.
            Held::Cold(cold) => cold.entry.summary.meta.is_some() || cold.entry.newest_image().is_none(),
        }
    }

    /// The run.
    ///
    /// # Panics
    /// If it is cold.
    pub(crate) fn run(&self) -> &Run {
        match self {
            Held::Resident(run) => run,
            Held::Cold(cold) => cold.panic_not_loaded(),
        }
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// If it is cold.
    pub(crate) fn run_mut(&mut self) -> &mut Run {
        match self {
            Held::Resident(run) => run,
            Held::Cold(cold) => cold.panic_not_loaded(),
        }
    }
}
