//! What becomes of recorded effects: a program is executed anew from one of them on, or with another result; they are listed, no longer
//! kept, and erased.

use strata::NewTrace;
use strata::{
    Difference, Durability, EntityRef, EntryStrategy, ErasedVersions, Error, ErrorKind, Merge, OperationId,
    Reads, RecordedEffect, Result, Retention, RunHandle, RunSpec, Strategies, TraceContent, Value, Version,
    Writes, new_trace,
};
use strata_wal::sim::SimDisk;

use crate::effects::{World, kind_of, program, uncalled};
use crate::support::{busy_options, one_run, open_on, options, seed};

fn on_disk() -> (strata::Database, RunHandle) {
    let database = open_on(&SimDisk::new(seed()), options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}

/// Calls one effect for each input.
fn call(run: &RunHandle, name: &str, inputs: std::ops::Range<i64>) -> Result<u64> {
    let (execution, mut called) = (run.begin_execution(), 0);
    for input in inputs {
        execution.effect(name, input, || {
            called += 1;
            Ok::<_, Error>(input * 10)
        })?;
    }
    Ok(called)
}

fn traces_of(run: &impl Reads) -> Vec<strata::Trace> {
    run.trace_list(&Default::default(), None, 1000, strata::Direction::Forward).unwrap().traces
}

#[test]
fn in_a_fork_before_an_effect_that_and_all_behind_it_are_called() {
    let (database, run) = on_disk();
    let world = World::default();
    let first = program(&run, &world).unwrap();
    let calls = world.take();
    let steps = [("plan", 0), ("search", 0), ("search", 1), ("search", 2), ("book", 0)];
    for (place, (name, ordinal)) in steps.into_iter().enumerate() {
        let fork = run.fork_before_effect(name, ordinal).unwrap();
        let point = fork.info().unwrap().forked_from.unwrap();
        assert_eq!((point.run, point.version.next()), (run.id(), first[place].version));
        assert_eq!(fork.effect_get(name, ordinal).unwrap(), None);
        let other = program(&fork, &world).unwrap();
        assert_eq!(world.take(), calls[place..]);
        for (before, after) in first.iter().zip(&other).take(place) {
            assert_eq!(
                (&before.value, before.version, true),
                (&after.value, after.version, after.is_recalled)
            );
        }
        // And the fork is itself one that a fork is made of.
        let again = fork.fork_before_effect("plan", 0).unwrap();
        program(&again, &world).unwrap();
        assert_eq!(world.take(), calls);
    }
    assert_eq!(run.trace_count(None).unwrap().value, 5);
    let missing = run.fork_before_effect("search", 3).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(missing.entity(), Some(&EntityRef::trace(run.id(), RecordedEffect::id_of("search", 3))));
    database.close().unwrap();
    let (database, run) = one_run();
    program(&run, &world).unwrap();
    assert_eq!(
        kind_of(run.fork_before_effect("plan", 0)),
        ErrorKind::Unsupported,
        "memory has no older versions"
    );
    database.close().unwrap();
}

#[test]
fn with_another_result_recorded_in_a_fork_the_program_shows_what_changes() {
    let (database, run) = on_disk();
    let world = World::default();
    let first = program(&run, &world).unwrap();
    world.take();
    let fork = run.fork_before_effect("search", 1).unwrap();
    let input = run.effect_get("search", 1).unwrap().unwrap().value.input;
    let commit = fork.record_effect("search", 1, input, "no hotel at all").unwrap();
    assert_eq!(commit.version, first[2].version.next());
    let other = program(&fork, &world).unwrap();
    assert_eq!(world.take(), ["search 2", "book"]);
    assert_eq!((other[2].value.as_str(), other[2].is_recalled), (Some("no hotel at all"), true));
    let (was, is) = (run.snapshot().unwrap().detach().unwrap(), fork.snapshot().unwrap().detach().unwrap());
    let page = was.diff(&is, None, 100).unwrap();
    let keys = page.differences.iter().filter_map(|difference| match difference {
        Difference::Key(key) => Some(&*key.key),
        _ => None,
    });
    assert!(keys.eq(["found/1", "found/2"]));
    // The clock stands still, so they are the same steps, and something else came of them.
    let traces = page.differences.iter().filter_map(|difference| match difference {
        Difference::Trace(trace) => Some(trace.after.content.kind()),
        _ => None,
    });
    assert!(traces.eq(["effect/search", "effect/search", "effect/book"]));
    // The run itself is as it was.
    assert_eq!(run.effect_get("search", 1).unwrap().unwrap().value.result, first[2].value);
    database.close().unwrap();
}

#[test]
fn an_effect_is_recorded_by_hand_behind_those_of_its_name_and_once() {
    let (database, run) = one_run();
    run.record_effect("call", 0, 1, "one").unwrap();
    assert_eq!(kind_of(run.record_effect("call", 0, 1, "other")), ErrorKind::AlreadyExists);
    let early = run.record_effect("call", 2, 1, "three").unwrap_err();
    assert_eq!(early.kind(), ErrorKind::NotFound);
    assert_eq!(early.entity(), Some(&EntityRef::trace(run.id(), RecordedEffect::id_of("call", 2))));
    run.record_effect("call", 1, 2, "two").unwrap();
    assert_eq!(kind_of(run.fork().unwrap().record_effect("call", 1, 2, "two")), ErrorKind::AlreadyExists);
    for (name, input, result) in
        [("", 1.into(), Value::Null), ("n", Value::Erased, 1.into()), ("n", 1.into(), Value::Erased)]
    {
        assert_eq!(kind_of(run.record_effect(name, 0, input, result)), ErrorKind::InvalidArgument);
    }
    let identified = run.with_operation_id(OperationId([1; 16]));
    assert_eq!(kind_of(identified.record_effect("n", 0, 1, 1)), ErrorKind::InvalidArgument);
    let execution = run.begin_execution();
    let results = [1, 2].map(|input| execution.effect("call", input, uncalled).unwrap().value);
    assert_eq!(results, ["one".into(), "two".into()]);
    assert_eq!(run.info().unwrap().version, Version(3));
    database.close().unwrap();
}

#[test]
fn effects_are_merged_in_their_order_and_none_that_the_run_had_before() {
    let (database, run) = on_disk();
    let refused = |run: &RunHandle, fork: &RunHandle, ordinal: u64| {
        let strategies = Strategies { traces: EntryStrategy::Append, ..Strategies::default() };
        let merge = Merge { strategies, ..Merge::of(fork) };
        let error = run.preview_merge(&merge).unwrap_err();
        let trace = EntityRef::trace(fork.id(), RecordedEffect::id_of("pay", ordinal));
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Unsupported, Some(&trace)), "{error}");
        assert_eq!(kind_of(run.merge(&merge)), ErrorKind::Unsupported);
    };
    // Those before it are not kept.
    let fork = run.fork().unwrap();
    call(&fork, "pay", 0..3).unwrap();
    let whole = fork.fork().unwrap();
    fork.set_trace_retention(Retention::KeepLast(1)).unwrap();
    fork.put("key", 1).unwrap();
    refused(&run, &fork, 2);
    // It was here, and is not kept.
    let had = run.fork().unwrap();
    had.set_trace_retention(Retention::KeepLast(1)).unwrap();
    call(&had, "pay", 0..2).unwrap();
    let other = run.fork().unwrap();
    other.record_effect("pay", 0, 0, "other").unwrap();
    refused(&had, &other, 0);
    // All of them, and then the next.
    run.merge(&Merge::of(&whole)).unwrap();
    assert_eq!(call(&run, "pay", 0..4).unwrap(), 1);
    assert_eq!(kind_of(run.record_effect("pay", 3, 3, 1)), ErrorKind::AlreadyExists);
    run.record_effect("pay", 4, 4, 1).unwrap();
    run.set_trace_retention(Retention::KeepLast(1)).unwrap();
    call(&run, "search", 0..2).unwrap();
    assert_eq!(call(&run, "pay", 0..1).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(run.effect_get("pay", 5).unwrap(), None);
    database.close().unwrap();
}

#[test]
fn recorded_effects_are_listed_in_their_order_and_read_on_every_surface() {
    let (database, run) = one_run();
    let world = World::default();
    let first = program(&run, &world).unwrap();
    run.trace_record(new_trace(TraceContent::Thought { text: "hm".into(), confidence: None })).unwrap();
    let mut listed = Vec::new();
    let mut start = None;
    loop {
        let page = run.effects(start, 2).unwrap();
        assert!(page.effects.len() <= 2);
        listed.extend(page.effects);
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    let names: Vec<_> = listed.iter().map(|effect| (&*effect.value.name, effect.value.ordinal)).collect();
    assert_eq!(names, [("plan", 0), ("search", 0), ("search", 1), ("search", 2), ("book", 0)]);
    for (effect, performed) in listed.iter().zip(&first) {
        let (result, version, timestamp) = (&effect.value.result, effect.version, effect.timestamp);
        assert_eq!((result, version, timestamp), (&performed.value, performed.version, performed.timestamp));
    }
    assert_eq!(listed[0].value.input, "a trip".into());
    let expect = |reader: &dyn Reads| {
        assert_eq!(reader.effects(None, 10).unwrap().effects, listed);
        assert_eq!(reader.effect_get("search", 2).unwrap().as_ref(), Some(&listed[3]));
        assert_eq!(reader.effect_get("search", 3).unwrap(), None);
        assert_eq!(kind_of(reader.effect_get("", 0)), ErrorKind::InvalidArgument);
    };
    let snapshot = run.snapshot().unwrap();
    expect(&run);
    expect(&snapshot);
    expect(&snapshot.detach().unwrap());
    run.transaction(|tx| {
        expect(tx);
        Ok::<_, Error>(())
    })
    .unwrap();
    // That none is there is a read like any other.
    let rival = run.clone();
    let transacted = run.transaction(|tx| {
        let found = tx.effect_get("search", 3)?.is_some();
        if !found {
            rival.record_effect("search", 3, 1, 1)?;
        }
        tx.put("found", found)?;
        Ok::<_, Error>(())
    });
    assert_eq!(transacted.unwrap().attempts, 2);
    database.close().unwrap();
}

#[test]
fn effects_that_a_run_does_not_keep_are_not_called_again_and_others_are() {
    let (database, run) = one_run();
    run.set_trace_retention(Retention::KeepLast(3)).unwrap();
    // One execution goes on whatever was removed of it.
    assert_eq!(call(&run, "call", 0..10).unwrap(), 10);
    let refused = |run: &RunHandle, answer: Error, ordinal: u64| {
        assert_eq!(answer.kind(), ErrorKind::HistoryTrimmed);
        let begin = format!("effect \"call\" {ordinal}: the run does not keep the trace any more");
        assert!(answer.message().starts_with(&begin), "{answer}");
        let entity = EntityRef::trace(run.id(), RecordedEffect::id_of("call", ordinal));
        assert_eq!(answer.entity(), Some(&entity));
    };
    for run in [&run, &run.fork().unwrap()] {
        refused(run, run.begin_execution().effect("call", 0, uncalled).unwrap_err(), 0);
        refused(run, run.fork_before_effect("call", 6).unwrap_err(), 6);
        refused(run, run.effect_get("call", 6).unwrap_err(), 6);
    }
    assert_eq!(run.effect_get("call", 7).unwrap().unwrap().value.result, Value::Int(70));
    assert_eq!(run.effect_get("call", 10).unwrap(), None);
    assert_eq!(kind_of(run.record_effect("call", 0, 0, 0)), ErrorKind::AlreadyExists);
    // A name that was never used was never removed.
    assert_eq!(call(&run, "other", 0..2).unwrap(), 2);
    assert_eq!(call(&run, "other", 0..2).unwrap(), 0);
    let kept: Vec<_> =
        run.effects(None, 10).unwrap().effects.into_iter().map(|effect| effect.value.name).collect();
    assert_eq!(kept, ["call", "other", "other"]);
    database.close().unwrap();
}

#[test]
fn what_was_removed_is_known_to_have_been_recorded_after_every_way_of_closing() {
    let disk = SimDisk::new(seed());
    let database = open_on(&disk, busy_options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.set_trace_retention(Retention::KeepLast(2)).unwrap();
    call(&run, "call", 0..20).unwrap();
    let fork = run.fork().unwrap();
    let expect = |database: &strata::Database| {
        for id in [run.id(), fork.id()] {
            let run = database.run(id);
            assert_eq!(kind_of(run.begin_execution().effect("call", 0, uncalled)), ErrorKind::HistoryTrimmed);
            assert_eq!(run.effect_get("call", 20).unwrap(), None);
            assert!(run.effect_get("call", 19).unwrap().is_some());
        }
    };
    expect(&database);
    database.close().unwrap();
    let database = open_on(&disk, busy_options(Durability::Strict, 1)).unwrap();
    expect(&database);
    drop(database);
    let database = open_on(&disk.kill(), busy_options(Durability::Strict, 1)).unwrap();
    expect(&database);
    database.close().unwrap();
}

#[test]
fn an_erased_effect_is_neither_returned_nor_called_and_can_be_forked_before() {
    let (database, run) = on_disk();
    assert_eq!(call(&run, "call", 0..3).unwrap(), 3);
    let entity = EntityRef::trace(run.id(), RecordedEffect::id_of("call", 1));
    run.erase(&entity, ErasedVersions::All, "private").unwrap();
    for reader in [&run, &run.fork().unwrap()] {
        let execution = reader.begin_execution();
        execution.effect("call", 0, uncalled).unwrap();
        let error = execution.effect("call", 1, uncalled).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongType);
        assert_eq!(error.message(), "the effect is erased: what came of it is gone");
        assert_eq!(kind_of(reader.effect_get("call", 1)), ErrorKind::WrongType);
        let listed: Vec<_> =
            reader.effects(None, 9).unwrap().effects.iter().map(|effect| effect.value.ordinal).collect();
        assert_eq!(listed, [0, 2]);
        assert_eq!(kind_of(reader.record_effect("call", 1, 1, 1)), ErrorKind::AlreadyExists);
    }
    let fork = run.fork_before_effect("call", 1).unwrap();
    fork.record_effect("call", 1, 1, "nobody").unwrap();
    assert_eq!(call(&fork, "call", 0..3).unwrap(), 1);
    database.close().unwrap();
}

#[test]
fn what_somebody_else_recorded_in_the_place_of_an_effect_is_refused_and_not_listed() {
    let (database, run) = one_run();
    call(&run, "call", 0..1).unwrap();
    let effect = traces_of(&run).remove(0);
    let id = |ordinal| RecordedEffect::id_of("call", ordinal);
    let custom = |kind: &str, content: Value| TraceContent::Custom { kind: kind.into(), content };
    let contents = [
        custom("effect/call", Value::Null),
        custom("effect/call", Value::from([("ordinal", 2.into())])),
        effect.content.clone(),
        custom("step", 1.into()),
        TraceContent::Thought { text: "hm".into(), confidence: None },
    ];
    for (content, ordinal) in contents.into_iter().zip(1..) {
        let tags = vec![RecordedEffect::TAG.to_owned()];
        run.trace_record(NewTrace { tags, ..NewTrace::new(id(ordinal), content) }).unwrap();
        assert_eq!(kind_of(run.effect_get("call", ordinal)), ErrorKind::WrongType);
    }
    let execution = run.begin_execution();
    execution.effect("call", 0, uncalled).unwrap();
    let error = execution.effect("call", 1, uncalled).unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::WrongType, Some(&EntityRef::trace(run.id(), id(1))))
    );
    // A span is none, whatever is in it.
    let span = RecordedEffect {
        name: "span".into(),
        ordinal: 0,
        input: Value::Null,
        input_hash: [0; 32],
        result: Value::Null,
    };
    run.trace_begin(span.into_trace()).unwrap();
    assert_eq!(kind_of(run.begin_execution().effect("span", Value::Null, uncalled)), ErrorKind::WrongType);
    assert_eq!(run.effects(None, 100).unwrap().effects.len(), 1);
    database.close().unwrap();
}
