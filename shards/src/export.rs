//! Exporting a run: all that is kept of its history goes into an archive, on the thread of its caller.
//!
//! What a run was forked from, and that in turn, comes first, each as far as the next one inherited it; what an archive has is copied from
//! there. Of each the oldest version that is kept is made, and the records behind it are applied to that one by one: so one run is in
//! memory, and the place of each of its records.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use strata_primitives::{
    Durability, Erasure, Error, ErrorKind, Operation, Outcome, Redaction, RunId, RunState, Version,
};
use strata_wal::{
    ArchiveReader, ArchiveWriter, Archived, ArchivedState, LogHistory, LogMode, LogSource, WalError,
};

use crate::archive::{Archive, Played, Player, run_of, write_state};
use crate::base::Base;
use crate::cold_run::ImageShelf;
use crate::engine::Engine;
use crate::history::group_of;
use crate::lines::{Lines, Stretch};
use crate::record::{self, RecordPlace};
use crate::record_walk::{KnownMilestones, RecordWalk, lost};
use crate::replay::apply;
use crate::report::ExportReport;
use crate::run::Run;
use crate::store_error::store_error;

/// A state is written anew behind so many bytes of records, or so many records.
const STATE_DISTANCE: u64 = 16 << 20;
const STATE_COMMITS: u64 = 10_000;

impl Engine {
    /// Writes the history of a run to an archive at `path`.
    ///
    /// # Errors
    /// `NotFound` when the run does not exist; `Unsupported` for one that lives in memory, and when something lies at `path`; those of a
    /// checkpoint, with which it begins where the store is written; `Corrupt`, `Full`, `Io`. Nothing lies at `path` then.
    pub fn export(&self, run: RunId, path: &Path) -> Result<ExportReport, Error> {
        let started = Instant::now();
        let exported = self.export_run(run, path, started);
        match &exported {
            Ok(ExportReport { version, versions, bytes, elapsed, .. }) => {
                let took_micros = elapsed.as_micros() as u64;
                tracing::info!(target: "strata", %run, %version, versions, bytes, took_micros, "a run is exported");
            }
            Err(error) => tracing::warn!(target: "strata", %run, %error, "a run is not exported"),
        }
        exported
    }

    fn export_run(&self, run: RunId, path: &Path, started: Instant) -> Result<ExportReport, Error> {
        let Outcome::Run(info) = self.caller(None).operate(run, Operation::RunGet, None)? else {
            unreachable!("a question for a run is answered with one")
        };
        let missing = || Error::new(ErrorKind::NotFound, "the run does not exist");
        let info = info.ok_or_else(missing)?;
        if self.recovery.shards.is_empty() || info.durability == Some(Durability::InMemory) {
            let message = "what lives in memory has no history that could be exported";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let (source, _hold) = self.hold_source()?;
        let log = &source.logs()[self.shard_of(run)];
        let lines = Lines::read(log, self.is_read_only)?;
        let stretches = lines.stretches(run)?;
        let mut export = Export {
            log,
            lines: &lines,
            shelf: ImageShelf::new(log.clone(), rand::random::<u64>() as usize),
            history: LogHistory::new(log, LogMode::Direct).map_err(store_error)?,
            writer: log.create_archive(path, self.clock.now().0).map_err(store_error)?,
            earliest: Version::NEVER,
            written: Version::NEVER,
            versions: 0,
            distance: (0, 0),
        };
        let mut base = None;
        let mut last = None;
        for (index, stretch) in stretches.iter().enumerate() {
            let state = export.stretch(stretch, base.as_ref())?;
            match stretches.get(index + 1).and_then(|next| next.origin) {
                Some(origin) if (state.id(), state.version()) == (origin.point.run, origin.point.version) => {
                    let made = Base::new(origin);
                    made.fill(state);
                    base = Some(Arc::new(made));
                }
                Some(origin) => {
                    let message =
                        format!("version {} of run {} is not there", origin.point.version, origin.point.run);
                    return Err(Error::new(ErrorKind::Corrupt, message));
                }
                None => last = Some(state),
            }
        }
        let mut last = last.expect("the run itself comes last");
        // It may have been deleted since it was looked for.
        if !last.exists() {
            return Err(missing());
        }
        let version = last.version();
        if export.written != version {
            export.state(&mut last, &lines.erasures(run))?;
        }
        let Export { writer, earliest, versions, .. } = export;
        let summary = writer.finish().map_err(store_error)?;
        let (bytes, digest) = (summary.bytes, summary.digest);
        Ok(ExportReport { run, version, earliest, versions, bytes, digest, elapsed: started.elapsed() })
    }
}

/// An export under way.
struct Export<'a> {
    log: &'a LogSource,
    lines: &'a Lines,
    shelf: ImageShelf,
    history: LogHistory,
    writer: ArchiveWriter,
    /// The first version in it.
    earliest: Version,
    /// The version of the newest state in it.
    written: Version,
    versions: u64,
    /// Bytes of records behind that, and how many.
    distance: (u64, u64),
}

impl Export<'_> {
    /// Writes the versions of a stretch. The run behind them.
    fn stretch(&mut self, stretch: &Stretch, base: Option<&Arc<Base>>) -> Result<RunState, Error> {
        match stretch.newest.archive() {
            Some(number) => self.archived(stretch, number),
            None => self.logged(stretch, base),
        }
    }

    fn logged(&mut self, stretch: &Stretch, base: Option<&Arc<Base>>) -> Result<RunState, Error> {
        let Stretch { run: id, from, has_commit, to, newest, .. } = *stretch;
        let erasures = self.lines.erasures(id);
        let mut redaction = Redaction::new(id, erasures.clone());
        let mut run = self.begin(stretch, base)?;
        erasures.iter().for_each(|erasure| drop(run.state.redact(erasure)));
        if redaction.needs_to_know() {
            redaction.know(run.state.version(), &run.state);
        }
        let walk = RecordWalk { run: id, newest, base: run.place };
        // The files stay while they are read.
        let places =
            walk.places_behind(run.state.version(), to, &mut self.history, &mut KnownMilestones::default());
        let places = places.map_err(|error| lost(error, "a record of a version that is kept is missing"))?;
        let mut is_begun = run.state.version() >= from;
        if is_begun {
            // Where older commits are kept, so is this one.
            if has_commit {
                let body = self.record(id, run.place, &mut redaction)?;
                self.writer.append_record(&body, None).map_err(store_error)?;
            }
            self.state(&mut run.state, &erasures)?;
        }
        for place in places {
            let body = self.record(id, place, &mut redaction)?;
            let applied = record::decode(&body).and_then(|record| apply(&mut run, place, record));
            applied.map_err(|reason| self.damaged(id, place, reason))?;
            if run.state.version() >= from {
                self.commit(&mut run.state, &body, &mut is_begun, &erasures)?;
            }
        }
        match run.state.version() == to {
            true => Ok(run.state),
            false => {
                let message = format!("version {to} of run {id} is not there, but {}", run.state.version());
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }

    /// The run at the newest version not behind the first that is wanted, of which an image is whole; without one as it began.
    fn begin(&mut self, stretch: &Stretch, base: Option<&Arc<Base>>) -> Result<Run, Error> {
        let Stretch { run, from, to, .. } = *stretch;
        let oldest = from.min(to);
        let images = self.lines.line(run)?.images.iter().filter(|image| image.stamp.version <= oldest);
        let mut damage = None;
        for image in images {
            match self.shelf.read(run, image, base) {
                Ok(state) => return Ok(Run { place: image.record, logged: image.stamp, ..Run::new(state) }),
                Err(error @ WalError::Corrupt { .. }) => {
                    tracing::warn!(target: "strata", shard = self.log.index(), %run, %error, "an image is damaged: an export begins with an older one");
                    damage = damage.or(Some(error));
                }
                Err(error) => return Err(store_error(error)),
            }
        }
        match (damage, base) {
            (Some(damage), _) if self.lines.line(run)?.floor > Version::NEVER => Err(store_error(damage)),
            (_, Some(base)) => Ok(Run::forked(run, Arc::clone(base))),
            (_, None) => Ok(Run::new(self.shelf.blank(run))),
        }
    }

    /// The body of a record without what is erased of it.
    fn record(
        &mut self,
        run: RunId,
        place: RecordPlace,
        redaction: &mut Redaction,
    ) -> Result<Vec<u8>, Error> {
        let found = self.history.record(group_of(run), place.log, place.lsn).map_err(store_error)?;
        let found = found.map(|found| found.body.to_vec());
        let redacted = match &found {
            Some(body) => record::without_erased(body, redaction),
            None => Err("the record is not there any more".to_string()),
        };
        match redacted {
            Ok(redacted) => Ok(redacted.or(found).expect("a record that is there has a body")),
            Err(reason) => Err(self.damaged(run, place, reason)),
        }
    }

    fn damaged(&mut self, run: RunId, place: RecordPlace, reason: String) -> Error {
        store_error(self.history.corrupt(group_of(run), place.log, place.lsn, reason))
    }

    /// Writes the commit that led to what the run is now.
    fn commit(
        &mut self,
        run: &mut RunState,
        body: &[u8],
        is_begun: &mut bool,
        erasures: &[Erasure],
    ) -> Result<(), Error> {
        let leads_to = is_begun.then_some(run.version().0);
        self.writer.append_record(body, leads_to).map_err(store_error)?;
        self.distance = (self.distance.0 + body.len() as u64, self.distance.1 + 1);
        let is_far = self.distance.0 >= STATE_DISTANCE || self.distance.1 >= STATE_COMMITS;
        if !std::mem::replace(is_begun, true) {
            return self.state(run, erasures);
        }
        self.versions += 1;
        if is_far { self.state_again(run, erasures) } else { Ok(()) }
    }

    /// Writes the run as it is, a version that no record before leads to.
    fn state(&mut self, run: &mut RunState, erasures: &[Erasure]) -> Result<(), Error> {
        self.versions += u64::from(self.earliest == Version::NEVER || self.reached() < run.version());
        if self.earliest == Version::NEVER {
            self.earliest = run.version();
        }
        self.state_again(run, erasures)
    }

    /// Writes the run as it is, a version that a record has led to.
    fn state_again(&mut self, run: &mut RunState, erasures: &[Erasure]) -> Result<(), Error> {
        erasures.iter().for_each(|erasure| drop(run.redact(erasure)));
        (self.written, self.distance) = (run.version(), (0, 0));
        write_state(&mut self.writer, run).map_err(store_error)
    }

    /// The newest version that is written.
    fn reached(&self) -> Version {
        Version(self.writer.through())
    }

    /// Writes what an archive of the store has.
    fn archived(&mut self, stretch: &Stretch, number: u64) -> Result<RunState, Error> {
        let Stretch { run: id, from, to, .. } = *stretch;
        let archive = Archive::open(self.log, number).map_err(store_error)?;
        let seed = self.shelf.hash_seed();
        let erasures = self.lines.erasures(id);
        let reader = archive.reader();
        if from <= to {
            let mut copy = ArchiveCopy {
                player: Player::new(seed),
                state: None,
                redaction: None,
                is_begun: false,
                failure: None,
            };
            let states = reader.states();
            let first = states.partition_point(|state| state.number <= from.0).saturating_sub(1);
            let mut rest = states[first..].iter();
            // The commit of its first version stands in front of that.
            let offset = if first == 0 { ArchiveReader::BEGIN } else { states[first].offset };
            reader
                .read_from(offset, &mut |_, archived| {
                    copy.take(self, &mut rest, (from, to), archived, &erasures)
                })
                .map_err(store_error)?;
            let ended = copy.end(self, (from, to), &erasures);
            ended.map_err(|reason| store_error(reader.corrupt(offset, reason)))?;
            copy.failure.map_or(Ok(()), Err)?;
        }
        match archive.make(to, seed).map_err(store_error)? {
            Some(state) if state.version() == to => Ok(state),
            _ => Err(store_error(reader.corrupt(0, format!("version {to} is not in it")))),
        }
    }
}

/// What is copied from an archive.
struct ArchiveCopy {
    player: Player,
    state: Option<ArchivedState>,
    redaction: Option<Redaction>,
    /// The version that the archive is at was written, and records lead on from it.
    is_begun: bool,
    failure: Option<Error>,
}

impl ArchiveCopy {
    fn take(
        &mut self,
        export: &mut Export<'_>,
        states: &mut std::slice::Iter<'_, ArchivedState>,
        range: (Version, Version),
        archived: Archived<'_>,
        erasures: &[Erasure],
    ) -> Result<bool, String> {
        if let Archived::Slice(_, true) = archived {
            self.end(export, range, erasures)?;
            let state = *states.next().ok_or("a state that the index does not name")?;
            if Version(state.number) > range.1 || self.failure.is_some() {
                return Ok(false);
            }
            let run = run_of(&state);
            let known = self.redaction.as_ref().is_some_and(|redaction| redaction.run() == run);
            if !known {
                self.redaction = Some(Redaction::new(run, erasures.to_vec()));
            }
            self.state = Some(state);
        }
        let Archived::Record(body) = archived else {
            let state = self.state.as_ref().ok_or("a part of a state that has not begun")?;
            return self.player.take(state, archived, range.1).map(|_| true);
        };
        let Some(state) = self.state else {
            let head = record::decode_head(body)?;
            let mut redaction = Redaction::new(head.run, erasures.to_vec());
            let redacted = record::without_erased(body, &mut redaction)?;
            self.copy_in_front(export, range, head.version, redacted.as_deref().unwrap_or(body));
            return Ok(self.failure.is_none());
        };
        self.end(export, range, erasures)?;
        let redacted = match &mut self.redaction {
            Some(redaction) => record::without_erased(body, redaction)?,
            None => None,
        };
        let body = redacted.as_deref().unwrap_or(body);
        match self.player.take(&state, Archived::Record(body), range.1)? {
            Played::Beyond => return Ok(false),
            Played::Applied => {
                let run = self.player.state_mut().expect("a commit was applied to it");
                if run.version() >= range.0 {
                    let written = export.commit(run, body, &mut self.is_begun, erasures);
                    self.failure = self.failure.take().or(written.err());
                }
            }
            Played::LeadsNowhere => {
                let version = record::decode_head(body)?.version;
                self.copy_in_front(export, range, version, body);
            }
            Played::Part => {}
        }
        Ok(self.failure.is_none())
    }

    /// Copies a commit that leads to the state behind it, if it is wanted.
    fn copy_in_front(
        &mut self,
        export: &mut Export<'_>,
        (from, to): (Version, Version),
        version: Version,
        body: &[u8],
    ) {
        if (from..=to).contains(&version) {
            let written = export.writer.append_record(body, None).map_err(store_error);
            self.failure = self.failure.take().or(written.err());
        }
    }

    /// The state that was coming is whole, if one was.
    fn end(
        &mut self,
        export: &mut Export<'_>,
        (from, to): (Version, Version),
        erasures: &[Erasure],
    ) -> Result<(), String> {
        let Some(state) = self.state else { return Ok(()) };
        if !self.player.close(&state)? {
            return Ok(());
        }
        let run = self.player.state_mut().expect("its state has come");
        self.is_begun = (from..=to).contains(&run.version());
        if self.is_begun && export.written != run.version() {
            let written = export.state(run, erasures);
            self.failure = self.failure.take().or(written.err());
        }
        Ok(())
    }
}
