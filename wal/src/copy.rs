//! A copy of a store, made while the store is written.
//!
//! It has the images of every log that the store has, and its segments up to a place behind everything that is in those: the
//! segment in which that lies is cut there, and MANIFEST says that the store was closed at this place. Opening the copy is all
//! there is to restoring it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::creation::{create_store_dir, sync_parent, write_first_manifest};
use crate::directory::StoreDirectory;
use crate::error::WalError;
use crate::history::{HistoryFiles, open_whole};
use crate::image_file::{FileKind, history_dir, images_dir};
use crate::lsn::Lsn;
use crate::manifest::{LogEntry, Manifest};
use crate::prepare::write_zeros;
use crate::scan::position_behind;
use crate::segment::{SEGMENT_HEADER_SIZE, segment_name, segment_path, segments_dir};
use crate::source::{LiveSegment, LogSource, open_for_reading, open_segments};
use crate::storage::{Access, Buffer, Storage};

/// Bytes that are copied at once.
const PIECE_SIZE: usize = 1 << 20;

/// A store as it is at one moment, for who copies it. Whoever has one sees to it that nothing is put away meanwhile.
#[derive(Clone, Debug)]
pub struct StoreSource {
    manifest: Manifest,
    logs: Vec<LogSource>,
}

/// What a log needs beside its records, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeededFiles {
    /// The files that its images refer to, their own among them.
    pub images: BTreeSet<u64>,
    /// The archives that they refer to.
    pub archives: BTreeSet<u64>,
}

/// A file of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedFile {
    /// Where it lies in the store.
    pub path: PathBuf,
    /// Where it lies in the copy, below its directory.
    pub name: PathBuf,
    /// How many of its bytes are copied; what follows is zeros.
    pub copied: u64,
    /// How many bytes it has.
    pub size: u64,
}

impl StoreDirectory {
    /// The store as it is now.
    pub fn store_source(&self) -> StoreSource {
        let logs = self.logs().map(|log| self.log_source(log)).collect();
        StoreSource { manifest: self.slots.current.clone(), logs }
    }
}

impl StoreSource {
    /// How often MANIFEST was updated by then.
    pub fn generation(&self) -> u64 {
        self.manifest.generation
    }

    /// Its logs.
    pub fn logs(&self) -> &[LogSource] {
        &self.logs
    }

    /// The files of a copy, MANIFEST left out: that is written anew. By log, `needed` is what its images refer to.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] for a segment or an image that is not what it should be, [`WalError::Io`].
    pub fn files(&self, needed: &[NeededFiles]) -> Result<Vec<CopiedFile>, WalError> {
        self.plan(needed).map(|(files, _)| files)
    }

    /// The files of a copy, and what its MANIFEST says of the logs.
    fn plan(&self, needed: &[NeededFiles]) -> Result<(Vec<CopiedFile>, Vec<LogEntry>), WalError> {
        let (mut files, mut entries) = (Vec::new(), Vec::new());
        for (source, NeededFiles { images, archives }) in self.logs.iter().zip(needed) {
            for (kind, numbers) in [(FileKind::Image, images), (FileKind::Archive, archives)] {
                for number in numbers {
                    files.push(whole(source, &kind.path(&source.store_path, source.log, *number))?);
                }
            }
            entries.push(cut_log(source, &mut files)?);
        }
        Ok((files, entries))
    }

    /// Copies the store to a directory that is missing or empty, durably. Returns how many bytes.
    ///
    /// # Errors
    /// [`WalError::Unsupported`] when something is there already; [`WalError::NoSpace`], [`WalError::Io`],
    /// [`WalError::Corrupt`]: what has been copied by then is no store, and is refused as one.
    pub fn copy_to(&self, needed: &[NeededFiles], to: &Path) -> Result<u64, WalError> {
        let storage = Arc::clone(&self.logs.first().expect("a store has a log").storage);
        if storage.entries(to).is_ok_and(|entries| !entries.is_empty()) {
            let reason = format!("{} is not empty: a copy is made where nothing is", to.display());
            return Err(WalError::Unsupported { reason });
        }
        create_store_dir(&*storage, to)?;
        let io_error = |path: &Path, action, error| WalError::io(path, action, error);
        let sync_dir = |dir: &Path| storage.sync_dir(dir).map_err(|error| io_error(dir, "sync", error));
        // Images first: a directory that has them and no MANIFEST is nothing that a store is created in.
        let dirs = [images_dir(to), history_dir(to), segments_dir(to)];
        for dir in &dirs {
            storage.create_dir(dir).map_err(|error| io_error(dir, "create", error))?;
            sync_dir(to)?;
        }
        let (files, logs) = self.plan(needed)?;
        let mut bytes = 0;
        for file in files {
            copy_file(&*storage, &file, &to.join(&file.name))?;
            bytes += file.size;
        }
        dirs.iter().try_for_each(|dir| sync_dir(dir))?;
        sync_parent(&*storage, to)?;
        sync_dir(to)?;
        let manifest = Manifest { generation: 1, is_clean: true, logs, ..self.manifest.clone() };
        write_first_manifest(&*storage, to, manifest)?;
        sync_dir(to)?;
        Ok(bytes)
    }
}

/// Where the copy of a log ends, and its chain there. The image of a run may have been made behind the place that the image of the
/// log stands for, but lies below what the log was durable to when it was named.
fn end_of(source: &LogSource) -> Result<(Lsn, u64), WalError> {
    match source.images().next() {
        Some(image) => position_behind(source, &open_segments(source)?, &image, source.entry.durable_through),
        None => Ok((Lsn::ZERO, 0)),
    }
}

/// Adds the segments of a log up to where the copy ends, and tells what MANIFEST of the copy says of it: it was closed there.
fn cut_log(source: &LogSource, files: &mut Vec<CopiedFile>) -> Result<LogEntry, WalError> {
    let (through, chain) = end_of(source)?;
    let mut entry = source.entry.clone();
    (entry.durable_through, entry.end_lsn, entry.end_chain) = (through, through, chain);
    let HistoryFiles { sorted, segments: numbers } = HistoryFiles::list(source)?;
    if let Some(number) = sorted {
        files.push(whole(source, &FileKind::History.path(&source.store_path, source.log, number))?);
    }
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last())
        && last - first + 1 != numbers.len() as u64
    {
        let reason = format!("of segments {first} to {last} of log {} some are missing", source.log);
        return Err(WalError::corrupt(&source.store_path, 0, reason));
    }
    for number in numbers {
        let segment = open_whole(source, number)?;
        let LiveSegment { header, path, .. } = segment.ok_or_else(|| {
            WalError::corrupt(
                &segment_path(&source.store_path, source.log, number),
                0,
                "the segment is missing",
            )
        })?;
        if header.first_lsn >= through && number > source.entry.oldest_segment {
            break;
        }
        let is_live = number >= source.entry.oldest_segment;
        let to = if is_live { segments_dir(Path::new("")) } else { history_dir(Path::new("")) };
        let copied = (through.0 - header.first_lsn.0).clamp(SEGMENT_HEADER_SIZE, header.size);
        let name = to.join(segment_name(source.log, number));
        files.push(CopiedFile { path, name, copied, size: header.size });
        (entry.newest_segment, entry.newest_first_lsn, entry.newest_size) =
            (number, header.first_lsn, header.size);
    }
    Ok(entry)
}

fn whole(source: &LogSource, path: &Path) -> Result<CopiedFile, WalError> {
    let file = source.storage.open(path, Access::Read);
    let size = file.and_then(|file| file.size()).map_err(|error| WalError::io(path, "open", error))?;
    let name = path.strip_prefix(&source.store_path).expect("a file of a store lies in it").to_path_buf();
    Ok(CopiedFile { path: path.to_path_buf(), name, copied: size, size })
}

fn copy_file(storage: &dyn Storage, file: &CopiedFile, to: &Path) -> Result<(), WalError> {
    let read_error = |error| WalError::io(&file.path, "read", error);
    let write_error = |error| WalError::io(to, "write", error);
    let from = open_for_reading(storage, &file.path).map_err(read_error)?;
    let into = storage.open(to, Access::Create).map_err(write_error)?;
    let mut piece = Buffer::default();
    piece.resize(PIECE_SIZE);
    let mut at = 0;
    while at < file.copied {
        let read = from.read_at(&mut piece, at).map_err(read_error)? as u64;
        if read == 0 {
            return Err(WalError::corrupt(&file.path, at, "the file ends before it should"));
        }
        let size = read.min(file.copied - at);
        into.write_at(&piece[..size as usize], at).map_err(write_error)?;
        at += size;
    }
    // Segments are written in place, so they have no holes.
    write_zeros(&*into, at, file.size).map_err(write_error)?;
    into.sync().map_err(write_error)
}
