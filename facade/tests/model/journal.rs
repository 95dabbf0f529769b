//! The last steps of a history, told when it goes wrong.

use std::collections::VecDeque;
use std::fmt::Debug;

use strata::Durability;

/// Keeps the last steps, and prints them when the thread panics.
pub(crate) struct Journal {
    seed: u64,
    durability: Durability,
    count: u64,
    lines: VecDeque<String>,
}

const LINES_MAX: usize = 20;
const LINE_CHARS_MAX: usize = 400;

impl Journal {
    pub(crate) fn new(seed: u64, durability: Durability) -> Journal {
        Journal { seed, durability, count: 0, lines: VecDeque::new() }
    }

    /// A step begins.
    pub(crate) fn step(&mut self, what: &dyn Debug) {
        self.count += 1;
        let line: String = format!("{:>5}  {what:?}", self.count).chars().take(LINE_CHARS_MAX).collect();
        self.note(line);
    }

    /// Something within a step.
    pub(crate) fn detail(&mut self, what: &dyn Debug) {
        let line: String = format!("       . {what:?}").chars().take(LINE_CHARS_MAX).collect();
        self.note(line);
    }

    fn note(&mut self, line: String) {
        self.lines.push_back(line);
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Journal { seed, durability, count, lines } = self;
            println!("STRATA_SEED={seed} ({durability}) went wrong at step {count}; the last ones were");
            lines.iter().for_each(|line| println!("{line}"));
        }
    }
}
