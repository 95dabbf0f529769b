//! Events, on any surface.

use strata::{Direction, EntityRef, Event, Writes};

fn payloads(events: &[Event]) -> Vec<(u64, &str, Option<i64>)> {
    events.iter().map(|event| (event.sequence, event.kind.as_str(), event.payload.as_int())).collect()
}

pub(crate) fn suite<W: Writes>(run: &W) {
    assert_eq!((run.event_count().unwrap().value, run.event_head().unwrap()), (0, None));
    assert_eq!(run.first_event().unwrap().value, 0);
    run.append("call", 0).unwrap();
    assert!(run.append_many([("thought", 1), ("call", 2)]).unwrap().is_some());
    assert!(run.append_many(Vec::<(&str, i64)>::new()).unwrap().is_none());
    run.append("call", 3).unwrap();

    let events = run.events(0, 9, Direction::Forward).unwrap();
    let all = [(0, "call", Some(0)), (1, "thought", Some(1)), (2, "call", Some(2)), (3, "call", Some(3))];
    assert_eq!((payloads(&events.events), events.next), (all.to_vec(), None));
    let newest = run.last_events(2).unwrap();
    assert_eq!((payloads(&newest.events), newest.next), (vec![all[3], all[2]], Some(1)));
    let calls = run.events_by_type("call", 1, 1, Direction::Forward).unwrap();
    assert_eq!((payloads(&calls.events), calls.next), (vec![all[2]], Some(3)));
    let calls = run.events_by_type("call", 2, 9, Direction::Reverse).unwrap();
    assert_eq!((payloads(&calls.events), calls.next), (vec![all[2], all[0]], None));

    assert_eq!(run.event(1).unwrap().unwrap(), events.events[1]);
    assert_eq!(run.event(4).unwrap(), None);
    assert_eq!(run.event_head().unwrap().unwrap(), events.events[3]);
    assert_eq!(run.event_head_of("thought").unwrap().unwrap(), events.events[1]);
    assert_eq!(run.event_head_of("missing").unwrap(), None);
    let counts = ["call", "thought", "missing"].map(|kind| run.event_count_of(kind).unwrap().value);
    assert_eq!((run.event_count().unwrap().value, counts), (4, [3, 1, 0]));
    let chain = run.verify_chain().unwrap();
    assert_eq!((chain.valid, chain.first, chain.length, chain.first_invalid), (true, 0, 4, None));
    let stat = run.stat(&EntityRef::event(run.run_id(), 1)).unwrap().unwrap();
    assert!(stat.value >= "thought".len() as u64);
    assert_eq!(stat.version, events.events[1].version);
}
