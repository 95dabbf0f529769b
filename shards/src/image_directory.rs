//! The directory of an image: where the image of every run lies, and what is known of the run without it.
//!
//! A page is a list of entries: a tag byte and fields, little-endian.
//!
//! ```text
//! 1 run   [16] run id, u64 number of the image file, u64 offset and u64 size of its slices there, u32 log and
//!         u64 LSN of its newest record, summary as `primitives` encodes it
//! 2 file  u64 number, u64 bytes of slices that were written to it, u64 bytes of those that this directory refers to
//! 3 end   u64 count of the runs
//! ```
//! Runs come in order of their ids, then the files, then the end.

use std::collections::BTreeMap;

use strata_primitives::{RunId, RunSummary, Version};
use strata_wal::{ImagePlace, LogSource, Lsn, NamedImage, WalError};

use crate::record::RecordPlace;

/// Where the image of a run lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunImage {
    /// The number of the image file.
    pub(crate) file: u64,
    /// The slices in it.
    pub(crate) place: ImagePlace,
    /// The commit it shows the run at.
    pub(crate) version: Version,
}

/// What a directory says of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunEntry {
    pub(crate) run: RunId,
    pub(crate) file: u64,
    pub(crate) place: ImagePlace,
    /// The newest record that is in the image.
    pub(crate) record: RecordPlace,
    pub(crate) summary: RunSummary,
}

impl RunEntry {
    /// Where the image of the run lies.
    pub(crate) fn image(&self) -> RunImage {
        RunImage { file: self.file, place: self.place, version: self.summary.stamp.version }
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

/// Bytes of a run's entry without its summary.
const RUN_HEAD_SIZE: usize = 16 + 8 + 8 + 8 + 4 + 8;

/// Appends what a page says of a run.
pub(crate) fn put_run(page: &mut Vec<u8>, entry: &RunEntry) {
    page.push(RUN);
    page.extend_from_slice(entry.run.as_bytes());
    page.extend_from_slice(&entry.file.to_le_bytes());
    page.extend_from_slice(&entry.place.offset.to_le_bytes());
    page.extend_from_slice(&entry.place.size.to_le_bytes());
    page.extend_from_slice(&entry.record.log.to_le_bytes());
    page.extend_from_slice(&entry.record.lsn.0.to_le_bytes());
    entry.summary.encode(page);
}

/// Appends what the last page says: which files there are, and that nothing is missing.
pub(crate) fn put_end(page: &mut Vec<u8>, files: &Files, run_count: u64) {
    for (number, FileUse { written, live }) in files {
        page.push(FILE);
        [*number, *written, *live].iter().for_each(|field| page.extend_from_slice(&field.to_le_bytes()));
    }
    page.push(END);
    page.extend_from_slice(&run_count.to_le_bytes());
}

/// A directory that is being read.
#[derive(Debug, Default)]
struct DirectoryReader {
    run_count: u64,
    files: Files,
    is_whole: bool,
}

impl DirectoryReader {
    /// Hands over the runs of the next page. Nothing in it can make this panic.
    fn take_page(
        &mut self,
        page: &[u8],
        mut take: impl FnMut(RunEntry) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut rest = page;
        while let Some((tag, after)) = rest.split_first() {
            if self.is_whole {
                return Err("the directory goes on behind its end".to_string());
            }
            rest = after;
            match *tag {
                RUN => {
                    self.run_count += 1;
                    take(decode_run(&mut rest)?)?;
                }
                FILE => {
                    let [number, written, live] = take_numbers(&mut rest)?;
                    self.files.insert(number, FileUse { written, live });
                }
                END => {
                    let [count] = take_numbers(&mut rest)?;
                    if count != self.run_count {
                        return Err(format!("{} runs, and the end counts {count}", self.run_count));
                    }
                    self.is_whole = true;
                }
                tag => return Err(format!("unknown tag {tag} in a directory")),
            }
        }
        Ok(())
    }

    /// The files, once all pages have come.
    fn finish(self) -> Result<Files, String> {
        match self.is_whole {
            true => Ok(self.files),
            false => Err(format!("the directory ends behind {} runs, before its end", self.run_count)),
        }
    }
}

/// What an image says of every run of its log, and the files it refers to. Those are not looked at: damage in one of them is
/// that of the runs in it.
pub(crate) fn read_directory(
    source: &LogSource,
    image: &NamedImage,
) -> Result<(Vec<RunEntry>, Files), WalError> {
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
    Ok((entries, directory.finish().map_err(damaged)?))
}

fn decode_run(rest: &mut &[u8]) -> Result<RunEntry, String> {
    let Some((head, after)) = rest.split_at_checked(RUN_HEAD_SIZE) else {
        return Err("a run's entry runs over the end of its page".to_string());
    };
    *rest = after;
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    Ok(RunEntry {
        run: RunId::from_bytes(head[..16].try_into().expect("sixteen bytes")),
        file: number(16),
        place: ImagePlace { offset: number(24), size: number(32) },
        record: RecordPlace {
            log: u32::from_le_bytes(head[40..44].try_into().expect("four bytes")),
            lsn: Lsn(number(44)),
        },
        summary: RunSummary::decode(rest).map_err(|error| error.to_string())?,
    })
}

fn take_numbers<const N: usize>(rest: &mut &[u8]) -> Result<[u64; N], String> {
    let Some((bytes, after)) = rest.split_at_checked(8 * N) else {
        return Err("a field runs over the end of its page".to_string());
    };
    *rest = after;
    Ok(std::array::from_fn(|index| {
        u64::from_le_bytes(bytes[8 * index..8 * index + 8].try_into().expect("eight bytes"))
    }))
}

#[cfg(test)]
mod tests {
    use strata_primitives::RunState;

    use super::*;

    fn entry() -> RunEntry {
        RunEntry {
            run: RunId::from_bytes([7; 16]),
            file: 3,
            place: ImagePlace { offset: 4096, size: 80 },
            record: RecordPlace { log: 2, lsn: Lsn(9) },
            summary: RunState::new(RunId::from_bytes([7; 16]), 1).summary(),
        }
    }

    fn files() -> Files {
        Files::from([(3, FileUse { written: 100, live: 80 })])
    }

    fn page() -> Vec<u8> {
        let mut page = Vec::new();
        put_run(&mut page, &entry());
        put_end(&mut page, &files(), 1);
        page
    }

    fn read(page: &[u8]) -> Result<(Vec<RunEntry>, Files), String> {
        let (mut reader, mut runs) = (DirectoryReader::default(), Vec::new());
        reader.take_page(page, |run| {
            runs.push(run);
            Ok(())
        })?;
        Ok((runs, reader.finish()?))
    }

    #[test]
    fn a_page_has_the_bytes_that_are_drawn() {
        let mut golden = vec![1];
        golden.extend_from_slice(&[7; 16]);
        for number in [3_u64, 4096, 80] {
            golden.extend_from_slice(&number.to_le_bytes());
        }
        golden.extend_from_slice(&[2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        entry().summary.encode(&mut golden);
        golden.push(2);
        for number in [3_u64, 100, 80] {
            golden.extend_from_slice(&number.to_le_bytes());
        }
        golden.push(3);
        golden.extend_from_slice(&1_u64.to_le_bytes());
        assert_eq!(page(), golden);
        assert_eq!(read(&golden), Ok((vec![entry()], files())));
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
        *miscounted.iter_mut().nth_back(7).unwrap() = 5;
        assert!(read(&miscounted).unwrap_err().contains("the end counts 5"));
        assert!(read(&[9]).unwrap_err().contains("unknown tag 9"));
    }
}
