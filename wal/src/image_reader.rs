//! Reading an image file, as a whole or one slice of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::WalError;
use crate::frame::{Frame, decode_frame, frame_size};
use crate::image_file::{
    BadImage, DIRECTORY, END, END_SIZE, IMAGE_FORMAT_VERSION, ImageEnd, ImageHeader, ImagePlace, SLICE,
    image_path,
};
use crate::little_endian::u32_at;
use crate::storage::{Access, BLOCK_SIZE, File, Storage};
use crate::store_id::StoreId;

/// Bytes in front of the first frame.
const FRAMES_BEGIN: u64 = BLOCK_SIZE as u64;

/// An image file that is there and begins and ends as one does. What lies between is checked when it is read.
#[derive(Debug)]
pub struct ImageReader {
    file: Arc<dyn File>,
    path: PathBuf,
    size: u64,
    header: ImageHeader,
    end: ImageEnd,
}

impl ImageReader {
    /// Opens image `number` of log `log` of the store `id` at `store`.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when the file is not what it should be, also when it is missing; [`WalError::NewerFormat`];
    /// [`WalError::Io`].
    pub fn open(
        storage: &dyn Storage,
        store: &Path,
        id: StoreId,
        log: u32,
        number: u64,
    ) -> Result<ImageReader, WalError> {
        let path = image_path(store, log, number);
        let file = storage.open(&path, Access::Read).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => WalError::corrupt(&path, 0, "the image is missing"),
            _ => WalError::io(&path, "open", error),
        })?;
        let size = file.size().map_err(|error| WalError::io(&path, "read", error))?;
        if size < FRAMES_BEGIN + END_SIZE {
            return Err(WalError::corrupt(&path, 0, format!("{size} bytes are too few for an image")));
        }
        let block = read(&*file, &path, 0, FRAMES_BEGIN)?;
        let header = ImageHeader::decode(&block).map_err(|bad| match bad {
            BadImage::Newer(found) => {
                let supported = IMAGE_FORMAT_VERSION;
                WalError::NewerFormat { path: path.clone(), found, supported }
            }
            BadImage::Damaged(reason) => WalError::corrupt(&path, 0, reason),
        })?;
        if (header.store, header.log, header.number) != (id, log, number) {
            let reason = format!("this is image {} of log {} of another place", header.number, header.log);
            return Err(WalError::corrupt(&path, 0, reason));
        }
        let bytes = read(&*file, &path, size - END_SIZE, END_SIZE)?;
        let end = frame_of(&bytes, END).and_then(|frame| ImageEnd::decode(frame.body));
        let end = end.map_err(|reason| WalError::corrupt(&path, size - END_SIZE, reason))?;
        Ok(ImageReader { file, path, size, header, end })
    }

    /// What its first block says.
    pub fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// The directory it was finished with.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] and [`WalError::Io`].
    pub fn directory(&self) -> Result<Vec<u8>, WalError> {
        self.read_frame(self.end.directory, DIRECTORY)
    }

    /// One slice.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when no slice lies there or it is damaged, [`WalError::Io`].
    pub fn slice(&self, place: ImagePlace) -> Result<Vec<u8>, WalError> {
        self.read_frame(place, SLICE)
    }

    /// Reads everything and hands over every slice, in order.
    ///
    /// # Errors
    /// The first thing that is not as it was written: [`WalError::Corrupt`], or [`WalError::Io`].
    pub fn read_all(&self, mut take: impl FnMut(ImagePlace, &[u8])) -> Result<(), WalError> {
        let (mut offset, mut frame_count) = (FRAMES_BEGIN, 0);
        let mut checksum = crc32fast::Hasher::new();
        let frames_end = self.size - END_SIZE;
        while offset < frames_end {
            let place = self.place_at(offset, frames_end)?;
            let bytes = read(&*self.file, &self.path, place.offset, place.size)?;
            let frame = decode_frame(&bytes).map_err(|reason| self.corrupt(offset, reason))?;
            match frame.kind {
                SLICE => take(place, frame.body),
                DIRECTORY if place == self.end.directory => {}
                kind => return Err(self.corrupt(offset, format!("a frame of kind {kind} is out of place"))),
            }
            checksum.update(&u32_at(&bytes, 4).to_le_bytes());
            (offset, frame_count) = (offset + place.size, frame_count + 1);
        }
        let found = (frame_count, checksum.finalize());
        if found != (self.end.frame_count, self.end.checksum) {
            let reason = format!("the end tells of {} other frames", self.end.frame_count);
            return Err(self.corrupt(frames_end, reason));
        }
        Ok(())
    }

    /// The place of the frame at `offset`, by its length: nothing is believed but that it lies within the file.
    fn place_at(&self, offset: u64, end: u64) -> Result<ImagePlace, WalError> {
        let left = end - offset;
        // What is left ends with the frame of the end, so there are four bytes to read wherever it begins.
        let head = read(&*self.file, &self.path, offset, 4)?;
        let size = frame_size(u32_at(&head, 0) as usize) as u64;
        if size > left {
            return Err(self.corrupt(offset, format!("a frame of {size} bytes does not fit the {left} left")));
        }
        Ok(ImagePlace { offset, size })
    }

    fn read_frame(&self, place: ImagePlace, kind: u8) -> Result<Vec<u8>, WalError> {
        let ImagePlace { offset, size } = place;
        let is_within =
            offset >= FRAMES_BEGIN && offset.checked_add(size).is_some_and(|end| end <= self.size);
        if !is_within {
            return Err(self.corrupt(offset, format!("{size} bytes there do not fit the file")));
        }
        let bytes = read(&*self.file, &self.path, offset, size)?;
        let frame = frame_of(&bytes, kind).map_err(|reason| self.corrupt(offset, reason))?;
        Ok(frame.body.to_vec())
    }

    fn corrupt(&self, offset: u64, reason: impl Into<String>) -> WalError {
        WalError::corrupt(&self.path, offset, reason)
    }
}

/// The frame that `bytes` are, all of them, if it is of this kind.
fn frame_of(bytes: &[u8], kind: u8) -> Result<Frame<'_>, String> {
    let frame = decode_frame(bytes)?;
    if frame.kind != kind || frame.size != bytes.len() {
        return Err(format!("a frame of kind {} and {} bytes, not of kind {kind}", frame.kind, frame.size));
    }
    Ok(frame)
}

fn read(file: &dyn File, path: &Path, offset: u64, size: u64) -> Result<Vec<u8>, WalError> {
    let mut bytes = vec![0; size as usize];
    let count = file.read_at(&mut bytes, offset).map_err(|error| WalError::io(path, "read", error))?;
    match count as u64 == size {
        true => Ok(bytes),
        false => Err(WalError::corrupt(path, offset, format!("the file ends {count} bytes behind"))),
    }
}
