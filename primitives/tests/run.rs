//! The life of a run, through the public face of the crate.
mod support;

use strata_primitives::*;
use support::{Driver, append, encoded, list, put, run_id};

fn create(spec: RunSpec) -> Operation {
    Operation::RunCreate { spec: Box::new(spec) }
}

fn begin() -> Operation {
    Operation::RunBegin { spec: Box::new(RunSpec::named("nightly")) }
}

fn update(status: RunStatus) -> Operation {
    Operation::RunUpdateStatus { status }
}

#[test]
fn a_created_run_is_described_as_it_was_specified() {
    let mut driver = Driver::missing();
    assert_eq!(driver.info(), None);
    let spec = RunSpec {
        namespace: Namespace::new("t", "a", "g"),
        parent: Some(RunId::from_bytes([2; 16])),
        tags: vec!["x".into(), "y".into(), "x".into()],
        metadata: Value::from([("task", 7i64.into())]),
        durability: Some(Durability::Strict),
        ..RunSpec::named("nightly")
    };
    assert_eq!(driver.write(create(spec.clone())), (true, Effect::None));
    let info = driver.info().unwrap();
    assert_eq!((info.id, info.name, info.namespace), (run_id(), spec.name.clone(), spec.namespace.clone()));
    assert_eq!((info.parent, info.metadata), (spec.parent, spec.metadata.clone()));
    assert_eq!(info.tags, ["x", "y"], "a repeated tag counts once");
    assert_eq!((info.status, info.durability), (RunStatus::Active, spec.durability));
    assert_eq!((info.created, info.begun_in_boot, info.orphaned), (Timestamp(1_000), 1, false));
    assert_eq!((info.version, info.timestamp), (Version(1), Timestamp(1_000)));
    let error = driver.refusal(create(spec));
    assert_eq!((error.kind(), error.entity()), (ErrorKind::AlreadyExists, Some(&EntityRef::run(run_id()))));
}

#[test]
fn nothing_but_creating_beginning_and_asking_is_done_to_a_missing_run() {
    let mut deleted = Driver::created();
    deleted.write(Operation::RunDelete);
    for mut driver in [Driver::missing(), deleted] {
        for operation in [
            Operation::KvGet { key: "a".into() },
            put("a", 1, Deadline::None),
            append("k", 1),
            Operation::EventVerifyChain,
            Operation::Expire { limit: 1 },
            update(RunStatus::Completed),
            Operation::RunSetTags { tags: vec![] },
            Operation::RunDelete,
        ] {
            let error = driver.refusal(operation);
            assert_eq!(
                (error.kind(), error.entity()),
                (ErrorKind::NotFound, Some(&EntityRef::run(run_id())))
            );
        }
        assert_eq!(driver.info(), None);
        assert_eq!(driver.write(begin()), (true, Effect::Existed(false)));
    }
}

#[test]
fn beginning_resumes_an_unfinished_run_and_refuses_a_finished_one() {
    let mut driver = Driver::missing();
    assert_eq!(driver.write(begin()), (true, Effect::Existed(false)));
    assert_eq!(driver.write(begin()), (false, Effect::Existed(true)), "it is at work in this boot already");
    driver.boot = 2;
    assert_eq!(driver.write(begin()), (true, Effect::Existed(true)));
    assert_eq!(driver.info().unwrap().begun_in_boot, 2);
    driver.write(update(RunStatus::Paused));
    assert_eq!(driver.write(begin()), (true, Effect::Existed(true)));
    assert_eq!(driver.info().unwrap().status, RunStatus::Active);
    for (finish, name) in [(RunStatus::Completed, "completed"), (RunStatus::Archived, "archived")] {
        driver.write(update(finish));
        let error = driver.refusal(begin());
        assert_eq!(error.kind(), ErrorKind::RunClosed);
        assert!(error.message().contains(name), "{error}");
    }
}

#[test]
fn a_run_taken_up_again_belongs_to_the_boot_that_took_it_up() {
    let mut driver = Driver::created();
    driver.write(update(RunStatus::Paused));
    driver.boot = 5;
    assert_eq!(driver.write(update(RunStatus::Active)), (true, Effect::None));
    let info = driver.info().unwrap();
    assert_eq!((info.status, info.begun_in_boot), (RunStatus::Active, 5));
}

#[test]
fn a_status_moves_along_its_arrows_only() {
    let mut driver = Driver::created();
    assert_eq!(driver.write(update(RunStatus::Active)), (false, Effect::None), "staying is no change");
    driver.write(update(RunStatus::Paused));
    let error = driver.refusal(update(RunStatus::Completed));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "the run is paused and cannot become completed");
    driver.write(update(RunStatus::Cancelled));
    assert_eq!(driver.refusal(update(RunStatus::Active)).kind(), ErrorKind::RunClosed);
    driver.write(update(RunStatus::Archived));
    assert_eq!(driver.refusal(update(RunStatus::Active)).kind(), ErrorKind::RunClosed);
}

#[test]
fn a_run_that_is_not_active_takes_no_writes_but_can_be_read_tagged_cleaned_and_deleted() {
    for status in [RunStatus::Paused, RunStatus::Completed, RunStatus::Archived] {
        let mut driver = Driver::created();
        driver.write(put("a", 1, Deadline::At(Timestamp(1_500))));
        driver.put("b", 2);
        driver.write(update(status));
        for write in [put("a", 2, Deadline::None), append("k", 1), Operation::KvDelete { key: "b".into() }] {
            let error = driver.refusal(write);
            assert_eq!(error.kind(), ErrorKind::RunClosed);
            assert!(error.message().contains(status.name()), "{error}");
        }
        assert_eq!(driver.get("b"), Some(2));
        assert!(driver.write(Operation::RunSetTags { tags: vec!["t".into()] }).0);
        assert!(driver.write(Operation::RunSetMetadata { metadata: "m".into() }).0);
        let info = driver.info().unwrap();
        assert_eq!((info.tags, info.metadata), (vec!["t".to_owned()], Value::from("m")));
        driver.now = 2_000;
        assert_eq!(driver.write(Operation::Expire { limit: 5 }), (true, Effect::Count(1)));
        assert_eq!(driver.write(Operation::RunDelete), (true, Effect::None));
    }
}

#[test]
fn a_recreated_run_starts_empty_and_continues_its_version_numbers() {
    let mut driver = Driver::created();
    driver.put("a", 1);
    driver.write(append("k", 1));
    driver.write(Operation::RunDelete);
    driver.now = 5_000;
    driver.write(begin());
    let info = driver.info().unwrap();
    assert_eq!((info.version, info.kv_count, info.event_count), (Version(5), 0, 0));
    assert_eq!(info.created, Timestamp(5_000));
    assert_eq!(driver.get("a"), None);
    assert_eq!(driver.write(append("k", 1)).1, Effect::Sequence { first: 0, count: 1 });
}

#[test]
fn operations_of_a_batch_see_what_came_before_them() {
    let mut driver = Driver::missing();
    let at = |value| Versioned { value, version: Version(1), timestamp: Timestamp(1_000) };
    let (stamp, answers) = driver
        .batch(vec![
            begin(),
            put("n", 5, Deadline::None),
            Operation::KvIncrement { key: "n".into(), by: 2 },
            append("k", 1),
            append("k", 2),
            Operation::KvGet { key: "n".into() },
            Operation::KvCount { prefix: "".into() },
            Operation::EventLen { kind: Some("k".into()) },
            Operation::KvSetDeadline { key: "n".into(), deadline: Deadline::At(Timestamp(2_000)) },
            Operation::KvDelete { key: "n".into() },
            Operation::KvDelete { key: "n".into() },
            Operation::KvExists { key: "n".into() },
        ])
        .unwrap();
    assert_eq!(stamp.unwrap().version, Version(1), "a batch is one commit");
    let expected = [
        Answer::Write(Effect::Existed(false)),
        Answer::Write(Effect::None),
        Answer::Write(Effect::Integer(7)),
        Answer::Write(Effect::Sequence { first: 0, count: 1 }),
        Answer::Write(Effect::Sequence { first: 1, count: 1 }),
        Answer::Read(Outcome::Value(Some(at(()).map(|()| encoded(7i64))))),
        Answer::Read(Outcome::Count(at(()).map(|()| 1))),
        Answer::Read(Outcome::Count(at(()).map(|()| 2))),
        Answer::Write(Effect::Existed(true)),
        Answer::Write(Effect::Existed(true)),
        Answer::Write(Effect::Existed(false)),
        Answer::Read(Outcome::Flag(at(()).map(|()| false))),
    ];
    assert_eq!(answers, expected);
}

#[test]
fn a_batch_may_delete_a_run_and_begin_it_anew() {
    let mut driver = Driver::created();
    driver.put("old", 1);
    driver.write(append("old", 1));
    let (_, answers) = driver
        .batch(vec![
            put("lost", 1, Deadline::None),
            Operation::RunDelete,
            Operation::RunGet,
            begin(),
            put("new", 2, Deadline::None),
            append("new", 1),
            list("", None, 9, Direction::Forward),
            Operation::KvCount { prefix: "".into() },
            Operation::EventHead { kind: None },
            Operation::EventLen { kind: Some("old".into()) },
            Operation::EventVerifyChain,
            Operation::Expire { limit: 9 },
            Operation::RunGet,
        ])
        .unwrap();
    assert_eq!(answers[2], Answer::Read(Outcome::Run(None)));
    let Answer::Read(Outcome::Page(page)) = &answers[6] else { panic!("a page") };
    assert_eq!(page.items.iter().map(|item| &*item.key).collect::<Vec<_>>(), ["new"]);
    let Answer::Read(Outcome::Count(count)) = &answers[7] else { panic!("a count") };
    assert_eq!(count.value, 1);
    let Answer::Read(Outcome::Event(Some(event))) = &answers[8] else { panic!("an event") };
    assert_eq!((event.sequence, event.version), (0, Version(4)));
    let Answer::Read(Outcome::Count(old)) = &answers[9] else { panic!("a count") };
    assert_eq!(old.value, 0);
    let Answer::Read(Outcome::Chain(report)) = &answers[10] else { panic!("a report") };
    assert_eq!((report.valid, report.length), (true, 1));
    assert_eq!(answers[11], Answer::Write(Effect::Count(0)));
    let Answer::Read(Outcome::Run(Some(info))) = &answers[12] else { panic!("a run") };
    assert_eq!((info.kv_count, info.event_count, info.version), (1, 1, Version(4)));
    assert_eq!(driver.info().as_ref(), Some(&**info), "the batch showed what came to be");
    assert_eq!((driver.get("lost"), driver.get("old"), driver.get("new")), (None, None, Some(2)));
}

#[test]
fn a_draft_uses_its_buffer_again() {
    let driver = Driver::created();
    let mut draft = Draft::with_buffer(driver.state.view(), Vec::with_capacity(100));
    validate(put("a", 1, Deadline::None), &mut draft, &driver.context(), &driver.limits).unwrap();
    let mutations = draft.into_mutations();
    assert_eq!(mutations.capacity(), 100);
    assert!(Draft::with_buffer(driver.state.view(), mutations).mutations().is_empty());
}

#[test]
#[should_panic(expected = "the time of a run never decreases")]
fn a_write_before_the_runs_last_commit_is_our_own_mistake() {
    let driver = Driver::created();
    let context = Context { now: Timestamp(1), boot: 1 };
    let _ =
        validate(put("a", 1, Deadline::None), &mut Draft::new(driver.state.view()), &context, &driver.limits);
}

/// A fork that lives in memory goes on while the erasure of its parent waits for the log. When that failed, what stood there by then was
/// overwritten, or the next life of the fork was asked for an event it had not.
#[test]
fn an_erasure_that_is_taken_back_leaves_what_was_written_since() {
    let erasure = |entity| {
        let (from, through, by) = (Version(1), Version(99), Version(100));
        Erasure { entity, from, through, by, event_hash: None, reason: "asked for".into() }
    };
    let erased = || {
        let mut driver = Driver::created();
        driver.batch(vec![append("k", 1), put("a", 1, Deadline::None)]).unwrap();
        let entities = [EntityRef::event(run_id(), 0), EntityRef::kv(run_id(), "a")];
        let redacted = entities.map(|entity| driver.state.redact(&erasure(entity)));
        assert!(redacted.iter().all(|redacted| !redacted.is_empty()));
        (driver, redacted)
    };
    let value = |driver: &mut Driver| match driver.read(Operation::KvGet { key: "a".into() }) {
        Outcome::Value(value) => value.map(|value| value.value.as_int()),
        other => panic!("{other:?} is no value"),
    };
    let (mut driver, redacted) = erased();
    redacted.into_iter().for_each(|redacted| driver.state.restore(redacted));
    assert_eq!(value(&mut driver), Some(Some(1)));

    let (mut driver, redacted) = erased();
    driver.batch(vec![append("k", 2), put("a", 2, Deadline::None)]).unwrap();
    driver.write(Operation::RunSetEventRetention { retention: Some(Retention::KeepLast(1)) });
    redacted.into_iter().for_each(|redacted| driver.state.restore(redacted));
    assert_eq!(value(&mut driver), Some(Some(2)));

    let (mut driver, redacted) = erased();
    driver.write(Operation::RunDelete);
    driver.write(Operation::RunCreate { spec: Box::default() });
    driver.write(append("other", 3));
    redacted.into_iter().for_each(|redacted| driver.state.restore(redacted));
    assert_eq!(value(&mut driver), None);
    let Outcome::Event(event) = driver.read(Operation::EventRead { sequence: 0 }) else { panic!("no event") };
    assert_eq!(&*event.unwrap().kind, "other");
}
