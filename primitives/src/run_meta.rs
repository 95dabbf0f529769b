//! What is known about a run besides its content: name, place, status, tags, metadata.
use crate::codec::{self, DecodeError, put_option, take_option};
use crate::encoded::Encoded;
use crate::fork::ForkPoint;
use crate::id::{Namespace, RunId};
use crate::retention::Retention;
pub use crate::run_filter::RunFilter;
use crate::run_status::RunStatus;
use crate::run_summary::RunCounts;
use crate::value::Value;
use crate::version::{Durability, Stamp, Timestamp, Version};
use crate::width::Width;

/// What a caller says about a run when creating or beginning it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunSpec {
    /// The name its id was derived from, if it has one.
    pub name: Option<String>,
    /// Whose run it is.
    pub namespace: Namespace,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// Words to find it by. A repeated tag counts once.
    pub tags: Vec<String>,
    /// Anything else worth knowing.
    pub metadata: Value,
    /// The least its writes are promised; without it, the store's.
    pub durability: Option<Durability>,
    /// How much of its history is kept; without it, as the store says.
    pub retention: Option<Retention>,
    /// Which of its events are kept; without it, as the store says.
    pub event_retention: Option<Retention>,
    /// Which of its traces are kept; without it, as the store says.
    pub trace_retention: Option<Retention>,
}

impl RunSpec {
    /// A run with a name and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }
}

/// A run's description as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMeta {
    /// The name its id was derived from, if it has one.
    pub name: Option<String>,
    /// Whose run it is.
    pub namespace: Namespace,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// Words to find it by, each once.
    pub tags: Vec<String>,
    /// Anything else worth knowing; always decodable.
    pub metadata: Encoded,
    /// Where it is in its life.
    pub status: RunStatus,
    /// When it was created.
    pub created: Timestamp,
    /// The boot of the store in which it was last begun.
    pub begun_in_boot: u64,
    /// The least its writes are promised; without it, the store's.
    pub durability: Option<Durability>,
    /// How much of its history is kept; without it, as the store says.
    pub retention: Option<Retention>,
    /// Which of its events are kept; without it, as the store says.
    pub event_retention: Option<Retention>,
    /// Which of its traces are kept; without it, as the store says.
    pub trace_retention: Option<Retention>,
    /// What it began as, if it is a fork.
    pub forked_from: Option<ForkPoint>,
    /// The newest of the commits that it was imported with, if it was.
    pub imported: Option<Version>,
    /// The commit that created, forked or imported it: the first of its life in this store. An id may have had others before, all of
    /// whose commits have smaller numbers. What is said of it in that commit itself is not looked at.
    pub since: Version,
    /// The numbers that no commit has among those of what it began with, oldest first: between each first one and each second one. What is
    /// said of them in the commit that forks or imports it is not looked at.
    pub gaps: Vec<(Version, Version)>,
}

/// What a caller is told about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// The run.
    pub id: RunId,
    /// The name its id was derived from, if it has one.
    pub name: Option<String>,
    /// Whose run it is.
    pub namespace: Namespace,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Anything else worth knowing.
    pub metadata: Value,
    /// Where it is in its life.
    pub status: RunStatus,
    /// When it was created.
    pub created: Timestamp,
    /// The boot of the store in which it was last begun.
    pub begun_in_boot: u64,
    /// The least its writes are promised; without it, the store's.
    pub durability: Option<Durability>,
    /// How much of its history is kept; without it, as the store says.
    pub retention: Option<Retention>,
    /// Which of its events are kept; without it, as the store says.
    pub event_retention: Option<Retention>,
    /// Which of its traces are kept; without it, as the store says.
    pub trace_retention: Option<Retention>,
    /// What it began as, if it is a fork.
    pub forked_from: Option<ForkPoint>,
    /// Its newest commit.
    pub version: Version,
    /// The time of its newest commit.
    pub timestamp: Timestamp,
    /// Keys, including expired ones that are not yet cleaned away.
    pub kv_count: u64,
    /// Events that were ever appended, those included that are not kept any more.
    pub event_count: u64,
    /// Cells, including expired ones that are not yet cleaned away.
    pub cell_count: u64,
    /// Documents.
    pub document_count: u64,
    /// Traces that were ever recorded, those included that are not kept any more.
    pub trace_count: u64,
    /// What keys, cells, documents, events and traces take together: names and encoded values, bytes.
    pub size: u64,
    /// Whether it is active but belongs to a boot that did not close cleanly. Derived by the shard, never stored.
    pub orphaned: bool,
}

impl RunMeta {
    #[cfg(test)]
    /// A description with nothing in it that a test would look for.
    pub(crate) fn plain() -> RunMeta {
        RunMeta {
            name: None,
            namespace: Namespace::default(),
            parent: None,
            tags: vec![],
            metadata: Encoded::from_int(1),
            status: RunStatus::Active,
            created: Timestamp(5),
            begun_in_boot: 1,
            durability: None,
            retention: None,
            event_retention: None,
            trace_retention: None,
            forked_from: None,
            imported: None,
            since: Version(1),
            gaps: Vec::new(),
        }
    }

    /// The newest commit that it began with.
    fn begins_behind(&self) -> Version {
        let forked = self.forked_from.map(|point| point.version);
        self.imported.or(forked).unwrap_or(Version::NEVER)
    }

    /// The numbers that no commit of the run has, oldest first: those between each first one and each second one.
    ///
    /// There are such numbers where a run is imported, and one of its id that was deleted before had come further than the archive: the
    /// number of the importing commit is greater than any that was given out.
    pub(crate) fn all_gaps(&self) -> impl DoubleEndedIterator<Item = (Version, Version)> {
        let own = self.imported.map(|through| (through, self.since));
        self.gaps.iter().copied().chain(own.filter(|(through, by)| *by > through.next()))
    }

    /// So much of the history of the run, the newest commit of which is `newest`, with the numbers counted that no commit has.
    #[must_use]
    pub fn across_gaps(&self, retention: Retention, newest: Version) -> Retention {
        let Retention::KeepLast(count) = retention else { return retention };
        let (mut newest, mut left, mut passed) = (newest, count, 0);
        for (through, by) in self.all_gaps().rev() {
            let behind = newest.next().0.saturating_sub(by.0);
            if left <= behind {
                break;
            }
            (newest, left, passed) = (through, left - behind, passed + (by.0 - through.next().0));
        }
        Retention::KeepLast(count.saturating_add(passed))
    }

    /// This description and these facts as a caller sees them; `orphaned` is left to the shard.
    pub(crate) fn info(&self, id: RunId, stamp: Stamp, counts: &RunCounts) -> RunInfo {
        RunInfo {
            id,
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            parent: self.parent,
            tags: self.tags.clone(),
            metadata: self
                .metadata
                .to_value()
                .expect("metadata is checked when it is encoded and when it is decoded"),
            status: self.status,
            created: self.created,
            begun_in_boot: self.begun_in_boot,
            durability: self.durability,
            retention: self.retention,
            event_retention: self.event_retention,
            trace_retention: self.trace_retention,
            forked_from: self.forked_from,
            version: stamp.version,
            timestamp: stamp.timestamp,
            kv_count: counts.keys,
            event_count: counts.events,
            cell_count: counts.cells,
            document_count: counts.documents,
            trace_count: counts.traces,
            size: counts.size,
            orphaned: false,
        }
    }

    /// Appends all of it: what the log holds of a creation, and what was decided beside it.
    pub(crate) fn encode_whole(&self, width: Width, out: &mut Vec<u8>) {
        self.encode(width, out);
        put_option(out, self.retention, |out, retention| retention.encode(width, out));
        if let Some(retention) = self.event_retention {
            codec::put_u8(out, KEEPS_EVENTS);
            retention.encode(width, out);
        }
        if let Some(retention) = self.trace_retention {
            codec::put_u8(out, KEEPS_TRACES);
            retention.encode(width, out);
        }
        if let Some(through) = self.imported {
            codec::put_u8(out, IMPORTED);
            width.put_number(out, through.0);
        }
        if self.since != self.begins_behind().next() {
            codec::put_u8(out, SINCE);
            width.put_number(out, self.since.0);
        }
        if !self.gaps.is_empty() {
            codec::put_u8(out, GAPS);
            width.put_count(out, self.gaps.len());
            self.gaps
                .iter()
                .flat_map(|(through, by)| [through.0, by.0])
                .for_each(|number| width.put_number(out, number));
        }
        put_option(out, self.forked_from, |out, point| {
            out.extend_from_slice(point.run.as_bytes());
            width.put_number(out, point.version.0);
        });
    }

    pub(crate) fn decode_whole(width: Width, input: &mut &[u8]) -> Result<Self, DecodeError> {
        let meta = Self::decode(width, input)?;
        let take_retention = |input: &mut &[u8]| Retention::decode(width, input);
        let retention = take_option(input, take_retention)?;
        let event_retention = take_if(input, KEEPS_EVENTS, take_retention)?;
        let trace_retention = take_if(input, KEEPS_TRACES, take_retention)?;
        let take_version = |input: &mut &[u8]| Ok(Version(width.take_number(input)?));
        let imported = take_if(input, IMPORTED, take_version)?;
        let since = take_if(input, SINCE, take_version)?;
        let gaps = take_if(input, GAPS, |input| decode_gaps(width, input))?.unwrap_or_default();
        let forked_from = take_option(input, |input| {
            let run = RunId::from_bytes(codec::take_array(input)?);
            Ok(ForkPoint { run, version: Version(width.take_number(input)?) })
        })?;
        let meta = Self { retention, event_retention, trace_retention, forked_from, imported, gaps, ..meta };
        let next = meta.begins_behind().0.checked_add(1).ok_or(NOT_BEHIND)?;
        if meta.gaps.last().is_some_and(|(_, by)| by.0 >= next) {
            return Err(NO_GAP);
        }
        match since {
            None => Ok(Self { since: Version(next), ..meta }),
            // The next one is not written.
            Some(since) if since.0 > next => Ok(Self { since, ..meta }),
            Some(_) => Err(NOT_BEHIND),
        }
    }

    /// Appends the encoding, in the order of [`decode`](Self::decode), without the retentions, which are
    /// mutations of their own, and without what it began as, which the mutation says that makes a fork.
    pub(crate) fn encode(&self, width: Width, out: &mut Vec<u8>) {
        put_option(out, self.name.as_deref(), |out, name| width.put_str(out, name));
        width.put_str(out, &self.namespace.tenant);
        width.put_str(out, &self.namespace.app);
        width.put_str(out, &self.namespace.agent);
        put_option(out, self.parent, |out, parent| out.extend_from_slice(parent.as_bytes()));
        encode_tags(&self.tags, width, out);
        width.put_bytes(out, self.metadata.as_bytes());
        codec::put_u8(out, self.status.code());
        width.put_number(out, self.created.0);
        width.put_number(out, self.begun_in_boot);
        codec::put_u8(out, self.durability.map_or(0, Durability::code));
    }

    pub(crate) fn decode(width: Width, input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            name: take_option(input, |input| width.take_string(input))?,
            namespace: Namespace {
                tenant: width.take_string(input)?,
                app: width.take_string(input)?,
                agent: width.take_string(input)?,
            },
            parent: take_option(input, |input| Ok(RunId::from_bytes(codec::take_array(input)?)))?,
            tags: decode_tags(width, input)?,
            metadata: decode_metadata(width, input)?,
            status: RunStatus::decode(input)?,
            created: Timestamp(width.take_number(input)?),
            begun_in_boot: width.take_number(input)?,
            durability: match codec::take_u8(input)? {
                0 => None,
                tag => Some(
                    Durability::from_code(tag).ok_or(DecodeError::UnknownTag { what: "durability", tag })?,
                ),
            },
            retention: None,
            event_retention: None,
            trace_retention: None,
            forked_from: None,
            imported: None,
            since: Version::NEVER,
            gaps: Vec::new(),
        })
    }
}

/// In front of the newest commit that a run was imported with.
const IMPORTED: u8 = 2;
/// In front of that, where the run says which of its events it keeps, and which of its traces.
const KEEPS_EVENTS: u8 = 3;
const KEEPS_TRACES: u8 = 4;
/// In front of the commit that began its life, behind all these, where that is not the one behind what it began with.
const SINCE: u8 = 5;
const NOT_BEHIND: DecodeError = DecodeError::Contradiction {
    what: "a run is begun by a commit that does not come behind what it began with",
};

/// In front of how many gaps there are, and of these, behind all that.
const GAPS: u8 = 6;
const NO_GAP: DecodeError = DecodeError::Contradiction {
    what: "numbers that no commit of a run has are not between those that it began with",
};

fn decode_gaps(width: Width, input: &mut &[u8]) -> Result<Vec<(Version, Version)>, DecodeError> {
    let (mut gaps, mut before) = (Vec::new(), Version::NEVER);
    // Every gap takes bytes, so a damaged count ends with the input and reserves nothing.
    for _ in 0..width.take_count(input)? {
        let (through, by) = (Version(width.take_number(input)?), Version(width.take_number(input)?));
        if through < before || by.0 < 2 || Version(by.0 - 2) < through {
            return Err(NO_GAP);
        }
        gaps.push((through, by));
        before = by;
    }
    if gaps.is_empty() { Err(NO_GAP) } else { Ok(gaps) }
}

/// What stands behind this byte, if that comes next.
fn take_if<T>(
    input: &mut &[u8],
    mark: u8,
    take: impl FnOnce(&mut &[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if input.first() != Some(&mark) {
        return Ok(None);
    }
    codec::take_u8(input)?;
    take(input).map(Some)
}

pub(crate) fn encode_tags(tags: &[String], width: Width, out: &mut Vec<u8>) {
    width.put_count(out, tags.len());
    tags.iter().for_each(|tag| width.put_str(out, tag));
}

pub(crate) fn decode_tags(width: Width, input: &mut &[u8]) -> Result<Vec<String>, DecodeError> {
    // Every tag takes bytes, so a damaged count ends with the input and reserves nothing.
    let count = width.take_count(input)?;
    (0..count).map(|_| width.take_string(input)).collect()
}

/// Metadata is decoded by everyone who lists runs, so bytes that cannot be are refused here.
pub(crate) fn decode_metadata(width: Width, input: &mut &[u8]) -> Result<Encoded, DecodeError> {
    let metadata = Encoded::from_canonical(width.take_bytes(input)?);
    metadata.decode()?;
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_spec_has_only_a_name() {
        let spec = RunSpec::named("nightly");
        assert_eq!(spec, RunSpec { name: Some("nightly".into()), ..RunSpec::default() });
    }

    #[test]
    fn an_unknown_durability_is_refused() {
        let mut bytes = Vec::new();
        let meta = RunMeta { created: Timestamp(1), ..RunMeta::plain() };
        meta.encode(Width::Fixed, &mut bytes);
        let logged = RunMeta::decode(Width::Fixed, &mut &bytes[..]).unwrap();
        assert_eq!(RunMeta { since: meta.since, ..logged }, meta);
        *bytes.last_mut().unwrap() = 4;
        assert!(matches!(
            RunMeta::decode(Width::Fixed, &mut &bytes[..]),
            Err(DecodeError::UnknownTag { tag: 4, .. })
        ));
    }

    #[test]
    fn only_the_whole_of_a_description_has_its_retentions_and_what_it_began_as() {
        let forked_from = Some(ForkPoint { run: RunId::from_bytes([6; 16]), version: Version(9) });
        let [retention, event_retention, trace_retention] =
            [3, 4, 5].map(|count| Some(Retention::KeepLast(count)));
        let meta = RunMeta {
            retention,
            event_retention,
            trace_retention,
            forked_from,
            imported: Some(Version(8)),
            since: Version(11),
            ..RunMeta::plain()
        };
        let (mut whole, mut logged) = (Vec::new(), Vec::new());
        meta.encode_whole(Width::Fixed, &mut whole);
        meta.encode(Width::Fixed, &mut logged);
        let kept = |number| [2, number, 0, 0, 0, 0, 0, 0, 0];
        let kept = [&[1][..], &kept(3), &[3], &kept(4), &[4], &kept(5)].concat();
        let number = |number| [number, 0, 0, 0, 0, 0, 0, 0];
        let point = [&[2][..], &number(8), &[5], &number(11), &[1], &[6; 16], &number(9)].concat();
        assert_eq!(whole, [&logged[..], &kept, &point].concat());
        assert_eq!(RunMeta::decode_whole(Width::Fixed, &mut &whole[..]), Ok(meta));
        let plain = RunMeta { since: Version::NEVER, ..RunMeta::plain() };
        assert_eq!(RunMeta::decode(Width::Fixed, &mut &logged[..]), Ok(plain));
    }

    #[test]
    fn a_whole_description_of_varints_has_these_bytes() {
        let meta = RunMeta {
            name: Some("n".into()),
            parent: Some(RunId::from_bytes([4; 16])),
            tags: vec!["t".into(), "uv".into()],
            created: Timestamp(300),
            trace_retention: Some(Retention::KeepLast(200)),
            forked_from: Some(ForkPoint { run: RunId::from_bytes([6; 16]), version: Version(9) }),
            imported: Some(Version(128)),
            since: Version(131),
            gaps: vec![(Version(2), Version(5))],
            ..RunMeta::plain()
        };
        let metadata = meta.metadata.as_bytes();
        let head = [&[1, 1, b'n', 0, 0, 0, 1][..], &[4; 16], &[2, 1, b't', 2, b'u', b'v']].concat();
        let status = [&[metadata.len() as u8][..], metadata, &[1, 0xac, 2, 1, 0]].concat();
        let tail = [&[0, 4, 2, 0xc8, 1, 2, 0x80, 1, 5, 0x83, 1, 6, 1, 2, 5, 1][..], &[6; 16], &[9]].concat();
        let golden = [head, status, tail].concat();
        let mut bytes = Vec::new();
        meta.encode_whole(Width::Varint, &mut bytes);
        assert_eq!(bytes, golden);
        assert_eq!(RunMeta::decode_whole(Width::Varint, &mut &bytes[..]), Ok(meta));
        for cut in 0..bytes.len() {
            assert!(RunMeta::decode_whole(Width::Varint, &mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_commit_that_began_a_run_is_written_where_it_is_not_the_one_behind_what_it_began_with() {
        let forked_from = Some(ForkPoint { run: RunId::from_bytes([6; 16]), version: Version(9) });
        let of = |imported, forked_from| RunMeta { imported, forked_from, ..RunMeta::plain() };
        let began = [
            (of(None, None), 1),
            (of(None, forked_from), 10),
            (of(Some(Version(4)), None), 5),
            (of(Some(Version(12)), forked_from), 13),
        ];
        for (meta, next) in began {
            let whole = |since| {
                let mut bytes = Vec::new();
                RunMeta { since: Version(since), ..meta.clone() }.encode_whole(Width::Fixed, &mut bytes);
                bytes
            };
            let decode =
                |bytes: &[u8]| RunMeta::decode_whole(Width::Fixed, &mut &bytes[..]).map(|meta| meta.since);
            assert_eq!(whole(next).len() + 9, whole(next + 1).len());
            for since in [next, next + 1, u64::MAX] {
                assert_eq!(decode(&whole(since)), Ok(Version(since)));
            }
            let mut behind = whole(next + 1);
            let place =
                behind.windows(9).position(|bytes| bytes == [&[5][..], &(next + 1).to_le_bytes()].concat());
            for refused in [next, next - 1, 0] {
                behind[place.unwrap() + 1..][..8].copy_from_slice(&refused.to_le_bytes());
                assert!(decode(&behind).is_err(), "{refused} is not behind {}", next - 1);
            }
        }
    }

    #[test]
    fn the_bytes_of_gaps_never_change_and_those_that_are_none_are_refused() {
        let of = |gaps: &[(u64, u64)]| RunMeta {
            gaps: gaps.iter().map(|(through, by)| (Version(*through), Version(*by))).collect(),
            imported: Some(Version(9)),
            since: Version(10),
            ..RunMeta::plain()
        };
        let whole = |meta: &RunMeta| {
            let mut bytes = Vec::new();
            meta.encode_whole(Width::Fixed, &mut bytes);
            bytes
        };
        let meta = of(&[(1, 3), (3, 9)]);
        let (bytes, without) = (whole(&meta), whole(&of(&[])));
        let numbers = [1_u64, 3, 3, 9].map(u64::to_le_bytes).concat();
        let place = without.len() - 1;
        assert_eq!(bytes, [&without[..place], &[6, 2, 0, 0, 0], &numbers[..], &without[place..]].concat());
        assert_eq!(RunMeta::decode_whole(Width::Fixed, &mut &bytes[..]), Ok(meta));
        for refused in [&[(1, 2)][..], &[(3, 3)], &[(2, 10)], &[(3, 9), (1, 3)], &[(u64::MAX, 1)]] {
            assert!(
                RunMeta::decode_whole(Width::Fixed, &mut &whole(&of(refused))[..]).is_err(),
                "{refused:?}"
            );
        }
        let none = [&without[..place], &[6, 0, 0, 0, 0], &without[place..]].concat();
        assert!(RunMeta::decode_whole(Width::Fixed, &mut &none[..]).is_err());
    }

    #[test]
    fn as_many_commits_are_kept_as_are_asked_for_whatever_lies_between() {
        let imported = RunMeta { imported: Some(Version(4)), since: Version(11), ..RunMeta::plain() };
        // 1 to 4 and 11 to 13 are there.
        let first_kept = |count| match imported.across_gaps(Retention::KeepLast(count), Version(13)) {
            Retention::KeepLast(count) => 14_u64.saturating_sub(count),
            other => panic!("{other}"),
        };
        assert_eq!([1, 2, 3].map(first_kept), [13, 12, 11]);
        assert_eq!([4, 5, 7].map(first_kept), [4, 3, 1]);
        assert_eq!(first_kept(u64::MAX), 0);
        for other in [Retention::KeepAll, Retention::KeepFor(std::time::Duration::ZERO)] {
            assert_eq!(imported.across_gaps(other, Version(13)), other);
        }
        let twice = RunMeta { gaps: vec![(Version(2), Version(4))], ..imported.clone() };
        let first_kept = |count| match twice.across_gaps(Retention::KeepLast(count), Version(13)) {
            Retention::KeepLast(count) => 14_u64.saturating_sub(count),
            other => panic!("{other}"),
        };
        // 1, 2, 4 and 11 to 13 are there.
        assert_eq!([3, 4, 5, 6, 7].map(first_kept), [11, 4, 2, 1, 0]);
        for no_gap in
            [RunMeta { since: Version(5), ..imported }, RunMeta { since: Version(11), ..RunMeta::plain() }]
        {
            assert_eq!(no_gap.across_gaps(Retention::KeepLast(9), Version(12)), Retention::KeepLast(9));
        }
    }
}
