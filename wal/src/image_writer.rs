//! Writing an image file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::WalError;
use crate::frame::encode_frame;
use crate::image_file::{END, ImageCursor, ImageEnd, ImageHeader, ImagePlace, PAGE, PAGE_LINK_SIZE, SLICE};
use crate::image_reader::ImageReader;
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
    cursor: ImageCursor,
    last_page: ImagePlace,
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
        let dir = header.kind.dir(store);
        storage.create_dir(&dir).map_err(|error| WalError::io(&dir, "create", error))?;
        let path = header.kind.path(store, header.log, header.number);
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
            cursor: ImageCursor::new(),
            last_page: ImagePlace::default(),
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
        let place = self.cursor.slice(slice.len());
        self.add(SLICE, slice)?;
        Ok(place)
    }

    /// Adds the next page of the directory.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn append_page(&mut self, page: &[u8]) -> Result<ImagePlace, WalError> {
        let place = self.cursor.page(page.len());
        let mut body = Vec::with_capacity(PAGE_LINK_SIZE + page.len());
        body.extend_from_slice(&self.last_page.offset.to_le_bytes());
        body.extend_from_slice(&self.last_page.size.to_le_bytes());
        body.extend_from_slice(page);
        self.last_page = place;
        self.add(PAGE, &body)?;
        Ok(place)
    }

    /// Adds the slices that lie at a place of another image, and tells where they lie in this one.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and [`WalError::Corrupt`] for the other image.
    pub fn copy(&mut self, from: &ImageReader, place: ImagePlace) -> Result<ImagePlace, WalError> {
        let mut outcome = Ok(());
        from.slices(place, |slice| {
            outcome = self.add(SLICE, slice);
            outcome.is_ok()
        })?;
        outcome?;
        Ok(self.cursor.frames(place.size))
    }

    /// Ends the image, makes it durable, and gives it its name. Returns the size of the file.
    ///
    /// # Errors
    /// Those of [`create`](Self::create). After a failed sync of the directory the file may have its name all the same: it
    /// is whole then.
    pub fn finish(mut self) -> Result<u64, WalError> {
        self.end()?;
        self.name()?;
        Ok(self.offset)
    }

    /// Ends the image and makes it durable, without its name.
    pub(crate) fn end(&mut self) -> Result<(), WalError> {
        let checksum = self.checksum.clone().finalize();
        let end = ImageEnd { frame_count: self.frame_count, last_page: self.last_page, checksum };
        self.add(END, &end.encode())?;
        self.flush()?;
        self.file.sync().map_err(|error| WalError::io(&self.temporary, "sync", error))
    }

    /// Gives an image its name that was [ended](Self::end).
    pub(crate) fn name(&mut self) -> Result<(), WalError> {
        let renamed = self.storage.rename(&self.temporary, &self.path);
        renamed.map_err(|error| WalError::io(&self.path, "name", error))?;
        self.is_named = true;
        let sync = |dir: &Path| self.storage.sync_dir(dir).map_err(|error| WalError::io(dir, "sync", error));
        sync(self.path.parent().expect("a file of a store lies in a directory of it"))?;
        // The directory itself may be new.
        sync(&self.store)
    }

    fn add(&mut self, kind: u8, body: &[u8]) -> Result<(), WalError> {
        let before = self.buffer.len();
        encode_frame(&mut self.buffer, kind, body);
        self.checksum.update(&u32_at(&self.buffer[before..], 4).to_le_bytes());
        self.frame_count += 1;
        if self.buffer.len() >= WRITE_SIZE {
            self.flush()?;
        }
        Ok(())
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
