//! The thread of a shard that brings cold runs back: it reads and decodes, so that the shard does neither.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, SendError, Sender};
use strata_primitives::{Error, ErrorKind, ForkPoint, RunId, RunState};
use strata_runtime::mailbox;
use strata_wal::{LogHistory, LogMode, LogSource, Lsn, WalError};

use crate::base::{Base, Lineage};
use crate::checkpoint::Unnecessary;
use crate::cold_run::ImageShelf;
use crate::engine::closed_error;
use crate::history::{MadePast, PastVersion};
use crate::history_query::HistoryFound;
use crate::history_read::Reading;
use crate::image_directory::RunEntry;
use crate::maintenance::{Errand, ask_for_source};
use crate::message::{Message, Reply};
use crate::record::{Record, RecordPlace};
use crate::record_walk::KnownMilestones;
use crate::replay::apply;
use crate::run::Run;
use crate::store_error::store_error;
use crate::value_places::Moved;

/// What the loader of a shard is asked to do, in order.
#[derive(Debug)]
pub(crate) enum LoadRequest {
    /// Bring back a run, with the commits behind its image; a fork over what it began as.
    Load {
        request: u64,
        asked_at: Instant,
        entry: Box<RunEntry>,
        tail: Arc<Vec<(Lsn, Record)>>,
        lineage: Result<Lineage, Error>,
    },
    /// Make a run as it was; a fork over what it began as.
    Past { request: u64, past: Box<PastVersion>, lineage: Lineage },
    /// Look into the history of a run.
    History { request: u64, recovery: u64, reading: Box<Reading> },
    /// Drop something, which takes its time.
    Drop(Dropped),
    /// Nobody asks for any of this any more: read from the new image what has moved there, and have the rest put away.
    Forget { moved: Moved, unnecessary: Unnecessary },
    /// Answer when all that was asked for before is done, and put away.
    Settle { forked: Vec<ForkPoint>, reply: Reply },
}

/// What is dropped where nobody waits for that.
#[derive(Debug)]
pub(crate) enum Dropped {
    Run(#[expect(dead_code, reason = "it is only dropped")] Box<Run>),
    Past(#[expect(dead_code, reason = "it is only dropped")] Box<MadePast>),
    Base(#[expect(dead_code, reason = "it is only dropped")] Arc<Base>),
    Picture(#[expect(dead_code, reason = "it is only dropped")] Arc<RunState>),
}

/// What has come of a request.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// A run that was asked for then is back, or cannot be.
    Run { request: u64, asked_at: Instant, run: RunId, outcome: Result<Box<Run>, Error> },
    /// A run as it was.
    Past { request: u64, outcome: Result<Box<MadePast>, Error> },
    /// What was asked about the history of a run.
    History { request: u64, outcome: Result<HistoryFound, Error> },
}

/// What the thread starts from.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) log: u32,
    /// The shard it works for.
    pub(crate) index: u32,
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
        let mut known = KnownMilestones::default();
        while let Ok(wanted) = self.requests.recv() {
            match wanted {
                LoadRequest::Load { request, asked_at, entry, tail, lineage } => {
                    let run = entry.run;
                    let outcome = lineage
                        .and_then(|lineage| or_panicked(|| self.load(&entry, &tail, &lineage).map(Box::new)));
                    self.tell(Loaded::Run { request, asked_at, run, outcome });
                }
                LoadRequest::Past { request, past, lineage } => {
                    let outcome = or_panicked(|| self.make(&past, &lineage).map(Box::new));
                    self.tell(Loaded::Past { request, outcome });
                }
                LoadRequest::History { request, recovery, reading } => {
                    known.begin(recovery);
                    let outcome = or_panicked(|| {
                        let mut log = self.history()?;
                        reading.read(&self.shelf, &mut log, &mut known)
                    });
                    self.tell(Loaded::History { request, outcome });
                }
                LoadRequest::Drop(dropped) => drop(dropped),
                LoadRequest::Forget { moved, unnecessary } => {
                    let Unnecessary { image, kept, .. } = &unnecessary;
                    // Runs that were asked for before are read by now, and known by where they were read.
                    if let Err(error) = self.shelf.follow(*image, moved) {
                        tracing::warn!(target: "strata", shard = self.index, %error, "values are read from a file that is removed");
                    }
                    self.shelf.retain(|file| file >= *image || kept.contains(&file));
                    // Without anybody to put it away it costs space until the next image.
                    let _ = self.errands.send(Errand::PutAway { log: self.log, unnecessary });
                }
                LoadRequest::Settle { forked, reply } => {
                    let errand = Errand::Settle { forked, reply };
                    if let Err(SendError(Errand::Settle { reply, .. })) = self.errands.send(errand) {
                        reply.send(Err(closed_error()));
                    }
                }
            }
        }
    }

    fn load(&mut self, entry: &RunEntry, tail: &[(Lsn, Record)], lineage: &Lineage) -> Result<Run, Error> {
        let base = self.make_base(lineage)?;
        let mut run = match (entry.newest_image(), &base) {
            (None, Some(base)) => Run::forked(entry.run, Arc::clone(base)),
            _ => match self.shelf.load(entry, base.as_ref()) {
                Err(damage @ WalError::Corrupt { .. }) => self.rebuild(entry, base.as_ref(), damage)?,
                loaded => loaded.map_err(store_error)?,
            },
        };
        for (lsn, record) in tail {
            let damaged =
                |reason| Error::new(ErrorKind::Corrupt, format!("log {}, LSN {lsn}: {reason}", self.log));
            let place = RecordPlace { log: self.log, lsn: *lsn };
            apply(&mut run, place, record.clone()).map_err(damaged)?;
        }
        Ok(run)
    }

    fn make(&mut self, past: &PastVersion, lineage: &Lineage) -> Result<MadePast, Error> {
        let base = self.make_base(lineage)?;
        let mut log = self.history()?;
        past.make(&mut self.shelf, &mut log, base.as_ref())
    }

    /// The records of the log as they stand now, and its images.
    fn history(&mut self) -> Result<LogHistory, Error> {
        let source = self.source()?;
        self.shelf.renew(&source);
        LogHistory::new(&source, self.mode).map_err(store_error)
    }

    /// What a fork began as, if the run is one.
    fn make_base(&mut self, lineage: &Lineage) -> Result<Option<Arc<Base>>, Error> {
        let base = lineage.base();
        if base.is_some_and(|base| base.state().is_none()) {
            let mut log = self.history()?;
            lineage.make(&mut self.shelf, &mut log)?;
        }
        Ok(base.cloned())
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

    fn rebuild(
        &mut self,
        entry: &RunEntry,
        base: Option<&Arc<Base>>,
        damage: WalError,
    ) -> Result<Run, Error> {
        tracing::warn!(target: "strata", shard = self.index, run = %entry.run, error = %damage, "an image is damaged: the run is rebuilt from the one before");
        let source = self.source()?;
        // What cannot be rebuilt is damaged as it was found first.
        self.shelf.rebuild(entry, base, &source).map_err(|error| {
            tracing::error!(target: "strata", shard = self.index, run = %entry.run, %error, "the run cannot be rebuilt");
            store_error(damage)
        })
    }
}
