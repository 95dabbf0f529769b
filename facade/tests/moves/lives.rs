//! Ids that are created, deleted and imported again and again, with forks of each of their lives.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::contents::inherited;
use crate::support::versions::{disk, file, is_gone, open_at};
use crate::support::{Dice, busy_options, number, options, seed};
use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, ErrorKind, Options, Reads, Retention,
    RunHandle, RunId, RunSpec, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

/// What a run was at one of its versions.
#[derive(Clone)]
struct Known {
    /// Nothing, where something was erased when it could not be looked at.
    was: Option<String>,
    /// It was given up.
    is_gone: bool,
}

/// The versions of a run.
type Versions = BTreeMap<u64, Known>;

struct Lives {
    disk: SimDisk,
    database: Database,
    options: Options,
    dice: Dice,
    runs: BTreeMap<RunId, Versions>,
    /// The newest version that each of these came with which was imported.
    imported: BTreeMap<RunId, u64>,
    /// The files of archives, whose each is, and what is in it.
    archives: Vec<(String, RunId, Versions)>,
    /// Nothing was looked at since: what a checkpoint was giving up then may be there again.
    was_killed: bool,
    story: Vec<String>,
}

impl Lives {
    fn new(mut dice: Dice, retention: Retention) -> Lives {
        let disk = disk(dice.roll());
        let busy = busy_options(Durability::Buffered, 1 + dice.below(3) as usize);
        let checkpoint_log_size = [busy.checkpoint_log_size, 1 << 30][dice.below(2) as usize];
        let options = Options { retention, checkpoint_log_size, ..busy };
        let database = open_at(&disk, "store", options.clone());
        let story = vec![format!("{options:?}")];
        let (runs, imported, archives, was_killed) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), false);
        Lives { disk, database, options, dice, runs, imported, archives, was_killed, story }
    }

    fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    fn note(&mut self, id: RunId) {
        let run = self.database.run(id);
        let (version, text) = (run.info().unwrap().version.0, inherited(&run));
        self.runs.entry(id).or_default().insert(version, Known { was: Some(text), is_gone: false });
    }

    fn step(&mut self) {
        if self.runs.is_empty() || self.dice.below(30) == 0 {
            return self.create();
        }
        let place = self.dice.below(self.runs.len() as u64) as usize;
        let id = *self.runs.keys().nth(place).unwrap();
        let (run, key) = (self.database.run(id), format!("n{}", self.dice.below(3)));
        match self.dice.below(36) {
            0 | 1 if self.runs.len() < 7 => self.fork(&run),
            2 | 3 => {
                let name = format!("{}.arc", self.archives.len());
                run.export(file(&name)).unwrap();
                self.tell(format!("export {id} to {name}"));
                self.archives.push((name, id, self.runs[&id].clone()));
            }
            4..=6 => {
                let commit = run.delete_run().unwrap();
                self.tell(format!("delete {id} at {}", commit.version));
                self.runs.remove(&id);
                self.imported.remove(&id);
            }
            7..=10 if !self.archives.is_empty() => self.import(),
            11 => {
                self.tell("checkpoint".into());
                self.database.checkpoint().unwrap();
            }
            12 => {
                self.tell("compact".into());
                self.database.compact(Compaction::Full).unwrap();
                let damage = self.database.verify(|_| {}).unwrap().damage;
                assert!(damage.is_empty(), "{damage:?}\n{}", self.story.join("\n"));
            }
            13 => self.reopen(),
            14 | 15 => self.erase(&run, &key),
            16 => _ = run.append("step", self.dice.below(1_000) as i64).unwrap(),
            17 => _ = run.put("large", Value::Bytes(vec![self.dice.below(256) as u8; 70_000])).unwrap(),
            _ => _ = run.put(&key, self.dice.below(1_000) as i64).unwrap(),
        }
        if self.runs.contains_key(&id) {
            self.note(id);
        }
        self.check();
    }

    fn create(&mut self) {
        let name = format!("run{}", self.dice.below(3));
        if let Ok(run) = self.database.create_run(RunSpec::named(name)) {
            self.tell(format!("create {}", run.id()));
            self.note(run.id());
        }
    }

    fn fork(&mut self, run: &RunHandle) {
        let id = run.id();
        let version = Version(1 + self.dice.below(run.info().unwrap().version.0));
        match run.fork_at(version) {
            Ok(fork) => {
                self.tell(format!("fork {id} at {version}: {}", fork.id()));
                let began_with = run.info().unwrap().forked_from.map(|point| point.version.0);
                let of_what_it_inherited = [began_with, self.imported.get(&id).copied()]
                    .into_iter()
                    .flatten()
                    .any(|through| version.0 <= through);
                let inherited = self.runs[&id].range(..=version.0).map(|(at, known)| {
                    // What the run itself has given up does not hide what lies in front of it.
                    (*at, Known { is_gone: known.is_gone && !of_what_it_inherited, ..known.clone() })
                });
                self.runs.insert(fork.id(), inherited.collect());
                self.note(fork.id());
            }
            Err(error) => {
                let is_there =
                    self.keeps_all() && self.runs[&id].get(&version.0).is_some_and(|known| !known.is_gone);
                assert!(is_gone(error.kind()) && !is_there, "{error}\n{}", self.story.join("\n"));
            }
        }
    }

    fn import(&mut self) {
        let place = self.dice.below(self.archives.len() as u64) as usize;
        let (name, id, versions) = self.archives[place].clone();
        match self.database.import(file(&name)) {
            Ok(_) => {
                self.tell(format!("import {id} from {name}"));
                self.imported.extend(versions.last_key_value().map(|(newest, _)| (id, *newest)));
                assert!(self.runs.insert(id, versions).is_none(), "it was not there");
                self.note(id);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{}", self.story.join("\n")),
        }
    }

    /// What was erased shows in every version of the run and of its forks: what they are is noted anew.
    fn erase(&mut self, run: &RunHandle, key: &str) {
        let Ok(Some(_)) = run.erase(&EntityRef::kv(run.id(), key), ErasedVersions::All, "asked to") else {
            return;
        };
        self.tell(format!("erase {key} of {}", run.id()));
        for (id, versions) in &mut self.runs {
            for (version, known) in versions {
                let found = self.database.run(*id).at(Version(*version));
                known.was = found.ok().map(|found| inherited(&found));
            }
        }
    }

    fn reopen(&mut self) {
        match self.dice.below(3) {
            0 => {
                self.tell("kill".into());
                self.disk = self.disk.kill();
                self.was_killed = true;
            }
            how => {
                let none = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
                std::mem::replace(&mut self.database, none).close().unwrap();
                self.options.shards = match how {
                    1 => self.options.shards,
                    _ => Some(1 + self.dice.below(3) as usize),
                };
                self.tell(format!("open with {:?}", self.options.shards));
            }
        }
        self.database = open_at(&self.disk, "store", self.options.clone());
    }

    fn keeps_all(&self) -> bool {
        self.options.retention == Retention::KeepAll
    }

    /// Every version that is kept is what it was, and no other is there.
    fn check(&mut self) {
        let mut runs = std::mem::take(&mut self.runs);
        let there = self.database.runs(&Default::default(), None, 100).unwrap().runs;
        assert_eq!(there.len(), runs.len(), "{}", self.story.join("\n"));
        for (id, known) in &mut runs {
            let (run, story) = (self.database.run(*id), || self.story.join("\n"));
            let info = run.info().unwrap();
            assert_eq!(
                Some(info.version.0),
                known.last_key_value().map(|(newest, _)| *newest),
                "{}",
                story()
            );
            // Of what a fork inherited it is kept what it began as.
            let kept_from = match info.forked_from {
                _ if !self.keeps_all() => info.version,
                point => point.map_or(Version::NEVER, |point| point.version),
            };
            for version in (1..=info.version.0).map(Version) {
                match (run.at(version), known.get_mut(&version.0)) {
                    (Ok(found), Some(known)) => {
                        let came_back = known.is_gone && !self.was_killed;
                        assert!(!came_back, "{id} {version} came back\n{}", story());
                        let found = inherited(&found);
                        let was = known.was.get_or_insert_with(|| found.clone());
                        assert_eq!(found, *was, "{id} {version}\n{}", story());
                        known.is_gone = false;
                    }
                    (Ok(_), None) => panic!("{id} has {version}, which it never was\n{}", story()),
                    (Err(error), Some(_)) if version >= kept_from => {
                        panic!("{id} {version}: {error}\n{}", story())
                    }
                    (Err(error), known) => {
                        assert!(is_gone(error.kind()), "{id} {version}: {error}\n{}", story());
                        known.into_iter().for_each(|known| known.is_gone = true);
                    }
                }
            }
        }
        self.runs = runs;
        self.was_killed = false;
    }
}

fn live(retentions: &[Retention]) {
    let first = seed();
    for round in 0..number("STRATA_ROUNDS", 4) {
        println!("round {round}: STRATA_SEED={} STRATA_ROUNDS=1", first + round);
        let mut dice = Dice::new(first + round);
        let retention = retentions[dice.below(retentions.len() as u64) as usize];
        let mut lives = Lives::new(dice, retention);
        (0..90).for_each(|_| lives.step());
    }
}

#[test]
fn lives_of_one_id_and_their_forks_are_what_they_were() {
    live(&[Retention::KeepAll]);
}

#[test]
fn lives_that_keep_little_and_their_forks_come_back() {
    let durations = [Duration::ZERO, Duration::from_millis(20)].map(Retention::KeepFor);
    live(&[Retention::KeepLast(1), Retention::KeepLast(2), durations[0], durations[1]]);
}
