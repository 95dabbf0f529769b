//! Archives: a run with all that is kept of its history, in one file that needs nothing else.
//!
//! The states in it are whole, whatever the run began as, and show it at some of its versions; the records behind each lead on from
//! there. What the run had inherited is in it as it was in the run that it was inherited from, under that run's id.

use std::path::Path;

use strata_primitives::{
    Durability, Erasure, ImageLoad, ImageSlice, ImageWalk, Redaction, RunId, RunState, Stamp, Timestamp,
    Version,
};
use strata_wal::storage::Storage;
use strata_wal::{ArchiveReader, ArchiveWriter, Archived, ArchivedState, LogSource, WalError};

use crate::history::group_of;
use crate::image_thread::redacted_slice;
use crate::record::{self, Record, RecordHead, RecordPlace};
use crate::replay::apply;
use crate::run::Run;

/// An archive that can be read.
#[derive(Debug)]
pub(crate) struct Archive {
    reader: ArchiveReader,
}

/// The newest version that an archive may have: a run that goes on behind it never runs out of numbers.
const VERSION_MAX: Version = Version(u64::MAX >> 1);
/// About how many bytes of a state are in one slice.
const SLICE_SIZE: usize = 64 << 10;

impl Archive {
    /// An archive of a log.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged or missing, `Io`.
    pub(crate) fn open(source: &LogSource, number: u64) -> Result<Archive, WalError> {
        Ok(Archive { reader: source.open_archive(number)? })
    }

    /// One that lies anywhere.
    ///
    /// # Errors
    /// Those of [`ArchiveReader::open`].
    pub(crate) fn open_at(storage: &dyn Storage, path: &Path) -> Result<Archive, WalError> {
        Ok(Archive { reader: ArchiveReader::open(storage, path)? })
    }

    pub(crate) fn reader(&self) -> &ArchiveReader {
        &self.reader
    }

    /// The run of which it is.
    pub(crate) fn run(&self) -> RunId {
        run_of(self.last())
    }

    /// The oldest version in it.
    pub(crate) fn earliest(&self) -> Version {
        let first = self.reader.states().first();
        first.map_or(Version::NEVER, |state| Version(state.number))
    }

    fn last(&self) -> &ArchivedState {
        self.reader.states().last().expect("an archive has a state at least")
    }

    /// The run at a version, or at the newest one before it where no commit has this number; `None` where it is not in it. What the run
    /// inherited is shown as its own.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn make(&self, version: Version, hash_seed: usize) -> Result<Option<RunState>, WalError> {
        let Some(state) = self.reader.state_before(version.0) else { return Ok(None) };
        let mut player = Player::new(hash_seed);
        let mut is_begun = false;
        self.reader.read_from(state.offset, &mut |_, archived| {
            if matches!(archived, Archived::Slice(_, true)) && std::mem::replace(&mut is_begun, true) {
                return Ok(false);
            }
            player.take(&state, archived, version).map(|taken| !matches!(taken, Played::Beyond))
        })?;
        let mut made = player.finish(&state).map_err(|reason| self.reader.corrupt(state.offset, reason))?;
        made.rename(self.run());
        Ok(Some(made))
    }

    /// Hands over its commits behind a version and up to another one, oldest first, for as long as more are wanted. Whether it ended
    /// before.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn each_behind(
        &self,
        from: Version,
        through: Version,
        take: &mut dyn FnMut(Record) -> bool,
    ) -> Result<bool, WalError> {
        let states = self.reader.states();
        let before = states.partition_point(|state| state.number <= from.0).checked_sub(1);
        let begins = before.map_or(ArchiveReader::BEGIN, |before| states[before].offset);
        let mut has_ended = false;
        self.reader.read_from(begins, &mut |_, archived| {
            let Archived::Record(body) = archived else { return Ok(true) };
            let version = record::decode_head(body)?.version;
            if version > from && version <= through {
                has_ended = !take(record::decode(body)?);
            }
            Ok(!has_ended && version < through)
        })?;
        Ok(has_ended)
    }

    /// The newest of its commits up to a version that is not later than a time.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn newest_at(
        &self,
        time: Timestamp,
        through: Version,
        hash_seed: usize,
    ) -> Result<Option<Stamp>, WalError> {
        let mut found = None;
        self.each_behind(Version::NEVER, through, &mut |record| {
            let RecordHead { version, timestamp, .. } = record.head;
            let is_early = timestamp <= time;
            found = is_early.then_some(Stamp { version, timestamp }).or(found);
            is_early
        })?;
        let Some(earliest) = self.make(self.earliest(), hash_seed)?.filter(|_| found.is_none()) else {
            return Ok(found);
        };
        let stamp = Stamp { version: earliest.version(), timestamp: earliest.timestamp() };
        Ok(Some(stamp).filter(|stamp| stamp.timestamp <= time))
    }

    /// Reads all of it, with every sum and the digest, and makes every version. The newest one.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn verify(&self, hash_seed: usize) -> Result<RunState, WalError> {
        let (mut player, mut states) = (Player::new(hash_seed), self.reader.states().iter());
        let mut state = None;
        self.reader.read_all(&mut |_, archived| {
            if let Archived::Slice(_, true) = archived {
                state.iter().try_for_each(|before| player.end(before))?;
                state = Some(*states.next().ok_or("a state that the index does not name")?);
            }
            player.take(state.as_ref().unwrap_or(self.last()), archived, Version::PENDING).map(drop)
        })?;
        let last = self.last();
        let ended = player.end(last).and_then(|()| player.finish(last));
        let made = ended.and_then(|made| self.check_last(&made).map(|()| made));
        made.map_err(|reason| self.reader.corrupt(last.offset, reason))
    }

    /// Refuses what no store could go on with.
    fn check_last(&self, made: &RunState) -> Result<(), String> {
        if made.version() > VERSION_MAX {
            return Err(format!("behind its commit {} there is no room for others", made.version()));
        }
        if !made.exists() {
            return Err(format!("it ends with the deletion of run {}", made.id()));
        }
        Ok(())
    }
}

impl Archive {
    /// Copies all of it without what is erased. Whether anything was.
    ///
    /// # Errors
    /// `Corrupt`, and those of writing.
    pub(crate) fn copy_without(
        &self,
        erasures: &[Erasure],
        writer: &mut ArchiveWriter,
    ) -> Result<bool, WalError> {
        let (mut states, mut through, mut is_changed) = (self.reader.states().iter(), 0, false);
        let mut redaction = Redaction::flat(self.run(), erasures.to_vec());
        let mut failure = None;
        self.reader.read_all(&mut |_, archived| {
            let written = match archived {
                // The first failure is told in the end.
                _ if failure.is_some() => Ok(()),
                Archived::Slice(slice, is_first) => {
                    if is_first {
                        let state = states.next().ok_or("a state that the index does not name")?;
                        if redaction.run() != run_of(state) {
                            redaction = Redaction::flat(run_of(state), erasures.to_vec());
                        }
                        through = state.through;
                        writer.begin_state(state.group, state.number);
                    }
                    let (redacted, _) = redacted_slice(slice, &mut redaction)?;
                    is_changed |= redacted != slice;
                    writer.append_slice(&redacted)
                }
                Archived::Record(body) => {
                    let version = record::decode_head(body)?.version.0;
                    let redacted = record::without_erased(body, &mut redaction)?;
                    is_changed |= redacted.is_some();
                    let leads_to = Some(version).filter(|version| *version <= through);
                    writer.append_record(redacted.as_deref().unwrap_or(body), leads_to)
                }
            };
            failure = failure.take().or(written.err());
            Ok(())
        })?;
        failure.map_or(Ok(is_changed), Err)
    }
}

/// What came of something in an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Played {
    /// A part of a state.
    Part,
    /// A commit that was applied.
    Applied,
    /// A commit that leads to the state behind it.
    LeadsNowhere,
    /// A commit behind the version that is wanted; it was not applied.
    Beyond,
}

/// Makes runs of what comes out of an archive. Nothing of it is believed.
#[derive(Debug)]
pub(crate) struct Player {
    hash_seed: usize,
    /// A state that is coming.
    load: Option<ImageLoad>,
    run: Option<Run>,
}

impl Player {
    pub(crate) fn new(hash_seed: usize) -> Player {
        Player { hash_seed, load: None, run: None }
    }

    /// Takes the next thing, which belongs to a state of the index or comes behind it.
    pub(crate) fn take(
        &mut self,
        state: &ArchivedState,
        archived: Archived<'_>,
        through: Version,
    ) -> Result<Played, String> {
        match archived {
            Archived::Slice(slice, is_first) => {
                if is_first {
                    self.load = Some(ImageLoad::flat(run_of(state), self.hash_seed));
                }
                self.load.as_mut().ok_or("a part of a state that has not begun")?.take(slice)?;
                Ok(Played::Part)
            }
            Archived::Record(body) => {
                let record = record::decode(body)?;
                self.close(state)?;
                self.take_record(state, record, through)
            }
        }
    }

    fn take_record(
        &mut self,
        state: &ArchivedState,
        record: Record,
        through: Version,
    ) -> Result<Played, String> {
        let version = record.head.version;
        if version == Version::NEVER {
            return Err("a commit without a number".to_string());
        }
        let Some(run) = self.run.as_mut().filter(|_| version.0 <= state.through) else {
            return Ok(Played::LeadsNowhere);
        };
        if version > through {
            return Ok(Played::Beyond);
        }
        apply(run, RecordPlace::default(), record)?;
        check_is_logged(&run.state)?;
        Ok(Played::Applied)
    }

    /// What was coming of a state is all there is of it; whether something was coming.
    pub(crate) fn close(&mut self, state: &ArchivedState) -> Result<bool, String> {
        let Some(load) = self.load.take() else { return Ok(false) };
        let made = load.finish()?;
        if made.version().0 != state.number {
            return Err(format!("it shows commit {}, and the index says {}", made.version(), state.number));
        }
        check_is_logged(&made)?;
        self.run = Some(Run::new(made));
        Ok(true)
    }

    /// Nothing comes behind a state any more: the records behind it have led as far as the index says.
    fn end(&mut self, state: &ArchivedState) -> Result<(), String> {
        self.close(state)?;
        match self.state_mut().map(|run| run.version()) {
            Some(version) if version.0 == state.through => Ok(()),
            reached => {
                let reached = reached.unwrap_or_default();
                Err(format!("its records lead to commit {reached}, and the index says {}", state.through))
            }
        }
    }

    /// The run as it is by now, once its state is [closed](Self::close).
    pub(crate) fn state_mut(&mut self) -> Option<&mut RunState> {
        self.run.as_mut().map(|run| &mut run.state)
    }

    /// The run at the end.
    pub(crate) fn finish(mut self, state: &ArchivedState) -> Result<RunState, String> {
        self.close(state)?;
        self.run.map(|run| run.state).ok_or_else(|| "it has no state".to_string())
    }
}

/// Refuses a run that lives in memory: none of those is exported.
fn check_is_logged(run: &RunState) -> Result<(), String> {
    match run.meta().and_then(|meta| meta.durability) {
        Some(Durability::InMemory) => Err(format!("run {} lives in memory, and is in no archive", run.id())),
        _ => Ok(()),
    }
}

/// Writes a run as a state of an archive.
///
/// # Errors
/// Those of writing it.
pub(crate) fn write_state(writer: &mut ArchiveWriter, run: &RunState) -> Result<(), WalError> {
    writer.begin_state(group_of(run.id()), run.version().0);
    let mut walk = ImageWalk::flat();
    while !walk.is_done() {
        let mut slice = ImageSlice::new();
        walk.write(&run.view(), SLICE_SIZE, &mut slice);
        if !slice.is_empty() {
            let bytes = slice.into_bytes().map_err(|error| WalError::Failed { reason: error.to_string() })?;
            writer.append_slice(&bytes)?;
        }
    }
    Ok(())
}

/// Whose a state is.
pub(crate) fn run_of(state: &ArchivedState) -> RunId {
    RunId::from_bytes(state.group.0)
}
