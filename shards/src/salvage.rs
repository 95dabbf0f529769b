//! What can be proven of the runs of a store that may be damaged anywhere, run by run, without opening it.
//!
//! A run is made from the newest image of it whose sums all hold, a fork over what it began as, and the records behind that, as far as each
//! names the one before it and none is missing. Nothing is written, and nothing comes from anywhere but images and records: the state is
//! made by the same `apply` that recovery uses.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata_primitives::{Error, RunId, RunState, Version};
use strata_wal::disk::Disk;
use strata_wal::storage::Storage;
use strata_wal::{Gap, GroupId, LogHistory, LogMode, LogRemains, LogSource, Lsn, StoreRemains, WalError};

use crate::base::Base;
use crate::cold_run::{ImageShelf, left_of};
use crate::erasing::erasures_of;
use crate::history::group_of;
use crate::image_directory::read_pages_left;
use crate::kin::Kin;
use crate::record::{self, RecordPlace};
use crate::replay::apply;
use crate::retained::RunImage;
use crate::run::Run;
use crate::salvage_index::{SalvageIndex, SeenImage, SeenRun};
use crate::store_error::store_error;

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The file, or a directory where no single file is to blame.
    pub file: PathBuf,
    /// Where in it, bytes.
    pub offset: u64,
    /// What was found.
    pub reason: String,
}

/// What was found of one run.
#[derive(Debug)]
pub struct Salvaged {
    /// The run.
    pub run: RunId,
    /// Its name, where something says it.
    pub name: Option<String>,
    /// The run at the newest version that is proven; `None` when none is.
    pub state: Option<RunState>,
    /// The newest version that anything names.
    pub known: Version,
    /// Why it is not the newest version, if it is not.
    pub stopped: Option<Damage>,
    /// Damage behind its newest record, in which later ones may have been that nothing names.
    pub doubt: Option<Damage>,
    /// Whether MANIFEST or the log itself tells that the image it begins with was not taken back by a crash.
    pub is_confirmed: bool,
}

/// What was found of a store.
#[derive(Clone, Debug)]
pub struct SalvagedStore {
    /// Which store it is, 32 hexadecimal digits.
    pub id: String,
    /// Segments that were read.
    pub segments: u64,
    /// Records in them, of batches that are whole.
    pub records: u64,
    /// Everything that was read and does not hold, whether or not it cost a run something; in the order of files.
    pub damage: Vec<Damage>,
}

/// Reads a store as far as it holds, and hands over every run of which anything is known. At any time one of them is in memory, with
/// those that it was forked from, and an index with an entry for every run of one log.
///
/// # Errors
/// `NotFound` when there is no store, `AlreadyOpen` while somebody writes it, `Unsupported` when it is of a newer format, `Corrupt` when
/// no file tells which store it is, and what `take` answers.
pub fn salvage(
    path: &Path,
    storage: Option<Arc<dyn Storage>>,
    take: &mut dyn FnMut(Salvaged) -> Result<(), Error>,
) -> Result<SalvagedStore, Error> {
    let storage = storage.unwrap_or_else(|| Arc::new(Disk::new()));
    let store = StoreRemains::open(storage, path).map_err(store_error)?;
    let damage = store.damage().iter().map(|damage| damage_of(damage, path)).collect();
    let mut found = SalvagedStore { id: store.id().to_string(), segments: 0, records: 0, damage };
    let mut taken = BTreeSet::new();
    for source in store.logs().iter().rev() {
        let mut log = SalvagedLog::read(source, path, store.has_manifest(), &mut found)?;
        let point = |(run, seen): (&RunId, &SeenRun)| (seen.origin().map(|origin| origin.point), *run);
        let mut runs: Vec<_> = log.index.runs.iter().map(point).collect();
        // Forks of one version together, as those that read every image have them.
        runs.sort();
        for (_, run) in runs {
            // Without MANIFEST logs are not told from those that they replaced: of those that have a run the newest counts.
            if store.has_manifest() || taken.insert(run) {
                let seen = log.index.runs[&run].clone();
                take(log.salvage(run, seen))?;
            }
        }
        found.damage.append(&mut log.damage);
    }
    // Of several forks each meets that of what they began as.
    found.damage.sort();
    found.damage.dedup();
    Ok(found)
}

/// One log, read as far as it holds.
struct SalvagedLog<'a> {
    path: &'a Path,
    source: &'a LogSource,
    index: SalvageIndex,
    remains: LogRemains,
    shelf: ImageShelf,
    history: LogHistory,
    kin: Kin,
    /// What was met of images.
    damage: Vec<Damage>,
}

/// A run on its way.
struct Building {
    run: Run,
    /// Whether it has an image or a commit of its own.
    is_begun: bool,
    is_confirmed: bool,
    /// Why images that are newer were not taken.
    failures: Vec<Damage>,
    /// Why it goes no further.
    stopped: Option<Damage>,
    /// A commit that contradicts what came before it may be applied in part: what it leads to is not to be used, and the run is to be made
    /// anew up to this version.
    redo: Option<Version>,
}

impl Building {
    fn of(run: Run, failures: Vec<Damage>) -> Building {
        Building { run, is_begun: false, is_confirmed: true, failures, stopped: None, redo: None }
    }
}

/// Whether the state that an image shows became part of the run's history.
enum Standing {
    Confirmed,
    /// What would tell is damaged.
    Unknown,
    Refuted(Damage),
}

impl<'a> SalvagedLog<'a> {
    fn read(
        source: &'a LogSource,
        path: &'a Path,
        has_manifest: bool,
        found: &mut SalvagedStore,
    ) -> Result<SalvagedLog<'a>, Error> {
        let mut index = SalvageIndex::default();
        let mut refused = Vec::new();
        let remains = source.read_remains(&mut |log, record| {
            let lsn = record.lsn;
            if let Err(reason) = index.take_record(log, record) {
                refused.push((RecordPlace { log, lsn }, reason));
            }
        });
        found.segments += remains.segments;
        found.records += remains.records;
        found.damage.extend(remains.mended.iter().map(|damage| damage_of(damage, path)));
        found.damage.extend(remains.gaps.iter().map(|gap| damage_of(&gap.damage, path)));
        let history = LogHistory::new(source, LogMode::Direct).map_err(store_error)?;
        let mut log = SalvagedLog {
            path,
            source,
            kin: Kin::of(Default::default()),
            index,
            shelf: ImageShelf::new(source.clone(), 0),
            history: history.without(&remains.unreadable),
            remains,
            damage: Vec::new(),
        };
        log.read_directories(has_manifest, found);
        for (place, reason) in refused {
            let damage = log.history.corrupt(GroupId::default(), place.log, place.lsn, reason);
            found.damage.push(damage_of(&damage, path));
        }
        log.kin = Kin::of(log.index.known());
        Ok(log)
    }

    /// Takes note of what directories say, the newest first, but for images that the log contradicts.
    fn read_directories(&mut self, has_manifest: bool, found: &mut SalvagedStore) {
        let mut index = std::mem::take(&mut self.index);
        let newest = self.source.images().map(|image| image.number).max();
        for number in self.source.image_numbers() {
            // One that is newer than what MANIFEST names may show commits that a crash took back.
            if has_manifest && newest.is_none_or(|newest| number > newest) {
                continue;
            }
            let (entries, damage) = read_pages_left(self.source, number);
            found.damage.extend(damage.iter().map(|damage| damage_of(damage, self.path)));
            let named = self.source.images().find(|image| image.number == number);
            for entry in &entries {
                let is_refuted = |image| match self.standing(entry.run, image) {
                    Standing::Refuted(damage) => {
                        found.damage.push(damage);
                        true
                    }
                    Standing::Confirmed | Standing::Unknown => false,
                };
                index.take_entry(entry, named.map(|image| image.through), is_refuted);
            }
        }
        index.sort_images();
        self.index = index;
    }

    /// What the log says of an image that MANIFEST does not name: one that was finished and not named may show what a crash took back.
    fn standing(&mut self, run: RunId, image: RunImage) -> Standing {
        let RecordPlace { log: number, lsn } = image.record;
        let refuted = |log: &mut Self, reason: &str| {
            let reason =
                format!("image {} of run {run} shows commit {}, {reason}", image.file, image.stamp.version);
            Standing::Refuted(damage_of(&log.history.corrupt(group_of(run), number, lsn, reason), log.path))
        };
        let is_behind_the_log =
            number == self.source.log() && lsn >= self.remains.end && self.gap_behind(image.record).is_none();
        let head = match self.history.record(group_of(run), number, lsn) {
            Ok(Some(record)) => record::decode_head(record.body),
            Ok(None) | Err(_) if is_behind_the_log => {
                return refuted(self, "and the log ends before its record");
            }
            Ok(None) | Err(_) => return Standing::Unknown,
        };
        let is_its_own = |head: &record::RecordHead| {
            (head.run, head.version, head.timestamp) == (run, image.stamp.version, image.stamp.timestamp)
        };
        match head.is_ok_and(|head| is_its_own(&head)) {
            true => Standing::Confirmed,
            false => refuted(self, "and its record is that of another"),
        }
    }

    /// Makes a run as far as it can be proven.
    fn salvage(&mut self, id: RunId, seen: SeenRun) -> Salvaged {
        let mut building = self.build(id, &seen, Version(u64::MAX));
        // Each time an earlier one, so this ends.
        while let Some(until) = building.redo {
            let stopped = building.stopped.take();
            building = self.build(id, &seen, until);
            building.stopped = building.stopped.take().or(stopped);
        }
        self.damage.extend(building.failures.iter().chain(&building.stopped).cloned());
        let Building { mut run, is_begun, is_confirmed, failures, stopped, .. } = building;
        // Also where the commit that erased it is out of reach.
        erasures_of(&self.index, id).iter().for_each(|erasure| drop(run.state.redact(erasure)));
        let reached = if is_begun { run.state.version() } else { Version::NEVER };
        let settled = RecordPlace { log: self.source.log(), lsn: seen.settled };
        let behind = self.gap_behind(run.place.max(settled)).map(|gap| damage_of(&gap.damage, self.path));
        let is_newest = reached >= seen.known;
        let nothing_left = || Damage {
            file: self.path.to_path_buf(),
            offset: 0,
            reason: format!("nothing is left of commit {} of run {id}", reached.next()),
        };
        Salvaged {
            run: id,
            name: seen.name,
            state: is_begun.then_some(run.state),
            known: seen.known.max(reached),
            stopped: (!is_newest).then(|| {
                stopped.or(failures.into_iter().next()).or(behind.clone()).unwrap_or_else(nothing_left)
            }),
            doubt: behind.filter(|_| is_newest),
            is_confirmed,
        }
    }

    fn build(&mut self, id: RunId, seen: &SeenRun, until: Version) -> Building {
        let mut building = self.begin(id, seen);
        while let Some(next) = seen.stretches.iter().find(|next| next.version > building.run.state.version())
        {
            match self.walk_back(id, next.last, building.run.place) {
                Ok(places) => {
                    for place in places {
                        if building.run.state.version() >= until {
                            return building;
                        }
                        let before = building.run.state.version();
                        if let Err(damage) = self.apply_record(&mut building.run, place) {
                            building.redo = Some(before);
                            building.stopped = Some(damage);
                            return building;
                        }
                        building.is_begun = true;
                    }
                }
                Err(damage) => {
                    // Where it breaks first tells more than where the way back ends.
                    let first =
                        self.gap_behind(building.run.place).filter(|gap| gap.from < self.own(next.last));
                    building.stopped = Some(first.map_or(damage, |gap| damage_of(&gap.damage, self.path)));
                    return building;
                }
            }
        }
        building
    }

    /// The run as the newest image shows it that holds; without one, as it was before its first commit.
    fn begin(&mut self, id: RunId, seen: &SeenRun) -> Building {
        let mut failures = Vec::new();
        let base = self.base_of(seen);
        for seen in &seen.images {
            let SeenImage { image, is_named, .. } = seen;
            let read = self.read_image(id, seen, &base);
            match read {
                Ok(state) => {
                    let run = Run { place: image.record, logged: image.stamp, ..Run::new(state) };
                    let is_confirmed = *is_named || matches!(self.standing(id, *image), Standing::Confirmed);
                    return Building { is_begun: true, is_confirmed, ..Building::of(run, failures) };
                }
                Err(damage) => failures.push(damage),
            }
        }
        match base {
            Ok(Some(base)) => Building::of(Run::forked(id, base), failures),
            Ok(None) => Building::of(Run::new(self.shelf.blank(id)), failures),
            Err(damage) => Building::of(Run::new(self.shelf.blank(id)), vec![damage]),
        }
    }

    /// The run as an image shows it. A run that was deleted and began anew has nothing of what it began as, whoever else needs that: an
    /// image tells so itself, and one that is over what cannot be made is refused.
    fn read_image(
        &mut self,
        id: RunId,
        SeenImage { image, is_over_origin, is_left_over, .. }: &SeenImage,
        base: &Result<Option<Arc<Base>>, Damage>,
    ) -> Result<RunState, Damage> {
        if *is_left_over {
            return Ok(left_of(id, image.stamp, &Arc::default()));
        }
        match base {
            Err(lost) if *is_over_origin => self.shelf.read(id, image, None).map_err(|_| lost.clone()),
            base => {
                let base = base.as_ref().ok().and_then(Option::as_ref).filter(|_| *is_over_origin);
                self.shelf.read(id, image, base).map_err(|error| damage_of(&error, self.path))
            }
        }
    }

    fn base_of(&mut self, seen: &SeenRun) -> Result<Option<Arc<Base>>, Damage> {
        let (source, unreadable) = (self.source, &self.remains.unreadable);
        let history = || Ok(LogHistory::new(source, LogMode::Direct)?.without(unreadable));
        self.kin.base_at(seen.origin(), &mut self.shelf, history).map_err(|error| {
            let found = error.source().and_then(|source| source.downcast_ref::<WalError>());
            let damage = found.map(|found| damage_of(found, self.path));
            let (file, offset) =
                damage.map_or((self.path.to_path_buf(), 0), |damage| (damage.file, damage.offset));
            Damage {
                file,
                offset,
                reason: format!("what the run began as cannot be made: {}", error.message()),
            }
        })
    }

    /// Where the records behind `to` stand up to `last`, oldest first; each names the one before it.
    fn walk_back(
        &mut self,
        id: RunId,
        last: RecordPlace,
        to: RecordPlace,
    ) -> Result<Vec<RecordPlace>, Damage> {
        let (mut places, mut at) = (Vec::new(), last);
        if last == to {
            let reason = format!("two commits of run {id} have their record there");
            return Err(self.damage_at(id, last, reason));
        }
        while at != to {
            let after = places.last().copied().unwrap_or(at);
            if at <= to {
                let reason =
                    format!("the record before it, at LSN {}, is not that of the commit before", at.lsn);
                return Err(self.damage_at(id, after, reason));
            }
            let head = match self.history.record(group_of(id), at.log, at.lsn) {
                Ok(Some(record)) => record::decode_head(record.body),
                Ok(None) => Err(format!("no segment has the record of run {id} at LSN {}", at.lsn)),
                Err(error) => return Err(damage_of(&error, self.path)),
            };
            let head = head.and_then(|head| match head.run == id && head.previous < at {
                true => Ok(head),
                false => Err(format!("what lies there is no record of run {id}")),
            });
            let head = head.map_err(|reason| self.damage_at(id, at, reason))?;
            places.push(at);
            at = head.previous;
        }
        places.reverse();
        Ok(places)
    }

    fn apply_record(&mut self, run: &mut Run, place: RecordPlace) -> Result<(), Damage> {
        let id = run.state.id();
        let applied = match self.history.record(group_of(id), place.log, place.lsn) {
            Ok(Some(found)) => record::decode(found.body).and_then(|record| {
                match record::kind_of(&record.mutations) == found.kind {
                    true => apply(run, place, record),
                    false => Err(format!("a record of kind {} holds another commit", found.kind)),
                }
            }),
            Ok(None) => Err("the segment is not there any more".to_string()),
            Err(error) => return Err(damage_of(&error, self.path)),
        };
        applied.map_err(|reason| self.damage_at(id, place, reason))
    }

    /// That the record of a run at a place is not what it should be.
    fn damage_at(&mut self, run: RunId, place: RecordPlace, reason: String) -> Damage {
        damage_of(&self.history.corrupt(group_of(run), place.log, place.lsn, reason), self.path)
    }

    /// Where a record stands in this log; in front of all of it where it was appended to one before.
    fn own(&self, place: RecordPlace) -> Lsn {
        if place.log == self.source.log() { place.lsn } else { Lsn::ZERO }
    }

    /// The first part of the log that is missing and reaches behind a position.
    fn gap_behind(&self, place: RecordPlace) -> Option<&Gap> {
        self.remains.gaps.iter().find(|gap| gap.to > self.own(place))
    }
}

fn damage_of(error: &WalError, store: &Path) -> Damage {
    match error {
        WalError::Corrupt { file, offset, reason } => {
            Damage { file: file.clone(), offset: *offset, reason: reason.clone() }
        }
        WalError::Io { path, .. }
        | WalError::NewerFormat { path, .. }
        | WalError::UnknownCodec { path, .. } => {
            Damage { file: path.clone(), offset: 0, reason: error.to_string() }
        }
        _ => Damage { file: store.to_path_buf(), offset: 0, reason: error.to_string() },
    }
}
