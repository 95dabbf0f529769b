//! Another number of shards for a store that is there: its runs are placed anew before it is served.
//!
//! 1. The store is opened with the shards it has, checkpointed and closed: then images have all there is, and the logs go no further.
//! 2. For every new shard the images of the runs that are placed there are copied into one file, those they keep of older versions
//!    too, and the records that they keep sorted into another; archives are copied as they are. A record keeps the log and the position that it was appended at: images
//!    and records that name it are right as they are. A second image has the directory alone, as recovery wants one to fall back to.
//! 3. MANIFEST names the new logs in place of the old ones. Until then what is written is nobody's, from then on the files of the old ones
//!    are.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use rustc_hash::FxHashMap;
use strata_primitives::{Error, ErrorKind, Operation, RunFilter, RunId};
use strata_wal::{GroupId, ImageReader, ImageWriter, LogSource, Lsn, RecordRef, StoreDirectory, WalError};

use crate::checkpoint_kind::CheckpointKind;
use crate::compaction::{NeededRecords, group_if_needed, needed_by};
use crate::engine::Engine;
use crate::image_directory::{DirectoryEnd, FileUse, RunEntry, put_end, put_run, read_directory};
use crate::open::{EngineOptions, start};
use crate::report::RecoveryReport;
use crate::retained::RunImage;
use crate::store_error::store_error;

/// Gives a store another number of shards, and tells what recovery found with those it had. Whatever fails, it has those, or these.
pub(crate) fn reshard(
    directory: StoreDirectory,
    options: &EngineOptions,
    path: &Path,
    count: u32,
) -> Result<(StoreDirectory, RecoveryReport), Error> {
    let (started, before) = (Instant::now(), directory.log_count());
    let (mut directory, found) = settle(directory, options, path)?;
    match place_anew(&mut directory, options.clock.now().0, count) {
        Ok(Placed { runs, records }) => {
            let took_micros = started.elapsed().as_micros() as u64;
            tracing::info!(target: "strata", path = %path.display(), before, shards = count, runs, records, took_micros, "the runs of the store are placed anew");
            Ok((directory, found))
        }
        Err(error) => {
            // What stays behind when this fails too is removed at the next opening.
            let _ = directory.remove_foreign();
            Err(error)
        }
    }
}

/// Opens a store as it is, has images made of everything, and closes it. Its lock is held throughout.
fn settle(
    directory: StoreDirectory,
    options: &EngineOptions,
    path: &Path,
) -> Result<(StoreDirectory, RecoveryReport), Error> {
    let storage = directory.storage();
    let mut engine = start(directory, options, true)?;
    let found = engine.recovery.clone();
    // Whether or not something has changed: the newest image that MANIFEST names may be one that could not be read.
    let kind = CheckpointKind { is_unconditional: true, ..CheckpointKind::default() };
    let checkpoint = || {
        engine.checkpoint_of(kind).or_else(|refused| match refused.kind() {
            // A run with commits behind its image could not be loaded. A query waits until that is tried again, or is told why not.
            ErrorKind::Corrupt => {
                engine.query(&RunFilter::default(), None, 1)?;
                engine.checkpoint_of(kind)
            }
            _ => Err(refused),
        })
    };
    let checkpointed = mend(&engine).and_then(|()| checkpoint());
    let lock = engine.running_mut().lock.take();
    let closed = engine.close();
    checkpointed.map(drop).and(closed)?;
    let lock = lock.expect("a store that is opened to be written holds its lock");
    let opened = StoreDirectory::open_locked(storage, path, lock, options.clock.now().0);
    opened.map(|directory| (directory, found)).map_err(store_error)
}

/// Has the runs loaded whose newest image is damaged: that rebuilds them from the one before, which the next checkpoint takes away, and
/// has them written anew.
fn mend(engine: &Engine) -> Result<(), Error> {
    // The images stay while they are read.
    let _hold = engine.holds.take(engine.errands());
    for source in engine.source()?.logs() {
        let mut readers = Readers::default();
        for RunEntry { run, image, .. } in newest_entries(source).map_err(store_error)? {
            if image.file == 0 {
                continue;
            }
            match readers.open(source, image.file).and_then(|reader| reader.slices(image.place, |_| true)) {
                Err(WalError::Corrupt { .. }) => {
                    engine.caller(None).operate(run, Operation::RunGet, None)?;
                }
                read => read.map_err(store_error)?,
            }
        }
    }
    Ok(())
}

/// What the image says of the runs of a log that recovery began with; nothing where it began with the first record.
fn newest_entries(source: &LogSource) -> Result<Vec<RunEntry>, WalError> {
    for image in source.images() {
        match read_directory(source, &image) {
            Err(WalError::Corrupt { .. }) => continue,
            read => return read.map(|(entries, _)| entries),
        }
    }
    Ok(Vec::new())
}

/// What was placed anew.
#[derive(Debug, Default)]
struct Placed {
    runs: u64,
    records: u64,
}

/// A run on its way: the log it was in, and what that says of it.
type Moved = (LogSource, RunEntry);

fn place_anew(directory: &mut StoreDirectory, now_micros: u64, count: u32) -> Result<Placed, Error> {
    let logs = directory.new_logs(count).map_err(store_error)?;
    let place = |run: RunId| usize::from(run.placement()) % logs.len();
    let (mut runs, mut needed): (Vec<Vec<Moved>>, NeededRecords) =
        (logs.iter().map(|_| Vec::new()).collect(), NeededRecords::default());
    for source in directory.logs().map(|log| directory.log_source(log)) {
        let newest = source.images().next().expect("a log that is imaged has an image");
        let (entries, _) = read_directory(&source, &newest).map_err(store_error)?;
        needed.extend(needed_by(&source, entries.iter(), Vec::new())?);
        entries.into_iter().for_each(|entry| runs[place(entry.run)].push((source.clone(), entry)));
    }
    let mut placed = Placed { runs: runs.iter().map(|runs| runs.len() as u64).sum(), records: 0 };
    let mut keep = |found: RecordRef<'_>| group_if_needed(&needed, found);
    let place_group = |group: GroupId| place(RunId::from_bytes(group.0));
    let kept =
        directory.sort_history(&logs, now_micros, None, &mut keep, &place_group).map_err(store_error)?;
    for ((log, mut runs), records) in logs.iter().zip(runs).zip(kept) {
        placed.records += records;
        runs.sort_by_key(|(_, entry)| entry.run);
        write_images(log, runs, now_micros, records > 0).map_err(store_error)?;
    }
    directory.take_logs(&logs).map_err(store_error)?;
    Ok(placed)
}

/// A page of the directory is handed over when it has this many bytes.
const PAGE_SIZE: usize = 64 << 10;

/// Writes the two images that a log begins with.
fn write_images(
    log: &LogSource,
    runs: Vec<Moved>,
    now_micros: u64,
    has_records: bool,
) -> Result<(), WalError> {
    let [newest, first] = LogSource::FIRST_IMAGES;
    let create = |number| log.create_image(number, LogSource::FIRST_LSN, now_micros);
    let (mut copying, mut entries) = (Copying::new(create(first)?, first), Vec::new());
    let mut archives = BTreeSet::new();
    for (source, mut entry) in runs {
        for image in entry.retained.anchors.iter_mut() {
            copying.copy(&source, image)?;
        }
        if entry.newest_image().is_some() {
            copying.copy(&source, &mut entry.image)?;
        }
        // Forks of one version of it share it.
        if let Some(archive) = entry.origin.and_then(|origin| origin.archive())
            && archives.insert(archive)
        {
            log.move_archive(&source, archive)?;
        }
        entries.push(entry);
    }
    let Copying { writer, written, .. } = copying;
    let file = FileUse { written, live: written };
    // Records of logs before come in front of all that there will be.
    let kept_from = if has_records { Lsn::ZERO } else { LogSource::FIRST_LSN };
    let files = BTreeMap::from_iter((written > 0).then_some((first, file)));
    let end = DirectoryEnd { files, kept_from, archives };
    for mut writer in [writer, create(newest)?] {
        let mut page = Vec::new();
        for entry in &entries {
            put_run(&mut page, entry);
            if page.len() >= PAGE_SIZE {
                writer.append_page(&page)?;
                page.clear();
            }
        }
        put_end(&mut page, &end, entries.len() as u64);
        writer.append_page(&page)?;
        writer.finish()?;
    }
    Ok(())
}

/// The file that images are copied into.
struct Copying {
    writer: ImageWriter,
    number: u64,
    written: u64,
    readers: Readers,
}

impl Copying {
    fn new(writer: ImageWriter, number: u64) -> Copying {
        Copying { writer, number, written: 0, readers: Readers::default() }
    }

    /// Copies an image, and notes where it lies from now on.
    fn copy(&mut self, source: &LogSource, image: &mut RunImage) -> Result<(), WalError> {
        image.place = self.writer.copy(self.readers.open(source, image.file)?, image.place)?;
        image.file = self.number;
        self.written += image.place.size;
        Ok(())
    }
}

/// Image files that are read, by their log and number.
#[derive(Default)]
struct Readers(FxHashMap<(u32, u64), ImageReader>);

impl Readers {
    fn open(&mut self, source: &LogSource, file: u64) -> Result<&ImageReader, WalError> {
        Ok(match self.0.entry((source.log(), file)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(source.open_image(file)?),
        })
    }
}
