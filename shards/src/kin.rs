//! Runs of one directory, of which some were forked from others; for whoever reads images without a shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use strata_primitives::{Error, RunId};
use strata_wal::{LogHistory, LogMode, LogSource};

use crate::base::{Base, Bases, Known, Lineage};
use crate::cold_run::ImageShelf;
use crate::image_directory::RunEntry;
use crate::store_error::store_error;

/// What is known of the runs, and what of them was made.
#[derive(Debug)]
pub(crate) struct Kin {
    known: BTreeMap<RunId, Known>,
    bases: Bases,
    /// The base that was made last: forks of one version come together more often than not.
    last: Option<Arc<Base>>,
}

impl Kin {
    pub(crate) fn new(entries: &[RunEntry]) -> Kin {
        let known = entries.iter().map(|entry| (entry.run, entry.known())).collect();
        Kin { known, bases: Bases::default(), last: None }
    }

    /// What a run began as, if its images are over that.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be made, `Io`.
    pub(crate) fn base_of(
        &mut self,
        entry: &RunEntry,
        shelf: &mut ImageShelf,
        source: &LogSource,
    ) -> Result<Option<Arc<Base>>, Error> {
        let Self { known, bases, last } = self;
        let Some(origin) = entry.origin else { return Ok(None) };
        let lineage = Lineage::of(Some(origin), bases, |run| known.get(&run).cloned())?;
        // Nothing is written while it is read.
        let mut log = LogHistory::new(source, LogMode::Buffered).map_err(store_error)?;
        lineage.make(shelf, &mut log)?;
        *last = lineage.base().cloned();
        Ok(last.clone())
    }
}
