//! The promise, checked: no acknowledged step is missing, none is doubled, none has changed.

use strata::{Direction, Event, Reads, RunHandle};

use crate::Result;
use crate::plan::Plan;
use crate::survey::{Receipt, each_note, event_kind, fingerprint, note_key};
use crate::values::{integer, text};

const PAGE_COUNT: usize = 500;

/// Every event of the run, in order.
pub(crate) fn events(run: &RunHandle) -> Result<Vec<Event>> {
    let (mut events, mut start) = (Vec::new(), Some(0));
    while let Some(from) = start {
        let page = run.events(from, PAGE_COUNT, Direction::Forward)?;
        events.extend(page.events);
        start = page.next;
    }
    Ok(events)
}

/// Compares the store with the plan and with what was acknowledged; returns the number of steps it holds.
pub(crate) fn check(run: &RunHandle, plan: &Plan, acknowledged: &[Receipt]) -> Result<u64> {
    let events = events(run)?;
    each_is_its_planned_step(&events, plan)?;
    acknowledged_are_there(&events, acknowledged)?;
    notes_agree(run, &events)?;
    let chain = run.verify_chain()?;
    if !chain.valid || chain.length != events.len() as u64 {
        let (length, invalid) = (chain.length, chain.first_invalid);
        return Err(format!("the hash chain of {length} events is broken at {invalid:?}").into());
    }
    Ok(events.len() as u64)
}

fn each_is_its_planned_step(events: &[Event], plan: &Plan) -> Result<()> {
    if events.len() > plan.calls.len() {
        return Err(
            format!("{} steps were planned, the store holds {}", plan.calls.len(), events.len()).into()
        );
    }
    for (index, (event, call)) in events.iter().zip(&plan.calls).enumerate() {
        let step = integer(&event.payload, "step");
        if event.sequence != index as u64 || step != Some(index as i64) {
            let sequence = event.sequence;
            return Err(format!("event {sequence} in place {index} tells of step {step:?}").into());
        }
        if event.kind != event_kind(call.tool) || text(&event.payload, "subject") != call.subject {
            return Err(
                format!("step {index} is not what was planned: {} of {}", event.kind, call.subject).into()
            );
        }
    }
    Ok(())
}

fn acknowledged_are_there(events: &[Event], acknowledged: &[Receipt]) -> Result<()> {
    if let Some(pair) = acknowledged.windows(2).find(|pair| pair[0].step >= pair[1].step) {
        return Err(format!("step {} was acknowledged after step {}", pair[1].step, pair[0].step).into());
    }
    for receipt in acknowledged {
        let step = receipt.step;
        let Some(event) = events.get(step as usize) else {
            return Err(format!(
                "step {step} was acknowledged and is lost: the store ends at {}",
                events.len()
            )
            .into());
        };
        let held = Receipt {
            step,
            sequence: event.sequence,
            version: event.version.0,
            fingerprint: fingerprint(&event.payload),
        };
        if held != *receipt {
            return Err(
                format!("step {step} was acknowledged as {receipt:?}, the store holds {held:?}").into()
            );
        }
    }
    Ok(())
}

/// Each note was written by the very commit that wrote its event.
fn notes_agree(run: &RunHandle, events: &[Event]) -> Result<()> {
    let mut notes = Vec::new();
    each_note(run, |key, note, version| notes.push((key.to_owned(), integer(note, "step"), version)))?;
    let expected = events
        .iter()
        .enumerate()
        .map(|(step, event)| (note_key(step as u64), Some(step as i64), event.version.0));
    if let Some(step) = expected.clone().zip(&notes).position(|(expected, note)| expected != *note) {
        return Err(format!("the note of step {step} does not belong to its event: {:?}", notes[step]).into());
    }
    if notes.len() != events.len() {
        return Err(format!(
            "{} notes for {} events: half a step is in the store",
            notes.len(),
            events.len()
        )
        .into());
    }
    Ok(())
}
