//! A store with runs and their forks, and what happens to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use strata::{
    Clock, Compaction, Database, Direction, Durability, EntityRef, ErasedVersions, ErrorKind, NewTrace,
    Options, Reads, Retention, RunHandle, RunId, RunSpec, TraceContent, TraceEnd, TraceFilter, TraceId,
    Value, Version, Writes, parse_json,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use super::look::{Shown, told};
use super::secrets::Secrets;
use crate::support::versions::{disk, file, is_gone, open_at};
use crate::support::{Dice, busy_options, options};

/// What a run wrote itself and when, by the name of the thing.
type Wrote = BTreeMap<String, (EntityRef, Vec<(Version, String)>)>;

pub(crate) struct Family {
    disk: SimDisk,
    dice: Dice,
    database: Database,
    store: String,
    options: Options,
    runs: Vec<(RunId, Wrote)>,
    secrets: Secrets,
    story: Vec<String>,
}

impl Family {
    pub(crate) fn new(mut dice: Dice) -> Family {
        let disk = disk(dice.roll());
        let most = busy_options(Durability::Buffered, 1 + dice.below(3) as usize);
        let retention = [Retention::KeepAll, Retention::KeepLast(5)][dice.below(2) as usize];
        let checkpoint_log_size = [most.checkpoint_log_size, 1 << 30][dice.below(2) as usize];
        let options = Options { retention, checkpoint_log_size, ..most };
        let store = "store".to_string();
        let database = open_at(&disk, &store, options.clone());
        let runs = vec![(database.create_run(RunSpec::default()).unwrap().id(), Wrote::new())];
        let story = vec![format!("{options:?}")];
        Family { disk, dice, database, store, options, runs, secrets: Secrets::default(), story }
    }

    pub(crate) fn step(&mut self) {
        let at = self.dice.below(self.runs.len() as u64) as usize;
        match self.dice.below(22) {
            0..=13 => self.write(at),
            14 | 15 => self.fork(at),
            16..=18 => self.erase(at),
            19 => self.travel(at),
            20 => {
                self.story.push("checkpoint".into());
                self.database.checkpoint().unwrap();
            }
            _ => self.change_all(),
        }
    }

    fn run(&self, at: usize) -> RunHandle {
        self.database.run(self.runs[at].0)
    }

    fn write(&mut self, at: usize) {
        let (run, id, secret) = (self.run(at), self.runs[at].0, Secrets::draw(&mut self.dice));
        let name = format!("n{}", self.dice.below(3));
        let entity = match self.dice.below(12) {
            0 | 1 => {
                run.put(&name, secret.as_str()).unwrap();
                EntityRef::kv(id, name.as_str())
            }
            2 => {
                run.cell_set(&name, secret.as_str()).unwrap();
                EntityRef::cell(id, name.as_str())
            }
            3 | 4 => EntityRef::event(id, run.append("kind", secret.as_str()).unwrap().sequence),
            5 | 6 => {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&self.dice.roll().to_le_bytes());
                let (trace, arguments) = (TraceId::from_bytes(bytes), Value::from(secret.as_str()));
                let content =
                    TraceContent::ToolCall { name: "ask".into(), arguments, result: None, error: None };
                run.trace_begin(NewTrace::new(trace, content)).unwrap();
                EntityRef::trace(id, trace)
            }
            7 => {
                let Some(trace) = self.open_trace(&run) else { return };
                let result = Some(secret.as_str().into());
                run.trace_end(trace, TraceEnd { result, ..TraceEnd::default() }).unwrap();
                EntityRef::trace(id, trace)
            }
            8 => {
                let whole = Value::from([("a", Value::from(secret.as_str()))]);
                let is_there = run.json_get(&name, "").unwrap().is_some();
                match (is_there, self.dice.below(3)) {
                    (false, _) => drop(run.json_create(&name, whole).unwrap()),
                    (true, 0) => drop(run.json_set(&name, "", whole).unwrap()),
                    (true, _) => {
                        if let Err(error) = run.json_set(&name, "/b", secret.as_str()) {
                            assert_eq!(
                                error.kind(),
                                ErrorKind::WrongType,
                                "only one that was erased: {error:?}"
                            );
                            run.json_set(&name, "", whole).unwrap();
                        }
                    }
                }
                EntityRef::json(id, name.as_str())
            }
            other => return self.change(&run, &name, other),
        };
        let version = run.info().unwrap().version;
        self.secrets.is_written(&secret, format!("{entity} of {id} at {version}"));
        let wrote = self.runs[at].1.entry(entity.to_string()).or_insert_with(|| (entity, Vec::new()));
        wrote.1.push((version, secret));
    }

    fn open_trace(&mut self, run: &RunHandle) -> Option<TraceId> {
        let filter = TraceFilter { is_open: Some(true), ..TraceFilter::default() };
        let open = run.trace_list(&filter, None, 100, Direction::Forward).unwrap().traces;
        let place = self.dice.below(open.len().max(1) as u64) as usize;
        open.get(place).map(|trace| trace.id)
    }

    /// Whatever writes no secret.
    fn change(&mut self, run: &RunHandle, name: &str, what: u64) {
        let is_document = run.json_get(name, "").unwrap().is_some();
        match (what, self.dice.below(5)) {
            (9, _) => {
                let patch = parse_json(r#"[{"op": "copy", "from": "/a", "path": "/c"}]"#).unwrap();
                assert!(run.json_patch(name, &patch).is_err() || is_document);
            }
            (10, 0) => drop(run.delete(name).unwrap()),
            (10, 1) => drop(run.cell_delete(name).unwrap()),
            (10, 2) if is_document => drop(run.json_destroy(name).unwrap()),
            (10, 3) => {
                run.set_event_retention(Retention::KeepLast(1 + self.dice.below(4))).unwrap();
            }
            (10, _) => {
                run.set_trace_retention(Retention::KeepLast(1 + self.dice.below(4))).unwrap();
            }
            _ => drop(run.put("other", 1).unwrap()),
        }
    }

    fn fork(&mut self, at: usize) {
        if self.runs.len() == 8 {
            return;
        }
        let run = self.run(at);
        let newest = run.info().unwrap().version.0;
        let version = Version(1 + self.dice.below(newest));
        match run.fork_at(version) {
            Ok(fork) => {
                self.story.push(format!("fork {} at {version} of {newest}: {}", run.id(), fork.id()));
                self.runs.push((fork.id(), Wrote::new()));
            }
            Err(error) => assert!(is_gone(error.kind()), "{error:?}"),
        }
    }

    fn erase(&mut self, at: usize) {
        let count = self.runs[at].1.len().max(1) as u64;
        let place = self.dice.below(count) as usize;
        let Some((name, (entity, secrets))) = self.runs[at].1.iter().nth(place) else { return };
        let (name, entity, secrets) = (name.clone(), entity.clone(), secrets.clone());
        let has_parts = matches!(entity, EntityRef::Kv { .. } | EntityRef::Cell { .. });
        let part = secrets[self.dice.below(secrets.len() as u64) as usize].0;
        let versions = match self.dice.below(if has_parts { 4 } else { 1 }) {
            0 | 1 => ErasedVersions::All,
            2 => ErasedVersions::At(part),
            _ => ErasedVersions::Through(part),
        };
        match self.run(at).erase(&entity, versions, "asked to") {
            Ok(_) => {
                self.story.push(format!("erase {entity} of {}, {versions:?}", self.runs[at].0));
                let is_covered = |version: Version| match versions {
                    ErasedVersions::All => true,
                    ErasedVersions::At(part) => version == part,
                    ErasedVersions::Through(part) => version <= part,
                };
                let (erased, others): (Vec<_>, Vec<_>) =
                    secrets.into_iter().partition(|(version, _)| is_covered(*version));
                self.secrets.are_erased(&erased);
                match others.is_empty() {
                    true => drop(self.runs[at].1.remove(&name)),
                    false => drop(self.runs[at].1.insert(name, (entity, others))),
                }
            }
            // Its run keeps it no longer, or it is a span that was begun in front of the fork.
            Err(error) => {
                let kinds = [ErrorKind::NotFound, ErrorKind::InvalidArgument];
                assert!(kinds.contains(&error.kind()), "{error:?}");
            }
        }
    }

    /// Out of the store into an archive, and back.
    fn travel(&mut self, at: usize) {
        let (run, archive) = (self.run(at), file("travel.arc"));
        run.export(&archive).unwrap();
        let bytes = self.disk.bytes(&archive);
        self.secrets.expect_none_erased(&bytes, &format!("an archive of {}", run.id()), &self.story);
        let before = Shown::of(&run).from(run.preview_retention(None).unwrap().earliest);
        run.delete_run().unwrap();
        match self.database.import(&archive) {
            Ok(imported) => {
                self.story.push(format!("travel {}", run.id()));
                let others = self.runs.iter().enumerate().filter(|(other, _)| *other != at);
                let theirs =
                    others.flat_map(|(_, (_, wrote))| wrote.values().flat_map(|(_, secrets)| secrets));
                self.secrets.are_copied(&bytes, theirs);
                before.expect(&imported, self.keeps_all(), &self.story);
            }
            // Forks of it are there.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
                self.story.push(format!("delete {}", run.id()));
                self.runs.swap_remove(at);
                if self.runs.is_empty() {
                    self.runs
                        .push((self.database.create_run(RunSpec::default()).unwrap().id(), Wrote::new()));
                }
            }
        }
        self.disk.remove(&archive).unwrap();
    }

    /// Compacts, kills, reshards, closes, or goes on in a backup: whatever is done, every run shows what it showed before.
    pub(crate) fn change_all(&mut self) {
        let before: Vec<_> =
            self.runs.iter().map(|(id, _)| (*id, Shown::of(&self.database.run(*id)))).collect();
        for (id, shown) in &before {
            for text in shown.texts() {
                self.secrets.expect_none_erased(text.as_bytes(), &format!("what {id} shows"), &self.story);
            }
            let told = told(&self.database.run(*id), &mut self.dice);
            self.secrets.expect_none_erased(told.as_bytes(), &format!("what {id} tells"), &self.story);
        }
        let what = ["compact", "compact", "kill", "reshard", "close", "backup"][self.dice.below(6) as usize];
        self.story.push(what.into());
        match what {
            "compact" => self.compact(),
            "kill" => {
                self.disk = self.disk.kill();
                if self.dice.below(2) == 0 {
                    self.read_only(&before);
                }
                self.open();
            }
            "backup" => self.go_on_in_a_backup(),
            _ => {
                self.close();
                if what == "reshard" {
                    self.options.shards = Some(1 + self.dice.below(3) as usize);
                }
                self.open();
            }
        }
        for (id, shown) in &before {
            shown.expect(&self.database.run(*id), self.keeps_all(), &self.story);
        }
    }

    fn compact(&mut self) {
        self.database.compact(Compaction::Full).unwrap();
        for path in self.disk.files() {
            let bytes = self.disk.bytes(&path);
            self.secrets.expect_none_erased(&bytes, &path.display().to_string(), &self.story);
        }
        let damage = self.database.verify(|_| {}).unwrap().damage;
        assert!(damage.is_empty(), "{damage:?}\n{}", self.story.join("\n"));
    }

    fn go_on_in_a_backup(&mut self) {
        let copy = format!("{}+", self.store);
        self.database.backup(file(&copy)).unwrap();
        self.close();
        self.remove_store();
        self.store = copy;
        self.open();
    }

    fn remove_store(&self) {
        let path = file(&self.store);
        for file in self.disk.files().into_iter().filter(|file| file.starts_with(&path)) {
            self.disk.remove(&file).unwrap();
        }
    }

    fn read_only(&self, before: &[(RunId, Shown)]) {
        let storage = Arc::new(self.disk.clone());
        let path = file(&self.store);
        let reader =
            Database::start_to_read(path, self.options.clone(), Clock::System, Some(storage)).unwrap();
        let archive = Path::new("/agent/reader.arc");
        for (id, shown) in before {
            shown.expect(&reader.run(*id), self.keeps_all(), &self.story);
            reader.run(*id).export(archive).unwrap();
            let place = format!("an archive of {id} by a reader");
            self.secrets.expect_none_erased(&self.disk.bytes(archive), &place, &self.story);
            self.disk.remove(archive).unwrap();
        }
        reader.close().unwrap();
    }

    fn keeps_all(&self) -> bool {
        self.options.retention == Retention::KeepAll
    }

    fn close(&mut self) {
        let none = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
        std::mem::replace(&mut self.database, none).close().unwrap();
    }

    fn open(&mut self) {
        self.database = open_at(&self.disk, &self.store, self.options.clone());
    }
}
