//! What was erased: payloads in whose place a marker stands wherever a run shows them.
//!
//! An erasure names one thing of a run and the commits whose payloads of it are gone. The run keeps it for ever: versions
//! that are made later, from images and records of before, show the marker too, and so do runs that were forked from it.
use crate::codec::{self, DecodeError, put_option, take_option};
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::json::Document;
use crate::mutation::Mutation;
use crate::trace::Trace;
use crate::version::Version;
use std::sync::Arc;

/// The longest reason there is, bytes.
pub const ERASURE_REASON_SIZE_MAX: usize = 1024;

/// Which payloads of a thing are to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasedVersions {
    /// All that the run has written up to now.
    All,
    /// That of one commit.
    At(Version),
    /// Those of all commits up to this one, which is included.
    Through(Version),
}

/// One erasure, as a run keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The thing whose payloads are gone.
    pub entity: EntityRef,
    /// The first commit whose payload is gone.
    pub from: Version,
    /// The last one.
    pub through: Version,
    /// The commit that erased it.
    pub by: Version,
    /// Of an event its hash: by that it is known where its sequence is not told.
    pub event_hash: Option<[u8; 32]>,
    /// Why, in the words of who asked for it.
    pub reason: Arc<str>,
}

impl Erasure {
    /// What the commit `by` erased with a mutation, if it did; the hash of an event is not known from that.
    pub fn of(mutation: &Mutation, by: Version) -> Option<Self> {
        let Mutation::Erase { entity, from, through, reason } = mutation else { return None };
        let (entity, from, through, reason) = ((**entity).clone(), *from, *through, Arc::clone(reason));
        Some(Self { entity, from, through, by, event_hash: None, reason })
    }

    /// Whether it is about what this commit wrote.
    pub fn covers(&self, version: Version) -> bool {
        self.from <= version && version <= self.through
    }

    /// What of it a run inherits that began as version `through`.
    pub fn within(&self, through: Version) -> Option<Self> {
        (self.from <= through).then(|| Self { through: self.through.min(through), ..self.clone() })
    }

    /// Appends the encoding: u64 from, u64 through, u64 by, entity, option of `[32]` hash, reason.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { entity, from, through, by, event_hash, reason } = self;
        [from, through, by].into_iter().for_each(|version| codec::put_u64(out, version.0));
        entity.encode(out);
        put_option(out, event_hash.as_ref(), |out, hash| out.extend_from_slice(hash));
        codec::put_str(out, reason);
    }

    /// Takes one from the front of `input`. Nothing in `input` can make this panic.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            from: Version(codec::take_u64(input)?),
            through: Version(codec::take_u64(input)?),
            by: Version(codec::take_u64(input)?),
            entity: EntityRef::decode(input)?,
            event_hash: take_option(input, codec::take_array)?,
            reason: codec::take_str(input)?.into(),
        })
    }

    /// What a trace ends with holds what it began with, so it is erased whichever of its commits is.
    pub(crate) fn covers_trace(&self, trace: &Trace) -> bool {
        let is_of = matches!(&self.entity, EntityRef::Trace { id, .. } if *id == trace.id);
        is_of && (self.covers(trace.recorded.version) || self.covers(trace.stamp.version))
    }

    /// A document is erased as a whole where one of the commits has written in it.
    pub(crate) fn covers_document(&self, name: &str, document: &Document) -> bool {
        matches!(&self.entity, EntityRef::Json { name: erased, .. } if **erased == *name)
            && !document.is_erased()
            && document.has_written(&|stamp| self.covers(stamp.version))
    }
}

/// What stands in the place of `value`, if that is erased.
pub(crate) fn marker_for(value: &Encoded, is_erased: bool) -> Option<Encoded> {
    (is_erased && !value.is_erased()).then(Encoded::erased)
}
