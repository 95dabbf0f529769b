//! Taking over into a run what was done in another.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::versions::{disk, keep_all, now, open_at, thought};
use crate::support::{Dice, TestClock, one_run, one_run_on, options, seed};
use strata::{
    Cause, Conflict, Database, DiffPlace, Difference, Direction, Durability, EntityRef, EntryStrategy,
    ErasedVersions, Error, ErrorKind, Limits, Merge, MergeReport, OperationId, Options, Reads, Resolution,
    RunHandle, RunSpec, RunStatus, Strategies, Strategy, TraceContent, TraceEnd, TraceFilter, Value, Writes,
    new_trace,
};
use strata_wal::sim::SimDisk;

/// A store on disk that keeps everything, with a run in it that has something of everything.
fn story(disk: &SimDisk) -> (Database, RunHandle) {
    let database = open_at(disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put_many([("city", "Oslo"), ("hotel", "harbour"), ("gone", "soon")]).unwrap();
    run.cell_set("step", 1).unwrap();
    let plan = Value::from([("days", Value::Int(2)), ("stays", Value::Array(vec!["Oslo".into()]))]);
    run.json_create("plan", plan).unwrap();
    run.append("begun", 1).unwrap();
    (database, run)
}

fn kinds(run: &impl Reads) -> Vec<String> {
    let events = run.events(0, 1_000, Direction::Forward).unwrap().events;
    events.into_iter().map(|event| event.kind).collect()
}

fn of(strategy: Strategy, entries: EntryStrategy) -> Strategies {
    let (keys, cells, documents, events, traces) = (strategy, strategy, strategy, entries, entries);
    Strategies { keys, cells, documents, events, traces }
}

/// What differs between two runs, but for what they say of themselves.
fn apart(one: &RunHandle, other: &RunHandle) -> Vec<Difference> {
    let found = now(one).diff(&now(other), None, 10_000).unwrap().differences;
    found.into_iter().filter(|found| !matches!(found, Difference::Run(_))).collect()
}

#[test]
fn what_a_fork_alone_has_changed_is_taken_over_as_one_commit_and_the_rest_stays() {
    let disk = disk(seed());
    let (database, run) = story(&disk);
    let span = run.trace_begin(new_trace(thought("book"))).unwrap().0;
    let fork = run.fork().unwrap();
    fork.put("hotel", "station").unwrap();
    fork.delete("gone").unwrap();
    fork.cell_set("step", 2).unwrap();
    fork.json_set("plan", "/days", 3).unwrap();
    fork.append("booked", 7).unwrap();
    fork.trace_end(span, TraceEnd::default()).unwrap();
    let (step, _) = fork.trace_record(new_trace(thought("cheaper"))).unwrap();
    fork.set_tags(["tried"]).unwrap();
    run.put("city", "Bergen").unwrap();
    run.json_append("plan", "/stays", "Bergen").unwrap();
    let before = run.info().unwrap().version;

    let preview = run.preview_merge(&Merge::of(&fork)).unwrap();
    assert_eq!((preview.commit, run.info().unwrap().version), (None, before), "nothing is written");
    let report = run.merge(&Merge::of(&fork)).unwrap();
    let commit = report.commit.unwrap();
    assert_eq!(commit.version, before.next(), "one commit");
    assert_eq!(MergeReport { commit: None, ..report.clone() }, preview);
    assert_eq!((&report.conflicts[..], report.theirs), (&[][..], fork.info().unwrap().version));
    let expected = [
        DiffPlace::Key("gone".into()),
        DiffPlace::Key("hotel".into()),
        DiffPlace::Cell("step".into()),
        DiffPlace::Document("plan".into()),
        DiffPlace::Events,
        DiffPlace::Trace(0),
        DiffPlace::Traces,
    ];
    assert_eq!(report.changes, expected);
    let text = |key| run.get(key).unwrap().map(|found| found.value);
    assert_eq!([text("city"), text("hotel")], [Some("Bergen".into()), Some("station".into())]);
    assert_eq!((text("gone"), run.cell_read("step").unwrap().unwrap().value), (None, Value::Int(2)));
    let plan = run.json_get("plan", "").unwrap().unwrap();
    let stays = Value::Array(vec!["Oslo".into(), "Bergen".into()]);
    assert_eq!(
        (plan.value, plan.version),
        (Value::from([("days", Value::Int(3)), ("stays", stays)]), commit.version)
    );
    assert_eq!(kinds(&run), ["begun", "booked"]);
    assert!(run.verify_chain().unwrap().valid);
    assert!(run.trace_get(span).unwrap().unwrap().ended.is_some());
    assert_eq!(run.trace_get(step).unwrap().unwrap().content, thought("cheaper"));
    assert_eq!(run.info().unwrap().tags, [""; 0], "what a run says of itself is its own");

    let told = run.commits(before, 10).unwrap().commits.remove(0);
    assert_eq!(told.cause, Some(Cause::Commit { run: fork.id(), version: report.theirs }));
    assert_eq!(run.merge(&Merge::of(&fork)).unwrap().commit, None, "it is done");
    let digest = now(&run).digest().unwrap();
    database.close().unwrap();
    let database = open_at(&disk, "store", keep_all(1));
    assert_eq!(now(&database.run(run.id())).digest().unwrap(), digest);
}

#[test]
fn nothing_is_merged_while_a_conflict_is_open_and_each_strategy_decides_its_own() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    for (side, name) in [(&run, "ours"), (&fork, "theirs")] {
        side.put("hotel", name).unwrap();
        side.cell_set("step", name).unwrap();
        side.json_set("plan", "/days", name).unwrap();
        side.json_append("plan", "/stays", name).unwrap();
        side.append(name, 0).unwrap();
        side.trace_record(new_trace(thought(name))).unwrap();
    }
    fork.put("city", "Narvik").unwrap();
    let before = now(&run);
    let report = run.merge(&Merge::of(&fork)).unwrap();
    assert!(report.is_open() && report.commit.is_none() && report.changes.is_empty());
    assert_eq!(now(&run).version(), before.version());
    let [hotel, step, days, stays, events, traces] = &report.conflicts[..] else {
        panic!("{} conflicts", report.conflicts.len())
    };
    assert!(report.conflicts.iter().all(|found| found.resolution == Resolution::Open));
    let Conflict::Key(found) = &hotel.conflict else { panic!("{hotel:?}") };
    let held = [&found.base, &found.ours, &found.theirs].map(|state| state.as_ref().unwrap().value.clone());
    assert_eq!((&*found.key, held), ("hotel", ["harbour", "ours", "theirs"].map(Value::from)));
    assert!(matches!(&step.conflict, Conflict::Cell(found) if found.key == "step"));
    let places = [days, stays].map(|found| match &found.conflict {
        Conflict::Place(found) => (found.document.as_str(), found.path.as_str()),
        other => panic!("{other:?}"),
    });
    assert_eq!(places, [("plan", "/days"), ("plan", "/stays")]);
    assert!(
        matches!(&events.conflict, Conflict::Events(found) if found.ours == (1..2) && found.theirs == (1..2))
    );
    assert!(
        matches!(&traces.conflict, Conflict::Traces(found) if found.ours == (0..1) && found.theirs == (0..1))
    );

    let ours = run.fork().unwrap();
    let strategies = of(Strategy::Ours, EntryStrategy::Ours);
    let report = ours.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    assert_eq!(report.changes, [DiffPlace::Key("city".into())], "which only theirs has changed");
    assert!(report.conflicts.iter().all(|found| found.resolution == Resolution::Ours));
    assert_eq!(apart(&run, &ours).len(), 1);

    let strategies = of(Strategy::Theirs, EntryStrategy::Append);
    let report = run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    let resolutions = [[Resolution::Theirs; 2], [Resolution::Theirs; 2], [Resolution::Appended; 2]].concat();
    assert_eq!(report.conflicts.iter().map(|found| found.resolution).collect::<Vec<_>>(), resolutions);
    let left: Vec<_> = apart(&run, &fork).iter().map(Difference::place).collect();
    assert_eq!(
        left,
        [DiffPlace::Events, DiffPlace::Traces],
        "which are in another order, all else is that of theirs"
    );
    assert_eq!(
        (kinds(&run), run.trace_count(None).unwrap().value),
        (vec!["begun".into(), "ours".into(), "theirs".into()], 2)
    );
}

#[test]
fn what_was_merged_is_known_and_the_next_merge_begins_there() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    fork.append("first", 0).unwrap();
    fork.put("hotel", "station").unwrap();
    let first = run.merge(&Merge::of(&fork)).unwrap();
    run.append("own", 0).unwrap();
    fork.append("second", 0).unwrap();
    fork.put("hotel", "airport").unwrap();
    fork.trace_record(new_trace(thought("more"))).unwrap();
    // From where both began, both have changed the hotel; from where the last merge ended, only theirs has.
    let open = run.preview_merge(&Merge::of(&fork)).unwrap();
    assert!(
        open.conflicts
            .iter()
            .any(|found| matches!(&found.conflict, Conflict::Key(found) if found.key == "hotel"))
    );
    let base = fork.at(first.theirs).unwrap().detach().unwrap();
    let strategies = Strategies { events: EntryStrategy::Append, ..Strategies::default() };
    let report = run.merge(&Merge { base: Some(&base), strategies, ..Merge::of(&fork) }).unwrap();
    assert_eq!(report.conflicts.len(), 1, "both have events: {:?}", report.conflicts);
    assert_eq!(kinds(&run), ["begun", "first", "own", "second"]);
    assert_eq!(run.get("hotel").unwrap().unwrap().value, Value::from("airport"));
    let strategies = of(Strategy::Theirs, EntryStrategy::Append);
    let again = run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    assert_eq!((again.commit, kinds(&run).len()), (None, 4));
}

#[test]
fn forks_that_do_not_overlap_merge_to_what_one_run_comes_to_that_does_it_all() {
    let disk = disk(seed());
    let mut dice = Dice::new(seed());
    let database = open_at(&disk, "store", keep_all(1));
    for round in 0..20 {
        let run = database.create_run(RunSpec::default()).unwrap();
        let list = Value::Array((0..6).map(Value::Int).collect());
        run.json_create("doc", Value::from([("list", list), ("map", Value::Object(Vec::new()))])).unwrap();
        for key in 0..30 {
            run.put(&format!("key/{key}"), -1).unwrap();
        }
        let serial = run.fork().unwrap();
        let forks: Vec<RunHandle> = (0..3).map(|_| run.fork().unwrap()).collect();
        for (side, fork) in forks.iter().enumerate() {
            for _ in 0..dice.below(20) {
                let number = dice.below(10) as usize * 3 + side;
                let value = dice.below(1_000) as i64;
                let kind = dice.below(6);
                for target in [fork, &serial] {
                    match kind {
                        0 => drop(target.put(&format!("key/{number}"), value).unwrap()),
                        1 => drop(target.delete(&format!("key/{number}")).unwrap()),
                        2 => drop(target.cell_set(&format!("cell/{number}"), value).unwrap()),
                        3 => drop(
                            target
                                .json_set("doc", &format!("/list/{}", number % 2 * 3 + side), value)
                                .unwrap(),
                        ),
                        4 => drop(target.json_set("doc", &format!("/map/{number}"), value).unwrap()),
                        _ => drop(target.json_delete("doc", &format!("/map/{number}")).unwrap()),
                    }
                }
            }
        }
        for fork in &forks {
            let report = run.merge(&Merge::of(fork)).unwrap();
            assert_eq!(report.conflicts, [], "round {round}");
        }
        // Who adds and takes away members one by one leaves them in another order, so the document is compared member by member.
        let left = apart(&run, &serial);
        assert!(left.iter().all(|found| matches!(found, Difference::Document(_))), "round {round}: {left:?}");
        let document = |run: &RunHandle| {
            let list = run.json_get("doc", "/list").unwrap().unwrap().value;
            let Value::Object(members) = run.json_get("doc", "/map").unwrap().unwrap().value else {
                panic!("an object")
            };
            let members = members.into_iter().map(|(name, value)| (name, value.as_int()));
            (list, members.collect::<BTreeMap<_, _>>())
        };
        assert_eq!(document(&run), document(&serial), "round {round}");
    }
}

#[test]
fn runs_of_one_family_merge_either_way_whatever_became_of_their_parent() {
    let disk = disk(seed());
    let (database, run) = story(&disk);
    let (one, other) = (run.fork().unwrap(), run.fork().unwrap());
    let grandchild = other.fork().unwrap();
    one.put("hotel", "station").unwrap();
    grandchild.put("city", "Narvik").unwrap();
    run.put("new", 1).unwrap();
    assert!(one.merge(&Merge::of(&run)).unwrap().commit.is_some(), "a parent into its child");
    let base = run.info().unwrap().version;
    run.delete_run().unwrap();
    assert!(run.merge(&Merge::of(&one)).is_err());
    database.checkpoint().unwrap();
    let report = one.merge(&Merge::of(&grandchild)).unwrap();
    assert!(report.base < base && report.commit.is_some());
    let values = ["city", "hotel", "new"].map(|key| one.get(key).unwrap().unwrap().value);
    assert_eq!(values, ["Narvik".into(), "station".into(), Value::Int(1)]);
}

#[test]
fn runs_that_have_nothing_in_common_or_live_in_memory_need_a_base() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    let base = now(&run);
    let fork = run.fork().unwrap();
    fork.put("city", "Bergen").unwrap();
    assert_eq!(run.merge(&Merge::of(&fork)).unwrap_err().kind(), ErrorKind::Unsupported);
    let report = run.merge(&Merge { base: Some(&base), ..Merge::of(&fork) }).unwrap();
    assert_eq!((report.base, report.changes.len()), (base.version(), 1));

    let stranger = database.create_run(RunSpec::named("stranger")).unwrap();
    stranger.put("hotel", "harbour").unwrap();
    let error = run.merge(&Merge::of(&stranger)).unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::InvalidArgument, Some(&EntityRef::run(stranger.id())))
    );
    let (_elsewhere, far) = one_run();
    far.put("far", 1).unwrap();
    assert_eq!(run.merge(&Merge::of(&far)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let strategies = of(Strategy::Theirs, EntryStrategy::Append);
    run.merge(&Merge { base: Some(&base), strategies, ..Merge::of(&far) }).unwrap();
    assert_eq!(run.get("city").unwrap(), None, "which is not there in theirs, and was in the base");
    assert!(run.get("far").unwrap().is_some());
}

#[test]
fn whoever_writes_meanwhile_loses_nothing_to_a_merge() {
    let disk = disk(seed());
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.json_create("doc", Value::Object(Vec::new())).unwrap();
    const ROUNDS: i64 = 60;
    let forks: Vec<RunHandle> = (0..ROUNDS)
        .map(|round| {
            let fork = run.fork().unwrap();
            fork.put(&format!("theirs/{round}"), round).unwrap();
            fork.json_set("doc", &format!("/theirs{round}"), round).unwrap();
            fork.append("theirs", round).unwrap();
            fork
        })
        .collect();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..ROUNDS {
                run.json_set("doc", &format!("/ours{round}"), round).unwrap();
                run.append("ours", round).unwrap();
                run.increment("count", 1).unwrap();
            }
        });
        for half in forks.chunks(forks.len() / 2) {
            let run = &run;
            threads.spawn(move || {
                let strategies = Strategies { events: EntryStrategy::Append, ..Strategies::default() };
                for fork in half {
                    let report = run.merge(&Merge { strategies, ..Merge::of(fork) }).unwrap();
                    assert!(report.commit.is_some(), "{:?}", report.conflicts);
                }
            });
        }
    });
    let Value::Object(members) = run.json_get("doc", "").unwrap().unwrap().value else { panic!("an object") };
    assert_eq!((members.len(), run.count("theirs/").unwrap().value), (120, 60));
    assert_eq!((kinds(&run).len(), run.get("count").unwrap().unwrap().value), (120, Value::Int(60)));
}

#[test]
fn deadlines_are_taken_over_and_what_has_expired_on_both_sides_has_changed_on_none() {
    let clock = TestClock::at(1_000_000_000);
    let (_database, run) = one_run_on(&clock);
    run.put_with_ttl("short", 1, Duration::from_secs(10)).unwrap();
    run.put("long", 1).unwrap();
    let base = now(&run);
    let fork = run.fork().unwrap();
    let deadline = strata::Timestamp(clock.now() + 50_000_000);
    fork.set_deadline("long", deadline).unwrap();
    clock.advance(Duration::from_secs(20));
    fork.put("short", 2).unwrap();
    let report = run.merge(&Merge { base: Some(&base), ..Merge::of(&fork) }).unwrap();
    assert_eq!(report.conflicts, []);
    assert_eq!(run.ttl("long").unwrap().unwrap().value, Some(Duration::from_secs(30)));
    assert_eq!(run.get("short").unwrap().unwrap().value, Value::Int(2));
}

#[test]
fn a_span_that_both_have_ended_is_a_conflict_that_only_ours_decides() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let call = |name: &str| TraceContent::ToolCall {
        name: name.into(),
        arguments: Value::Null,
        result: None,
        error: None,
    };
    let spans: Vec<_> =
        ["one", "two"].iter().map(|name| run.trace_begin(new_trace(call(name))).unwrap().0).collect();
    let fork = run.fork().unwrap();
    let end = |result: i64| TraceEnd { result: Some(result.into()), ..TraceEnd::default() };
    run.trace_end(spans[0], end(1)).unwrap();
    fork.trace_end(spans[0], end(2)).unwrap();
    fork.trace_end(spans[1], end(3)).unwrap();
    let append = Strategies { traces: EntryStrategy::Append, ..Strategies::default() };
    let report = run.merge(&Merge { strategies: append, ..Merge::of(&fork) }).unwrap();
    assert!(matches!(&report.conflicts[..], [found] if found.resolution == Resolution::Open));
    let Conflict::Trace(found) = &report.conflicts[0].conflict else { panic!("a trace") };
    assert_eq!((found.ours.id, found.theirs.id), (spans[0], spans[0]));
    let ours = Strategies { traces: EntryStrategy::Ours, ..Strategies::default() };
    let report = run.merge(&Merge { strategies: ours, ..Merge::of(&fork) }).unwrap();
    assert_eq!(report.changes, [DiffPlace::Trace(1)]);
    let open = TraceFilter { is_open: Some(true), ..TraceFilter::default() };
    assert_eq!(run.trace_list(&open, None, 10, Direction::Forward).unwrap().traces, []);
}

#[test]
fn a_merge_has_the_options_of_its_handle_and_is_refused_as_any_write() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    fork.put("hotel", "station").unwrap();
    let id = OperationId([7; 16]);
    let handle = run
        .with_operation_id(id)
        .with_cause(Cause::Note("agreed".into()))
        .with_durability(Durability::Strict);
    let report = handle.merge(&Merge::of(&fork)).unwrap();
    let commit = report.commit.unwrap();
    assert_eq!(commit.durability, Durability::Strict);
    let told = run.commits(strata::Version(commit.version.0 - 1), 1).unwrap().commits.remove(0);
    assert_eq!(told.cause, Some(Cause::Note("agreed".into())));
    let error = handle.merge(&Merge::of(&fork)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "it was done under this id: {error}");
    assert_eq!(run.receipt(id).unwrap().unwrap().commit, commit);

    fork.put("hotel", "airport").unwrap();
    run.end(RunStatus::Completed).unwrap();
    let refused: Error = run
        .merge(&Merge { strategies: of(Strategy::Theirs, EntryStrategy::Fail), ..Merge::of(&fork) })
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RunClosed);
}

#[test]
fn what_was_erased_is_not_merged() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    let base = now(&fork);
    // It is erased in the fork too, but that is nothing the fork has written.
    run.erase(&EntityRef::kv(run.id(), "hotel"), ErasedVersions::All, "asked for").unwrap();
    let whole = Merge { base: Some(&base), ..Merge::of(&fork) };
    let preview = run.preview_merge(&whole).unwrap();
    assert_eq!((preview.changes, preview.conflicts), (vec![], vec![]));
    fork.put("city", "Narvik").unwrap();
    fork.erase(&EntityRef::kv(fork.id(), "city"), ErasedVersions::All, "asked for").unwrap();
    let error = run.merge(&Merge::of(&fork)).unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::Unsupported, Some(&EntityRef::kv(fork.id(), "city")))
    );
    assert_eq!(run.get("hotel").unwrap().unwrap().value, Value::Erased);
}

#[test]
fn what_another_store_holds_and_this_one_would_refuse_is_not_merged() {
    let limits = Limits { depth_max: 3, items_max: 5, ..Limits::default() };
    let narrow = Database::in_memory_with(Options { limits, ..options(Durability::InMemory, 1) }).unwrap();
    let run = narrow.create_run(RunSpec::named("run")).unwrap();
    run.json_create("plan", Value::Object(vec![])).unwrap();
    let (base, version) = (now(&run), run.info().unwrap().version);
    let deep = (0..5).fold(Value::Null, |value, _| Value::from([("m", value)]));
    let many = Value::Array(vec![Value::Null; 6]);
    let custom = |content| TraceContent::Custom { kind: "kind".into(), content };
    let write = |which: u8, run: &RunHandle, value: Value| match which {
        0 => run.put("name", value).map(|commit| commit.version),
        1 => run.cell_set("name", value).map(|commit| commit.version),
        2 => run.json_create("name", value).map(|commit| commit.version),
        3 => run.json_set("plan", "/name", value).map(|commit| commit.version),
        4 => run.append("name", value).map(|appended| appended.commit.version),
        _ => run.trace_record(new_trace(custom(value))).map(|(_, commit)| commit.version),
    };
    let (wide, _) = one_run();
    let strategies = of(Strategy::Theirs, EntryStrategy::Append);
    for (value, limit) in [(&deep, "depth_max is 3"), (&many, "items_max is 5")] {
        for which in 0..6 {
            let far = wide.create_run(RunSpec::default()).unwrap();
            far.json_create("plan", Value::Object(vec![])).unwrap();
            write(which, &far, value.clone()).unwrap();
            let merge = Merge { base: Some(&base), strategies, ..Merge::of(&far) };
            let previewed = run.preview_merge(&merge).unwrap_err();
            let error = run.merge(&merge).unwrap_err();
            assert!(error.message().contains(limit), "{error}");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert_eq!(error.to_string(), previewed.to_string());
        }
    }
    assert_eq!(run.info().unwrap().version, version);
    let far = wide.create_run(RunSpec::default()).unwrap();
    far.put("name", Value::Array(vec![Value::Null; 5])).unwrap();
    assert!(run.merge(&Merge { base: Some(&base), strategies, ..Merge::of(&far) }).unwrap().commit.is_some());
}

#[test]
fn more_than_a_transaction_holds_is_refused_as_one() {
    let disk = disk(seed());
    let limits = strata::Limits { transaction_mutations_max: 10, ..strata::Limits::default() };
    let options = Options { limits, ..options(Durability::Buffered, 1) };
    let database = open_at(&disk, "store", options);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let fork = run.fork().unwrap();
    for key in 0..11 {
        fork.put(&format!("key/{key}"), key).unwrap();
    }
    assert_eq!(run.preview_merge(&Merge::of(&fork)).unwrap().changes.len(), 11);
    assert_eq!(run.merge(&Merge::of(&fork)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    fork.delete("key/0").unwrap();
    assert!(run.merge(&Merge::of(&fork)).unwrap().commit.is_some());
}

#[test]
fn a_trace_that_both_have_under_one_id_is_not_taken_twice_and_is_a_conflict_where_it_is_not_the_same() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    let (span, _) = fork.trace_begin(new_trace(thought("look around"))).unwrap();
    run.merge(&Merge::of(&fork)).unwrap();
    // Effects of one name and ordinal have one id, wherever they are recorded.
    for (side, price) in [(&run, 300), (&fork, 200)] {
        side.record_effect("city", 0, "where", "Oslo").unwrap();
        side.record_effect("price", 0, "hotel", price).unwrap();
    }
    fork.trace_end(span, TraceEnd::default()).unwrap();
    let report = run.merge(&Merge::of(&fork)).unwrap();
    let [found] = &report.conflicts[..] else { panic!("{:?}", report.conflicts) };
    let Conflict::Trace(conflict) = &found.conflict else { panic!("{found:?}") };
    assert_eq!((conflict.ours.content.kind(), found.resolution), ("effect/price", Resolution::Open));
    let strategies = Strategies { traces: EntryStrategy::Ours, ..Strategies::default() };
    let report = run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    assert_eq!(report.changes, [DiffPlace::Traces], "the span that was taken over before has ended");
    assert!(run.trace_get(span).unwrap().unwrap().ended.is_some());
    assert_eq!(run.trace_count(None).unwrap().value, 3);
    assert_eq!(run.effect_get("price", 0).unwrap().unwrap().value.result, Value::Int(300));
    assert_eq!(run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap().commit, None);
}

#[test]
fn a_parent_that_has_trimmed_the_fork_point_merges_into_its_fork() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    run.set_retention(Some(strata::Retention::KeepLast(1))).unwrap();
    for value in 0..20 {
        run.put("k", value).unwrap();
    }
    assert!(fork.merge(&Merge::of(&run)).unwrap().commit.is_some());
}
