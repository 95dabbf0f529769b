//! Runs of one directory, of which some were forked from others; for whoever reads images without a shard.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use strata_primitives::{Error, RunId};
use strata_wal::{LogHistory, LogMode, LogSource, WalError};

use crate::base::{Base, Bases, Known, Lineage, Origin};
use crate::cold_run::ImageShelf;
use crate::image_directory::RunEntry;
use crate::store_error::store_error;

/// What is known of the runs, and what of them was made.
#[derive(Debug)]
pub(crate) struct Kin {
    known: BTreeMap<RunId, Known<'static>>,
    bases: Bases,
    /// The bases that were asked for last, the newest at the end: others are over them, or the same.
    latest: VecDeque<Arc<Base>>,
}

/// So many bases are kept for those that come next; each may be as large as a run.
const BASES_MAX: usize = 8;

impl Kin {
    pub(crate) fn new(entries: &[RunEntry]) -> Kin {
        Kin::of(entries.iter().map(|entry| (entry.run, Known { live: None, ..entry.known() })).collect())
    }

    /// The same where a directory is not all that is known of them.
    pub(crate) fn of(known: BTreeMap<RunId, Known<'static>>) -> Kin {
        Kin { known, bases: Bases::default(), latest: VecDeque::new() }
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
        // Whoever writes the log may write past the page cache.
        self.base_at(entry.origin, shelf, || LogHistory::new(source, LogMode::Direct))
    }

    /// What lies at an origin, made from the images and what `log` finds.
    ///
    /// # Errors
    /// As [`base_of`](Self::base_of).
    pub(crate) fn base_at(
        &mut self,
        origin: Option<Origin>,
        shelf: &mut ImageShelf,
        log: impl FnOnce() -> Result<LogHistory, WalError>,
    ) -> Result<Option<Arc<Base>>, Error> {
        let Self { known, bases, latest } = self;
        let Some(origin) = origin else { return Ok(None) };
        let lineage = Lineage::of(Some(origin), bases, |run| known.get(&run).cloned())?;
        let base = lineage.base().cloned();
        if base.as_ref().is_some_and(|base| base.state().is_none()) {
            lineage.make(shelf, &mut log().map_err(store_error)?)?;
        }
        latest.extend(base.clone());
        if latest.len() > BASES_MAX {
            latest.pop_front();
        }
        Ok(base)
    }
}
