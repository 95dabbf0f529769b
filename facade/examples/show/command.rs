//! How an example begins and ends: the words behind its name become arguments, what comes of it an exit status.
#![allow(dead_code, reason = "each example uses its part of this file")]

use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;

/// The words of a command line, in order.
pub(crate) struct Words(std::iter::Skip<std::env::Args>);

impl Iterator for Words {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0.next()
    }
}

impl Words {
    /// What stands behind `option`.
    pub(crate) fn value(&mut self, option: &str) -> Result<String, String> {
        self.next().ok_or_else(|| format!("{option} needs a value"))
    }

    /// The number that stands behind `option`.
    pub(crate) fn number<T: FromStr>(&mut self, option: &str) -> Result<T, String> {
        let text = self.value(option)?;
        text.parse().map_err(|_| format!("{text:?} is not a number"))
    }
}

/// Parses the command line and runs the example with what it says; without arguments to run with, tells the usage.
/// Exits with 2 when the words are not understood and with 1 when the example fails.
pub(crate) fn start<A, E: Display>(
    usage: &str,
    parse: impl FnOnce(Words) -> Result<Option<A>, String>,
    run: impl FnOnce(&A) -> Result<(), E>,
) -> ExitCode {
    let arguments = match parse(Words(std::env::args().skip(1))) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say!("{usage}");
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("error: {reason}\n\n{usage}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
