//! What is known of the runs of a log that may be damaged, before any of them is read: where their images lie, and which of their
//! records follow each other.
//!
//! Of records only stretches are remembered: a run whose records all hold has one, and one more for every place at which some are
//! missing. So the index takes some hundred bytes for a run, an image of it or a gap, and nothing for a record.

use std::collections::BTreeMap;

use strata_primitives::{Erasure, ForkPoint, Mutation, RunId, Version};
use strata_wal::{Lsn, RecordRef};

use crate::base::{Known, Origin};
use crate::erasing::Descent;
use crate::image_directory::RunEntry;
use crate::record::{self, KIND_ERASE, KIND_FORK, KIND_IMPORT, KIND_RUN_CREATE, RecordPlace};
use crate::retained::RunImage;

/// The runs of one log.
#[derive(Debug, Default)]
pub(crate) struct SalvageIndex {
    pub(crate) runs: BTreeMap<RunId, SeenRun>,
}

/// What was seen of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenRun {
    /// Its name, where something says it.
    pub(crate) name: Option<String>,
    /// Its images, the newest first once all have come.
    pub(crate) images: Vec<SeenImage>,
    /// What it began as, as the log has it.
    origin: Option<Origin>,
    /// The same as the newest directory has it that says so.
    entered_origin: Option<Origin>,
    /// What was erased in it, in whatever version it is found.
    pub(crate) erasures: Vec<Erasure>,
    /// Its records, in the order of the log.
    pub(crate) stretches: Vec<Stretch>,
    /// The commit that imported it, if it was: what is older is in its archive.
    pub(crate) imported: Version,
    /// The newest version that anything names.
    pub(crate) known: Version,
    /// Below this position of the log no record of it is newer than that.
    pub(crate) settled: Lsn,
}

/// An image that a directory names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenImage {
    pub(crate) image: RunImage,
    /// Whether it shows what the run has changed of what it began as.
    pub(crate) is_over_origin: bool,
    /// Whether the directory is one that MANIFEST names: then what it says was durable in the log.
    pub(crate) is_named: bool,
    /// Whether the run was deleted at this commit: then nothing in it need be read.
    pub(crate) is_left_over: bool,
}

/// Records of a run that name each other, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The newest one.
    pub(crate) last: RecordPlace,
    /// Its commit.
    pub(crate) version: Version,
}

impl SeenRun {
    /// What it began as, if it is a fork that needs it or was imported.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.entered_origin.or(self.origin)
    }

    /// Whether what a directory says of it is of no earlier life than the one that began with the last import. Newer directories come
    /// before older ones, and one that says what the run began as speaks of all behind that: an older one that says otherwise was made
    /// before.
    fn is_since_import(&self, entry: &RunEntry) -> bool {
        let is_as_begun = self.entered_origin.is_none_or(|origin| entry.origin == Some(origin));
        is_as_begun && entry.summary.stamp.version >= self.imported
    }
}

impl SalvageIndex {
    /// Takes note of a record of log `log`.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn take_record(&mut self, log: u32, found: RecordRef<'_>) -> Result<(), String> {
        let head = record::decode_head(found.body)?;
        if matches!(found.kind, KIND_FORK | KIND_RUN_CREATE | KIND_ERASE | KIND_IMPORT) {
            let record = record::decode(found.body)?;
            match record.mutations.first() {
                Some(mutation @ Mutation::Erase { .. }) => {
                    let erasure = Erasure::of(mutation, head.version);
                    erasure.into_iter().for_each(|erasure| self.take_erasure(head.run, erasure));
                }
                Some(Mutation::RunFork { point, .. }) => {
                    self.take_origin(head.run, Origin { point: *point, record: head.previous });
                }
                Some(Mutation::RunImport { version, meta, .. }) => {
                    let point = ForkPoint { run: head.run, version: *version };
                    // Of an earlier life that was deleted nothing leads to this one.
                    let known = self.runs.remove(&head.run).map_or(Version::NEVER, |seen| seen.known);
                    let name = meta.name.clone();
                    self.runs.insert(
                        head.run,
                        SeenRun { name, known, imported: head.version, ..SeenRun::default() },
                    );
                    self.take_origin(head.run, Origin { point, record: head.previous });
                }
                Some(Mutation::RunCreate { meta, .. }) => {
                    let seen = self.runs.entry(head.run).or_default();
                    seen.name = meta.name.clone().or(seen.name.take());
                }
                _ => {}
            }
        }
        let seen = self.runs.entry(head.run).or_default();
        seen.known = seen.known.max(head.version);
        let stretch = Stretch { last: RecordPlace { log, lsn: found.lsn }, version: head.version };
        match seen.stretches.last_mut() {
            Some(before) if before.last == head.previous && before.version < head.version => {
                *before = stretch
            }
            _ => seen.stretches.push(stretch),
        }
        Ok(())
    }

    /// Takes note of what a directory says of a run, but for images that `is_refuted`; the newest directory comes first, and all of them
    /// behind the records. Of one that MANIFEST names it is known which part of the log it stands for, and nothing it says is refuted.
    ///
    /// Nothing is taken of a life before the last import: what that erased, an archive brings back.
    pub(crate) fn take_entry(
        &mut self,
        entry: &RunEntry,
        named_through: Option<Lsn>,
        mut is_refuted: impl FnMut(RunImage) -> bool,
    ) {
        let seen = self.runs.entry(entry.run).or_default();
        if !seen.is_since_import(entry) {
            return;
        }
        let (is_named, is_over_origin) = (named_through.is_some(), entry.origin.is_some());
        let meta = entry.summary.meta.as_ref();
        seen.name = seen.name.take().or(meta.and_then(|meta| meta.name.clone()));
        seen.known = seen.known.max(entry.summary.stamp.version);
        seen.settled = seen.settled.max(named_through.unwrap_or_default());
        // What is left of a deleted run is known without its image.
        let left_over = entry.newest_image().filter(|_| meta.is_none());
        let mut is_as_it_was = true;
        for image in entry.retained.anchors.iter().copied().chain(entry.newest_image()) {
            let is_left_over = left_over == Some(image);
            seen.known = seen.known.max(image.stamp.version);
            match seen.images.iter_mut().find(|known| known.image == image) {
                Some(known) => known.is_named |= is_named,
                None if !is_named && is_refuted(image) => is_as_it_was = false,
                None => seen.images.push(SeenImage { image, is_over_origin, is_named, is_left_over }),
            }
        }
        // A crash may have taken back what it began as.
        if let Some(origin) = entry.origin.filter(|_| is_as_it_was) {
            seen.entered_origin = Some(origin);
            self.note_parent(origin);
        }
        entry.erasures.iter().for_each(|erasure| self.take_erasure(entry.run, erasure.clone()));
    }

    fn take_origin(&mut self, run: RunId, origin: Origin) {
        self.runs.entry(run).or_default().origin = Some(origin);
        self.note_parent(origin);
    }

    fn note_parent(&mut self, origin: Origin) {
        let parent = self.runs.entry(origin.point.run).or_default();
        parent.known = parent.known.max(origin.point.version);
    }

    fn take_erasure(&mut self, run: RunId, erasure: Erasure) {
        let erasures = &mut self.runs.entry(run).or_default().erasures;
        // A directory knows the hash of an event beside.
        match erasures.iter_mut().find(|known| known.by == erasure.by) {
            Some(known) if known.event_hash.is_none() => *known = erasure,
            Some(_) => {}
            None => erasures.push(erasure),
        }
    }

    /// Brings the images of every run into the order in which they are tried.
    pub(crate) fn sort_images(&mut self) {
        for seen in self.runs.values_mut() {
            seen.images.sort_by_key(|seen| (seen.image.stamp.version, seen.image.file));
            seen.images.reverse();
        }
    }

    /// The runs as those that others were forked from.
    pub(crate) fn known(&self) -> BTreeMap<RunId, Known<'static>> {
        let known = |seen: &SeenRun| {
            // As the newest directory has it: forks of a life that began anew are made from images of that alone.
            let is_over = seen.images.first().map_or(seen.origin().is_some(), |newest| newest.is_over_origin);
            let origin = seen.origin().filter(|_| is_over);
            let images = seen.images.iter().filter(|image| image.is_over_origin == is_over);
            let images = images.map(|seen| seen.image).collect();
            Known { images, floor: Version::NEVER, origin, live: None }
        };
        self.runs.iter().map(|(run, seen)| (*run, known(seen))).collect()
    }
}

impl Descent for SalvageIndex {
    fn erased(&self, run: RunId) -> Option<(&[Erasure], Option<Origin>)> {
        let seen = self.runs.get(&run)?;
        Some((&seen.erasures, seen.origin()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordHead;
    use strata_primitives::{Durability, Timestamp};

    fn record(version: u64, previous: u64) -> Vec<u8> {
        let head = RecordHead {
            run: RunId::from_bytes([7; 16]),
            version: Version(version),
            timestamp: Timestamp(version),
            durability: Durability::Buffered,
            previous: RecordPlace { log: 0, lsn: Lsn(previous) },
            milestone: None,
            cause: None,
            operation: None,
            reads: None,
        };
        let mut body = Vec::new();
        record::encode(&head, &[], &mut body);
        body
    }

    #[test]
    fn records_that_name_each_other_are_one_stretch_and_a_gap_begins_another() {
        let mut index = SalvageIndex::default();
        for (version, lsn, previous) in [(1, 8, 0), (2, 16, 8), (3, 40, 16), (6, 88, 64), (7, 96, 88)] {
            let body = record(version, previous);
            index.take_record(0, RecordRef { lsn: Lsn(lsn), kind: 1, body: &body }).unwrap();
        }
        let seen = &index.runs[&RunId::from_bytes([7; 16])];
        let stretches: Vec<_> =
            seen.stretches.iter().map(|stretch| (stretch.version.0, stretch.last.lsn.0)).collect();
        assert_eq!((stretches, seen.known), (vec![(3, 40), (7, 96)], Version(7)));
        assert!(index.take_record(0, RecordRef { lsn: Lsn(104), kind: 1, body: &[1, 2] }).is_err());
    }
}
