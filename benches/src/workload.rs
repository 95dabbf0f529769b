//! The keys, values and stores that figures are measured with.

use std::path::Path;

use strata::{Database, Durability, Options, Result, RunHandle, RunSpec};
use tempfile::TempDir;

/// Bytes of a value, unless a figure says otherwise.
pub const VALUE_SIZE: usize = 128;
/// Bytes of a key.
pub const KEY_SIZE: usize = 16;
/// Operations of a call that carries many.
pub const CALL_SIZE: usize = 64;

/// `count` different keys of [`KEY_SIZE`] bytes, in an order that no cache can guess.
pub fn keys(count: usize) -> Vec<String> {
    let mut keys: Vec<String> = (0..count).map(|number| format!("key/{number:012}")).collect();
    let mut seed = 0x5eed_u64;
    for last in (1..keys.len()).rev() {
        keys.swap(last, (random(&mut seed) % (last as u64 + 1)) as usize);
    }
    keys
}

/// A value of `size` bytes.
pub fn value(size: usize) -> String {
    "the quick brown fox jumps over the lazy dog ".chars().cycle().take(size).collect()
}

/// The name of a mode as figures tell it.
pub fn mode_name(durability: Durability) -> &'static str {
    match durability {
        Durability::InMemory => "in_memory",
        Durability::Buffered => "buffered",
        Durability::Strict => "strict",
    }
}

/// A store of its own directory, which is removed with it.
#[derive(Debug)]
pub struct Store {
    /// The open database.
    pub database: Database,
    directory: Option<TempDir>, // dropped after the database
}

impl Store {
    /// A new store under `dir`, or one without a directory when `durability` is `InMemory`.
    pub fn create(dir: &Path, durability: Durability, shards: usize) -> Result<Store> {
        Store::with(dir, Options { durability, shards: Some(shards), ..Options::default() })
    }

    /// The same with options.
    pub fn with(dir: &Path, options: Options) -> Result<Store> {
        if options.durability == Durability::InMemory {
            return Ok(Store { database: Database::in_memory_with(options)?, directory: None });
        }
        let directory =
            tempfile::tempdir_in(dir).unwrap_or_else(|error| panic!("no store in {dir:?}: {error}"));
        Ok(Store { database: Database::open(directory.path(), options)?, directory: Some(directory) })
    }

    /// Puts every key once into every run, each put a commit of its own.
    pub fn put_each(&self, runs: &[RunHandle], keys: &[String], value: &str) {
        for key in keys {
            let one_put = |run: &RunHandle| {
                let mut batch = run.batch();
                batch.put(key, value).expect("a small put is within the limits");
                batch
            };
            let results = self.database.commit_all(runs.iter().map(one_put).collect());
            let results = results.expect("an open store takes batches");
            assert!(results.iter().all(Result::is_ok), "every put is taken");
        }
    }

    /// Closes it, and keeps its directory.
    pub fn close(self) -> Result<Option<TempDir>> {
        self.database.close()?;
        Ok(self.directory)
    }

    /// Where it is; `None` for one in memory.
    pub fn path(&self) -> Option<&Path> {
        self.directory.as_ref().map(TempDir::path)
    }

    /// A new run on the first shard.
    pub fn run(&self) -> Result<RunHandle> {
        self.run_on(0)
    }

    /// A new run on shard `shard`.
    pub fn run_on(&self, shard: usize) -> Result<RunHandle> {
        loop {
            let run = self.database.begin_run(RunSpec::default())?;
            if self.database.shard_of(run.id()) == shard {
                return Ok(run);
            }
        }
    }
}

/// The next number of a sequence that `seed` begins (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strata::Writes;

    use super::*;

    #[test]
    fn keys_are_different_of_one_size_and_out_of_order() {
        let keys = keys(1000);
        assert!(keys.iter().all(|key| key.len() == KEY_SIZE));
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 1000);
        assert!(!keys.is_sorted());
        assert_eq!(value(VALUE_SIZE).len(), VALUE_SIZE);
    }

    #[test]
    fn a_run_is_made_on_the_shard_that_was_asked_for() {
        let store = Store::create(Path::new("/"), Durability::InMemory, 3).unwrap();
        for shard in 0..3 {
            assert_eq!(store.database.shard_of(store.run_on(shard).unwrap().id()), shard);
        }
    }

    #[test]
    fn a_store_on_disk_takes_its_directory_with_it() {
        let store = Store::create(&std::env::temp_dir(), Durability::Buffered, 1).unwrap();
        let path = store.path().unwrap().to_path_buf();
        store.run().unwrap().put("goal", "oslo").unwrap();
        assert!(path.exists());
        drop(store);
        assert!(!path.exists());
    }
}
