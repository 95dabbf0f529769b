//! Is everything there? Every run, message, trace and document, compared with the files they came from.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use strata::{Database, Direction, KvScan, Namespace, Reads, RunHandle, RunId, TraceContent, TraceFilter};

use crate::Result;
use crate::import::{Source, metadata, status};
use crate::recorded::{Message, Recorded};
use crate::reservations::WORLD;
use crate::tool_calls::{Answer, ToolCall};
use crate::values::to_json;

const PAGE_COUNT: usize = 256;

/// What was found to be equal.
#[derive(Default)]
pub(crate) struct Equal {
    pub(crate) messages: u64,
    pub(crate) traces: u64,
    pub(crate) documents: u64,
}

/// Compares the whole store with the files, or says what differs first.
pub(crate) fn compare(database: &Database, source: &Source) -> Result<Equal> {
    let mut equal = Equal::default();
    let run_of = |name: &str| database.run(RunId::named(&Namespace::default(), name));
    let reservations = &source.reservations.json;
    if !reservations.is_empty() {
        let documents = reservations.iter().collect();
        equal.documents +=
            compare_documents(&run_of(WORLD), &documents).map_err(|error| format!("run {WORLD}: {error}"))?;
    }
    for recorded in &source.runs {
        compare_run(&run_of(&recorded.name), recorded, &mut equal)
            .map_err(|error| format!("run {}: {error}", recorded.name))?;
    }
    Ok(equal)
}

fn compare_run(run: &RunHandle, recorded: &Recorded, equal: &mut Equal) -> Result<()> {
    let info = run.info()?;
    if info.status != status(recorded) || info.metadata != metadata(recorded)? {
        return Err(
            format!("its status {:?} or metadata {} is not the file's", info.status, info.metadata).into()
        );
    }
    let stored_info = run.get("info")?.ok_or("its info is missing")?;
    if to_json(&stored_info.value) != recorded.info {
        return Err("its info is not the file's".into());
    }
    compare_messages(run, &recorded.messages)?;
    equal.messages += recorded.messages.len() as u64;
    compare_traces(run, &recorded.calls)?;
    equal.traces += recorded.calls.len() as u64;
    equal.documents += compare_documents(run, &recorded.documents.iter().collect())?;
    let chain = run.verify_chain()?;
    if !chain.valid {
        return Err(format!("the hash chain of its events is broken at {:?}", chain.first_invalid).into());
    }
    Ok(())
}

fn compare_messages(run: &RunHandle, messages: &[Message]) -> Result<()> {
    let (mut place, mut start) = (0, Some(0));
    while let Some(from) = start {
        let page = run.events(from, PAGE_COUNT, Direction::Forward)?;
        for event in &page.events {
            let expected = messages
                .get(place)
                .ok_or(format!("the file has {} messages, the store more", messages.len()))?;
            if event.sequence != place as u64 || event.kind != expected.kind {
                return Err(format!(
                    "event {} of type {} stands in place {place}",
                    event.sequence, event.kind
                )
                .into());
            }
            let stored = to_json(&event.payload);
            if !is_same(&stored, &expected.json) {
                return Err(format!("message {place} is {stored}, the file says {}", expected.json).into());
            }
            place += 1;
        }
        start = page.next;
    }
    if place < messages.len() {
        return Err(format!("the file has {} messages, the store {place}", messages.len()).into());
    }
    Ok(())
}

fn compare_traces(run: &RunHandle, calls: &[ToolCall]) -> Result<()> {
    let (mut expected, mut start) = (calls.iter(), Some(0));
    while let Some(from) = start {
        let page = run.trace_list(&TraceFilter::default(), Some(from), PAGE_COUNT, Direction::Forward)?;
        for trace in &page.traces {
            let call = expected.next().ok_or("the store has more traces than the file has calls")?;
            let TraceContent::ToolCall { name, arguments, result, error } = &trace.content else {
                return Err(format!("trace {} is no tool call", trace.id).into());
            };
            let answer = match (result, error) {
                (Some(result), None) => Answer::Result(to_json(result)),
                (None, Some(error)) => Answer::Error(error.clone()),
                _ => Answer::Missing,
            };
            let is_equal = *name == call.name && is_same(&to_json(arguments), &call.arguments);
            if !is_equal || !is_same_answer(&answer, &call.answer) {
                return Err(format!(
                    "trace {} of {name} is not the call of message {}",
                    trace.id, call.place
                )
                .into());
            }
        }
        start = page.next;
    }
    match expected.next() {
        Some(call) => Err(format!("the call of {} in message {} has no trace", call.name, call.place).into()),
        None => Ok(()),
    }
}

fn is_same_answer(stored: &Answer, expected: &Answer) -> bool {
    match (stored, expected) {
        (Answer::Result(stored), Answer::Result(expected)) => is_same(stored, expected),
        (stored, expected) => stored == expected,
    }
}

/// The documents of a run, all of them and no others; returns how many there are.
fn compare_documents(run: &RunHandle, expected: &BTreeMap<&String, &Json>) -> Result<u64> {
    let (mut names, mut scan) = (Vec::new(), KvScan::default());
    loop {
        let page = run.json_list(&scan)?;
        names.extend(page.keys);
        scan.start_after = page.next;
        if scan.start_after.is_none() {
            break;
        }
    }
    if !names.iter().eq(expected.keys().copied()) {
        return Err(
            format!("it has {} documents and not the {} of the file", names.len(), expected.len()).into()
        );
    }
    for (name, expected) in expected {
        let stored = run.json_get(name, "")?.map(|found| to_json(&found.value)).unwrap_or_default();
        if !is_same(&stored, expected) {
            return Err(format!("document {name} is {stored}, the file says {expected}").into());
        }
    }
    Ok(names.len() as u64)
}

/// Equal as text: the order of members counts, which JSON equality forgets.
fn is_same(stored: &Json, expected: &Json) -> bool {
    let (stored, expected) = (stored.to_string(), expected.to_string());
    stored == expected
}
