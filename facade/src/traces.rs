//! The traces of a run: the steps of its agent.

use rand::RngCore;
use strata_primitives::{
    NewTrace, Stamp, Timestamp, Trace as StoredTrace, TraceContent, TraceId, TracePage as StoredPage,
    TraceTree as StoredTree, Usage, Value, Version,
};
use strata_shards::Clock;

use crate::Result;

/// One step of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its identity in the run.
    pub id: TraceId,
    /// The trace it is a part of.
    pub parent: Option<TraceId>,
    /// What it was.
    pub content: TraceContent,
    /// Words to find it by, each once.
    pub tags: Vec<String>,
    /// Anything else worth knowing.
    pub metadata: Value,
    /// Which model did it, and how many tokens it took.
    pub usage: Usage,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; a span that is open has not.
    pub ended: Option<Timestamp>,
    /// The commit that recorded or began it.
    pub recorded: Stamp,
    /// The commit that last wrote it.
    pub version: Version,
    /// The time of that commit.
    pub timestamp: Timestamp,
}

/// One page of traces, in the order asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct TracePage {
    /// The traces.
    pub traces: Vec<Trace>,
    /// The `start` of the next page; `None` when everything was looked at. One page looks at 4,096 traces at most, so
    /// it may hold fewer than asked for, or none, and still have a next one.
    pub next: Option<u64>,
    /// The version this page is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

/// A trace and everything below it.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceTree {
    /// The traces with the number of those above them, depth first: each is followed by everything below it.
    pub nodes: Vec<(usize, Trace)>,
    /// Whether there were more than asked for.
    pub is_cut: bool,
    /// The version this is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

/// A step with an id of its own and nothing more known of it than `content`; set its other fields as needed.
///
/// ```
/// use strata::{NewTrace, TraceContent, new_trace};
///
/// let thought = TraceContent::Thought { text: "try the cache first".into(), confidence: None };
/// let trace = NewTrace { tags: vec!["plan".into()], ..new_trace(thought) };
/// assert!(trace.parent.is_none());
/// ```
pub fn new_trace(content: TraceContent) -> NewTrace {
    let mut random = [0; 10];
    rand::rng().fill_bytes(&mut random);
    NewTrace::new(TraceId::fresh(Clock::System.now().0, random), content)
}

impl Trace {
    pub(crate) fn decode(trace: StoredTrace) -> Result<Trace> {
        let (content, usage, metadata) = trace.parts()?;
        Ok(Trace {
            id: trace.id,
            parent: trace.parent,
            content,
            tags: trace.tags.iter().map(|tag| tag.to_string()).collect(),
            metadata,
            usage,
            began: trace.began,
            ended: trace.ended,
            recorded: trace.recorded,
            version: trace.stamp.version,
            timestamp: trace.stamp.timestamp,
        })
    }
}

impl TracePage {
    pub(crate) fn decode(page: StoredPage) -> Result<TracePage> {
        let StoredPage { traces, next, version, timestamp } = page;
        let traces = traces.into_iter().map(Trace::decode).collect::<Result<_>>()?;
        Ok(TracePage { traces, next, version, timestamp })
    }
}

impl TraceTree {
    pub(crate) fn decode(page: StoredPage) -> Result<TraceTree> {
        let StoredPage { traces, next, version, timestamp } = page;
        let nodes = StoredTree::new(traces).into_nodes().into_iter();
        let nodes = nodes.map(|node| Ok((node.depth, Trace::decode(node.trace)?))).collect::<Result<_>>()?;
        Ok(TraceTree { nodes, is_cut: next.is_some(), version, timestamp })
    }
}
