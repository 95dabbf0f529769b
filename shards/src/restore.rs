//! Beginning to serve: runs come from the newest image that can be read, and from the log behind it.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;
use strata_primitives::{Error, ImageLoad, RunState};
use strata_wal::{ImageReader, Log, LogOptions, LogRecovery, LogSource, NamedImage, WalError, recover};

use crate::checkpoint::KnownImages;
use crate::image_directory::{DirectoryReader, Files, RunEntry};
use crate::replay::replay;
use crate::run::Run;
use crate::run_table::RunTable;
use crate::store_error::store_error;

/// What a shard begins with.
pub(crate) struct Restored {
    pub(crate) runs: RunTable,
    pub(crate) log: Log,
    pub(crate) images: KnownImages,
    pub(crate) found: LogRecovery,
}

/// Recovers the runs of a log. What an image stands for is not read from the log again.
///
/// # Errors
/// `Corrupt` when neither image can be read, or the log behind it cannot.
pub(crate) fn restore(source: &LogSource, options: &LogOptions, hash_seed: usize) -> Result<Restored, Error> {
    let (runs, images) = load_newest(source, hash_seed)?;
    let mut runs = runs;
    let log = source.log();
    let recovered = recover(source, options.clone(), images.newest.as_ref(), &mut |record| {
        replay(&mut runs, log, record)
    });
    let (log, found) = recovered.map_err(store_error)?;
    Ok(Restored { runs, log, images, found })
}

/// The runs of the newest image that is whole. Without any, the log is read from its beginning, where it still has that.
fn load_newest(source: &LogSource, hash_seed: usize) -> Result<(RunTable, KnownImages), Error> {
    let images: Vec<NamedImage> = source.images().collect();
    let is_log_whole = images.len() < 2;
    for (index, image) in images.iter().enumerate() {
        match load(source, image, hash_seed) {
            Ok((runs, files)) => return Ok((runs, KnownImages { newest: Some(*image), files })),
            Err(error @ WalError::Corrupt { .. }) if is_log_whole || index + 1 < images.len() => {
                tracing::warn!(log = source.log(), %error, "an image is damaged: recovery begins further back");
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
pub fn runs_of_image(source: &LogSource, image: &NamedImage) -> Result<Vec<RunState>, WalError> {
    let (runs, _) = load(source, image, 0)?;
    Ok(runs.into_states().collect())
}

fn load(source: &LogSource, image: &NamedImage, hash_seed: usize) -> Result<(RunTable, Files), WalError> {
    let directory_file = source.open_image(image.number)?;
    if directory_file.header().through != image.through {
        return Err(directory_file.corrupt(0, "it stands for another part of the log than MANIFEST says"));
    }
    let damaged = |reason: String| directory_file.corrupt(0, format!("its directory: {reason}"));
    let mut directory = DirectoryReader::default();
    let mut runs = RunTable::new(hash_seed);
    let mut readers: FxHashMap<u64, ImageReader> = FxHashMap::default();
    for page in directory_file.pages()? {
        let mut entries = Vec::new();
        let taken = directory.take_page(&page, |entry| {
            entries.push(entry);
            Ok(())
        });
        taken.map_err(damaged)?;
        for entry in entries {
            let reader = match readers.entry(entry.file) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(source.open_image(entry.file)?),
            };
            runs.insert(load_run(reader, &entry, hash_seed)?);
        }
    }
    Ok((runs, directory.finish().map_err(damaged)?))
}

fn load_run(reader: &ImageReader, entry: &RunEntry, hash_seed: usize) -> Result<Run, WalError> {
    let mut load = ImageLoad::new(entry.run, hash_seed);
    let mut taken = Ok(());
    reader.slices(entry.place, |slice| {
        taken = load.take(slice);
        taken.is_ok()
    })?;
    let damaged = |reason| reader.corrupt(entry.place.offset, format!("run {}: {reason}", entry.run));
    let state = taken.and_then(|()| load.finish()).map_err(damaged)?;
    let summary = state.summary();
    if summary != entry.summary {
        return Err(damaged("its image is not what the directory says of it".to_string()));
    }
    let mut run = Run::new(state);
    (run.place, run.logged) = (entry.record, summary.stamp);
    run.image = Some(entry.image());
    run.durability = summary.meta.and_then(|meta| meta.durability);
    Ok(run)
}
