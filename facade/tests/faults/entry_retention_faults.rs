//! Events and traces that a run does not keep, over faults at every I/O point.

use strata::{
    Database, Direction, Durability, ErrorKind, NewTrace, Reads, Retention, RunHandle, RunSpec, TraceContent,
    TraceEnd, TraceFilter, TraceId, Value,
};
use strata_wal::sim::SimDisk;

use crate::support::{Dice, busy_options, open_on, options, seed, sweep};

fn kept(run: &dyn Reads) -> Vec<u64> {
    let page = run.events(0, 1_000, Direction::Forward).unwrap();
    page.events.iter().map(|event| event.sequence).collect()
}

/// A span below the one before.
fn span(number: u64) -> NewTrace {
    let id = |number: u64| TraceId::from_bytes([number as u8 + 1; 16]);
    let content = TraceContent::Custom { kind: "span".into(), content: Value::Null };
    NewTrace { parent: number.checked_sub(1).map(id), ..NewTrace::new(id(number), content) }
}

/// Appends an event and begins a span with each commit, and ends the span of the one before, until something fails; how many were
/// acknowledged.
fn work(database: &Database) -> u64 {
    let Ok(run) = database.begin_run(RunSpec::named("run")) else { return 0 };
    if run.info().is_ok_and(|info| info.event_retention.is_none()) {
        let mut batch = run.batch();
        batch.set_event_retention(Retention::KeepLast(3)).unwrap();
        batch.set_trace_retention(Retention::KeepLast(4)).unwrap();
        if run.commit(batch).is_err() {
            return 0;
        }
    }
    let mut count = 0;
    for number in 0..12_u64 {
        let mut batch = run.batch();
        batch.append(if number % 2 == 0 { "even" } else { "odd" }, number as i64).unwrap();
        batch.trace_begin(span(number)).unwrap();
        if let Some(before) = number.checked_sub(1) {
            batch.trace_end(span(before).id, TraceEnd::default()).unwrap();
        }
        if run.commit(batch).is_err() {
            break;
        }
        count = number + 1;
        if number == 7 {
            let _ = database.checkpoint();
        }
    }
    count
}

/// The last four spans are there, each below the one before, and all but the newest have ended.
fn expect_spans(run: &RunHandle, count: u64, story: &dyn std::fmt::Display) {
    let page = run.trace_list(&TraceFilter::default(), None, 100, Direction::Forward).unwrap();
    let found = page.traces.iter().map(|trace| (trace.id, trace.parent, trace.ended.is_none()));
    let first = count.saturating_sub(4);
    let expected = (first..count).map(|number| {
        let NewTrace { id, parent, .. } = span(number);
        (id, parent, number + 1 == count)
    });
    assert!(found.eq(expected), "{:?} of {count}: {story}", page.traces);
    let counts = [run.trace_count(None), run.trace_count(Some("span")), run.first_trace()];
    assert_eq!(counts.map(|count| count.unwrap().value), [count, count, first], "{story}");
    if let Some(removed) = first.checked_sub(1) {
        assert_eq!(run.trace_get(span(removed).id).unwrap_err().kind(), ErrorKind::HistoryTrimmed, "{story}");
    }
}

#[test]
fn a_fault_at_any_point_leaves_exactly_what_is_to_be_kept() {
    let mut dice = Dice::new(seed());
    for options in [options(Durability::Strict, 1), busy_options(Durability::Buffered, 1)] {
        let disk = SimDisk::new(dice.roll());
        let database = open_on(&disk, options.clone()).unwrap();
        let begun = disk.points();
        assert_eq!(work(&database), 12);
        drop(database);
        for fault in sweep::faults(disk.points() - begun, 7, &sweep::KINDS, &mut dice) {
            let disk = SimDisk::new(dice.roll());
            let database = open_on(&disk, options.clone()).unwrap();
            fault.arm(&disk);
            let acknowledged = work(&database);
            if let Ok(run) = database.begin_run(RunSpec::named("run"))
                && let Ok(events) = run.events(0, 100, Direction::Forward)
            {
                let first = run.first_event().map_or(0, |first| first.value);
                assert!(events.events.first().is_none_or(|event| event.sequence >= first), "{fault}");
            }
            let is_strict = options.durability == Durability::Strict;
            let loses_power = fault.cuts_power() || (is_strict && dice.below(2) == 0);
            let after = if loses_power { disk.power_cycle(dice.roll()) } else { disk.kill() };
            drop(database);
            let database = open_on(&after, options.clone()).unwrap();
            let Ok(run) = database.begin_run(RunSpec::named("run")) else { continue };
            let (length, chain) = (run.event_count().unwrap().value, run.verify_chain().unwrap());
            let is_promised = is_strict || !(fault.cuts_power() || sweep::log_has_lost(&after));
            assert!(!is_promised || length >= acknowledged, "{length} of {acknowledged}: {fault}");
            if run.info().unwrap().event_retention.is_some() {
                assert_eq!(kept(&run), Vec::from_iter(length.saturating_sub(3)..length), "{fault}");
            }
            assert_eq!((chain.valid, chain.first), (true, length.saturating_sub(3)), "{fault}");
            let of_kinds = ["even", "odd"].map(|kind| run.event_count_of(kind).unwrap().value);
            assert_eq!(of_kinds, [length.div_ceil(2), length / 2], "{fault}");
            expect_spans(&run, length, &fault);
            database.close().unwrap();
        }
    }
}
