//! The thread that writes one image: it takes what the shard hands over, and waits for the device in its place.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use strata_primitives::{
    EntityRef, Erasure, Error, ErrorKind, Filled, GAP_HEAD_SIZE, ImageEntry, ImageSlice, Redaction, RunId,
    Timestamp,
};
use strata_runtime::mailbox;
use strata_wal::{ImagePlace, ImageReader, ImageWriter, LogEnd, LogSource, Lsn, NamedImage, WalError};

use crate::maintenance::Errand;
use crate::message::Message;
use crate::store_error::store_error;
use crate::value_places::{Moved, MovedValue};

/// What an image consists of, in the order of the file.
#[derive(Debug)]
pub(crate) enum ImagePart {
    /// The next slice, of this run.
    Slice(RunId, ImageSlice),
    /// Slices of another image of the log.
    Copy { file: u64, place: ImagePlace },
    /// The same without what is erased of it: as many bytes as these in the end.
    Redacted { file: u64, place: ImagePlace, redaction: Box<Redaction>, size: u64 },
    /// The next page of the directory.
    Page(Vec<u8>),
    /// There is no more: the image is to be finished and named.
    End(Naming),
}

/// What has to be known to name an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming {
    /// The log is durable up to here, and all that is in the image lies below.
    pub(crate) durable_through: Lsn,
    /// The image to fall back to.
    pub(crate) before: Option<u64>,
}

/// What a shard hears of the image it has asked for.
#[derive(Debug)]
pub(crate) struct ImageNews {
    /// The number under which it asked.
    pub(crate) request: u64,
    pub(crate) what: ImageProgress,
}

/// How far an image has come.
#[derive(Debug)]
pub(crate) enum ImageProgress {
    /// It is being written; parts are taken here.
    Begun { number: u64, parts: Sender<Vec<ImagePart>> },
    /// It has its name in MANIFEST, or there is none.
    Finished(Result<(NamedImage, Written), ImageFailure>),
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Where it has what was elsewhere.
    pub(crate) moved: Moved,
}

/// Why there is no image.
#[derive(Debug)]
pub(crate) struct ImageFailure {
    pub(crate) error: Error,
    /// The other image that could not be read.
    pub(crate) unreadable: Option<u64>,
    /// The run that has left a value somewhere which is damaged there.
    pub(crate) damaged: Option<RunId>,
}

/// What is to be written.
#[derive(Debug)]
pub(crate) struct ImageJob {
    pub(crate) request: u64,
    pub(crate) number: u64,
    pub(crate) through: LogEnd,
    pub(crate) begun: Timestamp,
    pub(crate) source: LogSource,
    pub(crate) errands: Sender<Errand>,
    pub(crate) news: Sender<ImageNews>,
    pub(crate) shard: mailbox::Sender<Message>,
}

/// Lists of parts that wait for the writer; a shard that finds no room goes on serving.
const PARTS_WAITING_MAX: usize = 4;

impl ImageJob {
    /// Starts the thread, and tells the shard where parts are taken.
    pub(crate) fn start(self) -> Option<JoinHandle<()>> {
        let (parts, parts_in) = bounded(PARTS_WAITING_MAX);
        let (request, number) = (self.request, self.number);
        let (news, shard) = (self.news.clone(), self.shard.clone());
        let name = format!("strata-image-{}", self.through.log);
        let started = std::thread::Builder::new().name(name).spawn(move || self.run(&parts_in));
        let what = match started {
            Ok(_) => ImageProgress::Begun { number, parts },
            Err(ref error) => {
                ImageProgress::Finished(Err(failed(&format!("no thread to write an image: {error}")).into()))
            }
        };
        // A shard that has ended hears of nothing any more.
        let _ = news.send(ImageNews { request, what });
        shard.wake();
        started.ok()
    }

    fn run(self, parts: &Receiver<Vec<ImagePart>>) {
        let (number, log) = (self.number, self.through.log);
        let panicked = |_| Err(failed("the thread that writes images panicked").into());
        let written = catch_unwind(AssertUnwindSafe(|| self.write(parts))).unwrap_or_else(panicked);
        let failure = match written {
            Ok(Some((naming, written))) => {
                let LogEnd { lsn: through, chain, .. } = self.through;
                let image = NamedImage { number, through, chain };
                let errand = Errand::NameImage { request: self.request, log, image, written, naming };
                match self.errands.send(errand) {
                    Ok(()) => return,
                    Err(_) => failed("the maintenance thread has ended").into(),
                }
            }
            // The shard has given it up.
            Ok(None) => return,
            Err(failure) => failure,
        };
        let what = ImageProgress::Finished(Err(failure));
        let _ = self.news.send(ImageNews { request: self.request, what });
        self.shard.wake();
    }

    /// Writes parts until the end comes, and tells what that was; `None` when it does not.
    fn write(&self, parts: &Receiver<Vec<ImagePart>>) -> Result<Option<(Naming, Written)>, ImageFailure> {
        let mut writer = self.source.create_image(self.number, self.through.lsn, self.begun.0)?;
        let (mut copied, mut moved): (Option<(u64, ImageReader)>, _) = (None, Moved::default());
        while let Ok(list) = parts.recv() {
            // There is room for the next one.
            self.shard.wake();
            for part in list {
                match part {
                    ImagePart::Slice(run, slice) => {
                        let (bytes, filled) = filled(run, slice)?;
                        moved.fill(writer.append(&bytes)?, filled);
                    }
                    ImagePart::Page(page) => {
                        writer.append_page(&page)?;
                    }
                    ImagePart::Copy { file, place } => {
                        let to = self.copy(&mut writer, &mut copied, file, place)?;
                        moved.copy(file, place, to.offset);
                    }
                    ImagePart::Redacted { file, place, mut redaction, size } => {
                        let redacted =
                            self.redact(&mut writer, &mut copied, (file, place), &mut redaction, size)?;
                        moved.redact(file, redacted);
                    }
                    ImagePart::End(naming) => {
                        let size = writer.finish()?;
                        return Ok(Some((naming, Written { size, moved })));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The file that is copied from: the last one, if that is it.
    fn reader_of(
        &self,
        file: u64,
        copied: &mut Option<(u64, ImageReader)>,
    ) -> Result<ImageReader, ImageFailure> {
        match copied.take() {
            Some((number, reader)) if number == file => Ok(reader),
            _ => self.source.open_image(file).map_err(|error| unreadable(file, error)),
        }
    }

    fn copy(
        &self,
        writer: &mut ImageWriter,
        copied: &mut Option<(u64, ImageReader)>,
        file: u64,
        place: ImagePlace,
    ) -> Result<ImagePlace, ImageFailure> {
        let reader = self.reader_of(file, copied)?;
        let to = writer.copy(&reader, place).map_err(|error| unreadable(file, error))?;
        *copied = Some((file, reader));
        Ok(to)
    }

    /// Copies slices without what is erased of them. What that leaves free is a gap, because the shard has told already where the
    /// next run lies. Tells where large values went.
    fn redact(
        &self,
        writer: &mut ImageWriter,
        copied: &mut Option<(u64, ImageReader)>,
        (file, place): (u64, ImagePlace),
        redaction: &mut Redaction,
        size: u64,
    ) -> Result<Vec<MovedValue>, ImageFailure> {
        let reader = self.reader_of(file, copied)?;
        let unreadable = |error| unreadable(file, error);
        let (mut written, mut outcome, mut moved) = (0, Ok(()), Vec::new());
        let read = reader.placed_slices(place, |from, slice| {
            let slice = redacted_slice(slice, redaction);
            outcome =
                slice.map_err(|reason| reader.corrupt(place.offset, reason)).and_then(|(slice, values)| {
                    if !slice.is_empty() {
                        let to = writer.append(&slice)?;
                        moved.extend(values.into_iter().map(|(begin, range)| MovedValue {
                            offset: from.offset,
                            begin,
                            slice: to,
                            range,
                        }));
                        written += to.size;
                    }
                    Ok(())
                });
            outcome.is_ok()
        });
        read.map_err(unreadable)?;
        outcome.map_err(unreadable)?;
        assert!(
            written + GAP_FRAME_SIZE_MIN <= size,
            "what is left of an image fits the room there is for it"
        );
        while written < size {
            let left = size - written;
            let frame =
                if left < GAP_FRAME_SIZE_MAX + GAP_FRAME_SIZE_MIN { left } else { GAP_FRAME_SIZE_MAX };
            let mut slice = Vec::new();
            let zeros = frame as usize - FRAME_HEAD_SIZE - GAP_HEAD_SIZE;
            ImageEntry::Gap { size: zeros as u32 }.encode(&mut slice);
            written += writer.append(&slice)?.size;
        }
        assert!(written == size, "a gap is as large as what is left");
        *copied = Some((file, reader));
        Ok(moved)
    }
}

/// Why a file cannot be copied from: where it is damaged, nothing in it is tried again.
fn unreadable(file: u64, error: WalError) -> ImageFailure {
    let is_damaged = matches!(error, WalError::Corrupt { .. });
    ImageFailure { error: store_error(error), unreadable: is_damaged.then_some(file), damaged: None }
}

/// What a frame takes beside its slice, bytes.
const FRAME_HEAD_SIZE: usize = 16;
/// A gap is written in frames of about this size.
const GAP_FRAME_SIZE_MAX: u64 = 1 << 20;
/// And in none that is smaller.
const GAP_FRAME_SIZE_MIN: u64 = 32;
/// An event without its payload may be larger by as much, with what its frame is rounded up by: a hash takes the place of a salt.
const EVENT_GROWTH_MAX: u64 = 24;

/// For how much room is asked for an image of `size` bytes from which these erasures are taken.
pub(crate) fn redacted_size(size: u64, erasures: &[Erasure]) -> u64 {
    let is_of_event = |erasure: &&Erasure| matches!(erasure.entity, EntityRef::Event { .. });
    let events = erasures.iter().filter(is_of_event).count() as u64;
    size + events * EVENT_GROWTH_MAX + GAP_FRAME_SIZE_MIN
}

/// Where the large values of a slice began, and where they lie among other bytes.
type MovedRanges = Vec<(usize, Range<usize>)>;

/// The entries of a slice without what is erased of them, and without gaps; and where large values went.
pub(crate) fn redacted_slice(
    slice: &[u8],
    redaction: &mut Redaction,
) -> Result<(Vec<u8>, MovedRanges), String> {
    let (mut out, mut rest, mut moved) = (Vec::with_capacity(slice.len()), slice, Vec::new());
    while !rest.is_empty() {
        let mut entry = ImageEntry::decode(&mut rest).map_err(|error| error.to_string())?;
        match redaction.entry(&entry) {
            Some(redacted) => redacted.encode(&mut out),
            None if matches!(entry, ImageEntry::Gap { .. }) => {}
            None => {
                entry.encode(&mut out);
                let ranges =
                    entry.large_value_at(slice.len() - rest.len()).zip(entry.large_value_at(out.len()));
                moved.extend(ranges.map(|(before, after)| (before.start, after)));
            }
        }
    }
    Ok((out, moved))
}

/// All bytes of a slice, and where among them lie large values that the run has left in an earlier image: they are read from there.
fn filled(run: RunId, slice: ImageSlice) -> Result<(Vec<u8>, Filled), ImageFailure> {
    slice.fill().map_err(|error| {
        let damaged = Some(run).filter(|_| error.kind() == ErrorKind::Corrupt);
        ImageFailure { error, unreadable: None, damaged }
    })
}

fn failed(reason: &str) -> WalError {
    WalError::Failed { reason: reason.to_string() }
}

impl From<WalError> for ImageFailure {
    fn from(error: WalError) -> ImageFailure {
        ImageFailure { error: store_error(error), unreadable: None, damaged: None }
    }
}
