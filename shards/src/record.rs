//! One commit as one record of the log.
//!
//! ```text
//!  0  durability      u8   what was promised: 2 buffered, 3 strict
//!  1  section count   u8
//!  2  reserved        u16  0
//!  4  mutation count  u32
//!  8  run id          16 bytes
//! 24  version         u64  number of this commit in its run
//! 32  timestamp       u64  microseconds since the Unix epoch
//! 40  previous log    u32  log that holds the run's previous record; of a fork's first one, that of the run it began as;
//!                          2^32 - 1 when that is in an archive, the number of which is the position then
//! 44  reserved        u32  0
//! 48  previous LSN    u64  its position there; 0 when there is none
//! 56  sections        each: tag u16, reserved u16, length u32, that many bytes
//!     mutations       each as `primitives` encodes it
//! ```
//!
//! The section of a milestone holds the places of two earlier ones, near and far, each u32 log and u64 LSN (see `trail`).
//! The section of an operation id holds the id (16 bytes), the fingerprint of the write (8 bytes) and the effects it
//! revealed.
//! The section of what a transaction had read is as [`CommitReads`] encodes it.
//!
//! All integers are little-endian. A section with an unknown tag is skipped: an older reader can
//! still replay the commit, because only mutations change state.

use std::cmp::Ordering;

use strata_primitives::{
    Cause, CommitReads, Durability, Effect, Fingerprint, Mutation, OperationId, Redaction, RunId, Timestamp,
    Version,
};
use strata_wal::Lsn;

/// Kind of a record that holds an ordinary commit.
pub const KIND_COMMIT: u8 = 1;
/// Kind of a record whose commit creates a run.
pub const KIND_RUN_CREATE: u8 = 2;
/// Kind of a record whose commit makes a fork of another run.
pub const KIND_FORK: u8 = 3;
/// Kind of a record whose commit says how much of the run's history is kept.
pub const KIND_RETENTION: u8 = 4;
/// Kind of a record whose commit deletes a run.
pub const KIND_RUN_DELETE: u8 = 5;
/// Kind of a record whose commit erases something.
pub const KIND_ERASE: u8 = 6;
/// Kind of a record whose commit imports a run.
pub const KIND_IMPORT: u8 = 7;

const HEADER_SIZE: usize = 56;
const SECTION_HEADER_SIZE: usize = 8;
const SECTION_CAUSE: u16 = 1;
const SECTION_OPERATION_ID: u16 = 2;
const SECTION_MILESTONE: u16 = 3;
const SECTION_READS: u16 = 4;
const MILESTONE_SIZE: usize = 2 * PLACE_SIZE;
const PLACE_SIZE: usize = 4 + 8;

/// Where a run's previous record stands. A log with a greater number comes later, and an archive before all logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordPlace {
    /// The number of the log.
    pub log: u32,
    /// The position in it; 0 when there is no such record.
    pub lsn: Lsn,
}

/// In the place of the number of a log: the place is an archive, and the position is its number.
const ARCHIVE: u32 = u32::MAX;

impl Ord for RecordPlace {
    fn cmp(&self, other: &RecordPlace) -> Ordering {
        let order = |place: &RecordPlace| (place.archive().is_none(), place.log, place.lsn);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for RecordPlace {
    fn partial_cmp(&self, other: &RecordPlace) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl RecordPlace {
    /// What stands for the place of a commit that is in an archive.
    pub(crate) fn in_archive(number: u64) -> RecordPlace {
        RecordPlace { log: ARCHIVE, lsn: Lsn(number) }
    }

    /// The archive, if the place is one.
    pub fn archive(self) -> Option<u64> {
        (self.log == ARCHIVE).then_some(self.lsn.0)
    }
}

/// What some records name, for who goes back further than to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// The milestone before.
    pub near: RecordPlace,
    /// One further back.
    pub far: RecordPlace,
}

/// Everything a record says beside its mutations.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordHead {
    /// The run that changed.
    pub run: RunId,
    /// The number of the commit in its run.
    pub version: Version,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// What its writer was promised.
    pub durability: Durability,
    /// The run's previous record.
    pub previous: RecordPlace,
    /// Set where the record is one.
    pub milestone: Option<Milestone>,
    /// Why it was written, when the writer said so.
    pub cause: Option<Cause>,
    /// The writer's own id of this write, when it gave one.
    pub operation: Option<IdentifiedWrite>,
    /// What its transaction had read, where that is kept.
    pub reads: Option<CommitReads>,
}

/// A write that is answered, not repeated, when it is sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentifiedWrite {
    /// The id its writer gave it.
    pub id: OperationId,
    /// What the write was.
    pub fingerprint: Fingerprint,
    /// What each of its operations revealed.
    pub effects: Vec<Effect>,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Who, when and why.
    pub head: RecordHead,
    /// What changed.
    pub mutations: Vec<Mutation>,
    /// How many bytes its body has.
    pub size: usize,
}

/// The kind that a record with these mutations carries.
pub fn kind_of(mutations: &[Mutation]) -> u8 {
    match mutations {
        [Mutation::RunCreate { .. }, ..] => KIND_RUN_CREATE,
        [Mutation::RunFork { .. }, ..] => KIND_FORK,
        [Mutation::RunDelete { .. }, ..] => KIND_RUN_DELETE,
        [Mutation::RunRetention { .. }, ..] => KIND_RETENTION,
        [Mutation::Erase { .. }, ..] => KIND_ERASE,
        [Mutation::RunImport { .. }, ..] => KIND_IMPORT,
        _ => KIND_COMMIT,
    }
}

/// Writes the record's body behind what `body` already holds.
///
/// # Panics
/// If there are 2^32 mutations or more; limits refuse such commits long before.
pub fn encode(head: &RecordHead, mutations: &[Mutation], body: &mut Vec<u8>) {
    let RecordHead { milestone, cause, operation, reads, .. } = head;
    let has_section = [milestone.is_some(), cause.is_some(), operation.is_some(), reads.is_some()];
    let sections = has_section.map(u8::from).iter().sum();
    let count = u32::try_from(mutations.len()).expect("limits bound the mutations of a commit");
    body.push(head.durability.code());
    body.push(sections);
    body.extend_from_slice(&[0; 2]);
    body.extend_from_slice(&count.to_le_bytes());
    body.extend_from_slice(head.run.as_bytes());
    body.extend_from_slice(&head.version.0.to_le_bytes());
    body.extend_from_slice(&head.timestamp.0.to_le_bytes());
    body.extend_from_slice(&head.previous.log.to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(&head.previous.lsn.0.to_le_bytes());
    if let Some(Milestone { near, far }) = *milestone {
        encode_section(SECTION_MILESTONE, body, |body| {
            for RecordPlace { log, lsn } in [near, far] {
                body.extend_from_slice(&log.to_le_bytes());
                body.extend_from_slice(&lsn.0.to_le_bytes());
            }
        });
    }
    if let Some(cause) = cause {
        encode_section(SECTION_CAUSE, body, |body| cause.encode(body));
    }
    if let Some(write) = operation {
        encode_section(SECTION_OPERATION_ID, body, |body| {
            body.extend_from_slice(&write.id.0);
            body.extend_from_slice(&write.fingerprint.0);
            for effect in &write.effects {
                effect.encode(body);
            }
        });
    }
    if let Some(reads) = reads {
        encode_section(SECTION_READS, body, |body| reads.encode(body));
    }
    for mutation in mutations {
        mutation.encode(body);
    }
}

/// Reads a record's body. The reason of a failure names what was wrong.
pub fn decode(body: &[u8]) -> Result<Record, String> {
    let (head, count, mut rest) = decode_before_mutations(body, true)?;
    // The count is not trusted for an allocation: a mutation takes at least one byte.
    let mut mutations = Vec::with_capacity((count as usize).min(rest.len()));
    for index in 0..count {
        let mutation =
            Mutation::decode(&mut rest).map_err(|error| format!("mutation {index} of {count}: {error}"))?;
        mutations.push(mutation);
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes behind the last of {count} mutations", rest.len()));
    }
    Ok(Record { head, mutations, size: body.len() })
}

/// The body of a record without what is erased of its commit; nothing where it stays as it is.
pub fn without_erased(body: &[u8], redaction: &mut Redaction) -> Result<Option<Vec<u8>>, String> {
    let Record { head, mutations, .. } = decode(body)?;
    let (_, _, rest) = decode_before_mutations(body, false)?;
    let before = &body[..body.len() - rest.len()];
    let reads = head.reads.as_ref().and_then(|reads| redaction.reads(reads));
    let mut is_changed = reads.is_some();
    let mut redacted = match reads {
        Some(reads) => with_reads(before, &reads)?,
        None => before.to_vec(),
    };
    for mutation in mutations {
        let changed = redaction.mutation(&mutation, head.version);
        is_changed |= changed.is_some();
        changed.unwrap_or(mutation).encode(&mut redacted);
    }
    Ok(is_changed.then_some(redacted))
}

/// Reads what a record says beside its mutations, but for what its transaction had read: whoever goes back over many heads has
/// no use for that.
pub fn decode_head(body: &[u8]) -> Result<RecordHead, String> {
    decode_before_mutations(body, false).map(|(head, _, _)| head)
}

/// The head, with what its transaction had read where that is wanted, how many mutations there are, and their bytes.
fn decode_before_mutations(body: &[u8], has_reads: bool) -> Result<(RecordHead, u32, &[u8]), String> {
    let (header, mut rest) = body
        .split_at_checked(HEADER_SIZE)
        .ok_or_else(|| format!("record of {} bytes has no header", body.len()))?;
    let mut head = RecordHead {
        run: RunId::from_bytes(array(header, 8)),
        version: Version(u64::from_le_bytes(array(header, 24))),
        timestamp: Timestamp(u64::from_le_bytes(array(header, 32))),
        durability: Durability::from_code(header[0])
            .ok_or_else(|| format!("unknown durability {}", header[0]))?,
        previous: RecordPlace {
            log: u32::from_le_bytes(array(header, 40)),
            lsn: Lsn(u64::from_le_bytes(array(header, 48))),
        },
        milestone: None,
        cause: None,
        operation: None,
        reads: None,
    };
    if head.version == Version::PENDING {
        return Err(format!("commit {} has a number that no commit has", head.version));
    }
    for _ in 0..header[1] {
        rest = decode_section(rest, &mut head, has_reads)?;
    }
    Ok((head, u32::from_le_bytes(array(header, 4)), rest))
}

fn encode_section(tag: u16, body: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    body.extend_from_slice(&tag.to_le_bytes());
    body.extend_from_slice(&[0; 2]);
    let length_at = body.len();
    body.extend_from_slice(&[0; 4]);
    let start = body.len();
    write(body);
    let length = u32::try_from(body.len() - start).expect("a section is bounded by the limits");
    body[length_at..start].copy_from_slice(&length.to_le_bytes());
}

/// What stands in front of the mutations of a record, with other reads; sections that are not known here stay.
fn with_reads(before: &[u8], reads: &CommitReads) -> Result<Vec<u8>, String> {
    let (header, mut rest) = before.split_at(HEADER_SIZE);
    let mut body = header.to_vec();
    for _ in 0..header[1] {
        let (tag, section, behind) = take_section(rest)?;
        match tag {
            SECTION_READS => encode_section(tag, &mut body, |body| reads.encode(body)),
            _ => encode_section(tag, &mut body, |body| body.extend_from_slice(section)),
        }
        rest = behind;
    }
    Ok(body)
}

/// The tag and the content of the next section, and what is behind it.
fn take_section(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), String> {
    let (header, rest) = bytes
        .split_at_checked(SECTION_HEADER_SIZE)
        .ok_or("a section header runs over the end of the record")?;
    let tag = u16::from_le_bytes(array(header, 0));
    let length = u32::from_le_bytes(array(header, 4)) as usize;
    let (section, rest) = rest
        .split_at_checked(length)
        .ok_or_else(|| format!("section {tag} of {length} bytes runs over the end of the record"))?;
    Ok((tag, section, rest))
}

fn decode_section<'a>(bytes: &'a [u8], head: &mut RecordHead, has_reads: bool) -> Result<&'a [u8], String> {
    let (tag, mut section, rest) = take_section(bytes)?;
    let length = section.len();
    match tag {
        SECTION_CAUSE => {
            head.cause = Some(Cause::decode(&mut section).map_err(|error| format!("cause: {error}"))?);
        }
        SECTION_OPERATION_ID => {
            let (identity, mut rest) =
                section.split_at_checked(24).ok_or("an operation id of under 24 bytes")?;
            let mut effects = Vec::new();
            while !rest.is_empty() {
                effects.push(Effect::decode(&mut rest).map_err(|error| format!("effect: {error}"))?);
            }
            let (id, fingerprint) = (OperationId(array(identity, 0)), Fingerprint(array(identity, 16)));
            head.operation = Some(IdentifiedWrite { id, fingerprint, effects });
        }
        SECTION_MILESTONE if length == MILESTONE_SIZE => {
            head.milestone =
                Some(Milestone { near: place_at(section, 0), far: place_at(section, PLACE_SIZE) });
        }
        SECTION_READS if has_reads => {
            let reads = CommitReads::decode(section).map_err(|error| format!("reads: {error}"))?;
            head.reads = Some(reads);
        }
        SECTION_MILESTONE => return Err(format!("a milestone of {length} bytes")),
        _ => {}
    }
    Ok(rest)
}

/// The place at `at` in a section.
fn place_at(section: &[u8], at: usize) -> RecordPlace {
    RecordPlace {
        log: u32::from_le_bytes(array(section, at)),
        lsn: Lsn(u64::from_le_bytes(array(section, at + 4))),
    }
}

/// `N` bytes of `bytes` from `at`; the caller has checked that they are there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range has the length of the array")
}

#[cfg(test)]
mod tests {

    use strata_primitives::{Encoded, EntityRef, Erasure, ReadPlace};

    use super::*;

    fn head() -> RecordHead {
        RecordHead {
            run: RunId::from_bytes([0xAB; 16]),
            version: Version(3),
            timestamp: Timestamp(0x0102),
            durability: Durability::Strict,
            previous: RecordPlace { log: 1, lsn: Lsn(4096) },
            milestone: None,
            cause: None,
            operation: None,
            reads: None,
        }
    }

    fn identified(effects: Vec<Effect>) -> IdentifiedWrite {
        IdentifiedWrite { id: OperationId([9; 16]), fingerprint: Fingerprint([8; 8]), effects }
    }

    fn milestone() -> Milestone {
        let place = |log, lsn| RecordPlace { log, lsn: Lsn(lsn) };
        Milestone { near: place(2, 77), far: place(1, 5) }
    }

    fn put(key: &str) -> Mutation {
        Mutation::KvPut { key: key.into(), value: Encoded::from_int(7), deadline: None, previous: Version(2) }
    }

    #[test]
    fn a_record_has_the_bytes_that_are_drawn() {
        let mut body = Vec::new();
        encode(&head(), &[], &mut body);
        let mut golden = vec![3, 0, 0, 0, 0, 0, 0, 0];
        golden.extend_from_slice(&[0xAB; 16]);
        golden.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(&[0, 16, 0, 0, 0, 0, 0, 0]);
        assert_eq!(body, golden);
        assert_eq!(body.len(), HEADER_SIZE);
    }

    #[test]
    fn what_a_transaction_had_read_is_a_section_and_loses_its_paths_with_what_is_erased() {
        let run = head().run;
        let document = |path: &str| {
            let place = ReadPlace::Document { name: "d".into(), path: path.into(), version: Version(2) };
            let reads = CommitReads { places: vec![place], is_cut: false };
            RecordHead { cause: Some(Cause::Expired), reads: Some(reads), ..head() }
        };
        let mut body = Vec::new();
        encode(&document("/secret"), &[put("a")], &mut body);
        let section = [0, 3, 1, 0, 0, 0, b'd', 7, 0, 0, 0, b'/', b's', b'e', b'c', b'r', b'e', b't'];
        let mut golden = vec![4, 0, 0, 0, 26, 0, 0, 0];
        golden.extend_from_slice(&section);
        golden.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(body[HEADER_SIZE + 9..HEADER_SIZE + 9 + golden.len()], golden);
        assert_eq!(decode(&body).unwrap().head, document("/secret"));
        assert_eq!(decode_head(&body).unwrap(), RecordHead { reads: None, ..document("/secret") });
        // A section that is not known here stays where it is.
        let mut unknown = body[..HEADER_SIZE].to_vec();
        unknown[1] += 1;
        unknown.extend_from_slice(&[99, 0, 0, 0, 1, 0, 0, 0, 7]);
        unknown.extend_from_slice(&body[HEADER_SIZE..]);
        let erasure = |name: &str| Erasure {
            entity: EntityRef::json(run, name),
            from: Version(1),
            through: Version(2),
            by: Version(9),
            event_hash: None,
            reason: "asked for".into(),
        };
        for body in [body, unknown] {
            let mut redaction = Redaction::new(run, vec![erasure("d")]);
            let redacted = without_erased(&body, &mut redaction).unwrap().unwrap();
            assert_eq!(redacted.len(), body.len() - "/secret".len());
            assert_eq!(
                decode(&redacted).unwrap(),
                Record { size: redacted.len(), head: document(""), mutations: vec![put("a")] }
            );
            assert_eq!(
                without_erased(&redacted, &mut redaction),
                Ok(None),
                "there is nothing more to take out"
            );
            assert_eq!(without_erased(&body, &mut Redaction::new(run, vec![erasure("e")])), Ok(None));
        }
    }

    #[test]
    fn sections_have_the_bytes_that_are_drawn() {
        let mut body = Vec::new();
        let operation = Some(identified(vec![Effect::Integer(5)]));
        let milestone = Some(milestone());
        encode(&RecordHead { cause: Some(Cause::Expired), operation, milestone, ..head() }, &[], &mut body);
        let mut cause = Vec::new();
        Cause::Expired.encode(&mut cause);
        let mut effect = Vec::new();
        Effect::Integer(5).encode(&mut effect);
        let mut golden = vec![3, 0, 0, 0, 24, 0, 0, 0, 2, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0];
        golden.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(&[1, 0, 0, 0, cause.len() as u8, 0, 0, 0]);
        golden.extend_from_slice(&cause);
        golden.extend_from_slice(&[2, 0, 0, 0, 24 + effect.len() as u8, 0, 0, 0]);
        golden.extend_from_slice(&[9; 16]);
        golden.extend_from_slice(&[8; 8]);
        golden.extend_from_slice(&effect);
        assert_eq!(body[1], 3, "three sections");
        assert_eq!(&body[HEADER_SIZE..], golden);
    }

    #[test]
    fn what_was_encoded_is_what_is_decoded() {
        let operation = Some(identified(vec![Effect::None, Effect::Count(2)]));
        let milestone = Some(milestone());
        let cause = Some(Cause::Note("because".into()));
        let head = RecordHead { cause, operation, milestone, ..head() };
        let mutations = vec![put("a"), put("b")];
        let mut body = Vec::new();
        encode(&head, &mutations, &mut body);
        assert_eq!(decode_head(&body).as_ref(), Ok(&head));
        assert_eq!(decode(&body), Ok(Record { head, mutations, size: body.len() }));
    }

    #[test]
    fn an_unknown_section_is_skipped() {
        let mut body = Vec::new();
        encode(&head(), &[put("a")], &mut body);
        body[1] = 1;
        let mut with_section = body[..HEADER_SIZE].to_vec();
        with_section.extend_from_slice(&[0xEE, 0xEE, 0, 0, 3, 0, 0, 0, 1, 2, 3]);
        with_section.extend_from_slice(&body[HEADER_SIZE..]);
        assert_eq!(decode(&with_section).unwrap().mutations, vec![put("a")]);
    }

    #[test]
    fn a_record_cut_anywhere_is_refused_and_never_panics() {
        let mut body = Vec::new();
        let operation = Some(identified(vec![Effect::Integer(5)]));
        encode(&RecordHead { operation, ..head() }, &[put("a"), put("b")], &mut body);
        for length in 0..body.len() {
            assert!(decode(&body[..length]).is_err(), "cut to {length} of {} bytes", body.len());
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_allocates_nothing_and_is_refused() {
        let mut body = Vec::new();
        encode(&head(), &[put("a")], &mut body);
        body[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let reason = decode(&body).unwrap_err();
        assert!(reason.starts_with("mutation 1 of 4294967295"), "{reason}");
    }

    #[test]
    fn bytes_behind_the_last_mutation_are_refused() {
        let mut body = Vec::new();
        encode(&head(), &[put("a")], &mut body);
        body.push(0);
        assert_eq!(decode(&body).unwrap_err(), "1 bytes behind the last of 1 mutations");
    }
}
