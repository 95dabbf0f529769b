//! Where threads run: which CPUs the shards hold, and which are left for clients.
//!
//! Shards are recognized by the names of their threads in `/proc/self/task`, so that what is
//! reported is what the kernel does and not what was asked of it.

use std::fs;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

/// How the threads of shards are named.
const SHARD_NAME: &str = "strata-shard-";
/// More CPUs than this a `CpuSet` does not hold.
const CPU_COUNT_MAX: usize = CpuSet::MAX_CPU;

/// A shard's thread, as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardThread {
    /// The name of the thread.
    pub name: String,
    /// The CPUs it may run on, as the kernel writes them: `1` or `0-3`.
    pub cpus: String,
    /// CPU time it has used.
    pub cpu_time: Duration,
}

impl ShardThread {
    /// The one CPU it is pinned to, if it is pinned.
    pub fn cpu(&self) -> Option<usize> {
        self.cpus.parse().ok()
    }
}

/// The shards of all open stores of this process, ordered by name.
pub fn shard_threads() -> Vec<ShardThread> {
    let mut threads: Vec<ShardThread> = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = fs::read_to_string(path.join("comm")).ok()?.trim().to_string();
            if !name.starts_with(SHARD_NAME) {
                return None;
            }
            let status = fs::read_to_string(path.join("status")).ok()?;
            let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
            // The first field of schedstat is time on a CPU in nanoseconds, where `stat` counts ticks of 10 ms.
            let schedule = fs::read_to_string(path.join("schedstat")).ok()?;
            let nanos = schedule.split_whitespace().next()?.parse().ok()?;
            Some(ShardThread { name, cpus: cpus.to_string(), cpu_time: Duration::from_nanos(nanos) })
        })
        .collect();
    threads.sort_by(|left, right| left.name.cmp(&right.name));
    threads
}

/// The CPUs the calling thread may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|error| panic!("the kernel hides our CPUs: {error}"));
    (0..CPU_COUNT_MAX).filter(|&cpu| set.is_set(cpu)).collect()
}

/// Lets the calling thread, and the threads it starts from now on, run on these CPUs only.
pub fn stay_on(cpus: &[usize]) {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    // A cpuset that shrank meanwhile leaves the thread where it was; the figures then say where.
    if let Err(error) = sched_setaffinity(None, &set) {
        eprintln!("a thread could not be moved to CPUs {cpus:?}: {error}");
    }
}

/// Where the clients and the shards of one figure run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// CPUs the clients may use.
    pub clients: Vec<usize>,
    /// The CPU list of each shard.
    pub shards: Vec<String>,
}

impl Placement {
    /// Clients on the CPUs that no shard is pinned to; on all of them when none is left.
    ///
    /// Call it from a thread that is not pinned itself, with the store open.
    pub fn apart() -> Placement {
        let shards = shard_threads();
        let taken: Vec<usize> = shards.iter().filter_map(ShardThread::cpu).collect();
        let mut clients = allowed_cpus();
        if clients.iter().any(|cpu| !taken.contains(cpu)) {
            clients.retain(|cpu| !taken.contains(cpu));
        }
        Placement { clients, shards: shards.into_iter().map(|shard| shard.cpus).collect() }
    }

    /// Clients wherever the kernel puts them.
    pub fn anywhere() -> Placement {
        Placement { clients: allowed_cpus(), ..Placement::apart() }
    }

    /// The CPU of client `index`: each its own while there are enough.
    pub fn client(&self, index: usize) -> usize {
        self.clients[index % self.clients.len()]
    }

    /// The placement as part of a JSON line.
    pub fn to_json(&self) -> Value {
        json!({ "client_cpus": self.clients, "shard_cpus": self.shards })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_moved_runs_there() {
        std::thread::spawn(|| {
            let cpu = allowed_cpus()[0];
            stay_on(&[cpu]);
            assert_eq!(allowed_cpus(), [cpu]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_shard_is_recognized_and_its_cpu_is_left_to_it() {
        let database = strata::Database::in_memory().unwrap();
        let shards = shard_threads();
        assert!(shards.len() >= database.shard_count());
        let placement = Placement::apart();
        assert_eq!(placement.shards.len(), shards.len());
        let pinned = shards.iter().filter_map(ShardThread::cpu);
        let is_shared =
            |cpu| placement.clients.contains(&cpu) && placement.clients.len() < allowed_cpus().len();
        assert!(!pinned.into_iter().any(is_shared));
        database.close().unwrap();
    }
}
