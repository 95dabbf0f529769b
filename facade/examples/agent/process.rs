//! The agent as a process of its own, so that it can be killed: both ends of the pipes.
//!
//! The child writes one line for each step once its commit is durable. It may be a few steps ahead of what its
//! parent has read, never more: for each step it takes one byte from its standard input. So a kill after half of
//! the acknowledgements always finds it at work, on a busy machine too, yet nobody knows in the midst of what.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use strata::RunId;

use crate::Result;
use crate::survey::{self, Agent, Brief, Receipt};

/// The hidden first argument that makes this program the child.
pub(crate) const WORK: &str = "--work-as-child";
const SIGKILL: i32 = 9;

/// The child's whole life: `arguments` are those behind [`WORK`].
pub(crate) fn work(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut argument =
        || arguments.next().ok_or("the child got too few arguments; start the example without it");
    let (store, name, root) = (PathBuf::from(argument()?), argument()?, PathBuf::from(argument()?));
    let brief = Brief { name, root, step_count_max: argument()?.parse()? };
    let database = survey::open(&store)?;
    let agent = Agent::begin(&database, &brief)?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "run {} {}", agent.run.id(), agent.plan.step_count())?;
    output.flush()?;
    let mut permissions = std::io::stdin().lock().bytes();
    for step in agent.next_step()?..agent.plan.step_count() {
        if permissions.next().transpose()?.is_none() {
            break; // The parent is gone: nobody listens any more.
        }
        let receipt = agent.take(step)?;
        writeln!(output, "{}", to_line(&receipt))?;
        output.flush()?;
    }
    Ok(database.close()?)
}

fn to_line(receipt: &Receipt) -> String {
    let Receipt { step, sequence, version, fingerprint } = receipt;
    format!("step {step} {sequence} {version} {fingerprint}")
}

/// `None` for a line that was cut by the kill.
fn from_line(line: &str) -> Option<Receipt> {
    let mut numbers = line.strip_prefix("step ")?.split(' ').map(str::parse::<u64>);
    let mut number = || numbers.next()?.ok();
    Some(Receipt { step: number()?, sequence: number()?, version: number()?, fingerprint: number()? })
}

/// The parent's end. Dropped, it takes the child with it.
pub(crate) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    permissions: ChildStdin,
}

impl Worker {
    pub(crate) fn start(store: &Path, brief: &Brief) -> Result<Worker> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WORK)
            .args([store.as_os_str(), brief.name.as_ref(), brief.root.as_os_str()])
            .arg(brief.step_count_max.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("the child has no output pipe")?).lines();
        let permissions = child.stdin.take().ok_or("the child has no input pipe")?;
        Ok(Worker { child, lines, permissions })
    }

    /// The child's first line: its run and the number of steps it plans.
    pub(crate) fn announcement(&mut self) -> Result<(RunId, u64)> {
        let line = self.lines.next().transpose()?.ok_or("the agent's process ended before its first step")?;
        let (run, steps) =
            line.strip_prefix("run ").and_then(|rest| rest.split_once(' ')).ok_or("bad first line")?;
        Ok((run.parse()?, steps.parse()?))
    }

    /// Lets the child take `count` more steps.
    pub(crate) fn allow(&mut self, count: usize) -> Result<()> {
        self.permissions.write_all(&vec![b'.'; count])?;
        Ok(self.permissions.flush()?)
    }

    /// Waits for the next acknowledged step.
    pub(crate) fn acknowledged(&mut self) -> Result<Receipt> {
        let line =
            self.lines.next().transpose()?.ok_or("the agent's process ended early; its error is above")?;
        Ok(from_line(&line).ok_or("the agent's process wrote a line that is no acknowledgement")?)
    }

    /// Kills the child and returns what it had acknowledged but nobody had read yet.
    pub(crate) fn kill(mut self) -> Result<Vec<Receipt>> {
        self.child.kill()?;
        let status = self.child.wait()?;
        if status.signal() != Some(SIGKILL) {
            return Err(format!("the agent's process was not killed but ended by itself: {status}").into());
        }
        let lines = self.lines.by_ref().collect::<std::io::Result<Vec<String>>>()?;
        Ok(lines.iter().filter_map(|line| from_line(line)).collect())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Already gone is what is wanted; nothing else can be done about a failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
