//! Where a shard runs: one thread, on one CPU where the process has one to spare.
//!
//! All stores of a process share its CPUs. While their shards together fit, each gets a CPU of its own; a store whose
//! shards no longer fit runs unpinned and leaves placement to the kernel, because two spinning threads that are
//! nailed to one CPU stop each other.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use core_affinity::CoreId;

thread_local! {
    static IS_SHARD_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// A CPU of this machine, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(usize);

impl Cpu {
    /// The kernel's number of this CPU.
    pub fn number(self) -> usize {
        self.0
    }
}

/// Starts a shard thread that runs `body`, on `cpu` if one is given.
///
/// A CPU that the kernel refuses is a warning; the thread then runs wherever the kernel lets it.
/// The kernel keeps the first 15 bytes of `name`.
///
/// # Errors
/// When the process may not have another thread.
///
/// # Panics
/// If `name` contains NUL.
pub fn spawn(
    name: &str,
    cpu: Option<Cpu>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        IS_SHARD_THREAD.set(true);
        if let Some(cpu) = cpu {
            pin(cpu);
        }
        body();
    })
}

/// Whether the calling thread was started by [`spawn`]: such a thread must not wait for a reply of its own kind.
pub fn is_shard_thread() -> bool {
    IS_SHARD_THREAD.get()
}

/// The CPUs that one store's shards hold, until it is dropped.
///
/// ```
/// let placement = strata_runtime::Placement::claim(1);
/// assert_eq!(placement.cpus().len(), 1);
/// ```
#[derive(Debug)]
pub struct Placement {
    cpus: Vec<Option<Cpu>>,
}

impl Placement {
    /// Claims a CPU for each of `shard_count` shards, among those the calling thread may run on.
    ///
    /// All get none when the shards of all open stores of the process together would outnumber the CPUs.
    pub fn claim(shard_count: usize) -> Placement {
        let allowed = allowed_cpus();
        let cpus = claims().claim(shard_count, &allowed);
        Placement { cpus }
    }

    /// The CPU of each shard, in the order of shards.
    pub fn cpus(&self) -> &[Option<Cpu>] {
        &self.cpus
    }

    /// The CPU of shard `index`, if it has one of its own.
    ///
    /// # Panics
    /// If the claim had no such shard.
    pub fn cpu(&self, index: usize) -> Option<Cpu> {
        self.cpus[index]
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        claims().release(&self.cpus);
    }
}

/// The CPUs the calling thread may run on; none if the kernel does not tell.
fn allowed_cpus() -> Vec<Cpu> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    ids.into_iter().map(|core| Cpu(core.id)).collect()
}

fn pin(cpu: Cpu) {
    if !core_affinity::set_for_current(CoreId { id: cpu.0 }) {
        tracing::warn!(target: "strata", cpu = cpu.0, "the kernel refused to pin a shard thread; it runs unpinned");
    }
}

/// What all placements of the process hold together.
#[derive(Debug)]
struct Claims {
    shard_count: usize,
    taken: BTreeSet<Cpu>,
    /// The CPU given last: the search goes on behind it, so that stores opened in turn do not pile up on the first.
    last: Option<Cpu>,
}

static CLAIMS: Mutex<Claims> = Mutex::new(Claims::new());

fn claims() -> MutexGuard<'static, Claims> {
    // No step below leaves the claims half changed.
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Claims {
    const fn new() -> Claims {
        Claims { shard_count: 0, taken: BTreeSet::new(), last: None }
    }

    fn claim(&mut self, shard_count: usize, allowed: &[Cpu]) -> Vec<Option<Cpu>> {
        self.shard_count += shard_count;
        let start = allowed.iter().position(|cpu| Some(*cpu) > self.last).unwrap_or(0);
        let in_turn = allowed[start..].iter().chain(&allowed[..start]);
        let free: Vec<Cpu> =
            in_turn.copied().filter(|cpu| !self.taken.contains(cpu)).take(shard_count).collect();
        if self.shard_count > allowed.len() || free.len() < shard_count {
            return vec![None; shard_count];
        }
        self.taken.extend(&free);
        self.last = free.last().copied().or(self.last);
        free.into_iter().map(Some).collect()
    }

    fn release(&mut self, cpus: &[Option<Cpu>]) {
        self.shard_count -= cpus.len();
        for cpu in cpus.iter().flatten() {
            assert!(self.taken.remove(cpu), "a CPU is released by the placement that took it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(numbers: &[usize]) -> Vec<Cpu> {
        numbers.iter().copied().map(Cpu).collect()
    }

    fn given(numbers: &[usize]) -> Vec<Option<Cpu>> {
        numbers.iter().map(|number| Some(Cpu(*number))).collect()
    }

    #[test]
    fn each_shard_gets_a_cpu_of_its_own() {
        let mut claims = Claims::new();
        let allowed = cpus(&[0, 2, 5, 7]);
        assert_eq!(claims.claim(2, &allowed), given(&[0, 2]));
        assert_eq!(claims.claim(2, &allowed), given(&[5, 7]));
    }

    #[test]
    fn stores_opened_in_turn_rotate_over_the_cpus() {
        let mut claims = Claims::new();
        let allowed = cpus(&[0, 1, 2]);
        for expected in [0, 1, 2, 0] {
            let placed = claims.claim(1, &allowed);
            assert_eq!(placed, given(&[expected]));
            claims.release(&placed);
        }
    }

    #[test]
    fn a_store_whose_shards_do_not_fit_is_not_pinned() {
        let mut claims = Claims::new();
        let allowed = cpus(&[0, 1]);
        let first = claims.claim(1, &allowed);
        assert_eq!(first, given(&[0]));
        let second = claims.claim(2, &allowed);
        assert_eq!(second, vec![None, None]);

        // The second store counts while it is open, although it holds no CPU.
        let third = claims.claim(1, &allowed);
        assert_eq!(third, vec![None]);
        claims.release(&third);
        claims.release(&second);
        assert_eq!(claims.claim(1, &allowed), given(&[1]));
    }

    #[test]
    fn a_cpu_taken_under_another_mask_is_not_given_twice() {
        let mut claims = Claims::new();
        assert_eq!(claims.claim(1, &cpus(&[3])), given(&[3]));
        assert_eq!(claims.claim(1, &cpus(&[2, 3])), given(&[2]));
        assert_eq!(claims.claim(1, &cpus(&[1, 2, 3, 4])), given(&[4]));
    }

    #[test]
    fn without_known_cpus_nothing_is_pinned() {
        assert_eq!(Claims::new().claim(1, &[]), vec![None]);
        assert_eq!(Claims::new().claim(0, &[]), vec![]);
    }

    #[test]
    fn a_thread_started_here_knows_that_it_is_a_shard_thread() {
        assert!(!is_shard_thread());
        let (sender, receiver) = std::sync::mpsc::channel();
        let body = move || sender.send((is_shard_thread(), std::thread::current().name().map(str::to_owned)));
        spawn("strata-7", None, move || body().unwrap()).unwrap().join().unwrap();
        assert_eq!(receiver.recv().unwrap(), (true, Some("strata-7".to_owned())));
        assert!(!is_shard_thread());
    }

    #[test]
    fn a_pinned_thread_may_run_on_its_cpu_alone() {
        let cpu = *allowed_cpus().first().expect("the kernel tells its CPUs");
        let (sender, receiver) = std::sync::mpsc::channel();
        spawn("strata-0", Some(cpu), move || sender.send(allowed_cpus()).unwrap()).unwrap().join().unwrap();
        assert_eq!(receiver.recv().unwrap(), vec![cpu]);
    }

    #[test]
    fn a_cpu_that_the_machine_does_not_have_leaves_the_thread_unpinned() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let absent = Some(Cpu(1_000));
        spawn("strata-0", absent, move || sender.send(allowed_cpus()).unwrap()).unwrap().join().unwrap();
        assert_eq!(receiver.recv().unwrap(), allowed_cpus());
    }
}
