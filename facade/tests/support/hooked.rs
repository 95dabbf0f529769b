//! A simulated disk that does something else first when a certain file is opened or named: so a test chooses the moment.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use strata::{Database, Options};
use strata_wal::sim::SimDisk;
use strata_wal::storage::{Access, Capabilities, DirEntry, File, Lock, Queue, Storage};

use super::{TestClock, sim_path};

type Hook = (Box<dyn FnMut(&Path) -> bool + Send>, Box<dyn FnOnce() + Send>);

/// What is done in front of what is meant. Nothing is done twice.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Arc<Mutex<Vec<Hook>>>);

impl Hooks {
    /// Does this in front of the first time that a file which is meant is opened, or given this name, on the thread that does it.
    pub(crate) fn before(
        &self,
        is_meant: impl FnMut(&Path) -> bool + Send + 'static,
        act: impl FnOnce() + Send + 'static,
    ) {
        self.0.lock().unwrap().push((Box::new(is_meant), Box::new(act)));
    }

    fn act(&self, path: &Path) {
        let mut hooks = self.0.lock().unwrap();
        let due = hooks.iter_mut().position(|(is_meant, _)| is_meant(path));
        let due = due.map(|place| hooks.remove(place));
        // What is done opens files too.
        drop(hooks);
        if let Some((_, act)) = due {
            act();
        }
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Opens a store on a disk with these hooks.
pub(crate) fn open_hooked(disk: &SimDisk, hooks: &Hooks, options: Options) -> Arc<Database> {
    let storage = HookedStorage { disk: disk.clone(), hooks: hooks.clone() };
    let clock = TestClock::at(1_750_000_000_000_000).clock();
    Arc::new(Database::start(Some(sim_path()), options, clock, Some(Arc::new(storage))).unwrap())
}

/// The simulated disk, with hooks.
#[derive(Debug)]
struct HookedStorage {
    disk: SimDisk,
    hooks: Hooks,
}

impl Storage for HookedStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.entries(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.hooks.act(path);
        self.disk.open(path, access)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.hooks.act(to);
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path, owner: &str) -> io::Result<Lock> {
        self.disk.lock(path, owner)
    }

    fn lock_shared(&self, path: &Path) -> io::Result<Lock> {
        self.disk.lock_shared(path)
    }

    fn queue(&self, depth: u32) -> io::Result<Box<dyn Queue>> {
        self.disk.queue(depth)
    }

    fn probe(&self, dir: &Path) -> io::Result<Capabilities> {
        self.disk.probe(dir)
    }
}
