//! The thread of a shard that brings cold runs back: it reads and decodes, so that the shard does neither.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use strata_primitives::{Error, ErrorKind, RunId};
use strata_runtime::mailbox;
use strata_wal::{Lsn, WalError};

use crate::checkpoint::Unnecessary;
use crate::cold_run::ImageShelf;
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
    /// Nobody asks for any of this any more: have it put away.
    Forget(Unnecessary),
}

/// A run that is back, or why it is not.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) request: u64,
    pub(crate) run: RunId,
    pub(crate) outcome: Result<Box<Run>, Error>,
}

/// What the thread starts from.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) log: u32,
    pub(crate) shelf: ImageShelf,
    pub(crate) requests: Receiver<LoadRequest>,
    pub(crate) loaded: Sender<Loaded>,
    pub(crate) errands: Sender<Errand>,
    pub(crate) shard: mailbox::Sender<Message>,
}

fn panicked() -> Error {
    Error::new(ErrorKind::Io, "the thread that loads runs panicked over this one")
}

impl Loader {
    /// Serves requests until the shard has ended.
    pub(crate) fn run(mut self) {
        while let Ok(wanted) = self.requests.recv() {
            match wanted {
                LoadRequest::Load { request, entry, tail } => {
                    let run = entry.run;
                    let load = AssertUnwindSafe(|| self.load(&entry, &tail).map(Box::new));
                    let outcome = catch_unwind(load).unwrap_or_else(|_| Err(panicked()));
                    let _ = self.loaded.send(Loaded { request, run, outcome });
                    self.shard.wake();
                }
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

    fn rebuild(&mut self, entry: &RunEntry, damage: WalError) -> Result<Run, Error> {
        tracing::warn!(log = self.log, run = %entry.run, %damage, "an image is damaged: the run is rebuilt from the one before");
        let ended = || Error::new(ErrorKind::Closed, "the store is closing");
        let source = ask_for_source(&self.errands, self.log).unwrap_or_else(|| Err(ended()))?;
        // What cannot be rebuilt is damaged as it was found first.
        self.shelf.rebuild(entry, &source).map_err(|error| {
            tracing::error!(log = self.log, run = %entry.run, %error, "the run cannot be rebuilt");
            store_error(damage)
        })
    }
}
