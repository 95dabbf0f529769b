//! The run as a table of its steps, with the crash where it happened.

use std::time::Duration;

use strata::{Event, RunHandle};

use crate::Result;
use crate::check::events;
use crate::figures::{count, fit, fit_end, time};
use crate::survey::each_note;
use crate::values::text;

const HEAD_ROWS: usize = 5;
const CRASH_ROWS: usize = 3;
const TAIL_ROWS: usize = 7;

/// Prints the run; `crash` is the number of steps the store held when it was opened again.
pub(crate) fn print(run: &RunHandle, crash: u64, is_whole: bool) -> Result<()> {
    let events = events(run)?;
    let mut notes = Vec::new();
    each_note(run, |_, note, _| notes.push(text(note, "text").to_owned()))?;
    let begin = events.first().map_or(0, |event| event.timestamp.0);
    say!("  {:>12} {:>5}  {:<7} {:<38} finding", "time", "step", "tool", "on");
    let mut skipped = 0;
    for (index, (event, note)) in events.iter().zip(&notes).enumerate() {
        if index == crash as usize {
            tell_skipped(&mut skipped);
            say!("  {}", pause(&events, index));
        }
        if is_whole || is_shown(index, crash as usize, events.len()) {
            tell_skipped(&mut skipped);
            print_row(event, note, begin);
        } else {
            skipped += 1;
        }
    }
    Ok(())
}

fn is_shown(index: usize, crash: usize, length: usize) -> bool {
    index < HEAD_ROWS
        || index + TAIL_ROWS >= length
        || (index + CRASH_ROWS >= crash && index < crash + CRASH_ROWS)
}

fn tell_skipped(skipped: &mut u64) {
    if *skipped > 0 {
        say!("  {:>12} {:>5}  {} more steps", "", "...", count(*skipped));
        *skipped = 0;
    }
}

fn print_row(event: &Event, note: &str, begin: u64) {
    let after = format!("+{:.3} ms", (event.timestamp.0 - begin) as f64 / 1e3);
    let (tool, subject) = (text(&event.payload, "tool"), fit_end(text(&event.payload, "subject"), 38));
    say!("  {after:>12} {:>5}  {tool:<7} {subject:<38} {}", event.sequence, fit(note, 44));
}

fn pause(events: &[Event], index: usize) -> String {
    let before = index.checked_sub(1).map_or(0, |last| events[last].timestamp.0);
    let gap = Duration::from_micros(events[index].timestamp.0.saturating_sub(before));
    format!("{:-^12} SIGKILL, reopened, resumed: {} without a step {:-<30}", "", time(gap), "")
}
