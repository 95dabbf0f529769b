//! The examples of docs/time.md: each is lines of one of these tests.

use strata::{
    Cause, ChangeEffect, Database, DiffPlace, Difference, EntityRef, EntryStrategy, ErrorKind, Merge,
    Options, Parting, Performed, Prior, Reads, Resolution, Retention, RunHandle, RunSpec, Strategies,
    Strategy, Value, Version, Writes,
};
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A store with a run, whose first commit has created it.
fn begun() -> Result<(TempDir, Database, RunHandle)> {
    let place = tempfile::tempdir()?;
    let database = Database::open(place.path().join("trip.db"), Options::default())?;
    let run = database.begin_run(RunSpec::named("trip"))?;
    Ok((place, database, run))
}

#[test]
fn the_page_of_time_shows_versions_as_they_were() -> Result<()> {
    let (_place, database, run) = begun()?;
    let oslo = run.put("city", "Oslo")?; // commit 2: creating the run was the first
    let bergen = run.put("city", "Bergen")?;
    assert_eq!(run.at(oslo.version)?.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    assert_eq!(run.at_time(bergen.timestamp)?.version(), bergen.version); // the newest that is not later
    assert_eq!(run.at(Version(9)).unwrap_err().kind(), ErrorKind::VersionNotFound);
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_holds_a_view_and_leads_a_replay() -> Result<()> {
    let (_place, database, run) = begun()?;
    let view = run.snapshot()?.detach()?; // in our hands: it is read without the store
    run.put("city", "Oslo")?;
    assert!(view.get("city")?.is_none());

    let mut replay = run.replay()?; // from the first version that is kept
    while let Some(commit) = replay.step()? {
        assert_eq!(replay.view().version(), commit.version);
    }
    assert_eq!(replay.view().digest()?, run.snapshot()?.detach()?.digest()?);
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_follows_a_thing_back() -> Result<()> {
    let (_place, database, run) = begun()?;
    let found = run.append("found", "the fjord is in Bergen")?;
    let why =
        Cause::Entity { entity: EntityRef::event(run.id(), found.sequence), version: found.commit.version };
    run.put("city", "Oslo")?;
    run.with_cause(why.clone()).put("city", "Bergen")?;

    let history = run.history(&EntityRef::kv(run.id(), "city"), 10, None)?; // newest first
    let newest = &history.commits[0];
    assert_eq!((newest.version, newest.cause.as_ref()), (Version(4), Some(&why)));
    assert_eq!(newest.changes[0].previous, Some(Version(3)));
    assert_eq!(newest.changes[0].effect, ChangeEffect::Put { value: "Bergen".into(), deadline: None });
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_tells_what_differs() -> Result<()> {
    let (_place, database, run) = begun()?;
    run.json_create("plan", Value::from([("city", "Oslo".into()), ("nights", 2.into())]))?;
    run.append("begun", "a trip")?;
    let before = run.snapshot()?.detach()?;
    run.json_set("plan", "/nights", 3)?;
    run.append("booked", "the harbour view")?;

    let page = before.diff(&run.snapshot()?.detach()?, None, 100)?;
    let places: Vec<DiffPlace> = page.differences.iter().map(Difference::place).collect();
    assert_eq!(places, [DiffPlace::Document("plan".into()), DiffPlace::Events]);
    let Difference::Events(events) = &page.differences[1] else { panic!("one more was appended") };
    assert_eq!((events.parting, events.before.clone(), events.after.clone()), (Parting::At(1), 0..1, 0..2));
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_forks_a_run() -> Result<()> {
    let (_place, database, run) = begun()?;
    let oslo = run.put("city", "Oslo")?;
    run.put("city", "Bergen")?;
    let fork = run.fork_at(oslo.version)?;
    fork.put("hotel", "harbour view")?;
    assert_eq!(fork.get("city")?.unwrap().version, oslo.version); // inherited, and it kept its version
    assert_eq!(fork.info()?.version, Version(4)); // 3 is the record of the fork
    assert!(run.get("hotel")?.is_none());

    let lineage = database.lineage()?;
    let tree: Vec<_> = lineage.tree(run.id()).iter().map(|node| (node.depth, node.run)).collect();
    assert_eq!(tree, [(0, run.id()), (1, fork.id())]);
    assert_eq!(lineage.common_ancestor(run.id(), fork.id()).unwrap().version, oslo.version);
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_gives_history_up_but_not_that_of_a_fork() -> Result<()> {
    let (_place, database, run) = begun()?;
    let oslo = run.put("city", "Oslo")?;
    let fork = run.fork()?;
    run.put("city", "Bergen")?;
    run.set_retention(Retention::KeepLast(1))?;
    drop(database.checkpoint()?); // retention takes effect when an image is written
    assert_eq!(run.at(oslo.version).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(fork.at(oslo.version)?.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_explains_a_change() -> Result<()> {
    let (_place, database, run) = begun()?;
    let found = run.append("found", "the fjord is in Bergen")?;
    run.put("city", "Oslo")?;
    let why = Cause::Commit { run: run.id(), version: found.commit.version };
    let bergen = run.with_cause(why).put("city", "Bergen")?;
    let why = Cause::Commit { run: run.id(), version: bergen.version };
    run.with_cause(why).put("hotel", "harbour view")?;

    let hotel = run.explain(&EntityRef::kv(run.id(), "hotel"), 2)?.unwrap();
    let back: Vec<_> = hotel.causes.iter().map(|step| step.commit.as_ref().unwrap().version).collect();
    assert_eq!(back, [bergen.version, found.commit.version]);
    let city = run.explain_change(&EntityRef::kv(run.id(), "city"), bergen.version, 0)?.unwrap();
    let Prior::Changed(before) = &city.before else { panic!("it was Oslo") };
    assert_eq!(before.changes[0].effect, ChangeEffect::Put { value: "Oslo".into(), deadline: None });
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_calls_effects_once() -> Result<()> {
    let (_place, database, run) = begun()?;
    let program = |run: &RunHandle| -> std::result::Result<Performed, strata::Error> {
        let execution = run.begin_execution();
        let price = execution.effect("price", "hotel", || Ok::<_, strata::Error>(310))?;
        let price = price.value.as_int().unwrap();
        execution.effect("nights", price, || Ok::<_, strata::Error>(600 / price))
    };
    assert_eq!(program(&run)?.value, Value::Int(1));
    assert!(program(&run)?.is_recalled); // nothing is called

    let fork = run.fork_before_effect("price", 0)?;
    fork.record_effect("price", 0, "hotel", 200)?; // what if it had been cheaper?
    assert_eq!(program(&fork)?.value, Value::Int(3));
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_merges_a_fork() -> Result<()> {
    let (_place, database, run) = begun()?;
    run.json_create("plan", Value::from([("city", "Oslo".into()), ("nights", 2.into())]))?;
    let fork = run.fork()?;
    run.json_set("plan", "/city", "Bergen")?;
    fork.json_set("plan", "/nights", 3)?; // another place: no conflict
    run.put("hotel", "station")?;
    fork.put("hotel", "harbour view")?; // the same key: a conflict

    let preview = run.preview_merge(&Merge::of(&fork))?; // writes nothing
    assert!(preview.is_open());
    let strategies =
        Strategies { keys: Strategy::Theirs, events: EntryStrategy::Append, ..Strategies::default() };
    let report = run.merge(&Merge { strategies, ..Merge::of(&fork) })?;
    assert_eq!(report.conflicts[0].resolution, Resolution::Theirs);
    assert_eq!(run.json_get("plan", "")?.unwrap().value.to_string(), r#"{"city": "Bergen", "nights": 3}"#);

    fork.put("breakfast", "at seven")?;
    let base = fork.at(report.theirs)?.detach()?; // what was merged of it already
    let again = run.merge(&Merge { base: Some(&base), ..Merge::of(&fork) })?;
    assert_eq!(again.changes, [DiffPlace::Key("breakfast".into())]);
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_compares_three() -> Result<()> {
    let (_place, database, run) = begun()?;
    let base = run.snapshot()?.detach()?;
    let fork = run.fork()?;
    run.put("city", "Bergen")?;
    fork.put("hotel", "harbour view")?;
    let [ours, theirs] = [run.snapshot()?.detach()?, fork.snapshot()?.detach()?];
    let page = base.three_way(&ours, &theirs, None, 100)?;
    let taken: Vec<_> = page.differences.iter().filter_map(|found| found.taken.as_ref()).collect();
    assert!(matches!(taken[..], [Difference::Key(key)] if key.key == "hotel"));
    assert!(page.differences.iter().all(|found| found.conflicts.is_empty()));
    Ok(database.close()?)
}

#[test]
fn the_page_of_time_reverts_a_run_and_one_thing() -> Result<()> {
    let (_place, database, run) = begun()?;
    let before = run.put_many([("city", "Oslo"), ("hotel", "station")])?.unwrap().version;
    run.put_many([("city", "Bergen"), ("hotel", "harbour view")])?;
    run.append("booked", "the harbour view")?;
    let city = EntityRef::kv(run.id(), "city");
    run.revert_entity(&city, before)?; // the city alone
    assert_eq!(run.get("hotel")?.unwrap().value.as_str(), Some("harbour view"));
    let commit = run.revert(before)?.unwrap(); // all of it
    assert_eq!(run.get("hotel")?.unwrap().value.as_str(), Some("station"));
    assert_eq!((commit.version, run.event_count()?.value), (Version(6), 1)); // what happened stays
    Ok(database.close()?)
}
