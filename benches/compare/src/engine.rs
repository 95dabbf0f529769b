//! What is compared: an engine, a store of it, and what one client of that store does.

use std::path::Path;

/// What a write is promised when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing: it may be gone with the process.
    Nothing,
    /// The kernel has it: it outlives the process.
    Kernel,
    /// The disk has it: it outlives a power cut.
    Disk,
}

/// What an engine may be asked beyond putting and getting keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Values are read back by their key.
    Get,
    /// Events are appended, and the newest read.
    Events,
    /// Reads and writes of several keys are one.
    Transactions,
    /// Keys are walked in their order.
    Scan,
    /// What was written is there when it is opened again.
    Reopening,
}

/// An engine, or a limit: what the same work costs without one.
pub trait Engine: Sync {
    /// How rows call it.
    fn name(&self) -> &'static str;

    /// Whether it is a limit and no engine.
    fn is_limit(&self) -> bool {
        false
    }

    /// The settings it keeps a promise with; `None` when it has no such promise.
    fn settings(&self, promise: Promise) -> Option<&'static str>;

    /// Whether it can do this at all.
    fn can(&self, _ability: Ability) -> bool {
        true
    }

    /// Opens the store in `dir`, a new one when there is none, for so many clients.
    ///
    /// # Panics
    /// If it cannot, or is not asked for a promise it has settings for.
    fn open(&self, dir: &Path, promise: Promise, clients: usize) -> Box<dyn Store>;

    /// The least that it promises: what it is read with.
    fn least(&self) -> Promise {
        let promises = [Promise::Nothing, Promise::Kernel, Promise::Disk];
        let least = promises.into_iter().find(|promise| self.settings(*promise).is_some());
        least.expect("an engine promises something")
    }
}

/// An open store. Dropping it closes it.
pub trait Store: Send + Sync {
    /// What client `number` calls with; made on the client's own thread.
    fn session(&self, number: usize) -> Box<dyn Session + '_>;

    /// Gives up what no key holds any more, history where it is kept, as far as the engine can be asked to.
    fn compact(&mut self) {}
}

/// One client of a store: every call is waited for, and a call with many keys or events is atomic.
///
/// What is read is looked at, not kept. A limit does what it can and refuses the rest.
pub trait Session {
    /// Puts one value under every key.
    fn put(&mut self, keys: &[&str], value: &str);

    /// Reads every key, and returns how many bytes were found.
    fn get(&mut self, keys: &[&str]) -> usize {
        refuse(keys.len())
    }

    /// Appends events.
    fn append(&mut self, count: usize, payload: &str) {
        refuse(count + payload.len());
    }

    /// Reads the newest events, and returns how many bytes they had.
    fn last(&mut self, count: usize) -> usize {
        refuse(count)
    }

    /// Reads two keys and writes both, as one transaction.
    fn transact(&mut self, _from: &str, _to: &str, value: &str) {
        refuse(value.len());
    }

    /// The same in a closure, where an engine runs one beside its data.
    fn execute(&mut self, from: &str, to: &str, value: &str) {
        self.transact(from, to, value);
    }

    /// Reads the first keys in their order with their values, and returns how many bytes those had.
    fn scan(&mut self, count: usize) -> usize {
        refuse(count)
    }
}

fn refuse(_asked: usize) -> usize {
    panic!("an engine is asked only for what it can do")
}

/// The number of bytes of what was read, having looked at its ends.
pub(crate) fn seen(value: &[u8]) -> usize {
    std::hint::black_box((value.first(), value.last()));
    value.len()
}
