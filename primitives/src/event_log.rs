//! The events of a run: appended in chunks, and removed from the front when the run does not keep them.
use crate::chunks::{Ascending, CHUNK_COUNT_MAX, Chunks};
use crate::entry_log::{EntryLog, PLACE_MAX, Trimmed};
use crate::erasure::Erasure;
use crate::event::{CHAIN_START, Event};
use crate::key::Key;
use crate::split_map::SplitMap;
use crate::version::{Timestamp, Version};

/// The events of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfKind {
    /// The text that all of them share.
    kind: Key,
    sequences: Chunks<u64>,
}

/// What is left of the events that were removed: all of those in front of the first that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The hash of the last of them, onto which the first that is there is hashed; the start of the chain if none was removed.
    pub(crate) hash: [u8; 32],
    /// The commits that appended the first and the last of them.
    pub(crate) from: Version,
    pub(crate) through: Version,
}

impl Default for Anchor {
    fn default() -> Self {
        Self { hash: CHAIN_START, from: Version::NEVER, through: Version::NEVER }
    }
}

/// The events of a run, and where those of each type are. A clone shares all of them until either is changed.
#[derive(Debug, Clone)]
pub(crate) struct EventLog {
    events: Chunks<Event>,
    anchor: Anchor,
    /// How much memory what was removed has taken, since this is in memory.
    released: usize,
    size: u64,
    /// What payloads do not take in memory because it is elsewhere, bytes.
    elsewhere: usize,
    by_kind: SplitMap<Key, OfKind>,
}

impl EventLog {
    pub(crate) fn new(hash_seed: usize) -> Self {
        let (events, by_kind) = (Chunks::new(), SplitMap::new(hash_seed));
        Self { events, anchor: Anchor::default(), released: 0, size: 0, elsewhere: 0, by_kind }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.events.len()
    }

    /// What is left of those in front of the first.
    pub(crate) fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// What events take together, bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes of payloads are elsewhere.
    pub(crate) fn elsewhere(&self) -> usize {
        self.elsewhere
    }

    /// About how many bytes were shared when it was cloned and are its own since.
    pub(crate) fn copied(&self) -> usize {
        let is_changed = self.by_kind.copied() > 0;
        self.by_kind.copied() + usize::from(is_changed) * CHUNK_COUNT_MAX * size_of::<Event>()
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Event> {
        self.events.get(sequence)
    }

    /// How many events had been appended when the commit `version` was made.
    pub(crate) fn count_at(&self, version: Version) -> u64 {
        // Versions never decrease along the log.
        self.events.partition_point(|event| event.stamp.version <= version)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter()
    }

    /// The sequences of all events of a type, ascending.
    pub(crate) fn of_kind(&self, kind: &str) -> Ascending<'_> {
        Ascending::all(self.by_kind.get(kind).map(|of_kind| &of_kind.sequences))
    }

    /// The first event that was appended at `time` or later, or behind that; the end if there is none.
    pub(crate) fn first_at_or_after(&self, time: Timestamp) -> u64 {
        // Mostly the first one is.
        match self.get(self.first()).is_none_or(|event| event.stamp.timestamp >= time) {
            true => self.first(),
            false => self.events.partition_point(|event| event.stamp.timestamp < time),
        }
    }

    /// How many events of a type were removed, of each type with any; those in one of `count` parts of all types.
    pub(crate) fn removed_of_kinds(
        &self,
        part: usize,
        count: usize,
    ) -> impl Iterator<Item = (&Key, u64)> + use<'_> {
        let kinds = self.by_kind.part(part, count).map(|(kind, of_kind)| (kind, of_kind.sequences.first()));
        kinds.filter(|(_, removed)| *removed > 0)
    }

    /// In how many parts types lie.
    pub(crate) fn kind_part_count(&self) -> usize {
        self.by_kind.part_count()
    }

    pub(crate) fn append(&mut self, mut event: Event) {
        let sequence = self.end();
        self.size += event.size();
        self.elsewhere += event.payload.elsewhere();
        match self.by_kind.get_mut(&*event.kind) {
            Some(of_kind) => {
                event.kind = of_kind.kind.clone();
                of_kind.sequences.push(sequence);
            }
            None => {
                event.kind = event.kind.alone();
                let mut of_kind = OfKind { kind: event.kind.clone(), sequences: Chunks::new() };
                of_kind.sequences.push(sequence);
                self.by_kind.insert(event.kind.clone(), of_kind);
            }
        }
        self.events.push(event);
    }

    /// Puts another state of the same event in its place, and returns the one it had.
    ///
    /// # Panics
    /// If there is no such event.
    pub(crate) fn replace(&mut self, sequence: u64, mut event: Event) -> Event {
        let held = self.events.get_mut(sequence).expect("only an event that is there is replaced");
        assert!(
            (held.hash, held.stamp) == (event.hash, event.stamp),
            "an event keeps its hash and its commit"
        );
        event.kind = held.kind.clone();
        self.size = self.size - held.size() + event.size();
        self.elsewhere = self.elsewhere - held.payload.elsewhere() + event.payload.elsewhere();
        std::mem::replace(held, event)
    }

    /// Puts the marker in the place of the payload of an event, if an erasure covers that; what it was.
    pub(crate) fn redact(&mut self, sequence: u64, erasure: &Erasure) -> Option<Event> {
        let event = self.get(sequence).filter(|event| erasure.covers(event.stamp.version));
        let erased = event.filter(|event| !event.is_erased()).map(Event::erased)?;
        Some(self.replace(sequence, erased))
    }

    /// Takes the newest event back.
    pub(crate) fn take_back(&mut self) {
        let event = self.events.pop().expect("an event was appended");
        self.size -= event.size();
        self.elsewhere -= event.payload.elsewhere();
        let OfKind { sequences, .. } =
            self.by_kind.get_mut(&*event.kind).expect("every event is found by its type");
        sequences.pop();
        if sequences.end() == 0 {
            self.by_kind.remove(&event.kind);
        }
    }

    /// Takes over from an image that all events below `first` were removed, and what is left of them. Those that were there are
    /// removed before.
    pub(crate) fn load_removed(&mut self, first: u64, anchor: Anchor) -> Result<(), String> {
        let is_fitting = match first {
            0 => anchor == Anchor::default(),
            first if first == self.first() => anchor == self.anchor,
            first => first > self.end() && Version::NEVER < anchor.from && anchor.from <= anchor.through,
        };
        if !is_fitting || first < self.first() || first > PLACE_MAX {
            return Err(format!(
                "events begin with {first}, and there are {} to {}",
                self.first(),
                self.end()
            ));
        }
        if first > self.end() {
            self.events = Chunks::behind(first);
        }
        self.anchor = anchor;
        Ok(())
    }

    /// Takes over from an image how many events of a type were removed; fewer are known of those it began with.
    pub(crate) fn load_removed_of_kind(&mut self, kind: Key, removed: u64) -> Result<(), String> {
        let text = kind.clone();
        let of_kind =
            self.by_kind.get_or_insert_with(kind, || OfKind { kind: text, sequences: Chunks::new() });
        let sequences = &mut of_kind.sequences;
        let is_known = sequences.first() == removed;
        if removed == 0 || removed > self.events.first() || (!is_known && sequences.len() > 0) {
            return Err(format!(
                "{removed} events of type {:?} do not fit the events that are there",
                of_kind.kind
            ));
        }
        if !is_known {
            *sequences = Chunks::behind(removed);
        }
        Ok(())
    }

    /// Refuses what was taken over of types unless they are together all that were removed.
    pub(crate) fn check_removed_of_kinds(&self) -> Result<(), String> {
        let removed = self.by_kind.values().map(|of_kind| of_kind.sequences.first());
        let of_kinds = removed.fold(0, u64::saturating_add);
        match of_kinds == self.first() {
            true => Ok(()),
            false => Err(format!("{} events were removed, of all types {of_kinds}", self.first())),
        }
    }

    /// The sequences of events that both have and may have in another state, ascending; what they share is not looked at.
    pub(crate) fn places_apart<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + use<'a> {
        self.events.places_apart(&other.events)
    }

    /// Whether two logs hold the same events.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.events == other.events && self.anchor == other.anchor && self.by_kind == other.by_kind
    }
}

impl EntryLog for EventLog {
    type Entry = Event;
    type Anchor = Anchor;

    fn first(&self) -> u64 {
        self.events.first()
    }

    fn end(&self) -> u64 {
        self.events.end()
    }

    fn released(&self) -> usize {
        self.released
    }

    fn memory_of(event: &Event) -> usize {
        event.memory()
    }

    fn version_of(event: &Event) -> Version {
        event.stamp.version
    }

    fn trim(&mut self, before: u64) -> Trimmed<Event, Anchor> {
        assert!(self.first() < before && before <= self.end(), "only events that are there are removed");
        let trimmed = Trimmed { entries: self.events.take_front(before - self.first()), before: self.anchor };
        for event in &trimmed.entries {
            self.size -= event.size();
            self.elsewhere -= event.payload.elsewhere();
            self.released += event.memory();
            let of_kind = self.by_kind.get_mut(&*event.kind).expect("every event is found by its type");
            of_kind.sequences.drop_front(1);
        }
        if let (Some(first), Some(last)) = (trimmed.entries.first(), trimmed.entries.last()) {
            let is_first = self.anchor.from == Version::NEVER;
            let from = if is_first { first.stamp.version } else { self.anchor.from };
            self.anchor = Anchor { hash: last.hash, from, through: last.stamp.version };
        }
        trimmed
    }

    fn untrim(&mut self, trimmed: Trimmed<Event, Anchor>) {
        let Trimmed { entries, before } = trimmed;
        let first = self.first() - entries.len() as u64;
        for (event, sequence) in entries.iter().rev().zip((first..self.first()).rev()) {
            self.size += event.size();
            self.elsewhere += event.payload.elsewhere();
            self.released -= event.memory();
            let of_kind =
                self.by_kind.get_mut(&*event.kind).expect("a type stays when its events are removed");
            of_kind.sequences.put_back_front(vec![sequence]);
        }
        self.events.put_back_front(entries);
        self.anchor = before;
    }

    fn drop_front(&mut self, count: u64) {
        self.events.drop_front(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoded::Encoded;
    use crate::event::Seal;
    use crate::memory::EVENT_SIZE;
    use crate::version::Stamp;

    fn event(kind: &str, number: u64) -> Event {
        Event {
            kind: kind.into(),
            payload: Encoded::from_int(number as i64),
            seal: Seal::Salt([0; 16]),
            hash: [number as u8; 32],
            stamp: Stamp { version: Version(number), timestamp: Timestamp(number) },
        }
    }

    #[test]
    fn events_are_found_by_sequence_and_by_type_across_chunks() {
        let mut log = EventLog::new(1);
        assert_eq!((log.len(), log.size(), log.get(0)), (0, 0, None));
        let count = CHUNK_COUNT_MAX as u64 * 2 + 3;
        for number in 0..count {
            log.append(event(if number % 2 == 0 { "even" } else { "odd" }, number));
            assert_eq!(log.len(), number + 1);
        }
        assert_eq!(log.get(128), Some(&event("even", 128)));
        assert_eq!((log.get(count), log.get(u64::MAX)), (None, None));
        assert_eq!(log.of_kind("odd").to_vec()[..2], [1, 3]);
        assert_eq!(log.of_kind("other").to_vec(), [0; 0]);
        assert_eq!(log.iter().count() as u64, count);
        assert!(log.get(0).unwrap().kind.is_same(&log.get(2).unwrap().kind), "types are shared");
    }

    #[test]
    fn taking_events_back_leaves_nothing_behind() {
        let mut log = EventLog::new(1);
        for number in 0..CHUNK_COUNT_MAX as u64 + 1 {
            log.append(event("k", number));
        }
        assert!(!log.is_same(&EventLog::new(1)));
        for left in (0..CHUNK_COUNT_MAX as u64 + 1).rev() {
            log.take_back();
            assert_eq!(log.len(), left);
        }
        assert!(log.is_same(&EventLog::new(1)));
    }

    #[test]
    fn what_is_removed_leaves_its_count_and_its_hash_and_comes_back_when_it_is_taken_back() {
        let (mut log, mut whole) = (EventLog::new(1), EventLog::new(1));
        let count = CHUNK_COUNT_MAX as u64 * 2;
        for number in 0..count {
            let event = event(if number == 0 { "begin" } else { "step" }, number + 1);
            whole.append(event.clone());
            log.append(event);
        }
        for before in [1, 70, count] {
            let trimmed = log.trim(before);
            assert_eq!((log.first(), log.end(), log.len()), (before, count, count - before));
            assert_eq!(log.get(before - 1), None);
            let of_kind = log.of_kind("step");
            assert_eq!((of_kind.removed(), of_kind.len()), (before - 1, count - before));
            assert_eq!(log.of_kind("begin").removed(), 1);
            let anchor = Anchor { hash: [before as u8; 32], from: Version(1), through: Version(before) };
            assert_eq!(log.anchor(), &anchor);
            let released = log.released() as u64 - before * EVENT_SIZE as u64;
            assert_eq!(log.size(), whole.size() - released);
            log.untrim(trimmed);
            assert!(log.is_same(&whole) && log.size() == whole.size() && log.released() == 0);
        }
    }
}
