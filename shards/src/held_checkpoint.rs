//! A checkpoint whose files stay until it is let go, so that they can be copied while the store is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{Sender, bounded};
use strata_primitives::{Error, Timestamp};
use strata_wal::{LogSource, NeededFiles, StoreSource};

use crate::engine::{Engine, closed_error};
use crate::image_directory::read_directory;
use crate::maintenance::Errand;
use crate::report::ShardCheckpoint;
use crate::store_error::store_error;

/// How many hold the files of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    count: AtomicUsize,
    /// Whoever puts away was told that nobody holds them any more, and has not heard it.
    is_release_told: AtomicBool,
}

/// Keeps files where they are until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    holds: Holds,
    /// Whoever puts away is told then.
    errands: Option<Sender<Errand>>,
}

impl Holds {
    pub(crate) fn take(&self, errands: Option<Sender<Errand>>) -> Hold {
        // SeqCst: whoever puts away looks at it after, or is asked something after, in another thread.
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Hold { holds: self.clone(), errands }
    }

    /// Whether nothing is to be put away.
    pub(crate) fn is_any(&self) -> bool {
        self.0.count.load(Ordering::SeqCst) > 0
    }

    /// Whoever puts away has heard of it: who lets go from now on tells it again.
    pub(crate) fn hear_release(&self) {
        // SeqCst: who lets go counts down and then finds this set or not. If set, it is heard behind that, and nothing held is seen.
        self.0.is_release_told.store(false, Ordering::SeqCst);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Held { count, is_release_told } = &*self.holds.0;
        let is_last = count.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_last
            && let Some(errands) = &self.errands
            && !is_release_told.swap(true, Ordering::SeqCst)
        {
            // Without anybody to put away the close does it.
            let _ = errands.send(Errand::Released);
        }
    }
}

/// Images of everything that was acknowledged before it was asked for, and what belongs to them.
#[derive(Debug)]
pub struct HeldCheckpoint {
    /// What each shard did.
    pub shards: Vec<ShardCheckpoint>,
    /// When it was complete.
    pub time: Timestamp,
    source: StoreSource,
    _hold: Hold,
}

impl Engine {
    /// Makes a checkpoint and holds what belongs to it.
    ///
    /// # Errors
    /// Those of a checkpoint, `Closed`.
    pub fn checkpoint(&self) -> Result<HeldCheckpoint, Error> {
        // Held from before, so that nothing of the image goes between its naming and here.
        let hold = self.holds.take(self.errands());
        let shards = self.checkpoint_shards()?;
        Ok(HeldCheckpoint { shards, time: self.clock.now(), source: self.source()?, _hold: hold })
    }

    /// The files of the store as they are, held, once everything acknowledged is in them.
    pub(crate) fn hold_source(&self) -> Result<(StoreSource, impl Drop + use<>), Error> {
        let hold = self.holds.take(self.errands());
        if !self.is_read_only {
            self.checkpoint_shards()?;
        }
        Ok((self.source()?, hold))
    }

    /// Where all logs stand.
    pub(crate) fn source(&self) -> Result<StoreSource, Error> {
        self.ask_maintenance(|reply| Errand::Sources { reply })
    }

    /// Asks the maintenance thread, and waits for its answer.
    pub(crate) fn ask_maintenance<T>(
        &self,
        errand: impl FnOnce(Sender<Result<T, Error>>) -> Errand,
    ) -> Result<T, Error> {
        let errands = self.errands().ok_or_else(closed_error)?;
        let (reply, answer) = bounded(1);
        // Errands are done in order: what was put away before is done when the answer comes.
        errands.send(errand(reply)).map_err(|_| closed_error())?;
        answer.recv().unwrap_or_else(|_| Err(closed_error()))
    }
}

impl HeldCheckpoint {
    /// Its number: a later one of the same store has a greater one.
    pub fn id(&self) -> u64 {
        self.source.generation()
    }

    /// The files that belong to it, below the directory of the store. MANIFEST is not among them: it says what there is now.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let files = self.source.files(&self.needed()?).map_err(store_error)?;
        Ok(files.into_iter().map(|file| file.path).collect())
    }

    /// Copies them to a directory that is missing or empty, durably, with a MANIFEST of their own. Returns how many bytes.
    ///
    /// # Errors
    /// `Unsupported` when there is something, `Full`, `Corrupt`, `Io`; what has been copied by then cannot be opened.
    pub fn copy_to(&self, path: &Path) -> Result<u64, Error> {
        self.source.copy_to(&self.needed()?, path).map_err(store_error)
    }

    /// By log, what its images refer to.
    fn needed(&self) -> Result<Vec<NeededFiles>, Error> {
        let of_log = |source: &LogSource| {
            let mut needed = NeededFiles::default();
            for image in source.images() {
                let (_, end) = read_directory(source, &image).map_err(store_error)?;
                needed.images.extend(end.files.into_keys().chain([image.number]));
                needed.archives.extend(end.archives);
            }
            Ok(needed)
        };
        self.source.logs().iter().map(of_log).collect()
    }
}
