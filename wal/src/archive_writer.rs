//! Writing an archive.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive_file::{
    ArchiveEnd, ArchiveSummary, ArchivedState, END, INDEX, RECORD, STATE, STATE_SLICE, encode_index,
};
use crate::error::WalError;
use crate::frame::{encode_frame, frame_size};
use crate::history_file::GroupId;
use crate::image_file::{FileKind, ImageHeader, ImagePlace};
use crate::lsn::Lsn;
use crate::prepare::create_anew;
use crate::storage::{Buffer, File, Storage};
use crate::store_id::StoreId;

/// Bytes that are gathered before they are handed to the kernel.
const WRITE_SIZE: usize = 1024 * 1024;

/// An archive that is being written: a state, the records behind it, and so on. It has its name once it is
/// [finished](Self::finish); one that is dropped before leaves nothing behind.
#[derive(Debug)]
pub struct ArchiveWriter {
    storage: Arc<dyn Storage>,
    /// Its name in the end.
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    buffer: Buffer,
    /// Offset of the first byte of the buffer.
    offset: u64,
    digest: blake3::Hasher,
    states: Vec<ArchivedState>,
    /// The next slice is the first one of its state.
    begins_state: bool,
    records: u64,
    is_named: bool,
}

impl ArchiveWriter {
    /// Begins an archive that is to lie at `path`, of something that `store` has.
    ///
    /// # Errors
    /// [`WalError::Unsupported`] when something lies there, [`WalError::NoSpace`] when the device is full, [`WalError::Io`] for
    /// anything else it refuses. Nothing has happened.
    pub fn create(
        storage: Arc<dyn Storage>,
        path: &Path,
        store: StoreId,
        created_micros: u64,
    ) -> Result<ArchiveWriter, WalError> {
        check_is_free(&*storage, path)?;
        // Nobody else has that name: another archive may be on its way to the same place.
        let mut temporary = path.as_os_str().to_os_string();
        temporary.push(format!(".{:016x}.tmp", rand::random::<u64>()));
        ArchiveWriter::create_as(storage, path, temporary.into(), (store, created_micros))
    }

    pub(crate) fn create_as(
        storage: Arc<dyn Storage>,
        path: &Path,
        temporary: PathBuf,
        (store, created_micros): (StoreId, u64),
    ) -> Result<ArchiveWriter, WalError> {
        let file = create_anew(&*storage, &temporary)?;
        let (kind, through) = (FileKind::Archive, Lsn::ZERO);
        let header = ImageHeader { kind, store, log: 0, number: 0, through, created_micros };
        let mut buffer = Buffer::with_capacity(WRITE_SIZE);
        buffer.extend_from_slice(&header.encode());
        Ok(ArchiveWriter {
            storage,
            path: path.to_path_buf(),
            temporary,
            file,
            buffer,
            offset: 0,
            digest: blake3::Hasher::new(),
            states: Vec::new(),
            begins_state: false,
            records: 0,
            is_named: false,
        })
    }

    /// What comes next is a state of a group, under this number.
    ///
    /// # Panics
    /// If the numbers do not grow.
    pub fn begin_state(&mut self, group: GroupId, number: u64) {
        let follows =
            self.states.last().is_none_or(|before| before.number < number && before.through <= number);
        assert!(follows && number > 0, "states of an archive come in the order of their numbers");
        self.states.push(ArchivedState { group, number, through: number, offset: self.end() });
        self.begins_state = true;
    }

    /// Adds a slice of the state that was begun last.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); the archive is to be dropped then.
    pub fn append_slice(&mut self, slice: &[u8]) -> Result<(), WalError> {
        let kind = if std::mem::take(&mut self.begins_state) { STATE } else { STATE_SLICE };
        self.add(kind, slice)
    }

    /// Adds a record that leads to this number; nowhere, where the state that follows is what it leads to.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    ///
    /// # Panics
    /// If the numbers do not grow.
    pub fn append_record(&mut self, body: &[u8], leads_to: Option<u64>) -> Result<(), WalError> {
        if let Some(number) = leads_to {
            let state = self.states.last_mut().expect("an archive begins with a state");
            assert!(state.through < number, "records of an archive come in the order of their numbers");
            state.through = number;
        }
        self.records += 1;
        self.add(RECORD, body)
    }

    /// The greatest number that is in it; 0 while there is none.
    pub fn through(&self) -> u64 {
        self.states.last().map_or(0, |state| state.through)
    }

    /// How many bytes it has by now.
    pub fn end(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Ends the archive, makes it durable, and gives it its name.
    ///
    /// # Errors
    /// Those of [`create`](Self::create). Where the file can be neither named durably nor removed it has its name, and is whole.
    pub fn finish(mut self) -> Result<ArchiveSummary, WalError> {
        check_is_free(&*self.storage, &self.path)?;
        self.finish_over().inspect_err(|_| {
            if self.is_named {
                let _ = self.storage.remove(&self.path);
            }
        })
    }

    /// The same, and what has this name already is replaced.
    pub(crate) fn finish_over(&mut self) -> Result<ArchiveSummary, WalError> {
        let body = encode_index(&self.states);
        let index = ImagePlace { offset: self.end(), size: frame_size(body.len()) as u64 };
        self.add(INDEX, &body)?;
        self.flush()?;
        let digest = *self.digest.finalize().as_bytes();
        let (states, records) = (self.states.len() as u64, self.records);
        self.add(END, &ArchiveEnd { states, records, index, digest }.encode())?;
        self.flush()?;
        self.file.sync().map_err(|error| WalError::io(&self.temporary, "sync", error))?;
        let renamed = self.storage.rename(&self.temporary, &self.path);
        renamed.map_err(|error| WalError::io(&self.path, "name", error))?;
        self.is_named = true;
        let dir = dir_of(&self.path);
        self.storage.sync_dir(dir).map_err(|error| WalError::io(dir, "sync", error))?;
        Ok(ArchiveSummary { states, records, bytes: self.offset, digest })
    }

    fn add(&mut self, kind: u8, body: &[u8]) -> Result<(), WalError> {
        encode_frame(&mut self.buffer, kind, body);
        if self.buffer.len() >= WRITE_SIZE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WalError> {
        let written = self.file.write_at(&self.buffer, self.offset);
        written.map_err(|error| WalError::io(&self.temporary, "write", error))?;
        self.digest.update(&self.buffer);
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        if !self.is_named {
            // What stays behind when this fails costs space, and is nobody's.
            let _ = self.storage.remove(&self.temporary);
        }
    }
}

/// The directory of a file.
pub(crate) fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_is_free(storage: &dyn Storage, path: &Path) -> Result<(), WalError> {
    let (dir, name) = (dir_of(path), path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let Some(name) = name else {
        return Err(WalError::Unsupported { reason: format!("{} is no name of a file", path.display()) });
    };
    let entries = storage.entries(dir).map_err(|error| WalError::io(dir, "list", error))?;
    match entries.iter().any(|entry| entry.name == name) {
        false => Ok(()),
        true => {
            let reason = format!("{} is there already: an archive replaces nothing", path.display());
            Err(WalError::Unsupported { reason })
        }
    }
}
