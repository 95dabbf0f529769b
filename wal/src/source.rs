//! What a shard's thread needs to read its log on its own.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};

use crate::error::WalError;
use crate::image_file::{FileKind, ImageHeader, NamedImage};
use crate::image_reader::ImageReader;
use crate::image_writer::ImageWriter;
use crate::lsn::Lsn;
use crate::manifest::LogEntry;
use crate::reader::SegmentReader;
use crate::salvage::rebuild_header;
use crate::segment::{BadHeader, SEGMENT_FORMAT_VERSION, SegmentHeader, segment_path};
use crate::storage::{Access, BLOCK_SIZE, Buffer, Capabilities, File, Storage};
use crate::store_id::StoreId;

/// One log of an opened store: its files, and what MANIFEST says of them.
///
/// Made by `StoreDirectory::log_source`, sent to the shard's thread, taken by `recover` or `scan`.
#[derive(Clone)]
pub struct LogSource {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) store_path: PathBuf,
    pub(crate) store: StoreId,
    /// Number of the log.
    pub(crate) log: u32,
    /// Where it stands among the logs of the store.
    pub(crate) index: u32,
    pub(crate) entry: LogEntry,
    /// MANIFEST says the last boot closed the store.
    pub(crate) is_clean: bool,
    /// Both slots of MANIFEST could be read, so the newer one is the last that was written.
    pub(crate) is_newest_slot: bool,
    pub(crate) capabilities: Capabilities,
    /// One line a store, however many logs fall back.
    pub(crate) fallback_warning: Arc<Once>,
    /// Which positions its segments hold, as far as that was looked up, and those of the other logs.
    pub(crate) ranges: SegmentRanges,
    /// Files are taken as far as they hold: one that was cut, or that lacks its header or its end, is opened all the same.
    pub(crate) is_salvaged: bool,
}

/// Which positions the segments of a store hold, by the numbers of their log and their own: what their headers said, so that who looks for
/// one position after the other opens none but those that hold them. Shared by all who read the logs of an opened store, as long as that is
/// open; what is not so any more costs another look.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentRanges(Arc<Mutex<RangesByNumber>>);

/// By the numbers of log and segment.
type RangesByNumber = BTreeMap<(u32, u64), Range<Lsn>>;

impl SegmentRanges {
    pub(crate) fn get(&self, log: u32, number: u64) -> Option<Range<Lsn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(log, number)).cloned()
    }

    pub(crate) fn note(&self, log: u32, number: u64, range: Range<Lsn>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((log, number), range);
    }

    pub(crate) fn forget(&self, log: u32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extract_if((log, 0)..=(log, u64::MAX), |_, _| true)
            .for_each(drop);
    }
}

impl LogSource {
    /// Number of the log: no other one that the store ever had has it.
    pub fn log(&self) -> u32 {
        self.log
    }

    /// Where the log stands among those of the store, from 0: the shard that it is of.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The images that a recovery may begin with, the newest first. Without any, and beside a single one, it may begin
    /// with the first record of the log too.
    pub fn images(&self) -> impl Iterator<Item = NamedImage> + use<> {
        self.entry.images.into_iter().flatten()
    }

    /// Opens an image of the log, one that MANIFEST names or one that such an image refers to.
    ///
    /// # Errors
    /// Those of [`ImageReader::open`].
    pub fn open_image(&self, number: u64) -> Result<ImageReader, WalError> {
        let open = if self.is_salvaged { ImageReader::open_cut } else { ImageReader::open };
        open(&*self.storage, &self.store_path, self.store, (FileKind::Image, self.log, number))
    }

    /// Begins to write an image of the log.
    ///
    /// # Errors
    /// Those of [`ImageWriter::create`].
    pub fn create_image(
        &self,
        number: u64,
        through: Lsn,
        created_micros: u64,
    ) -> Result<ImageWriter, WalError> {
        let (kind, store, log) = (FileKind::Image, self.store, self.log);
        let header = ImageHeader { kind, store, log, number, through, created_micros };
        ImageWriter::create(Arc::clone(&self.storage), &self.store_path, &header)
    }
}

impl fmt::Debug for LogSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, log) = (&self.store_path, &self.log);
        formatter.debug_struct("LogSource").field("store", path).field("log", log).finish_non_exhaustive()
    }
}

/// A segment that MANIFEST names, its header checked.
#[derive(Debug)]
pub(crate) struct LiveSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    /// Open for reading.
    pub(crate) file: Arc<dyn File>,
}

impl LiveSegment {
    pub(crate) fn reader(&self) -> SegmentReader {
        SegmentReader::new(Arc::clone(&self.file), self.header.size)
    }
}

/// Opens every segment of the log in order.
///
/// Headers were synced before MANIFEST named their segment, so a missing file, another size or a bad header is
/// damage, in the newest segment as in the oldest.
pub(crate) fn open_segments(source: &LogSource) -> Result<Vec<LiveSegment>, WalError> {
    let entry = &source.entry;
    let mut segments: Vec<LiveSegment> = Vec::new();
    let mut expected_lsn = entry.oldest_first_lsn;
    for number in entry.oldest_segment..=entry.newest_segment {
        let path = segment_path(&source.store_path, source.log, number);
        let (header, file) = open_segment(source, &path, number)?;
        if header.first_lsn != expected_lsn {
            let reason = format!("the segment begins at LSN {}, not at {expected_lsn}", header.first_lsn);
            return Err(WalError::corrupt(&path, 0, reason));
        }
        expected_lsn = header.end_lsn();
        segments.push(LiveSegment { header, path, file });
    }
    let newest = segments.last().expect("MANIFEST names at least one segment");
    if newest.header.first_lsn != entry.newest_first_lsn || newest.header.size != entry.newest_size {
        let reason = format!(
            "MANIFEST expects LSN {} and {} bytes, the header says LSN {} and {} bytes",
            entry.newest_first_lsn, entry.newest_size, newest.header.first_lsn, newest.header.size
        );
        return Err(WalError::corrupt(&newest.path, 0, reason));
    }
    Ok(segments)
}

/// Opens a file for reading past the page cache where the file system can, so that recovery sees what the device
/// holds and not what a failed sync left in memory.
pub(crate) fn open_for_reading(storage: &dyn Storage, path: &Path) -> io::Result<Arc<dyn File>> {
    match storage.open(path, Access::ReadDirect) {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {
            storage.open(path, Access::Read)
        }
        other => other,
    }
}

pub(crate) fn open_segment(
    source: &LogSource,
    path: &Path,
    number: u64,
) -> Result<(SegmentHeader, Arc<dyn File>), WalError> {
    match open_segment_file(source, path, number, Access::ReadDirect) {
        Err(WalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(WalError::corrupt(path, 0, "MANIFEST names this segment, and it is missing"))
        }
        opened => opened,
    }
}

/// Opens a segment to read it, and checks that it is the one that is meant.
pub(crate) fn open_segment_file(
    source: &LogSource,
    path: &Path,
    number: u64,
    access: Access,
) -> Result<(SegmentHeader, Arc<dyn File>), WalError> {
    let file = match access {
        Access::ReadDirect => open_for_reading(&*source.storage, path),
        access => source.storage.open(path, access),
    };
    let file = file.map_err(|error| WalError::io(path, "open", error))?;
    let read_error = |error| WalError::io(path, "read", error);
    let size = file.size().map_err(read_error)?;
    let mut block = Buffer::with_capacity(BLOCK_SIZE);
    block.resize(BLOCK_SIZE);
    let read = file.read_at(&mut block, 0).map_err(read_error)?;
    let header = match SegmentHeader::decode(&block[..read]) {
        Ok(header) => header,
        Err(BadHeader::Newer(found)) => {
            let supported = SEGMENT_FORMAT_VERSION;
            return Err(WalError::NewerFormat { path: path.to_path_buf(), found, supported });
        }
        Err(BadHeader::UnknownCodec(found)) => {
            return Err(WalError::UnknownCodec { path: path.to_path_buf(), found });
        }
        Err(BadHeader::Damaged(reason)) => {
            let rebuilt = rebuild_header(source, &*file, size, number).map_err(read_error)?;
            rebuilt.ok_or_else(|| WalError::corrupt(path, 0, reason))?
        }
    };
    if (header.store, header.log, header.number) != (source.store, source.log, number) {
        let reason = format!(
            "this is segment {} of log {} of store {}, not segment {number} of log {} of store {}",
            header.number, header.log, header.store, source.log, source.store
        );
        return Err(WalError::corrupt(path, 0, reason));
    }
    if header.size != size && !source.is_salvaged {
        let reason = format!("the segment has {size} bytes, its header says {}", header.size);
        return Err(WalError::corrupt(path, size.min(header.size), reason));
    }
    Ok((header, file))
}
