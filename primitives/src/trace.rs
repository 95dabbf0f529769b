//! One step of an agent as it is kept: what happened, when, below what.
use crate::codec::{self, DecodeError, put_option, size_u32, take_option};
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::members::Members;
use crate::trace_content::TraceContent;
use crate::trace_end::TraceEnd;
use crate::trace_id::TraceId;
use crate::usage::Usage;
use crate::value::Value;
use crate::version::{Stamp, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// The member of a body that holds the metadata. No content and no usage has one of this name.
const METADATA: &str = "metadata";

/// A trace as it is stored and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Its identity in the run.
    pub id: TraceId,
    /// The trace it is a part of.
    pub parent: Option<TraceId>,
    /// The kind of its content.
    pub kind: Arc<str>,
    /// Words to find it by, each once.
    pub tags: Arc<[Box<str>]>,
    /// Content, usage and metadata: one object with the members of all three.
    pub body: Encoded,
    /// When the step began.
    pub began: Timestamp,
    /// When it ended; an open span has not.
    pub ended: Option<Timestamp>,
    /// The commit that last wrote it.
    pub stamp: Stamp,
    /// The commit that created it.
    pub recorded: Stamp,
}

impl Trace {
    /// What the step was; of one that was erased only its kind, and no usage and no metadata.
    ///
    /// # Errors
    /// `Corrupt` when the body is not what was stored; the same is true of the other parts of it.
    pub fn content(&self) -> Result<TraceContent, Error> {
        Ok(self.parts()?.0)
    }

    /// Which model did it, and how many tokens it took.
    pub fn usage(&self) -> Result<Usage, Error> {
        Ok(self.parts()?.1)
    }

    /// Anything else worth knowing; null unless given.
    pub fn metadata(&self) -> Result<Value, Error> {
        Ok(self.parts()?.2)
    }

    /// All three at once, which reads the body once.
    pub fn parts(&self) -> Result<(TraceContent, Usage, Value), Error> {
        if self.body.is_erased() {
            let kind = self.kind.as_ref().to_owned();
            return Ok((TraceContent::Erased { kind }, Usage::default(), Value::Null));
        }
        let mut members = Members::of(self.body.to_value()?)?;
        let usage = Usage::take(&mut members)?;
        let metadata = members.take_option(METADATA, Some)?.unwrap_or_default();
        Ok((TraceContent::from_members(&self.kind, members)?, usage, metadata))
    }

    /// Whether this is a span that has not ended.
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// How long it took, once it has ended.
    pub fn duration(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.ended?.0.saturating_sub(self.began.0)))
    }

    /// When this span ends at `now` with `end`, and its body then: decides, and changes nothing.
    ///
    /// A span that began in the future, as the caller's clock had it, took no time. One that was erased ends, and stays erased.
    ///
    /// # Errors
    /// `InvalidArgument` when it has ended before, when its content has no place for the end, or when a limit is
    /// exceeded. `Corrupt` when the body cannot be read.
    pub fn end(&self, end: TraceEnd, now: Timestamp, limits: &Limits) -> Result<(Timestamp, Encoded), Error> {
        if let Some(ended) = self.ended {
            let message = format!("the trace {} has ended at {ended}, and ends only once", self.id);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        if self.body.is_erased() {
            return Ok((now.max(self.began), Encoded::erased()));
        }
        let (mut content, mut usage, metadata) = self.parts()?;
        end.fold_into(&mut content, &mut usage)?;
        usage.check()?;
        Ok((now.max(self.began), encode_body(content, usage, metadata, limits)?))
    }

    /// This trace as the commit `stamp` left it, which ended it.
    pub fn with_end(&self, ended: Timestamp, body: Encoded, stamp: Stamp) -> Self {
        Self { ended: Some(ended), body, stamp, ..self.clone() }
    }

    /// What its kind, its body and its tags take, bytes.
    pub fn size(&self) -> u64 {
        let tags: usize = self.tags.iter().map(|tag| tag.len()).sum();
        (self.kind.len() + self.body.len() + tags) as u64
    }

    /// The size of the encoding in bytes.
    pub fn encoded_size(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| 4 + tag.len()).sum();
        let (parent, ended) = (self.parent.map_or(0, |_| 16), self.ended.map_or(0, |_| 8));
        16 + 1 + parent + 4 + self.kind.len() + 4 + tags + 4 + self.body.len() + 8 + 1 + ended
    }

    /// How many bytes of the encoding stand behind the body.
    pub(crate) fn encoded_size_behind_body(&self) -> usize {
        8 + 1 + self.ended.map_or(0, |_| 8)
    }

    /// Appends the encoding of everything but the stamps, which the record around it gives:
    ///
    /// ```text
    /// [16] id
    /// u8 0, or 1 and [16] parent
    /// kind                          u32 size, UTF-8
    /// u32 count, that many tags     u32 size, UTF-8
    /// body                          u32 size, canonical encoding of an object
    /// u64 began                     microseconds since the epoch
    /// u8 0, or 1 and u64 ended      microseconds since the epoch
    /// ```
    ///
    /// # Panics
    /// If its body is unread.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!(!self.body.is_unread(), "what is encoded is here");
        self.encode_head(out);
    }

    /// The same without the bytes of a body that is unread.
    pub(crate) fn encode_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        put_option(out, self.parent, |out, parent| out.extend_from_slice(parent.as_bytes()));
        codec::put_str(out, &self.kind);
        codec::put_u32(out, size_u32(self.tags.len()));
        self.tags.iter().for_each(|tag| codec::put_str(out, tag));
        self.body.put(out);
        codec::put_u64(out, self.began.0);
        put_option(out, self.ended, |out, ended| codec::put_u64(out, ended.0));
    }

    /// Takes one trace from the front of `input`, its stamps still zero. Nothing in `input` can make this panic.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            id: TraceId::from_bytes(codec::take_array(input)?),
            parent: take_option(input, |input| Ok(TraceId::from_bytes(codec::take_array(input)?)))?,
            kind: codec::take_str(input)?.into(),
            tags: take_tags(input)?,
            body: Encoded::from_canonical(codec::take_bytes(input)?),
            began: Timestamp(codec::take_u64(input)?),
            ended: take_option(input, |input| Ok(Timestamp(codec::take_u64(input)?)))?,
            stamp: Stamp::default(),
            recorded: Stamp::default(),
        })
    }
}

/// The body of a trace. One object for all of it, so that nothing stands deeper in it than it must.
pub(crate) fn encode_body(
    content: TraceContent,
    usage: Usage,
    metadata: Value,
    limits: &Limits,
) -> Result<Encoded, Error> {
    let mut members = content.into_members();
    usage.put(&mut members);
    members.put_option(METADATA, Some(metadata).filter(|metadata| !metadata.is_null()));
    Encoded::within(&members.into_value(), limits).map_err(|error| error.with_context("trace"))
}

fn take_tags(input: &mut &[u8]) -> Result<Arc<[Box<str>]>, DecodeError> {
    // Every tag takes bytes, so a damaged count ends with the input and reserves nothing.
    let count = codec::take_u32(input)?;
    (0..count).map(|_| Ok(codec::take_str(input)?.into())).collect()
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
