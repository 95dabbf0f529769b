//! A run whose content is on disk: what is known of it meanwhile, and how it comes back.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use strata_primitives::{Erasure, ImageLoad, RunId, RunState, Stamp, Timestamp, Version};
use strata_wal::{ImageReader, LogSource, Lsn, WalError, scan};

use crate::archive::Archive;
use crate::base::Base;
use crate::history::PastVersion;
use crate::image_directory::{RunEntry, read_directory};
use crate::record::{self, Record, RecordPlace};
use crate::replay::apply;
use crate::retained::RunImage;
use crate::run::Run;
use crate::value_places::{Moved, ValuePlaces};
use crate::value_reads::ValueReads;

/// A run that is not in memory.
#[derive(Debug)]
pub(crate) struct ColdRun {
    /// Where its image lies, and what is known without it.
    pub(crate) entry: RunEntry,
    /// Commits behind the image, oldest first: recovery read them, and nothing is told of the run before it is loaded.
    pub(crate) tail: Arc<Vec<(Lsn, Record)>>,
    /// The deadline under which the run stands in the table's expiry order.
    pub(crate) deadline: Option<Timestamp>,
    /// The request under which it is being loaded.
    pub(crate) loading: Option<u64>,
}

impl ColdRun {
    /// A run that recovery found in an image.
    pub(crate) fn new(entry: RunEntry) -> ColdRun {
        let deadline = entry.summary.next_deadline;
        ColdRun { entry, tail: Arc::default(), deadline, loading: None }
    }

    /// For who looks at its content all the same.
    pub(crate) fn panic_not_loaded(&self) -> ! {
        panic!("run {} is looked at and was not loaded", self.entry.run)
    }
}

/// Reads runs of one log from their images. It keeps the files open that it has read from, so that a file that is removed
/// stays readable for whoever still knows a place in it.
#[derive(Debug)]
pub(crate) struct ImageShelf {
    source: LogSource,
    hash_seed: usize,
    readers: FxHashMap<u64, Arc<ImageReader>>,
    reads: Arc<ValueReads>,
    /// Values that runs it has read have left in images.
    places: ValuePlaces,
}

impl ImageShelf {
    pub(crate) fn new(source: LogSource, hash_seed: usize) -> ImageShelf {
        ImageShelf::counting(source, hash_seed, Arc::default())
    }

    /// The same, and each read of a value that a run of it left in its image is counted there.
    pub(crate) fn counting(source: LogSource, hash_seed: usize, reads: Arc<ValueReads>) -> ImageShelf {
        ImageShelf { source, hash_seed, readers: FxHashMap::default(), reads, places: ValuePlaces::default() }
    }

    /// The run of an entry, from its image; a fork over what it began as.
    ///
    /// # Errors
    /// `Corrupt` when the image is damaged or is not what the entry says, `Io`.
    pub(crate) fn load(&mut self, entry: &RunEntry, base: Option<&Arc<Base>>) -> Result<Run, WalError> {
        let RunEntry { run, image, .. } = entry;
        let state = self.read(*run, image, base)?;
        if !is_as_said(&state, entry, base.is_some()) {
            let reason = format!("run {run}: its image is not what the directory says of it");
            return Err(self.reader(image.file)?.corrupt(image.place.offset, reason));
        }
        Ok(run_of(state, entry, base))
    }

    /// A run as an image shows it; a fork over what it began as. Large values are left there: who decodes one reads it.
    ///
    /// # Errors
    /// `Corrupt` when the image is damaged or shows another commit, `Io`.
    pub(crate) fn read(
        &mut self,
        run: RunId,
        image: &RunImage,
        base: Option<&Arc<Base>>,
    ) -> Result<RunState, WalError> {
        let base = base.map(|base| base.state().expect("what a fork began as is made before it is read"));
        let mut load =
            base.map_or_else(|| ImageLoad::new(run, self.hash_seed), |base| ImageLoad::over(base, run));
        let reader = Arc::clone(self.reader(image.file)?);
        let (mut taken, reads, places) = (Ok(()), &self.reads, &mut self.places);
        reader.placed_slices(image.place, |place, slice| {
            taken = load.take_leaving(slice, |range| Some(places.leave(reads, &reader, place, range)));
            taken.is_ok()
        })?;
        let state = taken.and_then(|()| load.finish());
        let is_shown = |state: &RunState| state.version() == image.stamp.version;
        let state = state.and_then(|state| {
            is_shown(&state).then_some(state).ok_or_else(|| "it is of another commit".to_string())
        });
        state.map_err(|reason| reader.corrupt(image.place.offset, format!("run {run}: {reason}")))
    }

    /// The shard whose runs it reads.
    pub(crate) fn shard(&self) -> u32 {
        self.source.index()
    }

    /// From now on the store is read as it stands there.
    pub(crate) fn renew(&mut self, source: &LogSource) {
        self.source = source.clone();
    }

    /// Images of a run at a version or before it that the directory before the newest knows, the newest first, but for those
    /// that are known already.
    ///
    /// # Errors
    /// `Io`. A directory that is damaged knows none.
    pub(crate) fn older_images(
        &self,
        past: &PastVersion,
        base: Option<&Arc<Base>>,
    ) -> Result<Vec<RunImage>, WalError> {
        let Some(before) = self.source.images().nth(1) else { return Ok(Vec::new()) };
        let entries = match read_directory(&self.source, &before) {
            Err(WalError::Corrupt { .. }) => return Ok(Vec::new()),
            read => read?.0,
        };
        let older = entries.into_iter().find(|entry| entry.run == past.run);
        let images = older.filter(|older| is_of_its_life(older, base)).map(|older| older.known().images);
        let mut images = images.unwrap_or_default();
        images.retain(|image| image.stamp.version <= past.version && !past.images.contains(image));
        Ok(images)
    }

    /// An archive of the log.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged or missing, `Io`.
    pub(crate) fn archive(&self, number: u64) -> Result<Archive, WalError> {
        Archive::open(&self.source, number)
    }

    pub(crate) fn hash_seed(&self) -> usize {
        self.hash_seed
    }

    /// A run that has never been written to.
    pub(crate) fn blank(&self, run: RunId) -> RunState {
        RunState::new(run, self.hash_seed)
    }

    fn reader(&mut self, file: u64) -> Result<&Arc<ImageReader>, WalError> {
        Ok(match self.readers.entry(file) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Arc::new(self.source.open_image(file)?)),
        })
    }

    /// The run of an entry whose image is damaged: from the image before the newest and the log behind that.
    ///
    /// # Errors
    /// `Corrupt` when that cannot be read either, or does not lead to what the entry says.
    pub(crate) fn rebuild(
        &mut self,
        entry: &RunEntry,
        base: Option<&Arc<Base>>,
        source: &LogSource,
    ) -> Result<Run, WalError> {
        self.renew(source);
        let before = source.images().nth(1);
        let entries = before.map_or(Ok(Vec::new()), |image| Ok(read_directory(source, &image)?.0))?;
        let older = entries.into_iter().find(|older| older.run == entry.run);
        let older = older.filter(|older| is_of_its_life(older, base));
        let mut run = match &older {
            // Nothing is left of it but the commit that deleted it.
            _ if entry.summary.meta.is_none() => {
                Run::new(left_of(entry.run, entry.summary.stamp, &entry.erasures))
            }
            Some(older) => self.load(older, base)?,
            None => match base {
                Some(base) => Run::forked(entry.run, Arc::clone(base)),
                None => Run::new(self.blank(entry.run)),
            },
        };
        let from = run.state.version();
        let target = entry.summary.stamp.version;
        let mut outcome = Ok(());
        let log = source.log();
        // What is appended meanwhile may be read half; what is looked for lies before.
        let read = scan(source, before.as_ref(), &mut |found| {
            let record = record::decode(found.body)?;
            let version = record.head.version;
            if outcome.is_ok() && record.head.run == entry.run && version > from && version <= target {
                outcome = apply(&mut run, RecordPlace { log, lsn: found.lsn }, record);
            }
            Ok(())
        });
        if outcome.is_ok() && is_as_said(&run.state, entry, base.is_some()) {
            // Its image is to be written anew, whether it changes or not; older versions begin with the one before.
            let mut rebuilt = Run { image: None, ..run_of(run.state, entry, base) };
            let newest_anchor =
                rebuilt.retained.anchors.last().map_or(Version::NEVER, |anchor| anchor.stamp.version);
            let before = older.map(|older| older.image).filter(|image| image.stamp.version > newest_anchor);
            rebuilt.retained.anchors.extend(before.filter(|image| image.stamp.version < target));
            return Ok(rebuilt);
        }
        read?;
        let RunImage { file, place, .. } = entry.image;
        let reader = source.open_image(file)?;
        let reason = outcome.err().unwrap_or_else(|| "the log does not lead to it".to_string());
        Err(reader.corrupt(place.offset, format!("run {} cannot be rebuilt: {reason}", entry.run)))
    }

    /// Values that are elsewhere are read from an image that is new, where that has them.
    ///
    /// # Errors
    /// `Corrupt` when the image is damaged, `Io`. They are read from where they were then.
    pub(crate) fn follow(&mut self, image: u64, moved: Moved) -> Result<(), WalError> {
        if !moved.is_empty() {
            let reader = Arc::clone(self.reader(image)?);
            self.places.follow(&self.reads, &reader, moved);
        }
        Ok(())
    }

    /// Closes all files but those that are still referred to, and those in which somebody has left a value.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(u64) -> bool) {
        self.readers.retain(|file, _| is_kept(*file));
        self.places.forget(|file| !is_kept(file));
    }
}

/// Whether what an older directory says of a run that began as `base` is of the same life: a run may have been imported since under
/// the id of one that was deleted.
fn is_of_its_life(older: &RunEntry, base: Option<&Arc<Base>>) -> bool {
    let origin = base.map(|base| base.origin);
    origin.is_none_or(|origin| origin.archive().is_none() || older.origin == Some(origin))
}

/// Whether a run is what the directory says of it. It takes less where something was erased while its image was written, and a fork
/// takes another size when what it began with was erased before or since.
fn is_as_said(state: &RunState, entry: &RunEntry, is_fork: bool) -> bool {
    let (mut summary, said) = (state.summary(), entry.summary.counts.size);
    if is_fork || summary.counts.size < said {
        summary.counts.size = said;
    }
    summary == entry.summary
}

/// What is left of a run that was deleted.
pub(crate) fn left_of(run: RunId, stamp: Stamp, erasures: &Arc<Vec<Erasure>>) -> RunState {
    let mut left = RunState::new(run, 0);
    left.set_erasures(Arc::clone(erasures));
    if stamp.version > Version::NEVER {
        left.commit(stamp);
    }
    left
}

fn run_of(state: RunState, entry: &RunEntry, base: Option<&Arc<Base>>) -> Run {
    let mut run = Run::new(state);
    let RunEntry { image, trail, retained, .. } = entry;
    (run.place, run.logged, run.image) = (image.record, image.stamp, Some(*image));
    (run.trail, run.retained) = (trail.clone(), retained.clone());
    (run.origin, run.base) = (entry.origin, base.cloned());
    run.durability = entry.summary.meta.as_ref().and_then(|meta| meta.durability);
    run
}
