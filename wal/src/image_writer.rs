//! Writing an image file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::WalError;
use crate::frame::encode_frame;
use crate::image_file::{DIRECTORY, END, ImageEnd, ImageHeader, ImagePlace, SLICE, image_path, images_dir};
use crate::little_endian::u32_at;
use crate::prepare::create_anew;
use crate::storage::{Buffer, File, Storage};

/// Bytes that are gathered before they are handed to the kernel.
const WRITE_SIZE: usize = 1024 * 1024;

/// An image file that is being written. It has its name once it is [finished](Self::finish); one that is dropped before
/// leaves nothing behind.
///
/// The sequence of a file that appears whole or not at all: write under another name, sync the file, rename it, sync its
/// directory (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
#[derive(Debug)]
pub struct ImageWriter {
    storage: Arc<dyn Storage>,
    store: PathBuf,
    /// Its name in the end.
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    buffer: Buffer,
    /// Offset of the first byte of the buffer.
    offset: u64,
    frame_count: u64,
    checksum: crc32fast::Hasher,
    is_named: bool,
}

impl ImageWriter {
    /// Begins the image that `header` describes, in the store at `store`.
    ///
    /// # Errors
    /// [`WalError::NoSpace`] when the device is full, [`WalError::Io`] for anything else it refuses. Nothing has happened.
    pub fn create(
        storage: Arc<dyn Storage>,
        store: &Path,
        header: &ImageHeader,
    ) -> Result<ImageWriter, WalError> {
        let dir = images_dir(store);
        storage.create_dir(&dir).map_err(|error| WalError::io(&dir, "create", error))?;
        let path = image_path(store, header.log, header.number);
        let temporary = path.with_extension("tmp");
        let file = create_anew(&*storage, &temporary)?;
        let mut buffer = Buffer::with_capacity(WRITE_SIZE);
        buffer.extend_from_slice(&header.encode());
        Ok(ImageWriter {
            storage,
            store: store.to_path_buf(),
            path,
            temporary,
            file,
            buffer,
            offset: 0,
            frame_count: 0,
            checksum: crc32fast::Hasher::new(),
            is_named: false,
        })
    }

    /// Adds one slice and tells where it lies.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); the image is to be dropped then.
    pub fn append(&mut self, slice: &[u8]) -> Result<ImagePlace, WalError> {
        self.add(SLICE, slice)
    }

    /// Ends the image with its directory, makes it durable, and gives it its name. Returns the size of the file.
    ///
    /// # Errors
    /// Those of [`create`](Self::create). After a failed sync of the directory the file may have its name all the same: it
    /// is whole then.
    pub fn finish(mut self, directory: &[u8]) -> Result<u64, WalError> {
        let directory = self.add(DIRECTORY, directory)?;
        let checksum = self.checksum.clone().finalize();
        let end = ImageEnd { frame_count: self.frame_count, directory, checksum };
        self.add(END, &end.encode())?;
        self.flush()?;
        self.file.sync().map_err(|error| WalError::io(&self.temporary, "sync", error))?;
        let renamed = self.storage.rename(&self.temporary, &self.path);
        renamed.map_err(|error| WalError::io(&self.path, "name", error))?;
        self.is_named = true;
        let sync = |dir: &Path| self.storage.sync_dir(dir).map_err(|error| WalError::io(dir, "sync", error));
        sync(&images_dir(&self.store))?;
        // The directory itself may be new.
        sync(&self.store)?;
        Ok(self.offset)
    }

    fn add(&mut self, kind: u8, body: &[u8]) -> Result<ImagePlace, WalError> {
        let before = self.buffer.len();
        encode_frame(&mut self.buffer, kind, body);
        let frame = &self.buffer[before..];
        let place = ImagePlace { offset: self.offset + before as u64, size: frame.len() as u64 };
        self.checksum.update(&u32_at(frame, 4).to_le_bytes());
        self.frame_count += 1;
        if self.buffer.len() >= WRITE_SIZE {
            self.flush()?;
        }
        Ok(place)
    }

    fn flush(&mut self) -> Result<(), WalError> {
        let written = self.file.write_at(&self.buffer, self.offset);
        written.map_err(|error| WalError::io(&self.temporary, "write", error))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for ImageWriter {
    fn drop(&mut self) {
        if !self.is_named {
            // What stays behind when this fails is replaced by the next image of the number.
            let _ = self.storage.remove(&self.temporary);
        }
    }
}
