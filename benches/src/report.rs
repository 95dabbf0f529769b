//! Where figures go: one JSON line each on stdout, one row of a table on stderr.

use std::process::ExitCode;

use serde_json::json;

use crate::arguments::Arguments;
use crate::figure::Figure;
use crate::machine;

/// The figures of one run of one bench.
#[derive(Debug)]
pub struct Report {
    bench: &'static str,
    has_failed: bool,
}

impl Report {
    /// Begins a report by telling the machine.
    pub fn begin(bench: &'static str, arguments: &Arguments) -> Report {
        let machine = machine::describe(&arguments.dir);
        println!("{}", json!({ "bench": bench, "is_quick": arguments.is_quick, "machine": machine }));
        eprintln!(
            "{bench}: {}, CPUs {}, kernel {}, {}, direct I/O: {}, io_uring: {}",
            machine["cpu"],
            machine["cpus"],
            machine["kernel"],
            machine["file_system"],
            machine["direct_io"],
            machine["io_uring"]
        );
        Report { bench, has_failed: false }
    }

    /// Tells one figure.
    pub fn add(&mut self, figure: &Figure) {
        println!("{}", figure.to_json(self.bench));
        eprintln!("{}", figure.to_row());
    }

    /// Tells one figure to programs alone, where people get a table.
    pub fn note(&mut self, figure: &Figure) {
        println!("{}", figure.to_json(self.bench));
    }

    /// Tells one figure whose goal is a promise: missing it in every round fails the bench.
    ///
    /// A neighbour on the machine can spoil a round and the middle one with it, but makes none better, so a
    /// promise that one round kept is not broken.
    pub fn require(&mut self, figure: &Figure) {
        self.add(figure);
        self.has_failed |= figure.is_met_in_a_round() == Some(false);
    }

    /// How the bench ends: a broken promise is a failure, a slow machine is not.
    pub fn end(self) -> ExitCode {
        ExitCode::from(u8::from(self.has_failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Goal;
    use crate::timing::Rounds;

    #[test]
    fn only_a_promise_broken_in_every_round_fails_a_bench() {
        let of = |values: &[f64]| {
            let mut rounds = Rounds::new();
            values.iter().for_each(|&value| rounds.push(value));
            Figure::new("put", "us", rounds).goal(Goal::AtMost(1.0))
        };
        let missed = of(&[2.0, 3.0]);
        let mut report = Report { bench: "speed", has_failed: false };
        report.add(&missed);
        assert!(!report.has_failed);
        report.require(&of(&[2.0, 0.5, 3.0]));
        assert!(!report.has_failed);
        report.require(&missed);
        assert!(report.has_failed);
    }
}
