//! Compaction: the store gives back what nothing needs any more.
//!
//! 1. Every shard goes on in a new segment and makes a checkpoint; `Full` copies all images of runs into one file.
//! 2. It makes another one, so that the image to fall back to is as new, and the log reaches back no further than both. What is in
//!    front of that goes into the history.
//! 3. `Full` sorts the history of each log into one file, by run, without the records that no version is made from which can be
//!    looked at or which a fork began as.
//!
//! Records keep their places: whoever knows one finds it as before. So nobody who reads notices, and who is interrupted goes on
//! with what is there.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{MutexGuard, TryLockError};
use std::time::Instant;

use rustc_hash::FxHashMap;
use strata_primitives::{Erasure, Error, ErrorKind, ForkPoint, Redaction, RunId, Version};
use strata_wal::{GroupId, LogHistory, LogMode, LogSource, RecordRef, WalError};

use crate::archive::Archive;
use crate::base::Origin;
use crate::checkpoint_kind::CheckpointKind;
use crate::cold_run::ImageShelf;
use crate::engine::Engine;
use crate::erasing::{Entries, erasures_of};
use crate::history::group_of;
use crate::image_directory::{RunEntry, read_directory};
use crate::kin::Kin;
use crate::maintenance::Errand;
use crate::message::{Answer, Control};
use crate::record::{self, RecordPlace};
use crate::record_walk::{KnownMilestones, RecordWalk};
use crate::report::CompactReport;
use crate::retained::RunImage;
use crate::store_error::store_error;

/// How much a compaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// The logs are put away as far as they can be.
    WalOnly,
    /// Images and history are rewritten as well, without what nothing needs.
    Full,
}

/// The commits of a run whose records are needed: of each stretch those behind the first version, up to the second.
type Stretches = Vec<(Version, Version)>;

/// Which versions there are of a run.
struct Kept {
    /// The first one that it ever had itself: what a fork began as is its parent's.
    begin: Version,
    /// The first one that can still be made.
    first: Version,
}

impl Kept {
    fn of(entry: &RunEntry) -> Kept {
        let begin = Origin::first_own(entry.origin, entry.run).max(Version::NEVER.next());
        Kept { begin, first: entry.retained.floor.max(begin) }
    }
}

/// Those of all runs of a log.
pub(crate) type NeededRecords = FxHashMap<RunId, Stretches>;

/// What is needed of a log, and what is to be taken out of it.
struct Needed {
    records: NeededRecords,
    redactions: FxHashMap<RunId, Redaction>,
    /// What was erased of what is in archives.
    archives: BTreeMap<u64, Vec<Erasure>>,
}

impl Engine {
    /// Gives back what nothing needs any more, while the store serves. One call at a time.
    ///
    /// # Errors
    /// `Busy` while another call is under way, or a checkpoint is held; `Unsupported` for a store in memory or one that is only
    /// read; `Full`, `Corrupt` and `Io`; `Closed` when the store is closed meanwhile. What was done by then stays done, and nothing
    /// is lost.
    pub fn compact(&self, compaction: Compaction) -> Result<CompactReport, Error> {
        let _alone = self.compact_alone()?;
        let (started, is_full) = (Instant::now(), compaction == Compaction::Full);
        let compacted = self.compact_and_report(is_full);
        let took_micros = started.elapsed().as_micros() as u64;
        match &compacted {
            Ok(CompactReport { reclaimed, segments, versions }) => {
                tracing::info!(target: "strata", is_full, reclaimed, segments, versions, took_micros, "the store is compacted");
            }
            Err(error) => tracing::warn!(target: "strata", %error, "a compaction has failed"),
        }
        compacted
    }

    fn compact_and_report(&self, is_full: bool) -> Result<CompactReport, Error> {
        let (before, floors_before) = (self.usage()?, self.floors()?);
        let first = CheckpointKind { begins_segment: true, is_whole: is_full, is_unconditional: false };
        self.checkpoint_of(first)?;
        self.checkpoint_of(CheckpointKind { is_unconditional: true, ..CheckpointKind::default() })?;
        if is_full {
            for (source, mut needed) in self.needed()? {
                for (number, erasures) in std::mem::take(&mut needed.archives) {
                    self.compact_archive(&source, number, &erasures)?;
                }
                self.compact_history(&source, needed)?;
            }
        }
        self.settle()?;
        if is_full {
            self.ask_maintenance(|reply| Errand::CheckPutAway { reply })?;
        }
        let (after, floors) = (self.usage()?, self.floors()?);
        let released = floors.into_iter().map(|(run, Kept { begin, first })| {
            let before = floors_before.get(&run).map_or(begin, |before| before.first);
            first.0.saturating_sub(before.0)
        });
        let size = |usage: &BTreeMap<PathBuf, u64>| usage.values().sum::<u64>();
        let is_segment = |name: &PathBuf| name.extension().is_some_and(|extension| extension == "seg");
        let segments = before.keys().filter(|name| is_segment(name) && !after.contains_key(*name)).count();
        Ok(CompactReport {
            reclaimed: size(&before).saturating_sub(size(&after)),
            segments: segments as u64,
            versions: released.sum(),
        })
    }

    /// No other compaction begins, and the store does not end, before this one is over.
    fn compact_alone(&self) -> Result<MutexGuard<'_, ()>, Error> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::Busy, message));
        let guard = match self.compacting.try_lock() {
            Err(TryLockError::WouldBlock) => return refuse("another compaction is under way"),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(guard) => guard,
        };
        if self.holds.is_any() {
            return refuse("a checkpoint is held, and its files stay: let it go first");
        }
        if self.is_read_only || self.recovery.shards.is_empty() {
            let message = "only a store on disk that is written is compacted";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(guard)
    }

    /// Waits until what images make unnecessary is put away, and tells of every shard which versions its forks began as.
    fn settle(&self) -> Result<Vec<Vec<ForkPoint>>, Error> {
        let answers = self.ask_all(|| Control::Settle)?;
        let of_shard = |answer| match answer {
            Answer::Forked(points) => points,
            other => unreachable!("a shard settled with {other:?}"),
        };
        Ok(answers.into_iter().map(of_shard).collect())
    }

    /// The files of the store, wherever they lie, and their sizes.
    fn usage(&self) -> Result<BTreeMap<PathBuf, u64>, Error> {
        self.ask_maintenance(|reply| Errand::Usage { reply })
    }

    /// The versions of every run that can be made, as the newest images say.
    fn floors(&self) -> Result<FxHashMap<RunId, Kept>, Error> {
        // The images stay while they are read.
        let _hold = self.holds.take(self.errands());
        let mut floors = FxHashMap::default();
        for source in self.source()?.logs() {
            for image in source.images() {
                match read_directory(source, &image) {
                    Ok((entries, _)) => {
                        floors.extend(entries.iter().map(|entry| (entry.run, Kept::of(entry))))
                    }
                    // Recovery began with the one before, and the first checkpoint takes its place.
                    Err(WalError::Corrupt { .. }) => continue,
                    Err(error) => return Err(store_error(error)),
                }
                break;
            }
        }
        Ok(floors)
    }

    /// Of each log the records that recovery, views and forks need from now on.
    fn needed(&self) -> Result<Vec<(LogSource, Needed)>, Error> {
        // The images stay while they are read.
        let _hold = self.holds.take(self.errands());
        let source = self.source()?;
        // Shards are asked when it is known which images there are: what is forked or looked at later is kept by those.
        let forked = self.settle()?;
        let of_log = |(source, forked): (&LogSource, Vec<ForkPoint>)| {
            needed_of(source, forked).map(|needed| (source.clone(), needed))
        };
        source.logs().iter().zip(forked).map(of_log).collect()
    }

    fn compact_history(&self, source: &LogSource, needed: Needed) -> Result<(), Error> {
        let Needed { records, mut redactions, .. } = needed;
        let mut keep = |found: RecordRef<'_>| group_if_needed(&records, found);
        let mut rewrite =
            |found: RecordRef<'_>| match redactions.get_mut(&record::decode_head(found.body)?.run) {
                Some(redaction) => record::without_erased(found.body, redaction),
                None => Ok(None),
            };
        let compacted = source.compact_history(self.clock.now().0, None, &mut keep, &mut rewrite);
        let compacted = compacted.map_err(store_error)?;
        self.ask_maintenance(|reply| Errand::TakeCompacted { log: source.log(), compacted, reply })
    }
}

/// The group of a record, if it is needed.
pub(crate) fn group_if_needed(
    needed: &NeededRecords,
    found: RecordRef<'_>,
) -> Result<Option<GroupId>, String> {
    let head = record::decode_head(found.body)?;
    let is_needed = needed.get(&head.run).is_some_and(|stretches| {
        stretches.iter().any(|(from, through)| *from < head.version && head.version <= *through)
    });
    Ok(is_needed.then(|| group_of(head.run)))
}

impl Engine {
    /// Writes an archive anew without what is erased of it.
    fn compact_archive(&self, source: &LogSource, number: u64, erasures: &[Erasure]) -> Result<(), Error> {
        let archive = Archive::open(source, number).map_err(store_error)?;
        let mut writer = source.rewrite_archive(number, archive.reader()).map_err(store_error)?;
        if archive.copy_without(erasures, &mut writer).map_err(store_error)? {
            let (log, rewritten) = (source.log(), Box::new(writer));
            self.ask_maintenance(|reply| Errand::TakeArchive { log, rewritten, reply })?;
        }
        Ok(())
    }
}

/// What is needed whichever of the two images is begun with: that may have forks of which the shard knows no more. What is erased in
/// it, as the newest image says.
fn needed_of(source: &LogSource, forked: Vec<ForkPoint>) -> Result<Needed, Error> {
    let directories = source.images().map(|image| read_directory(source, &image).map(|(entries, _)| entries));
    let directories = directories.collect::<Result<Vec<_>, WalError>>().map_err(store_error)?;
    let records = needed_by(source, directories.iter().flatten(), forked)?;
    let redactions = redactions_of(source, &directories, &records)?;
    let archives = archives_of(directories.first().map_or(&[], Vec::as_slice));
    Ok(Needed { records, redactions, archives })
}

/// The records that are needed by what directories of a log say, and by these forks.
///
/// # Errors
/// `Corrupt` and `Io`.
pub(crate) fn needed_by<'a>(
    source: &LogSource,
    entries: impl Iterator<Item = &'a RunEntry> + Clone,
    forked: Vec<ForkPoint>,
) -> Result<NeededRecords, Error> {
    let mut versions = BTreeMap::<RunId, Vec<Version>>::new();
    let origins = entries.clone().filter_map(|entry| entry.origin?.in_log());
    for ForkPoint { run, version } in forked.into_iter().chain(origins.map(|origin| origin.point)) {
        versions.entry(run).or_default().push(version);
    }
    let mut needed = NeededRecords::default();
    let mut history = None;
    for RunEntry { run, image, retained, origin, trail, .. } in entries {
        let forked = versions.get(run).map_or(&[][..], Vec::as_slice);
        let begins = match origin {
            Some(origin) if origin.is_import_of(*run) => {
                let history = match &mut history {
                    Some(history) => history,
                    none => none.insert(LogHistory::new(source, LogMode::Direct).map_err(store_error)?),
                };
                begin_of_imported(history, *origin, trail.begins())?
            }
            _ => Version::NEVER,
        };
        let stretches = retained.needed(image, forked).into_iter();
        let stretches = stretches.map(|(from, through)| (from.max(begins), through));
        needed.entry(*run).or_default().extend(stretches);
    }
    Ok(needed)
}

/// The version behind which an imported run has records of its own, of which the first stands at `first`. It began as its archive has
/// it, whatever was written under its id before.
fn begin_of_imported(history: &mut LogHistory, origin: Origin, first: RecordPlace) -> Result<Version, Error> {
    let ForkPoint { run, version } = origin.point;
    let walk = RecordWalk { run, newest: first, base: RecordPlace::default() };
    match walk.find(history, &mut KnownMilestones::default(), |_| Ordering::Equal) {
        Ok(found) => Ok(found.map_or(version, |(_, head)| Version(head.version.0 - 1))),
        // It is not needed any more, so nothing in front of it is.
        Err(error) if error.kind() == ErrorKind::HistoryTrimmed => Ok(version),
        Err(error) => Err(error),
    }
}

/// What is to be taken out of the records of which runs.
fn redactions_of(
    source: &LogSource,
    directories: &[Vec<RunEntry>],
    needed: &NeededRecords,
) -> Result<FxHashMap<RunId, Redaction>, Error> {
    let newest = directories.first().map_or(&[][..], Vec::as_slice);
    let (known, mut kin, mut shelf) =
        (Entries::new(newest), Kin::new(newest), ImageShelf::new(source.clone(), 0));
    // Forks of one version together, so that it is made once.
    let mut sorted: Vec<&RunEntry> = newest.iter().collect();
    sorted.sort_by_key(|entry| entry.origin.map(|origin| origin.point));
    let mut redactions = FxHashMap::default();
    for entry in sorted {
        let erasures = erasures_of(&known, entry.run);
        if erasures.is_empty() {
            continue;
        }
        let mut redaction = Redaction::new(entry.run, erasures);
        if redaction.needs_to_know() {
            let base = kin.base_of(entry, &mut shelf, source)?;
            let began_as = base.as_ref().and_then(|base| Some((base.origin.point.version, base.state()?)));
            began_as.into_iter().for_each(|(version, was)| redaction.know(version, was));
            for image in begun_with(directories, entry.run, &needed[&entry.run]) {
                let was = shelf.read(entry.run, &image, base.as_ref()).map_err(store_error)?;
                redaction.know(image.stamp.version, &was);
            }
        }
        redactions.insert(entry.run, redaction);
    }
    Ok(redactions)
}

/// The images of a run behind which records of it are kept, the oldest first.
fn begun_with(directories: &[Vec<RunEntry>], run: RunId, stretches: &Stretches) -> Vec<RunImage> {
    let mut images = BTreeMap::new();
    for entries in directories {
        let place = entries.binary_search_by_key(&run, |entry| entry.run);
        let known = place.into_iter().flat_map(|place| entries[place].known().images);
        images.extend(known.map(|image| (image.stamp.version, image)));
    }
    images.retain(|version, _| stretches.iter().any(|(from, _)| from == version));
    images.into_values().collect()
}

/// What was erased of the runs that archives have, of each archive of which something was.
fn archives_of(entries: &[RunEntry]) -> BTreeMap<u64, Vec<Erasure>> {
    let known = Entries::new(entries);
    let mut archives: BTreeMap<u64, Vec<Erasure>> = BTreeMap::new();
    for origin in entries.iter().filter_map(|entry| entry.origin) {
        let Some(number) = origin.archive() else { continue };
        // All that refer to it name the same run, each the version that it began as; it has later ones too.
        archives.entry(number).or_insert_with(|| erasures_of(&known, origin.point.run));
    }
    archives.retain(|_, erasures| !erasures.is_empty());
    archives
}
