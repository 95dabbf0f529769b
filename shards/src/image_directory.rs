//! The directory of an image: where the image of every run lies, and what is known of the run without it.
//!
//! A page is a list of entries: a tag byte and fields, little-endian.
//!
//! ```text
//! 1 run   [16] run id, image, summary as `primitives` encodes it,
//!         u8 count and so many milestones: u64 number, place,
//!         u64 floor, u32 count and so many anchors: image,
//!         u8 1 and [16] run, u64 version, place; or u8 0: the version of another run that it began as, and the record of that
//! 2 file  u64 number, u64 bytes of slices that were written to it, u64 bytes of those that this directory refers to
//! 3 end   u64 count of the runs, u64 LSN from which records are kept
//! 4 erased  of the run before: u32 count and so many erasures as `primitives` encodes them
//! ```
//! An image is u64 number of the image file, u64 offset and u64 size of its slices there, u64 version, u64 time, the place of
//! its newest record, u64 bytes of all records up to there. A place is u32 log, u64 LSN. Runs come in order of their ids, then
//! the files, then the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strata_primitives::{Erasure, ForkPoint, RunId, RunSummary, Stamp, Timestamp, Version};
use strata_wal::{ImagePlace, LogSource, Lsn, NamedImage, WalError};

use crate::base::{Known, Origin};
use crate::record::RecordPlace;
use crate::retained::{Retained, RunImage};
use crate::trail::Trail;

/// What a directory says of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunEntry {
    pub(crate) run: RunId,
    /// Its newest image.
    pub(crate) image: RunImage,
    pub(crate) summary: RunSummary,
    /// What it knew of its records when that was made.
    pub(crate) trail: Trail,
    pub(crate) retained: Retained,
    /// What it began as, while it is a fork that needs it.
    pub(crate) origin: Option<Origin>,
    /// What was erased in it.
    pub(crate) erasures: Arc<Vec<Erasure>>,
}

impl RunEntry {
    /// A fork of which nothing is known but its commits, and those are in the log.
    pub(crate) fn of_fork(run: RunId, origin: Origin, summary: RunSummary) -> RunEntry {
        let (image, trail, retained) = (RunImage::default(), Trail::default(), Retained::default());
        RunEntry { run, image, summary, trail, retained, origin: Some(origin), erasures: Arc::default() }
    }

    /// What is known of it as one that others were forked from.
    pub(crate) fn known(&self) -> Known<'_> {
        let images = self.retained.anchors.iter().copied().chain(self.newest_image()).rev().collect();
        Known { images, floor: self.retained.floor, origin: self.origin, live: None }
    }

    /// Its newest image, if it has one.
    pub(crate) fn newest_image(&self) -> Option<RunImage> {
        Some(self.image).filter(|image| image.file > 0)
    }

    /// Whether its image, or its first commit where it has none, is of what it has changed of what it began as: a run that was
    /// deleted has nothing of that.
    pub(crate) fn is_over_origin(&self) -> bool {
        let meta = self.summary.meta.as_deref();
        let is_fork = meta.is_some_and(|meta| meta.forked_from.is_some() || meta.imported.is_some());
        is_fork || self.newest_image().is_none()
    }

    /// Whether there is an image of the oldest version that is kept, so that this is not made of what came before. A run that was imported
    /// may have been deleted and begun anew between two images: then it is.
    pub(crate) fn has_image_of_floor(&self) -> bool {
        let images = self.retained.anchors.iter().copied().chain(self.newest_image());
        images.map(|image| image.stamp.version).any(|version| version == self.retained.floor)
    }
}

/// How much of an image file is still referred to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileUse {
    /// Bytes of slices that were written to it.
    pub(crate) written: u64,
    /// Bytes of those that are the newest image of their run.
    pub(crate) live: u64,
}

/// The image files that a directory refers to, by number.
pub(crate) type Files = BTreeMap<u64, FileUse>;

const RUN: u8 = 1;
const FILE: u8 = 2;
const END: u8 = 3;
const ERASED: u8 = 4;

/// What a directory says at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DirectoryEnd {
    /// The image files that it refers to.
    pub(crate) files: Files,
    /// Of records in front of this place no run needs any.
    pub(crate) kept_from: Lsn,
    /// The archives that its runs need. It says so only of each run.
    pub(crate) archives: BTreeSet<u64>,
}

/// Appends what a page says of a run.
pub(crate) fn put_run(page: &mut Vec<u8>, entry: &RunEntry) {
    let RunEntry { run, image, summary, trail, retained, origin, erasures } = entry;
    page.push(RUN);
    page.extend_from_slice(run.as_bytes());
    put_image(page, image);
    summary.encode(page);
    // One stays for each bit of the newest number, and the first.
    page.push(u8::try_from(trail.milestones.len()).expect("a number has few bits"));
    for (number, place) in &trail.milestones {
        put_number(page, *number);
        put_place(page, *place);
    }
    put_number(page, retained.floor.0);
    let count =
        u32::try_from(retained.anchors.len()).expect("a run has fewer anchors than it has MiB of records");
    page.extend_from_slice(&count.to_le_bytes());
    retained.anchors.iter().for_each(|anchor| put_image(page, anchor));
    page.push(u8::from(origin.is_some()));
    if let Some(Origin { point, record }) = origin {
        page.extend_from_slice(point.run.as_bytes());
        put_number(page, point.version.0);
        put_place(page, *record);
    }
    if !erasures.is_empty() {
        page.push(ERASED);
        let count = u32::try_from(erasures.len()).expect("each erasure is a commit of its own");
        page.extend_from_slice(&count.to_le_bytes());
        erasures.iter().for_each(|erasure| erasure.encode(page));
    }
}

/// Appends what the last page says: which files there are, and that nothing is missing.
pub(crate) fn put_end(page: &mut Vec<u8>, end: &DirectoryEnd, run_count: u64) {
    for (number, FileUse { written, live }) in &end.files {
        page.push(FILE);
        [*number, *written, *live].into_iter().for_each(|field| put_number(page, field));
    }
    page.push(END);
    put_number(page, run_count);
    put_number(page, end.kept_from.0);
}

fn put_image(page: &mut Vec<u8>, image: &RunImage) {
    let RunImage { file, place, stamp, record, history_size } = image;
    let before = [*file, place.offset, place.size, stamp.version.0, stamp.timestamp.0];
    before.into_iter().for_each(|field| put_number(page, field));
    put_place(page, *record);
    put_number(page, *history_size);
}

fn put_place(page: &mut Vec<u8>, place: RecordPlace) {
    page.extend_from_slice(&place.log.to_le_bytes());
    put_number(page, place.lsn.0);
}

fn put_number(page: &mut Vec<u8>, number: u64) {
    page.extend_from_slice(&number.to_le_bytes());
}

/// A directory that is being read.
#[derive(Debug, Default)]
struct DirectoryReader {
    run_count: u64,
    end: DirectoryEnd,
    /// How many runs it should have had, once its end has come.
    counted: Option<u64>,
}

impl DirectoryReader {
    /// Hands over the runs of the next page. Nothing in it can make this panic.
    fn take_page(
        &mut self,
        page: &[u8],
        mut take: impl FnMut(RunEntry) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut rest = page;
        // What was erased in a run comes behind it, on the same page.
        let mut last: Option<RunEntry> = None;
        while let Some((tag, after)) = rest.split_first() {
            if self.counted.is_some() {
                return Err("the directory goes on behind its end".to_string());
            }
            rest = after;
            if *tag == ERASED {
                let entry = last.as_mut().filter(|entry| entry.erasures.is_empty());
                let entry = entry.ok_or("erasures that are those of no run")?;
                entry.erasures = Arc::new(take_erasures(&mut rest, entry.run)?);
                continue;
            }
            last.take().map_or(Ok(()), &mut take)?;
            match *tag {
                RUN => {
                    self.run_count += 1;
                    last = Some(decode_run(&mut rest)?);
                }
                FILE => {
                    let [number, written, live] = take_numbers(&mut rest)?;
                    self.end.files.insert(number, FileUse { written, live });
                }
                END => {
                    let [count, kept_from] = take_numbers(&mut rest)?;
                    self.end.kept_from = Lsn(kept_from);
                    self.counted = Some(count);
                }
                tag => return Err(format!("unknown tag {tag} in a directory")),
            }
        }
        last.map_or(Ok(()), take)
    }

    /// What it says at its end, once all pages have come.
    fn finish(self) -> Result<DirectoryEnd, String> {
        match self.counted {
            Some(count) if count == self.run_count => Ok(self.end),
            Some(count) => Err(format!("{} runs, and the end counts {count}", self.run_count)),
            None => Err(format!("the directory ends behind {} runs, before its end", self.run_count)),
        }
    }
}

/// What an image says of every run of its log, and at its end. The files it refers to are not looked at: damage in one of them
/// is that of the runs in it.
pub(crate) fn read_directory(
    source: &LogSource,
    image: &NamedImage,
) -> Result<(Vec<RunEntry>, DirectoryEnd), WalError> {
    let file = source.open_image(image.number)?;
    if file.header().through != image.through {
        return Err(file.corrupt(0, "it stands for another part of the log than MANIFEST says"));
    }
    let damaged = |reason: String| file.corrupt(0, format!("its directory: {reason}"));
    let (mut directory, mut entries) = (DirectoryReader::default(), Vec::new());
    for page in file.pages()? {
        let taken = directory.take_page(&page, |entry| {
            entries.push(entry);
            Ok(())
        });
        taken.map_err(damaged)?;
    }
    let mut end = directory.finish().map_err(damaged)?;
    end.archives = archives_of(&entries);
    Ok((entries, end))
}

/// The archives that runs need.
fn archives_of(entries: &[RunEntry]) -> BTreeSet<u64> {
    entries.iter().filter_map(|entry| entry.origin?.archive()).collect()
}

/// The runs of those pages that are left of a directory, as far as each can be read; beside them, what cannot.
pub(crate) fn read_pages_left(source: &LogSource, number: u64) -> (Vec<RunEntry>, Vec<WalError>) {
    let file = match source.open_image(number) {
        Ok(file) => file,
        Err(error) => return (Vec::new(), vec![error]),
    };
    let (pages, mut damage) = file.pages_left();
    let mut entries = Vec::new();
    for page in pages {
        let taken = DirectoryReader::default().take_page(&page, |entry| {
            entries.push(entry);
            Ok(())
        });
        damage.extend(taken.err().map(|reason| file.corrupt(0, format!("its directory: {reason}"))));
    }
    (entries, damage)
}

fn decode_run(rest: &mut &[u8]) -> Result<RunEntry, String> {
    let run = RunId::from_bytes(take(rest)?);
    let image = take_image(rest)?;
    let summary = RunSummary::decode(rest).map_err(|error| error.to_string())?;
    if summary.stamp != image.stamp {
        let (said, shown) = (summary.stamp.version, image.stamp.version);
        return Err(format!("the summary of run {run} is of commit {said}, its image of {shown}"));
    }
    let [count] = take(rest)?;
    let milestone = |rest: &mut &[u8]| Ok((take_number(rest)?, take_place(rest)?));
    let milestones: Result<_, String> = (0..count).map(|_| milestone(rest)).collect();
    let trail = Trail { size: image.history_size, milestones: milestones? };
    let floor = Version(take_number(rest)?);
    // Every anchor takes bytes, so a damaged count ends with the page and reserves nothing.
    let count = u32::from_le_bytes(take(rest)?);
    let anchors: Result<_, String> = (0..count).map(|_| take_image(rest)).collect();
    let retained = Retained { floor, anchors: anchors? };
    let origin = match take(rest)? {
        [0] => None,
        [1] => {
            let point =
                ForkPoint { run: RunId::from_bytes(take(rest)?), version: Version(take_number(rest)?) };
            Some(Origin { point, record: take_place(rest)? })
        }
        [other] => {
            return Err(format!("run {run}: {other} says neither that it is a fork nor that it is none"));
        }
    };
    Ok(RunEntry { run, image, summary, trail, retained, origin, erasures: Arc::default() })
}

fn take_erasures(rest: &mut &[u8], run: RunId) -> Result<Vec<Erasure>, String> {
    // Every erasure takes bytes, so a damaged count ends with the page and reserves nothing.
    let count = u32::from_le_bytes(take(rest)?);
    let erasure = |_| {
        let erasure = Erasure::decode(rest).map_err(|error| error.to_string())?;
        match erasure.entity.run_id() == run {
            true => Ok(erasure),
            false => Err(format!("run {run} has not erased {}", erasure.entity)),
        }
    };
    (0..count).map(erasure).collect()
}

fn take_image(rest: &mut &[u8]) -> Result<RunImage, String> {
    let [file, offset, size, version, timestamp] = take_numbers(rest)?;
    Ok(RunImage {
        file,
        place: ImagePlace { offset, size },
        stamp: Stamp { version: Version(version), timestamp: Timestamp(timestamp) },
        record: take_place(rest)?,
        history_size: take_number(rest)?,
    })
}

fn take_place(rest: &mut &[u8]) -> Result<RecordPlace, String> {
    Ok(RecordPlace { log: u32::from_le_bytes(take(rest)?), lsn: Lsn(take_number(rest)?) })
}

fn take_number(rest: &mut &[u8]) -> Result<u64, String> {
    Ok(u64::from_le_bytes(take(rest)?))
}

fn take_numbers<const N: usize>(rest: &mut &[u8]) -> Result<[u64; N], String> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = take_number(rest)?;
    }
    Ok(numbers)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let Some((bytes, after)) = rest.split_first_chunk() else {
        return Err("a field runs over the end of its page".to_string());
    };
    *rest = after;
    Ok(*bytes)
}

#[cfg(test)]
mod tests {
    use strata_primitives::{EntityRef, RunState};

    use super::*;

    fn image(file: u64) -> RunImage {
        RunImage {
            file,
            place: ImagePlace { offset: 4096, size: 80 },
            stamp: Stamp::default(),
            record: RecordPlace { log: 2, lsn: Lsn(9) },
            history_size: 500,
        }
    }

    fn erasure() -> Erasure {
        Erasure {
            entity: EntityRef::kv(RunId::from_bytes([7; 16]), "k"),
            from: Version(1),
            through: Version(2),
            by: Version(3),
            event_hash: None,
            reason: "r".into(),
        }
    }

    fn entry() -> RunEntry {
        let place = |lsn| RecordPlace { log: 2, lsn: Lsn(lsn) };
        RunEntry {
            run: RunId::from_bytes([7; 16]),
            image: image(3),
            summary: RunState::new(RunId::from_bytes([7; 16]), 1).summary(),
            trail: Trail { size: 500, milestones: vec![(4, place(5))] },
            retained: Retained { floor: Version(6), anchors: vec![image(2)] },
            origin: Some(Origin {
                point: ForkPoint { run: RunId::from_bytes([5; 16]), version: Version(4) },
                record: place(3),
            }),
            erasures: Arc::new(vec![erasure()]),
        }
    }

    fn end() -> DirectoryEnd {
        let files = Files::from([(3, FileUse { written: 100, live: 80 })]);
        DirectoryEnd { files, kept_from: Lsn(5), ..DirectoryEnd::default() }
    }

    fn page() -> Vec<u8> {
        let mut page = Vec::new();
        put_run(&mut page, &entry());
        put_end(&mut page, &end(), 1);
        page
    }

    fn read(page: &[u8]) -> Result<(Vec<RunEntry>, DirectoryEnd), String> {
        let (mut reader, mut runs) = (DirectoryReader::default(), Vec::new());
        reader.take_page(page, |run| {
            runs.push(run);
            Ok(())
        })?;
        Ok((runs, reader.finish()?))
    }

    #[test]
    fn a_page_has_the_bytes_that_are_drawn() {
        let numbers = |bytes: &mut Vec<u8>, numbers: &[u64]| {
            numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        };
        let place =
            |bytes: &mut Vec<u8>, lsn: u8| bytes.extend_from_slice(&[2, 0, 0, 0, lsn, 0, 0, 0, 0, 0, 0, 0]);
        let image = |bytes: &mut Vec<u8>, file| {
            numbers(bytes, &[file, 4096, 80, 0, 0]);
            place(bytes, 9);
            numbers(bytes, &[500]);
        };
        let mut golden = vec![1];
        golden.extend_from_slice(&[7; 16]);
        image(&mut golden, 3);
        entry().summary.encode(&mut golden);
        golden.push(1);
        numbers(&mut golden, &[4]);
        place(&mut golden, 5);
        numbers(&mut golden, &[6]);
        golden.extend_from_slice(&[1, 0, 0, 0]);
        image(&mut golden, 2);
        golden.push(1);
        golden.extend_from_slice(&[5; 16]);
        numbers(&mut golden, &[4]);
        place(&mut golden, 3);
        golden.extend_from_slice(&[4, 1, 0, 0, 0]);
        numbers(&mut golden, &[1, 2, 3]);
        golden.push(2);
        golden.extend_from_slice(&[7; 16]);
        golden.extend_from_slice(&[1, 0, 0, 0, b'k', 0, 1, 0, 0, 0, b'r']);
        golden.push(2);
        numbers(&mut golden, &[3, 100, 80]);
        golden.push(3);
        numbers(&mut golden, &[1, 5]);
        assert_eq!(page(), golden);
        assert_eq!(read(&golden), Ok((vec![entry()], end())));
    }

    #[test]
    fn a_summary_of_another_commit_than_the_image_is_refused() {
        let mut entry = entry();
        entry.image.stamp.version = Version(4);
        let mut page = Vec::new();
        put_run(&mut page, &entry);
        assert!(read(&page).unwrap_err().contains("is of commit 0, its image of 4"));
    }

    #[test]
    fn a_directory_that_is_not_whole_is_refused_and_never_panics() {
        let page = page();
        for cut in 0..page.len() {
            assert!(read(&page[..cut]).is_err(), "cut at {cut}");
        }
        let (mut twice, mut miscounted) = (page.clone(), page.clone());
        twice.push(RUN);
        assert!(read(&twice).unwrap_err().contains("behind its end"));
        *miscounted.iter_mut().nth_back(15).unwrap() = 5;
        assert!(read(&miscounted).unwrap_err().contains("the end counts 5"));
        assert!(read(&[9]).unwrap_err().contains("unknown tag 9"));
    }
}
