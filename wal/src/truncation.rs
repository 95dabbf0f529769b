//! What a new image makes unnecessary: the segments below the one before it, and the images that neither refers to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::directory::StoreDirectory;
use crate::error::WalError;
use crate::image_file::{NamedImage, images_dir, parse_image_name};
use crate::lsn::Lsn;
use crate::manifest::LogEntry;
use crate::segment::{parse_segment_name, segment_name, segment_path, segments_dir};
use crate::source::open_segment;

/// The directory of a store that holds its history: the segments that no recovery needs.
pub(crate) fn history_dir(store: &Path) -> PathBuf {
    store.join("DATA")
}

/// What was put away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutAway {
    /// Segments that went from the log to the history.
    pub retired: u64,
    /// Segments that are gone, from the log or from the history.
    pub removed: u64,
    /// Images that were removed.
    pub images: u64,
}

impl StoreDirectory {
    /// The number of the next image of a log; no other one of this boot has it.
    pub fn next_image(&mut self, log: u32) -> u64 {
        let named = self.slots.current.logs[log as usize].images[0].map_or(0, |image| image.number);
        let begun = &mut self.begun_images[log as usize];
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
        let entry = &mut next.logs[log as usize];
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
        let oldest = self.trim_history(log, kept_from)?;
        let (retired, unneeded) = self.retire_segments(log, kept_from)?;
        let removed = oldest + unneeded;
        Ok(PutAway { retired, removed, images: self.remove_images(log, image, kept)? })
    }

    /// How many segments went into the history, and how many of the log were removed.
    fn retire_segments(&self, log: u32, kept_from: Lsn) -> Result<(u64, u64), WalError> {
        let (from, to) = (segments_dir(&self.path), history_dir(&self.path));
        let oldest = self.slots.current.logs[log as usize].oldest_segment;
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
        let names = self.names(dir, |name| parse_segment_name(name).is_some_and(|(of, _)| of == log))?;
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| parse_segment_name(name)).map(|(_, number)| number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn remove_images(&self, log: u32, image: u64, kept: &BTreeSet<u64>) -> Result<u64, WalError> {
        let dir = images_dir(&self.path);
        let named = self.slots.current.logs[log as usize].images;
        let is_needed = |number| {
            number >= image
                || kept.contains(&number)
                || named.iter().flatten().any(|named| named.number == number)
        };
        let names = self.names(&dir, |name| {
            parse_image_name(name).is_some_and(|(of, number)| of == log && !is_needed(number))
        })?;
        for name in &names {
            let path = dir.join(name);
            self.storage.remove(&path).map_err(|error| WalError::io(&path, "remove", error))?;
        }
        if !names.is_empty() {
            self.sync_dir(&dir)?;
        }
        Ok(names.len() as u64)
    }

    /// The names in a directory, which may be missing, that `is_wanted` wants.
    fn names(&self, dir: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, WalError> {
        match self.storage.entries(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(WalError::io(dir, "list", error)),
            Ok(entries) => {
                Ok(entries.into_iter().map(|entry| entry.name).filter(|name| is_wanted(name)).collect())
            }
        }
    }
}
