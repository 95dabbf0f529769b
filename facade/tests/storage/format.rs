//! A reader written from docs/format.md alone, held against what the database itself says of a store.
//!
//! It shares no code with the engine: if the page is wrong or leaves something out, this reader is, too.

mod json_write;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use strata::{
    Cause, Database, Direction, Durability, EntityRef, ErasedVersions, KvScan, NewTrace, OperationId,
    Options, Reads, Retention, RunFilter, RunHandle, RunId, RunSpec, RunStatus, TraceContent, TraceEnd,
    TraceFilter, Value, Writes, new_trace, parse_json,
};

#[test]
fn a_format_reader_written_from_this_page_reads_a_store() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("strata.db");
        let open_with =
            |shards| Database::open(&path, Options { durability, shards, ..Options::default() }).unwrap();
        let open = || open_with(Some(2));
        if durability == Durability::Strict {
            // Its logs are not the first ones.
            open_with(Some(3)).close().unwrap();
        }
        let database = open();
        work(&database);
        database.close().unwrap();

        let found = read_store(&path);

        let database = open();
        let page = database.runs(&RunFilter::default(), None, 100).unwrap();
        let alive: Vec<_> = found.iter().filter(|(_, run)| run.status.is_some()).collect();
        assert_eq!(alive.len(), page.runs.len());
        assert_eq!(found.len(), page.runs.len() + 1, "one run was deleted");
        for ((id, run), info) in alive.into_iter().zip(&page.runs) {
            assert_eq!((id, run.version, run.time), (info.id.as_bytes(), info.version.0, info.timestamp.0));
            assert_eq!(run.status, Some(status_code(info.status)));
            assert_eq!((&run.name, &run.tags), (&info.name, &info.tags));
            assert_eq!(run.retention, info.retention.map(|kept| (2, last_kept(kept))));
            compare_content(&database, info.id, run);
        }
        database.close().unwrap();
    }
}

fn last_kept(retention: Retention) -> u64 {
    match retention {
        Retention::KeepLast(count) => count,
        other => panic!("nobody asked to {other}"),
    }
}

/// Writes at least one of everything that a record can hold.
fn work(database: &Database) {
    let spec = RunSpec { tags: vec!["trip".into()], metadata: Value::from("m"), ..RunSpec::named("oslo") };
    let run = database.create_run(spec).unwrap();
    for (key, value) in values() {
        run.put(key, value).unwrap();
    }
    run.put("doomed", 1).unwrap();
    run.put_with_ttl("later", "expires one day", Duration::from_secs(86_400)).unwrap();
    run.clear_deadline("later").unwrap();
    run.with_operation_id(OperationId([7; 16]))
        .with_cause(Cause::Note("asked".into()))
        .increment("n", 5)
        .unwrap();
    run.with_cause(Cause::Commit { run: run.id(), version: strata::Version(1) }).delete("doomed").unwrap();
    for step in 0..100 {
        run.append(if step % 2 == 0 { "even" } else { "odd" }, step).unwrap();
    }
    let mut batch = run.batch();
    batch.put("both", true).unwrap().append("even", "and an event").unwrap();
    run.with_operation_id(OperationId([8; 16])).commit(batch).unwrap();
    run.cell_init("phase", "asked").unwrap();
    run.cell_set("phase", "booked").unwrap();
    run.cell_set("lock", 1).unwrap();
    run.cell_delete("lock").unwrap();
    run.put("secret", "of one who wants to be forgotten").unwrap();
    run.erase(&EntityRef::kv(run.id(), "secret"), ErasedVersions::All, "asked").unwrap().unwrap();
    work_on_documents_and_traces(&run);
    run.set_tags(["trip", "north"]).unwrap();
    run.set_metadata(Value::from(3)).unwrap();
    run.set_retention(Retention::KeepLast(100)).unwrap();
    for step in 0..200 {
        run.put("counted", step).unwrap();
    }
    // Larger than a usual batch, and than the first segment.
    run.put("large", Value::Bytes(vec![0xA5; 700_000])).unwrap();

    let other = database.begin_run(RunSpec::default()).unwrap();
    other.put("k", "v").unwrap();
    other.end(RunStatus::Completed).unwrap();
    let deleted = database.begin_run(RunSpec::named("gone")).unwrap();
    deleted.put("k", "v").unwrap();
    deleted.delete_run().unwrap();
    database.sync().unwrap();
}

fn work_on_documents_and_traces(run: &RunHandle) {
    run.json_create("trip", parse_json(r#"{"a/b": [1, 2], "c": {"d": null}}"#).unwrap()).unwrap();
    run.json_set("trip", "/a~1b/1", 3).unwrap();
    run.json_append("trip", "/a~1b", "x").unwrap();
    run.json_delete("trip", "/a~1b/0").unwrap();
    run.json_merge("trip", "/c", parse_json(r#"{"d": null, "e": 1}"#).unwrap()).unwrap();
    run.json_create("gone", 1).unwrap();
    run.json_destroy("gone").unwrap();
    let call = TraceContent::ToolCall { name: "find".into(), arguments: 1.into(), result: None, error: None };
    let (parent, _) = run.trace_begin(NewTrace { tags: vec!["t".into()], ..new_trace(call) }).unwrap();
    let thought = TraceContent::Thought { text: "cheap".into(), confidence: Some(0.5) };
    run.trace_record(NewTrace { parent: Some(parent), ..new_trace(thought) }).unwrap();
    run.trace_end(parent, TraceEnd { result: Some(2.into()), ..TraceEnd::default() }).unwrap();
}

fn values() -> Vec<(&'static str, Value)> {
    let object = vec![("b".to_string(), Value::Int(1)), ("a".to_string(), Value::Array(vec![Value::Null]))];
    vec![
        ("null", Value::Null),
        ("false", Value::Bool(false)),
        ("true", Value::Bool(true)),
        ("int", Value::Int(-7)),
        ("float", Value::Float(-2.5)),
        ("nan", Value::Float(f64::NAN)),
        ("string", Value::from("é")),
        ("bytes", Value::Bytes(vec![0, 255])),
        ("object", Value::Object(object)),
    ]
}

fn compare_content(database: &Database, id: RunId, run: &Run) {
    let handle = database.run(id);
    let page = handle.list_values(&KvScan::default()).unwrap();
    let listed: Vec<_> = page.items.iter().map(|(key, value)| (key.clone(), value.value.clone())).collect();
    let read: Vec<_> = run.keys.clone().into_iter().collect();
    assert_eq!(read, listed);
    let page = handle.events(0, 1000, Direction::Forward).unwrap();
    let listed: Vec<_> = page.events.into_iter().map(|event| (event.kind, event.payload)).collect();
    assert_eq!(run.events, listed);
    let page = handle.cell_list(&KvScan::default()).unwrap();
    let listed: BTreeMap<_, _> = page.items.into_iter().map(|(name, found)| (name, found.value)).collect();
    assert_eq!(run.cells, listed);
    let names = handle.json_list(&KvScan::default()).unwrap().keys;
    let document = |name: &String| handle.json_get(name, "").unwrap().unwrap().value;
    let listed: BTreeMap<_, _> = names.into_iter().map(|name| (name.clone(), document(&name))).collect();
    assert_eq!(run.documents, listed);
    let page = handle.trace_list(&TraceFilter::default(), None, 100, Direction::Forward).unwrap();
    assert_eq!(run.traces.len(), page.traces.len());
    for trace in page.traces {
        let read = &run.traces[trace.id.as_bytes()];
        assert_eq!(read.parent.as_ref(), trace.parent.as_ref().map(|parent| parent.as_bytes()));
        assert_eq!((&*read.kind, &read.tags), (trace.content.kind(), &trace.tags));
        assert_eq!((read.began, read.ended), (trace.began.0, trace.ended.map(|ended| ended.0)));
        assert_eq!(read.tool_result(), tool_result(&trace.content));
    }
}

fn tool_result(content: &TraceContent) -> Option<&Value> {
    if let TraceContent::ToolCall { result, .. } = content { result.as_ref() } else { None }
}

fn status_code(status: RunStatus) -> u8 {
    match status {
        RunStatus::Active => 1,
        RunStatus::Completed => 2,
        RunStatus::Failed => 3,
        RunStatus::Cancelled => 4,
        RunStatus::Paused => 5,
        RunStatus::Archived => 6,
    }
}

// From here on the reader: nothing of the engine but `Value`, to compare with.

/// What a run remembers, as far as its content is compared.
#[derive(Default)]
struct Run {
    version: u64,
    time: u64,
    name: Option<String>,
    tags: Vec<String>,
    status: Option<u8>,
    keys: BTreeMap<String, Value>,
    cells: BTreeMap<String, Value>,
    documents: BTreeMap<String, Value>,
    traces: BTreeMap<[u8; 16], Trace>,
    events: Vec<(String, Value)>,
    /// Log and LSN of the newest record.
    place: (u32, u64),
    /// The first record, and every milestone, by number.
    milestones: Vec<(u64, (u32, u64))>,
    /// Tag and number of what the run says of the history that is kept.
    retention: Option<(u8, u64)>,
}

struct Trace {
    parent: Option<[u8; 16]>,
    kind: String,
    tags: Vec<String>,
    body: Value,
    began: u64,
    ended: Option<u64>,
}

impl Trace {
    fn tool_result(&self) -> Option<&Value> {
        self.body.get("gen_ai.tool.call.result")
    }
}

const BLOCK: usize = 4096;
const SLOT: usize = 16_384;

fn read_store(path: &Path) -> BTreeMap<[u8; 16], Run> {
    let manifest = fs::read(path.join("MANIFEST")).unwrap();
    let slots = [&manifest[..SLOT], &manifest[SLOT..]];
    let whole = slots
        .into_iter()
        .filter(|slot| &slot[..8] == b"STRATAMF" && u32_at(slot, 8) == crc32(0, &slot[12..]));
    let slot = whole.max_by_key(|slot| u64_at(slot, 16)).expect("one slot of MANIFEST is whole");
    assert_eq!((u32_at(slot, 12), u32_at(slot, 64), u32_at(slot, 68)), (2, 0, 1), "version, codec, closed");
    let store = &slot[24..40];
    let mut runs = BTreeMap::new();
    for index in 0..u32_at(slot, 72) {
        let begin = 88 + 120 * index as usize;
        let entry: Vec<u64> = (0..15).map(|field| u64_at(slot, begin + 8 * field)).collect();
        let end = read_log(path, store, u32_at(slot, 80) + index, &entry, &mut runs);
        assert_eq!(end, (entry[7], entry[8]), "the log ends where MANIFEST says");
    }
    runs
}

/// Reads the segments of one log; returns the LSN and the chain of its end.
fn read_log(
    path: &Path,
    store: &[u8],
    log: u32,
    entry: &[u64],
    runs: &mut BTreeMap<[u8; 16], Run>,
) -> (u64, u64) {
    let (mut end, mut chain) = (entry[2], entry[3]);
    for number in entry[0]..=entry[1] {
        let segment = fs::read(path.join(format!("WAL/{log:03}-{number:010}.seg"))).unwrap();
        let mut header = segment[..BLOCK].to_vec();
        header[12..16].fill(0);
        assert_eq!((&segment[..8], u32_at(&segment, 12)), (&b"STRATASG"[..], crc32(0, &header)));
        assert_eq!((u32_at(&segment, 8), &segment[16..32], u32_at(&segment, 32)), (1, store, log));
        assert_eq!((u64_at(&segment, 40), u64_at(&segment, 48)), (number, segment.len() as u64));
        let seed = crc32(crc32(0, store), &number.to_le_bytes());
        let mut offset = BLOCK;
        loop {
            let lsn = u64_at(&segment, 56) + offset as u64;
            let previous = if offset == BLOCK { mix(chain ^ u64_at(&segment, 64)) } else { chain };
            match batch_at(&segment, offset, seed, lsn, number, previous) {
                Some(length) => {
                    chain = u64_at(&segment, offset + 32);
                    read_batch(&segment[offset..offset + length], log, lsn, runs);
                    offset += length;
                    end = lsn + length as u64;
                }
                None if offset.is_multiple_of(BLOCK) => break,
                None => offset = offset.next_multiple_of(BLOCK),
            }
        }
    }
    (end, chain)
}

/// The length of the batch at a place, if one is there that continues the chain.
fn batch_at(segment: &[u8], offset: usize, seed: u32, lsn: u64, number: u64, previous: u64) -> Option<usize> {
    let header = segment.get(offset..offset + 64)?;
    if &header[..8] != b"STRATABA" || u32_at(header, 8) != crc32(seed, &header[12..]) {
        return None;
    }
    assert_eq!((u64_at(header, 16), u64_at(header, 24)), (lsn, number));
    assert!(u64_at(header, 40) <= lsn, "only what lies before a batch can be durable when it is sealed");
    let length = u32_at(header, 48) as usize;
    let checksum = crc32(seed, segment.get(offset + 64..offset + length)?);
    assert_eq!(u32_at(header, 12), checksum);
    let chain = mix(mix(previous) ^ u64::from(checksum) << 32 ^ lsn);
    (u64_at(header, 32) == chain).then_some(length)
}

fn read_batch(batch: &[u8], log: u32, lsn: u64, runs: &mut BTreeMap<[u8; 16], Run>) {
    let mut at = 64;
    for _ in 0..u32_at(batch, 52) {
        let size = u32_at(batch, at) as usize;
        let body = &batch[at + 16..at + 16 + size];
        let kind = batch[at + 8];
        let checksum = crc32(crc32(crc32(0, &[kind]), &batch[at..at + 4]), body);
        assert_eq!(u32_at(batch, at + 4), checksum);
        assert!([1, 2, 4, 5, 6].contains(&kind));
        read_record(body, kind, (log, lsn + at as u64), runs);
        at += (16 + size).next_multiple_of(8);
    }
    assert_eq!(at, batch.len());
}

fn read_record(body: &[u8], kind: u8, place: (u32, u64), runs: &mut BTreeMap<[u8; 16], Run>) {
    let run = runs.entry(body[8..24].try_into().unwrap()).or_default();
    assert_eq!(u64_at(body, 24), run.version + 1, "commits are numbered without gaps");
    assert_eq!((u32_at(body, 40), u64_at(body, 48)), run.place, "the previous record of the run");
    assert!(u64_at(body, 32) >= run.time, "time never decreases inside a run");
    assert!([2, 3].contains(&body[0]), "buffered or strict");
    let before = std::mem::replace(&mut run.version, u64_at(body, 24));
    (run.time, run.place) = (u64_at(body, 32), place);
    let is_milestone = before > 0 && run.version / 64 > before / 64;
    let mut has_milestone = false;
    let mut rest = Fields(&body[56..]);
    for _ in 0..body[1] {
        let (tag, size) = (rest.u16(), {
            rest.u16();
            rest.u32()
        });
        let mut section = Fields(rest.take(size as usize));
        match tag {
            1 => section.skip_cause(),
            2 => section.skip_operation(),
            3 => {
                has_milestone = true;
                section.milestone(run);
            }
            other => panic!("a section {other}"),
        }
        assert!(section.0.is_empty());
    }
    assert_eq!(has_milestone, is_milestone, "the first of every 64 commits is a milestone");
    if before == 0 || is_milestone {
        run.milestones.push((run.milestones.len() as u64, place));
    }
    for index in 0..u32_at(body, 4) {
        let tag = rest.u8();
        assert!(
            index > 0
                || (tag == 5) == (kind == 2) && (tag == 10) == (kind == 5) && (tag == 17) == (kind == 4),
            "kind {kind}, mutation {tag}"
        );
        rest.mutation(tag, run);
    }
    assert!(rest.0.is_empty());
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, size: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(size);
        self.0 = rest;
        head
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32_at(self.take(4), 0)
    }

    fn u64(&mut self) -> u64 {
        u64_at(self.take(8), 0)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let size = self.u32();
        self.take(size as usize)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.u32()).map(|_| self.text()).collect()
    }

    fn whole_value(&mut self) -> Value {
        let mut content = Fields(self.bytes());
        let value = content.value();
        assert!(content.0.is_empty());
        value
    }

    fn mutation(&mut self, tag: u8, run: &mut Run) {
        if tag == 13 {
            return self.trace(run);
        }
        let first = self.u64(); // the previous version, or the sequence of an event
        match tag {
            1 => {
                self.u64();
                let key = self.text();
                run.keys.insert(key, self.whole_value());
            }
            2 => assert!(run.keys.remove(&self.text()).is_some()),
            3 => {
                self.u64();
                assert!(run.keys.contains_key(&self.text()));
            }
            4 => {
                assert_eq!(first, run.events.len() as u64, "sequences have no gaps");
                self.take(16 + 32);
                let kind = self.text();
                run.events.push((kind, self.whole_value()));
            }
            5 => self.description(run),
            6 => assert!(self.u64() > 0, "boots are counted from one"),
            7 => run.status = Some(self.u8()),
            8 => run.tags = self.texts(),
            9 => drop(self.whole_value()),
            10 => {
                let milestones = std::mem::take(&mut run.milestones);
                *run = Run {
                    version: run.version,
                    time: run.time,
                    place: run.place,
                    milestones,
                    ..Run::default()
                };
            }
            11 => {
                self.u64();
                let name = self.text();
                run.cells.insert(name, self.whole_value());
            }
            12 => assert!(run.cells.remove(&self.text()).is_some()),
            14 => {
                let trace = run.traces.get_mut(self.take(16)).unwrap();
                (trace.ended, trace.body) = (Some(self.u64()), self.whole_value());
            }
            15 => self.json_write(run),
            17 => {
                run.retention = (self.u8() == 1).then(|| match self.u8() {
                    1 => (1, 0),
                    tag => (tag, self.u64()),
                });
            }
            16 => assert!(run.documents.remove(&self.text()).is_some()),
            19 => {
                let through = self.u64();
                assert!(1 <= first && first <= through && through < run.version);
                assert_eq!(self.u8(), 2, "a key");
                self.take(16);
                let key = self.text();
                run.keys.insert(key, Value::Erased);
                assert_eq!(self.text(), "asked");
            }
            other => panic!("a mutation {other}"),
        }
    }

    fn milestone(&mut self, run: &Run) {
        let number = run.milestones.len() as u64;
        let (near, far) = ((self.u32(), self.u64()), (self.u32(), self.u64()));
        assert_eq!(Some(near), run.milestones.last().map(|(_, place)| *place));
        let without_lowest_bit = number - (1 << number.trailing_zeros());
        let newest = run.milestones.iter().rev().find(|(earlier, _)| *earlier <= without_lowest_bit);
        assert_eq!(Some(far), newest.map(|(_, place)| *place));
    }

    fn trace(&mut self, run: &mut Run) {
        let id = self.take(16).try_into().unwrap();
        let parent = (self.u8() == 1).then(|| self.take(16).try_into().unwrap());
        let (kind, tags, body) = (self.text(), self.texts(), self.whole_value());
        let (began, ended) = (self.u64(), (self.u8() == 1).then(|| self.u64()));
        assert!(run.traces.insert(id, Trace { parent, kind, tags, body, began, ended }).is_none());
    }

    fn json_write(&mut self, run: &mut Run) {
        let (name, tag) = (self.text(), self.u8());
        let path = if tag == 1 { String::new() } else { self.text() };
        let value = (tag != 4).then(|| self.whole_value());
        json_write::apply(run.documents.entry(name).or_default(), tag, &path, value);
    }

    fn description(&mut self, run: &mut Run) {
        run.name = (self.u8() == 1).then(|| self.text());
        let _namespace = (self.text(), self.text(), self.text());
        let _parent = (self.u8() == 1).then(|| self.take(16));
        run.tags = self.texts();
        self.whole_value();
        run.status = Some(self.u8());
        let (_created, _boot, durability) = (self.u64(), self.u64(), self.u8());
        assert!(durability <= 3);
    }

    fn value(&mut self) -> Value {
        match self.u8() {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(self.u64() as i64),
            4 => Value::Float(f64::from_bits(self.u64())),
            5 => Value::String(self.text()),
            6 => Value::Bytes(self.bytes().to_vec()),
            7 => Value::Array((0..self.u32()).map(|_| self.value()).collect()),
            8 => Value::Object((0..self.u32()).map(|_| (self.text(), self.value())).collect()),
            9 => Value::Erased,
            other => panic!("a value {other}"),
        }
    }

    fn skip_cause(&mut self) {
        match self.u8() {
            1 => {}
            2 => assert_eq!(self.text(), "asked"),
            3 => drop(self.take(16 + 8)),
            other => panic!("a cause {other}"),
        }
    }

    fn skip_operation(&mut self) {
        assert!([[7; 16], [8; 16]].contains(&self.take(16).try_into().unwrap()));
        self.take(8); // the fingerprint
        while !self.0.is_empty() {
            match self.u8() {
                0 => {}
                1 => drop((self.u64(), self.u64())),
                2 | 3 => drop(self.u64()),
                4 => assert!(self.u8() <= 1),
                other => panic!("an effect {other}"),
            }
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// CRC-32 that goes on from `seed`, a bit at a time: slow and short.
fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let mut register = !seed;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = (register >> 1) ^ (0xEDB8_8320 & (register & 1).wrapping_neg());
        }
    }
    !register
}
