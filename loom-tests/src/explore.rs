//! Runs a model and counts its interleavings; runs its control and wants it to fail.

use std::env;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loom::model::Builder;
use strata_runtime::sync::{Site, weakened};

/// Names the one control that a child process is to run.
const CONTROL: &str = "STRATA_LOOM_CONTROL";

/// Forced switches in a control.
const CONTROL_PREEMPTION_COUNT_MAX: usize = 3;

/// What loom says when every thread of a model waits for ever.
pub const HANGS: &str = "deadlock";

/// What loom says when a cell is touched by two threads that nothing puts in order.
pub const RACES: &str = "Causality violation";

/// What loom says when a thread goes on looking at what does not change.
pub const LOOKS_FOR_EVER: &str = "exceeded maximum number of branches";

/// Walks every interleaving of `model` and reports their number under `name`.
pub fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    run(name, None, model);
}

/// Walks every interleaving of `model` with at most `preemption_count_max` forced switches, where all are too many.
///
/// Most concurrency defects need no more than two (Musuvathi and Qadeer, PLDI 2007).
pub fn explore_bounded(name: &str, preemption_count_max: usize, model: impl Fn() + Send + Sync + 'static) {
    run(name, Some(preemption_count_max), model);
}

/// Walks `model` with the ordering of `site` taken away, and panics unless some interleaving then fails as expected.
///
/// At most three forced switches: one interleaving that fails is enough, and the short ones are found soonest.
/// `name` tells this control from the others of its file.
pub fn assert_fails_without(
    site: Site,
    name: &str,
    expected: &str,
    model: impl Fn() + Send + Sync + 'static,
) {
    let name = format!("{name} without {site:?}");
    let checker = model_checker(Some(CONTROL_PREEMPTION_COUNT_MAX));
    assert_fails(&name, expected, move || weakened(site, || checker.check(model)));
}

/// Runs `check` in a process of its own, and panics unless that process fails and says `expected`.
///
/// A process of its own, because a model that fails in the middle of a thread may abort while loom clears it away.
pub fn assert_fails(name: &str, expected: &str, check: impl FnOnce()) {
    if let Some(asked) = env::var_os(CONTROL) {
        if asked == name {
            check();
        }
        return;
    }
    let binary = env::current_exe().expect("a test knows its own file");
    let mut child = Command::new(binary);
    child.arg("--nocapture").env(CONTROL, name).env("RUST_BACKTRACE", "0");
    let output = child.output().expect("a test may start itself");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!output.status.success(), "{name}: the model holds, so it proves nothing");
    assert!(said.contains(expected), "{name}: the model fails, but not by \"{expected}\":\n{said}");
    report(&format!("{name}: fails, \"{expected}\""));
}

fn run(name: &str, preemption_count_max: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    if env::var_os(CONTROL).is_some() {
        return;
    }
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    model_checker(preemption_count_max).check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let count = count.load(Ordering::Relaxed);
    assert!(count > 1, "{name}: a model of one interleaving has nothing to race");
    report(&format!("{name}: {count} interleavings"));
}

fn model_checker(preemption_count_max: Option<usize>) -> Builder {
    let mut checker = Builder::new();
    checker.preemption_bound = preemption_count_max;
    checker
}

/// Written directly, because the test harness hides what a passing test prints.
fn report(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error takes a line");
}
