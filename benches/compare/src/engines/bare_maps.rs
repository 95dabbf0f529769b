//! The limits of what is kept in memory only: a map of each client's own, and two that all clients share.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use dashmap::DashMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::engine::{Ability, Engine, Promise, Session, Store, seen};

/// Clients that may have a map of their own.
const CLIENT_COUNT: usize = 2;

/// A plain map of each client's own: no thread, version or log, and nothing shared.
pub(crate) struct Plain;

/// A map whose parts have locks.
pub(crate) struct Sharded;

/// A map that is read without a lock.
pub(crate) struct LockFree;

impl Engine for Plain {
    fn name(&self) -> &'static str {
        "FxHashMap"
    }

    fn is_limit(&self) -> bool {
        true
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        (promise == Promise::Nothing).then_some("one for each client")
    }

    fn can(&self, ability: Ability) -> bool {
        ability == Ability::Get
    }

    fn open(&self, _dir: &Path, _promise: Promise, _clients: usize) -> Box<dyn Store> {
        Box::new(PlainStore((0..CLIENT_COUNT).map(|_| Mutex::default()).collect()))
    }
}

impl Engine for Sharded {
    fn name(&self) -> &'static str {
        "DashMap"
    }

    fn is_limit(&self) -> bool {
        true
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        (promise == Promise::Nothing).then_some("FxHash, one for all clients")
    }

    fn can(&self, ability: Ability) -> bool {
        ability == Ability::Get
    }

    fn open(&self, _dir: &Path, _promise: Promise, _clients: usize) -> Box<dyn Store> {
        Box::new(SharedStore(DashMap::<Box<str>, Box<[u8]>, FxBuildHasher>::default()))
    }
}

impl Engine for LockFree {
    fn name(&self) -> &'static str {
        "papaya"
    }

    fn is_limit(&self) -> bool {
        true
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        (promise == Promise::Nothing).then_some("FxHash, one for all clients")
    }

    fn can(&self, ability: Ability) -> bool {
        ability == Ability::Get
    }

    fn open(&self, _dir: &Path, _promise: Promise, _clients: usize) -> Box<dyn Store> {
        Box::new(SharedStore(papaya::HashMap::<Box<str>, Box<[u8]>, FxBuildHasher>::default()))
    }
}

struct PlainStore(Vec<Mutex<FxHashMap<Box<str>, Box<[u8]>>>>);

impl Store for PlainStore {
    fn session(&self, number: usize) -> Box<dyn Session + '_> {
        Box::new(PlainClient(self.0[number].lock().expect("no client panics with its map")))
    }
}

struct PlainClient<'a>(MutexGuard<'a, FxHashMap<Box<str>, Box<[u8]>>>);

impl Session for PlainClient<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        for key in keys {
            self.0.insert((*key).into(), value.as_bytes().into());
        }
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        keys.iter().map(|key| self.0.get(*key).map_or(0, |found| seen(found))).sum()
    }
}

/// A map that several clients may use at the same time.
trait SharedMap: Send + Sync {
    fn put(&self, key: &str, value: &str);
    fn get(&self, key: &str) -> usize;
}

impl SharedMap for DashMap<Box<str>, Box<[u8]>, FxBuildHasher> {
    fn put(&self, key: &str, value: &str) {
        self.insert(key.into(), value.as_bytes().into());
    }

    fn get(&self, key: &str) -> usize {
        DashMap::get(self, key).map_or(0, |found| seen(&found))
    }
}

impl SharedMap for papaya::HashMap<Box<str>, Box<[u8]>, FxBuildHasher> {
    fn put(&self, key: &str, value: &str) {
        self.pin().insert(key.into(), value.as_bytes().into());
    }

    fn get(&self, key: &str) -> usize {
        self.pin().get(key).map_or(0, |found| seen(found))
    }
}

struct SharedStore<M>(M);

impl<M: SharedMap> Store for SharedStore<M> {
    fn session(&self, _number: usize) -> Box<dyn Session + '_> {
        Box::new(SharedClient(&self.0))
    }
}

struct SharedClient<'a, M>(&'a M);

impl<M: SharedMap> Session for SharedClient<'_, M> {
    fn put(&mut self, keys: &[&str], value: &str) {
        keys.iter().for_each(|key| self.0.put(key, value));
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        keys.iter().map(|key| self.0.get(key)).sum()
    }
}
