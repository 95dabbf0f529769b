//! Where events part.
use super::difference::{DiffPlace, Difference, ErasedEvent, LogDifference, Parting};
use super::page::Page;
use crate::entry_log::EntryLog;
use crate::event::{CHAIN_START, Event};
use crate::event_log::EventLog;

pub(super) fn find(page: &mut Page<'_>) {
    // The first place behind all of events.
    if !page.wants(&DiffPlace::Trace(0)) {
        return;
    }
    let (before, after) = (&page.before.content().events, &page.after.content().events);
    let parting = parting(before, after);
    if let Parting::At(end) = parting {
        for sequence in before.places_apart(after).take_while(|sequence| *sequence < end) {
            let is_erased = |log: &EventLog| log.get(sequence).is_some_and(Event::is_erased);
            let (before, after) = (is_erased(before), is_erased(after));
            if before != after {
                page.put(Difference::EventErased(ErasedEvent { sequence, before, after }));
            }
        }
    }
    let is_same = parting == Parting::At(before.end())
        && (before.first(), before.end()) == (after.first(), after.end());
    if !is_same {
        let (before, after) = (before.first()..before.end(), after.first()..after.end());
        page.put(Difference::Events(LogDifference { parting, before, after }));
    }
}

/// Each hash covers all events in front of it, so two logs are the same up to where their hashes are, and not behind that.
fn parting(before: &EventLog, after: &EventLog) -> Parting {
    // What is known of both: what stands in front of these sequences.
    let (mut low, mut high) = (before.first().max(after.first()), before.end().min(after.end()));
    let is_same = |sequence: u64| {
        let of = |log| hash_before(log, sequence);
        of(before).is_some_and(|hash| of(after) == Some(hash))
    };
    if low > high || !is_same(low) {
        return Parting::Removed;
    }
    // In front of `low` they are the same; if they are in front of `high`, that is where they part.
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match is_same(middle) {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    Parting::At(low)
}

/// The hash of the event before this one.
fn hash_before(log: &EventLog, sequence: u64) -> Option<[u8; 32]> {
    match sequence {
        0 => Some(CHAIN_START),
        sequence if sequence == log.first() => Some(log.anchor().hash),
        sequence => log.get(sequence - 1).map(|event| event.hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoded::Encoded;
    use crate::event::{Seal, event_hash};
    use crate::version::{Stamp, Timestamp, Version};

    /// Chained events with these payloads, of which the first `removed` were removed.
    fn log(payloads: impl IntoIterator<Item = i64>, removed: u64) -> EventLog {
        let mut log = EventLog::new(1);
        let mut previous = CHAIN_START;
        for (sequence, payload) in (0..).zip(payloads) {
            let (payload, stamp) = (
                Encoded::from_int(payload),
                Stamp { version: Version(sequence + 1), timestamp: Timestamp(5) },
            );
            let hash = event_hash(&previous, sequence, "k", stamp.timestamp, &payload, &[3; 16]);
            log.append(Event { kind: "k".into(), payload, seal: Seal::Salt([3; 16]), hash, stamp });
            previous = hash;
        }
        if removed > 0 {
            drop(log.trim(removed));
        }
        log
    }

    #[test]
    fn events_part_where_the_first_of_them_differs() {
        for count in [0_u64, 1, 2, 7, 100] {
            let whole = log(0..count as i64, 0);
            assert_eq!(parting(&whole, &whole.clone()), Parting::At(count));
            for place in 0..count {
                let other = log((0..count).map(|number| if number == place { -1 } else { number as i64 }), 0);
                assert_eq!(parting(&whole, &other), Parting::At(place), "of {count}");
                assert_eq!(parting(&whole, &log(0..place as i64, 0)), Parting::At(place), "one ends earlier");
            }
        }
    }

    #[test]
    fn what_was_removed_is_told_by_the_hash_that_is_left_of_it() {
        let whole = log(0..20, 0);
        for removed in 1..=20 {
            let cut = log(0..20, removed);
            assert_eq!((parting(&whole, &cut), parting(&cut, &whole)), (Parting::At(20), Parting::At(20)));
            let shorter = log(0..10, 0);
            let expected = if removed <= 10 { Parting::At(10) } else { Parting::Removed };
            assert_eq!((parting(&cut, &shorter), parting(&shorter, &cut)), (expected, expected));
            for place in 0..20 {
                let other = log((0..20).map(|number| if number == place { -1 } else { number }), 0);
                let expected =
                    if place < removed as i64 { Parting::Removed } else { Parting::At(place as u64) };
                assert_eq!(parting(&cut, &other), expected, "{removed} removed, {place} differs");
            }
        }
    }
}
