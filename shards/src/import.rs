//! Importing a run: one commit of a run that begins as it was elsewhere, over an archive that becomes a part of the store.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use strata_primitives::{
    Durability, EntityRef, Error, ErrorKind, ForkPoint, Mutation, Operation, Outcome, RunId, RunMeta, Stamp,
    Version,
};
use strata_wal::LogSource;

use crate::archive::Archive;
use crate::base::{Base, Origin};
use crate::checkpoint_kind::CheckpointKind;
use crate::commit::{Staged, Step};
use crate::engine::Engine;
use crate::message::{Answer, Message, Reply};
use crate::record::RecordPlace;
use crate::report::ImportReport;
use crate::retained::Retained;
use crate::run::Run;
use crate::shard::{Shard, Then};
use crate::store_error::store_error;

/// A run that is to be imported.
#[derive(Debug)]
pub struct ImportRequest {
    /// What it begins as: itself, in the archive that the store has by now.
    pub(crate) base: Arc<Base>,
    /// The oldest version that came with it.
    pub(crate) floor: Version,
    /// No image that a recovery may begin with has any more of a deleted run of this id than that it was deleted.
    pub(crate) is_put_away: bool,
    /// Where the answer goes.
    pub(crate) reply: Reply,
}

impl ImportRequest {
    pub(crate) fn run(&self) -> RunId {
        self.base.origin.point.run
    }
}

impl Engine {
    /// Imports the run of the archive at `path`.
    ///
    /// # Errors
    /// `AlreadyExists` when the store has this run, or forks of a deleted one of its id; `Corrupt` when the archive is not as it was
    /// written; `Unsupported` for a newer one, for a store in memory and for one that is only read; `Busy` while somebody looks at a
    /// deleted run of this id; `Full`, `LogFailed`, `Closed`, `Io`. Nothing is imported then; after `LogFailed` it is unknown.
    pub fn import(&self, path: &Path) -> Result<ImportReport, Error> {
        let started = Instant::now();
        let imported = self.import_run(path, started);
        match &imported {
            Ok(ImportReport { run, version, bytes, elapsed, .. }) => {
                let took_micros = elapsed.as_micros() as u64;
                tracing::info!(target: "strata", %run, %version, bytes, took_micros, "a run is imported");
            }
            Err(error) => {
                tracing::warn!(target: "strata", path = %path.display(), %error, "a run is not imported")
            }
        }
        imported
    }

    fn import_run(&self, path: &Path, started: Instant) -> Result<ImportReport, Error> {
        if self.is_read_only || self.recovery.shards.is_empty() {
            let message = "runs are imported into a store on disk that is written";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        self.refuse_on_shard_thread()?;
        // The store does not end meanwhile.
        let _open = self.importing.lock().unwrap_or_else(PoisonError::into_inner);
        let source = self.source()?;
        let storage = Arc::clone(source.logs().first().expect("a store has a log").storage());
        let archive = Archive::open_at(&*storage, path).map_err(store_error)?;
        let run = archive.run();
        if let Outcome::Run(Some(_)) = self.caller(None).operate(run, Operation::RunGet, None)? {
            return Err(exists(run));
        }
        let state = archive.verify(rand::random::<u64>() as usize).map_err(store_error)?;
        let log = &source.logs()[self.shard_of(run)];
        let number = log.adopt_archive(archive.reader()).map_err(store_error)?;
        let point = ForkPoint { run, version: state.version() };
        let base = Arc::new(Base::new(Origin { point, record: RecordPlace::in_archive(number) }));
        base.fill(state);
        // What is not there before the first one is no gap.
        let floor = Some(archive.earliest()).filter(|earliest| *earliest > Version::NEVER.next());
        let version = self.commit_import(&base, floor.unwrap_or_default()).inspect_err(|error| {
            remove_unused(log, number, error);
        })?;
        let summary = archive.reader().summary();
        Ok(ImportReport {
            run,
            version,
            imported: point.version,
            earliest: archive.earliest(),
            bytes: summary.bytes,
            digest: summary.digest,
            elapsed: started.elapsed(),
        })
    }

    /// Has the shard of the run commit it. The version of that commit.
    fn commit_import(&self, base: &Arc<Base>, floor: Version) -> Result<Version, Error> {
        let run = base.origin.point.run;
        for is_put_away in [false, true] {
            if is_put_away {
                let kind = CheckpointKind { is_unconditional: true, ..CheckpointKind::default() };
                self.checkpoint_of(kind)?;
                self.checkpoint_of(kind)?;
            }
            let answer = self.ask(self.shard_of(run), |reply| {
                let base = Arc::clone(base);
                Message::Import(Box::new(ImportRequest { base, floor, is_put_away, reply }))
            })?;
            match answer {
                Answer::Batch(receipt) => {
                    return Ok(receipt.commit.expect("an import is a commit").version);
                }
                // There was one that was deleted.
                Answer::Done => {}
                other => unreachable!("an import was answered with {other:?}"),
            }
        }
        unreachable!("a shard that is told that a deleted run is put away imports, or tells why not")
    }
}

/// An archive that nothing refers to goes, unless it is not known whether something does.
fn remove_unused(log: &LogSource, number: u64, error: &Error) {
    if !matches!(error.kind(), ErrorKind::LogFailed | ErrorKind::Closed | ErrorKind::Io) {
        // What stays is removed by a later opening.
        let _ = log.remove_archive(number);
    }
}

impl Shard {
    /// Imports a run.
    pub(crate) fn import(&mut self, request: Box<ImportRequest>) {
        let run = request.run();
        let need = self.need_of(run);
        let step = match self.stage_import(&request) {
            Ok(Some(staged)) => self.commit(staged),
            Ok(None) => {
                return self.withheld.answer(request.reply, Ok(Answer::Done), need, &self.progress);
            }
            Err(error) => Step::Done(Err(error.with_entity(EntityRef::run(run))), need),
        };
        self.carry(step, Then::Batch(request.reply));
    }

    /// Decides an import; nothing, where a deleted run of the id is to be put away first.
    fn stage_import(&mut self, request: &ImportRequest) -> Result<Option<Staged>, Error> {
        self.check_takes_commits("import")?;
        let ImportRequest { base, floor, is_put_away, .. } = request;
        let Origin { point: ForkPoint { run, version }, .. } = base.origin;
        let mut before = Stamp::default();
        if let Some(deleted) = self.runs.get(run) {
            if deleted.state.exists() {
                return Err(exists(run));
            }
            if !is_put_away {
                return Ok(None);
            }
            if deleted.origin.is_some() || self.runs.forks.is_any_of(run) {
                let message = "a run of this id was deleted, and runs that were forked from it are there";
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
            if deleted.state.is_looked_at() || !deleted.need.is_met(&self.progress) {
                let message = "a run of this id was deleted, and somebody looks at it: try again";
                return Err(Error::new(ErrorKind::Busy, message));
            }
            before = Stamp { version: deleted.state.version(), timestamp: deleted.state.timestamp() };
        }
        let was = base.state().expect("what is imported is made before it is sent");
        let meta = was.meta().expect("an archive ends with a run that is there").clone();
        let durability = self.setup.promise(meta.durability, None)?;
        let stamp = Stamp {
            version: version.max(before.version).next(),
            timestamp: self.now.max(was.timestamp()).max(before.timestamp),
        };
        let meta = RunMeta {
            begun_in_boot: self.boot.number,
            imported: Some(version),
            since: stamp.version,
            ..meta
        };
        let mut mutations = std::mem::take(&mut self.spare_mutations);
        mutations.push(Mutation::RunImport { version, floor: *floor, meta: Box::new(meta) });
        let retained = Retained { floor: *floor, ..Retained::default() };
        let imported = Box::new(Run { retained, ..Run::forked(run, Arc::clone(base)) });
        assert!(durability > Durability::InMemory, "only a store with a log imports");
        self.bases.enter(base);
        let body = std::mem::take(&mut self.spare_body);
        Ok(Some(Staged::first(imported, mutations, stamp, durability, None, body)))
    }
}

fn exists(run: RunId) -> Error {
    let error = Error::new(ErrorKind::AlreadyExists, "the store has a run of this id");
    error.with_entity(EntityRef::run(run))
}
