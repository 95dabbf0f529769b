//! What a new image makes unnecessary: the segments below the one before it, and the images that neither refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::compaction::Compacted;
use crate::directory::StoreDirectory;
use crate::error::WalError;
use crate::history::numbers_in;
use crate::image_file::{FileKind, NamedImage, history_dir, images_dir};
use crate::image_reader::ImageReader;
use crate::lsn::Lsn;
use crate::manifest::LogEntry;
use crate::segment::{parse_numbered_name, parse_segment_name, segment_name, segment_path, segments_dir};
use crate::source::open_segment;

/// What was put away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutAway {
    /// Segments that went from the log to the history.
    pub retired: u64,
    /// Segments that are gone, from the log or from the history, and files of sorted records.
    pub removed: u64,
    /// Images that were removed.
    pub images: u64,
}

impl StoreDirectory {
    /// The number of the next image of a log; no other one of this boot has it.
    pub fn next_image(&mut self, log: u32) -> u64 {
        let named = self.slots.current.entry(log).images[0].map_or(0, |image| image.number);
        let begun = &mut self.begun_images[self.slots.current.index_of(log)];
        *begun = named.max(*begun) + 1;
        *begun
    }

    /// Names a finished image as the newest of log `log`. `before` is the number of the one to fall back to, which
    /// recovery began with or which was named last; the log reaches back to that one from now on, or to its first record
    /// where there is none. The log is durable up to `durable_through`, and everything in the image lies below.
    ///
    /// # Errors
    /// [`WalError::Unsupported`] when the image is not newer than all that are named, or `before` is not one of them where
    /// the log needs one; [`WalError::Corrupt`] and [`WalError::Io`] for a segment that cannot be read: nothing has changed.
    /// A failed update of MANIFEST is final ([`WalError::Failed`] from then on): what its slot holds is unknown.
    pub fn name_image(
        &mut self,
        log: u32,
        image: NamedImage,
        before: Option<u64>,
        durable_through: Lsn,
    ) -> Result<(), WalError> {
        self.check_writable()?;
        let mut next = self.slots.current.clone();
        let entry = next.entry_mut(log);
        let named: Vec<NamedImage> = entry.images.into_iter().flatten().collect();
        let wanted = before;
        let before = named.iter().copied().find(|image| Some(image.number) == wanted);
        // Whoever had it written may have been replaced meanwhile, and its successor have named another one.
        let follows = named.first().is_none_or(|newest| newest.number < image.number)
            && before.map(|image| image.number) == wanted
            && before.is_none_or(|before| before.through <= image.through)
            && image.through <= durable_through
            && (before.is_some() || named.len() < 2);
        if !follows {
            let number = image.number;
            let reason =
                format!("image {number} of log {log} does not follow those that are named: {named:?}");
            return Err(WalError::Unsupported { reason });
        }
        entry.images = [Some(image), before];
        entry.durable_through = entry.durable_through.max(durable_through);
        if let Some(before) = before {
            self.truncate(log, entry, before.through)?;
        }
        self.write(next)
    }

    /// Moves the beginning of a log behind every segment that ends at `through` or before.
    fn truncate(&self, log: u32, entry: &mut LogEntry, through: Lsn) -> Result<(), WalError> {
        let source = self.log_source(log);
        while entry.oldest_segment < entry.newest_segment {
            let path = segment_path(&self.path, log, entry.oldest_segment);
            let (header, _) = open_segment(&source, &path, entry.oldest_segment)?;
            if header.end_lsn() > through {
                break;
            }
            entry.oldest_segment += 1;
            entry.oldest_first_lsn = header.end_lsn();
            entry.oldest_chain = 0;
        }
        Ok(())
    }

    /// Puts away what no recovery needs: segments of a log go into the history, or are removed where they end at
    /// `kept_from` or before; so are the oldest ones of the history. Removes all images in front of `image` but those in
    /// `kept`, which it and the one before it refer to, and those that are named. However late it is called, what came
    /// behind that image refers to nothing else in front of it. Called again after a crash it goes on where it was interrupted.
    ///
    /// # Errors
    /// [`WalError::Io`], and [`WalError::Corrupt`] for a segment that cannot be read. What is left over costs space and
    /// nothing else; the next call tries again.
    pub fn put_away(
        &self,
        log: u32,
        image: u64,
        kept: &BTreeSet<u64>,
        kept_from: Lsn,
    ) -> Result<PutAway, WalError> {
        self.check_writable()?;
        // The oldest first, so that what is left has no gap wherever this is interrupted.
        let sorted = self.trim_sorted(log, kept_from)?;
        let oldest = self.trim_history(log, kept_from)?;
        let (retired, unneeded) = self.retire_segments(log, kept_from)?;
        let removed = sorted + oldest + unneeded;
        Ok(PutAway { retired, removed, images: self.remove_images(log, image, kept)? })
    }

    /// The files of the store but its lock and MANIFEST, by their names alone, and their sizes in bytes: a segment that goes into
    /// the history stays the same.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn usage(&self) -> Result<BTreeMap<PathBuf, u64>, WalError> {
        let mut usage = BTreeMap::new();
        for dir in [segments_dir(&self.path), images_dir(&self.path), history_dir(&self.path)] {
            match self.storage.entries(&dir) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(WalError::io(&dir, "list", error)),
                Ok(entries) => usage.extend(entries.into_iter().map(|entry| (entry.name.into(), entry.size))),
            }
        }
        Ok(usage)
    }

    /// Gives the file of a compaction its name, and removes what was sorted into it, or what nobody needs.
    ///
    /// # Errors
    /// [`WalError::Io`]. What is left over costs space and nothing else; the next [`put_away`](Self::put_away) tries again.
    pub fn take_compacted(&self, log: u32, compacted: Compacted) -> Result<PutAway, WalError> {
        self.check_writable()?;
        let Compacted { through, mut file, .. } = compacted;
        if let Some(file) = &mut file {
            file.name()?;
        }
        let kept_file = file.is_some().then_some(through);
        Ok(PutAway { removed: self.remove_sorted(log, through, kept_file)?, ..PutAway::default() })
    }

    /// Removes all files of sorted records but one, and all segments up to one, the oldest first. How many.
    fn remove_sorted(&self, log: u32, through: u64, kept_file: Option<u64>) -> Result<u64, WalError> {
        let mut removed = 0;
        let history = history_dir(&self.path);
        let files = self.numbers_in(&history, log, |name| FileKind::History.parse_name(name))?;
        let files = files.into_iter().filter(|number| Some(*number) != kept_file && *number <= through);
        let files: Vec<_> = files.map(|number| FileKind::History.path(&self.path, log, number)).collect();
        removed += self.remove_all(&history, &files)?;
        for dir in [history, segments_dir(&self.path)] {
            let segments = self.segments_in(&dir, log)?.into_iter().take_while(|number| *number <= through);
            let segments: Vec<_> = segments.map(|number| dir.join(segment_name(log, number))).collect();
            removed += self.remove_all(&dir, &segments)?;
        }
        Ok(removed)
    }

    /// Removes these files of a directory, in order. How many.
    pub(crate) fn remove_all(&self, dir: &Path, paths: &[PathBuf]) -> Result<u64, WalError> {
        for path in paths {
            self.storage.remove(path).map_err(|error| WalError::io(path, "remove", error))?;
        }
        if !paths.is_empty() {
            self.sync_dir(dir)?;
        }
        Ok(paths.len() as u64)
    }

    /// Removes what the newest file of sorted records stands for, and that too where all in it ends at `kept_from` or before.
    /// How many.
    fn trim_sorted(&self, log: u32, kept_from: Lsn) -> Result<u64, WalError> {
        let dir = history_dir(&self.path);
        let files = self.numbers_in(&dir, log, |name| FileKind::History.parse_name(name))?;
        let Some(newest) = files.last().copied() else { return Ok(0) };
        let source = self.log_source(log);
        let file = (FileKind::History, log, newest);
        let reader = match ImageReader::open(&*self.storage, &self.path, source.store, file) {
            // It stays, and whoever reads in it is told of the damage: what it stands for is not known.
            Err(WalError::Corrupt { .. }) => return Ok(0),
            opened => opened?,
        };
        let is_needed = reader.header().through > kept_from;
        self.remove_sorted(log, newest, is_needed.then_some(newest))
    }

    /// How many segments went into the history, and how many of the log were removed.
    fn retire_segments(&self, log: u32, kept_from: Lsn) -> Result<(u64, u64), WalError> {
        let (from, to) = (segments_dir(&self.path), history_dir(&self.path));
        let oldest = self.slots.current.entry(log).oldest_segment;
        let segments = self.segments_in(&from, log)?;
        let mut put_away: Vec<u64> = segments.into_iter().take_while(|number| *number < oldest).collect();
        if put_away.is_empty() {
            return Ok((0, 0));
        }
        let removed = self.remove_segments(&from, log, &put_away, kept_from)?;
        put_away.drain(..removed);
        if !put_away.is_empty() {
            self.storage.create_dir(&to).map_err(|error| WalError::io(&to, "create", error))?;
            self.sync_dir(&self.path)?;
        }
        for number in &put_away {
            let name = segment_name(log, *number);
            let path = from.join(&name);
            let moved = self.storage.rename(&path, &to.join(&name));
            moved.map_err(|error| WalError::io(&path, "move into the history", error))?;
        }
        if !put_away.is_empty() {
            // The new names first: a segment may have two names for a while, and always has one.
            self.sync_dir(&to)?;
        }
        self.sync_dir(&from)?;
        Ok((put_away.len() as u64, removed as u64))
    }

    /// Removes the oldest segments of the history. How many.
    fn trim_history(&self, log: u32, kept_from: Lsn) -> Result<u64, WalError> {
        let dir = history_dir(&self.path);
        let removed = self.remove_segments(&dir, log, &self.segments_in(&dir, log)?, kept_from)?;
        if removed > 0 {
            self.sync_dir(&dir)?;
        }
        Ok(removed as u64)
    }

    /// Removes those of the oldest of these segments that end at `kept_from` or before. How many.
    fn remove_segments(
        &self,
        dir: &Path,
        log: u32,
        numbers: &[u64],
        kept_from: Lsn,
    ) -> Result<usize, WalError> {
        let source = self.log_source(log);
        for (index, number) in numbers.iter().enumerate() {
            let path = dir.join(segment_name(log, *number));
            let (header, _) = open_segment(&source, &path, *number)?;
            if header.end_lsn() > kept_from {
                return Ok(index);
            }
            self.storage.remove(&path).map_err(|error| WalError::io(&path, "remove", error))?;
        }
        Ok(numbers.len())
    }

    /// The numbers of the segments of a log in a directory, which may be missing, in order.
    fn segments_in(&self, dir: &Path, log: u32) -> Result<Vec<u64>, WalError> {
        self.numbers_in(dir, log, parse_segment_name)
    }

    /// The numbers of the files of a log in a directory, which may be missing, with names of a kind, in order.
    fn numbers_in(
        &self,
        dir: &Path,
        log: u32,
        parse: impl Fn(&str) -> Option<(u32, u64)>,
    ) -> Result<Vec<u64>, WalError> {
        let mut numbers = numbers_in(&self.log_source(log), dir, parse)?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn remove_images(&self, log: u32, image: u64, kept: &BTreeSet<u64>) -> Result<u64, WalError> {
        let dir = images_dir(&self.path);
        let named = self.slots.current.entry(log).images;
        let is_needed = |number| {
            number >= image
                || kept.contains(&number)
                || named.iter().flatten().any(|named| named.number == number)
        };
        let images = self.numbers_in(&dir, log, |name| FileKind::Image.parse_name(name))?;
        let images = images.into_iter().filter(|number| !is_needed(*number));
        let mut paths: Vec<_> = images.map(|number| FileKind::Image.path(&self.path, log, number)).collect();
        let count = paths.len() as u64;
        // What was never finished and could not be removed then.
        let unfinished =
            self.numbers_in(&dir, log, |name| parse_numbered_name(name.strip_suffix(".tmp")?))?;
        let unfinished = unfinished.into_iter().filter(|number| *number < image);
        paths.extend(
            unfinished.map(|number| FileKind::Image.path(&self.path, log, number).with_extension("tmp")),
        );
        self.remove_all(&dir, &paths)?;
        Ok(count)
    }
}
