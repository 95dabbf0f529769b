//! Reading everything that a store has on disk, to see that it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use strata_primitives::{
    Answer, ChainReport, Context, Draft, Error, ErrorKind, ForkPoint, Limits, Operation, Outcome, RunState,
    Version, validate,
};
use strata_wal::{LogHistory, LogMode, LogSource, Lsn, VerifiedLog};

use crate::archive::Archive;
use crate::cold_run::ImageShelf;
use crate::compaction::needed_by;
use crate::engine::Engine;
use crate::image_directory::{RunEntry, read_directory};
use crate::kin::Kin;
use crate::record::{self, RecordPlace};
use crate::record_walk::{KnownMilestones, RecordWalk, lost};
use crate::retained::RunImage;
use crate::store_error::store_error;

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Logs that are read, of all there are.
    pub logs: (usize, usize),
    /// Records of logs.
    pub records: u64,
    /// Images of runs, of those of the log that is read.
    pub images: (u64, u64),
}

/// What reading everything came to.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Segments of logs, those of the history among them.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Images of runs.
    pub images: u64,
    /// Archives of runs that were imported.
    pub archives: u64,
    /// What is damaged, each with its file and offset. Nothing, when all is well.
    pub damage: Vec<Error>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Engine {
    /// Reads every batch of every log and every image of every run, checks all sums and chains, looks for every record that a version
    /// which is kept is made of, and tells of what is damaged or missing.
    ///
    /// # Errors
    /// Those of a checkpoint, with which it begins, and `Io`.
    pub fn verify(&self, progress: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, Error> {
        let started = Instant::now();
        // What is read is written, and stays where it is.
        let (source, _hold) = self.hold_source()?;
        let mut verification = Verification::default();
        verification.progress.logs.1 = source.logs().len();
        for (log, source) in source.logs().iter().enumerate() {
            let found = self.recovery.shards.get(log).map_or(Lsn::ZERO, |shard| shard.log.end.lsn);
            let through = source.images().next().map_or(Lsn::ZERO, |image| image.through).max(found);
            verification.read_log(source, through, progress)?;
            let newest = verification.read_images(source, progress)?;
            verification.walk_records(source, &newest)?;
            verification.progress.logs.0 += 1;
            progress(verification.progress);
        }
        verification.report.elapsed = started.elapsed();
        Ok(verification.report)
    }
}

#[derive(Default)]
struct Verification {
    report: VerifyReport,
    progress: VerifyProgress,
    /// Those that the log being read names and no image: of runs that were imported behind the newest one.
    archives: BTreeSet<u64>,
}

/// How many records are read between two reports.
const RECORDS_OF_A_REPORT: u64 = 10_000;

impl Verification {
    fn read_log(
        &mut self,
        source: &LogSource,
        through: Lsn,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<(), Error> {
        let imaged = source.images().next().map_or(Lsn::ZERO, |image| image.through);
        let read = source.verify(through, &mut |log, found| {
            let record = record::decode(found.body)?;
            // Behind a change of the number of shards the history has records of other logs.
            if log == source.log() && found.lsn >= imaged {
                self.archives.extend(record.head.previous.archive());
            }
            self.progress.records += 1;
            if self.progress.records.is_multiple_of(RECORDS_OF_A_REPORT) {
                progress(self.progress);
            }
            Ok(())
        });
        let VerifiedLog { segments, records, damage } = read.map_err(store_error)?;
        self.report.segments += segments;
        self.report.records += records;
        self.report.damage.extend(damage.into_iter().map(store_error));
        Ok(())
    }

    /// Reads every run of the images that a recovery may begin with, and the older ones that are kept of it. Returns the runs of the
    /// newest one that can be read.
    fn read_images(
        &mut self,
        source: &LogSource,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<Vec<RunEntry>, Error> {
        let mut shelf = ImageShelf::new(source.clone(), 0);
        // Each image with its run, and the runs of its directory.
        let (mut wanted, mut kins): (Vec<(RunImage, RunEntry, usize)>, Vec<Kin>) = Default::default();
        let (mut files, mut archives) = (BTreeSet::new(), std::mem::take(&mut self.archives));
        let mut newest = None;
        for image in source.images() {
            files.insert(image.number);
            let read = read_directory(source, &image).map_err(store_error);
            let Some((entries, _)) = self.keep_damage(read)? else { continue };
            archives.extend(entries.iter().filter_map(|entry| entry.origin?.archive()));
            for entry in &entries {
                let images = entry.retained.anchors.iter().chain([&entry.image]);
                wanted.extend(images.map(|image| (*image, entry.clone(), kins.len())));
            }
            kins.push(Kin::new(&entries));
            newest.get_or_insert(entries);
        }
        files.extend(wanted.iter().map(|(image, _, _)| image.file));
        for file in files {
            // All of it, also what no run is read from any more.
            let read = source.open_image(file).and_then(|file| file.read_all(|_, _| {}));
            self.keep_damage(read.map_err(store_error))?;
        }
        for number in archives {
            let read = Archive::open(source, number).and_then(|archive| archive.verify(0));
            if self.keep_damage(read.map_err(store_error))?.is_some() {
                self.report.archives += 1;
            }
        }
        wanted.sort_by_key(|(image, _, _)| (image.file, image.place.offset));
        wanted.dedup_by_key(|(image, _, _)| *image);
        // Forks of one version together, and those that they are over before them more often than not.
        wanted.sort_by_key(|(_, entry, _)| entry.origin.map(|origin| origin.point));
        self.progress.images = (0, wanted.len() as u64);
        for (image, entry, kin) in wanted {
            let base = kins[kin].base_of(&entry, &mut shelf, source);
            let state =
                base.and_then(|base| shelf.read(entry.run, &image, base.as_ref()).map_err(store_error));
            if let Some(state) = self.keep_damage(state)? {
                self.keep_damage(check_chain(&state))?;
                self.report.images += 1;
            }
            self.progress.images.0 += 1;
            progress(self.progress);
        }
        Ok(newest.unwrap_or_default())
    }

    /// Looks for every record that versions are made from which these runs of an image keep: a file that has some may be missing.
    fn walk_records(&mut self, source: &LogSource, entries: &[RunEntry]) -> Result<(), Error> {
        let needed = self.keep_damage(needed_by(source, entries.iter(), Vec::new()))?.unwrap_or_default();
        // Whoever writes the log may write past the page cache.
        let Some(mut log) =
            self.keep_damage(LogHistory::new(source, LogMode::Direct).map_err(store_error))?
        else {
            return Ok(());
        };
        let origins = entries.iter().filter_map(|entry| entry.origin?.in_log());
        let forked: BTreeMap<ForkPoint, RecordPlace> =
            origins.map(|origin| (origin.point, origin.record)).collect();
        for entry @ RunEntry { run, image, origin, .. } in entries {
            let (images, begins) = (entry.known().images, origin.map(|origin| origin.record));
            // On the way to the last version that is made from one all others are met.
            let mut stretches = BTreeMap::<Version, Version>::new();
            for (from, through) in needed.get(run).into_iter().flatten() {
                let last = stretches.entry(*from).or_default();
                *last = (*last).max(*through);
            }
            for (from, through) in &stretches {
                // What lies between a version that a fork began as and those that the run keeps need not be there.
                let of_fork = forked.get(&ForkPoint { run: *run, version: *through });
                let newest = of_fork.map_or(image.record, |record| *record);
                let through = (*through).min(image.stamp.version);
                if *from >= through {
                    continue;
                }
                // The record of what the others are applied to is not one of them.
                let base = images.iter().find(|image| image.stamp.version == *from).map(|image| image.record);
                let walk = RecordWalk { run: *run, newest, base: base.or(begins).unwrap_or_default() };
                let walked = walk.places_behind(*from, through, &mut log, &mut KnownMilestones::default());
                let what =
                    format!("versions behind {from}, up to {through}, are kept, and a record is missing");
                self.keep_damage(walked.map_err(|error| lost(error, what)))?;
            }
        }
        Ok(())
    }

    /// Damage is noted, and reading goes on behind it; anything else ends it.
    fn keep_damage<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.report.damage.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether every event of a run hashes to what is stored.
fn check_chain(state: &RunState) -> Result<(), Error> {
    if !state.exists() {
        return Ok(());
    }
    let context = Context { now: state.timestamp(), boot: 0 };
    let mut draft = Draft::new(state.view());
    match validate(Operation::EventVerifyChain, &mut draft, &context, &Limits::default()) {
        Ok(Answer::Read(Outcome::Chain(ChainReport { valid: false, first_invalid, .. }))) => {
            let message =
                format!("run {}: event {first_invalid:?} does not hash to what is stored", state.id());
            Err(Error::new(ErrorKind::Corrupt, message))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(ErrorKind::Corrupt, format!("run {}: {error}", state.id()))),
    }
}
