//! The events of a run: appended for ever, in chunks, each hashed onto the one before.
use crate::chunks::{Ascending, CHUNK_COUNT_MAX, Chunks};
use crate::encoded::Encoded;
use crate::split_map::SplitMap;
use crate::version::{Stamp, Timestamp, Version};
use std::sync::Arc;

/// What the first event is hashed onto.
pub(crate) const CHAIN_START: [u8; 32] = [0; 32];

/// An event as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the run, from 0 without gaps.
    pub sequence: u64,
    /// Its type.
    pub kind: Arc<str>,
    /// What happened.
    pub payload: Encoded,
    /// The commit that appended it.
    pub version: Version,
    /// The time of that commit.
    pub timestamp: Timestamp,
    /// BLAKE3 over the hash before, sequence, type, timestamp, and the salted hash of the payload.
    pub hash: [u8; 32],
}

/// What a check of all hashes found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainReport {
    /// Whether every event hashes to what is stored.
    pub valid: bool,
    /// How many events there are.
    pub length: u64,
    /// The first event that does not.
    pub first_invalid: Option<u64>,
    /// How many payloads are erased, which leaves the chain valid.
    pub erased: u64,
    /// The version this is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

/// The hash of an event.
///
/// The payload enters as its own salted hash, so that it can be erased without breaking the chain, and guessing an
/// erased payload cannot be confirmed without the salt.
pub fn event_hash(
    previous: &[u8; 32],
    sequence: u64,
    kind: &str,
    timestamp: Timestamp,
    payload: &Encoded,
    salt: &[u8; 16],
) -> [u8; 32] {
    hash_of_digest(previous, sequence, kind, timestamp, &payload_digest(payload, salt))
}

/// The salted hash of a payload: all of it that enters the chain, and all that stays when it is erased.
pub fn payload_digest(payload: &Encoded, salt: &[u8; 16]) -> [u8; 32] {
    *blake3::Hasher::new().update(salt).update(payload.as_bytes()).finalize().as_bytes()
}

fn hash_of_digest(
    previous: &[u8; 32],
    sequence: u64,
    kind: &str,
    timestamp: Timestamp,
    digest: &[u8; 32],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous).update(&sequence.to_le_bytes());
    hasher.update(&(kind.len() as u64).to_le_bytes()).update(kind.as_bytes());
    hasher.update(&timestamp.0.to_le_bytes()).update(digest);
    *hasher.finalize().as_bytes()
}

/// What binds the payload of an event into its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seal {
    /// The payload is there, and this is hashed with it.
    Salt([u8; 16]),
    /// The payload was erased, and this is what the two were hashed to.
    Digest(Box<[u8; 32]>),
}

/// An event as it is kept; its sequence is its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: Arc<str>,
    pub(crate) payload: Encoded,
    pub(crate) seal: Seal,
    pub(crate) hash: [u8; 32],
    pub(crate) stamp: Stamp,
}

impl Event {
    pub(crate) fn stored(&self, sequence: u64) -> StoredEvent {
        StoredEvent {
            sequence,
            kind: Arc::clone(&self.kind),
            payload: self.payload.clone(),
            version: self.stamp.version,
            timestamp: self.stamp.timestamp,
            hash: self.hash,
        }
    }

    /// What it takes, bytes.
    pub(crate) fn size(&self) -> u64 {
        (self.kind.len() + self.payload.len()) as u64
    }

    /// Whether this is what was hashed onto `previous`.
    pub(crate) fn is_hashed_onto(&self, previous: &[u8; 32], sequence: u64) -> bool {
        let digest = self.digest();
        hash_of_digest(previous, sequence, &self.kind, self.stamp.timestamp, &digest) == self.hash
    }

    /// The salted hash of its payload.
    pub(crate) fn digest(&self) -> [u8; 32] {
        match &self.seal {
            Seal::Salt(salt) => {
                self.payload.known_digest().unwrap_or_else(|| payload_digest(&self.payload, salt))
            }
            Seal::Digest(digest) => **digest,
        }
    }

    /// Whether its payload is erased.
    pub(crate) fn is_erased(&self) -> bool {
        matches!(self.seal, Seal::Digest(_))
    }

    /// The same without its payload.
    pub(crate) fn erased(&self) -> Self {
        let (kind, seal) = (Arc::clone(&self.kind), Seal::Digest(Box::new(self.digest())));
        Self { kind, payload: Encoded::erased(), seal, hash: self.hash, stamp: self.stamp }
    }
}

/// The events of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfKind {
    /// The text that all of them share.
    kind: Arc<str>,
    sequences: Chunks<u64>,
}

/// Every event of a run, and where those of each type are. A clone shares all of them until either is changed.
#[derive(Debug, Clone)]
pub(crate) struct EventLog {
    events: Chunks<Event>,
    size: u64,
    /// What payloads do not take in memory because it is elsewhere, bytes.
    elsewhere: usize,
    by_kind: SplitMap<Arc<str>, OfKind>,
}

impl EventLog {
    pub(crate) fn new(hash_seed: usize) -> Self {
        Self { events: Chunks::new(), size: 0, elsewhere: 0, by_kind: SplitMap::new(hash_seed) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.events.len()
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

    /// How many events the commit `version` left.
    pub(crate) fn count_at(&self, version: Version) -> u64 {
        // Versions never decrease along the log.
        self.events.partition_point(|event| event.stamp.version <= version)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// The sequences of all events of a type, ascending.
    pub(crate) fn of_kind(&self, kind: &str) -> Ascending<'_> {
        Ascending::all(self.by_kind.get(kind).map(|of_kind| &of_kind.sequences))
    }

    pub(crate) fn append(&mut self, mut event: Event) {
        let sequence = self.len();
        self.size += event.size();
        self.elsewhere += event.payload.elsewhere();
        let of_kind = self.by_kind.get_or_insert_with(Arc::clone(&event.kind), || OfKind {
            kind: Arc::clone(&event.kind),
            sequences: Chunks::new(),
        });
        event.kind = Arc::clone(&of_kind.kind);
        of_kind.sequences.push(sequence);
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
        event.kind = Arc::clone(&held.kind);
        self.size = self.size - held.size() + event.size();
        self.elsewhere = self.elsewhere - held.payload.elsewhere() + event.payload.elsewhere();
        std::mem::replace(held, event)
    }

    /// Takes the newest event back.
    pub(crate) fn take_back(&mut self) {
        let event = self.events.pop().expect("an event was appended");
        self.size -= event.size();
        self.elsewhere -= event.payload.elsewhere();
        let OfKind { sequences, .. } =
            self.by_kind.get_mut(&event.kind).expect("every event is found by its type");
        sequences.pop();
        if sequences.len() == 0 {
            self.by_kind.remove(&event.kind);
        }
    }

    /// Whether two logs hold the same events.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.events == other.events && self.by_kind == other.by_kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(Arc::ptr_eq(&log.get(0).unwrap().kind, &log.get(2).unwrap().kind), "types are shared");
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
    fn the_hash_of_an_event_never_changes_and_covers_every_field() {
        let payload = Encoded::from_int(1);
        let hash = event_hash(&CHAIN_START, 0, "k", Timestamp(5), &payload, &[9; 16]);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "e1bb4d82ff424a2416553d6793aa59a63a0df4b1f9ecea83edc4ed6189d6d686");
        for other in [
            event_hash(&[1; 32], 0, "k", Timestamp(5), &payload, &[9; 16]),
            event_hash(&CHAIN_START, 1, "k", Timestamp(5), &payload, &[9; 16]),
            event_hash(&CHAIN_START, 0, "l", Timestamp(5), &payload, &[9; 16]),
            event_hash(&CHAIN_START, 0, "k", Timestamp(6), &payload, &[9; 16]),
            event_hash(&CHAIN_START, 0, "k", Timestamp(5), &Encoded::from_int(2), &[9; 16]),
            event_hash(&CHAIN_START, 0, "k", Timestamp(5), &payload, &[8; 16]),
        ] {
            assert_ne!(hash, other);
        }
    }
}
