//! Beginning to serve: the directory of the newest image tells what runs there are, and the log behind it is read. A run is
//! loaded when it is first touched.

use std::collections::BTreeSet;

use strata_primitives::{Error, RunState};
use strata_wal::{Log, LogOptions, LogRecovery, LogSource, NamedImage, RecordRef, WalError, recover, scan};

use crate::checkpoint::KnownImages;
use crate::cold_run::{ColdRun, ImageShelf};
use crate::erasing::{Entries, erasures_of};
use crate::image_directory::{DirectoryEnd, read_directory};
use crate::kin::Kin;
use crate::record::{self, KIND_FORK, KIND_IMPORT};
use crate::replay::replay;
use crate::run_table::RunTable;
use crate::store_error::store_error;

/// What a shard begins with.
pub(crate) struct Restored {
    pub(crate) runs: RunTable,
    /// Where the runs go on; nowhere when they are only read.
    pub(crate) log: Option<Log>,
    pub(crate) images: KnownImages,
    pub(crate) found: LogRecovery,
}

/// Recovers the runs of a log. What an image stands for is not read from the log again, and of the image only its
/// directory. Without options for the log it is only read, and nothing is repaired.
///
/// # Errors
/// `Corrupt` when neither image can be read, or the log behind it cannot.
pub(crate) fn restore(
    source: &LogSource,
    options: Option<&LogOptions>,
    hash_seed: usize,
    is_opening: bool,
) -> Result<Restored, Error> {
    let (mut runs, mut images) = load_newest(source, hash_seed)?;
    let (log, newest) = (source.log(), images.newest);
    let newest = newest.as_ref();
    let mut visit = |record: RecordRef<'_>| replay(&mut runs, log, record);
    let recovered = match options {
        Some(options) => {
            recover(source, options.clone(), newest, &mut visit).map(|(log, found)| (Some(log), found))
        }
        None => scan(source, newest, &mut visit).map(|found| (None, found)),
    };
    let (log, found) = recovered.map_err(store_error)?;
    if is_opening && log.is_some() {
        images.archives = clean_archives(source, &runs).unwrap_or_else(|error| {
            tracing::warn!(target: "strata", shard = source.index(), %error, "archives that nothing refers to stay");
            runs.forks.archives()
        });
    }
    Ok(Restored { runs, log, images, found })
}

/// Removes the archives that nothing refers to, whichever image is begun with: those of imports that were not committed. Those that stay.
fn clean_archives(source: &LogSource, runs: &RunTable) -> Result<BTreeSet<u64>, WalError> {
    source.remove_unfinished_archives()?;
    let (there, mut needed) = (source.archives()?, runs.forks.archives());
    if there.is_subset(&needed) {
        return Ok(there);
    }
    let older = source.images().nth(1);
    if let Some(older) = &older {
        needed.extend(read_directory(source, older)?.1.archives);
    }
    scan(source, older.as_ref(), &mut |found: RecordRef<'_>| {
        if found.kind == KIND_FORK || found.kind == KIND_IMPORT {
            needed.extend(record::decode_head(found.body)?.previous.archive());
        }
        Ok(())
    })?;
    for number in &there - &needed {
        source.remove_archive(number)?;
        tracing::info!(target: "strata", shard = source.index(), number, "an archive is removed that nothing refers to");
    }
    Ok(&there & &needed)
}

/// The runs of the newest image that is whole. Without any, the log is read from its beginning, where it still has that.
fn load_newest(source: &LogSource, hash_seed: usize) -> Result<(RunTable, KnownImages), Error> {
    let images: Vec<NamedImage> = source.images().collect();
    let is_log_whole = images.len() < 2;
    for (index, image) in images.iter().enumerate() {
        match load(source, image, hash_seed) {
            Ok((runs, end)) => {
                return Ok((runs, KnownImages { newest: Some(*image), end, archives: BTreeSet::new() }));
            }
            Err(error @ WalError::Corrupt { .. }) if is_log_whole || index + 1 < images.len() => {
                tracing::warn!(target: "strata", shard = source.index(), number = image.number, %error, "an image is damaged: recovery begins further back");
            }
            Err(error) => return Err(store_error(error)),
        }
    }
    Ok((RunTable::new(hash_seed), KnownImages::default()))
}

/// The runs of an image, each at the version at which it was written; for whoever reads a store without opening it.
///
/// # Errors
/// `Corrupt` when any of it cannot be read, `Io`.
pub fn runs_of_image(source: &LogSource, image: &NamedImage) -> Result<Vec<RunState>, Error> {
    let mut shelf = ImageShelf::new(source.clone(), 0);
    let mut runs = Vec::new();
    let (entries, _) = read_directory(source, image).map_err(store_error)?;
    let mut kin = Kin::new(&entries);
    let known = Entries::new(&entries);
    for entry in &entries {
        let base = kin.base_of(entry, &mut shelf, source)?;
        let mut state = shelf.load(entry, base.as_ref()).map_err(store_error)?.state;
        erasures_of(&known, entry.run).iter().for_each(|erasure| drop(state.redact(erasure)));
        runs.push(state);
    }
    Ok(runs)
}

fn load(
    source: &LogSource,
    image: &NamedImage,
    hash_seed: usize,
) -> Result<(RunTable, DirectoryEnd), WalError> {
    let (entries, end) = read_directory(source, image)?;
    let mut runs = RunTable::new(hash_seed);
    entries.into_iter().for_each(|entry| runs.insert_cold(ColdRun::new(entry)));
    Ok((runs, end))
}
