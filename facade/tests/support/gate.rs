//! A simulated disk whose completions can be held back, so that a commit stays under way as long as
//! a test wants.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Scope;

use rustix::event::{EventfdFlags, eventfd};
use strata::{Clock, Database, Durability, Options};
use strata_wal::buffer::Buffer;
use strata_wal::sim::SimDisk;
use strata_wal::storage::{Access, Capabilities, Completion, DirEntry, File, Lock, Queue, Storage};

use super::{eventually, options, sim_path};

/// Opens a store of one shard behind the gate.
pub(crate) fn open_gated(disk: &SimDisk, gate: &Arc<Gate>, durability: Durability) -> Database {
    open_gated_with(disk, gate, options(durability, 1))
}

/// The same with options.
pub(crate) fn open_gated_with(disk: &SimDisk, gate: &Arc<Gate>, options: Options) -> Database {
    let storage = GatedStorage { disk: disk.clone(), gate: Arc::clone(gate) };
    let clock = Clock::Manual(Arc::new(1_750_000_000_000_000.into()));
    Database::start(Some(sim_path()), options, clock, Some(Arc::new(storage))).unwrap()
}

/// Holds completions back while it is closed.
pub(crate) struct Gate {
    is_open: AtomicBool,
    opened: (Mutex<()>, Condvar),
    /// Readable while the gate is open: a shard sleeps on it.
    signal: OwnedFd,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        let signal = eventfd(1, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        Gate { is_open: AtomicBool::new(true), opened: Default::default(), signal }
    }

    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        rustix::io::read(&self.signal, &mut [0; 8]).unwrap();
    }

    pub(crate) fn open(&self) {
        let _guard = self.opened.0.lock().unwrap();
        self.is_open.store(true, Ordering::SeqCst);
        rustix::io::write(&self.signal, &1u64.to_ne_bytes()).unwrap();
        self.opened.1.notify_all();
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    fn wait(&self) {
        let mut guard = self.opened.0.lock().unwrap();
        while !self.is_open() {
            guard = self.opened.1.wait(guard).unwrap();
        }
    }
}

/// Opens the gate at the end of a test, the unhappy end included: nobody is left waiting.
pub(crate) struct Opener<'a>(pub(crate) &'a Gate);

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Starts a call on a thread of its own and returns once the shard has taken its message.
pub(crate) fn under_way<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    database: &Database,
    call: impl FnOnce() -> T + Send + 'scope,
) -> Receiver<T> {
    let served = settled_messages(database);
    let (told, answer) = channel();
    scope.spawn(move || told.send(call()));
    let mut asked = 0;
    eventually("the shard has taken the message", || {
        // Each question for the counters is a message too, counted after its own answer.
        asked += 1;
        messages(database) > served + asked
    });
    answer
}

/// How many messages the shard has taken, in turns that have ended.
pub(crate) fn messages(database: &Database) -> u64 {
    database.stats().unwrap().shards[0].messages
}

/// The same once nobody's message is left out: messages are counted when their turn ends, later than they are
/// answered.
pub(crate) fn settled_messages(database: &Database) -> u64 {
    let mut before = messages(database);
    loop {
        let now = messages(database);
        if now == before + 1 {
            return now;
        }
        before = now;
    }
}

/// The simulated disk, behind a gate.
#[derive(Debug)]
struct GatedStorage {
    disk: SimDisk,
    gate: Arc<Gate>,
}

struct GatedQueue {
    queue: Box<dyn Queue>,
    gate: Arc<Gate>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gate").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

impl Storage for GatedStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.entries(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.disk.open(path, access)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
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
        Ok(Box::new(GatedQueue { queue: self.disk.queue(depth)?, gate: Arc::clone(&self.gate) }))
    }

    fn probe(&self, dir: &Path) -> io::Result<Capabilities> {
        self.disk.probe(dir)
    }
}

impl Queue for GatedQueue {
    fn write_durable(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64) {
        self.queue.write_durable(token, file, buffer, offset);
    }

    fn sync(&mut self, token: u64, file: &Arc<dyn File>) {
        self.queue.sync(token, file);
    }

    fn read(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64) {
        self.queue.read(token, file, buffer, offset);
    }

    fn reap(&mut self) -> Option<Completion> {
        if self.gate.is_open() { self.queue.reap() } else { None }
    }

    fn wait(&mut self) -> Completion {
        self.gate.wait();
        self.queue.wait()
    }

    fn in_flight(&self) -> usize {
        self.queue.in_flight()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.gate.signal.as_fd())
    }
}
