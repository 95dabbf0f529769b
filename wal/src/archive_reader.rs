//! Reading an archive, as a whole or from one of its states on; and taking one into a store.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive_file::{
    ArchiveEnd, ArchiveSummary, ArchivedState, END, END_SIZE, INDEX, RECORD, STATE, STATE_SLICE, decode_index,
};
use crate::archive_writer::{ArchiveWriter, dir_of};
use crate::error::WalError;
use crate::frame::decode_frame;
use crate::history::numbers_in;
use crate::image_file::{BadImage, FileKind, IMAGE_FORMAT_VERSION, ImageHeader, history_dir};
use crate::image_reader::read_frame;
use crate::prepare::create_anew;
use crate::reader::SegmentReader;
use crate::source::LogSource;
use crate::storage::{Access, BLOCK_SIZE, Buffer, File, Storage};

/// Bytes in front of the first frame.
const FRAMES_BEGIN: u64 = BLOCK_SIZE as u64;
/// Bytes that are copied at once.
const PIECE_SIZE: usize = 1 << 20;

/// One thing in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived<'a> {
    /// A slice of a state; whether it is the first.
    Slice(&'a [u8], bool),
    /// A record.
    Record(&'a [u8]),
}

/// An archive that is there, and begins and ends as one does. What lies between is checked when it is read.
#[derive(Debug)]
pub struct ArchiveReader {
    file: Arc<dyn File>,
    path: PathBuf,
    size: u64,
    header: ImageHeader,
    end: ArchiveEnd,
    states: Vec<ArchivedState>,
}

impl ArchiveReader {
    /// Where the first frame lies.
    pub const BEGIN: u64 = FRAMES_BEGIN;

    /// Opens the archive at `path`.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when the file is not what it should be; [`WalError::NewerFormat`], [`WalError::UnknownCodec`];
    /// [`WalError::Io`], also when it is missing.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<ArchiveReader, WalError> {
        let read_error = |error| WalError::io(path, "read", error);
        let file = storage.open(path, Access::Read).map_err(|error| WalError::io(path, "open", error))?;
        let size = file.size().map_err(read_error)?;
        let mut block = vec![0; BLOCK_SIZE];
        let read = file.read_at(&mut block, 0).map_err(read_error)?;
        let header = ImageHeader::decode(FileKind::Archive, &block[..read]).map_err(|bad| match bad {
            BadImage::Newer(found) => {
                let supported = IMAGE_FORMAT_VERSION;
                WalError::NewerFormat { path: path.to_path_buf(), found, supported }
            }
            BadImage::UnknownCodec(found) => WalError::UnknownCodec { path: path.to_path_buf(), found },
            BadImage::Damaged(reason) => WalError::corrupt(path, 0, reason),
        })?;
        let mut reader = SegmentReader::new(Arc::clone(&file), size);
        let Some(at) = size.checked_sub(END_SIZE).filter(|at| *at >= FRAMES_BEGIN) else {
            return Err(WalError::corrupt(path, 0, format!("{size} bytes are too few for an archive")));
        };
        let bytes = reader.bytes(at, END_SIZE as usize).map_err(read_error)?;
        let end = body_of(bytes, END, END_SIZE).and_then(ArchiveEnd::decode);
        let end = end.map_err(|reason| WalError::corrupt(path, at, reason))?;
        let index = end.index;
        if index.offset < FRAMES_BEGIN || index.offset.checked_add(index.size) != Some(at) {
            return Err(WalError::corrupt(path, at, "the index does not lie in front of the end"));
        }
        let bytes = reader.bytes(index.offset, index.size as usize).map_err(read_error)?;
        let states = body_of(bytes, INDEX, index.size);
        let states = states.and_then(|body| decode_index(body, FRAMES_BEGIN, index.offset));
        let states = states.map_err(|reason| WalError::corrupt(path, index.offset, reason))?;
        if states.len() as u64 != end.states {
            return Err(WalError::corrupt(path, at, "the end counts other states than the index has"));
        }
        Ok(ArchiveReader { file, path: path.to_path_buf(), size, header, end, states })
    }

    /// The states in it, in the order of their numbers; there is one at least.
    pub fn states(&self) -> &[ArchivedState] {
        &self.states
    }

    /// What it says of itself.
    pub fn summary(&self) -> ArchiveSummary {
        let ArchiveEnd { states, records, digest, .. } = self.end;
        ArchiveSummary { states, records, bytes: self.size, digest }
    }

    /// The state from which something with this number is made, if records lead from there to it.
    pub fn state_before(&self, number: u64) -> Option<ArchivedState> {
        let behind = self.states.partition_point(|state| state.number <= number);
        let state = *self.states[..behind].last()?;
        (number <= state.through).then_some(state)
    }

    /// Hands over what lies from `offset` on, with its offset, for as long as `take` wants more.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when no frame begins there, for one that is damaged, and for what `take` refuses; [`WalError::Io`].
    pub fn read_from(
        &self,
        offset: u64,
        take: &mut dyn FnMut(u64, Archived<'_>) -> Result<bool, String>,
    ) -> Result<(), WalError> {
        self.read(offset, None, take)
    }

    /// Hands over everything and checks every sum, the digest at last.
    ///
    /// # Errors
    /// As [`read_from`](Self::read_from), and [`WalError::Corrupt`] when the digest or what the index says is not that of what
    /// lies there.
    pub fn read_all(
        &self,
        take: &mut dyn FnMut(u64, Archived<'_>) -> Result<(), String>,
    ) -> Result<(), WalError> {
        let (mut digest, mut states, mut records) = (blake3::Hasher::new(), self.states.iter(), 0);
        let mut block = vec![0; BLOCK_SIZE];
        let read = self.file.read_at(&mut block, 0).map_err(|error| self.io(error))?;
        digest.update(&block[..read]);
        self.read(FRAMES_BEGIN, Some(&mut digest), &mut |offset, archived| {
            match archived {
                Archived::Slice(_, true) if states.next().is_none_or(|state| state.offset != offset) => {
                    return Err("the index names no state there".to_string());
                }
                Archived::Record(_) => records += 1,
                Archived::Slice(..) => {}
            }
            take(offset, archived).map(|()| true)
        })?;
        let index = self.frame(&mut self.reader(), self.end.index.offset, self.size - END_SIZE)?;
        digest.update(&index);
        if states.next().is_some() || records != self.end.records {
            return Err(self.corrupt(self.end.index.offset, "states or records are missing"));
        }
        match digest.finalize().as_bytes() == &self.end.digest {
            true => Ok(()),
            false => Err(self.corrupt(self.size - END_SIZE, "the digest is that of another content")),
        }
    }

    fn read(
        &self,
        mut offset: u64,
        mut digest: Option<&mut blake3::Hasher>,
        take: &mut dyn FnMut(u64, Archived<'_>) -> Result<bool, String>,
    ) -> Result<(), WalError> {
        let (mut reader, end) = (self.reader(), self.end.index.offset);
        while offset < end {
            let bytes = self.frame(&mut reader, offset, end)?;
            let frame = decode_frame(&bytes).map_err(|reason| self.corrupt(offset, reason))?;
            let archived = match frame.kind {
                STATE => Archived::Slice(frame.body, true),
                STATE_SLICE => Archived::Slice(frame.body, false),
                RECORD => Archived::Record(frame.body),
                kind => return Err(self.corrupt(offset, format!("a frame of kind {kind} is out of place"))),
            };
            if let Some(digest) = &mut digest {
                digest.update(&bytes);
            }
            if !take(offset, archived).map_err(|reason| self.corrupt(offset, reason))? {
                break;
            }
            offset += frame.size as u64;
        }
        Ok(())
    }

    fn reader(&self) -> SegmentReader {
        SegmentReader::new(Arc::clone(&self.file), self.size)
    }

    fn frame(&self, reader: &mut SegmentReader, offset: u64, end: u64) -> Result<Vec<u8>, WalError> {
        read_frame(&self.path, reader, offset, end)
    }

    fn io(&self, error: io::Error) -> WalError {
        WalError::io(&self.path, "read", error)
    }

    /// That what lies at `offset` is not what was written there.
    pub fn corrupt(&self, offset: u64, reason: impl Into<String>) -> WalError {
        WalError::corrupt(&self.path, offset, reason)
    }
}

impl LogSource {
    /// The file system of the store.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Begins an archive of something in this log.
    ///
    /// # Errors
    /// Those of [`ArchiveWriter::create`].
    pub fn create_archive(&self, path: &Path, created_micros: u64) -> Result<ArchiveWriter, WalError> {
        ArchiveWriter::create(Arc::clone(&self.storage), path, self.store, created_micros)
    }

    /// Opens archive `number` of this log.
    ///
    /// # Errors
    /// Those of [`ArchiveReader::open`], and [`WalError::Corrupt`] when it is missing.
    pub fn open_archive(&self, number: u64) -> Result<ArchiveReader, WalError> {
        let path = self.archive_path(number);
        ArchiveReader::open(&*self.storage, &path).map_err(|error| match error {
            WalError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                WalError::corrupt(&path, 0, "the archive is missing")
            }
            error => error,
        })
    }

    /// The archives of this log.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn archives(&self) -> Result<BTreeSet<u64>, WalError> {
        let dir = history_dir(&self.store_path);
        Ok(numbers_in(self, &dir, |name| FileKind::Archive.parse_name(name))?.into_iter().collect())
    }

    /// Takes a copy of an archive into this log, durably; no other one ever has its number, which is told. What is copied is
    /// compared with what the archive says of itself.
    ///
    /// # Errors
    /// [`WalError::NoSpace`], [`WalError::Io`], and [`WalError::Corrupt`] for what is not as it was written. Nothing is there then.
    pub fn adopt_archive(&self, archive: &ArchiveReader) -> Result<u64, WalError> {
        let number = (rand::random::<u64>() >> 1).max(1);
        self.take_archive(archive, number).map(|()| number)
    }

    /// The same of an archive of another log of the store, under the number it has.
    ///
    /// # Errors
    /// Those of [`open_archive`](Self::open_archive) and [`adopt_archive`](Self::adopt_archive).
    pub fn move_archive(&self, from: &LogSource, number: u64) -> Result<(), WalError> {
        self.take_archive(&from.open_archive(number)?, number)
    }

    fn take_archive(&self, archive: &ArchiveReader, number: u64) -> Result<(), WalError> {
        let (dir, path) = (history_dir(&self.store_path), self.archive_path(number));
        let temporary = path.with_extension(UNFINISHED);
        self.storage.create_dir(&dir).map_err(|error| WalError::io(&dir, "create", error))?;
        let sync = |dir: &Path| self.storage.sync_dir(dir).map_err(|error| WalError::io(dir, "sync", error));
        let adopted = self.copy_archive(archive, &temporary).and_then(|()| {
            let named = self.storage.rename(&temporary, &path);
            named.map_err(|error| WalError::io(&path, "name", error))?;
            sync(&dir)?;
            // The directory itself may be new.
            sync(&self.store_path)
        });
        adopted.inspect_err(|_| {
            // What stays behind when this fails too is removed by a later opening.
            let _ = self.storage.remove(&temporary);
            let _ = self.storage.remove(&path);
        })
    }

    fn copy_archive(&self, archive: &ArchiveReader, to: &Path) -> Result<(), WalError> {
        let into = create_anew(&*self.storage, to)?;
        let write_error = |error| WalError::io(to, "write", error);
        let mut digest = blake3::Hasher::new();
        let mut piece = Buffer::default();
        piece.resize(PIECE_SIZE);
        let (mut at, digested) = (0, archive.size - END_SIZE);
        while at < archive.size {
            let wanted = if at < digested { digested - at } else { archive.size - at };
            let wanted = wanted.min(PIECE_SIZE as u64) as usize;
            let read = archive.file.read_at(&mut piece[..wanted], at).map_err(|error| archive.io(error))?;
            if read < wanted {
                return Err(archive.corrupt(at, "the file ends before it should"));
            }
            match at < digested {
                true => drop(digest.update(&piece[..wanted])),
                false if body_of(&piece[..wanted], END, END_SIZE) == Ok(&archive.end.encode()) => {}
                false => return Err(archive.corrupt(at, "it was changed while it was copied")),
            }
            into.write_at(&piece[..wanted], at).map_err(write_error)?;
            at += wanted as u64;
        }
        if digest.finalize().as_bytes() != &archive.end.digest {
            return Err(archive.corrupt(digested, "the digest is that of another content"));
        }
        into.sync().map_err(|error| WalError::io(to, "sync", error))
    }

    /// Begins to write an archive of this log anew, of which all that was in it keeps its number.
    ///
    /// # Errors
    /// Those of [`ArchiveWriter::create`].
    pub fn rewrite_archive(&self, number: u64, before: &ArchiveReader) -> Result<ArchiveWriter, WalError> {
        let path = self.archive_path(number);
        let header = (before.header.store, before.header.created_micros);
        ArchiveWriter::create_as(Arc::clone(&self.storage), &path, path.with_extension(UNFINISHED), header)
    }

    /// Has an archive that was written anew take the place of what was there.
    ///
    /// # Errors
    /// Those of [`ArchiveWriter::finish`].
    pub fn replace_archive(&self, mut rewritten: ArchiveWriter) -> Result<ArchiveSummary, WalError> {
        rewritten.finish_over()
    }

    /// Removes an archive of this log, if it is there.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn remove_archive(&self, number: u64) -> Result<(), WalError> {
        self.remove_file(&self.archive_path(number))
    }

    /// Removes what copies of archives that were interrupted left behind. Nobody takes one in meanwhile.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn remove_unfinished_archives(&self) -> Result<(), WalError> {
        let dir = history_dir(&self.store_path);
        let parse = |name: &str| {
            let name = name.strip_suffix(UNFINISHED)?.strip_suffix('.')?;
            FileKind::Archive.parse_name(&format!("{name}.arc"))
        };
        let numbers = numbers_in(self, &dir, parse)?;
        let unfinished = |number| self.archive_path(number).with_extension(UNFINISHED);
        numbers.into_iter().try_for_each(|number| self.remove_file(&unfinished(number)))
    }

    fn remove_file(&self, path: &Path) -> Result<(), WalError> {
        match self.storage.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(|error| WalError::io(path, "remove", error))?,
        }
        let dir = dir_of(path);
        self.storage.sync_dir(dir).map_err(|error| WalError::io(dir, "sync", error))
    }

    fn archive_path(&self, number: u64) -> PathBuf {
        FileKind::Archive.path(&self.store_path, self.log, number)
    }
}

/// What the name of an archive ends with that is not whole yet.
const UNFINISHED: &str = "new";

/// The body of the frame that `bytes` are, all of them, if it is of this kind.
fn body_of(bytes: &[u8], kind: u8, size: u64) -> Result<&[u8], String> {
    let frame = decode_frame(bytes)?;
    if frame.kind != kind || frame.size as u64 != size {
        return Err(format!("a frame of kind {} and {} bytes, not of kind {kind}", frame.kind, frame.size));
    }
    Ok(frame.body)
}
