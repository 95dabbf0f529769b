//! The helper thread of a store: it owns MANIFEST, prepares segments ahead of need, and has images written.
//!
//! Filling a segment with zeros and syncing it takes milliseconds. A shard must never spend them,
//! so it sends an errand and goes on with the segment it has. Nor may one shard's image keep another's segment waiting:
//! each is written by a thread of its own, which ends with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use strata_primitives::{Error, ErrorKind, ForkPoint, Timestamp};
use strata_runtime::mailbox;
use strata_wal::{
    ArchiveWriter, Compacted, LogEnd, LogSource, NamedImage, PreparedSegment, PutAway, SegmentRequest,
    StoreDirectory, StoreSource, WalError,
};

use crate::checkpoint::Unnecessary;
use crate::held_checkpoint::Holds;
use crate::image_thread::{ImageFailure, ImageJob, ImageNews, ImageProgress, Naming, Written};
use crate::message::{Answer, Message, Reply};
use crate::store_error::store_error;

/// What the maintenance thread is asked to do.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Prepare the next segment of a shard's log.
    Prepare { shard: u32, request: SegmentRequest },
    /// Have an image written that stands for a log up to here.
    BeginImage { request: u64, through: LogEnd, begun: Timestamp },
    /// Name an image that is written.
    NameImage { request: u64, log: u32, image: NamedImage, written: Written, naming: Naming },
    /// Put away what an image has made unnecessary: segments and other image files.
    PutAway { log: u32, unnecessary: Unnecessary },
    /// Somebody holds files no longer.
    Released,
    /// Tell where a log stands, after all that was asked before.
    Source { log: u32, reply: Sender<Result<LogSource, Error>> },
    /// Tell where all logs stand.
    Sources { reply: Sender<Result<StoreSource, Error>> },
    /// Answer when all is put away that was to be before, unless somebody holds it.
    Settle { forked: Vec<ForkPoint>, reply: Reply },
    /// Tell whether all is put away that was to be: what was erased may be in what is left.
    CheckPutAway { reply: Sender<Result<(), Error>> },
    /// Tell which files the store has, and their sizes.
    Usage { reply: Sender<Result<BTreeMap<PathBuf, u64>, Error>> },
    /// Have a file take the place of what was sorted into it.
    TakeCompacted { log: u32, compacted: Compacted, reply: Sender<Result<(), Error>> },
    /// Have an archive that was written anew take the place of what was there.
    TakeArchive { log: u32, rewritten: Box<ArchiveWriter>, reply: Sender<Result<(), Error>> },
    /// Mark the store as closed in order, and end.
    Close { ends: Vec<LogEnd>, reply: Sender<Result<(), Error>> },
    /// End without that: some shard could not be closed in order.
    End,
}

/// Asks where a log stands, and waits for the answer; `None` when the thread has ended.
pub(crate) fn ask_for_source(errands: &Sender<Errand>, log: u32) -> Option<Result<LogSource, Error>> {
    let (reply, source) = bounded(1);
    errands.send(Errand::Source { log, reply }).ok()?;
    source.recv().ok()
}

/// The answer to a request for a segment.
pub(crate) type Prepared = Result<PreparedSegment, WalError>;

/// Where a shard gets its segments, and hears of its images.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) segments: Sender<Prepared>,
    pub(crate) images: Sender<ImageNews>,
    pub(crate) mailbox: mailbox::Sender<Message>,
}

/// The thread, and what it keeps.
pub(crate) struct Maintenance {
    pub(crate) directory: StoreDirectory,
    pub(crate) errands: Receiver<Errand>,
    /// For the threads that write images, which have errands too.
    pub(crate) errands_out: Sender<Errand>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Threads that write images, some of them ended.
    pub(crate) writers: Vec<JoinHandle<()>>,
    /// While somebody holds files, none is put away.
    pub(crate) holds: Holds,
    /// By log, what is to be put away when nobody does: the newest image knows of all that older ones knew.
    pub(crate) deferred: BTreeMap<u32, Unnecessary>,
    /// By log, archives that nothing refers to any more.
    pub(crate) archives: BTreeMap<u32, BTreeSet<u64>>,
    /// By log, why something that is unnecessary is still there.
    pub(crate) left: BTreeMap<u32, Error>,
}

impl Maintenance {
    /// Runs errands until the store closes.
    pub(crate) fn run(mut self) {
        while let Ok(errand) = self.errands.recv() {
            match errand {
                Errand::Close { ends, reply } => {
                    self.end_writers();
                    let _ = reply.send(self.directory.close(&ends).map_err(store_error));
                    return;
                }
                Errand::End => return self.end_writers(),
                errand => self.run_errand(errand),
            }
        }
    }

    fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Prepare { shard, request } => {
                let prepared = self.directory.prepare_segment(&request);
                let delivery = &self.deliveries[shard as usize];
                // A shard has one request under way, so there is room; a shard that has ended
                // leaves its segment to the next recovery, which knows it from MANIFEST.
                let _ = delivery.segments.try_send(prepared);
                delivery.mailbox.wake();
            }
            Errand::BeginImage { request, through, begun } => self.begin_image(request, through, begun),
            Errand::NameImage { request, log, image, written, naming } => {
                let Naming { durable_through, before } = naming;
                let named = self.directory.name_image(log, image, before, durable_through);
                let outcome = named.map_err(ImageFailure::from);
                let delivery = self.delivery(log);
                let what = ImageProgress::Finished(outcome.map(|()| (image, written)));
                let _ = delivery.images.send(ImageNews { request, what });
                delivery.mailbox.wake();
            }
            Errand::PutAway { log, mut unnecessary } if self.holds.is_any() => {
                self.archives.entry(log).or_default().append(&mut unnecessary.archives);
                self.deferred.insert(log, unnecessary);
            }
            Errand::Released => {
                self.holds.hear_release();
                self.put_away_deferred();
            }
            Errand::PutAway { log, unnecessary } => {
                self.deferred.remove(&log);
                let Unnecessary { image, kept, kept_from, mut archives } = unnecessary;
                self.archives.entry(log).or_default().append(&mut archives);
                match self
                    .remove_archives(log)
                    .and_then(|()| self.directory.put_away(log, image, &kept, kept_from))
                {
                    Ok(PutAway { retired, removed, images }) => {
                        self.left.remove(&log);
                        let shard = self.shard_of(log);
                        tracing::info!(target: "strata", shard, retired, removed, images, "segments and images are put away");
                    }
                    // It costs space until the next image.
                    Err(error) => {
                        let shard = self.shard_of(log);
                        tracing::warn!(target: "strata", shard, %error, "what images make unnecessary stays");
                        self.left.insert(log, store_error(error));
                    }
                }
            }
            Errand::Source { log, reply } => {
                let failure = self.directory.failure().map(store_error);
                let _ = reply.send(failure.map_or_else(|| Ok(self.directory.log_source(log)), Err));
            }
            Errand::Sources { reply } => {
                let failure = self.directory.failure().map(store_error);
                let _ = reply.send(failure.map_or_else(|| Ok(self.directory.store_source()), Err));
            }
            Errand::Settle { forked, reply } => {
                // Whoever held something may have found no room to tell that it is over.
                self.put_away_deferred();
                reply.send(Ok(Answer::Forked(forked)));
            }
            Errand::CheckPutAway { reply } => {
                let _ = reply.send(self.check_put_away());
            }
            Errand::Usage { reply } => {
                let _ = reply.send(self.directory.usage().map_err(store_error));
            }
            // What is held needs records that younger images do not, and looks for them where they were. Who holds something later
            // asks for it later than this.
            Errand::TakeCompacted { reply, .. } | Errand::TakeArchive { reply, .. }
                if self.holds.is_any() =>
            {
                let message = "a checkpoint is held since a compaction began, and its files stay: let it go and compact again";
                let _ = reply.send(Err(Error::new(ErrorKind::Busy, message)));
            }
            Errand::TakeArchive { log, rewritten, reply } => {
                let taken = self.directory.log_source(log).replace_archive(*rewritten);
                let _ = reply.send(taken.map(drop).map_err(store_error));
            }
            Errand::TakeCompacted { log, compacted, reply } => {
                let Compacted { kept, dropped, .. } = compacted;
                let removed = self.directory.take_compacted(log, compacted);
                tracing::info!(target: "strata", log, kept, dropped, "the history of a log is sorted");
                let _ = reply.send(removed.map(drop).map_err(store_error));
            }
            Errand::Close { .. } | Errand::End => unreachable!("the end is no errand among others"),
        }
    }

    /// Removes the archives of a log that nothing refers to; those that cannot be removed are tried again with the next ones.
    fn remove_archives(&mut self, log: u32) -> Result<(), WalError> {
        let (source, archives) = (self.directory.log_source(log), self.archives.entry(log).or_default());
        while let Some(archive) = archives.first() {
            source.remove_archive(*archive)?;
            archives.pop_first();
        }
        Ok(())
    }

    /// The shard of the log with this number.
    fn shard_of(&self, log: u32) -> u32 {
        log - self.directory.logs().start
    }

    fn delivery(&self, log: u32) -> &Delivery {
        &self.deliveries[self.shard_of(log) as usize]
    }

    fn begin_image(&mut self, request: u64, through: LogEnd, begun: Timestamp) {
        self.writers.retain(|writer| !writer.is_finished());
        let number = self.directory.next_image(through.log);
        let delivery = self.delivery(through.log);
        let job = ImageJob {
            request,
            number,
            through,
            begun,
            source: self.directory.log_source(through.log),
            errands: self.errands_out.clone(),
            news: delivery.images.clone(),
            shard: delivery.mailbox.clone(),
        };
        self.writers.extend(job.start());
    }

    /// Waits for the threads that write: no file of theirs may appear behind the end. Their shards have ended, so they end
    /// too.
    fn end_writers(&mut self) {
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
        while let Ok(errand) = self.errands.try_recv() {
            if let Errand::NameImage { .. } | Errand::PutAway { .. } = errand {
                self.run_errand(errand);
            }
        }
        self.put_away_deferred();
    }

    fn check_put_away(&self) -> Result<(), Error> {
        if !self.deferred.is_empty() {
            let message = "a checkpoint is held since a compaction began, and files that it had removed stay: let it go and compact again";
            return Err(Error::new(ErrorKind::Busy, message));
        }
        // Those of logs that were replaced, which an opening could not remove.
        self.directory.remove_foreign().map_err(store_error)?;
        self.left.values().next().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Puts away what had to wait, unless it still has to.
    fn put_away_deferred(&mut self) {
        if !self.holds.is_any() {
            for (log, unnecessary) in std::mem::take(&mut self.deferred) {
                self.run_errand(Errand::PutAway { log, unnecessary });
            }
        }
    }
}
