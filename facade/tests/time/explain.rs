//! Why a thing is as it is: the commit that made it so, what was before, what happened around it and what led to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use strata::{
    Cause, CauseLost, ChangeEffect, Compaction, Database, Direction, EntityRef, ErrorKind, Event,
    Explanation, NewTrace, Options, PastCommit, Prior, Reads, Retention, RunHandle, RunId, RunSpec,
    RunStatus, Timestamp, Trace, TraceContent, TraceEnd, TraceFilter, TraceId, Value, Version, Writes,
    new_trace,
};
use strata_wal::sim::SimDisk;

use crate::support::versions::{change, disk, file, keep_all};
use crate::support::{Dice, TestClock, number, seed};

fn open(disk: &SimDisk, name: &str, clock: &TestClock, options: Options) -> Database {
    Database::start(Some(file(name)), options, clock.clock(), Some(Arc::new(disk.clone()))).unwrap()
}

fn store(disk: &SimDisk, retention: Retention) -> Database {
    open(disk, "store", &TestClock::at(1_750_000_000_000_000), Options { retention, ..keep_all(1) })
}

fn thought(text: &str, parent: Option<TraceId>) -> NewTrace {
    let content = TraceContent::Thought { text: text.into(), confidence: None };
    NewTrace { parent, ..new_trace(content) }
}

/// The explanation of a thing that has one.
fn why(run: &RunHandle, entity: &EntityRef) -> Explanation {
    run.explain(entity, 10).unwrap().unwrap_or_else(|| panic!("{entity} was changed"))
}

fn before(explained: &Explanation) -> Option<&PastCommit> {
    match &explained.before {
        Prior::Changed(commit) => Some(commit),
        _ => None,
    }
}

fn effect(commit: &PastCommit) -> &ChangeEffect {
    &commit.changes[0].effect
}

#[test]
fn every_primitive_is_explained_by_its_newest_change_and_the_one_before() {
    let disk = disk(40);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let id = run.id();
    let put = |value: i64| ChangeEffect::Put { value: value.into(), deadline: None };
    let key = EntityRef::kv(id, "key");
    let first = run.put("key", 1).unwrap();
    let second = run.put("key", 2).unwrap();
    let found = why(&run, &key);
    assert_eq!((found.commit.version, effect(&found.commit)), (second.version, &put(2)));
    assert_eq!(before(&found).map(|before| (before.version, effect(before))), Some((first.version, &put(1))));
    assert_eq!((found.commit.timestamp, found.commit.durability), (second.timestamp, second.durability));

    let cell = EntityRef::cell(id, "cell");
    run.cell_set("cell", 3).unwrap();
    assert_eq!((effect(&why(&run, &cell).commit), why(&run, &cell).before), (&put(3), Prior::Absent));
    run.cell_delete("cell").unwrap();
    let found = why(&run, &cell);
    assert_eq!((effect(&found.commit), effect(before(&found).unwrap())), (&ChangeEffect::Deleted, &put(3)));

    let document = EntityRef::json(id, "document");
    run.json_create("document", Value::from([("at", 1.into())])).unwrap();
    run.json_set("document", "/at", 2).unwrap();
    let found = why(&run, &document);
    assert!(matches!(effect(&found.commit), ChangeEffect::PlaceSet { path, .. } if path == "/at"));
    assert!(matches!(effect(before(&found).unwrap()), ChangeEffect::DocumentPut { .. }));

    let event = EntityRef::event(id, run.append("step", 5).unwrap().sequence);
    let found = why(&run, &event);
    assert!(matches!(effect(&found.commit), ChangeEffect::Appended { payload, .. } if *payload == 5.into()));
    assert_eq!((found.before, found.events[0].sequence), (Prior::Absent, 0));

    let span = thought("looks", None);
    run.trace_begin(span.clone()).unwrap();
    run.trace_end(span.id, TraceEnd::default()).unwrap();
    let found = why(&run, &EntityRef::trace(id, span.id));
    assert!(matches!(effect(&found.commit), ChangeEffect::TraceEnded { .. }));
    assert!(matches!(effect(before(&found).unwrap()), ChangeEffect::TraceRecorded(_)));
    assert_eq!(found.span, None, "it is not around itself");

    run.set_tags(["tag"]).unwrap();
    run.update_status(RunStatus::Paused).unwrap();
    let found = why(&run, &EntityRef::run(id));
    assert_eq!(effect(&found.commit), &ChangeEffect::StatusSet(RunStatus::Paused));
    assert_eq!(effect(before(&found).unwrap()), &ChangeEffect::TagsSet(vec!["tag".into()]));
    assert_eq!(run.explain(&EntityRef::kv(id, "never"), 1).unwrap(), None);
}

#[test]
fn a_thing_is_explained_as_it_was_at_a_version_and_at_a_time() {
    let (disk, clock) = (disk(41), TestClock::at(1_750_000_000_000_000));
    let database = open(&disk, "store", &clock, keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let key = EntityRef::kv(run.id(), "key");
    let mut commits = Vec::new();
    for number in 0..5 {
        clock.advance(Duration::from_millis(1));
        commits.push(run.put("key", number).unwrap());
        clock.advance(Duration::from_millis(1));
        run.put("other", number).unwrap();
    }
    for (number, commit) in commits.iter().enumerate() {
        for version in [commit.version, commit.version.next()] {
            let found = run.explain_change(&key, version, 0).unwrap().unwrap();
            assert_eq!(found.commit.version, commit.version);
            let was = commits.get(number.wrapping_sub(1)).map(|before| before.version);
            assert_eq!(before(&found).map(|before| before.version), was);
        }
        let time = Timestamp(commit.timestamp.0 + 1);
        assert_eq!(run.explain_change(&key, time, 0).unwrap().unwrap().commit.version, commit.version);
    }
    assert_eq!(
        run.explain_change(&key, Version(1), 0).unwrap(),
        None,
        "the run was created, and nothing put"
    );
    let kind = |outcome: strata::Result<Option<Explanation>>| outcome.unwrap_err().kind();
    for missing in [Version::NEVER, Version(12), Version::PENDING] {
        assert_eq!(kind(run.explain_change(&key, missing, 0)), ErrorKind::VersionNotFound, "{missing}");
    }
    assert_eq!(kind(run.explain_change(&key, Timestamp(1), 0)), ErrorKind::VersionNotFound);
    let elsewhere = EntityRef::kv(RunId::from_bytes([1; 16]), "key");
    assert_eq!(kind(run.explain(&elsewhere, 0)), ErrorKind::InvalidArgument);
    let missing = database.run(RunId::from_bytes([1; 16]));
    assert_eq!(kind(missing.explain(&elsewhere, 0)), ErrorKind::NotFound);
    let in_memory = Database::in_memory().unwrap();
    let light = in_memory.create_run(RunSpec::named("light")).unwrap();
    assert_eq!(kind(light.explain(&EntityRef::run(light.id()), 0)), ErrorKind::Unsupported);
}

#[test]
fn causes_are_followed_through_runs_to_a_depth_and_one_that_is_lost_ends_them() {
    let disk = disk(42);
    let database = store(&disk, Retention::KeepAll);
    let [plan, work] = ["plan", "work"].map(|name| database.create_run(RunSpec::named(name)).unwrap());
    let goal = plan.with_cause(Cause::Note("asked by mail".into())).put("goal", "Oslo").unwrap();
    let cause = Cause::Entity { entity: EntityRef::kv(plan.id(), "goal"), version: goal.version };
    plan.put("goal", "Bergen").unwrap();
    let step = work.with_cause(cause).append("search", "hotels").unwrap().commit;
    let cause = Cause::Commit { run: work.id(), version: step.version };
    work.with_cause(cause.clone()).put("hotel", "by the harbour").unwrap();
    let hotel = EntityRef::kv(work.id(), "hotel");
    let steps = |depth| {
        let found = work.explain(&hotel, depth).unwrap().unwrap();
        assert_eq!(found.commit.cause, Some(cause.clone()));
        let name = |commit: &PastCommit| (commit.run, commit.version);
        Vec::from_iter(found.causes.iter().map(|step| step.commit.as_ref().map(name).map_err(|lost| *lost)))
    };
    let both = [Ok((work.id(), step.version)), Ok((plan.id(), goal.version))];
    assert_eq!((steps(0), steps(1)), (vec![], both[..1].to_vec()));
    assert_eq!((steps(2), steps(usize::MAX)), (both.to_vec(), both.to_vec()), "a note leads to nothing");
    let found = why(&work, &hotel);
    let last = found.causes[1].commit.as_ref().unwrap();
    assert_eq!(last.cause, Some(Cause::Note("asked by mail".into())));
    assert!(matches!(effect(last), ChangeEffect::Put { value, .. } if value.as_str() == Some("Oslo")));
    plan.delete_run().unwrap();
    assert_eq!(steps(9), [both[0], Err(CauseLost::NotKept)], "its history went with it");

    // Causes are what callers say: they may name what never was, and go round in a circle.
    let newest = work.info().unwrap().version;
    let of_own = |version: u64| Cause::Commit { run: work.id(), version: Version(newest.0 + version) };
    work.with_cause(of_own(2)).put("hotel", 1).unwrap();
    work.with_cause(of_own(1)).put("other", 1).unwrap();
    let own = Ok((work.id(), Version(newest.0 + 2)));
    let found = why(&work, &hotel).causes;
    assert_eq!((found.len(), found[1].commit.clone()), (2, Err(CauseLost::Repeated)));
    assert_eq!(
        found[0].commit.as_ref().map(|commit| (commit.run, commit.version)),
        own.map_err(|()| &CauseLost::Missing)
    );
    let light = RunSpec { durability: Some(strata::Durability::InMemory), ..RunSpec::named("light") };
    let light = database.create_run(light).unwrap();
    for (version, run, lost) in [
        (u64::MAX, work.id(), CauseLost::Missing),
        (0, work.id(), CauseLost::Missing),
        (newest.0 + 99, work.id(), CauseLost::Missing),
        (1, RunId::from_bytes([3; 16]), CauseLost::Missing),
        (1, light.id(), CauseLost::InMemory),
    ] {
        for cause in [
            Cause::Commit { run, version: Version(version) },
            Cause::Entity { entity: EntityRef::kv(run, "nothing"), version: Version(version) },
        ] {
            work.with_cause(cause).put("hotel", 1).unwrap();
            assert_eq!(why(&work, &hotel).causes[0].commit, Err(lost), "{version} of {run}");
        }
    }
}

#[test]
fn a_thing_that_was_made_again_was_not_there_before_and_one_that_is_gone_is_found() {
    let disk = disk(43);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let key = EntityRef::kv(run.id(), "key");
    let first = run.put("key", 1).unwrap();
    run.put("other", 1).unwrap();
    let (_, deleted) = (run.put("other", 2).unwrap(), run.delete("key").unwrap().unwrap());
    run.put("other", 3).unwrap();
    let found = why(&run, &key);
    assert_eq!((found.commit.version, effect(&found.commit)), (deleted.version, &ChangeEffect::Deleted));
    assert_eq!(before(&found).unwrap().version, first.version);
    let again = run.put("key", 2).unwrap();
    let found = why(&run, &key);
    assert_eq!((found.commit.version, found.before), (again.version, Prior::Absent));
    // The run goes, and everything in it.
    let gone = run.delete_run().unwrap();
    assert_eq!(run.explain(&key, 1).unwrap_err().kind(), ErrorKind::NotFound);
    database.create_run(RunSpec::named("run")).unwrap();
    let found = why(&run, &key);
    assert_eq!((found.commit.version, effect(&found.commit)), (gone.version, &ChangeEffect::Deleted));
    assert_eq!(found.before, Prior::NotKept, "its history went with it");
    let never = why(&run, &EntityRef::kv(run.id(), "never"));
    assert_eq!((never.commit.version, never.before), (gone.version, Prior::NotKept));
    let newer = run.put("key", 3).unwrap();
    assert_eq!((why(&run, &key).commit.version, why(&run, &key).before), (newer.version, Prior::Absent));
}

#[test]
fn a_change_that_is_no_longer_kept_is_refused_and_one_before_it_is_said_to_be() {
    let disk = disk(44);
    let database = store(&disk, Retention::KeepLast(3));
    let [run, other] = ["run", "other"].map(|name| database.create_run(RunSpec::named(name)).unwrap());
    let early = run.put("still", "there").unwrap();
    for number in 0..200 {
        run.put("key", number).unwrap();
    }
    database.compact(Compaction::Full).unwrap();
    let key = EntityRef::kv(run.id(), "key");
    let found = why(&run, &key);
    assert_eq!(before(&found).unwrap().version.0, found.commit.version.0 - 1);
    let earliest = run.preview_retention(None).unwrap().earliest;
    let oldest = run.explain_change(&key, earliest.next(), 0).unwrap().unwrap();
    assert!(before(&oldest).is_none_or(|before| before.version == earliest), "{oldest:?}");
    for refused in [
        run.explain(&EntityRef::kv(run.id(), "still"), 0),
        run.explain(&EntityRef::kv(run.id(), "never"), 0),
        run.explain_change(&key, early.version, 0),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
        assert!(error.to_string().contains(&format!("from version {earliest} on")), "{error}");
    }
    run.put("still", "here").unwrap();
    assert_eq!(why(&run, &EntityRef::kv(run.id(), "still")).before, Prior::NotKept);
    for cause in [
        Cause::Commit { run: run.id(), version: early.version },
        Cause::Entity { entity: EntityRef::kv(run.id(), "still"), version: early.version },
    ] {
        other.with_cause(cause).put("key", 1).unwrap();
        let found = why(&other, &EntityRef::kv(other.id(), "key"));
        assert_eq!(found.causes[0].commit, Err(CauseLost::NotKept));
    }
}

#[test]
fn the_events_and_the_trace_around_a_commit_are_told_as_far_as_they_are_kept() {
    let disk = disk(45);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let key = EntityRef::kv(run.id(), "key");
    run.put("key", 0).unwrap();
    let found = why(&run, &key);
    assert_eq!((found.events, found.span), (vec![], None));
    let (outer, inner) = (thought("outer", None), thought("inner", None));
    let inner = NewTrace { parent: Some(outer.id), ..inner };
    run.trace_begin(outer.clone()).unwrap();
    run.append("early", 1).unwrap();
    run.trace_begin(inner.clone()).unwrap();
    run.append_many([("in front", 1), ("just in front", 2)]).unwrap();
    run.put("key", 1).unwrap();
    let within_inner = run.info().unwrap().version;
    run.trace_end(inner.id, TraceEnd::default()).unwrap();
    // So many traces that were recorded since below the outer one are not looked at one by one.
    (0..70).for_each(|_| _ = run.trace_record(thought("short", Some(outer.id))).unwrap());
    let mut batch = run.batch();
    batch.put("key", 2).unwrap();
    batch.append_many((0..40).map(|number| ("own", number))).unwrap();
    run.commit(batch).unwrap();
    run.append("behind", 1).unwrap();
    let sequences = |found: &Explanation| Vec::from_iter(found.events.iter().map(|event| event.sequence));
    let found = why(&run, &key);
    assert_eq!((sequences(&found), found.has_more_events), ((2..35).collect(), true));
    assert_eq!(found.span.map(|span| span.id), Some(outer.id));
    let found = run.explain_change(&key, within_inner, 0).unwrap().unwrap();
    assert_eq!((sequences(&found), found.has_more_events), (vec![2], false));
    assert_eq!(found.span.map(|span| (span.id, span.ended.is_some())), Some((inner.id, true)));
    let short = thought("with it", Some(outer.id));
    run.transaction(|tx| {
        tx.trace_record(short.clone())?;
        tx.put("key", 3)
    })
    .unwrap();
    assert_eq!(why(&run, &key).span.map(|span| span.id), Some(short.id));
    let of_inner = why(&run, &EntityRef::trace(run.id(), inner.id));
    assert_eq!(of_inner.span.map(|span| span.id), Some(outer.id));
    // What the run does not keep is not known.
    run.set_event_retention(Retention::KeepLast(1)).unwrap();
    run.set_trace_retention(Retention::KeepLast(1)).unwrap();
    let found = run.explain_change(&key, within_inner, 0).unwrap().unwrap();
    assert_eq!((found.events, found.span), (vec![], None));
    database.compact(Compaction::Full).unwrap();
    let found = why(&run, &key);
    assert_eq!((sequences(&found), found.span.map(|span| span.id)), (vec![43], Some(short.id)));
}

#[test]
fn a_fork_and_an_imported_run_explain_what_they_inherited_as_the_run_that_made_it() {
    let disk = disk(46);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.append("step", 1).unwrap();
    let first = run.put("key", 1).unwrap();
    let second =
        run.with_cause(Cause::Commit { run: run.id(), version: first.version }).put("key", 2).unwrap();
    let fork = run.fork().unwrap();
    run.put("key", "of the parent").unwrap();
    let key = EntityRef::kv(fork.id(), "key");
    let expect = |fork: &RunHandle, cause| {
        let found = fork.explain_change(&key, second.version, 1).unwrap().unwrap();
        assert_eq!((found.entity.clone(), found.commit.run), (key.clone(), run.id()));
        assert_eq!(found.commit.changes[0].entity, key.in_run(run.id()));
        assert_eq!(
            before(&found).map(|before| (before.run, before.version)),
            Some((run.id(), first.version))
        );
        assert_eq!(found.events.len(), 1);
        let led = found.causes[0].commit.as_ref().map(|commit| commit.version).map_err(|lost| *lost);
        assert_eq!(led, cause);
    };
    expect(&fork, Ok(first.version));
    assert_eq!(why(&fork, &key).commit.version, second.version);
    let own = fork.put("key", 3).unwrap();
    let found = why(&fork, &key);
    assert_eq!((found.commit.run, found.commit.version), (fork.id(), own.version));
    assert_eq!(before(&found).map(|before| before.run), Some(run.id()));
    fork.export(file("fork.arc")).unwrap();
    run.delete_run().unwrap();
    database.compact(Compaction::Full).unwrap();
    // What the fork began as is kept for it, and not how that came to be.
    let error = fork.explain_change(&key, second.version, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
    assert_eq!(why(&fork, &key).before, Prior::NotKept);
    let into = open(&disk, "other", &TestClock::at(1_750_000_000_000_000), keep_all(2));
    let imported = into.import(file("fork.arc")).unwrap();
    expect(&imported, Err(CauseLost::Missing));
    let found = why(&imported, &key);
    assert_eq!((found.commit.run, found.commit.version), (fork.id(), own.version));
}

/// A picture of all runs of a store, as plain lists.
struct Lists {
    commits: BTreeMap<RunId, Vec<PastCommit>>,
}

impl Lists {
    fn of(runs: &[RunHandle]) -> Lists {
        let all = |run: &RunHandle| {
            let (mut all, mut behind) = (Vec::new(), Some(Version::NEVER));
            while let Some(from) = behind {
                let page = run.commits(from, 1_000).unwrap();
                all.extend(page.commits);
                behind = page.next;
            }
            (run.id(), all)
        };
        Lists { commits: runs.iter().map(all).collect() }
    }

    fn commit(&self, run: RunId, version: Version) -> Option<PastCommit> {
        self.commits.get(&run)?.iter().find(|commit| commit.version == version).cloned()
    }

    /// The commits up to a version that changed a thing, newest first, each with what it did to that.
    fn changes(&self, entity: &EntityRef, through: Version) -> Vec<PastCommit> {
        let mut found = Vec::new();
        for commit in self.commits.get(&entity.run_id()).into_iter().flatten() {
            let is_of = |change: &strata::Change| {
                let is_trim = matches!(
                    change.effect,
                    ChangeEffect::EventsRemoved { .. } | ChangeEffect::TracesRemoved { .. }
                );
                !is_trim && change.entity.in_run(entity.run_id()) == *entity
            };
            let changes = Vec::from_iter(commit.changes.iter().filter(|change| is_of(change)).cloned());
            if commit.version <= through && !changes.is_empty() {
                found.insert(0, PastCommit { changes, ..commit.clone() });
            }
        }
        found
    }

    fn causes(&self, commit: &PastCommit, depth: usize) -> Vec<Result<PastCommit, CauseLost>> {
        let (mut steps, mut passed) = (Vec::new(), vec![(commit.run, commit.version)]);
        let mut next = commit.cause.clone();
        while steps.len() < depth {
            let named = match next.take() {
                Some(Cause::Commit { run, version }) => self.commit(run, version),
                Some(Cause::Entity { entity, version }) => self.changes(&entity, version).into_iter().next(),
                _ => break,
            };
            let step = named.ok_or(CauseLost::Missing).and_then(|commit| {
                let place = (commit.run, commit.version);
                let is_new = !passed.contains(&place);
                passed.push(place);
                is_new.then_some(commit).ok_or(CauseLost::Repeated)
            });
            next = step.as_ref().ok().and_then(|commit| commit.cause.clone());
            steps.push(step);
        }
        steps
    }
}

fn events_around(run: &RunHandle, version: Version) -> Vec<Event> {
    let all = run.events(0, 100_000, Direction::Forward).unwrap().events;
    let in_front = all.iter().rfind(|event| event.version < version);
    let own = all.iter().filter(|event| event.version == version).take(32);
    in_front.into_iter().chain(own).cloned().collect()
}

fn trace_around(run: &RunHandle, explained: &EntityRef, version: Version) -> Option<Trace> {
    let all = run.trace_list(&TraceFilter::default(), None, 100_000, Direction::Forward).unwrap().traces;
    let last: Vec<_> = all.into_iter().filter(|trace| trace.recorded.version <= version).collect();
    let is_around = |trace: &&Trace| {
        let was_open = trace.ended.is_none() || trace.version > version;
        EntityRef::trace(run.id(), trace.id) != *explained && (was_open || trace.recorded.version == version)
    };
    last.iter().rev().take(64).find(is_around).cloned()
}

fn expect_explained(runs: &[RunHandle], dice: &mut Dice, story: &str) {
    let lists = Lists::of(runs);
    for run in runs {
        let all = &lists.commits[&run.id()];
        let changes = all.iter().flat_map(|commit| &commit.changes);
        let mut things: Vec<_> = changes.map(|change| change.entity.in_run(run.id())).collect();
        things.sort();
        things.dedup();
        things.push(EntityRef::kv(run.id(), "never there"));
        for entity in things {
            let newest = all.last().unwrap().version;
            let at = Version(1 + dice.below(newest.0));
            let depth = dice.below(6) as usize;
            // Numbers may be missing between what was imported and what came behind.
            let at =
                all.iter().rfind(|commit| commit.version <= at).map_or(Version(1), |commit| commit.version);
            let (found, through) = match dice.below(3) {
                0 => (run.explain(&entity, depth), newest),
                _ => (run.explain_change(&entity, at, depth), at),
            };
            let found = found.unwrap_or_else(|error| panic!("{story}: {entity} at {through}: {error}"));
            let expected = lists.changes(&entity, through);
            let Some(commit) = expected.first() else {
                assert_eq!(found, None, "{story}: {entity} at {through}");
                continue;
            };
            let found = found.unwrap_or_else(|| panic!("{story}: {entity} at {through}"));
            assert_eq!(found.commit, *commit, "{story}: {entity} at {through}");
            let before = match commit.changes[0].previous {
                None => Prior::Absent,
                Some(_) => Prior::Changed(Box::new(expected[1].clone())),
            };
            assert_eq!(found.before, before, "{story}: {entity} at {through}");
            assert_eq!(found.events, events_around(run, commit.version), "{story}: {entity} at {through}");
            assert_eq!(found.span, trace_around(run, &entity, commit.version), "{story}: {entity}");
            let causes = Vec::from_iter(found.causes.iter().map(|step| step.commit.clone()));
            assert_eq!(causes, lists.causes(commit, depth), "{story}: {entity} at {through}");
            assert!(found.to_string().starts_with(&entity.to_string()));
        }
    }
}

/// Whatever somebody may say.
fn any_cause(runs: &[RunHandle], dice: &mut Dice) -> Cause {
    let run = runs[dice.below(runs.len() as u64) as usize].id();
    let (version, name) = (Version(dice.below(120)), format!("name/{}", dice.below(9)));
    match dice.below(5) {
        0 => Cause::Note("because".into()),
        1 => Cause::Entity { entity: EntityRef::kv(run, name), version },
        2 => Cause::Entity { entity: EntityRef::cell(run, name), version },
        _ => Cause::Commit { run, version },
    }
}

#[test]
fn what_is_explained_is_what_a_plain_list_of_commits_says() {
    let seed = seed();
    for case in 0..number("STRATA_CASES", 2) {
        let mut dice = Dice::new(seed.wrapping_add(case));
        let (clock, disk) = (TestClock::at(1_750_000_000_000_000), disk(dice.roll()));
        let mut database = open(&disk, "store", &clock, keep_all(1));
        let mut runs = vec![database.create_run(RunSpec::named("run")).unwrap()];
        let mut story = format!("case {case} of {seed}");
        for phase in 0..4 {
            for _ in 0..30 + dice.below(60) {
                let run = &runs[dice.below(runs.len() as u64) as usize];
                clock.advance(Duration::from_micros(dice.below(3)));
                match dice.below(2) {
                    0 => change(&run.with_cause(any_cause(&runs, &mut dice)), &mut dice),
                    _ => change(run, &mut dice),
                }
            }
            let forked = &runs[dice.below(runs.len() as u64) as usize];
            let newest = forked.info().unwrap().version;
            let at = Version(1 + dice.below(newest.0));
            story += &format!(", fork of {} at {at}", forked.id());
            let fork = forked.fork_at(at).unwrap();
            runs.push(fork);
            match phase {
                0 => expect_explained(&runs, &mut dice, &format!("{story}, as it is")),
                1 => drop(database.compact(Compaction::Full).unwrap()),
                _ => drop(database.compact(Compaction::WalOnly).unwrap()),
            }
            if dice.below(2) == 0 {
                story += ", opened again";
                database.close().unwrap();
                database = open(&disk, "store", &clock, keep_all(1));
                runs = runs.iter().map(|run| database.run(run.id())).collect();
            }
        }
        expect_explained(&runs, &mut dice, &story);
        let exported = &runs[dice.below(runs.len() as u64) as usize];
        exported.export(file("run.arc")).unwrap();
        let into = open(&disk, "other", &clock, keep_all(2));
        let imported = into.import(file("run.arc")).unwrap();
        (0..30).for_each(|_| change(&imported, &mut dice));
        expect_explained(&[imported], &mut dice, &format!("{story}, imported"));
    }
}

#[test]
fn an_explanation_prints_as_some_lines() {
    let disk = disk(47);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let id = run.id();
    let found = run.append("search", "hotels").unwrap().commit;
    run.put("hotel", "by the station").unwrap();
    let cause = Cause::Commit { run: id, version: found.version };
    run.with_cause(cause.clone()).put("hotel", "x".repeat(500)).unwrap();
    let commit = |version: u64| format!("commit {version} of run {id} at 1750000000000000, buffered");
    let long = format!("put \"{}...", "x".repeat(119));
    let lines = [
        format!("kv:{id}/hotel"),
        format!("  {}, caused by commit 2 of run {id}: {long}", commit(4)),
        format!("  before: {}: put \"by the station\"", commit(3)),
        "  event 0, commit 2: search \"hotels\"".to_string(),
        format!("  because of {}: event:{id}/0 appended search \"hotels\"", commit(2)),
    ];
    assert_eq!(why(&run, &EntityRef::kv(id, "hotel")).to_string(), lines.join("\n") + "\n");
    let lost = Cause::Entity { entity: EntityRef::kv(id, "nothing"), version: Version(1) };
    run.with_cause(lost).delete("hotel").unwrap();
    let text = why(&run, &EntityRef::kv(id, "hotel")).to_string();
    assert!(text.contains(&format!("because of kv:{id}/nothing at version 1, which is not there")), "{text}");
}
