//! How many instructions does one call take, client and shard together, and has that changed?
//!
//! `valgrind --tool=callgrind` counts them, so a busy machine changes little: two counts of one build lie within 1 %.
//! Each question is asked in two processes, of which one makes twice the calls of the other: what the second has more
//! is what those calls cost, without the opening, the warm-up and the end. The client's thread and the shard's count,
//! without the functions that wait and wake (`cost::WAITING`): how long a thread looks before it sleeps is up to the
//! scheduler. What the kernel does is not counted.
//!
//! ```sh
//! target/debug/instructions              # counts, and compares with benches/instructions.txt
//! target/debug/instructions --write      # counts, and writes the table again
//! target/release/instructions --profile  # through which layers and functions a put and a get go
//! ```
//!
//! A count that left its threshold is a failure in both directions: what became cheaper is written down with
//! `--write`, or a later change may waste it unnoticed. `--only NAME` picks questions by a part of their names, and
//! `--quick` asks each of them a few times without valgrind, which proves only that they can be asked.
#![forbid(unsafe_code)]

mod command;
mod cost;
mod counting;
mod profile;
mod question;
mod table;

use std::process::ExitCode;

use command::{Command, Purpose};
use question::{QUESTIONS, Question};

/// Calls of a question that only proves that it can be asked.
const QUICK_COUNT: usize = 2;

fn main() -> ExitCode {
    let command = Command::read();
    let wanted: Vec<&Question> = QUESTIONS.iter().filter(|question| command.wants(question.name)).collect();
    if wanted.is_empty() {
        eprintln!("instructions: no question has {:?} in its name", command.only.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    let outcome = match command.purpose {
        Purpose::Quick => {
            wanted.iter().for_each(|question| question.ask(&command.dir, QUICK_COUNT));
            eprintln!("instructions: {} questions can be asked; .ci/run counts them", wanted.len());
            Ok(())
        }
        Purpose::Counted(calls) => {
            wanted.iter().for_each(|question| question.ask(&command.dir, calls));
            Ok(())
        }
        Purpose::Compare => table::compare(&wanted, &command.dir),
        Purpose::Write => table::write(&wanted, &command.dir),
        Purpose::Profile => profile::print(&wanted, &command.dir),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("instructions: {reason}");
            ExitCode::FAILURE
        }
    }
}
