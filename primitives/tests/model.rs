//! Random histories against plain maps and lists; a failure prints the history, shrunk.
mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use strata_primitives::*;
use support::history::retention;
use support::{Driver, append, list, put, trace_id};

/// What a run should remember, in the plainest form.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    kv: BTreeMap<String, (i64, Option<u64>)>,
    /// Every event that was ever appended, with its time, and how many of them were removed.
    events: Vec<(String, i64, u64)>,
    removed: usize,
    kept: Option<Retention>,
    /// Every trace that was ever recorded, with its parent, whether it is open and its time, and how many of them were removed.
    traces: Vec<(u64, Option<u64>, bool, u64)>,
    removed_traces: usize,
    kept_traces: Option<Retention>,
}

#[derive(Debug, Clone)]
enum Step {
    Put { key: u8, value: i64, ttl: Option<u64> },
    PutIfAbsent { key: u8, value: i64 },
    Delete { key: u8 },
    DeletePrefix { prefix: u8 },
    Increment { key: u8, by: i64 },
    SetDeadline { key: u8, ttl: u64 },
    ClearDeadline { key: u8 },
    Expire,
    Append { kind: u8, payload: i64 },
    KeepEvents { retention: Option<Retention> },
    KeepTraces { retention: Option<Retention> },
    Begin { id: u64, parent: Option<u64> },
    End { id: u64 },
    Recreate,
}

fn name(key: u8) -> String {
    format!("{}/{}", key / 4, key % 4)
}

impl Step {
    fn operations(&self, now: u64) -> Vec<Operation> {
        let at = |ttl: u64| Deadline::At(Timestamp(now + ttl));
        vec![match *self {
            Step::Put { key, value, ttl } => put(&name(key), value, ttl.map_or(Deadline::None, at)),
            Step::PutIfAbsent { key, value } => Operation::KvPutIf {
                key: name(key).into(),
                value: Encoded::from_int(value),
                deadline: Deadline::None,
                expected: Version::NEVER,
            },
            Step::Delete { key } => Operation::KvDelete { key: name(key).into() },
            Step::DeletePrefix { prefix } => {
                Operation::KvDeletePrefix { prefix: format!("{prefix}/").into() }
            }
            Step::Increment { key, by } => Operation::KvIncrement { key: name(key).into(), by },
            Step::SetDeadline { key, ttl } => {
                Operation::KvSetDeadline { key: name(key).into(), deadline: at(ttl) }
            }
            Step::ClearDeadline { key } => Operation::KvClearDeadline { key: name(key).into() },
            Step::Expire => Operation::Expire { limit: 3 },
            Step::Append { kind, payload } => append(&format!("kind{kind}"), payload),
            Step::KeepEvents { retention } => Operation::RunSetEventRetention { retention },
            Step::KeepTraces { retention } => Operation::RunSetTraceRetention { retention },
            Step::Begin { id, parent } => {
                let content = TraceContent::Custom { kind: "step".into(), content: Value::Null };
                let new = NewTrace { parent: parent.map(trace_id), ..NewTrace::new(trace_id(id), content) };
                Operation::TraceBegin { trace: Box::new(new) }
            }
            Step::End { id } => Operation::TraceEnd { id: trace_id(id), end: Box::default() },
            Step::Recreate => {
                return vec![Operation::RunDelete, Operation::RunCreate { spec: Box::default() }];
            }
        }]
    }
}

impl Model {
    fn live(&self, key: &str, now: u64) -> Option<(i64, Option<u64>)> {
        self.kv.get(key).copied().filter(|(_, deadline)| deadline.is_none_or(|deadline| deadline > now))
    }

    fn live_keys(&self, prefix: &str, now: u64) -> Vec<String> {
        let is_wanted = |key: &&String| key.starts_with(prefix) && self.live(key, now).is_some();
        self.kv.keys().filter(is_wanted).cloned().collect()
    }

    fn kept_traces(&self) -> &[(u64, Option<u64>, bool, u64)] {
        &self.traces[self.removed_traces..]
    }

    /// What a commit of these steps removes at its end.
    fn trim(&mut self, steps: &[Step], now: u64) {
        let is_about_events = |step: &Step| matches!(step, Step::Append { .. } | Step::KeepEvents { .. });
        if steps.iter().any(is_about_events) {
            let times = self.events.iter().map(|(_, _, time)| *time).collect();
            self.removed = removed(self.removed, self.kept, times, now);
        }
        let is_about_traces = |step: &Step| matches!(step, Step::Begin { .. } | Step::KeepTraces { .. });
        if steps.iter().any(is_about_traces) {
            let times = self.traces.iter().map(|trace| trace.3).collect();
            self.removed_traces = removed(self.removed_traces, self.kept_traces, times, now);
        }
    }

    /// Does the step; false when it must be refused.
    fn take(&mut self, step: &Step, now: u64) -> bool {
        match *step {
            Step::Put { key, value, ttl } => {
                self.kv.insert(name(key), (value, ttl.map(|ttl| now + ttl)));
            }
            Step::PutIfAbsent { key, value } => {
                if self.live(&name(key), now).is_some() {
                    return false;
                }
                self.kv.insert(name(key), (value, None));
            }
            Step::Delete { key } => {
                if self.live(&name(key), now).is_some() {
                    self.kv.remove(&name(key));
                }
            }
            Step::DeletePrefix { prefix } => {
                for key in self.live_keys(&format!("{prefix}/"), now) {
                    self.kv.remove(&key);
                }
            }
            Step::Increment { key, by } => {
                let (value, deadline) = self.live(&name(key), now).unwrap_or_default();
                let Some(sum) = value.checked_add(by) else { return false };
                self.kv.insert(name(key), (sum, deadline));
            }
            Step::SetDeadline { key, ttl } => {
                if let Some((value, _)) = self.live(&name(key), now) {
                    self.kv.insert(name(key), (value, Some(now + ttl)));
                }
            }
            Step::ClearDeadline { key } => {
                if let Some((value, _)) = self.live(&name(key), now) {
                    self.kv.insert(name(key), (value, None));
                }
            }
            // What the cleaner takes is invisible to every live read already.
            Step::Expire => {}
            Step::Append { kind, payload } => self.events.push((format!("kind{kind}"), payload, now)),
            Step::KeepEvents { retention } => self.kept = retention,
            Step::KeepTraces { retention } => self.kept_traces = retention,
            Step::Begin { id, parent } => {
                let is_there = |id| self.kept_traces().iter().any(|trace| trace.0 == id);
                let is_whole = self.removed_traces == 0;
                if is_there(id)
                    || parent == Some(id)
                    || parent.is_some_and(|parent| is_whole && !is_there(parent))
                {
                    return false;
                }
                self.traces.push((id, parent, true, now));
            }
            Step::End { id } => {
                let mut kept = self.traces[self.removed_traces..].iter_mut();
                let Some(trace) = kept.find(|trace| trace.0 == id) else { return false };
                return std::mem::replace(&mut trace.2, false);
            }
            Step::Recreate => *self = Model::default(),
        }
        true
    }
}

/// How many entries with these times are removed, of which so many were before.
fn removed(before: usize, kept: Option<Retention>, times: Vec<u64>, now: u64) -> usize {
    let kept = match kept {
        None | Some(Retention::KeepAll) => return before,
        Some(Retention::KeepLast(count)) => count as usize,
        Some(Retention::KeepFor(duration)) => {
            let since = now.saturating_sub(duration.as_micros() as u64);
            times.iter().filter(|time| **time >= since).count()
        }
    };
    before.max(times.len().saturating_sub(kept))
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..12u8;
    prop_oneof![
        6 => (key(), any::<i64>(), proptest::option::of(1..40u64))
            .prop_map(|(key, value, ttl)| Step::Put { key, value, ttl }),
        2 => (key(), any::<i64>()).prop_map(|(key, value)| Step::PutIfAbsent { key, value }),
        3 => key().prop_map(|key| Step::Delete { key }),
        1 => (0..3u8).prop_map(|prefix| Step::DeletePrefix { prefix }),
        3 => (key(), any::<i64>()).prop_map(|(key, by)| Step::Increment { key, by }),
        2 => (key(), 1..40u64).prop_map(|(key, ttl)| Step::SetDeadline { key, ttl }),
        1 => key().prop_map(|key| Step::ClearDeadline { key }),
        1 => Just(Step::Expire),
        4 => (0..3u8, any::<i64>()).prop_map(|(kind, payload)| Step::Append { kind, payload }),
        1 => proptest::option::weighted(0.9, retention())
            .prop_map(|retention| Step::KeepEvents { retention }),
        1 => proptest::option::weighted(0.9, retention())
            .prop_map(|retention| Step::KeepTraces { retention }),
        4 => (0..60u64, proptest::option::weighted(0.3, 0..60u64))
            .prop_map(|(id, parent)| Step::Begin { id, parent }),
        1 => (0..60u64).prop_map(|id| Step::End { id }),
        1 => Just(Step::Recreate),
    ]
}

/// Batches of steps, each after some time.
fn history() -> impl Strategy<Value = Vec<(u64, Vec<Step>)>> {
    proptest::collection::vec((0..20u64, proptest::collection::vec(step(), 1..5)), 1..30)
}

fn integer_of(item: &KvItem) -> i64 {
    item.value.as_ref().and_then(Encoded::as_int).expect("every value is a number")
}

fn assert_reads_agree(driver: &mut Driver, model: &Model) -> Result<(), TestCaseError> {
    let now = driver.now;
    for prefix in ["", "1/"] {
        let keys = model.live_keys(prefix, now);
        prop_assert_eq!(driver.count(prefix), keys.len() as u64);
        let Outcome::Page(page) = driver.read(list(prefix, None, 100, Direction::Forward)) else {
            panic!("a list answers with a page")
        };
        let found: Vec<_> = page.items.iter().map(|item| (item.key.to_string(), integer_of(item))).collect();
        let expected: Vec<_> = keys.into_iter().map(|key| (key.clone(), model.kv[&key].0)).collect();
        prop_assert_eq!(found, expected);
    }
    for key in 0..12 {
        prop_assert_eq!(driver.get(&name(key)), model.live(&name(key), now).map(|(value, _)| value));
    }
    let all = Operation::EventRange { start: None, limit: 1000, direction: Direction::Forward };
    let Outcome::Events(page) = driver.read(all) else { panic!("a range answers with events") };
    let found: Vec<_> =
        page.events.iter().map(|event| (event.kind.to_string(), event.payload.as_int().unwrap())).collect();
    let kept = model.events[model.removed..].iter().map(|(kind, payload, _)| (kind.clone(), *payload));
    prop_assert_eq!(found, Vec::from_iter(kept));
    let Outcome::Chain(report) = driver.read(Operation::EventVerifyChain) else { panic!("a report") };
    let (first, length) = (model.removed as u64, model.events.len() as u64);
    prop_assert_eq!((report.valid, report.first, report.length), (true, first, length));
    assert_events_agree(driver, model)?;
    assert_traces_agree(driver, model)
}

fn assert_events_agree(driver: &mut Driver, model: &Model) -> Result<(), TestCaseError> {
    let (first, count) = (model.removed as u64, model.events.len() as u64);
    prop_assert!(matches!(driver.read(Operation::EventFirst), Outcome::Count(found) if found.value == first));
    for sequence in 0..count + 2 {
        match driver.try_one(Operation::EventRead { sequence }) {
            Err(error) => {
                prop_assert!(sequence < first, "{}", error);
                prop_assert_eq!(error.kind(), ErrorKind::HistoryTrimmed);
                prop_assert!(error.message().ends_with(&format!("the earliest is {first}")), "{}", error);
            }
            Ok((_, Answer::Read(Outcome::Event(event)))) => {
                let expected = Some(sequence).filter(|sequence| (first..count).contains(sequence));
                prop_assert_eq!(event.map(|event| event.sequence), expected);
            }
            other => panic!("{other:?} is no event"),
        }
    }
    for (kind, start) in [("kind0", 0), ("kind1", count / 2)] {
        let is_of = |place: &u64| model.events[*place as usize].0 == kind;
        let Outcome::Count(len) = driver.read(Operation::EventLen { kind: Some(kind.into()) }) else {
            panic!()
        };
        prop_assert_eq!(len.value, (0..count).filter(is_of).count() as u64, "all that ever were");
        for (direction, sequences) in [
            (Direction::Forward, Vec::from_iter((start.max(first)..count).filter(is_of))),
            (Direction::Reverse, Vec::from_iter((first..count.min(start + 1)).rev().filter(is_of))),
        ] {
            let page = Operation::EventByType { kind: kind.into(), start: Some(start), limit: 2, direction };
            match driver.try_one(page) {
                Ok((_, Answer::Read(Outcome::Events(page)))) => {
                    let found = Vec::from_iter(page.events.iter().map(|event| event.sequence));
                    prop_assert_eq!(&found[..], &sequences[..found.len()]);
                    prop_assert_eq!(page.next, sequences.get(2).copied());
                    prop_assert_eq!(found.len(), sequences.len().min(2));
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::HistoryTrimmed);
                    prop_assert!(start < first && (start > 0 || direction == Direction::Reverse));
                }
                other => panic!("{other:?} is no page"),
            }
        }
    }
    Ok(())
}

fn assert_traces_agree(driver: &mut Driver, model: &Model) -> Result<(), TestCaseError> {
    for direction in [Direction::Forward, Direction::Reverse] {
        for parent in [None, Some(1)] {
            let filter = TraceFilter { parent: parent.map(trace_id), ..TraceFilter::default() };
            let all = Operation::TraceList { filter: Box::new(filter), start: None, limit: 1000, direction };
            let Outcome::Traces(page) = driver.read(all) else { panic!("a list answers with traces") };
            let found = page.traces.iter().map(|trace| (trace.id, trace.parent, trace.is_open()));
            let wanted = model.kept_traces().iter().filter(|trace| parent.is_none() || trace.1 == parent);
            let expected = wanted.map(|(id, parent, open, _)| (trace_id(*id), parent.map(trace_id), *open));
            match direction {
                Direction::Forward => prop_assert!(found.eq(expected)),
                Direction::Reverse => prop_assert!(found.rev().eq(expected)),
            }
        }
    }
    let (first, count) = (model.removed_traces as u64, model.traces.len() as u64);
    for (expected, count) in
        [(first, Operation::TraceFirst), (count, Operation::TraceCount { kind: Some("step".into()) })]
    {
        prop_assert!(matches!(driver.read(count), Outcome::Count(found) if found.value == expected));
    }
    for start in [0, 1, count / 2, count] {
        for direction in [Direction::Forward, Direction::Reverse] {
            let page =
                Operation::TraceList { filter: Box::default(), start: Some(start), limit: 2, direction };
            let places = match direction {
                Direction::Forward => Vec::from_iter(start.max(first)..count),
                Direction::Reverse => Vec::from_iter((first..count.min(start + 1)).rev()),
            };
            match driver.try_one(page) {
                Ok((_, Answer::Read(Outcome::Traces(page)))) => {
                    let expected = places.iter().map(|place| trace_id(model.traces[*place as usize].0));
                    prop_assert!(page.traces.iter().map(|trace| trace.id).eq(expected.take(2)));
                    prop_assert_eq!(page.next, places.get(2).copied());
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::HistoryTrimmed);
                    prop_assert!(start < first && (start > 0 || direction == Direction::Reverse));
                    prop_assert!(error.message().ends_with(&format!("the earliest is {first}")), "{}", error);
                }
                other => panic!("{other:?} is no page"),
            }
        }
    }
    let is_there = |id| model.kept_traces().iter().any(|trace| trace.0 == id);
    for id in 0..60 {
        match driver.try_one(Operation::TraceGet { id: trace_id(id) }) {
            Ok((_, Answer::Read(Outcome::Trace(found)))) => {
                prop_assert_eq!(found.map(|trace| trace.id), Some(trace_id(id)).filter(|_| is_there(id)));
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::HistoryTrimmed);
                prop_assert!(first > 0 && !is_there(id));
            }
            other => panic!("{other:?} is no trace"),
        }
    }
    let tree = Operation::TraceTree { id: trace_id(1), limit: 1000 };
    if first > 0 && !is_there(1) {
        prop_assert_eq!(driver.refusal(tree).kind(), ErrorKind::HistoryTrimmed);
        return Ok(());
    }
    let Outcome::Traces(page) = driver.read(tree) else { panic!("a tree answers with traces") };
    let mut below = vec![];
    for (id, parent, ..) in model.kept_traces() {
        if *id == 1 || parent.is_some_and(|parent| below.contains(&trace_id(parent))) {
            below.push(trace_id(*id));
        }
    }
    prop_assert_eq!(page.traces.iter().map(|trace| trace.id).collect::<Vec<_>>(), below);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_run_behaves_like_plain_maps_and_lists(history in history()) {
        let mut driver = Driver::created();
        let mut model = Model::default();
        for (pause, steps) in history {
            driver.now += pause;
            let now = driver.now;
            let mut expected = model.clone();
            let is_accepted = steps.iter().all(|step| expected.take(step, now));
            // What a deletion takes away is not removed from what comes behind it.
            let last_life = steps.rsplit(|step| matches!(step, Step::Recreate)).next().unwrap_or_default();
            expected.trim(last_life, now);
            let operations = steps.iter().flat_map(|step| step.operations(now)).collect();
            let before = driver.state.version();
            match driver.batch(operations) {
                Ok((stamp, _)) => {
                    prop_assert!(is_accepted);
                    prop_assert_eq!(driver.state.version().0, before.0 + u64::from(stamp.is_some()));
                    model = expected;
                }
                Err(error) => {
                    prop_assert!(!is_accepted, "{}", error);
                    prop_assert_eq!(driver.state.version(), before, "a refused batch leaves nothing");
                }
            }
            assert_reads_agree(&mut driver, &model)?;
        }
    }

    #[test]
    fn reverting_a_commit_leaves_the_run_as_it_was(history in history(), ordered in any::<bool>()) {
        let (mut driver, mut twin) = (Driver::created(), Driver::created());
        if ordered {
            twin.state.ensure_order(OrderIndex::Keys(KeyKind::Kv));
        }
        for (pause, steps) in history {
            driver.now += pause;
            let operations: Vec<_> = steps.iter().flat_map(|step| step.operations(driver.now)).collect();
            let context = driver.context();
            let mut draft = Draft::new(driver.state.view());
            let result: Result<Vec<_>, _> = operations
                .into_iter()
                .map(|operation| validate(operation, &mut draft, &context, &driver.limits))
                .collect();
            trim_entries(&mut draft, &context, &EntryRetention::default());
            let mutations = draft.into_mutations();
            if result.is_err() || mutations.is_empty() {
                continue;
            }
            let before = Stamp { version: driver.state.version(), timestamp: driver.state.timestamp() };
            let stamp = Stamp { version: before.version.next(), timestamp: context.now };
            let replaced: Vec<_> = mutations.iter().map(|mutation| twin.state.apply(mutation.clone(), stamp)).collect();
            twin.state.commit(stamp);
            twin.state.restore_stamp(before);
            replaced.into_iter().rev().for_each(|replaced| twin.state.revert(replaced));
            prop_assert!(twin.state.same_state(&driver.state));
            for state in [&mut driver.state, &mut twin.state] {
                for mutation in mutations.clone() {
                    let _ = state.apply(mutation, stamp);
                }
                state.commit(stamp);
            }
            prop_assert!(twin.state.same_state(&driver.state), "the same commit leads to the same run");
        }
    }

    #[test]
    fn random_bytes_are_decoded_or_refused_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), tag in 0..28u8) {
        let tagged = [&[tag][..], &bytes].concat();
        for bytes in [&bytes, &tagged] {
            let mut input = &bytes[..];
            if let Ok(mutation) = Mutation::decode(&mut input) {
                let mut again = Vec::new();
                mutation.encode(&mut again);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - input.len()], "what is accepted is canonical");
            }
            let _ = Cause::decode(&mut &bytes[..]);
            let _ = Effect::decode(&mut &bytes[..]);
            let _ = EntityRef::decode(&mut &bytes[..]);
            let _ = Encoded::from_canonical(bytes).to_value();
        }
    }

    #[test]
    fn every_value_survives_its_encoding(value in value()) {
        let encoded = support::encoded(value.clone());
        prop_assert_eq!(encoded.to_value().unwrap(), value.clone());
        prop_assert_eq!(support::encoded(encoded.to_value().unwrap()), encoded, "equal values have equal bytes");
    }

    #[test]
    fn every_key_survives_the_text_of_its_entity(key in "\\PC{1,20}") {
        let entity = EntityRef::kv(support::run_id(), key);
        prop_assert_eq!(entity.to_string().parse::<EntityRef>().unwrap(), entity);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        ".{0,10}".prop_map(Value::String),
        proptest::collection::vec(any::<u8>(), 0..10).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map(".{0,5}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
