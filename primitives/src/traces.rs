//! The traces of a run as a reader sees them: at present, at an older version, or with a commit's own staged over
//! them.
use crate::chunks::Ascending;
use crate::encoded::Encoded;
use crate::entry_log::EntryLog;
use crate::past::ReplacedTraces;
use crate::trace::Trace;
use crate::trace_id::TraceId;
use crate::trace_log::{RemovedTraces, TraceLog};
use crate::version::{Stamp, Timestamp, Version};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// The traces of a run at one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traces<'a> {
    log: &'a TraceLog,
    /// How many there ever were at this version.
    count: u64,
    past: Option<(&'a ReplacedTraces, Version)>,
}

impl<'a> Traces<'a> {
    /// The traces as they are.
    pub(crate) fn present(log: &'a TraceLog) -> Self {
        Self { log, count: log.end(), past: None }
    }

    /// The traces as the commit `version` left them; `past` holds what later commits replaced.
    pub(crate) fn at(log: &'a TraceLog, past: &'a ReplacedTraces, version: Version) -> Self {
        Self { log, count: log.count_at(version), past: Some((past, version)) }
    }

    /// How many there ever were, which is where the next one comes.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The place of the first that is there: as many were removed.
    pub(crate) fn first(&self) -> u64 {
        self.log.first()
    }

    /// What is left of those in front of the first.
    pub(crate) fn removed(&self) -> &'a RemovedTraces {
        self.log.removed()
    }

    /// How many traces of kinds were removed, of those in one of `count` parts of all kinds; more kinds of them come with commits
    /// alone that remove traces.
    pub(crate) fn removed_of_kinds(
        &self,
        part: usize,
        count: usize,
    ) -> impl Iterator<Item = (&'a Arc<str>, u64)> + use<'a> {
        self.log.removed_of_kinds(part, count)
    }

    /// In how many parts kinds of traces lie.
    pub(crate) fn kind_part_count(&self) -> usize {
        self.log.kind_part_count()
    }

    pub(crate) fn get(&self, place: u64) -> Option<&'a Trace> {
        if place >= self.count || place < self.first() {
            return None;
        }
        let was = self.past.and_then(|(past, version)| past.at(&place, version));
        was.or_else(|| self.log.get(place))
    }

    pub(crate) fn place_of(&self, id: &TraceId) -> Option<u64> {
        self.log.place_of(id).filter(|place| *place < self.count)
    }

    pub(crate) fn find(&self, id: &TraceId) -> Option<&'a Trace> {
        self.get(self.place_of(id)?)
    }

    /// The places of the direct children of a trace, ascending.
    pub(crate) fn children(&self, id: &TraceId) -> Ascending<'a> {
        self.log.children(id).below(self.count)
    }

    /// The place of the first trace recorded at `time` or later; the count if there is none.
    pub(crate) fn first_at_or_after(&self, time: Timestamp) -> u64 {
        self.log.first_at_or_after(time).min(self.count)
    }

    /// How many of a kind there ever were.
    pub(crate) fn kind_count(&self, kind: &str) -> u64 {
        let newer = self.newer().filter(|trace| *trace.kind == *kind).count();
        self.log.kind_count(kind) - newer as u64
    }

    /// What traces take together, bytes.
    pub(crate) fn size(&self) -> u64 {
        let mut size = self.log.size() - self.newer().map(Trace::size).sum::<u64>();
        if let Some((past, version)) = self.past {
            let replaced = past.since(version).filter(|(place, _)| **place < self.count);
            for (place, was) in replaced {
                size += was.size();
                size -= self.log.get(*place).map_or(0, Trace::size);
            }
        }
        size
    }

    /// The places of traces that are there at this version and were ended since.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = u64> + use<'a> {
        let count = self.count;
        let replaced = self.past.map(|(past, version)| past.since(version));
        replaced.into_iter().flatten().map(|(place, _)| *place).filter(move |place| *place < count)
    }

    /// The same traces as a log of their own, which shares those that nothing has become of since.
    pub(crate) fn share(&self) -> TraceLog {
        let mut log = self.log.clone();
        for place in self.replaced() {
            let was = self.get(place).expect("a trace that was replaced is there");
            log.replace(place, was.clone());
        }
        while log.get(self.count).is_some() {
            log.take_back();
        }
        log
    }

    /// The traces recorded behind this version, as they are now.
    fn newer(&self) -> impl Iterator<Item = &'a Trace> {
        let log = self.log;
        (self.count..log.end()).filter_map(move |place| log.get(place))
    }
}

/// What a commit would record and end. Its own traces are numbered from 0 here; in the run they follow those there.
#[derive(Debug)]
pub(crate) struct StagedTraces {
    recorded: TraceLog,
    /// Traces of the run that the commit ends, by their place, as they would be.
    ended: FxHashMap<u64, Trace>,
}

impl Default for StagedTraces {
    fn default() -> Self {
        // Ids of one commit are few, so nobody can make much of choosing them.
        Self { recorded: TraceLog::new(0), ended: FxHashMap::default() }
    }
}

impl StagedTraces {
    pub(crate) fn record(&mut self, trace: &Trace, stamp: Stamp) {
        self.recorded.append(Trace { stamp, recorded: stamp, ..trace.clone() });
    }

    /// Ends a trace of this commit, or one of `base` below it.
    pub(crate) fn end(
        &mut self,
        base: Option<Traces<'_>>,
        id: &TraceId,
        ended: Timestamp,
        body: &Encoded,
        stamp: Stamp,
    ) {
        let end = |trace: &Trace| trace.with_end(ended, body.clone(), stamp);
        if let Some(place) = self.recorded.place_of(id) {
            let trace = self.recorded.get(place).map(end).expect("a place leads to its trace");
            self.recorded.replace(place, trace);
        } else if let Some((place, trace)) = base.and_then(|base| Some((base.place_of(id)?, base.find(id)?)))
        {
            self.ended.insert(place, end(trace));
        } else {
            unreachable!("only a trace that is there is ended");
        }
    }
}

/// The traces of a run with staged ones behind them and staged ends among them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TracesOver<'d> {
    /// `None` once a staged deletion of the run hides everything.
    base: Option<Traces<'d>>,
    /// `None` until a trace is staged.
    staged: Option<&'d StagedTraces>,
}

impl<'d> TracesOver<'d> {
    pub(crate) fn new(base: Option<Traces<'d>>, staged: Option<&'d StagedTraces>) -> Self {
        Self { base, staged }
    }

    /// How many there are below the staged ones, which is where those begin.
    pub(crate) fn base_count(&self) -> u64 {
        self.base.map_or(0, |base| base.count())
    }

    /// The place of the first that is there; staged ones are.
    pub(crate) fn first(&self) -> u64 {
        self.base.map_or(0, |base| base.first())
    }

    /// The version of a trace below the staged writes.
    pub(crate) fn base_version(&self, id: &TraceId) -> Version {
        let base = self.base.and_then(|base| base.find(id));
        base.map_or(Version::NEVER, |trace| trace.stamp.version)
    }

    /// Whether the trace is recorded or ended by a staged write.
    pub(crate) fn is_staged(&self, id: &TraceId) -> bool {
        let is_ended =
            |staged: &StagedTraces| self.place_of(id).is_some_and(|place| staged.ended.contains_key(&place));
        self.staged.is_some_and(|staged| staged.recorded.place_of(id).is_some() || is_ended(staged))
    }

    /// How many there ever were.
    pub(crate) fn count(&self) -> u64 {
        self.base_count() + self.staged.map_or(0, |staged| staged.recorded.len())
    }

    pub(crate) fn get(&self, place: u64) -> Option<&'d Trace> {
        match place.checked_sub(self.base_count()) {
            Some(index) => self.staged?.recorded.get(index),
            None => {
                let ended = self.staged.and_then(|staged| staged.ended.get(&place));
                ended.or_else(|| self.base?.get(place))
            }
        }
    }

    pub(crate) fn place_of(&self, id: &TraceId) -> Option<u64> {
        let staged = self.staged.and_then(|staged| staged.recorded.place_of(id));
        match staged {
            Some(index) => Some(self.base_count() + index),
            None => self.base?.place_of(id),
        }
    }

    pub(crate) fn find(&self, id: &TraceId) -> Option<&'d Trace> {
        self.get(self.place_of(id)?)
    }

    pub(crate) fn children(&self, id: &TraceId) -> Children<'d> {
        Children {
            base: self.base.map_or_else(Ascending::default, |base| base.children(id)),
            staged: self.staged.map_or_else(Ascending::default, |staged| staged.recorded.children(id)),
            staged_first: self.base_count(),
        }
    }

    /// The places of a trace and all below it, ascending: parents before their children.
    pub(crate) fn tree(&self, root: &TraceId) -> TreeWalk<'d> {
        TreeWalk::new(*self, root)
    }

    /// The place of the first trace recorded at `time` or later; the count if there is none.
    pub(crate) fn first_at_or_after(&self, time: Timestamp) -> u64 {
        let of_base = self.base.map_or(0, |base| base.first_at_or_after(time));
        if of_base < self.base_count() {
            return of_base;
        }
        of_base + self.staged.map_or(0, |staged| staged.recorded.first_at_or_after(time))
    }

    pub(crate) fn kind_count(&self, kind: &str) -> u64 {
        let of_base = self.base.map_or(0, |base| base.kind_count(kind));
        of_base + self.staged.map_or(0, |staged| staged.recorded.kind_count(kind))
    }

    /// What traces take together, bytes.
    pub(crate) fn size(&self) -> u64 {
        let mut size = self.base.map_or(0, |base| base.size());
        let Some(staged) = self.staged else { return size };
        for (place, ended) in &staged.ended {
            size += ended.size();
            size -= self.base.and_then(|base| base.get(*place)).map_or(0, Trace::size);
        }
        size + staged.recorded.size()
    }
}

/// The places of the direct children of a trace, ascending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Children<'d> {
    base: Ascending<'d>,
    /// Counted from the first staged trace.
    staged: Ascending<'d>,
    staged_first: u64,
}

impl Children<'_> {
    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        match index.checked_sub(self.base.len()) {
            None => self.base.get(index),
            Some(index) => self.staged.get(index).map(|place| self.staged_first + place),
        }
    }

    /// How many of them lie below `place`.
    pub(crate) fn count_below(&self, place: u64) -> u64 {
        let of_staged = self.staged.count_below(place.saturating_sub(self.staged_first));
        self.base.count_below(place) + of_staged
    }
}

/// A walk down a tree in commit order. It opens one list of children for each trace it passes and merges them, so
/// that the first traces of a large tree cost only themselves.
#[derive(Debug)]
pub(crate) struct TreeWalk<'d> {
    traces: TracesOver<'d>,
    /// Lists of children that the walk has opened, each with the index of the child that stands in `ahead`.
    open: Vec<(Children<'d>, u64)>,
    /// The next place of each open list, and which list that is; the root is of none.
    ahead: BinaryHeap<Reverse<(u64, Option<usize>)>>,
}

impl<'d> TreeWalk<'d> {
    fn new(traces: TracesOver<'d>, root: &TraceId) -> Self {
        let ahead = traces.place_of(root).map(|place| Reverse((place, None)));
        Self { traces, open: Vec::new(), ahead: ahead.into_iter().collect() }
    }

    /// Puts the child that a list stands at ahead of the walk.
    fn look_ahead(&mut self, list: usize) {
        let (children, index) = &self.open[list];
        self.ahead.extend(children.get(*index).map(|place| Reverse((place, Some(list)))));
    }
}

impl Iterator for TreeWalk<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let Reverse((place, list)) = self.ahead.pop()?;
        if let Some(list) = list {
            self.open[list].1 += 1;
            self.look_ahead(list);
        }
        let children = self.traces.children(&self.traces.get(place)?.id);
        // A child comes after its parent. Insisting on it here bounds the walk, whatever was recovered.
        self.open.push((children, children.count_below(place + 1)));
        self.look_ahead(self.open.len() - 1);
        Some(place)
    }
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
