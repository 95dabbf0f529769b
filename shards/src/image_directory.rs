//! The directory of an image: where the image of every run lies, and what is known of the run without it.
//!
//! A page is a list of entries: a tag byte and fields. Numbers are varints, as in `codec` of `primitives`.
//!
//! ```text
//! 1 run   [16] run id, summary as `primitives` encodes it, image,
//!         count and so many milestones: number, place,
//!         floor, count and so many anchors: version, time, image,
//!         u8 0; or the version of another run that it began as, and the place of the record of that:
//!         u8 1, [16] run, version, place; or, where the description says which version, u8 2, place
//! 2 file  number, bytes of slices that were written to it, bytes of those that this directory refers to
//! 3 end   count of the runs, LSN from which records are kept
//! 4 erased  of the run before: count and so many erasures as `primitives` encodes them
//! ```
//! An image is the number of the image file, offset and size of its slices there, the place of its newest record, bytes of all
//! records up to there; the newest one shows the commit that the summary is of. A place is log, LSN. Runs come in order of their ids,
//! then the files, then the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strata_primitives::{
    DecodeError, Erasure, ForkPoint, RunId, RunSummary, Stamp, Timestamp, Version, codec,
};
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

/// What the entry of a run says of the version that it began as.
const NO_ORIGIN: u8 = 0;
const ORIGIN: u8 = 1;
/// It is the one that its description says it was forked from.
const FORKED: u8 = 2;

/// Appends what a page says of a run.
pub(crate) fn put_run(page: &mut Vec<u8>, entry: &RunEntry) {
    let RunEntry { run, image, summary, trail, retained, origin, erasures } = entry;
    assert_eq!(image.stamp, summary.stamp, "a run is summed up as its newest image shows it");
    page.push(RUN);
    page.extend_from_slice(run.as_bytes());
    summary.encode(page);
    put_image(page, image);
    put_count(page, trail.milestones.len());
    for (number, place) in &trail.milestones {
        codec::put_varint(page, *number);
        put_place(page, *place);
    }
    codec::put_varint(page, retained.floor.0);
    put_count(page, retained.anchors.len());
    for anchor in &retained.anchors {
        put_numbers(page, &[anchor.stamp.version.0, anchor.stamp.timestamp.0]);
        put_image(page, anchor);
    }
    let forked_from = summary.meta.as_ref().and_then(|meta| meta.forked_from);
    match origin {
        None => page.push(NO_ORIGIN),
        Some(Origin { point, record }) if forked_from == Some(*point) => {
            page.push(FORKED);
            put_place(page, *record);
        }
        Some(Origin { point, record }) => {
            page.push(ORIGIN);
            page.extend_from_slice(point.run.as_bytes());
            codec::put_varint(page, point.version.0);
            put_place(page, *record);
        }
    }
    if !erasures.is_empty() {
        page.push(ERASED);
        put_count(page, erasures.len());
        erasures.iter().for_each(|erasure| erasure.encode(page));
    }
}

/// Appends what the last page says: which files there are, and that nothing is missing.
pub(crate) fn put_end(page: &mut Vec<u8>, end: &DirectoryEnd, run_count: u64) {
    for (number, FileUse { written, live }) in &end.files {
        page.push(FILE);
        put_numbers(page, &[*number, *written, *live]);
    }
    page.push(END);
    put_numbers(page, &[run_count, end.kept_from.0]);
}

/// The commit that it shows is said before it.
fn put_image(page: &mut Vec<u8>, image: &RunImage) {
    let RunImage { file, place, stamp: _, record, history_size } = image;
    put_numbers(page, &[*file, place.offset, place.size]);
    put_place(page, *record);
    codec::put_varint(page, *history_size);
}

fn put_place(page: &mut Vec<u8>, place: RecordPlace) {
    put_numbers(page, &[place.log.into(), place.lsn.0]);
}

fn put_count(page: &mut Vec<u8>, count: usize) {
    codec::put_varint(page, count as u64);
}

fn put_numbers(page: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| codec::put_varint(page, *number));
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
        let told = |error: DecodeError| error.to_string();
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
                    last = Some(decode_run(&mut rest).map_err(told)?);
                }
                FILE => {
                    let [number, written, live] = take_numbers(&mut rest).map_err(told)?;
                    self.end.files.insert(number, FileUse { written, live });
                }
                END => {
                    let [count, kept_from] = take_numbers(&mut rest).map_err(told)?;
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

fn decode_run(rest: &mut &[u8]) -> Result<RunEntry, DecodeError> {
    let run = RunId::from_bytes(codec::take_array(rest)?);
    let summary = RunSummary::decode(rest)?;
    let image = take_image(rest, summary.stamp)?;
    // Whatever is counted takes bytes, so a damaged count ends with the page and reserves nothing.
    let count = codec::take_varint(rest)?;
    let milestone = |_| Ok((codec::take_varint(rest)?, take_place(rest)?));
    let milestones: Result<_, DecodeError> = (0..count).map(milestone).collect();
    let trail = Trail { size: image.history_size, milestones: milestones? };
    let floor = Version(codec::take_varint(rest)?);
    let count = codec::take_varint(rest)?;
    let anchor = |_| {
        let [version, timestamp] = take_numbers(rest)?;
        take_image(rest, Stamp { version: Version(version), timestamp: Timestamp(timestamp) })
    };
    let anchors: Result<_, DecodeError> = (0..count).map(anchor).collect();
    let retained = Retained { floor, anchors: anchors? };
    let forked_from = summary.meta.as_ref().and_then(|meta| meta.forked_from);
    let origin = match (codec::take_u8(rest)?, forked_from) {
        (NO_ORIGIN, _) => None,
        (ORIGIN, _) => {
            let run = RunId::from_bytes(codec::take_array(rest)?);
            let point = ForkPoint { run, version: Version(codec::take_varint(rest)?) };
            Some(Origin { point, record: take_place(rest)? })
        }
        (FORKED, Some(point)) => Some(Origin { point, record: take_place(rest)? }),
        (tag, _) => return Err(DecodeError::UnknownTag { what: "origin", tag }),
    };
    Ok(RunEntry { run, image, summary, trail, retained, origin, erasures: Arc::default() })
}

fn take_erasures(rest: &mut &[u8], run: RunId) -> Result<Vec<Erasure>, String> {
    let count = codec::take_varint(rest).map_err(|error| error.to_string())?;
    let erasure = |_| {
        let erasure = Erasure::decode(rest).map_err(|error| error.to_string())?;
        match erasure.entity.run_id() == run {
            true => Ok(erasure),
            false => Err(format!("run {run} has not erased {}", erasure.entity)),
        }
    };
    (0..count).map(erasure).collect()
}

fn take_image(rest: &mut &[u8], stamp: Stamp) -> Result<RunImage, DecodeError> {
    let [file, offset, size] = take_numbers(rest)?;
    let (place, record) = (ImagePlace { offset, size }, take_place(rest)?);
    Ok(RunImage { file, place, stamp, record, history_size: codec::take_varint(rest)? })
}

fn take_place(rest: &mut &[u8]) -> Result<RecordPlace, DecodeError> {
    let [log, lsn] = take_numbers(rest)?;
    let log =
        log.try_into().map_err(|_| DecodeError::Contradiction { what: "a log has a number of 32 bits" })?;
    Ok(RecordPlace { log, lsn: Lsn(lsn) })
}

fn take_numbers<const N: usize>(rest: &mut &[u8]) -> Result<[u64; N], DecodeError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = codec::take_varint(rest)?;
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use strata_primitives::{Encoded, EntityRef, Namespace, RunMeta, RunState, RunStatus};

    use super::*;

    /// An image that takes a number of two bytes or more for each field but the log.
    fn image(file: u64, stamp: Stamp) -> RunImage {
        RunImage {
            file,
            place: ImagePlace { offset: 4096, size: 200 },
            stamp,
            record: RecordPlace { log: 2, lsn: Lsn(129) },
            history_size: 500,
        }
    }

    fn stamp(version: u64, micros: u64) -> Stamp {
        Stamp { version: Version(version), timestamp: Timestamp(micros) }
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
            image: image(3, Stamp::default()),
            summary: RunState::new(RunId::from_bytes([7; 16]), 1).summary(),
            trail: Trail { size: 500, milestones: vec![(4, place(5))] },
            retained: Retained { floor: Version(6), anchors: vec![image(2, stamp(8, 300))] },
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
        // File, offset, size, log, LSN, and bytes of records, each but the log and the file in two bytes.
        let image = |file| [file, 0x80, 0x20, 0xc8, 1, 2, 0x81, 1, 0xf4, 3];
        let mut golden = vec![1];
        golden.extend_from_slice(&[7; 16]);
        entry().summary.encode(&mut golden);
        golden.extend_from_slice(&image(3));
        golden.extend_from_slice(&[1, 4, 2, 5]);
        golden.extend_from_slice(&[6, 1, 8, 0xac, 2]);
        golden.extend_from_slice(&image(2));
        golden.push(1);
        golden.extend_from_slice(&[5; 16]);
        golden.extend_from_slice(&[4, 2, 3]);
        golden.extend_from_slice(&[4, 1]);
        erasure().encode(&mut golden);
        golden.extend_from_slice(&[2, 3, 100, 80]);
        golden.extend_from_slice(&[3, 1, 5]);
        assert_eq!(page(), golden);
        assert_eq!(read(&golden), Ok((vec![entry()], end())));
    }

    #[test]
    fn what_a_fork_began_as_is_written_once_where_its_description_says_it() {
        let mut fork = RunEntry { erasures: Arc::default(), ..entry() };
        let point = fork.origin.unwrap().point;
        let describe = |entry: &mut RunEntry, forked_from| {
            entry.summary.meta = Some(Box::new(RunMeta {
                name: None,
                namespace: Namespace::default(),
                parent: None,
                tags: Vec::new(),
                metadata: Encoded::from_int(1),
                status: RunStatus::Active,
                created: Timestamp(5),
                begun_in_boot: 1,
                durability: None,
                retention: None,
                event_retention: None,
                trace_retention: None,
                forked_from: Some(forked_from),
                imported: None,
                since: forked_from.version.next(),
                gaps: Vec::new(),
            }));
            let mut page = Vec::new();
            put_run(&mut page, entry);
            let mut read = DirectoryReader::default();
            let taken = read.take_page(&page, |taken| {
                assert_eq!(taken, *entry);
                Ok(())
            });
            assert_eq!((taken, read.run_count), (Ok(()), 1));
            page
        };
        let page = describe(&mut fork, point);
        assert!(page.ends_with(&[2, 2, 3]));
        let of_another = ForkPoint { version: Version(5), ..point };
        assert_eq!(
            describe(&mut fork, of_another)[page.len() - 3..],
            [&[1][..], &[5; 16], &[4, 2, 3]].concat()
        );
        // What has no description has to say it.
        fork.summary.meta = None;
        let mut page = Vec::new();
        put_run(&mut page, &fork);
        page.truncate(page.len() - 20);
        page.extend_from_slice(&[2, 2, 3]);
        assert!(read(&page).unwrap_err().contains("unknown origin tag 2"));
    }

    #[test]
    #[should_panic(expected = "as its newest image shows it")]
    fn a_summary_of_another_commit_than_the_image_is_not_written() {
        put_run(&mut Vec::new(), &RunEntry { image: image(3, stamp(4, 0)), ..entry() });
    }

    #[test]
    fn a_log_with_a_number_that_none_has_is_refused() {
        let mut page = Vec::new();
        put_run(&mut page, &RunEntry { erasures: Arc::default(), ..entry() });
        let record = page.len() - 2;
        page.splice(record..=record, [0xff, 0xff, 0xff, 0xff, 0x10]);
        assert!(read(&page).unwrap_err().contains("a number of 32 bits"));
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
        *miscounted.iter_mut().nth_back(1).unwrap() = 5;
        assert!(read(&miscounted).unwrap_err().contains("the end counts 5"));
        assert!(read(&[9]).unwrap_err().contains("unknown tag 9"));
        // A byte that is another may make it another directory: what it counts is never believed.
        for (place, byte) in (0..page.len()).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte))) {
            let mut other = page.clone();
            other[place] = byte;
            drop(read(&other));
        }
    }
}
