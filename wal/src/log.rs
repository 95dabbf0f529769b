//! One shard's live log: stages records, writes them in batches, and knows what survives what.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::active_segment::{ActiveSegment, WriteWay};
use crate::batch::{BATCH_HEADER_SIZE, enter_segment};
use crate::durations::{Durations, Sizes};
use crate::error::{AppendError, LogFailed, WalError};
use crate::frame::{RECORD_BODY_SIZE_MAX, frame_size};
use crate::lsn::Lsn;
use crate::open_batch::{OpenBatch, SealedBatch};
use crate::options::LogOptions;
use crate::prepare::{PreparedSegment, SegmentRequest};
use crate::report::LogEnd;
use crate::segment::SEGMENT_HEADER_SIZE;
use crate::storage::{BLOCK_SIZE, Buffer, Completion, Queue};
use crate::supply::SegmentSupply;
use crate::syncing::Syncing;

/// What the completion of a write is called; those of syncs are called [`TOKEN_SYNC`].
const TOKEN_WRITE: u64 = 0;
const TOKEN_SYNC: u64 = 1;

/// Buffers kept for the next batch.
const SPARE_BUFFER_COUNT: usize = 2;

/// One shard's log, ready to append. Made by `recover`.
///
/// A turn is: any number of [`append`](Self::append), then [`submit`](Self::submit); [`reap`](Self::reap) whenever
/// something completed, and `submit` again. Every call returns promptly except [`flush`](Self::flush) and
/// [`close`](Self::close). Without io_uring or direct I/O `submit` waits for the device instead.
///
/// The first failed write or sync closes the log for good: what it should have made durable is unknown until the
/// log is recovered, and a failed sync is never retried.
pub struct Log {
    log: u32,
    options: LogOptions,
    way: WriteWay,
    queue: Option<Box<dyn Queue>>,
    active: ActiveSegment,
    supply: SegmentSupply,
    open: OpenBatch,
    spare_buffers: Vec<Buffer>,
    chain: u64,
    appended_through: Lsn,
    written_through: Lsn,
    durable_through: Lsn,
    /// The batch whose direct write has not completed.
    writing: Option<Writing>,
    syncing: Syncing,
    failed: Option<LogFailed>,
    statistics: LogStatistics,
}

/// A batch that is on its way to the device.
#[derive(Clone, Copy, Debug)]
struct Writing {
    /// Where it ends.
    through: Lsn,
    opened_at: Instant,
    begun_at: Instant,
}

/// Where an appended record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the record.
    pub lsn: Lsn,
    /// Position right behind it: the record is durable once `durable_through` has reached this.
    pub end: Lsn,
}

/// What a log has done since it was recovered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogStatistics {
    /// Records staged.
    pub appends: u64,
    /// Bytes of sealed batches, headers included, padding not.
    pub bytes: u64,
    /// Batches sealed.
    pub batches: u64,
    /// Writes begun.
    pub writes: u64,
    /// Syncs begun, one a file; a durable write is one too.
    pub syncs: u64,
    /// Segments begun.
    pub segments: u64,
    /// Writes and syncs that failed.
    pub failures: u64,
    /// How many records each sealed batch has.
    pub batch_records: Sizes,
    /// How many bytes each sealed batch has, its header included, padding not.
    pub batch_bytes: Sizes,
    /// How long the first record of each batch waited, from its append until the batch was where the log takes it by itself:
    /// with the kernel, or on the device in a direct log. None of the batch waited longer. Batches whose write failed are left
    /// out.
    pub waits: Durations,
    /// How long each round of syncs took, from its beginning until everything written before was on the device, and in a direct
    /// log how long each write took. Rounds in which one failed are left out.
    pub sync_times: Durations,
}

/// What recovery hands to a new log.
pub(crate) struct LogStart {
    pub(crate) options: LogOptions,
    pub(crate) way: WriteWay,
    pub(crate) queue: Option<Box<dyn Queue>>,
    pub(crate) active: ActiveSegment,
    pub(crate) supply: SegmentSupply,
    pub(crate) end: LogEnd,
}

impl Log {
    /// A log that goes on where recovery ended; everything before is durable.
    pub(crate) fn new(start: LogStart) -> Log {
        let LogStart { options, way, queue, active, supply, end } = start;
        Log {
            log: end.log,
            options,
            way,
            queue,
            active,
            supply,
            open: OpenBatch::default(),
            spare_buffers: Vec::new(),
            chain: end.chain,
            appended_through: end.lsn,
            written_through: end.lsn,
            durable_through: end.lsn,
            writing: None,
            syncing: Syncing::default(),
            failed: None,
            statistics: LogStatistics::default(),
        }
    }

    /// Stages one record in the open batch; memory only, unless the batch is full and is written first.
    ///
    /// # Errors
    /// On any error nothing was staged. `Stalled`: try again after [`reap`](Self::reap) made progress or
    /// [`offer_segment`](Self::offer_segment). `Full`: no segment could be prepared; a later append asks again.
    /// `Failed`: the log is closed for good.
    ///
    /// # Panics
    /// If `body` is longer than [`RECORD_BODY_SIZE_MAX`]; callers refuse such records long before.
    pub fn append(&mut self, kind: u8, body: &[u8]) -> Result<Appended, AppendError> {
        let size = frame_size(body.len());
        if !self.open.fits(size) {
            assert!(body.len() <= RECORD_BODY_SIZE_MAX, "records are at most {RECORD_BODY_SIZE_MAX} bytes");
            self.make_room(size)?;
        }
        if self.failed.is_some() {
            return Err(AppendError::Failed);
        }
        let (lsn, end) = self.open.push(kind, body);
        self.appended_through = end;
        self.statistics.appends += 1;
        Ok(Appended { lsn, end })
    }

    /// Ends a turn. Buffered: hands the open batch to the kernel, and starts a sync when one is due and none is in
    /// flight. Direct: submits the open batch when nothing is in flight.
    pub fn submit(&mut self) -> Result<(), LogFailed> {
        self.check()?;
        let mut now = None;
        if !self.open.is_empty() && self.writing.is_none() {
            now = self.write_open()?;
        }
        let now = || now.unwrap_or_else(Instant::now);
        if self.way == WriteWay::Cached && self.syncing.is_due(self.durable_through, &self.options, now) {
            self.start_sync()?;
        }
        Ok(())
    }

    /// Takes what has completed; whether anything had. The caller then submits again.
    pub fn reap(&mut self) -> Result<bool, LogFailed> {
        let mut has_progress = false;
        while let Some(completion) = self.queue.as_mut().and_then(|queue| queue.reap()) {
            has_progress = true;
            self.complete(completion);
        }
        self.check().map(|()| has_progress)
    }

    /// Begins a new segment, a small one, with a batch without records, so that all batches before lie in older ones, which a
    /// checkpoint can put away. Nothing happens when the segment that is there has no batch.
    ///
    /// # Errors
    /// Those of [`append`](Self::append).
    pub fn begin_segment(&mut self) -> Result<(), AppendError> {
        if self.failed.is_some() {
            return Err(AppendError::Failed);
        }
        if self.writing.is_some() {
            return Err(AppendError::Stalled);
        }
        if !self.open.is_empty() {
            self.write_open().map_err(|_| AppendError::Failed)?;
            if self.writing.is_some() {
                return Err(AppendError::Stalled);
            }
        }
        if self.active.offset == SEGMENT_HEADER_SIZE {
            return Ok(());
        }
        let segment = self.supply.take_smallest()?;
        self.enter_segment(segment);
        let buffer = self.spare_buffers.pop().unwrap_or_default();
        self.open.open(self.active.lsn(), BATCH_HEADER_SIZE, buffer);
        self.appended_through = self.active.lsn().after(BATCH_HEADER_SIZE as u64);
        self.write_open().map(drop).map_err(|_| AppendError::Failed)
    }

    /// Goes on in the next segment.
    fn enter_segment(&mut self, segment: PreparedSegment) {
        let PreparedSegment { header, file } = segment;
        self.active = ActiveSegment::new(header, file, SEGMENT_HEADER_SIZE);
        self.statistics.segments += 1;
    }

    /// Asks that everything appended so far become durable soon: the next [`submit`](Self::submit) that may start
    /// a sync does.
    pub fn request_sync(&mut self) {
        self.syncing.request(self.appended_through);
    }

    /// Position up to which the kernel has the records: they survive the process.
    pub fn written_through(&self) -> Lsn {
        self.written_through
    }

    /// Position up to which the device has the records: they survive power loss.
    pub fn durable_through(&self) -> Lsn {
        self.durable_through
    }

    /// Position right behind the last staged record.
    pub fn appended_through(&self) -> Lsn {
        self.appended_through
    }

    /// Its number: no other log that the store ever had has it.
    pub fn number(&self) -> u32 {
        self.log
    }

    /// Where the last sealed batch ends: what is appended from now on lies behind.
    pub fn sealed_end(&self) -> LogEnd {
        let lsn = self.writing.map_or(self.written_through, |writing| writing.through);
        LogEnd { log: self.log, lsn, chain: self.chain }
    }

    /// Whether a write or sync is under way.
    pub fn is_in_flight(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.in_flight() > 0)
    }

    /// Whether nothing is staged and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && !self.is_in_flight()
    }

    /// Whether a write or sync has failed.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// The first failure, once there was one.
    pub fn failure(&self) -> Option<&LogFailed> {
        self.failed.as_ref()
    }

    /// Readable when a completion waits, to sleep on while something is in flight; `None` when
    /// [`reap`](Self::reap) finds completions at once.
    pub fn io_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.queue.as_ref().and_then(|queue| queue.descriptor())
    }

    /// Time until the next sync by interval; `None` while nothing unsynced waits for one, and for a log that has
    /// failed: it never syncs again.
    pub fn sync_due(&self, now: Instant) -> Option<Duration> {
        if self.failed.is_some() {
            return None;
        }
        self.syncing.due_in(&self.options, now)
    }

    /// Bounds the size of segments that are prepared from now on, so that the log of a small store stays small.
    pub fn bound_segments(&mut self, size_max: u64) {
        self.supply.bound(size_max);
    }

    /// The segment to prepare next, if any: `Some` once per need. One spare is kept ahead, asked for when half of
    /// the current segment is used.
    pub fn segment_request(&mut self) -> Option<SegmentRequest> {
        let is_half_full = self.active.offset >= self.active.header.size / 2;
        if self.failed.is_some() {
            return None;
        }
        self.supply.request(self.log, is_half_full, self.durable_through)
    }

    /// Whether a [request](Self::segment_request) has not been answered yet.
    pub fn awaits_segment(&self) -> bool {
        self.supply.is_awaited()
    }

    /// Answers [`segment_request`](Self::segment_request).
    pub fn offer_segment(&mut self, prepared: Result<PreparedSegment, WalError>) {
        match prepared {
            Ok(segment) => self.supply.add(segment),
            Err(_) => self.supply.refuse(),
        }
    }

    /// Waits for one write or sync that is under way; returns at once when none is.
    pub fn wait(&mut self) {
        if let Some(queue) = self.queue.as_mut().filter(|queue| queue.in_flight() > 0) {
            let completion = queue.wait();
            self.complete(completion);
        }
    }

    /// Waits until everything staged is durable.
    pub fn flush(&mut self) -> Result<(), LogFailed> {
        loop {
            self.request_sync();
            self.submit()?;
            if self.durable_through == self.appended_through {
                return Ok(());
            }
            self.wait();
        }
    }

    /// Flushes, and says where the log ends, for MANIFEST.
    pub fn close(mut self) -> Result<LogEnd, LogFailed> {
        self.flush()?;
        Ok(LogEnd { log: self.log, lsn: self.appended_through, chain: self.chain })
    }

    /// What the log has done so far.
    pub fn statistics(&self) -> &LogStatistics {
        &self.statistics
    }

    fn check(&self) -> Result<(), LogFailed> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Closes the open batch if there is one, and opens one that holds a frame of `size` bytes.
    #[cold]
    fn make_room(&mut self, size: usize) -> Result<(), AppendError> {
        if self.failed.is_some() {
            return Err(AppendError::Failed);
        }
        if !self.open.is_empty() {
            if self.writing.is_some() {
                return Err(AppendError::Stalled);
            }
            self.write_open().map_err(|_| AppendError::Failed)?;
        }
        let needed = (BATCH_HEADER_SIZE + size) as u64;
        if needed > self.active.header.size - self.active.offset {
            let segment = self.supply.take(needed)?;
            self.enter_segment(segment);
        }
        let room = self.active.header.size - self.active.offset;
        let size_max = (self.options.batch_size_max as u64).max(needed).min(room);
        let buffer = self.spare_buffers.pop().unwrap_or_default();
        self.open.open(self.active.lsn(), size_max as usize, buffer);
        Ok(())
    }

    /// Seals the open batch and hands it over. Returns what time it is where that was looked at.
    fn write_open(&mut self) -> Result<Option<Instant>, LogFailed> {
        let header = &self.active.header;
        let is_first = self.active.offset == SEGMENT_HEADER_SIZE;
        let previous = if is_first { enter_segment(self.chain, header.chain_seed) } else { self.chain };
        let batch = self.open.seal(self.active.seed, header.number, previous, self.durable_through);
        assert_eq!(batch.first_lsn, self.active.lsn(), "a batch is written where it was opened");
        assert!(batch.end_lsn <= header.end_lsn(), "a batch lies within its segment");
        self.chain = batch.chain;
        self.statistics.batches += 1;
        self.statistics.writes += 1;
        self.statistics.bytes += batch.buffer.len() as u64;
        self.statistics.batch_records.record(u64::from(batch.record_count));
        self.statistics.batch_bytes.record(batch.buffer.len() as u64);
        match self.way {
            WriteWay::Queued => self.write_queued(batch),
            WriteWay::Synced => self.write_synced(batch)?,
            WriteWay::Cached => return self.write_cached(batch).map(Some),
        }
        Ok(None)
    }

    fn write_queued(&mut self, mut batch: SealedBatch) {
        batch.buffer.pad_to_block();
        let queue = self.queue.as_mut().expect("queued writes have a queue");
        let SealedBatch { buffer, end_lsn: through, opened_at, .. } = batch;
        self.writing = Some(Writing { through, opened_at, begun_at: Instant::now() });
        queue.write_durable(TOKEN_WRITE, &self.active.file, buffer, self.active.offset);
        self.statistics.syncs += 1;
        self.active.move_behind(through, BLOCK_SIZE as u64);
    }

    fn write_synced(&mut self, mut batch: SealedBatch) -> Result<(), LogFailed> {
        batch.buffer.pad_to_block();
        let begun_at = Instant::now();
        let written = self.active.file.write_at(&batch.buffer, self.active.offset);
        self.latch("write", written)?;
        self.statistics.syncs += 1;
        let synced = self.active.file.sync();
        self.latch("sync", synced)?;
        let now = Instant::now();
        self.statistics.sync_times.record_between(begun_at, now);
        self.statistics.waits.record_between(batch.opened_at, now);
        self.written_through = batch.end_lsn;
        self.durable_through = batch.end_lsn;
        self.active.move_behind(batch.end_lsn, BLOCK_SIZE as u64);
        self.recycle(batch.buffer);
        Ok(())
    }

    fn write_cached(&mut self, mut batch: SealedBatch) -> Result<Instant, LogFailed> {
        let bytes = batch.buffer.len() as u64;
        let written = self.active.write_cached(&mut batch.buffer);
        self.latch("write", written)?;
        let now = Instant::now();
        self.statistics.waits.record_between(batch.opened_at, now);
        self.written_through = batch.end_lsn;
        self.syncing.wrote(&self.active.file, bytes, now);
        self.active.move_behind(batch.end_lsn, 1);
        self.recycle(batch.buffer);
        Ok(now)
    }

    /// Starts one sync of every file with unsynced bytes. What is written from now on begins on a fresh block, so
    /// that no block is rewritten after it became durable.
    fn start_sync(&mut self) -> Result<(), LogFailed> {
        assert!(self.open.is_empty(), "the open batch is written before a sync starts");
        let files = self.syncing.start(self.written_through);
        self.statistics.syncs += files.len() as u64;
        self.active.move_behind(self.active.lsn(), BLOCK_SIZE as u64);
        for file in files {
            match &mut self.queue {
                Some(queue) => queue.sync(TOKEN_SYNC, &file),
                None => self.complete(Completion { token: TOKEN_SYNC, buffer: None, result: file.sync() }),
            }
        }
        self.check()
    }

    fn complete(&mut self, completion: Completion) {
        let Completion { token, buffer, result } = completion;
        let action = if token == TOKEN_WRITE { "write" } else { "sync" };
        // Once the log has failed nothing becomes durable any more: what a later success covers is unknown.
        if self.latch(action, result).is_ok() && self.failed.is_none() {
            if token == TOKEN_WRITE {
                let Writing { through, opened_at, begun_at } =
                    self.writing.take().expect("one write is in flight");
                (self.written_through, self.durable_through) = (through, through);
                let now = Instant::now();
                self.statistics.sync_times.record_between(begun_at, now);
                self.statistics.waits.record_between(opened_at, now);
            } else if let Some((through, begun_at)) = self.syncing.complete_one() {
                self.durable_through = through;
                self.statistics.sync_times.record_between(begun_at, Instant::now());
            }
        }
        if let Some(buffer) = buffer {
            self.recycle(buffer);
        }
    }

    /// Keeps a buffer for a later batch, unless one very large record made it huge.
    fn recycle(&mut self, buffer: Buffer) {
        let is_huge = buffer.capacity() > 2 * self.options.batch_size_max.max(BLOCK_SIZE);
        if self.spare_buffers.len() < SPARE_BUFFER_COUNT && !is_huge {
            self.spare_buffers.push(buffer);
        }
    }

    /// Remembers the first failure for good.
    fn latch(&mut self, action: &str, result: io::Result<()>) -> Result<(), LogFailed> {
        let Err(error) = result else { return Ok(()) };
        self.statistics.failures += 1;
        let number = self.active.header.number;
        let failed =
            LogFailed { reason: format!("could not {action} log {} at segment {number}: {error}", self.log) };
        // Told once: what fails behind the first failure was under way with it.
        if self.failed.is_none() {
            tracing::error!(target: "strata", log = self.log, error = %failed.reason, "the log has failed");
        }
        Err(self.failed.get_or_insert(failed).clone())
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let durable = &self.durable_through;
        formatter
            .debug_struct("Log")
            .field("log", &self.log)
            .field("durable_through", durable)
            .finish_non_exhaustive()
    }
}
