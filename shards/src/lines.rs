//! What the files of a log say of its runs: which versions each of them has, and where what leads to them lies.

use std::collections::BTreeMap;

use strata_primitives::{Erasure, Error, ErrorKind, ForkPoint, Mutation, RunId, Version};
use strata_wal::{LogSource, RecordRef, WalError, scan};

use crate::base::Origin;
use crate::erasing::{Descent, erasures_of};
use crate::image_directory::{RunEntry, read_directory};
use crate::record::{self, RecordPlace};
use crate::retained::RunImage;
use crate::store_error::store_error;

/// What files say of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// The newest first.
    pub(crate) images: Vec<RunImage>,
    pub(crate) floor: Version,
    origin: Option<Origin>,
    newest: RecordPlace,
    version: Version,
    erasures: Vec<Erasure>,
}

/// What they say of all runs of a log.
pub(crate) struct Lines(BTreeMap<RunId, Line>);

/// Versions of one run that are to be exported, with what leads to them.
pub(crate) struct Stretch {
    pub(crate) run: RunId,
    /// The first one, unless nothing is to be written of it.
    pub(crate) from: Version,
    /// Whether its commit is to be written too: that leads to it from the one in front.
    pub(crate) has_commit: bool,
    pub(crate) to: Version,
    pub(crate) newest: RecordPlace,
    /// What the run began as.
    pub(crate) origin: Option<Origin>,
}

impl Lines {
    /// Reads the directory of the newest image, and of a store that is only read the log behind it.
    pub(crate) fn read(log: &LogSource, has_tail: bool) -> Result<Lines, Error> {
        let mut lines = Lines(BTreeMap::new());
        let mut newest = None;
        for image in log.images() {
            match read_directory(log, &image) {
                Ok((entries, _)) => {
                    lines.0 = entries.into_iter().map(|entry| (entry.run, Line::of(entry))).collect();
                    newest = Some(image);
                    break;
                }
                // Opening the store began further back.
                Err(WalError::Corrupt { .. }) if has_tail => {}
                Err(error) => return Err(store_error(error)),
            }
        }
        if has_tail {
            let number = log.log();
            scan(log, newest.as_ref(), &mut |found| lines.take_record(number, found)).map_err(store_error)?;
        }
        Ok(lines)
    }

    fn take_record(&mut self, log: u32, found: RecordRef<'_>) -> Result<(), String> {
        let record = record::decode(found.body)?;
        let (run, version) = (record.head.run, record.head.version);
        let line = self.0.entry(run).or_default();
        if version <= line.version {
            return Ok(());
        }
        let origin = |point| Some(Origin { point, record: record.head.previous });
        match record.mutations.first() {
            Some(Mutation::RunFork { point, .. }) => line.origin = origin(*point),
            Some(Mutation::RunImport { version, floor, .. }) => {
                let point = ForkPoint { run, version: *version };
                *line = Line { floor: *floor, origin: origin(point), ..Line::default() };
            }
            Some(Mutation::RunDelete { .. }) => line.floor = version,
            Some(Mutation::RunCreate { .. }) if version > line.version.next() => line.floor = version,
            Some(mutation @ Mutation::Erase { .. }) => line.erasures.extend(Erasure::of(mutation, version)),
            _ => {}
        }
        (line.version, line.newest) = (version, RecordPlace { log, lsn: found.lsn });
        Ok(())
    }

    /// What makes up the history of a run, the oldest first. Of what lies in front of one that has given up commits of its own nothing is to
    /// be written: an archive has no holes.
    pub(crate) fn stretches(&self, run: RunId) -> Result<Vec<Stretch>, Error> {
        let line = self.line(run)?;
        let (mut run, mut to, mut newest) = (run, line.version, line.newest);
        let (mut stretches, mut is_given_up) = (Vec::new(), false);
        loop {
            let Line { floor, origin, .. } = *self.line(run)?;
            let begin = origin.map_or(Version::NEVER, |origin| origin.point.version).next();
            // What a run began as is kept for it, whatever else is not.
            let from = if is_given_up { to.next() } else { floor.max(begin).min(to) };
            stretches.push(Stretch { run, from, has_commit: floor < from, to, newest, origin });
            is_given_up |= floor > begin;
            let Some(origin) = origin else { break };
            let Origin { point, record } = origin;
            if point.version >= to {
                let message = format!("run {run} began behind its version {to}, at {}", point.version);
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            if record.archive().is_some() {
                let (floor, to) = (origin.floor_in_archive(run, floor), point.version);
                let (run, from) = (point.run, if is_given_up { to.next() } else { floor });
                stretches.push(Stretch { run, from, has_commit: true, to, newest: record, origin: None });
                break;
            }
            (run, to, newest) = (point.run, point.version, record);
        }
        stretches.reverse();
        Ok(stretches)
    }

    pub(crate) fn line(&self, run: RunId) -> Result<&Line, Error> {
        let missing = || Error::new(ErrorKind::Corrupt, format!("no file tells of run {run}"));
        self.0.get(&run).ok_or_else(missing)
    }

    pub(crate) fn erasures(&self, run: RunId) -> Vec<Erasure> {
        erasures_of(self, run)
    }
}

impl Line {
    fn of(entry: RunEntry) -> Line {
        Line {
            images: entry.known().images,
            floor: entry.retained.floor,
            origin: entry.origin,
            newest: entry.image.record,
            version: entry.image.stamp.version,
            erasures: entry.erasures.to_vec(),
        }
    }
}

impl Descent for Lines {
    fn erased(&self, run: RunId) -> Option<(&[Erasure], Option<Origin>)> {
        let line = self.0.get(&run)?;
        Some((&line.erasures, line.origin))
    }
}
