//! The thread of a shard that brings cold runs back: it reads and decodes, so that the shard does neither.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use strata_primitives::{Error, ErrorKind, RunId, RunState};
use strata_runtime::mailbox;
use strata_wal::{LogHistory, LogMode, LogSource, Lsn, WalError};

use crate::checkpoint::Unnecessary;
use crate::cold_run::ImageShelf;
use crate::history::PastVersion;
use crate::image_directory::RunEntry;
use crate::maintenance::{Errand, ask_for_source};
use crate::message::Message;
use crate::record::Record;
use crate::replay::apply;
use crate::run::Run;
use crate::store_error::store_error;

/// What the loader of a shard is asked to do, in order.
#[derive(Debug)]
pub(crate) enum LoadRequest {
    /// Bring back a run, with the commits behind its image.
    Load { request: u64, entry: Box<RunEntry>, tail: Arc<Vec<(Lsn, Record)>> },
    /// Make a run as it was.
    Past { request: u64, past: Box<PastVersion> },
    /// Drop a run, which takes its time.
    Drop(Box<RunState>),
    /// Nobody asks for any of this any more: have it put away.
    Forget(Unnecessary),
}

/// What has come of a request.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// A run is back, or cannot be.
    Run { request: u64, run: RunId, outcome: Result<Box<Run>, Error> },
    /// A run as it was.
    Past { request: u64, outcome: Result<Box<RunState>, Error> },
}

/// What the thread starts from.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) log: u32,
    /// How its log is written.
    pub(crate) mode: LogMode,
    pub(crate) shelf: ImageShelf,
    pub(crate) requests: Receiver<LoadRequest>,
    pub(crate) loaded: Sender<Loaded>,
    pub(crate) errands: Sender<Errand>,
    pub(crate) shard: mailbox::Sender<Message>,
}

/// What came of it; a panic is a failure.
fn or_panicked<T>(make: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let panicked = |_| Err(Error::new(ErrorKind::Io, "the thread that loads runs panicked over this one"));
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(panicked)
}

impl Loader {
    /// Serves requests until the shard has ended.
    pub(crate) fn run(mut self) {
        while let Ok(wanted) = self.requests.recv() {
            match wanted {
                LoadRequest::Load { request, entry, tail } => {
                    let run = entry.run;
                    let outcome = or_panicked(|| self.load(&entry, &tail).map(Box::new));
                    self.tell(Loaded::Run { request, run, outcome });
                }
                LoadRequest::Past { request, past } => {
                    let outcome = or_panicked(|| self.make(&past).map(Box::new));
                    self.tell(Loaded::Past { request, outcome });
                }
                LoadRequest::Drop(state) => drop(state),
                LoadRequest::Forget(unnecessary) => {
                    let Unnecessary { image, kept, .. } = &unnecessary;
                    self.shelf.retain(|file| file >= *image || kept.contains(&file));
                    // Without anybody to put it away it costs space until the next image.
                    let _ = self.errands.try_send(Errand::PutAway { log: self.log, unnecessary });
                }
            }
        }
    }

    fn load(&mut self, entry: &RunEntry, tail: &[(Lsn, Record)]) -> Result<Run, Error> {
        let mut run = match self.shelf.load(entry) {
            Err(damage @ WalError::Corrupt { .. }) => self.rebuild(entry, damage)?,
            loaded => loaded.map_err(store_error)?,
        };
        for (lsn, record) in tail {
            let damaged =
                |reason| Error::new(ErrorKind::Corrupt, format!("log {}, LSN {lsn}: {reason}", self.log));
            apply(&mut run, self.log, *lsn, record.clone()).map_err(damaged)?;
        }
        Ok(run)
    }

    fn make(&mut self, past: &PastVersion) -> Result<RunState, Error> {
        let mut log = LogHistory::new(&self.source()?, self.mode).map_err(store_error)?;
        past.make(&mut self.shelf, &mut log)
    }

    /// Where the log stands now.
    fn source(&self) -> Result<LogSource, Error> {
        let ended = || Error::new(ErrorKind::Closed, "the store is closing");
        ask_for_source(&self.errands, self.log).unwrap_or_else(|| Err(ended()))
    }

    /// A shard that has ended hears of nothing any more.
    fn tell(&self, loaded: Loaded) {
        let _ = self.loaded.send(loaded);
        self.shard.wake();
    }

    fn rebuild(&mut self, entry: &RunEntry, damage: WalError) -> Result<Run, Error> {
        tracing::warn!(log = self.log, run = %entry.run, %damage, "an image is damaged: the run is rebuilt from the one before");
        let source = self.source()?;
        // What cannot be rebuilt is damaged as it was found first.
        self.shelf.rebuild(entry, &source).map_err(|error| {
            tracing::error!(log = self.log, run = %entry.run, %error, "the run cannot be rebuilt");
            store_error(damage)
        })
    }
}
