//! A trace as a caller gives it.
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::trace::{Trace, encode_body};
use crate::trace_content::TraceContent;
use crate::trace_id::TraceId;
use crate::usage::Usage;
use crate::value::Value;
use crate::version::{Stamp, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// One step of an agent, to be recorded at once or begun as a span.
///
/// ```
/// use strata_primitives::{NewTrace, TraceContent, TraceId};
/// let thought = TraceContent::Thought { text: "try the cache first".into(), confidence: None };
/// let trace = NewTrace { tags: vec!["plan".into()], ..NewTrace::new(TraceId::from_bytes([1; 16]), thought) };
/// assert!(trace.check(&Default::default()).is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTrace {
    /// Its identity, made by the caller.
    pub id: TraceId,
    /// The trace it is a part of; it must be in the run.
    pub parent: Option<TraceId>,
    /// What the step was.
    pub content: TraceContent,
    /// Words to find it by. A repeated tag counts once.
    pub tags: Vec<String>,
    /// Anything else worth knowing.
    pub metadata: Value,
    /// Which model did it, and how many tokens it took.
    pub usage: Usage,
    /// When it began, by the caller's clock; without it, the shard's clock and the duration say.
    pub began: Option<Timestamp>,
    /// How long it took; only for what is recorded at once.
    pub duration: Option<Duration>,
}

impl NewTrace {
    /// A step of which nothing more is known.
    pub fn new(id: TraceId, content: TraceContent) -> Self {
        Self {
            id,
            parent: None,
            content,
            tags: Vec::new(),
            metadata: Value::Null,
            usage: Usage::default(),
            began: None,
            duration: None,
        }
    }

    /// Refuses what breaks a limit: tags and metadata by the rules of a run's, everything together by those of one
    /// value, in which arguments, result, metadata and the like stand one level deep, and options two.
    ///
    /// # Errors
    /// `InvalidArgument` naming the limit and the given size.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        self.check_around_body(limits)?;
        let Self { content, usage, metadata, .. } = self.clone();
        encode_body(content, usage, metadata, limits).map(drop)
    }

    /// The same for a span that is to begin, which cannot say yet how long it took.
    pub fn check_span(&self, limits: &Limits) -> Result<(), Error> {
        self.refuse_duration()?;
        self.check(limits)
    }

    /// The trace of a step that is over when it is recorded at `now`.
    ///
    /// Without `began` it has just ended; without `duration` it took no time.
    ///
    /// # Errors
    /// What [`check`](Self::check) refuses.
    pub fn into_record(self, now: Timestamp, limits: &Limits) -> Result<Trace, Error> {
        self.check_around_body(limits)?;
        let took = self.duration.map_or(0, micros);
        let began = self.began.unwrap_or(Timestamp(now.0.saturating_sub(took)));
        let ended = self.began.map_or(now, |began| Timestamp(began.0.saturating_add(took)));
        self.into_trace(began, Some(ended), limits)
    }

    /// The trace of a span that begins, at `now` unless it says when.
    ///
    /// # Errors
    /// What [`check_span`](Self::check_span) refuses.
    pub fn into_span(self, now: Timestamp, limits: &Limits) -> Result<Trace, Error> {
        self.refuse_duration()?;
        self.check_around_body(limits)?;
        let began = self.began.unwrap_or(now);
        self.into_trace(began, None, limits)
    }

    /// Everything that is found out without encoding the body.
    fn check_around_body(&self, limits: &Limits) -> Result<(), Error> {
        if self.parent == Some(self.id) {
            return Err(invalid(format!("the trace {} cannot be its own parent", self.id)));
        }
        limits.check_tags(&self.tags)?;
        self.content.check(limits)?;
        self.usage.check()?;
        check_metadata(&self.metadata, limits)?;
        match (self.began, self.duration) {
            (Some(began), Some(duration)) if began.0.checked_add(micros(duration)).is_none() => Err(invalid(
                format!("a trace that begins at {began} and takes {duration:?} ends after all time"),
            )),
            _ => Ok(()),
        }
    }

    fn refuse_duration(&self) -> Result<(), Error> {
        match self.duration {
            None => Ok(()),
            Some(duration) => Err(invalid(format!(
                "a span takes its duration from its end, {duration:?} was given: record it at once instead"
            ))),
        }
    }

    fn into_trace(self, began: Timestamp, ended: Option<Timestamp>, limits: &Limits) -> Result<Trace, Error> {
        Ok(Trace {
            id: self.id,
            parent: self.parent,
            kind: self.content.kind().into(),
            tags: each_once(self.tags),
            body: encode_body(self.content, self.usage, self.metadata, limits)?,
            began,
            ended,
            stamp: Stamp::default(),
            recorded: Stamp::default(),
        })
    }
}

/// Metadata has a lower limit of its own.
fn check_metadata(metadata: &Value, limits: &Limits) -> Result<(), Error> {
    if metadata.is_null() {
        return Ok(());
    }
    let encoded = Encoded::within(metadata, limits).map_err(|error| error.with_context("metadata"))?;
    limits.check_size("metadata_size_max", limits.metadata_size_max, encoded.content_size(), "metadata")
}

/// More microseconds than a timestamp has are as good as the most it has.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn each_once(tags: Vec<String>) -> Arc<[Box<str>]> {
    let mut kept: Vec<Box<str>> = Vec::with_capacity(tags.len());
    for tag in tags {
        if !kept.iter().any(|other| **other == *tag) {
            kept.push(tag.into());
        }
    }
    kept.into()
}

#[cold]
fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(content: Value) -> NewTrace {
        let content = TraceContent::Custom { kind: "step".into(), content };
        NewTrace::new(TraceId::from_bytes([1; 16]), content)
    }

    fn plain() -> NewTrace {
        custom(Value::Null)
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]))
    }

    #[test]
    fn what_is_recorded_at_once_has_just_ended() {
        let times = |began: Option<u64>, duration: Option<u64>| {
            let duration = duration.map(Duration::from_micros);
            let new = NewTrace { began: began.map(Timestamp), duration, ..plain() };
            let trace = new.into_record(Timestamp(100), &Limits::default()).unwrap();
            (trace.began.0, trace.ended.unwrap().0)
        };
        assert_eq!(times(None, None), (100, 100));
        assert_eq!(times(None, Some(30)), (70, 100));
        assert_eq!(times(None, Some(300)), (0, 100), "nothing began before the epoch");
        assert_eq!(times(Some(40), None), (40, 40));
        assert_eq!(times(Some(40), Some(30)), (40, 70));
    }

    #[test]
    fn a_span_begins_when_it_says_or_now() {
        let limits = Limits::default();
        let span = plain().into_span(Timestamp(100), &limits).unwrap();
        assert_eq!((span.began, span.ended), (Timestamp(100), None));
        let earlier = NewTrace { began: Some(Timestamp(40)), ..plain() };
        assert_eq!(earlier.into_span(Timestamp(100), &limits).unwrap().began, Timestamp(40));
        let timed = NewTrace { duration: Some(Duration::from_secs(1)), ..plain() };
        let message = "a span takes its duration from its end, 1s was given: record it at once instead";
        assert_eq!(timed.check_span(&limits).unwrap_err().message(), message);
        assert_eq!(timed.into_span(Timestamp(100), &limits).unwrap_err().message(), message);
    }

    #[test]
    fn a_repeated_tag_counts_once() {
        let new = NewTrace { tags: ["b", "a", "b"].map(String::from).to_vec(), ..plain() };
        let trace = new.into_record(Timestamp(1), &Limits::default()).unwrap();
        assert_eq!(trace.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn what_breaks_a_rule_is_refused_by_every_door() {
        let text = |size: usize| Value::String("x".repeat(size));
        let overhead = 4 + "content".len() + 5;
        let limits = Limits {
            value_size_max: 200,
            metadata_size_max: 20,
            tag_count_max: 2,
            depth_max: 3,
            ..Limits::default()
        };
        assert!(custom(text(200 - overhead)).check_span(&limits).is_ok());
        assert!(custom(nested(2)).check_span(&limits).is_ok());
        let late = NewTrace { began: Some(Timestamp(u64::MAX)), ..plain() };
        assert!(late.check_span(&limits).is_ok());
        let refused = [
            (
                NewTrace { parent: Some(plain().id), ..plain() },
                "the trace 01010101-0101-0101-0101-010101010101 cannot be its own parent",
            ),
            (
                NewTrace { tags: vec!["t".into(); 3], ..plain() },
                "tag_count_max is 2 items, the list of tags has 3",
            ),
            (NewTrace { tags: vec!["".into()], ..plain() }, "the tag is empty"),
            (
                NewTrace { metadata: text(21), ..plain() },
                "metadata_size_max is 20 bytes, the metadata has 21",
            ),
            (
                NewTrace { metadata: nested(4), ..plain() },
                "metadata: depth_max is 3, the value is nested deeper",
            ),
            (custom(text(201 - overhead)), "trace: value_size_max is 200 bytes, the value has 201"),
            (custom(nested(3)), "trace: depth_max is 3, the value is nested deeper"),
            (
                NewTrace { duration: Some(Duration::from_micros(1)), ..late },
                "a trace that begins at 18446744073709551615 and takes 1µs ends after all time",
            ),
            (
                NewTrace { began: Some(Timestamp(1)), duration: Some(Duration::MAX), ..plain() },
                "a trace that begins at 1 and takes 18446744073709551615.999999999s ends after all time",
            ),
        ];
        for (new, message) in refused {
            let error = new.check(&limits).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, message));
            let error = new.into_record(Timestamp(1), &limits).unwrap_err();
            assert_eq!(error.message(), message);
        }
        let usage = Usage { input_tokens: Some(u64::MAX), ..Usage::default() };
        assert!(NewTrace { usage, ..plain() }.check(&limits).is_err());
        let content = TraceContent::Thought { text: "t".into(), confidence: Some(f64::INFINITY) };
        assert!(NewTrace::new(plain().id, content).check(&limits).is_err());
    }
}
