//! An event of a run, hashed onto the one before.
use crate::encoded::Encoded;
use crate::key::Key;
use crate::version::{Stamp, Timestamp, Version};

/// What the first event is hashed onto.
pub(crate) const CHAIN_START: [u8; 32] = [0; 32];

/// An event as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the run, from 0 without gaps.
    pub sequence: u64,
    /// Its type.
    pub kind: Key,
    /// What happened.
    pub payload: Encoded,
    /// The commit that appended it.
    pub version: Version,
    /// The time of that commit.
    pub timestamp: Timestamp,
    /// BLAKE3 over the hash before, sequence, type, timestamp, and the salted hash of the payload.
    pub hash: [u8; 32],
}

/// An event where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// Its number in the run, from 0 without gaps.
    pub sequence: u64,
    /// Its type.
    pub kind: &'a str,
    /// What happened.
    pub payload: &'a Encoded,
    /// The commit that appended it.
    pub stamp: Stamp,
    /// BLAKE3 over the hash before and this event.
    pub hash: &'a [u8; 32],
}

impl StoredEvent {
    /// The event without a copy.
    pub fn as_event_ref(&self) -> EventRef<'_> {
        let Self { sequence, kind, payload, version, timestamp, hash } = self;
        let stamp = Stamp { version: *version, timestamp: *timestamp };
        EventRef { sequence: *sequence, kind, payload, stamp, hash }
    }
}

/// What a check of all hashes found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainReport {
    /// Whether every event that is there hashes to what is stored.
    pub valid: bool,
    /// The first event that is there: from the hash of the one before it on, the chain is verified.
    pub first: u64,
    /// How many events were ever appended.
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
    pub(crate) kind: Key,
    pub(crate) payload: Encoded,
    pub(crate) seal: Seal,
    pub(crate) hash: [u8; 32],
    pub(crate) stamp: Stamp,
}

impl Event {
    pub(crate) fn stored(&self, sequence: u64) -> StoredEvent {
        StoredEvent {
            sequence,
            kind: self.kind.clone(),
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
        let (kind, seal) = (self.kind.clone(), Seal::Digest(Box::new(self.digest())));
        Self { kind, payload: Encoded::erased(), seal, hash: self.hash, stamp: self.stamp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
