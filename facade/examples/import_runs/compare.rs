//! Is everything there? Every run, every message, compared with the file they came from.

use serde_json::Value as Json;
use strata::{Database, Direction, Namespace, Reads, RunHandle, RunId};

use crate::Result;
use crate::import::{metadata, status};
use crate::recorded::{Message, Recorded};
use crate::values::to_json;

const PAGE_COUNT: usize = 256;

/// Compares the whole store with the file; returns the number of equal messages, or says what differs first.
pub(crate) fn compare(database: &Database, runs: &[Recorded]) -> Result<u64> {
    let mut equal = 0;
    for recorded in runs {
        let run = database.run(RunId::named(&Namespace::default(), &recorded.name));
        compare_run(&run, recorded).map_err(|error| format!("run {}: {error}", recorded.name))?;
        equal += recorded.messages.len() as u64;
    }
    Ok(equal)
}

fn compare_run(run: &RunHandle, recorded: &Recorded) -> Result<()> {
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

/// Equal as text: the order of members counts, which JSON equality forgets.
fn is_same(stored: &Json, expected: &Json) -> bool {
    let (stored, expected) = (stored.to_string(), expected.to_string());
    stored == expected
}
