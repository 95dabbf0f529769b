//! A run that is exported, deleted and imported again while others write: a kill leaves it in the store or in its archive.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strata::{Database, Direction, ErrorKind, Reads, Result, RunHandle, RunSpec, Value, Writes};

use crate::say;
use crate::support::script;

/// What was said of it.
#[derive(Default)]
pub(crate) struct Parcel {
    /// How many entries it has.
    entries: u64,
    /// How many it had when it was exported last.
    exported: u64,
    imports: u64,
}

impl Parcel {
    /// How many commits were acknowledged, at least.
    pub(crate) fn count(&self) -> u64 {
        self.entries + self.imports
    }

    /// How often it was imported, at least.
    pub(crate) fn imports(&self) -> u64 {
        self.imports
    }

    /// Takes one line of a child; `false` for one that is not about it.
    pub(crate) fn hear(&mut self, word: &str, numbers: &[u64]) -> bool {
        match (word, numbers) {
            ("packed", &[entries]) => self.entries = entries,
            ("exported", &[entries]) => self.exported = entries,
            ("imported", &[entries]) => (self.entries, self.imports) = (entries, self.imports + 1),
            _ => return false,
        }
        true
    }

    /// It is there as it was told, or its archive is, from which it comes back.
    pub(crate) fn compare(&self, database: &Database, store: &Path) {
        let run = database.run(script::id_of("parcel"));
        if is_there(&run) {
            let count = run.event_count().unwrap().value;
            assert!(
                (self.entries..=self.entries + 1).contains(&count),
                "{} were told, {count} are there",
                self.entries
            );
        } else if self.entries > 0 {
            assert_eq!(self.exported, self.entries, "it is deleted when its archive is there");
            import(database, store).expect("the archive of a deleted run is taken").expect("there is one");
            assert_eq!(run.event_count().unwrap().value, self.entries);
        } else {
            return;
        }
        let page = run.events(0, usize::MAX >> 1, Direction::Forward).unwrap();
        for (number, event) in (1..).zip(&page.events) {
            assert_eq!(event.payload, Value::Int(number), "entries in order");
        }
        assert!(run.verify_chain().unwrap().valid, "its chain holds");
    }
}

/// Writes an entry, exports, deletes and imports, for ever.
pub(crate) fn send(database: &Database, store: &Path) {
    let run = database.run(script::id_of("parcel"));
    if !is_there(&run) && import(database, store).expect("an archive is taken").is_none() {
        database.create_run(RunSpec::named("parcel")).expect("a run is created");
    }
    let mut entries = run.event_count().expect("events are counted").value;
    loop {
        entries += 1;
        run.append("entry", entries as i64).expect("an entry is taken");
        say(&format!("packed {entries}"));
        let archive = archives(store).join(format!("{entries:010}.arc"));
        run.export(&archive).expect("a run is exported");
        say(&format!("exported {entries}"));
        for other in files(store).filter(|other| *other != archive) {
            fs::remove_file(other).expect("an older archive is removed");
        }
        run.delete_run().expect("a run is deleted");
        import(database, store).expect("an archive is taken").expect("it was just made");
        say(&format!("imported {entries}"));
    }
}

/// Imports the newest archive, if there is one.
fn import(database: &Database, store: &Path) -> Result<Option<RunHandle>> {
    let is_archive = |file: &PathBuf| file.extension() == Some(OsStr::new("arc"));
    let Some(newest) = files(store).filter(is_archive).max() else { return Ok(None) };
    loop {
        match database.import(&newest) {
            // A compaction looks at what was deleted.
            Err(error) if error.kind() == ErrorKind::Busy => std::thread::sleep(Duration::from_millis(1)),
            imported => return imported.map(Some),
        }
    }
}

fn is_there(run: &RunHandle) -> bool {
    match run.info() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("a run can be asked for: {error}"),
    }
}

/// Where archives are: beside the store.
fn archives(store: &Path) -> PathBuf {
    let directory = store.with_extension("archives");
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn files(store: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(archives(store)).unwrap().map(|entry| entry.unwrap().path())
}
