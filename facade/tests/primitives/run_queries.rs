//! Queries over the runs of all shards, page by page, while runs come and go.

use std::collections::BTreeSet;

use strata::{
    Clock, Database, Durability, ErrorKind, Namespace, RunFilter, RunId, RunPage, RunSpec, RunStatus,
    Timestamp, Value, Writes,
};

use crate::support::{Dice, TestClock, options, seed};

const SHARDS: usize = 3;

fn database() -> Database {
    Database::in_memory_with(options(Durability::InMemory, SHARDS)).unwrap()
}

fn create(database: &Database, count: usize) -> Vec<RunId> {
    (0..count).map(|_| database.create_run(RunSpec::default()).unwrap().id()).collect()
}

fn ids(page: &RunPage) -> Vec<RunId> {
    page.runs.iter().map(|info| info.id).collect()
}

/// Every page of a query, with something done after each.
fn walk(
    database: &Database,
    filter: &RunFilter,
    limit: usize,
    mut between: impl FnMut(usize, Option<RunId>),
) -> Vec<RunId> {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = database.runs(filter, after, limit).unwrap();
        assert!(page.runs.len() <= limit);
        assert!(page.next.is_none_or(|next| after.is_none_or(|after| next > after)), "a query goes on");
        found.extend(ids(&page));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            assert!(found.is_sorted() && BTreeSet::from_iter(&found).len() == found.len(), "in order, once");
            return found;
        }
        between(pages, after);
    }
}

#[test]
fn pages_of_any_size_meet_every_run_once_in_order() {
    let database = database();
    let mut all = create(&database, 50);
    all.sort_unstable();
    let shards: BTreeSet<_> = all.iter().map(|run| database.shard_of(*run)).collect();
    assert_eq!(shards.len(), SHARDS, "the runs are spread");
    for limit in [1, 2, 7, 25, 49, 50, 51, 1_000, usize::MAX] {
        assert_eq!(walk(&database, &RunFilter::default(), limit, |_, _| ()), all, "pages of {limit}");
    }
    let behind_the_last = database.runs(&RunFilter::default(), all.last().copied(), 9).unwrap();
    assert!(behind_the_last.runs.is_empty() && behind_the_last.next.is_none());
    let from_no_run = RunId::from_bytes([0; 16]);
    assert_eq!(ids(&database.runs(&RunFilter::default(), Some(from_no_run), 1_000).unwrap()), all);
}

#[test]
fn a_run_that_stays_is_met_once_while_others_come_and_go() {
    let database = database();
    let ids = create(&database, 60);
    let (stay, go): (Vec<_>, Vec<_>) = ids.iter().enumerate().partition(|(index, _)| index % 2 == 0);
    let mut stay: Vec<RunId> = stay.into_iter().map(|(_, run)| *run).collect();
    let mut go: Vec<RunId> = go.into_iter().map(|(_, run)| *run).collect();
    let (mut gone, mut came) = (Vec::new(), Vec::new());
    let found = walk(&database, &RunFilter::default(), 7, |page, after| {
        // One that was met goes, one that was not goes, and one comes.
        let after = after.expect("the query is under way");
        for is_behind in [false, true] {
            if let Some(index) = go.iter().position(|run| (*run > after) == is_behind) {
                let run = go.swap_remove(index);
                database.run(run).delete_run().unwrap();
                gone.push((run, is_behind));
            }
        }
        if page < 20 {
            came.push(create(&database, 1)[0]);
        }
    });
    for run in &stay {
        assert!(found.contains(run), "{run} was there all the time");
    }
    for (run, was_behind) in &gone {
        assert_eq!(found.contains(run), !was_behind, "{run} was met before it went, or not at all");
    }
    stay.extend(gone.iter().map(|(run, _)| *run).chain(came).chain(go));
    let known = BTreeSet::from_iter(stay);
    assert!(found.iter().all(|run| known.contains(run)), "nothing else was met");
}

#[test]
fn a_status_that_changes_between_pages_is_seen_as_it_then_is() {
    let database = database();
    let mut all = create(&database, 20);
    all.sort_unstable();
    let active = RunFilter { status: Some(RunStatus::Active), ..RunFilter::default() };
    let found = walk(&database, &active, 5, |page, _| {
        if page == 1 {
            database.run(all[1]).end(RunStatus::Completed).unwrap();
            database.run(all[18]).end(RunStatus::Completed).unwrap();
        }
    });
    assert!(found.contains(&all[1]) && !found.contains(&all[18]));
    assert_eq!(found.len(), 19);
}

/// What a run is made of, by chance.
fn spec(dice: &mut Dice, parents: &[RunId]) -> RunSpec {
    RunSpec {
        namespace: Namespace::new(["", "acme"][dice.below(2) as usize], "", ""),
        parent: [None, parents.first().copied(), parents.last().copied()][dice.below(3) as usize],
        tags: (0..dice.below(3)).map(|_| format!("tag-{}", dice.below(3))).collect(),
        metadata: match dice.below(3) {
            0 => Value::Null,
            number => Value::from([("task", Value::Int(number as i64))]),
        },
        ..RunSpec::default()
    }
}

/// A filter with conditions by chance; a third of them each.
fn filter(dice: &mut Dice, parents: &[RunId], created: &[Timestamp]) -> RunFilter {
    let mut wanted = || dice.below(3) == 0;
    let set: [bool; 8] = std::array::from_fn(|_| wanted());
    let time = |dice: &mut Dice| created[dice.below(created.len() as u64) as usize];
    RunFilter {
        status: set[0].then(|| RunStatus::ALL[dice.below(6) as usize]),
        tag: set[1].then(|| format!("tag-{}", dice.below(3))),
        parent: set[2].then(|| parents[dice.below(2) as usize]),
        namespace: set[3].then(|| Namespace::new("acme", "", "")),
        created_from: set[4].then(|| time(dice)),
        created_to: set[5].then(|| time(dice)),
        metadata: set[6].then(|| ("task".to_owned(), Value::Int(1 + dice.below(2) as i64))),
        orphaned: set[7].then(|| dice.below(2) == 0),
    }
}

#[test]
fn every_filter_finds_what_a_look_at_every_run_finds() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let clock = TestClock::at(1_000_000);
    let start = |clock: Clock| Database::start(None, options(Durability::InMemory, SHARDS), clock, None);
    let database = start(clock.clock()).unwrap();
    let parents = create(&database, 2);
    let mut runs = parents.clone();
    for _ in 0..120 {
        clock.advance(std::time::Duration::from_micros(dice.below(3)));
        let run = database.create_run(spec(&mut dice, &parents)).unwrap();
        let status = RunStatus::ALL[dice.below(6) as usize];
        run.update_status(status).unwrap();
        runs.push(run.id());
        if dice.below(10) == 0 {
            run.delete_run().unwrap();
        }
    }
    let there: Vec<_> = runs.iter().filter_map(|run| database.get_run(*run).unwrap()).collect();
    assert!(there.len() < runs.len(), "some are deleted");
    let created: Vec<_> = there.iter().map(|info| info.created).collect();
    for _ in 0..200 {
        let filter = filter(&mut dice, &parents, &created);
        let mut expected: Vec<_> =
            there.iter().filter(|info| filter.matches(info)).map(|info| info.id).collect();
        expected.sort_unstable();
        let limit = 1 + dice.below(30) as usize;
        assert_eq!(walk(&database, &filter, limit, |_, _| ()), expected, "seed {seed}: {filter:?}");
    }
    let refused = database.runs(&RunFilter::default(), None, 0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}
