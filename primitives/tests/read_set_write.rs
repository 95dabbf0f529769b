//! What a transaction learns by writing, and by being refused.
mod support;

use strata_primitives::*;
use support::transaction::*;
use support::{Driver, append, put, run_id};

#[test]
fn blind_writes_and_what_a_transaction_wrote_itself_are_no_reads() {
    let touch = || vec![put("a", 5, NONE), set_cell("x", 5), append("k", 5), end(1)];
    let blind = vec![put("a", 1, NONE), set_cell("x", 1), append("k", 1), begin("s", 9, Some(1))];
    assert!(verdict(blind.clone(), touch()).is_ok());
    let mut own = blind;
    own.extend([get("a"), read_cell("x"), get_trace(9), tree(9, 9), delete("a"), get("a"), stat(trace(9))]);
    assert!(verdict(own, touch()).is_ok());
    let ended = vec![end(1), get_trace(1)];
    assert!(verdict(ended, vec![put("a", 5, NONE)]).is_ok());
}

/// Deadlines were set on a key without remembering it; the value read back was that of the snapshot, and another
/// commit's value was overwritten as if it had never been.
#[test]
fn a_write_that_builds_on_a_value_has_read_it() {
    let increment = || Operation::KvIncrement { key: "a".into(), by: 1 };
    let set = || Operation::KvSetDeadline { key: "a".into(), deadline: Deadline::At(Timestamp(9_000)) };
    let clear = || Operation::KvClearDeadline { key: "a".into() };
    for write in [increment(), set(), clear()] {
        changed(write.clone(), put("a", 7, NONE), kv("a"), 2, 3);
        unchanged(write.clone(), put("z", 7, NONE));
        let error = verdict(vec![write, get("a")], vec![put("a", 7, NONE)]).unwrap_err();
        assert_eq!(error.entity(), Some(&kv("a")));
    }
}

#[test]
fn a_deletion_reveals_only_what_was_there() {
    let delete_prefix = || Operation::KvDeletePrefix { prefix: "p/".into() };
    changed(delete("a"), delete("a"), kv("a"), 2, 0);
    changed(delete("z"), put("z", 1, NONE), kv("z"), 0, 3);
    unchanged(delete("a"), put("a", 7, NONE));
    changed(Operation::CellDelete { name: "z".into() }, set_cell("z", 1), cell("z"), 0, 3);
    let destroy = || Operation::JsonDestroy { name: "d".into() };
    let create = || Operation::JsonCreate { name: "d".into(), value: Encoded::from_int(1) };
    changed(destroy(), create(), EntityRef::json(run_id(), "d"), 0, 3);
    unchanged(destroy(), put("z", 1, NONE));
    changed(delete_prefix(), put("p/9", 1, NONE), kv("p/9"), 0, 3);
    unchanged(delete_prefix(), put("p/1", 7, NONE));
}

/// A closure may go on behind a refusal, and a refusal tells what is there.
#[test]
fn a_refusal_is_a_read() {
    let put_if = Operation::KvPutIf {
        key: "a".into(),
        value: Encoded::from_int(1),
        deadline: NONE,
        expected: Version::NEVER,
    };
    let init = Operation::CellInit { name: "x".into(), value: Encoded::from_int(1), deadline: NONE };
    changed(put_if.clone(), delete("a"), kv("a"), 2, 0);
    unchanged(put_if, put("z", 1, NONE));
    changed(init.clone(), Operation::CellDelete { name: "x".into() }, cell("x"), 2, 0);
    unchanged(init, set_cell("z", 1));
    changed(end(9), begin("s", 9, None), trace(9), 0, 3);
    changed(begin("s", 8, Some(9)), begin("s", 9, None), trace(9), 0, 3);
    unchanged(begin("s", 1, None), begin("s", 9, None));
    let create = Operation::RunCreate { spec: Box::default() };
    let mut missing = Driver::missing();
    let transaction = Transaction::begin(&mut missing, vec![get("a")]);
    missing.write(create);
    let error = transaction.validate(&missing).unwrap_err();
    assert_eq!(error.entity(), Some(&EntityRef::run(run_id())));
}

#[test]
fn only_a_transaction_remembers_what_it_read() {
    let driver = driver();
    let mut draft = Draft::new(driver.state.view());
    validate(get("a"), &mut draft, &driver.context(), &driver.limits).unwrap();
    assert!(draft.into_staged().reads().is_none());
    let mut staged = Staged::recording();
    assert!(staged.reads().unwrap().is_empty());
    let mut draft = Draft::resume(driver.state.view(), staged);
    validate(get("a"), &mut draft, &driver.context(), &driver.limits).unwrap();
    staged = draft.into_staged();
    assert!(!staged.reads().unwrap().is_empty());
    staged.clear();
    assert!(staged.reads().unwrap().is_empty());
}

/// A transaction appended an event and read a page of its type that began or ended there, and was not told that by
/// its commit somebody else's event, of another type, had moved it to the other side.
#[test]
fn an_own_event_that_is_read_by_its_sequence_depends_on_that_place() {
    let own = || append("k", 3);
    let page = |start, direction| Operation::EventByType {
        kind: "k".into(),
        start: Some(start),
        limit: 1,
        direction,
    };
    for read in [
        Operation::EventRead { sequence: 2 },
        page(2, Direction::Reverse),
        page(3, Direction::Reverse),
        page(3, Direction::Forward),
    ] {
        let error =
            verdict(vec![own(), read.clone()], vec![append("l", 4)]).expect_err("it may stand elsewhere");
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&event(2))), "{read:?}");
    }
    for read in
        [Operation::EventRead { sequence: 1 }, page(1, Direction::Reverse), page(0, Direction::Forward)]
    {
        assert!(verdict(vec![own(), read.clone()], vec![append("l", 4)]).is_ok(), "{read:?}");
    }
}

/// The same of traces: a page of one kind that began at the place of an own trace was told as if nobody could come
/// before it, when only traces of that kind were looked for.
#[test]
fn a_page_that_begins_at_an_own_trace_depends_on_that_place() {
    let own = || begin("own", 9, None);
    let page = |start, direction| traces(of_kind("own"), Some(start), 5, direction);
    for direction in [Direction::Forward, Direction::Reverse] {
        let error =
            verdict(vec![own(), page(3, direction)], vec![begin("s", 4, None)]).expect_err("it has moved");
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&trace(4))), "{direction:?}");
    }
    assert!(verdict(vec![own(), page(2, Direction::Reverse)], vec![begin("s", 4, None)]).is_ok());
    let unmoved = verdict(vec![page(3, Direction::Forward)], vec![begin("s", 4, None)]);
    assert!(unmoved.is_ok(), "there is no own trace");
}
