//! Counts questions: starts this program again, below valgrind, and reads what that wrote.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use strata_benches::placement::{allowed_cpus, stay_on};

use crate::cost::Cost;
use crate::question::Question;

/// A copy is one instruction a byte where the processor is said to be fast at those, and one for 32 bytes elsewhere: the
/// counts are to be the same on both.
const COPY_TUNABLES: &str =
    "glibc.cpu.x86_rep_stosb_threshold=1073741824:glibc.cpu.x86_rep_movsb_threshold=1073741824";

/// What the calls of a question cost, both threads of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    /// The client's thread.
    pub(crate) client: Cost,
    /// The shard's.
    pub(crate) shard: Cost,
    /// Calls that both served.
    pub(crate) calls: usize,
}

impl Count {
    /// Counts one question, with its stores in `dir`.
    ///
    /// # Errors
    /// A sentence: valgrind is missing, or what it wrote is not understood.
    fn of(question: &Question, dir: &Path) -> Result<Count, String> {
        let once = threads(question, dir, question.count)?;
        let twice = threads(question, dir, 2 * question.count)?;
        let [client, shard] = [0, 1].map(|thread| twice[thread].without(&once[thread]));
        Ok(Count { client, shard, calls: question.count })
    }

    /// Instructions of one call.
    pub(crate) fn per_call(&self) -> f64 {
        (self.client.working() + self.shard.working()) as f64 / self.calls as f64
    }
}

/// Counts questions, as many at a time as there are CPUs, in their order.
///
/// # Errors
/// As [`Count::of`], of the first that fails.
pub(crate) fn count_all(questions: &[&Question], dir: &Path) -> Result<Vec<Count>, String> {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![None; questions.len()]);
    std::thread::scope(|scope| {
        for cpu in allowed_cpus() {
            let (next, counts) = (&next, &counts);
            scope.spawn(move || {
                // Two threads on one CPU take turns where they wait, and nowhere else.
                stay_on(&[cpu]);
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(question) = questions.get(index) else { return };
                    let count = Count::of(question, dir);
                    counts.lock().expect("no worker panics with the lock")[index] = Some(count);
                }
            });
        }
    });
    let counts = counts.into_inner().expect("no worker panics with the lock");
    counts.into_iter().map(|count| count.expect("every question was somebody's")).collect()
}

/// What the client's thread and the shard's cost in a process that makes `calls` calls.
fn threads(question: &Question, dir: &Path, calls: usize) -> Result<[Cost; 2], String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for counts: {error}"))?;
    let program = std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--separate-threads=yes", "--fair-sched=no"])
        .arg(format!("--callgrind-out-file={}", folder.path().join("counts").display()))
        .arg(program)
        .args(["--counted", &calls.to_string(), "--only", question.name, "--dir"])
        .arg(dir)
        .env("GLIBC_TUNABLES", COPY_TUNABLES)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind cannot be started (is it installed?): {error}"))?;
    if !counted.status.success() {
        let told = String::from_utf8_lossy(&counted.stderr);
        return Err(format!("{} ended with {}: {told}", question.name, counted.status));
    }
    let mut found = [None, None];
    for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path()).map_err(|error| format!("{name}: {error}"))?;
        let cost = Cost::read(&text).map_err(|reason| format!("{name}: {reason}"))?;
        // The first thread is the one that calls; a store has one shard, and one thread that serves.
        if name.ends_with("-01") {
            found[0] = Some(cost);
        } else if cost.has("Shard::turn") {
            found[1] = Some(cost);
        }
    }
    match found {
        [Some(client), Some(shard)] => Ok([client, shard]),
        _ => Err(format!("{}: valgrind counted no client or no shard", question.name)),
    }
}
