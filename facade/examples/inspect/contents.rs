//! What the logs of a store say, read without changing a byte: the records, and the runs they add up to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use strata::{RunId, RunInfo, RunStatus, Version};
use strata_primitives::{Mutation, RunState, Stamp};
use strata_shards::record::{self, KIND_FORK, KIND_RETENTION, KIND_RUN_CREATE, KIND_RUN_DELETE, Record};
use strata_shards::restore::runs_of_image;
use strata_wal::{LogRecovery, LogSource, ManifestSummary, RecordRef, scan};

/// A record in one line.
pub(crate) struct RecordLine {
    pub log: u32,
    pub lsn: u64,
    pub kind: &'static str,
    pub run: RunId,
    pub version: u64,
    pub timestamp: u64, // microseconds since the epoch
    pub size: u64,      // bytes of its body
    pub mutation_count: usize,
}

/// Everything the logs hold, added up record by record.
pub(crate) struct Contents {
    runs: BTreeMap<RunId, RunState>,
    /// The commits at which images show runs.
    imaged: BTreeMap<RunId, Version>,
    /// Forks of a version that the log does not show any more, or not any more when it comes to them: their records are counted,
    /// and what they lead to is not known here.
    pub unread: BTreeSet<RunId>,
    pub latest: VecDeque<RecordLine>,
    latest_max: usize,
    pub kinds: BTreeMap<&'static str, u64>,
    pub mutations: u64,
}

impl Contents {
    /// Empty; keeps the latest `latest_max` records of each log.
    pub(crate) fn new(latest_max: usize) -> Contents {
        Contents {
            runs: BTreeMap::new(),
            unread: BTreeSet::new(),
            imaged: BTreeMap::new(),
            latest: VecDeque::new(),
            latest_max,
            kinds: BTreeMap::new(),
            mutations: 0,
        }
    }

    /// Reads one log as far back as it reaches, from the older of two images or from its beginning to its end, and repairs
    /// nothing.
    pub(crate) fn read(&mut self, source: &LogSource) -> Result<LogRecovery, String> {
        let log = source.log();
        let mut latest = VecDeque::new();
        let older = source.images().nth(1);
        if let Some(image) = &older {
            let runs = runs_of_image(source, image).map_err(|error| error.to_string())?;
            self.imaged.extend(runs.iter().map(|run| (run.id(), run.version())));
            self.runs.extend(runs.into_iter().map(|run| (run.id(), run)));
        }
        let found = scan(source, older.as_ref(), &mut |record| {
            let line = self.take(log, record)?;
            latest.push_back(line);
            if latest.len() > self.latest_max {
                latest.pop_front();
            }
            Ok(())
        });
        self.latest.extend(latest);
        found.map_err(|error| error.to_string())
    }

    /// The runs that exist, with what the store derives about them.
    pub(crate) fn runs(&self, manifest: &ManifestSummary) -> Vec<RunInfo> {
        // The latest boot that ended, or may have ended, without a word; all before count as such.
        let unclean = if manifest.is_clean { manifest.unclean_through } else { manifest.boot };
        let info = |state: &RunState| {
            let mut info = state.info()?;
            info.orphaned = info.status == RunStatus::Active && info.begun_in_boot <= unclean;
            Some(info)
        };
        self.runs.values().filter_map(info).collect()
    }

    fn take(&mut self, log: u32, found: RecordRef<'_>) -> Result<RecordLine, String> {
        let Record { head, mutations, .. } = record::decode(found.body)?;
        let line = RecordLine {
            log,
            lsn: found.lsn.0,
            kind: kind_name(found.kind),
            run: head.run,
            version: head.version.0,
            timestamp: head.timestamp.0,
            size: found.body.len() as u64,
            mutation_count: mutations.len(),
        };
        *self.kinds.entry(line.kind).or_default() += 1;
        self.mutations += mutations.len() as u64;
        let stamp = Stamp { version: head.version, timestamp: head.timestamp };
        if self.imaged.get(&head.run).is_some_and(|imaged| head.version <= *imaged) {
            return Ok(line); // its image was written behind the place from which the log is read
        }
        if let [Mutation::RunFork { point, .. }, ..] = mutations[..] {
            match self.runs.get(&point.run).filter(|run| run.version() == point.version) {
                Some(run) => drop(self.runs.insert(head.run, run.fork(head.run))),
                None => drop(self.unread.insert(head.run)),
            }
        }
        if self.unread.contains(&head.run) {
            return Ok(line);
        }
        let state = self.runs.entry(head.run).or_insert_with(|| RunState::new(head.run, 0));
        let is_creation = found.kind == KIND_RUN_CREATE;
        if head.version != state.version().next() && !(is_creation && head.version > state.version()) {
            return Err(format!(
                "commit {} of run {} follows its commit {}",
                head.version,
                head.run,
                state.version()
            ));
        }
        for mutation in mutations {
            drop(state.apply(mutation, stamp));
        }
        state.commit(stamp);
        Ok(line)
    }
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        KIND_RUN_CREATE => "create run",
        KIND_RUN_DELETE => "delete run",
        KIND_FORK => "fork run",
        KIND_RETENTION => "set retention",
        _ => "commit",
    }
}
