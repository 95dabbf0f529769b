//! The one helper thread of a store: it owns MANIFEST and prepares segments ahead of need.
//!
//! Filling a segment with zeros and syncing it takes milliseconds. A shard must never spend them,
//! so it sends an errand and goes on with the segment it has.

use crossbeam_channel::{Receiver, Sender};
use strata_primitives::Error;
use strata_runtime::mailbox;
use strata_wal::{LogEnd, LogSource, PreparedSegment, SegmentRequest, StoreDirectory, WalError};

use crate::message::Message;
use crate::store_error::store_error;

/// What the maintenance thread is asked to do.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Prepare the next segment of a shard's log.
    Prepare { shard: u32, request: SegmentRequest },
    /// Tell where a log stands, after all that was asked before.
    Source { log: u32, reply: Sender<Result<LogSource, Error>> },
    /// Mark the store as closed in order, and end.
    Close { ends: Vec<LogEnd>, reply: Sender<Result<(), Error>> },
}

/// Where a shard gets its segments.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) segments: Sender<Result<PreparedSegment, WalError>>,
    pub(crate) mailbox: mailbox::Sender<Message>,
}

/// Runs errands until the store closes, or until nobody is left to send one.
pub(crate) fn run(mut directory: StoreDirectory, errands: &Receiver<Errand>, deliveries: &[Delivery]) {
    while let Ok(errand) = errands.recv() {
        match errand {
            Errand::Prepare { shard, request } => {
                let prepared = directory.prepare_segment(&request);
                if let Err(error) = &prepared {
                    tracing::warn!(shard, %error, "no segment could be prepared");
                }
                let delivery = &deliveries[shard as usize];
                // A shard has one request under way, so there is room; a shard that has ended
                // leaves its segment to the next recovery, which knows it from MANIFEST.
                let _ = delivery.segments.try_send(prepared);
                delivery.mailbox.wake();
            }
            Errand::Source { log, reply } => {
                let failure = directory.failure().map(store_error);
                let _ = reply.send(failure.map_or_else(|| Ok(directory.log_source(log)), Err));
            }
            Errand::Close { ends, reply } => {
                let _ = reply.send(directory.close(&ends).map_err(store_error));
                return;
            }
        }
    }
}
