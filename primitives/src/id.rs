//! The names of runs: ids, the namespaces they live in, and the ids callers give to operations.
use crate::error::{Error, ErrorKind};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The space of all named runs, the first argument of every derived id. Never changes: ids depend on it.
const NAMED_RUNS: Uuid = Uuid::from_bytes(*b"strata:named-run");

/// The identity of a run: 16 bytes, of which the last two place it on a shard.
///
/// ```
/// use strata_primitives::{Namespace, RunId};
/// let id = RunId::named(&Namespace::default(), "nightly");
/// assert_eq!(id, RunId::named(&Namespace::default(), "nightly"));
/// assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId([u8; 16]);

impl RunId {
    /// A new id that sorts by time (UUIDv7): milliseconds from `now_micros`, the rest from `random`.
    pub fn fresh(now_micros: u64, random: [u8; 10]) -> Self {
        Self(fresh_bytes(now_micros, random))
    }

    /// The id that a name always has in a namespace (UUIDv5), so that no directory of names is needed.
    ///
    /// Every part is preceded by its length, so that no two different quadruples hash the same bytes.
    pub fn named(namespace: &Namespace, name: &str) -> Self {
        let parts = [&namespace.tenant, &namespace.app, &namespace.agent, name];
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| 4 + part.len()).sum());
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(*Uuid::new_v5(&NAMED_RUNS, &bytes).as_bytes())
    }

    /// The id with exactly these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of this id, as stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether it is as [`fresh`](Self::fresh) makes it: then no name leads to it, and nothing but an import gives it another life.
    pub fn is_fresh(&self) -> bool {
        self.0[6] >> 4 == 7
    }

    /// A new id as [`fresh`](Self::fresh) makes it, with the placement of this one: the id of a fork.
    #[must_use]
    pub fn fresh_beside(&self, now_micros: u64, random: [u8; 10]) -> Self {
        let mut bytes = fresh_bytes(now_micros, random);
        bytes[14..].copy_from_slice(&self.0[14..]);
        Self(bytes)
    }

    /// The bits that choose the shard. A family of forks shares them.
    pub fn placement(&self) -> u16 {
        u16::from_le_bytes([self.0[14], self.0[15]])
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hyphenated(&self.0, formatter)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = Error;

    /// Reads the hyphenated form that `Display` prints, and no other.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse_hyphenated(text, "a run id").map(Self)
    }
}

/// Whose run it is: tenant, application and agent, each up to 128 characters and empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    /// The customer.
    pub tenant: String,
    /// The application of that customer.
    pub app: String,
    /// The agent inside that application.
    pub agent: String,
}

impl Namespace {
    /// The namespace of an agent of an application of a tenant.
    pub fn new(tenant: impl Into<String>, app: impl Into<String>, agent: impl Into<String>) -> Self {
        Self { tenant: tenant.into(), app: app.into(), agent: agent.into() }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.tenant, self.app, self.agent)
    }
}

/// A caller's own name for a write: sending it again returns the first receipt instead of writing twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(pub [u8; 16]);

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OperationId({self})")
    }
}

/// The bytes of an id that sorts by time (UUIDv7): milliseconds from `now_micros`, the rest from `random`.
pub(crate) fn fresh_bytes(now_micros: u64, random: [u8; 10]) -> [u8; 16] {
    *uuid::Builder::from_unix_timestamp_millis(now_micros / 1000, &random).as_uuid().as_bytes()
}

/// Writes the one text form that ids have.
pub(crate) fn write_hyphenated(id: &[u8; 16], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    fmt::Display::fmt(Uuid::from_bytes(*id).as_hyphenated(), formatter)
}

/// Reads what [`write_hyphenated`] wrote, and no other form of a UUID.
pub(crate) fn parse_hyphenated(text: &str, what: &str) -> Result<[u8; 16], Error> {
    let parsed = (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok()).flatten();
    parsed.map(|uuid| *uuid.as_bytes()).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{text:?} is not {what}: a hyphenated UUID is expected"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_carries_time_then_randomness() {
        let id = RunId::fresh(0x0001_0203_0405_0607, [0xff; 10]);
        let millis = (0x0001_0203_0405_0607u64 / 1000).to_be_bytes();
        assert_eq!(&id.as_bytes()[..6], &millis[2..], "the first 48 bits are milliseconds");
        assert_eq!(id.as_bytes()[6] >> 4, 7, "version 7");
        assert_eq!(id.placement(), 0xffff);
        assert!(RunId::fresh(1_000_000, [0; 10]) < RunId::fresh(2_000_000, [0; 10]));
        let beside = id.fresh_beside(0x0001_0203_0405_0607, [0; 10]);
        assert_eq!(
            (beside.placement(), beside.as_bytes()[..6].to_vec()),
            (0xffff, id.as_bytes()[..6].to_vec())
        );
    }

    #[test]
    fn a_name_always_has_the_same_id() {
        let namespace = Namespace::new("acme", "support", "triage");
        let id = RunId::named(&namespace, "nightly");
        assert_eq!(id.to_string(), "3c781fe1-43b1-52bf-b7cb-868fa5ac34e0");
        assert_ne!(id, RunId::named(&Namespace::new("acme", "support", "triag"), "enightly"));
        assert_ne!(id, RunId::named(&Namespace::default(), "nightly"));
    }

    #[test]
    fn placement_is_the_last_two_bytes() {
        let mut bytes = [0; 16];
        bytes[14] = 0x34;
        bytes[15] = 0x12;
        assert_eq!(RunId::from_bytes(bytes).placement(), 0x1234);
    }

    #[test]
    fn a_run_id_prints_and_parses_as_hyphenated_text() {
        let id = RunId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert_eq!(format!("{id:?}"), format!("RunId({id})"));
        for text in ["", "x", "30313233343536373839616263646566", "3031323g-3435-3637-3839-616263646566"] {
            assert_eq!(text.parse::<RunId>().unwrap_err().kind(), ErrorKind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn namespaces_and_operation_ids_print() {
        assert_eq!(Namespace::new("a", "b", "c").to_string(), "a/b/c");
        assert_eq!(Namespace::default().to_string(), "//");
        assert_eq!(OperationId([0xab; 16]).to_string(), "ab".repeat(16));
        assert_eq!(format!("{:?}", OperationId([1; 16])), format!("OperationId({})", "01".repeat(16)));
    }
}
