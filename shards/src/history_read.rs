//! Reads the commits of a run that somebody asks for.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use strata_primitives::{
    Before, EntityRef, Erasure, Error, ErrorKind, JsonWrite, Mutation, RunId, Stamp, Timestamp, Version,
};
use strata_wal::LogHistory;

use crate::cold_run::ImageShelf;
use crate::history_query::{CommitPage, HistoryFound, HistoryQuery, LoggedCommit};
use crate::reaches::{Reach, untold_archive};
use crate::record::{Record, RecordHead, RecordPlace};
use crate::record_walk::{KnownMilestones, RecordWalk, is_record_gone};
use crate::report::RetentionPreview;
use crate::retained::RunImage;
use crate::store_error::store_error;

/// A question, and where its answer is logged.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The parts of its versions, the newest first.
    pub(crate) reaches: Vec<Reach>,
    pub(crate) query: HistoryQuery,
    /// The newest commit that changed the thing that is asked for; [`Version::NEVER`] where it is not there.
    pub(crate) changed: Version,
    /// The erasures that show in the commits of each of the runs, its own and those that it inherits.
    pub(crate) erasures: Vec<(RunId, Vec<Erasure>)>,
    /// The oldest version of which all would be kept, where that is asked.
    pub(crate) floor_then: Version,
}

/// Records that are read for one page at most.
const READ_MAX: usize = 10_000;
/// Bytes of records that are read for one page of what became of a thing.
const READ_SIZE_MAX: usize = 32 << 20;
/// Bytes of records behind which a page ends.
const PAGE_SIZE: usize = 4 << 20;

impl Reading {
    /// The answer.
    ///
    /// # Errors
    /// `VersionNotFound` for a time before the first commit, `HistoryTrimmed`, `Corrupt`, `Io`.
    pub(crate) fn read(
        mut self,
        shelf: &ImageShelf,
        log: &mut LogHistory,
        known: &mut KnownMilestones,
    ) -> Result<HistoryFound, Error> {
        if let Some((reach, number)) = untold_archive(&mut self.reaches) {
            reach.floor = shelf.archive(number).map_err(store_error)?.earliest();
        }
        let mut reader = Reader { shelf, log, known };
        match &self.query {
            HistoryQuery::Kept(_) => {
                Ok(HistoryFound::Kept(RetentionPreview::of(self.reaches, self.floor_then)))
            }
            HistoryQuery::At(time) => self.at(*time, &mut reader).map(HistoryFound::At),
            HistoryQuery::Behind { version, limit } => {
                let page = self.behind(*version, *limit, &mut reader)?;
                self.without_erased(page, &mut reader).map(HistoryFound::Commits)
            }
            HistoryQuery::Of { entity, through, limit } => {
                let (page, through) = (CommitPage::default(), *through);
                let of = ChangesOf {
                    entity,
                    through,
                    limit: *limit,
                    page,
                    read: 0,
                    read_size: 0,
                    passed: 0,
                    size: 0,
                };
                let page = of.read(&self, &mut reader)?;
                self.without_erased(page, &mut reader).map(HistoryFound::Commits)
            }
        }
    }

    fn at(&self, time: Timestamp, reader: &mut Reader<'_>) -> Result<Stamp, Error> {
        let mut trimmed = None;
        for reach in &self.reaches {
            let found = match reach.newest.archive() {
                Some(number) => reader.archived_at(number, reach, time)?,
                None => reader.logged_at(reach, time)?,
            };
            match (found, trimmed.take()) {
                // It may be one of those behind it that are not kept.
                (Some(stamp), Some(trimmed)) if stamp.version == reach.through => return Err(trimmed),
                (Some(stamp), _) if stamp.version < reach.earliest() => return Err(reach.trimmed()),
                (Some(stamp), _) => return Ok(stamp),
                (None, before) => trimmed = reach.is_given_up().then(|| reach.trimmed()).or(before),
            }
        }
        let message = format!("the run was not there at {time}");
        Err(trimmed.unwrap_or_else(|| Error::new(ErrorKind::VersionNotFound, message)))
    }

    fn behind(&self, version: Version, limit: usize, reader: &mut Reader<'_>) -> Result<CommitPage, Error> {
        let mut page = CommitPage::default();
        let Some((at, reach)) = self.reaches.iter().enumerate().next_back() else { return Ok(page) };
        if version < reach.floor && reach.is_given_up() {
            return Err(reach.trimmed());
        }
        let through = Version(version.0.saturating_add(limit.min(READ_MAX) as u64)).min(reach.through);
        let mut size = 0;
        let read = reader.each_behind(reach, version, through, &mut |record| {
            size += record.size;
            page.commits.push(LoggedCommit::of(reach, record));
            size < PAGE_SIZE
        });
        let is_full = match read {
            // Of the oldest version there is an image, so its record may have gone though all versions are kept.
            Err(error)
                if is_record_gone(&error) && version < reach.floor && !reader.has_oldest_record(reach)? =>
            {
                return Err(reach.trimmed());
            }
            read => read?,
        };
        let last = page.commits.last().map(|commit| commit.stamp.version);
        let reached = if is_full { last.unwrap_or(through) } else { through };
        page.next = (at > 0 || reached < reach.through).then_some(reached);
        Ok(page)
    }

    /// The page without what is erased, and with those documents that each run had put whole before: only of those that it had not is
    /// it known that what it wrote in them may be what is erased. Nearly always there are none to look for.
    fn without_erased(self, mut page: CommitPage, reader: &mut Reader<'_>) -> Result<CommitPage, Error> {
        let erased = self.erasures.iter().flat_map(|(_, erasures)| erasures);
        let documents = erased.filter_map(|erasure| match &erasure.entity {
            EntityRef::Json { name, .. } => Some(name.clone()),
            _ => None,
        });
        let documents: BTreeSet<_> = documents.collect();
        let is_of_interest = |reach: &&Reach| reach.begins > Version::NEVER && !documents.is_empty();
        for reach in self.reaches.iter().filter(is_of_interest) {
            let of_it = page.commits.iter().filter(|commit| commit.kept_by == reach.run);
            let Some(first) = of_it.map(|commit| commit.stamp.version).min() else { continue };
            let begins = reach.begins.max(reach.earliest());
            let whole = &mut page.whole;
            reader.each_behind(reach, begins, Version(first.0 - 1), &mut |record| {
                let put = record.mutations.into_iter().filter_map(|mutation| match mutation {
                    Mutation::JsonWrite { name, write: JsonWrite::Put { .. }, .. }
                    | Mutation::JsonDestroy { name, .. } => Some(name),
                    _ => None,
                });
                let put = put.filter(|name| documents.contains(name));
                whole.extend(put.map(|name| (reach.run, name)));
                true
            })?;
        }
        self.erasures.into_iter().for_each(|(run, erasures)| page.redact(run, erasures));
        Ok(page)
    }
}

impl Reach {
    fn walk(&self, base: RecordPlace) -> RecordWalk {
        RecordWalk { run: self.run, newest: self.newest, base }
    }

    /// The newest image of a version that may be the oldest one kept.
    fn anchor(&self) -> Option<&RunImage> {
        self.images.iter().find(|image| image.stamp.version <= self.earliest())
    }

    fn trimmed(&self) -> Error {
        let message = format!("the history of the run is kept from version {} on", self.earliest());
        Error::new(ErrorKind::HistoryTrimmed, message)
    }
}

impl LoggedCommit {
    fn of(reach: &Reach, record: Record) -> LoggedCommit {
        let RecordHead { run, version, timestamp, durability, cause, operation, reads, .. } = record.head;
        LoggedCommit {
            run,
            kept_by: reach.run,
            stamp: Stamp { version, timestamp },
            durability,
            cause,
            operation_id: operation.map(|write| write.id),
            reads,
            mutations: record.mutations,
        }
    }
}

/// What records are read with.
struct Reader<'a> {
    shelf: &'a ImageShelf,
    log: &'a mut LogHistory,
    known: &'a mut KnownMilestones,
}

impl Reader<'_> {
    /// The newest commit of a reach that is not later.
    fn logged_at(&mut self, reach: &Reach, time: Timestamp) -> Result<Option<Stamp>, Error> {
        // The record of the oldest version need not be there; the image of it knows its time.
        let anchor = reach.anchor();
        if anchor.is_some_and(|anchor| anchor.stamp.timestamp > time) {
            return Ok(None);
        }
        let is_behind = |head: &RecordHead| match head.timestamp > time {
            true => Ordering::Greater,
            false => Ordering::Less,
        };
        let walk = reach.walk(anchor.map_or(reach.base, |anchor| anchor.record));
        let found = walk.find(self.log, self.known, is_behind)?;
        let stamp = found.map(|(_, RecordHead { version, timestamp, .. })| Stamp { version, timestamp });
        Ok(stamp.or_else(|| anchor.map(|anchor| anchor.stamp)))
    }

    /// The newest record of a reach that does not come behind a version, and its place; `newest` is one that does, or that one. `None` where
    /// that is the record of its oldest version, and not there.
    fn newest_at(
        &mut self,
        reach: &Reach,
        newest: RecordPlace,
        version: Version,
    ) -> Result<Option<(RecordPlace, Record)>, Error> {
        let oldest = reach.oldest().map(|oldest| oldest.record);
        let walk = RecordWalk { newest, ..reach.walk(oldest.unwrap_or(reach.base)) };
        let found = walk.find(self.log, self.known, |head| head.version.cmp(&version))?;
        let place = match (found, oldest) {
            (Some((place, _)), _) => place,
            (None, Some(oldest)) if walk.head(oldest, self.log)?.is_some() => oldest,
            (None, _) => return Ok(None),
        };
        Ok(Some((place, walk.record(place, self.log)?)))
    }

    /// Whether the record of the oldest version is there: it need not be where there is an image of that.
    fn has_oldest_record(&mut self, reach: &Reach) -> Result<bool, Error> {
        let Some(oldest) = reach.oldest() else { return Ok(true) };
        Ok(reach.walk(reach.base).head(oldest.record, self.log)?.is_some())
    }

    fn archived_at(&mut self, number: u64, reach: &Reach, time: Timestamp) -> Result<Option<Stamp>, Error> {
        let archive = self.shelf.archive(number).map_err(store_error)?;
        archive.newest_at(time, reach.through, self.shelf.hash_seed()).map_err(store_error)
    }

    /// Hands over the records of a reach behind a version and up to another one, oldest first, for as long as more are wanted. Whether
    /// it ended before.
    fn each_behind(
        &mut self,
        reach: &Reach,
        from: Version,
        through: Version,
        take: &mut dyn FnMut(Record) -> bool,
    ) -> Result<bool, Error> {
        if let Some(number) = reach.newest.archive() {
            let archive = self.shelf.archive(number).map_err(store_error)?;
            return archive.each_behind(from, through, take).map_err(store_error);
        }
        let image = reach.images.iter().find(|image| image.stamp.version == from);
        let walk = reach.walk(image.map_or(reach.base, |image| image.record));
        for place in walk.places_behind(from, through, self.log, self.known)? {
            if !take(walk.record(place, self.log)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Goes back from one change of a thing to the one before.
struct ChangesOf<'a> {
    entity: &'a EntityRef,
    /// The newest version that is wanted.
    through: Version,
    limit: usize,
    page: CommitPage,
    /// Records that were read, and their bytes.
    read: usize,
    read_size: usize,
    /// Changes behind the newest version that is wanted, which were passed on the way to it.
    passed: usize,
    /// Bytes of the records of the page.
    size: usize,
}

/// When so many changes were passed, the rest of the way is searched.
const PASSED_MAX: usize = 256;

/// Where it goes on.
enum Next {
    /// At the commit with this number, which changed the thing.
    At(Version),
    /// At the newest commit that changed it, of those up to this one.
    Search(Version),
    /// Nowhere: the page is full, or there is nothing before.
    Nowhere,
}

impl ChangesOf<'_> {
    fn read(mut self, reading: &Reading, reader: &mut Reader<'_>) -> Result<CommitPage, Error> {
        let mut next = match reading.changed {
            Version::NEVER => Next::Search(self.through),
            // A page that is gone on with begins where the one before says.
            changed if self.through < changed && self.is_change(reading, reader)? => Next::At(self.through),
            changed => Next::At(changed),
        };
        for reach in &reading.reaches {
            next = match reach.newest.archive() {
                Some(_) => self.archived(reach, next, reader)?,
                None => self.logged(reach, next, reader)?,
            };
            if matches!(next, Next::Nowhere) {
                break;
            }
        }
        Ok(self.page)
    }

    /// Whether the newest commit that is wanted has changed the thing.
    fn is_change(&self, reading: &Reading, reader: &mut Reader<'_>) -> Result<bool, Error> {
        let holds = |reach: &&Reach| self.through <= reach.through && self.through >= reach.floor;
        let Some(reach) = reading.reaches.iter().rfind(holds) else { return Ok(false) };
        if reach.newest.archive().is_some() {
            return Ok(true);
        }
        match reader.newest_at(reach, reach.newest, self.through)? {
            Some(record) => Ok(self.changed_in(reach, record.1).is_some()),
            None => Ok(false),
        }
    }

    /// Goes back in one reach, to the version that it begins behind.
    fn logged(&mut self, reach: &Reach, mut next: Next, reader: &mut Reader<'_>) -> Result<Next, Error> {
        let mut newest = reach.newest;
        loop {
            let (Next::At(version) | Next::Search(version)) = next else { return Ok(next) };
            if version < reach.floor && reach.is_given_up() {
                self.page.trimmed = Some(reach.earliest());
                return Ok(Next::Nowhere);
            }
            if version <= reach.begins {
                return Ok(next);
            }
            if self.read == READ_MAX || self.read_size >= READ_SIZE_MAX {
                self.page.next = Some(version);
                return Ok(Next::Nowhere);
            }
            next = match reader.newest_at(reach, newest, version)? {
                Some((place, record)) => {
                    newest = place;
                    (self.read, self.read_size) = (self.read + 1, self.read_size + record.size);
                    self.take(reach, record)
                }
                None => Next::Search(Version(reach.floor.0.saturating_sub(1)).max(reach.begins)),
            };
        }
    }

    /// Goes back in an archive, which is read as a whole.
    fn archived(&mut self, reach: &Reach, next: Next, reader: &mut Reader<'_>) -> Result<Next, Error> {
        let (Next::At(version) | Next::Search(version)) = next else { return Ok(next) };
        let number = reach.newest.archive().expect("the caller has seen that it is one");
        let archive = reader.shelf.archive(number).map_err(store_error)?;
        let mut found: VecDeque<(LoggedCommit, usize)> = VecDeque::new();
        let mut before = None;
        // The newest change may lie behind those that are wanted.
        let through = version.min(reach.through).min(self.through);
        let in_front = Version(reach.earliest().0.saturating_sub(1));
        let all = archive.each_behind(in_front, through, &mut |record| {
            let size = record.size;
            if let Some((commit, _)) = self.changed_in(reach, record) {
                self.size += size;
                found.push_back((commit, size));
            }
            while self.page.commits.len() + found.len() > 1
                && (self.page.commits.len() + found.len() > self.limit || self.size > PAGE_SIZE)
                && let Some((oldest, size)) = found.pop_front()
            {
                self.size -= size;
                before = Some(oldest.stamp.version);
            }
            true
        });
        all.map_err(store_error)?;
        self.page.commits.extend(found.into_iter().rev().map(|(commit, _)| commit));
        self.page.next = before;
        self.page.trimmed = (before.is_none() && reach.is_given_up()).then(|| reach.earliest());
        Ok(Next::Nowhere)
    }

    fn is_full(&self) -> bool {
        self.page.commits.len() >= self.limit || self.size >= PAGE_SIZE
    }

    /// A commit with what it changed of the thing, and which one did so before; nothing where it did not change it.
    fn changed_in(&self, reach: &Reach, record: Record) -> Option<(LoggedCommit, Before)> {
        let mut commit = LoggedCommit::of(reach, record);
        let run = commit.run;
        let wanted = self.entity.in_run(run);
        // The end of a run is that of everything in it. What says nothing of the commit before is not met on the way back.
        let is_of = |mutation: &Mutation| {
            let is_end = matches!(mutation, Mutation::RunDelete { .. });
            is_end || mutation.before() != Before::Unknown && mutation.entity(run) == wanted
        };
        commit.mutations.retain(is_of);
        let before = match commit.mutations.first()? {
            Mutation::RunDelete { .. } if wanted != EntityRef::run(run) => Before::Unknown,
            first => first.before(),
        };
        Some((commit, before))
    }

    /// Takes what a commit changed of the thing. Where it goes on.
    fn take(&mut self, reach: &Reach, record: Record) -> Next {
        let (in_front, size) = (Version(record.head.version.0 - 1), record.size);
        let Some((commit, before)) = self.changed_in(reach, record) else { return Next::Search(in_front) };
        if commit.stamp.version > self.through {
            self.passed += 1;
            return match before {
                Before::At(version) if self.passed < PASSED_MAX => Next::At(version),
                Before::Nothing => Next::Nowhere,
                _ => Next::Search(self.through),
            };
        }
        self.page.commits.push(commit);
        self.size += size;
        let next = match before {
            Before::At(version) => Next::At(version),
            Before::Unknown => Next::Search(in_front),
            Before::Nothing => Next::Nowhere,
            // What it was in an earlier life is looked for by who asks for it.
            Before::Absent => {
                self.page.next = Some(in_front).filter(|version| *version > Version::NEVER);
                Next::Nowhere
            }
        };
        match next {
            Next::At(version) | Next::Search(version) if self.is_full() => {
                self.page.next = Some(version).filter(|version| *version > Version::NEVER);
                Next::Nowhere
            }
            next => next,
        }
    }
}
