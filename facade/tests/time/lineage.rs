//! Who was forked from whom, against a plain list of what was done.

use std::collections::BTreeMap;

use crate::support::versions::{change_inherited, disk, file, keep_all, open_at};
use crate::support::{Dice, busy_options, number, open_on, options, seed};
use strata::{
    Compaction, Database, Durability, ErrorKind, ForkNode, ForkPoint, Lineage, Reads, RunHandle, RunId,
    RunSpec, Version, Writes,
};
use strata_wal::sim::SimDisk;

struct Member {
    id: RunId,
    parent: Option<ForkPoint>,
    newest: Version,
    exists: bool,
}

/// All runs that there ever were.
#[derive(Default)]
struct Family(Vec<Member>);

impl Family {
    fn add(&mut self, run: &RunHandle, parent: Option<ForkPoint>) {
        let newest = run.info().unwrap().version;
        self.0.push(Member { id: run.id(), parent, newest, exists: true });
    }

    fn of(&self, id: RunId) -> &Member {
        self.0.iter().find(|member| member.id == id).unwrap()
    }

    /// Which run wrote a version of this one.
    fn owner(&self, id: RunId, version: Version) -> RunId {
        match self.of(id).parent {
            Some(parent) if version <= parent.version => self.owner(parent.run, version),
            _ => id,
        }
    }

    fn common(&self, one: RunId, other: RunId) -> Option<ForkPoint> {
        let newest = self.of(one).newest.min(self.of(other).newest);
        let mut versions = (1..=newest.0).rev().map(Version);
        let version = versions.find(|version| self.owner(one, *version) == self.owner(other, *version))?;
        Some(ForkPoint { run: self.owner(one, version), version })
    }

    fn descends(&self, id: RunId, from: RunId) -> bool {
        let parent = self.of(id).parent;
        parent.is_some_and(|parent| parent.run == from || self.descends(parent.run, from))
    }

    /// Those from which a run that is there descends, and those that are there.
    fn needed(&self) -> impl Iterator<Item = &Member> {
        let is_needed = |member: &&Member| {
            let mut others = self.0.iter().filter(|other| other.exists);
            member.exists || others.any(|other| self.descends(other.id, member.id))
        };
        self.0.iter().filter(is_needed)
    }

    fn compare(&self, lineage: &Lineage, story: &str) {
        for member in self.needed() {
            let id = member.id;
            assert_eq!((lineage.parent(id), lineage.exists(id)), (member.parent, member.exists), "{story}");
            let mut forks: Vec<_> = self
                .needed()
                .filter_map(|fork| {
                    let parent = fork.parent.filter(|parent| parent.run == id)?;
                    Some((parent.version, fork.id))
                })
                .collect();
            forks.sort();
            let told: Vec<_> = lineage.forks(id).map(|(fork, version)| (version, fork)).collect();
            let told_and_needed: Vec<_> = told
                .iter()
                .copied()
                .filter(|(_, fork)| self.needed().any(|member| member.id == *fork))
                .collect();
            assert_eq!(told_and_needed, forks, "forks of {id}: {story}");
            assert!(told.iter().all(
                |(version, fork)| self.of(*fork).parent == Some(ForkPoint { run: id, version: *version })
            ));
            self.compare_tree(id, &lineage.tree(id), story);
            for other in self.needed() {
                assert_eq!(
                    lineage.common_ancestor(id, other.id),
                    self.common(id, other.id),
                    "of {id} and {}: {story}",
                    other.id
                );
            }
        }
    }

    fn compare_tree(&self, top: RunId, tree: &[ForkNode], story: &str) {
        let depth = |mut id: RunId| {
            (0..).find(|_| {
                let is_top = id == top;
                id = self.of(id).parent.map_or(id, |parent| parent.run);
                is_top
            })
        };
        let below = self.needed().filter(|member| member.id == top || self.descends(member.id, top));
        let expected: BTreeMap<RunId, _> = below.map(|member| (member.id, depth(member.id))).collect();
        let told = tree.iter().filter(|node| expected.contains_key(&node.run));
        let told: BTreeMap<RunId, _> = told.map(|node| (node.run, Some(node.depth))).collect();
        assert_eq!(told, expected, "the tree of {top}: {story}");
        for pair in tree.windows(2) {
            assert!(pair[1].depth <= pair[0].depth + 1, "nothing is between a run and its fork: {tree:?}");
        }
    }
}

fn grow(database: &Database, family: &mut Family, dice: &mut Dice, story: &mut String) {
    let there: Vec<RunId> = family.0.iter().filter(|member| member.exists).map(|member| member.id).collect();
    let Some(id) = there.get(dice.below(there.len().max(1) as u64) as usize) else {
        return family.add(&database.create_run(RunSpec::default()).unwrap(), None);
    };
    let run = database.run(*id);
    match dice.below(10) {
        0..=4 => change_inherited(&run, dice),
        5..=7 => {
            let version = Version(1 + dice.below(family.of(*id).newest.0));
            let fork = match run.fork_at(version) {
                Ok(fork) => fork,
                // What has been given up, or a deleted run was.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error:?}");
                    run.fork().unwrap()
                }
            };
            let parent = fork.info().unwrap().forked_from.unwrap();
            assert_eq!(
                family.owner(*id, parent.version),
                parent.run,
                "it is a fork of who wrote that version"
            );
            *story += &format!("fork {id} at {}: {}\n", parent.version, fork.id());
            family.add(&fork, Some(parent));
        }
        8 => family.add(&database.create_run(RunSpec::default()).unwrap(), None),
        _ => {
            run.delete_run().unwrap();
            *story += &format!("delete {id}\n");
            let member = family.0.iter_mut().find(|member| member.id == *id).unwrap();
            (member.exists, member.newest) = (false, Version(member.newest.0 + 1));
            return;
        }
    }
    let newest = run.info().unwrap().version;
    family.0.iter_mut().find(|member| member.id == *id).unwrap().newest = newest;
}

#[test]
fn parents_forks_trees_and_common_ancestors_are_those_of_what_was_done() {
    let first = seed();
    for round in 0..number("STRATA_ROUNDS", 4) {
        let mut dice = Dice::new(first + round);
        println!("round {round}: STRATA_SEED={} STRATA_ROUNDS=1", first + round);
        let mut disk = disk(dice.roll());
        let mut shards = 1 + dice.below(3) as usize;
        let options = |shards| match (first + round) % 2 {
            0 => keep_all(shards),
            _ => busy_options(Durability::Buffered, shards),
        };
        let mut database = open_at(&disk, "store", options(shards));
        let (mut family, mut story) = (Family::default(), String::new());
        for step in 0..100 {
            grow(&database, &mut family, &mut dice, &mut story);
            match dice.below(20) {
                0 => {
                    disk = disk.kill();
                    database = open_at(&disk, "store", options(shards));
                    story += "kill\n";
                }
                1 => {
                    database.close().unwrap();
                    shards = 1 + dice.below(3) as usize;
                    database = open_at(&disk, "store", options(shards));
                    story += "reopen\n";
                }
                2 => {
                    database.compact(Compaction::Full).unwrap();
                    story += "compact\n";
                }
                _ => {}
            }
            if step % 5 == 0 {
                family.compare(&database.lineage().unwrap(), &story);
            }
        }
    }
}

#[test]
fn an_imported_run_keeps_whom_it_was_forked_from_and_a_store_without_it_says_so() {
    let disk = disk(1);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    let fork = run.fork().unwrap();
    fork.put("key", 2).unwrap();
    fork.export(file("fork.arc")).unwrap();
    let point = ForkPoint { run: run.id(), version: Version(2) };
    let elsewhere = open_at(&disk, "elsewhere", keep_all(1));
    elsewhere.import(file("fork.arc")).unwrap();
    let lineage = elsewhere.lineage().unwrap();
    assert_eq!((lineage.parent(fork.id()), lineage.exists(run.id())), (Some(point), false));
    assert_eq!(lineage.ancestors(fork.id()), [point]);
    let tree: Vec<_> =
        lineage.tree(run.id()).iter().map(|node| (node.run, node.depth, node.exists)).collect();
    assert_eq!(tree, [(run.id(), 0, false), (fork.id(), 1, true)]);
    run.export(file("run.arc")).unwrap();
    elsewhere.import(file("run.arc")).unwrap();
    // That both archives are of one life is not known.
    let lineage = elsewhere.lineage().unwrap();
    assert_eq!((lineage.parent(fork.id()), lineage.exists(run.id())), (Some(point), true));
    assert_eq!((lineage.common_ancestor(fork.id(), run.id()), lineage.forks(run.id()).count()), (None, 0));
    assert_eq!(tops(&lineage, run.id()), [(run.id(), true, 0), (run.id(), false, 1)]);
}

/// The tops of a tree, whether they are there, and how many there are below each.
fn tops(lineage: &Lineage, run: RunId) -> Vec<(RunId, bool, usize)> {
    let mut tops: Vec<(RunId, bool, usize)> = Vec::new();
    for node in lineage.tree(run) {
        match (node.depth, tops.last_mut()) {
            (0, _) => tops.push((node.run, node.exists, 0)),
            (_, Some((.., below))) => *below += 1,
            (_, None) => panic!("a tree begins with its top"),
        }
    }
    tops
}

/// A run that was begun, forked, deleted and begun anew, with a fork of each life.
fn begun_anew(database: &Database) -> [RunId; 3] {
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    let fork = run.fork().unwrap();
    let _ = database.checkpoint();
    run.delete_run().unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put("key", 2).unwrap();
    [run.id(), fork.id(), run.fork().unwrap().id()]
}

fn assert_apart(lineage: &Lineage, [run, fork, other]: [RunId; 3]) {
    for one in [run, other] {
        assert_eq!(lineage.common_ancestor(one, fork), None);
        assert_eq!(lineage.common_ancestor(fork, one), None);
    }
    assert_eq!(lineage.common_ancestor(run, other), lineage.parent(other));
    assert_eq!(lineage.forks(run).map(|(fork, _)| fork).collect::<Vec<_>>(), [other]);
    assert_eq!(tops(lineage, run), [(run, true, 1), (run, false, 1)]);
}

#[test]
fn a_run_that_was_begun_anew_has_nothing_in_common_with_forks_of_its_life_before() {
    let in_memory = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let runs = begun_anew(&in_memory);
    assert_apart(&in_memory.lineage().unwrap(), runs);
    for options in [options(Durability::Buffered, 1), busy_options(Durability::Buffered, 1), keep_all(1)] {
        let disk = disk(1);
        let database = open_at(&disk, "store", options.clone());
        let runs = begun_anew(&database);
        assert_apart(&database.lineage().unwrap(), runs);
        // What a kill leaves is not applied at once.
        let disk = disk.kill();
        let database = open_at(&disk, "store", options.clone());
        assert_apart(&database.lineage().unwrap(), runs);
        for number in 0..10 {
            database.run(runs[0]).put("key", number).unwrap();
        }
        database.checkpoint().unwrap();
        assert_apart(&database.lineage().unwrap(), runs);
        database.close().unwrap();
        let database = open_at(&disk, "store", options.clone());
        assert_apart(&database.lineage().unwrap(), runs);
        // Whether what ended was one life or two is not known, but what one commit left is.
        let [run, fork, other] = runs.map(|id| database.run(id));
        let same = fork.fork_at(Version(2)).unwrap();
        run.delete_run().unwrap();
        let lineage = database.lineage().unwrap();
        assert_eq!(lineage.common_ancestor(fork.id(), other.id()), None);
        assert_eq!(lineage.common_ancestor(fork.id(), same.id()), lineage.parent(fork.id()));
        assert_eq!(tops(&lineage, run.id()), [(run.id(), false, 3)]);
    }
}

/// What it gives up is not what its forks have in common with it, and its life began when its description says, whatever the clock says.
#[test]
fn a_run_with_a_name_has_in_common_with_its_forks_what_it_has_given_up_since() {
    let disk = SimDisk::new(1);
    let options = || busy_options(Durability::Buffered, 1);
    // The time stands still.
    let database = open_on(&disk, options()).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    let before = run.fork().unwrap();
    run.delete_run().unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put("key", 0).unwrap();
    let forked = run.info().unwrap().version;
    let (one, other) = (run.fork().unwrap(), run.fork().unwrap());
    for number in 0..100 {
        run.put("key", number).unwrap();
    }
    database.checkpoint().unwrap();
    assert_eq!(run.at(forked).map(drop).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    database.close().unwrap();
    let database = open_on(&disk, options()).unwrap();
    let lineage = database.lineage().unwrap();
    let point = Some(ForkPoint { run: run.id(), version: forked });
    assert_eq!(lineage.common_ancestor(one.id(), run.id()), point);
    assert_eq!(lineage.common_ancestor(one.id(), other.id()), point);
    assert_eq!(lineage.common_ancestor(before.id(), run.id()), None);
    assert_eq!(lineage.common_ancestor(before.id(), one.id()), None);
}

#[test]
fn forks_of_what_came_with_an_archive_have_it_in_common_with_the_run() {
    let disk = disk(1);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    for number in 0..3 {
        run.put("key", number).unwrap();
    }
    run.export(file("run.arc")).unwrap();
    let elsewhere = open_at(&disk, "elsewhere", keep_all(1));
    let run = elsewhere.import(file("run.arc")).unwrap();
    let (older, old) = (run.fork_at(Version(2)).unwrap(), run.fork_at(Version(3)).unwrap());
    let new = run.fork().unwrap();
    let at = |version| Some(ForkPoint { run: run.id(), version: Version(version) });
    let lineage = elsewhere.lineage().unwrap();
    assert_eq!(lineage.common_ancestor(older.id(), run.id()), at(2));
    assert_eq!(lineage.common_ancestor(old.id(), new.id()), at(3));
    assert_eq!(lineage.common_ancestor(new.id(), run.id()), lineage.parent(new.id()));
    run.delete_run().unwrap();
    let lineage = elsewhere.lineage().unwrap();
    assert_eq!(lineage.common_ancestor(older.id(), old.id()), at(2));
    let run = elsewhere.begin_run(RunSpec::named("run")).unwrap();
    let lineage = elsewhere.lineage().unwrap();
    let common = [older, old, new].map(|fork| lineage.common_ancestor(fork.id(), run.id()));
    assert_eq!(
        (common, tops(&lineage, run.id())),
        ([None; 3], vec![(run.id(), true, 0), (run.id(), false, 3)])
    );
}

#[test]
fn a_fork_that_was_imported_has_nothing_in_common_with_a_namesake_of_its_parent() {
    let disk = disk(1);
    let store = open_at(&disk, "store", keep_all(1));
    let run = store.begin_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    let fork = run.fork().unwrap();
    fork.export(file("fork.arc")).unwrap();
    let other = open_at(&disk, "other", keep_all(1));
    let namesake = other.begin_run(RunSpec::named("run")).unwrap();
    namesake.put("key", 2).unwrap();
    other.import(file("fork.arc")).unwrap();
    let sibling = namesake.fork().unwrap();
    let lineage = other.lineage().unwrap();
    assert_eq!(lineage.common_ancestor(namesake.id(), fork.id()), None);
    assert_eq!(lineage.common_ancestor(fork.id(), sibling.id()), None);
    assert_eq!(lineage.ancestors(fork.id()), [ForkPoint { run: run.id(), version: Version(2) }]);
    assert_eq!(tops(&lineage, run.id()), [(run.id(), true, 1), (run.id(), false, 1)]);
}

#[test]
fn a_family_in_memory_is_told_as_one_on_disk() {
    let database = Database::in_memory_with(options(Durability::InMemory, 2)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let between = run.fork().unwrap();
    let (one, other) = (between.fork().unwrap(), between.fork().unwrap());
    between.delete_run().unwrap();
    let lineage = database.lineage().unwrap();
    assert_eq!(lineage.common_ancestor(one.id(), other.id()).unwrap().run, between.id());
    assert_eq!((lineage.exists(between.id()), lineage.exists(one.id())), (false, true));
    let unknown = RunId::from_bytes([9; 16]);
    assert_eq!((lineage.parent(unknown), lineage.tree(unknown)), (None, vec![]));
    assert_eq!(lineage.common_ancestor(unknown, one.id()), None);
    let tree: Vec<_> = lineage.tree(run.id()).iter().map(|node| (node.run, node.depth)).collect();
    assert_eq!(tree[..2], [(run.id(), 0), (between.id(), 1)]);
    assert_eq!(tree.len(), 4);
}
