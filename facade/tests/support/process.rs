//! Tests that need a process for themselves: the test binary runs itself again, for one test.

use std::env;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const OWN_PROCESS: &str = "STRATA_TEST_IN_OWN_PROCESS";

/// Runs `body` as test `name` in a process where nothing else runs. Returns here once that has passed.
pub(crate) fn in_own_process(name: &str, body: impl FnOnce()) {
    if is_child(name) {
        return body();
    }
    expect_passed(name, &command(name).output().expect("the test binary runs again"));
}

/// Whether this process was started to run test `name` alone.
pub(crate) fn is_child(name: &str) -> bool {
    env::var_os(OWN_PROCESS).is_some_and(|running| running == name)
}

/// The command that runs test `name` of this binary as a child.
pub(crate) fn command(name: &str) -> Command {
    command_of(&env::current_exe().expect("a test binary knows its path"), name)
}

/// The same, of a copy of this binary.
pub(crate) fn command_of(binary: &Path, name: &str) -> Command {
    let mut command = Command::new(binary);
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(OWN_PROCESS, name);
    command.stdin(Stdio::null());
    command
}

/// The command that runs test `name` of this binary as a child of another program, which gets it as its arguments.
pub(crate) fn command_behind(program: &[&str], name: &str) -> Command {
    let child = command(name);
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(child.get_program()).args(child.get_args());
    command.env(OWN_PROCESS, name).stdin(Stdio::null());
    command
}

/// A child that ran no test at all would pass too, so its count is looked at.
pub(crate) fn expect_passed(name: &str, output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = output.status.success() && out.contains("1 passed");
    assert!(passed, "{name} failed in its own process ({}):\n{out}\n{err}", output.status);
}
