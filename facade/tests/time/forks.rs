//! Forks: each begins as its parent was, and from then on neither sees what becomes of the other, whatever is put away, lost or
//! deleted meanwhile.

use std::collections::BTreeMap;

use strata::{
    Compaction, Database, Durability, ErrorKind, ForkPoint, OperationId, Options, Reads, Retention,
    RunFilter, RunHandle, RunId, RunSpec, RunStatus, Version, Writes,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use crate::support::contents::inherited;
use crate::support::versions::change_inherited as change;
use crate::support::{Dice, busy_options, eventually, number, open_on, options, seed, sim_path};

/// A run of a family, and what it was at each of its own versions, as far as that is known.
struct Member {
    id: RunId,
    parent: Option<ForkPoint>,
    is_there: bool,
    known: BTreeMap<u64, String>,
}

impl Member {
    fn of(run: &RunHandle) -> Member {
        let info = run.info().unwrap();
        let mut member =
            Member { id: run.id(), parent: info.forked_from, is_there: true, known: BTreeMap::new() };
        member.note(run);
        member
    }

    fn note(&mut self, run: &RunHandle) {
        self.known.insert(run.info().unwrap().version.0, inherited(run));
    }

    fn newest(&self) -> (u64, &str) {
        let (version, known) = self.known.last_key_value().unwrap();
        (*version, known)
    }
}

/// What a version of a run was: that of a fork before its own ones is one of its parent.
fn known_at(family: &[Member], member: usize, version: u64) -> Option<&str> {
    match family[member].parent {
        Some(point) if version <= point.version.0 => {
            let parent = family.iter().position(|other| other.id == point.run)?;
            known_at(family, parent, version)
        }
        _ => family[member].known.get(&version).map(String::as_str),
    }
}

/// Every run that is there is what it was, and of those that keep all so is any version of it.
fn compare(database: &Database, family: &[Member], keeps_all: bool, dice: &mut Dice, story: &str) {
    for (place, member) in family.iter().enumerate().filter(|(_, member)| member.is_there) {
        let run = database.run(member.id);
        let (version, known) = member.newest();
        assert_eq!(inherited(&run), known, "run {place} at {version}: {story}");
        assert_eq!(run.info().unwrap().forked_from, member.parent, "run {place}: {story}");
        if let Some(point) = member.parent.filter(|point| known_at(family, place, point.version.0).is_some())
        {
            let began = run.at(point.version).unwrap_or_else(|error| panic!("run {place}: {error}: {story}"));
            assert_eq!(
                Some(&*inherited(&began)),
                known_at(family, place, point.version.0),
                "run {place}: {story}"
            );
        }
        let wanted = 1 + dice.below(version);
        if let Some(known) = known_at(family, place, wanted).filter(|_| keeps_all) {
            let was = run.at(Version(wanted)).map(|was| inherited(&was));
            match was {
                Ok(was) => assert_eq!(was, known, "run {place} at {wanted} of {version}: {story}"),
                // What a deleted run was is not told any more, even where a fork still needs it.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "run {place} at {wanted}: {story}")
                }
            }
        }
    }
}

#[test]
fn every_fork_goes_on_alone_whatever_is_put_away_lost_or_deleted_meanwhile() {
    grow_families(&[1]);
}

#[test]
fn every_fork_goes_on_alone_on_whatever_number_of_shards_its_store_is_opened_with() {
    grow_families(&[1, 2, 3, 8]);
}

/// Random families, in stores that are opened with any of these numbers of shards.
fn grow_families(shards: &[usize]) {
    let mut dice = Dice::new(seed());
    for round in 0..number("STRATA_CASES", 12) {
        let durability = if round % 2 == 0 { Durability::Strict } else { Durability::Buffered };
        let (keeps_all, seed) = (round % 2 == 0, dice.roll());
        let (mut disk, mut story) = (SimDisk::new(seed), format!("{durability:?}, seed {seed}:"));
        let open = |disk: &SimDisk, dice: &mut Dice, story: &mut String| {
            let count = shards[dice.below(shards.len() as u64) as usize];
            *story += &format!(" {count} shards;");
            open_on(disk, busy_options(durability, count)).unwrap_or_else(|error| panic!("{error}: {story}"))
        };
        let mut database = open(&disk, &mut dice, &mut story);
        let mut family = vec![Member::of(&database.create_run(RunSpec::named("root")).unwrap())];
        for _ in 0..number("STRATA_STEPS", 150) {
            let there: Vec<usize> = (0..family.len()).filter(|place| family[*place].is_there).collect();
            let place = there[dice.below(there.len() as u64) as usize];
            let run = database.run(family[place].id);
            match dice.below(40) {
                0..=24 => {
                    change(&run, &mut dice);
                    family[place].note(&run);
                }
                25..=29 => {
                    story += &format!(" fork {place};");
                    let fork = Member::of(&run.fork().unwrap());
                    assert_eq!(fork.newest().1, family[place].newest().1, "{story}");
                    family.push(fork);
                }
                30..=32 => {
                    let version = 1 + dice.below(family[place].newest().0);
                    story += &format!(" fork {place} at {version};");
                    match run.fork_at(Version(version)) {
                        Ok(fork) => {
                            let fork = Member::of(&fork);
                            let was = known_at(&family, place, version).unwrap_or_else(|| panic!("{story}"));
                            assert_eq!(fork.newest().1, was, "{story}");
                            family.push(fork);
                        }
                        Err(error) => {
                            let is_trimmed = error.kind() == ErrorKind::HistoryTrimmed;
                            let has_deleted = family.iter().any(|member| !member.is_there);
                            assert!(is_trimmed && (!keeps_all || has_deleted), "{error}: {story}");
                        }
                    }
                }
                33 if there.len() > 2 => {
                    story += &format!(" delete {place};");
                    run.delete_run().unwrap();
                    family[place].is_there = false;
                }
                34 => {
                    story += " checkpoint;";
                    drop(database.checkpoint().unwrap());
                }
                35 => {
                    story += " put away;";
                    database.compact(Compaction::WalOnly).unwrap();
                }
                36 => {
                    story += " compact;";
                    database.compact(Compaction::Full).unwrap();
                }
                37 => {
                    story += " close;";
                    database.close().unwrap();
                    database = open(&disk, &mut dice, &mut story);
                    compare(&database, &family, keeps_all, &mut dice, &story);
                }
                38 => {
                    story += " kill;";
                    disk = disk.kill();
                    drop(database);
                    database = open(&disk, &mut dice, &mut story);
                    compare(&database, &family, keeps_all, &mut dice, &story);
                }
                _ if durability == Durability::Strict => {
                    story += " power;";
                    disk = disk.power_cycle(dice.roll());
                    drop(database);
                    database = open(&disk, &mut dice, &mut story);
                    compare(&database, &family, keeps_all, &mut dice, &story);
                }
                _ => compare(&database, &family, keeps_all, &mut dice, &story),
            }
        }
        compare(&database, &family, keeps_all, &mut dice, &story);
        let report = database.verify(|_| {}).unwrap();
        assert!(report.damage.is_empty(), "{:?}: {story}", report.damage);
    }
}

/// Only what the newest version of a run needs is kept, so that whatever else is there is there for its forks.
fn keep_one() -> Options {
    Options { retention: Retention::KeepLast(1), ..options(Durability::Strict, 1) }
}

fn history_files(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|path| path.starts_with(sim_path().join("DATA"))).count()
}

/// Changes a run so often that the segments of its log are left behind, over some checkpoints.
fn overwrite(database: &Database, run: &RunHandle) {
    for round in 0..6 {
        for number in 0..40 {
            run.put(&format!("key/{}", number % 10), "x".repeat(4_000) + &round.to_string()).unwrap();
        }
        drop(database.checkpoint().unwrap());
    }
}

#[test]
fn a_fork_is_what_its_parent_was_when_that_is_overwritten_imaged_put_away_and_killed() {
    let disk = SimDisk::new(1);
    let database = open_on(&disk, keep_one()).unwrap();
    let run = database.create_run(RunSpec::named("parent")).unwrap();
    let mut dice = Dice::new(5);
    (0..60).for_each(|_| change(&run, &mut dice));
    let (was, fork) = (inherited(&run), run.fork().unwrap());
    assert_eq!(inherited(&fork), was);
    eventually("records behind the fork are put away for it", || {
        overwrite(&database, &run);
        history_files(&disk) > 0
    });
    let disk = disk.kill();
    drop(database);

    let database = open_on(&disk, keep_one()).unwrap();
    let fork = database.run(fork.id());
    assert_eq!(inherited(&fork), was);
    let version = fork.info().unwrap().forked_from.unwrap().version;
    assert_eq!(inherited(&fork.at(version).unwrap()), was, "the version it began as is there for it");
    let trimmed = fork.at(Version(version.0 - 1)).expect_err("what came before is the parent's");
    assert_eq!(trimmed.kind(), ErrorKind::HistoryTrimmed);
    // Without the fork nobody needs any of it.
    fork.delete_run().unwrap();
    let run = database.run(run.id());
    eventually("what was kept for the fork is gone", || {
        overwrite(&database, &run);
        history_files(&disk) == 0
    });
}

#[test]
fn a_deleted_parent_is_there_for_its_forks_alone() {
    let disk = SimDisk::new(2);
    let database = open_on(&disk, keep_one()).unwrap();
    let root = database.create_run(RunSpec::named("root")).unwrap();
    let mut dice = Dice::new(6);
    (0..40).for_each(|_| change(&root, &mut dice));
    let child = root.fork().unwrap();
    (0..40).for_each(|_| change(&child, &mut dice));
    let (grandchild, was) = (child.fork().unwrap(), inherited(&child));
    let other = database.create_run(RunSpec::named("other")).unwrap();
    root.delete_run().unwrap();
    child.delete_run().unwrap();
    overwrite(&database, &other);
    let disk = disk.kill();
    drop(database);
    let database = open_on(&disk, keep_one()).unwrap();
    let grandchild = database.run(grandchild.id());
    assert_eq!(inherited(&grandchild), was);
    assert_eq!(database.run(child.id()).get("name/1").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(database.run(child.id()).fork().unwrap_err().kind(), ErrorKind::NotFound);
    // Its name is free, and what is created under it has nothing to do with the forks.
    let again = database.create_run(RunSpec::named("root")).unwrap();
    overwrite(&database, &again);
    drop(database);
    let database = open_on(&disk, keep_one()).unwrap();
    assert_eq!(inherited(&database.run(grandchild.id())), was);
    database.run(grandchild.id()).delete_run().unwrap();
    let other = database.run(other.id());
    eventually("nothing is kept for anybody", || {
        overwrite(&database, &other);
        history_files(&disk) == 0
    });
}

#[test]
fn forks_of_forks_come_back_one_upon_the_other() {
    let disk = SimDisk::new(3);
    let small = || busy_options(Durability::Strict, 1);
    let database = open_on(&disk, small()).unwrap();
    let mut run = database.create_run(RunSpec::named("root")).unwrap();
    let mut expected = Vec::new();
    for depth in 0..150_i64 {
        run.put(&format!("depth/{depth}"), depth).unwrap();
        run.append("depth", depth).unwrap();
        expected.push((run.id(), inherited(&run)));
        run = run.fork().unwrap();
    }
    database.close().unwrap();
    let database = open_on(&disk, small()).unwrap();
    for (id, known) in expected.iter().rev() {
        assert_eq!(inherited(&database.run(*id)), *known);
    }
    let deepest = database.run(run.id());
    assert_eq!(deepest.event_count().unwrap().value, 150);
    for depth in [0, 1, 70, 149] {
        let (id, known) = &expected[depth];
        let version = database.run(*id).info().unwrap().version;
        assert_eq!(inherited(&deepest.at(version).unwrap()), *known, "depth {depth}");
    }
}

#[test]
fn a_fork_has_of_its_parent_what_describes_it_and_goes_on_by_itself() {
    let database = Database::in_memory().unwrap();
    let spec = RunSpec {
        tags: vec!["red".into()],
        retention: Some(Retention::KeepLast(9)),
        ..RunSpec::named("trip")
    };
    let run = database.create_run(spec).unwrap();
    run.with_operation_id(OperationId([7; 16])).put("city", "Oslo").unwrap();
    run.end(RunStatus::Completed).unwrap();
    let (info, fork) = (run.info().unwrap(), run.fork().unwrap());
    let forked = fork.info().unwrap();
    assert_eq!((&forked.name, forked.parent, forked.status), (&None, Some(run.id()), RunStatus::Active));
    assert_eq!(forked.forked_from, Some(ForkPoint { run: run.id(), version: info.version }));
    assert_eq!((&forked.tags, forked.retention), (&info.tags, info.retention));
    assert_eq!((forked.version, forked.size), (info.version.next(), info.size));
    assert_eq!(fork.id().placement(), run.id().placement());
    let city = fork.get("city").unwrap().unwrap();
    assert_eq!(city, run.get("city").unwrap().unwrap(), "what is inherited is of the commit that wrote it");
    assert_eq!(fork.receipt(OperationId([7; 16])).unwrap(), None);
    fork.with_operation_id(OperationId([7; 16])).put("city", "Bergen").unwrap();
    fork.set_tags(["blue"]).unwrap();
    assert_eq!((run.info().unwrap(), run.get("city").unwrap()), (info, Some(city)));
    let children = RunFilter { parent: Some(run.id()), ..RunFilter::default() };
    let found = database.runs(&children, None, 10).unwrap().runs;
    assert_eq!(found.iter().map(|info| info.id).collect::<Vec<_>>(), [fork.id()]);
}

#[test]
fn what_cannot_be_forked_says_why() {
    let disk = SimDisk::new(4);
    let database = open_on(&disk, options(Durability::Buffered, 2)).unwrap();
    let missing = database.run(RunId::from_bytes([1; 16]));
    assert_eq!(missing.fork().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(missing.fork_at(Version(1)).unwrap_err().kind(), ErrorKind::NotFound);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(run.fork_at(Version(0)).unwrap_err().kind(), ErrorKind::VersionNotFound);
    assert_eq!(run.fork_at(Version(2)).unwrap_err().kind(), ErrorKind::VersionNotFound);
    let refused = run.with_operation_id(OperationId([1; 16])).fork().unwrap_err();
    assert_eq!((refused.kind(), refused.entity().is_some()), (ErrorKind::InvalidArgument, true));
    run.put("a", 1).unwrap();
    run.delete_run().unwrap();
    assert_eq!(run.fork().unwrap_err().kind(), ErrorKind::NotFound);
    let spec = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("light") };
    let light = database.create_run(spec).unwrap();
    light.put("a", 1).unwrap();
    let fork = light.fork().unwrap();
    assert_eq!(fork.info().unwrap().durability, Some(Durability::InMemory), "it lives in memory too");
    assert_eq!(light.fork_at(Version(1)).unwrap_err().kind(), ErrorKind::Unsupported);
    database.close().unwrap();
    let database = open_on(&disk, options(Durability::Buffered, 2)).unwrap();
    assert_eq!(database.run(fork.id()).info().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn many_forks_of_one_run_take_little_memory_and_little_space() {
    let disk = SimDisk::new(5);
    let options = || Options { memory_budget: 8 << 20, ..options(Durability::Buffered, 1) };
    let database = open_on(&disk, options()).unwrap();
    let run = database.create_run(RunSpec::named("parent")).unwrap();
    for number in 0..2_000 {
        run.put(&format!("key/{number}"), "x".repeat(1_000)).unwrap();
    }
    drop(database.checkpoint().unwrap());
    let memory =
        |database: &Database| database.stats().unwrap().shards.iter().map(|shard| shard.memory).sum::<u64>();
    // Files come and go meanwhile.
    let size_of =
        |dir| disk.entries(&sim_path().join(dir)).unwrap_or_default().iter().map(|entry| entry.size).sum();
    let space = || ["WAL", "SNAPSHOTS", "DATA"].map(size_of).iter().sum::<u64>();
    let (memory_before, space_before) = (memory(&database), space());
    let forks: Vec<RunHandle> = (0..500_i64)
        .map(|number| {
            let fork = run.fork().unwrap();
            fork.put("own", number).unwrap();
            fork
        })
        .collect();
    drop(database.checkpoint().unwrap());
    let grown = memory(&database) - memory_before;
    assert!(grown < 500 * 16_000, "{grown} bytes of memory for 500 forks of 2 MB");
    let grown = space() - space_before;
    assert!(grown < 3 << 20, "{grown} bytes on disk for 500 forks of 2 MB");
    database.close().unwrap();
    let database = open_on(&disk, options()).unwrap();
    for (number, fork) in forks.iter().enumerate() {
        let fork = database.run(fork.id());
        assert_eq!(fork.get("own").unwrap().unwrap().value.as_int(), Some(number as i64));
        assert_eq!(fork.count("").unwrap().value, 2_001);
    }
}

#[test]
fn a_version_that_is_being_made_for_a_fork_is_kept_for_it_whatever_checkpoints_decide_meanwhile() {
    for round in 0..4 {
        let disk = SimDisk::new(100 + round);
        let database = open_on(&disk, keep_one()).unwrap();
        let run = database.create_run(RunSpec::named("parent")).unwrap();
        run.put("round", 0).unwrap();
        drop(database.checkpoint().unwrap());
        let mut known = vec![String::new(); 3];
        for number in 1..200 {
            run.put("round", number).unwrap();
            known.push(inherited(&run));
        }
        // The version is asked for behind others that take long, and gone for everybody else before it is there.
        let other = database.create_run(RunSpec::named("other")).unwrap();
        other.set_retention(Retention::KeepAll).unwrap();
        for number in 0..400 {
            other.put("number", "x".repeat(3_000) + &number.to_string()).unwrap();
        }
        let forked = std::thread::scope(|scope| {
            let looks = |version| {
                let other = &other;
                scope.spawn(move || drop(other.at(Version(version)).unwrap()))
            };
            let before = database.stats().unwrap().shards[0].messages;
            let looking: Vec<_> = (300..340).map(looks).collect();
            let forks: Vec<_> = (0..8_u64)
                .map(|number| {
                    let run = &run;
                    (number, scope.spawn(move || run.fork_at(Version(40 + number * 20))))
                })
                .collect();
            eventually("all have asked", || database.stats().unwrap().shards[0].messages > before + 48);
            overwrite(&database, &run);
            looking.into_iter().for_each(|look| look.join().unwrap());
            forks.into_iter().map(|(number, fork)| (number, fork.join().unwrap())).collect::<Vec<_>>()
        });
        (0..3).for_each(|_| overwrite(&database, &run));
        let disk = disk.kill();
        drop(database);
        let database = open_on(&disk, keep_one()).unwrap();
        for (number, fork) in forked {
            match fork {
                Ok(fork) => {
                    let fork = database.run(fork.id());
                    assert_eq!(
                        inherited(&fork),
                        known[(40 + number * 20) as usize],
                        "fork {number} of round {round}"
                    );
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}"),
            }
        }
        assert_eq!(database.verify(|_| {}).unwrap().damage.len(), 0);
    }
}

#[test]
fn a_damaged_image_of_a_parent_is_made_up_for_in_its_forks() {
    let disk = SimDisk::new(7);
    let database = open_on(&disk, keep_one()).unwrap();
    let run = database.create_run(RunSpec::named("parent")).unwrap();
    for number in 0..3 {
        run.put("number", number).unwrap();
        drop(database.checkpoint().unwrap());
    }
    let (fork, was) = (run.fork().unwrap(), inherited(&run));
    fork.put("own", 1).unwrap();
    let before = inherited(&fork);
    let disk = disk.kill();
    drop(database);
    let images = disk.files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "img"));
    let newest = images.max().unwrap();
    // The first slice of the only run in it begins behind the header and the head of its frame.
    disk.flip(&newest, 4096 + 40, 3);
    let database = open_on(&disk, keep_one()).unwrap();
    let (run, fork) = (database.run(run.id()), database.run(fork.id()));
    assert_eq!(inherited(&fork), before, "whoever comes first");
    assert_eq!(inherited(&run), was);
    overwrite(&database, &run);
    drop(database);
    let database = open_on(&disk, keep_one()).unwrap();
    let fork = database.run(fork.id());
    assert_eq!(inherited(&fork), before);
    let began = fork.at(fork.info().unwrap().forked_from.unwrap().version).unwrap();
    assert_eq!(inherited(&began), was);
    let _ = run;
}

#[test]
fn what_comes_and_goes_in_a_fork_leaves_nothing_behind() {
    let disk = SimDisk::new(8);
    let database = open_on(&disk, keep_one()).unwrap();
    let fork = database.create_run(RunSpec::named("parent")).unwrap().fork().unwrap();
    let memory = || database.stats().unwrap().shards[0].memory;
    let before = memory();
    for number in 0..3_000 {
        fork.put(&format!("message/{number}"), "x".repeat(100)).unwrap();
        fork.json_create(&format!("draft/{number}"), 1).unwrap();
        fork.delete(&format!("message/{number}")).unwrap();
        fork.json_destroy(&format!("draft/{number}")).unwrap();
    }
    assert!(memory() < before + 20_000, "{} bytes, {before} before", memory());
    drop(database.checkpoint().unwrap());
    let images = disk.files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "img"));
    let size: usize = images.map(|path| disk.bytes(&path).len()).sum();
    assert!(size < 40_000, "{size} bytes of images");
}

#[test]
fn a_deleted_fork_gives_back_what_it_shared() {
    let database = Database::in_memory().unwrap();
    let memory = || database.stats().unwrap().shards.iter().map(|shard| shard.memory).sum::<u64>();
    for _ in 0..20 {
        let run = database.create_run(RunSpec::default()).unwrap();
        run.put_many((0..100).map(|number| (format!("key/{number}"), "x".repeat(1_000)))).unwrap();
        let fork = run.fork().unwrap();
        run.delete_run().unwrap();
        assert_eq!(fork.count("").unwrap().value, 100);
        fork.delete_run().unwrap();
    }
    assert!(memory() < 200_000, "{} bytes", memory());
}
