//! Where the commits of a run are logged: its own, and those of the runs that it descends from.

use strata_primitives::{Durability, EntityRef, Error, ErrorKind, RunId, Version};

use crate::base::{Known, Origin};
use crate::record::RecordPlace;
use crate::record_walk::{is_record_gone, lost};
use crate::retained::RunImage;
use crate::run::{Need, Run};
use crate::shard::Shard;

/// A part of the versions of a run, all commits of which are those of one run.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// That run.
    pub(crate) run: RunId,
    /// The record of the newest of them, or the archive that has them.
    pub(crate) newest: RecordPlace,
    /// Its version.
    pub(crate) through: Version,
    /// The version in front of the first of them, which is one of another run; 0 when there is none.
    pub(crate) begins: Version,
    /// Its record.
    pub(crate) base: RecordPlace,
    /// The oldest version of that run of which all is kept; 0 when that is the first one.
    pub(crate) floor: Version,
    /// Images of that run, the newest first.
    pub(crate) images: Vec<RunImage>,
    /// Whether what lies in front of it is of that run too, and is given up like what it has committed since: it was imported with it.
    pub(crate) is_import: bool,
}

/// The oldest version that can be looked at, of all parts of the versions of a run: in front of one that has given up commits of its own
/// nothing is told, and what a fork began as is kept for it.
pub(crate) fn earliest(reaches: &[Reach]) -> Version {
    let given_up = reaches.iter().find(|reach| reach.is_given_up());
    given_up.map_or(Version::NEVER.next(), Reach::earliest)
}

/// The reach of an archive of which only itself tells with which version it begins, and its number: a run that was imported knows that of
/// its own, and a fork of what came with it does not.
pub(crate) fn untold_archive(reaches: &mut [Reach]) -> Option<(&mut Reach, u64)> {
    let [.., holder, last] = reaches else { return None };
    let number = last.newest.archive()?;
    (holder.run != last.run).then_some((last, number))
}

impl Reach {
    /// Whether it has given up some of its versions, or what lies in front of it.
    pub(crate) fn is_given_up(&self) -> bool {
        self.floor > if self.is_import { self.begins } else { self.begins.next() }
    }

    /// The image that shows its oldest version, where that is not made of what came before: the record of that commit need not be there.
    pub(crate) fn oldest(&self) -> Option<&RunImage> {
        self.images.iter().find(|image| image.stamp.version == self.floor)
    }

    /// The oldest of its versions that can be looked at: its newest one is kept for what began as that.
    pub(crate) fn earliest(&self) -> Version {
        self.floor.min(self.through)
    }
}

/// The oldest versions of which all was kept of some runs, at one time.
#[derive(Clone, Debug)]
pub(crate) struct Floors {
    /// The number of the newest image then: records go only when there is another one.
    image: Option<u64>,
    of_runs: Vec<(RunId, Version)>,
}

impl Shard {
    /// Those of these parts as they are now.
    pub(crate) fn floors(&self, reaches: &[Reach]) -> Floors {
        let logged = reaches.iter().filter(|reach| reach.newest.archive().is_none());
        Floors {
            image: self.checkpoints.newest_number(),
            of_runs: logged.map(|reach| (reach.run, reach.floor)).collect(),
        }
    }

    /// What a reader says who began when these were the floors. A record that it has missed is lost, unless versions were given up
    /// meanwhile.
    pub(crate) fn judge(&self, error: Error, floors: &Floors) -> Error {
        let is_as_before = |(run, floor): &(RunId, Version)| {
            self.runs.held(*run).is_some_and(|held| held.known().floor == *floor)
        };
        let is_given_up =
            || floors.image != self.checkpoints.newest_number() && !floors.of_runs.iter().all(is_as_before);
        if !is_record_gone(&error) || is_given_up() {
            return error;
        }
        let message =
            "a record of a version that is kept is missing: verify the store, and restore it from a backup";
        lost(error, message)
    }

    /// The parts of the versions of a run, the newest first and down to the one that has `from`, and what the log must reach before they
    /// can be read.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported` for what lives in memory, `Corrupt` when a run that it descends from is not there.
    pub(crate) fn reaches(&self, id: RunId, from: Version) -> Result<(Vec<Reach>, Need), Error> {
        let run = self.loggable(id)?;
        let (mut id, mut newest, mut through) = (id, run.place, run.state.version());
        let (mut reaches, mut need): (Vec<Reach>, _) = (Vec::new(), run.need);
        while let Some(held) = self.runs.held(id) {
            let Known { floor, origin, images, .. } = held.known();
            need = need.max(held.need());
            let base = origin.map_or_else(RecordPlace::default, |origin| origin.record);
            let begins = origin.map_or(Version::NEVER, |origin| origin.point.version);
            let is_import = origin.is_some_and(|origin| origin.is_import_of(id));
            reaches.push(Reach { run: id, newest, through, begins, base, floor, images, is_import });
            let before = origin.filter(|origin| from <= origin.point.version);
            let Some(origin) = before else { return Ok((reaches, need)) };
            let Origin { point, record } = origin;
            if record.archive().is_some() {
                let floor = origin.floor_in_archive(id, floor);
                let (run, newest, through) = (point.run, record, point.version);
                let (begins, base, images) = (Version::NEVER, RecordPlace::default(), Vec::new());
                reaches.push(Reach { run, newest, through, begins, base, floor, images, is_import: false });
                return Ok((reaches, need));
            }
            // Versions grow from a run to its forks, so this ends whatever a file says.
            if point.version >= through {
                break;
            }
            (id, newest, through) = (point.run, record, point.version);
        }
        let message = format!("run {id}, of which another was forked, is not there");
        Err(Error::new(ErrorKind::Corrupt, message))
    }

    /// A run that has a history.
    pub(crate) fn loggable(&self, id: RunId) -> Result<&Run, Error> {
        let refuse = |kind, message: &str| Err(Error::new(kind, message).with_entity(EntityRef::run(id)));
        match self.runs.get(id) {
            None => refuse(ErrorKind::NotFound, "the run does not exist: create or begin it first"),
            Some(run) if !self.setup.is_on_disk || run.durability == Some(Durability::InMemory) => refuse(
                ErrorKind::Unsupported,
                "what lives in memory keeps no history: only its newest version can be looked at",
            ),
            Some(run) => Ok(run),
        }
    }
}
