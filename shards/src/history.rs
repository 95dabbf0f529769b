//! A run as it was at an older version: made from the newest image before it and the records behind that.

use std::sync::Arc;

use strata_primitives::{EntityRef, Error, ErrorKind, ForkPoint, RunId, RunState, Version};
use strata_wal::{GroupId, LogHistory, WalError};

use crate::archive::Archive;
use crate::base::{Ancestor, Base, Lineage};
use crate::cold_run::ImageShelf;
use crate::record::RecordPlace;
use crate::record_walk::{KnownMilestones, RecordWalk};
use crate::replay::apply;
use crate::retained::RunImage;
use crate::run::Run;
use crate::store_error::store_error;

/// A version that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct PastVersion {
    pub(crate) run: RunId,
    pub(crate) version: Version,
    /// The newest record of the run, which has reached the log's files.
    pub(crate) newest: RecordPlace,
    /// Images of the run at this version or before it, the newest first.
    pub(crate) images: Vec<RunImage>,
    /// The oldest version of which all is kept; 0 when that is the first one.
    pub(crate) floor: Version,
}

/// Records of one run lie together once they are sorted.
pub(crate) fn group_of(run: RunId) -> GroupId {
    GroupId(*run.as_bytes())
}

/// A run as it was.
#[derive(Debug)]
pub(crate) struct MadePast {
    pub(crate) state: RunState,
    /// The record of its newest commit.
    pub(crate) record: RecordPlace,
}

impl Lineage {
    /// What a fork began as, if the run is one.
    pub(crate) fn base(&self) -> Option<&Arc<Base>> {
        self.ancestors.last().map(|ancestor| &ancestor.base)
    }

    /// Makes what a fork began as, and before it what that began as.
    ///
    /// # Errors
    /// Those of [`PastVersion::make`].
    pub(crate) fn make(&self, shelf: &mut ImageShelf, log: &mut LogHistory) -> Result<(), Error> {
        let mut below: Option<&Arc<Base>> = None;
        for Ancestor { base, images, floor } in &self.ancestors {
            if base.state().is_none() {
                let ForkPoint { run, version } = base.origin.point;
                let (newest, images) = (base.origin.record, images.clone());
                let past = PastVersion { run, version, newest, images, floor: *floor };
                let made = past.make(shelf, log, below).map_err(|error| lost_base(error, &past))?;
                base.fill(made.state);
            }
            below = Some(base);
        }
        Ok(())
    }
}

/// What a fork began as is kept for it: where it is not, something is damaged.
fn lost_base(error: Error, past: &PastVersion) -> Error {
    match error.kind() {
        ErrorKind::HistoryTrimmed | ErrorKind::VersionNotFound => {
            let PastVersion { run, version, .. } = past;
            let message =
                format!("version {version} of run {run}, which a fork began as, is not there: {error}");
            Error::new(ErrorKind::Corrupt, message)
        }
        _ => error,
    }
}

impl PastVersion {
    /// Makes the run as it was; a fork over what it began as.
    ///
    /// # Errors
    /// `VersionNotFound` when the run has no such commit in the log, `HistoryTrimmed` when it was given up meanwhile,
    /// `Corrupt` when what it is made from is damaged, `Io`.
    pub(crate) fn make(
        &self,
        shelf: &mut ImageShelf,
        log: &mut LogHistory,
        base: Option<&Arc<Base>>,
    ) -> Result<MadePast, Error> {
        if let Some(number) = self.newest.archive() {
            return self.make_from_archive(&shelf.archive(number).map_err(store_error)?, shelf.hash_seed());
        }
        let (mut damage, mut images, mut has_older) = (None, self.images.clone(), false);
        loop {
            for image in images {
                match shelf.read(self.run, &image, base) {
                    Ok(state) => match (self.replay(state, image.record, log), damage) {
                        // What would lead on from an older image may be gone; the damage is why it is wanted.
                        (Err(error), Some(damage)) if error.kind() == ErrorKind::HistoryTrimmed => {
                            return Err(store_error(damage));
                        }
                        (made, _) => return made,
                    },
                    Err(error @ WalError::Corrupt { .. }) => {
                        tracing::warn!(target: "strata", shard = shelf.shard(), run = %self.run, %error, "an image is damaged: an older one is taken");
                        damage = Some(error);
                    }
                    Err(error) => return Err(store_error(error)),
                }
            }
            if damage.is_none() || has_older {
                break;
            }
            // Those of the image before the newest are there as long as a recovery may begin with it.
            (images, has_older) = (shelf.older_images(self, base).map_err(store_error)?, true);
        }
        match damage {
            Some(damage) if self.floor > Version::NEVER => Err(store_error(damage)),
            _ => match base {
                Some(base) => {
                    let forked = Run::forked(self.run, Arc::clone(base));
                    self.replay(forked.state, forked.place, log)
                }
                None => self.replay(shelf.blank(self.run), RecordPlace::default(), log),
            },
        }
    }

    /// Applies the records behind a state of the run, whose newest record is `base`, up to the version that is wanted.
    fn replay(&self, state: RunState, base: RecordPlace, log: &mut LogHistory) -> Result<MadePast, Error> {
        let mut run = Run { place: base, ..Run::new(state) };
        let from = run.state.version();
        let walk = RecordWalk { run: self.run, newest: self.newest, base };
        let behind = match from == self.version {
            true => Vec::new(),
            false => walk.places_behind(from, self.version, log, &mut KnownMilestones::default())?,
        };
        for place in behind {
            let record = walk.record(place, log)?;
            apply(&mut run, place, record).map_err(|reason| walk.damaged(place, reason, log))?;
        }
        if run.state.version() == self.version {
            return Ok(MadePast { record: run.place, state: run.state });
        }
        Err(self.not_logged())
    }

    /// The run as its archive has it.
    fn make_from_archive(&self, archive: &Archive, hash_seed: usize) -> Result<MadePast, Error> {
        if archive.run() != self.run {
            let reason = format!("it is of run {}, not of {}", archive.run(), self.run);
            return Err(store_error(archive.reader().corrupt(0, reason)));
        }
        match archive.make(self.version, hash_seed).map_err(store_error)? {
            Some(state) if state.version() == self.version => Ok(MadePast { state, record: self.newest }),
            Some(_) => Err(self.not_logged()),
            None => Err(self.trimmed(archive.earliest())),
        }
    }

    fn not_logged(&self) -> Error {
        let message = format!(
            "the run has no commit {}: it was made while the run lived in memory, or in a life that had ended when it was imported",
            self.version
        );
        self.about_run(ErrorKind::VersionNotFound, message)
    }

    fn trimmed(&self, earliest: Version) -> Error {
        let message =
            format!("version {} of the run is no longer kept: the earliest is {earliest}", self.version);
        self.about_run(ErrorKind::HistoryTrimmed, message)
    }

    fn about_run(&self, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, message).with_entity(EntityRef::run(self.run))
    }
}
