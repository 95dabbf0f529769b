//! What commits replaced while somebody looks at an older version.
//!
//! A thing at version `v` is what the first commit behind `v` replaced, or, when no commit behind `v` touched it,
//! what it is now. So only the replaced things are kept, and only while a snapshot that needs them is open: a run
//! that nobody looks at in this way keeps nothing.
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::entry::Entry;
use crate::entry_log::EntryLog;
use crate::erasure::Erasure;
use crate::event_log::EventLog;
use crate::json::Document;
use crate::key::Key;
use crate::run_meta::RunMeta;
use crate::split_map::SplitMap;
use crate::trace::Trace;
use crate::trace_log::TraceLog;
use crate::version::Version;
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::Hash;

/// Everything that commits replaced in one run, from its creation to its deletion.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) kv: ReplacedKeys<Encoded>,
    pub(crate) cells: ReplacedKeys<Encoded>,
    pub(crate) documents: ReplacedKeys<Document>,
    /// Spans that were ended, by their place.
    pub(crate) traces: ReplacedTraces,
    /// The description and the commit that had last changed it.
    pub(crate) meta: Replacements<(), (Option<Box<RunMeta>>, Version)>,
    /// The events there were before some were removed.
    pub(crate) events: Replacements<(), EventLog>,
    /// The traces there were before some were removed; those that ended since are found above.
    pub(crate) trace_logs: Replacements<(), TraceLog>,
}

impl Past {
    pub(crate) fn new(hash_seed: usize) -> Self {
        Self {
            kv: Replacements::new(hash_seed),
            cells: Replacements::new(hash_seed),
            documents: Replacements::new(hash_seed),
            traces: Replacements::new(hash_seed),
            meta: Replacements::new(hash_seed),
            events: Replacements::new(hash_seed),
            trace_logs: Replacements::new(hash_seed),
        }
    }

    /// Puts the marker in the place of what an erasure covers. Whether there was any.
    pub(crate) fn redact(&mut self, erasure: &Erasure) -> bool {
        let Self { kv, cells, documents, traces, meta: _, events, trace_logs } = self;
        match &erasure.entity {
            EntityRef::Kv { key, .. } => kv.change(&**key, |was| redact_value(was, erasure)),
            EntityRef::Cell { name, .. } => cells.change(&**name, |was| redact_value(was, erasure)),
            EntityRef::Json { name, .. } => documents.change(&**name, |was| {
                let erased = was.as_mut().filter(|was| erasure.covers_document(name, &was.value));
                erased.map(|was| was.value = Document::erased(was.stamp)).is_some()
            }),
            EntityRef::Trace { id, .. } => {
                let is_ended = traces.change_all(|was| {
                    let is_erased = erasure.covers_trace(was) && !was.body.is_erased();
                    if is_erased {
                        was.body = Encoded::erased();
                    }
                    is_erased
                });
                trace_logs.change(&(), |was| was.redact(id, erasure).is_some()) | is_ended
            }
            EntityRef::Event { sequence, .. } => {
                events.change(&(), |was| was.redact(*sequence, erasure).is_some())
            }
            EntityRef::Run { .. } => false,
        }
    }

    /// Forgets what no snapshot at `floor` or behind it needs, as many things as `budget` allows, and takes them from it. Of
    /// events and traces those from these places on are there without it.
    pub(crate) fn trim(&mut self, floor: Version, first_event: u64, first_trace: u64, budget: &mut usize) {
        let Self { kv, cells, documents, traces, meta, events, trace_logs } = self;
        events.trim_logs(floor, first_event, budget);
        trace_logs.trim_logs(floor, first_trace, budget);
        kv.trim(floor, budget);
        cells.trim(floor, budget);
        documents.trim(floor, budget);
        traces.trim(floor, budget);
        meta.trim(floor, budget);
    }

    /// About how many bytes are kept.
    pub(crate) fn size(&self) -> usize {
        let Self { kv, cells, documents, traces, meta, events, trace_logs } = self;
        let logs = events.size + trace_logs.size;
        kv.size + cells.size + documents.size + traces.size + meta.size + logs
    }

    /// About how many bytes take events and traces that are kept here alone, of which these are left.
    pub(crate) fn kept_of_logs(&self, events: &EventLog, traces: &TraceLog) -> usize {
        self.events.kept_of(events) + self.trace_logs.kept_of(traces)
    }
}

fn redact_value(was: &mut Option<Entry<Encoded>>, erasure: &Erasure) -> bool {
    let erased = was.as_mut().filter(|was| erasure.covers(was.written()) && !was.value.is_erased());
    erased.map(|was| was.value = Encoded::erased()).is_some()
}

/// What keys held; nothing where a commit put a new one.
pub(crate) type ReplacedKeys<V> = Replacements<Key, Option<Entry<V>>>;

/// What traces were before they ended, by their place.
pub(crate) type ReplacedTraces = Replacements<u64, Trace>;

/// Things of one kind that were replaced, each with the number of the commit that replaced it.
#[derive(Debug)]
pub(crate) struct Replacements<K, T> {
    chains: SplitMap<K, VecDeque<Link<T>>>,
    /// Which thing each commit replaced, in order of commits.
    order: VecDeque<(Version, K)>,
    size: usize,
    hash_seed: usize,
}

#[derive(Debug)]
struct Link<T> {
    /// The commit that replaced `was`.
    by: Version,
    was: T,
    size: usize,
}

/// The memory of so many parts is kept for what comes next.
const FEW_PARTS: usize = 16;
/// What a link takes beside the thing itself and its key, bytes.
const LINK_SIZE: usize = 96;

/// A commit that keeps what it replaces, for the snapshots that were open when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeper {
    pub(crate) by: Version,
    /// The newest version that a snapshot shows.
    pub(crate) newest_watched: Version,
}

/// The commit that something is kept for, if there is one and it keeps it.
pub(crate) fn kept_by(keeper: Option<Keeper>, keep: impl FnOnce(Keeper) -> bool) -> Option<Version> {
    keeper.filter(|keeper| keep(*keeper)).map(|keeper| keeper.by)
}

impl<K: Clone + Eq + Hash, T> Replacements<K, T> {
    fn new(hash_seed: usize) -> Self {
        Self { chains: SplitMap::unshared(hash_seed), order: VecDeque::new(), size: 0, hash_seed }
    }

    /// Keeps what a commit replaced, under a key of its own; false if nobody will look for it. Of all replacements behind the newest version that
    /// is watched the first counts: it is what was there at that version.
    pub(crate) fn keep<Q: Eq + Hash + ?Sized>(
        &mut self,
        key: &Q,
        keeper: Keeper,
        size: usize,
        kept: impl FnOnce() -> (K, T),
    ) -> bool
    where
        K: Borrow<Q>,
    {
        let Keeper { by, newest_watched } = keeper;
        let chain = self.chains.get_mut(key);
        let newest = chain.as_ref().and_then(|chain| chain.back());
        if newest.is_some_and(|newest| newest.by > newest_watched) {
            return false;
        }
        let (size, (key, was)) = (size + LINK_SIZE, kept());
        let link = Link { by, was, size };
        match chain {
            Some(chain) => chain.push_back(link),
            None => {
                // Most things are replaced once while somebody looks.
                let mut chain = VecDeque::with_capacity(1);
                chain.push_back(link);
                self.chains.insert(key.clone(), chain);
            }
        }
        self.order.push_back((by, key));
        self.size += size;
        true
    }

    /// Takes back the newest [`keep`](Self::keep), unless it was forgotten since: the commit is taken back, and the
    /// next one gets its number.
    pub(crate) fn take_back(&mut self, key: &K, by: Version) {
        if self.order.pop_back_if(|(newest, of)| *newest == by && *of == *key).is_none() {
            return;
        }
        let chain = self.chains.get_mut(key).expect("every replaced thing has its chain");
        let link = chain.pop_back().expect("a chain has a link for each of its places in the order");
        self.size -= link.size;
        if chain.is_empty() {
            self.chains.remove(key);
        }
    }

    /// Changes all that is kept under a key. Whether there was anything to change.
    fn change<Q: Eq + Hash + ?Sized>(&mut self, key: &Q, mut change: impl FnMut(&mut T) -> bool) -> bool
    where
        K: Borrow<Q>,
    {
        let links = self.chains.get_mut(key).into_iter().flatten();
        links.fold(false, |is_any, link| change(&mut link.was) | is_any)
    }

    /// Changes all that is kept. Whether there was anything to change.
    fn change_all(&mut self, mut change: impl FnMut(&mut T) -> bool) -> bool {
        let keys: Vec<K> = self.order.iter().map(|(_, key)| key.clone()).collect();
        keys.iter().fold(false, |is_any, key| self.change(key, &mut change) | is_any)
    }

    /// What the first commit behind `version` replaced under this key, if one did.
    pub(crate) fn at<Q: Eq + Hash + ?Sized>(&self, key: &Q, version: Version) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        if self.chains.is_empty() {
            return None;
        }
        let chain = self.chains.get(key)?;
        let first = chain.partition_point(|link| link.by <= version);
        chain.get(first).map(|link| &link.was)
    }

    /// Every thing that commits behind `version` replaced, once, with what the first of them found.
    pub(crate) fn since(&self, version: Version) -> impl Iterator<Item = (&K, &T)> {
        self.order
            .range(self.first_since(version)..)
            .filter_map(move |place| self.replaced_at(place, version))
    }

    /// How often a thing was replaced behind `version`.
    pub(crate) fn count_since(&self, version: Version) -> usize {
        self.order.len() - self.first_since(version)
    }

    /// What was replaced at one of these times; `None` where it had been replaced before. What is replaced later moves no
    /// place.
    pub(crate) fn nth_since(&self, version: Version, place: usize) -> Option<(&K, &T)> {
        let place = self.order.get(self.first_since(version) + place)?;
        self.replaced_at(place, version)
    }

    fn first_since(&self, version: Version) -> usize {
        self.order.partition_point(|(by, _)| *by <= version)
    }

    fn replaced_at<'a>(&'a self, (by, key): &'a (Version, K), version: Version) -> Option<(&'a K, &'a T)> {
        let chain = self.chains.get(key)?;
        let link = chain.get(chain.partition_point(|link| link.by <= version))?;
        // A thing that was replaced again comes later in the order too; it counts where it was first.
        (link.by == *by).then_some((key, &link.was))
    }

    fn trim(&mut self, floor: Version, budget: &mut usize) {
        while *budget > 0 && self.order.front().is_some_and(|(by, _)| *by <= floor) {
            self.trim_one(budget);
        }
        if self.order.is_empty() && self.chains.part_count() > FEW_PARTS {
            // Much was kept, and its memory is given back.
            *self = Self::new(self.hash_seed);
        }
    }

    /// Forgets what the oldest commit replaced.
    fn trim_one(&mut self, budget: &mut usize) {
        let Some((_, key)) = self.order.pop_front() else { return };
        *budget -= 1;
        let chain = self.chains.get_mut(&key).expect("every replaced thing has its chain");
        let link = chain.pop_front().expect("a chain has a link for each of its places in the order");
        self.size -= link.size;
        if chain.is_empty() {
            self.chains.remove(&key);
        }
    }
}

impl<L: EntryLog> Replacements<(), L> {
    /// About how many bytes take entries that are kept here alone, of which `log` is left.
    fn kept_of(&self, log: &L) -> usize {
        let oldest = self.chains.get(&()).and_then(|chain| chain.front());
        oldest.map_or(0, |oldest| log.released().saturating_sub(oldest.was.released()))
    }

    /// Forgets the logs that commits up to `floor` replaced. However many entries of one are nobody else's, they go a few at a time.
    fn trim_logs(&mut self, floor: Version, first_now: u64, budget: &mut usize) {
        while *budget > 0
            && let Some((was, first)) = self.oldest_before(floor, first_now)
        {
            // Those there are now may be none of it.
            let count = first.min(was.end()).saturating_sub(was.first()).min(*budget as u64);
            was.drop_front(count);
            *budget -= count as usize;
            if count == 0 {
                self.trim_one(budget);
            }
        }
    }

    /// The oldest of them, if a commit up to `floor` replaced it, and the first entry of the next one, or of what is there now.
    fn oldest_before(&mut self, floor: Version, first_now: u64) -> Option<(&mut L, u64)> {
        let chain = self.chains.get_mut(&())?;
        let next = chain.get(1).map_or(first_now, |link| link.was.first());
        let oldest = chain.front_mut().filter(|link| link.by <= floor)?;
        Some((&mut oldest.was, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A commit while the version before it is watched.
    fn keeper(by: u64) -> Keeper {
        Keeper { by: Version(by), newest_watched: Version(by - 1) }
    }

    fn replaced(links: &[(&'static str, u64, i32)]) -> Replacements<&'static str, i32> {
        let mut replaced = Replacements::new(3);
        for (key, by, was) in links {
            replaced.keep(*key, keeper(*by), 0, || (*key, *was));
        }
        replaced
    }

    #[test]
    fn a_thing_at_a_version_is_what_the_first_commit_behind_it_replaced() {
        let past = replaced(&[("a", 3, 1), ("b", 4, 7), ("a", 5, 2)]);
        let at = |key, version| past.at(&key, Version(version)).copied();
        assert_eq!((at("a", 2), at("a", 3), at("a", 4), at("a", 5)), (Some(1), Some(2), Some(2), None));
        assert_eq!((at("b", 3), at("b", 4), at("c", 0)), (Some(7), None, None));
    }

    #[test]
    fn of_several_replacements_by_one_commit_the_first_counts() {
        let past = replaced(&[("a", 3, 1), ("a", 3, 2)]);
        assert_eq!(past.at::<str>("a", Version(2)), Some(&1));
        assert_eq!(past.since(Version(0)).count(), 1);
    }

    #[test]
    fn what_lies_between_two_commits_that_nobody_watches_is_not_kept() {
        let mut past = Replacements::new(3);
        for by in 3..1_000 {
            past.keep("a", Keeper { by: Version(by), newest_watched: Version(2) }, 0, || ("a", by as i32));
        }
        assert_eq!((past.at("a", Version(2)), past.order.len(), past.size), (Some(&3), 1, LINK_SIZE));
        assert!(past.keep("a", keeper(1_000), 0, || ("a", 1_000)), "somebody looks at commit 999 now");
        assert_eq!((past.at("a", Version(2)), past.at("a", Version(999))), (Some(&3), Some(&1_000)));
    }

    #[test]
    fn what_changed_since_a_version_is_named_once_with_what_was_found() {
        let past = replaced(&[("a", 3, 1), ("b", 4, 7), ("a", 5, 2), ("a", 6, 3)]);
        let since = |version| past.since(Version(version)).map(|(key, was)| (*key, *was)).collect::<Vec<_>>();
        assert_eq!(since(2), [("a", 1), ("b", 7)]);
        assert_eq!(since(3), [("b", 7), ("a", 2)]);
        assert_eq!(since(5), [("a", 3)]);
        assert_eq!(since(6), []);
    }

    #[test]
    fn what_is_taken_back_was_never_replaced() {
        let mut past = replaced(&[("a", 3, 1), ("a", 4, 2), ("b", 4, 7)]);
        past.take_back(&"b", Version(4));
        past.take_back(&"a", Version(4));
        assert_eq!((past.at::<str>("a", Version(2)), past.at::<str>("a", Version(3))), (Some(&1), None));
        assert!(past.keep("a", keeper(4), 0, || ("a", 5)) && !past.keep("a", keeper(4), 0, || ("a", 6)));
        past.trim(Version(4), &mut 100);
        past.take_back(&"a", Version(4));
        assert_eq!((past.order.len(), past.chains.len(), past.size), (0, 0, 0));
    }

    #[test]
    fn what_no_snapshot_needs_is_forgotten() {
        let mut past = replaced(&[("a", 3, 1), ("b", 4, 7), ("a", 5, 2)]);
        past.trim(Version(4), &mut 100);
        assert_eq!(past.at::<str>("a", Version(4)), Some(&2));
        assert_eq!((past.order.len(), past.chains.len(), past.size), (1, 1, LINK_SIZE));
        past.trim(Version(5), &mut 100);
        assert_eq!((past.order.len(), past.chains.len(), past.size), (0, 0, 0));
    }
}
