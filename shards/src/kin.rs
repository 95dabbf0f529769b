//! Runs of one directory, of which some were forked from others; for whoever reads images without a shard.

use std::collections::{BTreeMap, VecDeque};
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
    known: BTreeMap<RunId, Known<'static>>,
    bases: Bases,
    /// The bases that were asked for last, the newest at the end: others are over them, or the same.
    latest: VecDeque<Arc<Base>>,
}

/// So many bases are kept for those that come next; each may be as large as a run.
const BASES_MAX: usize = 8;

impl Kin {
    pub(crate) fn new(entries: &[RunEntry]) -> Kin {
        let known = entries.iter().map(|entry| (entry.run, Known { live: None, ..entry.known() })).collect();
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
        let Self { known, bases, latest } = self;
        let Some(origin) = entry.origin else { return Ok(None) };
        let lineage = Lineage::of(Some(origin), bases, |run| known.get(&run).cloned())?;
        let base = lineage.base().cloned();
        if base.as_ref().is_some_and(|base| base.state().is_none()) {
            // Whoever writes the log may write past the page cache.
            let mut log = LogHistory::new(source, LogMode::Direct).map_err(store_error)?;
            lineage.make(shelf, &mut log)?;
        }
        latest.extend(base.clone());
        if latest.len() > BASES_MAX {
            latest.pop_front();
        }
        Ok(base)
    }
}
