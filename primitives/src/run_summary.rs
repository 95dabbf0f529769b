//! What is known of a run without its content.
use crate::codec::{self, DecodeError, put_option, take_option};
use crate::draft::Draft;
use crate::id::RunId;
use crate::run_meta::{RunInfo, RunMeta};
use crate::run_state::RunState;
use crate::version::{Stamp, Timestamp, Version};
use crate::width::Width;

/// Enough of a run to list it and to know when one of its keys expires, and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The commit it is at.
    pub stamp: Stamp,
    /// Its description; a run that was deleted has none.
    pub meta: Option<Box<RunMeta>>,
    /// When the first of its keys and cells expires.
    pub next_deadline: Option<Timestamp>,
    /// How much it holds.
    pub counts: RunCounts,
}

/// How much a run holds. Keys and cells that have expired count until they are cleaned away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Keys.
    pub keys: u64,
    /// State cells.
    pub cells: u64,
    /// Documents.
    pub documents: u64,
    /// Events.
    pub events: u64,
    /// Traces.
    pub traces: u64,
    /// What all these take together: names and encoded values, bytes.
    pub size: u64,
}

impl RunState {
    /// What is known of the run without its content.
    pub fn summary(&self) -> RunSummary {
        let stamp = Stamp { version: self.version(), timestamp: self.timestamp() };
        let meta = self.meta().cloned().map(Box::new);
        RunSummary {
            stamp,
            meta,
            next_deadline: self.next_deadline(),
            counts: Draft::new(self.view()).counts(),
        }
    }
}

impl RunSummary {
    /// What a caller is told about the run, if it exists; `orphaned` is left to the shard.
    pub fn info(&self, id: RunId) -> Option<RunInfo> {
        Some(self.meta.as_ref()?.info(id, self.stamp, &self.counts))
    }

    /// Appends the encoding.
    ///
    /// ```text
    /// 9 x varint: version, time, next deadline (0 none), keys, cells, documents, events, traces, bytes of all these
    /// option of the description, whole, with a varint for every number, length and count
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        let next_deadline = self.next_deadline.map_or(0, |deadline| deadline.0);
        let RunCounts { keys, cells, documents, events, traces, size } = self.counts;
        [self.stamp.version.0, self.stamp.timestamp.0, next_deadline]
            .into_iter()
            .chain([keys, cells, documents, events, traces, size])
            .for_each(|number| codec::put_varint(out, number));
        put_option(out, self.meta.as_ref(), |out, meta| meta.encode_whole(Width::Varint, out));
    }

    /// Takes one from the front of `input`. Nothing in `input` can make this panic.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let stamp = Stamp {
            version: Version(codec::take_varint(input)?),
            timestamp: Timestamp(codec::take_varint(input)?),
        };
        let next_deadline = Some(codec::take_varint(input)?).filter(|micros| *micros != 0).map(Timestamp);
        let counts = RunCounts {
            keys: codec::take_varint(input)?,
            cells: codec::take_varint(input)?,
            documents: codec::take_varint(input)?,
            events: codec::take_varint(input)?,
            traces: codec::take_varint(input)?,
            size: codec::take_varint(input)?,
        };
        let meta = take_option(input, |input| RunMeta::decode_whole(Width::Varint, input).map(Box::new))?;
        Ok(RunSummary { stamp, meta, next_deadline, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoded::Encoded;
    use crate::mutation::Mutation;

    fn run() -> RunState {
        let mut run = RunState::new(RunId::from_bytes([1; 16]), 7);
        let stamp = Stamp { version: Version(2), timestamp: Timestamp(7) };
        let meta = RunMeta { tags: vec!["a".to_owned()], ..RunMeta::plain() };
        let previous = Version::NEVER;
        let value = Encoded::from_int(5);
        let key = Mutation::KvPut { key: "key".into(), value, deadline: Some(Timestamp(9)), previous };
        for mutation in [Mutation::RunCreate { meta: Box::new(meta), previous }, key] {
            drop(run.apply(mutation, stamp));
        }
        run.commit(stamp);
        run
    }

    #[test]
    fn a_summary_tells_of_a_run_what_the_run_tells() {
        let run = run();
        assert_eq!(run.summary().info(run.id()), run.info());
        assert_eq!((run.summary().next_deadline, run.summary().counts.size), (Some(Timestamp(9)), 12));
        let missing = RunState::new(run.id(), 7);
        assert_eq!((missing.summary().info(run.id()), missing.info()), (None, None));
    }

    #[test]
    fn the_bytes_of_a_summary_never_change() {
        let mut summary = run().summary();
        summary.counts.size = 300;
        let mut golden = vec![2, 7, 9, 1, 0, 0, 0, 0, 0xac, 2, 1];
        summary.meta.as_ref().unwrap().encode_whole(Width::Varint, &mut golden);
        let mut bytes = Vec::new();
        summary.encode(&mut bytes);
        assert_eq!(bytes, golden);
        let mut input = &bytes[..];
        assert_eq!((RunSummary::decode(&mut input), input.len()), (Ok(summary), 0));
        for cut in 0..bytes.len() {
            assert!(RunSummary::decode(&mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
