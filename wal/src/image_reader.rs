//! Reading an image file, as a whole or one slice of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::WalError;
use crate::frame::{Frame, decode_frame, frame_size};
use crate::image_file::{
    BadImage, END, END_SIZE, FileKind, IMAGE_FORMAT_VERSION, ImageEnd, ImageHeader, ImagePlace, PAGE,
    PAGE_LINK_SIZE, SLICE,
};
use crate::little_endian::{u32_at, u64_at};
use crate::reader::SegmentReader;
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
    /// `None` when the file was opened without it.
    end: Option<ImageEnd>,
}

/// The bytes of the frame at `offset` of a file, by its length: nothing is believed but that it lies in front of `end`.
pub(crate) fn read_frame(
    path: &Path,
    reader: &mut SegmentReader,
    offset: u64,
    end: u64,
) -> Result<Vec<u8>, WalError> {
    let read_error = |error| WalError::io(path, "read", error);
    let is_within = (FRAMES_BEGIN..end).contains(&offset);
    let head = if is_within { reader.bytes(offset, 4).map_err(read_error)? } else { &[] };
    if head.len() < 4 {
        return Err(WalError::corrupt(path, offset, "no frame begins there"));
    }
    let size = frame_size(u32_at(head, 0) as usize) as u64;
    if size > end - offset {
        let left = end - offset;
        return Err(WalError::corrupt(
            path,
            offset,
            format!("a frame of {size} bytes does not fit the {left} left"),
        ));
    }
    Ok(reader.bytes(offset, size as usize).map_err(read_error)?.to_vec())
}

impl ImageReader {
    /// Opens file `number` of this kind and log of the store `id` at `store`.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when the file is not what it should be, also when it is missing; [`WalError::NewerFormat`];
    /// [`WalError::Io`].
    pub fn open(
        storage: &dyn Storage,
        store: &Path,
        id: StoreId,
        file: (FileKind, u32, u64),
    ) -> Result<ImageReader, WalError> {
        ImageReader::open_as(storage, store, id, file, false)
    }

    /// The same of a file that may lack its end, and with it the way to its directory: what lies at a place that is known is
    /// there all the same.
    pub(crate) fn open_cut(
        storage: &dyn Storage,
        store: &Path,
        id: StoreId,
        file: (FileKind, u32, u64),
    ) -> Result<ImageReader, WalError> {
        ImageReader::open_as(storage, store, id, file, true)
    }

    fn open_as(
        storage: &dyn Storage,
        store: &Path,
        id: StoreId,
        (kind, log, number): (FileKind, u32, u64),
        is_cut: bool,
    ) -> Result<ImageReader, WalError> {
        let path = kind.path(store, log, number);
        let file = storage.open(&path, Access::Read).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => WalError::corrupt(&path, 0, "the image is missing"),
            _ => WalError::io(&path, "open", error),
        })?;
        let size = file.size().map_err(|error| WalError::io(&path, "read", error))?;
        let block = read(&*file, &path, 0, FRAMES_BEGIN)?;
        let header = ImageHeader::decode(kind, &block).map_err(|bad| match bad {
            BadImage::Newer(found) => {
                let supported = IMAGE_FORMAT_VERSION;
                WalError::NewerFormat { path: path.clone(), found, supported }
            }
            BadImage::UnknownCodec(found) => WalError::UnknownCodec { path: path.clone(), found },
            BadImage::Damaged(reason) => WalError::corrupt(&path, 0, reason),
        })?;
        if (header.store, header.log, header.number) != (id, log, number) {
            let reason = format!("this is image {} of log {} of another place", header.number, header.log);
            return Err(WalError::corrupt(&path, 0, reason));
        }
        let mut reader = ImageReader { file, path, size, header, end: None };
        if !is_cut {
            reader.end = Some(reader.read_end()?);
        }
        Ok(reader)
    }

    fn end(&self) -> Result<ImageEnd, WalError> {
        self.end.map_or_else(|| self.read_end(), Ok)
    }

    fn read_end(&self) -> Result<ImageEnd, WalError> {
        let Some(offset) = self.size.checked_sub(END_SIZE).filter(|offset| *offset >= FRAMES_BEGIN) else {
            return Err(self.corrupt(0, format!("{} bytes are too few for an image", self.size)));
        };
        let bytes = read(&*self.file, &self.path, offset, END_SIZE)?;
        let end = frame_of(&bytes, END).and_then(|frame| ImageEnd::decode(frame.body));
        end.map_err(|reason| self.corrupt(offset, reason))
    }

    /// What its first block says.
    pub fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// The pages of its directory, in order.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] and [`WalError::Io`].
    pub fn pages(&self) -> Result<Vec<Vec<u8>>, WalError> {
        let mut pages = BTreeMap::new();
        self.pages_back(&mut pages)?;
        Ok(pages.into_values().collect())
    }

    /// The last page, and where it lies.
    ///
    /// # Errors
    /// Those of [`pages`](Self::pages).
    pub(crate) fn last_page(&self) -> Result<Option<(ImagePlace, Vec<u8>)>, WalError> {
        let place = self.end()?.last_page;
        if place.size == 0 {
            return Ok(None);
        }
        Ok(Some((place, self.page(place)?)))
    }

    /// The page that lies at a place.
    ///
    /// # Errors
    /// Those of [`pages`](Self::pages).
    pub(crate) fn page(&self, place: ImagePlace) -> Result<Vec<u8>, WalError> {
        Ok(self.take_page(place, &self.page_frame(place)?)?.1.to_vec())
    }

    /// Reads a page and nothing behind it.
    fn page_frame(&self, place: ImagePlace) -> Result<Vec<u8>, WalError> {
        let end = place.offset.saturating_add(place.size);
        let mut reader = SegmentReader::new(Arc::clone(&self.file), end.min(self.size));
        self.frame(&mut reader, place.offset, end)
    }

    /// The pages of its directory that something leads to which holds: those that are met on the way back from the end, and,
    /// where that way breaks, those behind whole frames from the beginning on. Beside them, what breaks the two ways.
    ///
    /// A frame that only looks like a page is none: a value may hold the bytes of one.
    pub fn pages_left(&self) -> (Vec<Vec<u8>>, Vec<WalError>) {
        let (mut pages, mut damage) = (BTreeMap::new(), Vec::new());
        if let Err(error) = self.pages_back(&mut pages) {
            damage.push(error);
            damage.extend(self.pages_on(&mut pages).err());
        }
        (pages.into_values().collect(), damage)
    }

    /// Collects pages from the last one to the first.
    fn pages_back(&self, pages: &mut BTreeMap<u64, Vec<u8>>) -> Result<(), WalError> {
        let end = self.end()?;
        let mut place = end.last_page;
        while place.size > 0 {
            let page = self.page_frame(place)?;
            let (before, page) = self.take_page(place, &page)?;
            pages.insert(place.offset, page.to_vec());
            // Each lies in front of the one it came before, so there is an end.
            if before.size > 0 && before.offset.saturating_add(before.size) > place.offset {
                return Err(self.corrupt(place.offset, "the page before this one lies behind it"));
            }
            place = before;
        }
        Ok(())
    }

    /// Collects pages from the first frame on.
    fn pages_on(&self, pages: &mut BTreeMap<u64, Vec<u8>>) -> Result<(), WalError> {
        let (mut reader, mut offset) = (self.reader(), FRAMES_BEGIN);
        while offset < self.size {
            let bytes = self.frame(&mut reader, offset, self.size)?;
            let frame = decode_frame(&bytes).map_err(|reason| self.corrupt(offset, reason))?;
            let place = ImagePlace { offset, size: frame.size as u64 };
            if frame.kind == PAGE {
                pages.insert(offset, self.take_page(place, &bytes)?.1.to_vec());
            }
            offset += place.size;
        }
        Ok(())
    }

    /// Hands over the slices that lie at a place, one after the other, for as long as `take` wants more.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when no slices lie there or one is damaged, [`WalError::Io`].
    pub fn slices(&self, place: ImagePlace, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), WalError> {
        self.placed_slices(place, |_, slice| take(slice))
    }

    /// The same, and each with the place where it lies by itself.
    ///
    /// # Errors
    /// Those of [`slices`](Self::slices).
    pub fn placed_slices(
        &self,
        place: ImagePlace,
        mut take: impl FnMut(ImagePlace, &[u8]) -> bool,
    ) -> Result<(), WalError> {
        let ImagePlace { mut offset, size } = place;
        let end = offset.saturating_add(size);
        if size > 0 && (offset < FRAMES_BEGIN || offset.checked_add(size).is_none() || end > self.size) {
            return Err(self.corrupt(offset, format!("{size} bytes there do not fit the file")));
        }
        let mut reader = SegmentReader::new(Arc::clone(&self.file), end);
        while offset < end {
            let frame = self.frame(&mut reader, offset, end)?;
            let slice = decode_frame(&frame).map_err(|reason| self.corrupt(offset, reason))?;
            if slice.kind != SLICE {
                return Err(self.corrupt(offset, format!("a frame of kind {} is no slice", slice.kind)));
            }
            let place = ImagePlace { offset, size: slice.size as u64 };
            if !take(place, slice.body) {
                break;
            }
            offset += place.size;
        }
        Ok(())
    }

    /// Reads everything and hands over every slice, in order.
    ///
    /// # Errors
    /// The first thing that is not as it was written: [`WalError::Corrupt`], or [`WalError::Io`].
    pub fn read_all(&self, mut take: impl FnMut(ImagePlace, &[u8])) -> Result<(), WalError> {
        let (mut offset, mut frame_count, mut last_page) = (FRAMES_BEGIN, 0, ImagePlace::default());
        let mut checksum = crc32fast::Hasher::new();
        let mut reader = self.reader();
        let end = self.end()?;
        let frames_end = self.size - END_SIZE;
        while offset < frames_end {
            let bytes = self.frame(&mut reader, offset, frames_end)?;
            let frame = decode_frame(&bytes).map_err(|reason| self.corrupt(offset, reason))?;
            let place = ImagePlace { offset, size: frame.size as u64 };
            match frame.kind {
                SLICE => take(place, frame.body),
                PAGE if self.take_page(place, &bytes)?.0 == last_page => last_page = place,
                kind => return Err(self.corrupt(offset, format!("a frame of kind {kind} is out of place"))),
            }
            checksum.update(&u32_at(&bytes, 4).to_le_bytes());
            (offset, frame_count) = (offset + place.size, frame_count + 1);
        }
        let found = ImageEnd { frame_count, last_page, checksum: checksum.finalize() };
        if found != end {
            return Err(self.corrupt(frames_end, "the end tells of other frames"));
        }
        Ok(())
    }

    fn reader(&self) -> SegmentReader {
        SegmentReader::new(Arc::clone(&self.file), self.size)
    }

    fn frame(&self, reader: &mut SegmentReader, offset: u64, end: u64) -> Result<Vec<u8>, WalError> {
        read_frame(&self.path, reader, offset, end.min(self.size))
    }

    /// The place of the page before, and the page, of the frame at `place`.
    fn take_page<'a>(&self, place: ImagePlace, bytes: &'a [u8]) -> Result<(ImagePlace, &'a [u8]), WalError> {
        let frame = frame_of(bytes, PAGE).map_err(|reason| self.corrupt(place.offset, reason))?;
        let Some((link, page)) = frame.body.split_at_checked(PAGE_LINK_SIZE) else {
            return Err(self.corrupt(place.offset, "a page without its link"));
        };
        if frame.size as u64 != place.size {
            return Err(self.corrupt(place.offset, "a page of another size"));
        }
        Ok((ImagePlace { offset: u64_at(link, 0), size: u64_at(link, 8) }, page))
    }

    /// That what lies at `offset` is not what was written there.
    pub fn corrupt(&self, offset: u64, reason: impl Into<String>) -> WalError {
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
