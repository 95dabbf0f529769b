//! How far an import is: a bar that moves on a terminal, four lines where output goes into a file.

use std::io::{IsTerminal, Write};

use crate::figures::{count, share};

const BAR_WIDTH: u64 = 24;

/// Counts runs and events of one import and tells of them on standard error.
pub(crate) struct Progress {
    what: String,
    run_count: u64,
    runs: u64,
    events: u64,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new(what: String, run_count: u64) -> Progress {
        Progress { what, run_count, runs: 0, events: 0, is_terminal: std::io::stderr().is_terminal() }
    }

    /// One more run is in the store, with this many events.
    pub(crate) fn advance(&mut self, events: u64) {
        let before = self.part(4);
        self.runs += 1;
        self.events += events;
        if self.is_terminal {
            self.draw();
        } else if self.part(4) > before {
            eprintln!("  {}", self.line());
        }
    }

    fn part(&self, of: u64) -> u64 {
        (self.runs * of).checked_div(self.run_count).unwrap_or(0)
    }

    fn line(&self) -> String {
        let (runs, part) = (count(self.runs), share(self.runs, self.run_count));
        format!("{:<28} {part:>5}  {runs:>5} runs  {:>7} events", self.what, count(self.events))
    }

    fn draw(&self) {
        let filled = self.part(BAR_WIDTH) as usize;
        let bar = format!("{:#<filled$}{:.<rest$}", "", "", rest = BAR_WIDTH as usize - filled);
        let mut output = std::io::stderr();
        // A bar that cannot be drawn is no reason to stop an import.
        let _ = write!(output, "\r  {} [{bar}]", self.line());
        let _ = output.flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            // The finished bar makes room for the table.
            eprint!("\r{:100}\r", "");
        }
    }
}
