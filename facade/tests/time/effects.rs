//! Effects: what a program calls in the world is called once, whoever executes it again, and whatever fails in between.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strata::{
    Cause, Clock, Database, Durability, Error, ErrorKind, Execution, Limits, OperationId, Options, Performed,
    Reads, Result, RunHandle, RunSpec, RunStatus, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::{busy_options, one_run, open_on, options, script, seed, sim_path};

/// The world: it answers with what it was asked and how often it was called.
#[derive(Default)]
pub(crate) struct World {
    called: RefCell<Vec<String>>,
}

impl World {
    pub(crate) fn answer(&self, question: &str) -> Result<String> {
        let mut called = self.called.borrow_mut();
        called.push(question.to_owned());
        Ok(format!("{question}: {}", called.len()))
    }

    /// What it was asked since.
    pub(crate) fn take(&self) -> Vec<String> {
        self.called.take()
    }
}

/// A program of five effects, the later ones of which depend on the earlier ones.
pub(crate) fn program(run: &RunHandle, world: &World) -> Result<Vec<Performed>> {
    let execution = run.begin_execution();
    let plan = execution.effect("plan", "a trip", || world.answer("plan"))?;
    let mut all = vec![plan];
    for step in 0..3 {
        let input = format!("{} {}", all.last().unwrap().value, step);
        let found = execution.effect("search", input, || world.answer(&format!("search {step}")))?;
        run.put(&format!("found/{step}"), found.value.clone())?;
        all.push(found);
    }
    let input = all.last().unwrap().value.clone();
    all.push(execution.effect("book", input, || world.answer("book"))?);
    Ok(all)
}

/// What it comes to when nothing of it is called.
fn recalled(performed: &[Performed]) -> Vec<Performed> {
    performed.iter().map(|performed| Performed { is_recalled: true, ..performed.clone() }).collect()
}

/// An effect that is not to be called.
pub(crate) fn uncalled() -> Result<Value> {
    panic!("what is recorded or refused is not called")
}

pub(crate) fn kind_of<T: std::fmt::Debug>(answer: Result<T>) -> ErrorKind {
    answer.expect_err("it is refused").kind()
}

#[test]
fn an_effect_is_called_once_and_returned_whenever_its_program_is_executed_again() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let (disk, world) = (SimDisk::new(seed()), World::default());
        let database = open_on(&disk, busy_options(durability, 1)).unwrap();
        let run = database.create_run(RunSpec::named("run")).unwrap();
        let first = program(&run, &world).unwrap();
        assert_eq!(world.take(), ["plan", "search 0", "search 1", "search 2", "book"]);
        let ordinals: Vec<_> = first.iter().map(|performed| performed.ordinal).collect();
        assert_eq!(ordinals, [0, 0, 1, 2, 0]);
        let versions: Vec<_> = first.iter().map(|performed| performed.version.0).collect();
        assert_eq!(versions, [2, 3, 5, 7, 9], "each is a commit of its own");
        assert!(first.iter().all(|performed| !performed.is_recalled));
        let again = recalled(&first);
        assert_eq!(program(&run, &world).unwrap(), again);
        let fork = run.fork().unwrap();
        assert_eq!(program(&fork, &world).unwrap(), again);
        assert_eq!(program(&fork.fork().unwrap(), &world).unwrap(), again);
        database.close().unwrap();
        let database = open_on(&disk, busy_options(durability, 1)).unwrap();
        for id in [run.id(), fork.id()] {
            assert_eq!(program(&database.run(id), &world).unwrap(), again);
        }
        drop(database);
        let database = open_on(&disk.kill(), busy_options(durability, 1)).unwrap();
        assert_eq!(program(&database.run(run.id()), &world).unwrap(), again);
        assert_eq!(program(&database.run(fork.id()).fork().unwrap(), &world).unwrap(), again);
        assert_eq!(database.run(run.id()).trace_count(None).unwrap().value, 5);
        assert_eq!(world.take(), [""; 0], "nothing is called again");
        database.close().unwrap();
    }
}

#[test]
fn a_program_that_got_less_far_goes_on_behind_what_is_recorded() {
    let (database, run) = one_run();
    let world = World::default();
    let execution = run.begin_execution();
    let plan = execution.effect("plan", "a trip", || world.answer("plan")).unwrap();
    let stopped = execution.effect::<Value, _>("search", format!("{} 0", plan.value), || {
        Err(Error::new(ErrorKind::Io, "the world is away"))
    });
    assert_eq!(kind_of(stopped), ErrorKind::Io);
    drop(execution);
    let whole = program(&run, &world).unwrap();
    assert_eq!(world.take(), ["plan", "search 0", "search 1", "search 2", "book"]);
    assert_eq!((whole[0].is_recalled, whole[1].is_recalled), (true, false));
    database.close().unwrap();
}

#[test]
fn effects_of_one_name_are_counted_and_other_names_do_not_disturb_them() {
    let (database, run) = one_run();
    let calls = [("a", 1), ("b", 1), ("a", 1), ("a", 2), ("b", 9)];
    let execute = |order: &[usize]| {
        let execution = run.begin_execution();
        let one = |place: &usize| {
            let (name, input) = calls[*place];
            let performed = execution.effect(name, input, || Ok::<_, Error>(*place as i64)).unwrap();
            (performed.ordinal, performed.value.as_int().unwrap())
        };
        order.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(execute(&[0, 1, 2, 3, 4]), [(0, 0), (0, 1), (1, 2), (2, 3), (1, 4)]);
    assert_eq!(execute(&[1, 4, 0, 2, 3]), [(0, 1), (1, 4), (0, 0), (1, 2), (2, 3)]);
    // One execution, and a thread for each name.
    let (execution, called) = (run.begin_execution(), AtomicU64::new(0));
    let (execution, called) = (&execution, &called);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for ordinal in 0..50 {
                    let name = format!("of thread {thread}");
                    let call = || Ok::<_, Error>(called.fetch_add(1, Ordering::Relaxed) as i64);
                    let performed = execution.effect(&name, ordinal as i64, call).unwrap();
                    assert_eq!((performed.ordinal, performed.is_recalled), (ordinal, false));
                }
            });
        }
    });
    assert_eq!(called.load(Ordering::Relaxed), 200);
    database.close().unwrap();
}

#[test]
fn another_input_than_the_recorded_one_has_diverged() {
    let (database, run) = one_run();
    let input = Value::from([("city", "Oslo".into()), ("nights", 2.into())]);
    let execution = run.begin_execution();
    execution.effect("search", input.clone(), || Ok::<_, Error>("Grand")).unwrap();
    for other in [Value::Null, "Oslo".into(), Value::from([("nights", 2.into()), ("city", "Oslo".into())])] {
        let execution = run.begin_execution();
        let error = execution.effect("search", other, uncalled).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Diverged);
        let trace = run.trace_list(&Default::default(), None, 1, strata::Direction::Forward).unwrap();
        assert_eq!(error.entity(), Some(&strata::EntityRef::trace(run.id(), trace.traces[0].id)));
        let begin = "effect \"search\" 0 was recorded by commit 2 for another input: its hash is ";
        let end = "; recorded is {\"city\": \"Oslo\", \"nights\": 2}";
        assert!(error.message().starts_with(begin) && error.message().ends_with(end), "{error}");
        let hashes: Vec<_> = error.message().split(' ').filter(|word| word.len() >= 64).collect();
        assert!(hashes.len() == 2 && hashes[0] != hashes[1], "both hashes: {error}");
        // The step was not taken.
        let performed = execution.effect("search", input.clone(), uncalled).unwrap();
        assert_eq!((performed.value.as_str(), performed.ordinal), (Some("Grand"), 0));
    }
    let long = execution.effect("write", "x".repeat(10_000), || Ok::<_, Error>(1)).map(drop);
    long.unwrap();
    let error = run.begin_execution().effect("write", 1, uncalled).unwrap_err();
    assert!(error.message().len() < 600 && error.message().ends_with("xxx ..."), "{error}");
    database.close().unwrap();
}

#[test]
fn an_effect_that_fails_or_panics_is_not_recorded_and_is_the_same_effect_when_it_is_called_again() {
    /// An error of the program's own.
    #[derive(Debug)]
    enum Failure {
        World(&'static str),
        Store(Error),
    }
    impl From<Error> for Failure {
        fn from(error: Error) -> Failure {
            Failure::Store(error)
        }
    }
    let (database, run) = one_run();
    let execution = run.begin_execution();
    let failed = execution.effect::<Value, _>("pay", 1, || Err(Failure::World("declined")));
    assert!(matches!(failed, Err(Failure::World("declined"))));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        execution.effect::<Value, Failure>("pay", 1, || panic!("the card was swallowed"))
    }));
    assert!(panicked.is_err());
    assert_eq!((run.trace_count(None).unwrap().value, run.info().unwrap().version), (0, Version(1)));
    // It may be asked for otherwise, as long as nothing is recorded.
    let paid = execution.effect::<_, Failure>("pay", 2, || Ok("paid")).unwrap();
    assert_eq!((paid.ordinal, paid.is_recalled), (0, false));
    let refused = execution.effect::<Value, Failure>("", 1, || panic!("it has no name"));
    let Err(Failure::Store(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    database.close().unwrap();
}

#[test]
fn of_two_executions_at_once_both_return_what_was_recorded_first() {
    let (database, run) = one_run();
    let (meeting, called) = (std::sync::Barrier::new(2), AtomicU64::new(0));
    for round in 0..50_i64 {
        let one = || {
            let call = || {
                // Neither is recorded before both are called.
                meeting.wait();
                Ok::<_, Error>(called.fetch_add(1, Ordering::Relaxed) as i64)
            };
            run.begin_execution().effect(&format!("round {round}"), round, call).unwrap()
        };
        let (here, there) = std::thread::scope(|scope| {
            let other = scope.spawn(one);
            (one(), other.join().unwrap())
        });
        assert!(here.is_recalled != there.is_recalled, "one of them recorded it");
        assert_eq!((&here.value, here.version), (&there.value, there.version));
        assert!([2 * round, 2 * round + 1].contains(&here.value.as_int().unwrap()));
        let again = run.begin_execution().effect(&format!("round {round}"), round, uncalled).unwrap();
        assert_eq!((again.value, again.version), (here.value, here.version));
    }
    assert_eq!((called.into_inner(), run.trace_count(None).unwrap().value), (100, 50));
    // And the other one asks for something else.
    let outcome = run.begin_execution().effect("differs", 1, || {
        run.begin_execution().effect("differs", 2, || Ok::<_, Error>("inner"))?;
        Ok::<_, Error>("outer")
    });
    assert_eq!(kind_of(outcome), ErrorKind::Diverged);
    database.close().unwrap();
}

#[test]
fn an_effect_uses_the_store_and_other_effects_but_none_of_its_own_name() {
    let (database, run) = one_run();
    let execution = run.begin_execution();
    let outer = || {
        run.append("called", 1)?;
        let inner = execution.effect("inner", 1, || Ok::<_, Error>(run.event_count()?.value as i64))?;
        let own = execution.effect("outer", 1, uncalled);
        assert_eq!(kind_of(own), ErrorKind::InvalidArgument);
        Ok::<_, Error>(inner.value)
    };
    let performed = execution.effect("outer", 1, outer).unwrap();
    assert_eq!(performed.value, Value::Int(1));
    // That it was refused has not ended it.
    let next = execution.effect("outer", 2, || Ok::<_, Error>(2)).unwrap();
    assert_eq!((next.ordinal, run.event_count().unwrap().value), (1, 1));
    database.close().unwrap();
}

#[test]
fn what_cannot_be_recorded_is_not_called() {
    let (database, run) = one_run();
    let refused = |run: &RunHandle, name: &str, input: Value| {
        kind_of(run.begin_execution().effect(name, input, uncalled))
    };
    let invalid = ErrorKind::InvalidArgument;
    for name in ["", "a\0b", &"n".repeat(1018)] {
        assert_eq!(refused(&run, name, Value::Null), invalid, "{name:?}");
    }
    let deep = (0..127).fold(Value::Null, |value, _| Value::Array(vec![value]));
    for input in [Value::Erased, Value::Bytes(vec![0; (16 << 20) + 1]), Value::Bytes(vec![0; 16 << 20]), deep]
    {
        assert_eq!(refused(&run, "call", input), invalid);
    }
    let identified = run.with_operation_id(OperationId([1; 16]));
    assert_eq!(refused(&identified, "call", Value::Null), invalid);
    let nowhere = database.run(script::id_of("nowhere"));
    assert_eq!(refused(&nowhere, "call", Value::Null), ErrorKind::NotFound);
    // On the shard no call is served, this one neither.
    let handle = run.clone();
    let inside =
        run.execute(move |_| Ok::<_, Error>(kind_of(handle.begin_execution().effect("call", 1, uncalled))));
    assert_eq!(inside.unwrap().value, ErrorKind::Unsupported);
    run.begin_execution().effect("call", 1, || Ok::<_, Error>("called")).unwrap();
    run.end(RunStatus::Completed).unwrap();
    let execution = run.begin_execution();
    // What is recorded is returned for ever.
    assert_eq!(execution.effect("call", 1, uncalled).unwrap().value.as_str(), Some("called"));
    let error = execution.effect("call", 1, uncalled).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RunClosed);
    assert!(error.message().starts_with("effect \"call\" 1 is not called: the run is completed"), "{error}");
    database.close().unwrap();
}

#[test]
fn an_effect_is_not_called_in_a_run_that_is_as_large_as_it_may_be() {
    let limits = Limits { run_size_max: 20_000, ..Limits::default() };
    let options = Options { limits, ..options(Durability::Strict, 1) };
    let database = open_on(&SimDisk::new(seed()), options).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let mut key = 0;
    while run.put(&format!("key/{key}"), "x".repeat(100)).is_ok() {
        key += 1;
    }
    let version = run.info().unwrap().version;
    let error = run.begin_execution().effect("pay", 1, uncalled).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("effect \"pay\" 0 is not called: run_size_max is"), "{error}");
    (0..9).for_each(|key| assert!(run.delete(&format!("key/{key}")).unwrap().is_some()));
    run.begin_execution().effect("pay", 1, || Ok::<_, Error>("paid")).unwrap();
    assert_eq!(run.info().unwrap().version, Version(version.0 + 10), "what is only checked makes no commit");
    database.close().unwrap();
}

#[test]
fn a_store_that_is_only_read_returns_what_is_recorded_and_calls_nothing() {
    let (disk, world) = (SimDisk::new(7), World::default());
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let first = program(&run, &world).unwrap();
    database.close().unwrap();
    let options = options(Durability::Strict, 1);
    let reader = Database::start_to_read(sim_path(), options, Clock::System, Some(Arc::new(disk))).unwrap();
    let execution = reader.run(run.id()).begin_execution();
    assert_eq!(execution.effect("plan", "a trip", uncalled).unwrap().value, first[0].value);
    assert_eq!(kind_of(execution.effect("plan", "another", uncalled)), ErrorKind::Unsupported);
    reader.close().unwrap();
}

#[test]
fn a_result_that_cannot_be_recorded_is_told_behind_the_call() {
    let (database, run) = one_run();
    let called = Cell::new(0);
    let execution = run.begin_execution();
    let deep = (0..127).fold(Value::Null, |value, _| Value::Array(vec![value]));
    for result in
        [Value::Erased, Value::Bytes(vec![0; (16 << 20) + 1]), Value::Bytes(vec![0; 16 << 20]), deep]
    {
        let outcome = execution.effect("call", 1, || {
            called.set(called.get() + 1);
            Ok::<_, Error>(result)
        });
        assert_eq!(kind_of(outcome), ErrorKind::InvalidArgument);
    }
    let ended = execution.effect("call", 1, || {
        run.end(RunStatus::Failed)?;
        Ok::<_, Error>(1)
    });
    assert_eq!((kind_of(ended), called.get()), (ErrorKind::RunClosed, 4));
    assert_eq!(run.trace_count(None).unwrap().value, 0);
    database.close().unwrap();
}

#[test]
fn the_first_result_is_the_one_that_is_recalled_to_the_bit() {
    let (database, run) = one_run();
    let of = |execution: &Execution, name: &str, value: f64| {
        let performed = execution.effect(name, 1, || Ok::<_, Error>(value)).unwrap();
        performed.value.as_float().unwrap().to_bits()
    };
    let numbers = [("zero", -0.0), ("none", -f64::NAN), ("tenth", 0.1)];
    let (first, second) = (run.begin_execution(), run.begin_execution());
    for (name, number) in numbers {
        assert_eq!(of(&first, name, number), of(&second, name, 2.0), "{name}");
    }
    database.close().unwrap();
}

#[test]
fn an_effect_is_recorded_with_what_the_handle_says() {
    let disk = SimDisk::new(5);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let cause = Cause::Note("the plan says so".into());
    let execution = run.with_cause(cause.clone()).with_durability(Durability::Strict).begin_execution();
    let performed = execution.effect("call", 1, || Ok::<_, Error>(1)).unwrap();
    let commit = &run.commits(Version(1), 1).unwrap().commits[0];
    assert_eq!((commit.version, commit.timestamp), (performed.version, performed.timestamp));
    assert_eq!((&commit.cause, commit.durability), (&Some(cause), Durability::Strict));
    database.close().unwrap();
}
