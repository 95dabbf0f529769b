//! The life of a shard's thread: recover, serve, sleep, and survive a panic of what it serves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use strata_primitives::{Error, ErrorKind};
use strata_runtime::mailbox::Mailbox;
use strata_runtime::spin::Spin;
use strata_wal::{LogOptions, LogRecovery, LogSource};

use crate::boot::Boot;
use crate::checkpoint::KnownImages;
use crate::maintenance::ask_for_source;
use crate::message::{Answer, Control, Message, Reply};
use crate::report::ShardRecovery;
use crate::restore::{Restored, restore};
use crate::run_table::RunTable;
use crate::setup::Setup;
use crate::shard::{Ending, Maintained, Shard};
use crate::value_reads::ValueReads;

/// Everything that a shard's thread starts from.
#[derive(Debug)]
pub(crate) struct ShardThread {
    pub(crate) index: u32,
    pub(crate) setup: Arc<Setup>,
    pub(crate) mailbox: Mailbox<Message>,
    pub(crate) disk: Option<ShardDisk>,
    pub(crate) hash_seed: usize,
    /// The boot that is being served; a restarted shard goes on in it.
    pub(crate) boot: Boot,
}

/// What a shard with a log needs beside its messages.
#[derive(Debug)]
pub(crate) struct ShardDisk {
    pub(crate) source: LogSource,
    pub(crate) options: LogOptions,
    pub(crate) maintained: Maintained,
    /// Where reads of values are counted.
    pub(crate) value_reads: Arc<ValueReads>,
}

/// How long a shard that is short of memory leaves the CPU to who writes the image that it waits for.
const SHORT_PAUSE: Duration = Duration::from_micros(200);

/// How long a shard looks for a message before it sleeps: a client that is awake sends the next one sooner, and one that is not
/// finds the shard asleep and looks for its answer for longer than that takes.
const LOOK: Duration = Duration::from_micros(50);

/// How long a shard looks for a message while the disk works for it: a completion that comes meanwhile is found at the
/// end of the look.
const LOOK_BESIDE_IO: Duration = Duration::from_micros(5);

/// Why serving ended without a panic.
enum Served {
    Closed,
    Restart(Reply),
}

impl ShardThread {
    /// Recovers, tells `opened` how that went, and serves until the store closes.
    pub(crate) fn run(mut self, opened: &Sender<Result<Option<ShardRecovery>, Error>>) {
        let recovered = catch_unwind(AssertUnwindSafe(|| self.recover()));
        let (mut shard, recovery) = match recovered.unwrap_or_else(|_| Err(self.closed())) {
            Ok(recovered) => recovered,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok(recovery));
        loop {
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(shard)));
            let restart = match served {
                Ok(Served::Closed) => return,
                Ok(Served::Restart(reply)) => Some(reply),
                Err(_) => {
                    tracing::error!(target: "strata", shard = self.index, "the shard panicked and answers Closed until it is restarted");
                    None
                }
            };
            match self.restart(restart) {
                Some(restarted) => shard = restarted,
                None => return,
            }
        }
    }

    /// One serving of one shard, from its first turn to its close.
    fn serve(&mut self, mut shard: Shard) -> Served {
        shard.boot = self.boot;
        let maintained = self.disk.as_ref().map(|disk| &disk.maintained);
        loop {
            let busy = shard.turn(&mut self.mailbox, maintained);
            self.boot = shard.boot;
            if let Some(ending) = shard.ending.take() {
                return match ending {
                    Ending::Restart(reply) => Served::Restart(reply),
                    Ending::Close(reply) => {
                        reply.send(shard.finish(maintained).map(Answer::Closed));
                        Served::Closed
                    }
                };
            }
            if shard.is_stalled() {
                shard.wait_for_log(maintained);
            } else if !busy && shard.budget.is_short() {
                std::thread::sleep(SHORT_PAUSE);
            } else if !busy && self.mailbox.is_empty() && !self.mailbox.spin(look(&shard)) {
                let io = shard.log.as_ref().and_then(|log| log.io_descriptor());
                self.mailbox.sleep(io, shard.sleep_max());
            }
        }
    }

    /// Answers Closed to everybody until the shard is restarted or the store closes.
    fn restart(&mut self, asked: Option<Reply>) -> Option<Shard> {
        let mut asked = asked;
        loop {
            let reply = match asked.take() {
                Some(reply) => reply,
                None => match self.refuse_until_control() {
                    (Control::Restart, reply) => reply,
                    (_, reply) => {
                        reply.send(Err(self.closed()));
                        return None;
                    }
                },
            };
            match catch_unwind(AssertUnwindSafe(|| self.recover_again())) {
                Ok(Ok((shard, recovery))) => {
                    reply.send(Ok(Answer::Recovery(Box::new(recovery))));
                    return Some(shard);
                }
                Ok(Err(error)) => reply.send(Err(error)),
                Err(_) => reply.send(Err(self.closed())),
            }
        }
    }

    /// The next restart or close; every other message is answered Closed.
    fn refuse_until_control(&mut self) -> (Control, Reply) {
        loop {
            let refused = match self.mailbox.receive() {
                None => {
                    self.mailbox.sleep(None, None);
                    continue;
                }
                Some(Message::Control(control @ (Control::Restart | Control::Close), reply)) => {
                    return (control, reply);
                }
                // It asks for a window again, of the shard that is recovered.
                Some(Message::Attend { reader, .. }) => {
                    reader.forget();
                    None
                }
                // What is to be ended went with the shard that served it.
                Some(message) => message.into_reply(),
            };
            if let Some(refused) = refused {
                refused.send(Err(self.closed()));
            }
        }
    }

    fn recover(&mut self) -> Result<(Shard, Option<ShardRecovery>), Error> {
        let (index, setup) = (self.index, Arc::clone(&self.setup));
        let Some(disk) = &self.disk else {
            let runs = RunTable::new(self.hash_seed);
            return Ok((Shard::new(index, setup, runs, None, KnownImages::default(), None), None));
        };
        let options = (!setup.is_read_only).then_some(&disk.options);
        let Restored { runs, log, images, found } =
            restore(&disk.source, options, self.hash_seed, self.boot == Boot::default())?;
        let recovery = ShardRecovery { shard: index as usize, runs: runs.count() as u64, log: found };
        let ShardRecovery { runs: count, log: LogRecovery { image, records, bytes, elapsed, .. }, .. } =
            &recovery;
        let took_micros = elapsed.as_micros() as u64;
        tracing::info!(target: "strata", shard = index, image, records, bytes, runs = count, took_micros, "the shard is recovered");
        let loads = Some(disk.maintained.loads.clone());
        let mut shard = Shard::new(index, setup, runs, log, images, loads);
        shard.value_reads = Arc::clone(&disk.value_reads);
        Ok((shard, Some(recovery)))
    }

    /// Recovers while the store is open: the log may have grown segments since it was opened.
    fn recover_again(&mut self) -> Result<(Shard, ShardRecovery), Error> {
        let Some(disk) = &mut self.disk else {
            return Err(self.setup.no_log("restart of a shard"));
        };
        // Errands are done in order, so this answer comes after any segment still under way.
        let source = ask_for_source(&disk.maintained.errands, disk.source.log());
        disk.source = source.unwrap_or_else(|| Err(closed(self.index)))?;
        while disk.maintained.segments.try_recv().is_ok() {}
        while disk.maintained.images.try_recv().is_ok() {}
        while disk.maintained.loaded.try_recv().is_ok() {}
        let (shard, recovery) = self.recover()?;
        Ok((shard, recovery.expect("a shard with a log reports what it recovered")))
    }

    fn closed(&self) -> Error {
        closed(self.index)
    }
}

/// How long a shard that found nothing to do looks for a message before it sleeps.
fn look(shard: &Shard) -> Spin {
    let is_in_flight = shard.log.as_ref().is_some_and(|log| log.is_in_flight());
    Spin::default().at_most(if is_in_flight { LOOK_BESIDE_IO } else { LOOK })
}

fn closed(index: u32) -> Error {
    let message = format!("shard {index} has stopped: restart_shard({index}) recovers it from its log");
    Error::new(ErrorKind::Closed, message)
}
