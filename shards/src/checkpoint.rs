//! Checkpoints: the runs of a shard are written to an image while it serves, so that recovery begins there.
//!
//! 1. The end of the log is noted, and a thread that writes is asked for.
//! 2. In slices between messages every run that has changed since its last image is written from a snapshot of its own,
//!    and the directory beside them. So the image of a run is the run at one version, at the noted place or behind it:
//!    recovery reads on from that place and leaves out the commits that an image has.
//! 3. Once the log is durable as far as anything in the image reaches, the image is finished and MANIFEST names it.
//! 4. The runs take note of where their images lie.
//!
//! The log is never truncated at the newest image but at the one before it, so that either may be lost. A failure at any
//! step leaves everything as it was.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, TrySendError};
use strata_primitives::{Error, ErrorKind, Timestamp};
use strata_wal::{AppendError, Lsn, NamedImage};

use crate::calls::fresh_id;
use crate::checkpoint_kind::CheckpointKind;
use crate::eviction::room_for_runs;
use crate::held::Held;
use crate::image_directory::{DirectoryEnd, Files};
use crate::image_thread::{ImageFailure, ImageNews, ImagePart, ImageProgress, Naming, Written};
use crate::image_walk::{ImageBegin, ImageOfRuns, Noted};
use crate::loader::LoadRequest;
use crate::maintenance::Errand;
use crate::message::{Answer, Reply};
use crate::record::RecordPlace;
use crate::report::ShardCheckpoint;
use crate::shard::{Maintained, Shard};
use crate::value_places::Moved;

/// The checkpoints of one shard: the last one, and the one under way.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// The newest image, or the one that recovery began with.
    newest: Option<NamedImage>,
    /// What the directory of the newest image says at its end.
    end: DirectoryEnd,
    /// How many bytes of log are worth an image.
    size: u64,
    bounds: LogBounds,
    under_way: Option<Checkpoint>,
    /// Who asked for a checkpoint while another was under way, and of what kind: theirs begins when that one has ended.
    queued: Vec<Reply>,
    queued_kind: CheckpointKind,
    /// Who waits for the end of the one under way, and for all to be put away that it makes unnecessary.
    settling: Vec<Reply>,
    /// When the last one ended or the shard began to serve.
    last_at: Timestamp,
    /// The next one does not begin before this unless it is asked for.
    not_before: Instant,
    /// Image files that could not be read: what lies in them is not copied into another one.
    unreadable: BTreeSet<u64>,
    /// The archives that are there and were needed when this was last looked at.
    archives: BTreeSet<u64>,
    /// Some run was rebuilt and has no image: the next checkpoint has something to write, even if the log has not grown.
    has_rebuilt: bool,
}

/// Between which sizes of the log an image is worth it, bytes; the lower one counts first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogBounds {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl LogBounds {
    /// Those of a shard whose runs may take so much memory: what was written since the last image cannot leave it.
    pub(crate) fn new(min: u64, memory_budget: usize) -> LogBounds {
        LogBounds { min, max: LOG_SIZE_MAX.min(memory_budget as u64 / 4) }
    }
}

#[derive(Debug)]
struct Checkpoint {
    request: u64,
    /// The image stands for the log up to here.
    through: Lsn,
    asked: Vec<Reply>,
    begun_at: Instant,
    /// It was to write runs that were rebuilt.
    has_rebuilt: bool,
    /// Bytes of memory that runs took then.
    used: usize,
    is_whole: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The thread that writes has been asked for.
    Starting,
    /// Runs are being written.
    Writing(Box<Writing>),
    /// All is handed over but the end: the log is to be durable up to `needed` first.
    Syncing { writing: Box<Writing>, needed: Lsn, image_time: Duration },
    /// The thread finishes the image, and MANIFEST names it.
    Naming { runs: Box<ImageOfRuns>, image_time: Duration },
    /// An image is there, and runs take note of it. Then values that were elsewhere are read there, and other files are unnecessary.
    Noting { noted: std::vec::IntoIter<Noted>, moved: Moved, unnecessary: Unnecessary },
}

/// What is to be put away once an image is there.
#[derive(Clone, Debug)]
pub(crate) struct Unnecessary {
    /// All image files in front of this one, but those that are kept.
    pub(crate) image: u64,
    pub(crate) kept: BTreeSet<u64>,
    /// Records in front of this place.
    pub(crate) kept_from: Lsn,
    /// These archives.
    pub(crate) archives: BTreeSet<u64>,
}

#[derive(Debug)]
struct Writing {
    runs: ImageOfRuns,
    parts: Sender<Vec<ImagePart>>,
    /// Parts that found no room.
    waiting: Vec<ImagePart>,
    begun_at: Instant,
}

/// When runs are to leave memory that have no image, this part of the memory's size in log is worth one.
const PRESSED_PART: u64 = 16;
/// When runs take more than the memory there is for them by this part of it, and this many bytes, an image is wanted at once.
const URGENT_PART: usize = 16;
const URGENT_SIZE_MIN: usize = 1 << 20;
/// About how many bytes of an image are written in one turn.
const TURN_SIZE: usize = 64 << 10;
/// How many runs take note of their image in one turn.
const NOTED_MAX: usize = 1_000;
/// However fast the log grows, a checkpoint does not begin by itself sooner than this after the last one, or than
/// `checkpoint_interval` if that is less: each costs some syncs.
const PAUSE: Duration = Duration::from_millis(50);
/// After a checkpoint that failed, the next one waits this long.
const PAUSE_FAILED: Duration = Duration::from_secs(1);
/// However large the images are, a checkpoint begins when the log has grown by so many bytes.
const LOG_SIZE_MAX: u64 = 256 << 20;
/// A log that has grown by less than this since the last image is not worth an image at the close: reading it takes some
/// 10 ms.
const CLOSING_LOG_SIZE: u64 = 1 << 20;

/// What a shard knows of images when it begins to serve.
#[derive(Debug, Default)]
pub(crate) struct KnownImages {
    pub(crate) newest: Option<NamedImage>,
    pub(crate) end: DirectoryEnd,
    /// The archives that are there.
    pub(crate) archives: BTreeSet<u64>,
}

impl Checkpoints {
    /// The number of the newest image, if there is one.
    pub(crate) fn newest_number(&self) -> Option<u64> {
        self.newest.as_ref().map(|image| image.number)
    }

    /// Bytes of memory that runs took when the checkpoint began that is under way.
    pub(crate) fn used_when_begun(&self) -> Option<usize> {
        self.under_way.as_ref().map(|checkpoint| checkpoint.used)
    }

    /// The checkpoints of a shard that begins to serve.
    pub(crate) fn new(known: KnownImages, bounds: LogBounds, now: Timestamp) -> Checkpoints {
        let KnownImages { newest, end, archives } = known;
        Checkpoints {
            newest,
            size: checkpoint_size(&end.files, bounds),
            bounds,
            end,
            under_way: None,
            queued: Vec::new(),
            queued_kind: CheckpointKind::default(),
            settling: Vec::new(),
            last_at: now,
            not_before: Instant::now(),
            unreadable: BTreeSet::new(),
            archives,
            has_rebuilt: false,
        }
    }

    /// The size of segments that suits such a log, bytes: several to a checkpoint, so that truncating leaves little.
    pub(crate) fn segment_size_max(&self) -> u64 {
        self.size / 2
    }

    /// There is a new image, whose directory says this at its end. Returns what is unnecessary from now on.
    /// `archives` are needed by the runs as they are.
    fn follow(
        &mut self,
        image: NamedImage,
        end: DirectoryEnd,
        archives: BTreeSet<u64>,
        now: Timestamp,
    ) -> Unnecessary {
        self.newest = Some(image);
        self.size = checkpoint_size(&end.files, self.bounds);
        self.last_at = now;
        let before = std::mem::replace(&mut self.end, end);
        // Either of the two may be what recovery begins with.
        let kept = self.end.files.keys().chain(before.files.keys()).copied().collect();
        let needed = &(&self.end.archives | &before.archives) | &archives;
        let archives = &std::mem::replace(&mut self.archives, needed.clone()) - &needed;
        Unnecessary { image: image.number, kept, kept_from: before.kept_from, archives }
    }

    /// Takes note of a run that was loaded, if it had to be rebuilt.
    pub(crate) fn note_rebuilt(&mut self, was_rebuilt: bool) {
        self.has_rebuilt |= was_rebuilt;
    }

    /// How a new image is to be named.
    fn naming(&self, durable_through: Lsn) -> Naming {
        Naming { durable_through, before: self.newest.map(|newest| newest.number) }
    }
}

/// Half as many bytes of log are worth an image as the images have, within bounds: so the log behind the older image is not
/// much larger than they are, and at most twice as much is written to images as to the log.
fn checkpoint_size(files: &Files, bounds: LogBounds) -> u64 {
    let live: u64 = files.values().map(|file| file.live).sum();
    (live / 2).min(bounds.max).max(bounds.min)
}

impl Shard {
    /// Begins a checkpoint for who asked, or after the one under way.
    pub(crate) fn checkpoint(&mut self, kind: CheckpointKind, reply: Reply) {
        match &self.log {
            None => reply.send(Err(self.setup.no_log("checkpoint"))),
            Some(log) if log.has_failed() => reply.send(Err(self.sync_refused())),
            Some(_) => {
                self.checkpoints.queued.push(reply);
                self.checkpoints.queued_kind = self.checkpoints.queued_kind.and(kind);
            }
        }
    }

    /// Answers once no checkpoint is under way, and all is put away that the last one made unnecessary: with the versions that
    /// forks need.
    pub(crate) fn settle(&mut self, reply: Reply) {
        self.checkpoints.settling.push(reply);
    }

    /// Takes the checkpoint that is under way, or due, one turn further. Whether there was anything to do.
    pub(crate) fn advance_checkpoint(&mut self, maintained: Option<&Maintained>) -> bool {
        let Some(maintained) = maintained else { return false };
        if self.checkpoints.under_way.is_none() {
            for reply in self.checkpoints.settling.drain(..) {
                let forked = self.runs.forks.all();
                self.waiting.request(LoadRequest::Settle { forked, reply });
            }
            return self.is_checkpoint_due() && self.begin_checkpoint(maintained);
        }
        let heard = self.hear_of_image(maintained);
        let Some(mut checkpoint) = self.checkpoints.under_way.take() else { return heard };
        let (stage, has_progress) = self.advance_stage(checkpoint.stage);
        if let Some(stage) = stage {
            checkpoint.stage = stage;
            self.checkpoints.under_way = Some(checkpoint);
        }
        has_progress || heard
    }

    /// Whether a checkpoint is to begin: because it was asked for, or the log has grown, or time has passed.
    fn is_checkpoint_due(&self) -> bool {
        let tail = self.tail_size();
        let Checkpoints { queued, not_before, .. } = &self.checkpoints;
        let has_log = self.log.as_ref().is_some_and(|log| !log.has_failed());
        if self.boot.number == 0 || !has_log || self.runs.is_any_behind() {
            return false;
        }
        let has_grown = tail >= self.checkpoints.size || (tail > 0 && self.now >= self.next_checkpoint_at());
        let is_wanted = has_grown || self.is_pressed(tail);
        !queued.is_empty() || (is_wanted && Instant::now() >= *not_before)
    }

    /// Whether an image is wanted so that runs can leave memory, and either enough was written since the last one to be worth it,
    /// or memory is so full that it cannot wait: few bytes of log may have changed very many runs.
    fn is_pressed(&self, tail: u64) -> bool {
        let room = room_for_runs(self.setup.memory_budget);
        let is_worth_it = tail >= room as u64 / PRESSED_PART;
        let is_urgent = self.runs.residents().1 > room + (room / URGENT_PART).max(URGENT_SIZE_MIN);
        self.budget.wants_checkpoint && tail > 0 && (is_worth_it || is_urgent)
    }

    /// How many bytes of log recovery would read.
    fn tail_size(&self) -> u64 {
        let through = self.checkpoints.newest.map_or(Lsn::ZERO, |image| image.through);
        self.log.as_ref().map_or(0, |log| log.sealed_end().lsn.0.saturating_sub(through.0))
    }

    fn next_checkpoint_at(&self) -> Timestamp {
        let interval = u64::try_from(self.setup.checkpoint_interval.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.checkpoints.last_at.0.saturating_add(interval))
    }

    /// How long a shard that is left alone may wait before it looks whether a checkpoint is due.
    pub(crate) fn checkpoint_due_in(&self, now: Timestamp) -> Option<Duration> {
        let tail = self.tail_size();
        let has_log = self.log.as_ref().is_some_and(|log| !log.has_failed());
        let may_begin = self.checkpoints.under_way.is_none() && has_log && !self.runs.is_any_behind();
        if !may_begin || tail == 0 || self.boot.number == 0 {
            return None;
        }
        let interval = Duration::from_micros(self.next_checkpoint_at().0.saturating_sub(now.0));
        let due =
            if tail >= self.checkpoints.size || self.is_pressed(tail) { Duration::ZERO } else { interval };
        Some(due.max(self.checkpoints.not_before.saturating_duration_since(Instant::now())))
    }

    fn begin_checkpoint(&mut self, maintained: &Maintained) -> bool {
        let asked = std::mem::take(&mut self.checkpoints.queued);
        let kind = std::mem::take(&mut self.checkpoints.queued_kind);
        if let Some(run) = self.runs.first_incomplete() {
            // Its newest commits are in the log alone, which must not be truncated for an image without them.
            let message = format!("no checkpoint is made while run {run} cannot be loaded");
            self.checkpoints.not_before = Instant::now() + PAUSE_FAILED;
            self.load(run);
            self.answer_checkpoint(asked, &Err(Error::new(ErrorKind::Corrupt, message)));
            return false;
        }
        let log = self.log.as_mut().expect("only a shard with a log makes checkpoints");
        let began = if kind.begins_segment { log.begin_segment() } else { Ok(()) };
        let through = log.sealed_end();
        match began {
            Ok(()) => {}
            Err(AppendError::Stalled) => {
                // It goes on when a write has completed or a segment is there.
                (self.checkpoints.queued, self.checkpoints.queued_kind) = (asked, kind);
                return false;
            }
            Err(error) => {
                let why = if error == AppendError::Full { self.no_room() } else { self.sync_refused() };
                self.answer_checkpoint(asked, &Err(why));
                return true;
            }
        }
        // Also where nothing was written: a run that was rebuilt has no image, and a new log has images of others, to be made whole.
        let has_work = self.checkpoints.has_rebuilt || kind.is_unconditional || kind.is_whole;
        if !has_work
            && let Some(newest) = self.checkpoints.newest.filter(|newest| newest.through == through.lsn)
            && log.appended_through() == through.lsn
        {
            self.answer_checkpoint(asked, &Ok(newest));
            return true;
        }
        self.checkpoints.not_before = Instant::now() + PAUSE.min(self.setup.checkpoint_interval);
        let request = fresh_id();
        let errand = Errand::BeginImage { request, through, begun: self.now };
        if maintained.errands.send(errand).is_err() {
            self.answer_checkpoint(asked, &Err(closing()));
            return false;
        }
        let through = through.lsn;
        let has_rebuilt = std::mem::take(&mut self.checkpoints.has_rebuilt);
        let (begun_at, stage, is_whole) = (Instant::now(), Stage::Starting, kind.is_whole);
        let used = self.runs.residents().1;
        self.checkpoints.under_way =
            Some(Checkpoint { request, through, asked, begun_at, has_rebuilt, used, is_whole, stage });
        true
    }

    /// Takes what is new of the image that is being made.
    fn hear_of_image(&mut self, maintained: &Maintained) -> bool {
        let Ok(news) = maintained.images.try_recv() else { return false };
        self.take_image_news(news);
        true
    }

    fn take_image_news(&mut self, news: ImageNews) {
        let ImageNews { request, what } = news;
        let incoming = self.tail_size();
        let under_way = self.checkpoints.under_way.as_mut();
        // There may be news of one that was given up.
        let Some(checkpoint) = under_way.filter(|checkpoint| checkpoint.request == request) else { return };
        match (what, &mut checkpoint.stage) {
            (ImageProgress::Begun { number, parts }, _) => {
                let (retention, through, now) = (self.setup.retention, checkpoint.through, self.now);
                let is_whole = checkpoint.is_whole;
                let log = self.log.as_ref().expect("only a shard with a log makes checkpoints").number();
                let begin = ImageBegin { log, number, through, incoming, retention, now, is_whole };
                let Checkpoints { end, unreadable, .. } = &self.checkpoints;
                let runs = ImageOfRuns::new(begin, &end.files, unreadable);
                let writing = Writing { runs, parts, waiting: Vec::new(), begun_at: Instant::now() };
                self.set_stage(Stage::Writing(Box::new(writing)));
            }
            (ImageProgress::Finished(Ok((image, written))), Stage::Naming { runs, image_time }) => {
                let (end, noted) = runs.take();
                let asked = std::mem::take(&mut checkpoint.asked);
                let (image_time, begun_at) = (*image_time, checkpoint.begun_at);
                let unnecessary = self.checkpoints.follow(image, end, self.runs.forks.archives(), self.now);
                let Written { size, moved } = written;
                self.set_stage(Stage::Noting { noted: noted.into_iter(), moved, unnecessary });
                self.stats.images += 1;
                self.stats.image_bytes.record(size);
                self.stats.image_times.record(image_time.as_nanos() as u64);
                let now = Instant::now();
                self.stats.checkpoint_times.record_between(begun_at, now);
                let NamedImage { number, through, .. } = image;
                let took_micros = (now - begun_at).as_micros() as u64;
                tracing::info!(target: "strata", shard = self.index, number, %through, bytes = size, took_micros, "a checkpoint is made");
                if let Some(log) = &mut self.log {
                    log.bound_segments(self.checkpoints.segment_size_max());
                }
                self.answer_checkpoint(asked, &Ok(image));
            }
            (ImageProgress::Finished(Ok(_)), stage) => unreachable!("an image was named while {stage:?}"),
            (ImageProgress::Finished(Err(failure)), _) => self.fail_checkpoint(failure),
        }
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(checkpoint) = &mut self.checkpoints.under_way {
            checkpoint.stage = stage;
        }
    }

    /// One turn of a stage: what comes next, if anything, and whether there was something to do.
    fn advance_stage(&mut self, stage: Stage) -> (Option<Stage>, bool) {
        match stage {
            Stage::Writing(mut writing) => {
                if writing.waiting.is_empty() {
                    writing.runs.write(&mut self.runs, TURN_SIZE, &mut writing.waiting);
                    self.untidy.append(&mut writing.runs.untidy);
                }
                if !writing.hand_over() {
                    return (Some(Stage::Writing(writing)), false);
                }
                if !writing.runs.is_done() {
                    return (Some(Stage::Writing(writing)), true);
                }
                let log = self.log.as_mut().expect("only a shard with a log makes checkpoints");
                log.request_sync();
                let (needed, image_time) = (log.appended_through(), writing.begun_at.elapsed());
                (Some(Stage::Syncing { writing, needed, image_time }), true)
            }
            Stage::Syncing { mut writing, needed, image_time } => {
                let log = self.log.as_mut().expect("only a shard with a log makes checkpoints");
                let durable_through = log.durable_through();
                if durable_through < needed {
                    return (Some(Stage::Syncing { writing, needed, image_time }), false);
                }
                if writing.waiting.is_empty() {
                    let naming = self.checkpoints.naming(durable_through);
                    writing.waiting.push(ImagePart::End(naming));
                }
                if !writing.hand_over() {
                    return (Some(Stage::Syncing { writing, needed, image_time }), false);
                }
                (Some(Stage::Naming { runs: Box::new(writing.runs), image_time }), true)
            }
            Stage::Noting { mut noted, moved, unnecessary } => {
                for Noted { run: id, image, retained, has_origin } in noted.by_ref().take(NOTED_MAX) {
                    // Another run may have been imported since under the id of one that was deleted.
                    if self.runs.held(id).is_some_and(|held| first_record(held) > image.record) {
                        continue;
                    }
                    if !has_origin {
                        self.runs.release_origin(id);
                    }
                    match self.runs.held_mut(id) {
                        Some(Held::Resident(run)) => {
                            // One that was rebuilt meanwhile keeps none that is not new.
                            if run.image.is_some() || image.file == unnecessary.image {
                                run.image = Some(image);
                            }
                            run.retained.take_over(retained);
                        }
                        Some(Held::Cold(cold)) => (cold.entry.image, cold.entry.retained) = (image, retained),
                        None => {}
                    }
                }
                if noted.len() > 0 {
                    return (Some(Stage::Noting { noted, moved, unnecessary }), true);
                }
                self.waiting.forget_files(moved, unnecessary);
                (None, true)
            }
            Stage::Starting | Stage::Naming { .. } => (Some(stage), false),
        }
    }

    fn answer_checkpoint(&mut self, asked: Vec<Reply>, outcome: &Result<NamedImage, Error>) {
        for reply in asked {
            let answer = outcome.clone().map(|image| {
                Answer::Checkpoint(ShardCheckpoint {
                    shard: self.index as usize,
                    image: image.number,
                    through: image.through,
                })
            });
            reply.send(answer);
        }
    }

    /// There is no image; everything is as it was before.
    fn fail_checkpoint(&mut self, failure: ImageFailure) {
        self.stats.image_failures += 1;
        tracing::warn!(target: "strata", shard = self.index, error = %failure.error, "a checkpoint has failed");
        self.checkpoints.unreadable.extend(failure.unreadable);
        self.checkpoints.not_before = Instant::now() + PAUSE_FAILED;
        self.give_up_checkpoint(&failure.error);
        failure.damaged.into_iter().for_each(|run| self.mend(run));
    }

    /// Gives up the checkpoint that is under way, unless its image is there already.
    pub(crate) fn give_up_checkpoint(&mut self, why: &Error) {
        let Some(checkpoint) = self.checkpoints.under_way.take() else { return };
        match checkpoint.stage {
            Stage::Noting { .. } => self.checkpoints.under_way = Some(checkpoint),
            stage => {
                if let Stage::Writing(mut writing) | Stage::Syncing { mut writing, .. } = stage {
                    writing.runs.give_up(&mut self.runs);
                    self.untidy.append(&mut writing.runs.untidy);
                }
                self.checkpoints.has_rebuilt |= checkpoint.has_rebuilt;
                self.answer_checkpoint(checkpoint.asked, &Err(why.clone()));
            }
        }
    }

    /// Refuses what was to begin: the log has failed.
    pub(crate) fn refuse_checkpoints(&mut self, why: &Error) {
        self.give_up_checkpoint(why);
        let queued = std::mem::take(&mut self.checkpoints.queued);
        self.answer_checkpoint(queued, &Err(why.clone()));
        self.checkpoints.settling.drain(..).for_each(|reply| reply.send(Err(why.clone())));
    }

    /// Makes a last image if the log has grown enough to be worth it, and ends the one that is under way. The shard serves
    /// nobody any more.
    pub(crate) fn checkpoint_at_close(&mut self, maintained: Option<&Maintained>) {
        let Some(maintained) = maintained else { return };
        if self.boot.number == 0 {
            return;
        }
        // Runs whose newest commits are still beside their image are no reason to keep anybody waiting: the next boot loads
        // them.
        self.end_checkpoint(maintained);
        let is_worth_it = self.tail_size() > CLOSING_LOG_SIZE || !self.checkpoints.queued.is_empty();
        let has_log = self.log.as_ref().is_some_and(|log| !log.has_failed());
        if is_worth_it && has_log && !self.runs.is_any_behind() && self.begin_checkpoint(maintained) {
            self.end_checkpoint(maintained);
        }
        self.refuse_checkpoints(&closing());
    }

    /// Waits for the checkpoint that is under way, if there is one.
    fn end_checkpoint(&mut self, maintained: &Maintained) {
        while self.checkpoints.under_way.is_some() && self.log.as_ref().is_some_and(|log| !log.has_failed()) {
            let has_progress = self.advance_checkpoint(Some(maintained));
            self.move_log(Some(maintained));
            if !has_progress {
                match maintained.images.recv_timeout(CLOSING_PAUSE) {
                    Ok(news) => self.take_image_news(news),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }
}

fn closing() -> Error {
    Error::new(ErrorKind::Closed, "the store is closing: no checkpoint is made")
}

/// How long a closing shard waits for news of its image before it looks at the log again.
const CLOSING_PAUSE: Duration = Duration::from_millis(1);

impl Writing {
    /// Hands over what waits. False if there is no room, or nobody takes it any more: the thread tells why.
    fn hand_over(&mut self) -> bool {
        match self.parts.try_send(std::mem::take(&mut self.waiting)) {
            Ok(()) => true,
            Err(TrySendError::Full(parts) | TrySendError::Disconnected(parts)) => {
                self.waiting = parts;
                false
            }
        }
    }
}

/// The first record that a run ever had.
fn first_record(held: &Held) -> RecordPlace {
    match held {
        Held::Resident(run) => run.trail.begins(),
        Held::Cold(cold) => cold.entry.trail.begins(),
    }
}
