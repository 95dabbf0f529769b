//! The runs of a shard on their way into an image.

use std::collections::BTreeSet;
use std::sync::Arc;

use strata_primitives::{
    Durability, Erasure, ImageEntry, ImageSlice, ImageWalk, Redaction, Retention, RunId, RunState,
    RunSummary, Snapshot, Stamp, Timestamp, Version,
};
use strata_wal::{ImageCursor, ImagePlace, Lsn};

use crate::base::Origin;
use crate::erasing::erasures_of;
use crate::held::Held;
use crate::image_directory::{DirectoryEnd, FileUse, Files, RunEntry, put_end, put_run};
use crate::image_thread::{ImagePart, redacted_size};
use crate::retained::{Keeping, Retained, RunImage};
use crate::run::Run;
use crate::run_table::RunTable;

/// How far the writing of an image has come, run by run in order of their ids.
///
/// Runs that have not changed since their last image stay where that lies, unless it lies in a file that is mostly
/// garbage, or small beside what is written now: such files are merged into this one. So live bytes are at least half of
/// all, and files are few: each is larger than all newer ones together (the merge rule of log-structured trees; Bentley and
/// Saxe, "Decomposable searching problems I", 1980).
#[derive(Debug)]
pub(crate) struct ImageOfRuns {
    log: u32,
    number: u64,
    cursor: ImageCursor,
    /// The last run that was looked at.
    after: Option<RunId>,
    current: Option<RunOnItsWay>,
    page: Vec<u8>,
    run_count: u64,
    /// Files whose runs are copied into this one.
    merged: BTreeSet<u64>,
    /// How many bytes were written to the files before this one.
    written_before: Files,
    files: Files,
    kept_from: Lsn,
    /// The archives that its runs need.
    archives: BTreeSet<u64>,
    noted: Vec<Noted>,
    /// What a run keeps that does not say so itself.
    retention: Retention,
    now: Timestamp,
    /// What is erased is taken out of what is copied.
    is_whole: bool,
    /// Runs that have more to forget of what was kept for their image.
    pub(crate) untidy: Vec<RunId>,
    is_done: bool,
}

/// What an image begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageBegin {
    /// Number of the log.
    pub(crate) log: u32,
    pub(crate) number: u64,
    /// It stands for the log up to here.
    pub(crate) through: Lsn,
    /// How many bytes of log were written since the image before.
    pub(crate) incoming: u64,
    /// How much history a run keeps that does not say so itself.
    pub(crate) retention: Retention,
    pub(crate) now: Timestamp,
    /// All other files are merged into it, whatever is in them.
    pub(crate) is_whole: bool,
}

/// What is new of a run's images once this one is there.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) run: RunId,
    pub(crate) image: RunImage,
    pub(crate) retained: Retained,
    /// It needs what it began as, if it is a fork.
    pub(crate) has_origin: bool,
}

/// A run whose slices are being written.
#[derive(Debug)]
struct RunOnItsWay {
    entry: RunEntry,
    /// The image that was its newest one.
    superseded: Option<RunImage>,
    snapshot: Snapshot,
    walk: ImageWalk,
}

/// A page of the directory is handed over when it has this many bytes.
const PAGE_SIZE: usize = 64 << 10;
/// What looking at a run counts for, in bytes of an image.
const LOOK_SIZE: usize = 64;

impl ImageOfRuns {
    /// An image behind the one that refers to `files`. Those that are unreadable are left alone.
    pub(crate) fn new(begin: ImageBegin, files: &Files, unreadable: &BTreeSet<u64>) -> ImageOfRuns {
        let ImageBegin { log, number, through, incoming, retention, now, is_whole } = begin;
        let merged = if is_whole { files.keys().copied().collect() } else { files_to_merge(files, incoming) };
        ImageOfRuns {
            log,
            number,
            cursor: ImageCursor::new(),
            after: None,
            current: None,
            page: Vec::new(),
            run_count: 0,
            merged: merged.difference(unreadable).copied().collect(),
            written_before: files.clone(),
            files: Files::new(),
            kept_from: through,
            archives: BTreeSet::new(),
            noted: Vec::new(),
            retention,
            now,
            is_whole,
            untidy: Vec::new(),
            is_done: false,
        }
    }

    /// Whether all of it is written.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// What its directory says at the end, and what is new of every run, once.
    pub(crate) fn take(&mut self) -> (DirectoryEnd, Vec<Noted>) {
        let (files, archives) = (std::mem::take(&mut self.files), std::mem::take(&mut self.archives));
        let end = DirectoryEnd { files, kept_from: self.kept_from, archives };
        (end, std::mem::take(&mut self.noted))
    }

    /// Writes about `size_max` bytes of it.
    pub(crate) fn write(&mut self, runs: &mut RunTable, size_max: usize, parts: &mut Vec<ImagePart>) {
        let mut size = 0;
        while size < size_max && !self.is_done {
            size += match self.current.take() {
                Some(run) => self.write_slice(run, runs, size_max - size, parts),
                None => self.begin_next(runs, parts),
            };
        }
    }

    /// Gives it up, with what is open for it.
    pub(crate) fn give_up(&mut self, runs: &mut RunTable) {
        if let Some(RunOnItsWay { entry, snapshot, .. }) = self.current.take() {
            let has_more = runs.close_snapshot(entry.run, snapshot);
            self.untidy.extend(has_more.then_some(entry.run));
        }
    }

    /// Goes on to the next run, or to the end. Returns how many bytes that counts for.
    fn begin_next(&mut self, runs: &mut RunTable, parts: &mut Vec<ImagePart>) -> usize {
        let next = runs.iter_after(self.after).next().map(Held::id);
        let Some(id) = next else {
            self.end(parts);
            return LOOK_SIZE;
        };
        self.after = Some(id);
        let run = match runs.held_mut(id).expect("the run was just found") {
            Held::Resident(run) => run,
            Held::Cold(cold) => {
                assert!(
                    cold.tail.is_empty(),
                    "runs with commits behind their image are loaded before an image is begun"
                );
                let entry = cold.entry.clone();
                return self.keep(entry, runs, parts);
            }
        };
        let lives_in_memory = run.durability == Some(Durability::InMemory);
        if lives_in_memory && run.logged == Stamp::default() {
            return LOOK_SIZE;
        }
        match run.image.filter(|image| image.stamp.version == run.logged.version) {
            Some(image) => {
                let summary = if lives_in_memory { tombstone_of(run).summary() } else { run.state.summary() };
                let entry = entry_of(run, image, summary);
                self.keep(entry, runs, parts)
            }
            None if lives_in_memory => {
                let (entry, superseded) = self.write_tombstone(run, parts);
                self.enter_new(entry, superseded, runs, parts)
            }
            None => {
                let image = self.image_of(run);
                let entry = entry_of(run, image, run.state.summary());
                let superseded = run.image;
                let (snapshot, walk) = (run.state.hold_snapshot(), ImageWalk::new());
                self.current = Some(RunOnItsWay { entry, superseded, snapshot, walk });
                LOOK_SIZE
            }
        }
    }

    /// An image of the run as it is, nothing of which is written yet.
    fn image_of(&self, run: &Run) -> RunImage {
        RunImage {
            file: self.number,
            place: ImagePlace::default(),
            stamp: run.logged,
            record: run.place,
            history_size: run.trail.size,
        }
    }

    /// The image that is there stays the newest one.
    fn keep(&mut self, mut entry: RunEntry, runs: &mut RunTable, parts: &mut Vec<ImagePart>) -> usize {
        let before = entry.clone();
        let moved = self.enter(&mut entry, None, runs, parts);
        if entry != before {
            self.note(&entry);
        }
        moved
    }

    /// What is left of a run whose present life is not logged: its earlier ones have ended with a logged commit.
    fn write_tombstone(&mut self, run: &Run, parts: &mut Vec<ImagePart>) -> (RunEntry, Option<RunImage>) {
        let (mut slice, stamp) = (ImageSlice::new(), run.logged);
        slice.put(&ImageEntry::Head { stamp, meta_version: stamp.version, meta: None });
        let erasures = run.state.erasures().iter().filter(|erasure| erasure.by <= stamp.version);
        let mut count = 1;
        for erasure in erasures {
            slice.put(&ImageEntry::Erasure { erasure: Box::new(erasure.clone()) });
            count += 1;
        }
        slice.put(&ImageEntry::End { count });
        let image = RunImage { place: self.cursor.slice(slice.len()), ..self.image_of(run) };
        parts.push(ImagePart::Slice(run.state.id(), slice));
        (entry_of(run, image, tombstone_of(run).summary()), run.image)
    }

    fn write_slice(
        &mut self,
        mut run: RunOnItsWay,
        runs: &mut RunTable,
        size_max: usize,
        parts: &mut Vec<ImagePart>,
    ) -> usize {
        let state =
            &mut runs.get_mut(run.entry.run).expect("a run that is looked at stays in the table").state;
        let view = state.view_at(&run.snapshot).expect("a held snapshot is not given up");
        let mut slice = ImageSlice::new();
        run.walk.write(&view, size_max, &mut slice);
        let size = slice.len();
        if !slice.is_empty() {
            run.entry.image.place = run.entry.image.place.and(self.cursor.slice(size));
            parts.push(ImagePart::Slice(run.entry.run, slice));
        }
        if !run.walk.is_done() {
            self.current = Some(run);
            // As many things were looked at as make up the rest.
            return size_max;
        }
        let has_more = runs.close_snapshot(run.entry.run, run.snapshot);
        self.untidy.extend(has_more.then_some(run.entry.run));
        size + self.enter_new(run.entry, run.superseded, runs, parts)
    }

    /// Enters a run whose image is new.
    fn enter_new(
        &mut self,
        mut entry: RunEntry,
        superseded: Option<RunImage>,
        runs: &mut RunTable,
        parts: &mut Vec<ImagePart>,
    ) -> usize {
        let size = self.enter(&mut entry, superseded.as_ref(), runs, parts);
        self.note(&entry);
        size
    }

    fn note(&mut self, entry: &RunEntry) {
        let RunEntry { run, image, ref retained, origin, .. } = *entry;
        self.noted.push(Noted { run, image, retained: retained.clone(), has_origin: origin.is_some() });
    }

    /// What is kept of the history of a run from this image on.
    fn retained(&self, entry: &RunEntry, superseded: Option<&RunImage>, forked: &[Version]) -> Retained {
        let keeping = match &entry.summary.meta {
            Some(meta) => {
                let retention = meta.retention.unwrap_or(self.retention);
                Keeping::Policy(meta.across_gaps(retention, entry.image.stamp.version))
            }
            None => Keeping::Nothing,
        };
        let begin = Origin::first_own(entry.origin, entry.run);
        entry.retained.follow(&entry.image, superseded, keeping, forked, begin, self.now)
    }

    /// Has an image copied here if its file is merged. Returns how many bytes that takes.
    fn move_merged(
        &mut self,
        image: &mut RunImage,
        run: RunId,
        erasures: &[Erasure],
        parts: &mut Vec<ImagePart>,
    ) -> usize {
        let RunImage { file, place, stamp, .. } = *image;
        if !self.merged.contains(&file) {
            return 0;
        }
        // An image that is behind an erasure of its run was written without what that covers.
        let is_in_it = |erasure: &&Erasure| erasure.entity.run_id() != run || stamp.version < erasure.by;
        let inside: Vec<Erasure> = erasures.iter().filter(is_in_it).cloned().collect();
        let size = if inside.is_empty() { place.size } else { redacted_size(place.size, &inside) };
        parts.push(match inside.is_empty() {
            true => ImagePart::Copy { file, place },
            false => {
                let redaction = Box::new(Redaction::new(run, inside));
                ImagePart::Redacted { file, place, redaction, size }
            }
        });
        (image.file, image.place) = (self.number, self.cursor.frames(size));
        size as usize
    }

    /// Enters a run into the directory, its image having taken the place of `superseded`. Returns how many bytes that takes.
    fn enter(
        &mut self,
        entry: &mut RunEntry,
        superseded: Option<&RunImage>,
        runs: &mut RunTable,
        parts: &mut Vec<ImagePart>,
    ) -> usize {
        let forked = runs.forks.versions(entry.run);
        entry.retained = self.retained(entry, superseded, &forked);
        // From now on nobody is given, or forks, what this image does not keep: once it has a name, that goes.
        runs.raise_floor(entry.run, entry.retained.floor);
        if !entry.is_over_origin() && forked.is_empty() && entry.has_image_of_floor() {
            entry.origin = None;
        }
        self.archives.extend(entry.origin.and_then(|origin| origin.archive()));
        let erasures = if self.is_whole { erasures_of(runs, entry.run) } else { Vec::new() };
        let RunEntry { run, image, retained, trail, .. } = entry;
        let mut size = 0;
        for image in retained.anchors.iter_mut().chain([&mut *image]) {
            size += self.move_merged(image, *run, &erasures, parts);
            self.files.entry(image.file).or_default().live += image.place.size;
        }
        if let Some(needed_from) = retained.needed_from(self.log, image, &forked, trail) {
            self.kept_from = self.kept_from.min(needed_from);
        }
        let before = self.page.len();
        put_run(&mut self.page, entry);
        size += self.page.len() - before;
        self.run_count += 1;
        if self.page.len() >= PAGE_SIZE {
            self.hand_over_page(parts);
        }
        size
    }

    fn end(&mut self, parts: &mut Vec<ImagePart>) {
        for (number, file) in &mut self.files {
            let before = self.written_before.get(number).map(|file| file.written);
            file.written = before.unwrap_or(file.live);
        }
        let files = self.files.clone();
        let end = DirectoryEnd { files, kept_from: self.kept_from, ..DirectoryEnd::default() };
        put_end(&mut self.page, &end, self.run_count);
        self.hand_over_page(parts);
        self.is_done = true;
    }

    fn hand_over_page(&mut self, parts: &mut Vec<ImagePart>) {
        let page = std::mem::take(&mut self.page);
        self.cursor.page(page.len());
        parts.push(ImagePart::Page(page));
    }
}

/// What the directory says of a resident run with this image.
fn entry_of(run: &Run, image: RunImage, summary: RunSummary) -> RunEntry {
    let (trail, retained) = (run.trail.clone(), run.retained.clone());
    let mut erasures = Arc::clone(run.state.erasures());
    if erasures.last().is_some_and(|last| last.by > image.stamp.version) {
        // Those of a life in memory are not logged.
        Arc::make_mut(&mut erasures).retain(|erasure| erasure.by <= image.stamp.version);
    }
    RunEntry { run: run.state.id(), image, summary, trail, retained, origin: run.origin, erasures }
}

/// A run as its last logged commit left it, when that ended its life.
fn tombstone_of(run: &Run) -> RunState {
    let mut left = RunState::new(run.state.id(), 0);
    left.commit(run.logged);
    left
}

/// The files that are merged into a new one: those that are mostly garbage, and, from the newest on, those that have no
/// more than all that is merged already.
fn files_to_merge(files: &Files, incoming: u64) -> BTreeSet<u64> {
    let is_mostly_garbage = |file: &FileUse| file.live < file.written / 2;
    let garbage = files.iter().filter(|(_, file)| is_mostly_garbage(file));
    let mut merged: BTreeSet<u64> = garbage.map(|(number, _)| *number).collect();
    let mut size = incoming;
    for (number, file) in files.iter().rev().filter(|(_, file)| !is_mostly_garbage(file)) {
        if file.live > size {
            break;
        }
        size += file.live;
        merged.insert(*number);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(u64, u64, u64)]) -> Files {
        files
            .iter()
            .map(|(number, written, live)| (*number, FileUse { written: *written, live: *live }))
            .collect()
    }

    #[test]
    fn files_that_are_mostly_garbage_are_merged_wherever_they_stand() {
        let files = files(&[(1, 1_000, 499), (2, 1_000, 500), (3, 600, 600)]);
        assert_eq!(files_to_merge(&files, 10), BTreeSet::from([1]));
    }

    #[test]
    fn small_files_are_merged_like_the_bits_of_a_counter() {
        let mut all = Files::new();
        for number in 1..=1_000_u64 {
            let merged = files_to_merge(&all, 10);
            let live: u64 = merged.iter().map(|file| all.remove(file).unwrap().live).sum();
            all.insert(number, FileUse { written: live + 10, live: live + 10 });
            assert!(all.len() <= 10, "{} files behind {number} images", all.len());
        }
        assert_eq!(all.values().map(|file| file.live).sum::<u64>(), 10_000, "nothing is lost");
    }
}
