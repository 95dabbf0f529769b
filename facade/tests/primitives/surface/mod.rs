//! One suite for everything that reads or writes a run: the same calls give the same answers on each surface.
//!
//! A surface is put under it by one line in the table below. Whatever answers `ask` and `write` can be one, from
//! outside of this project too: [`relay::Relay`] does, and notes what it was asked.

mod describing;
mod documents;
mod events;
mod keys;
mod operations;
mod questions;
mod relay;
mod traces;

use strata::{Database, Durability, Error, RunHandle, RunSpec};

use relay::Relay;

use crate::support::{TestClock, options};

/// Every surface that writes runs `$suite`, on a new run of its own.
macro_rules! on_every_surface_that_writes {
    ($suite:path) => {
        on_a_handle("a handle", |run| $suite(run));
        on_a_handle("a relay", |run| $suite(&Relay::to(run)));
        on_a_handle("a transaction", |run| {
            let done = run.transaction(|tx| {
                $suite(tx);
                Ok::<_, Error>(())
            });
            done.unwrap();
        });
        on_a_handle("a closure", |run| {
            let done = run.execute(|run| {
                $suite(run);
                Ok::<_, Error>(())
            });
            done.unwrap();
        });
    };
}

/// The time at which all of it happens.
const NOW: u64 = 1_750_000_000_000_000;

/// A new run, at a time that stands still.
fn new_run() -> (Database, RunHandle) {
    let clock = TestClock::at(NOW).clock();
    let database = Database::start(None, options(Durability::InMemory, 1), clock, None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}

fn on_a_handle(surface: &str, suite: impl FnOnce(&RunHandle)) {
    println!("on {surface}");
    let (_database, run) = new_run();
    suite(&run);
}

#[test]
fn keys_are_the_same_on_every_surface() {
    on_every_surface_that_writes!(keys::suite);
}

#[test]
fn deadlines_are_the_same_on_every_surface() {
    on_every_surface_that_writes!(keys::deadlines);
}

#[test]
fn cells_are_the_same_on_every_surface() {
    on_every_surface_that_writes!(keys::cells);
}

#[test]
fn events_are_the_same_on_every_surface() {
    on_every_surface_that_writes!(events::suite);
}

#[test]
fn documents_are_the_same_on_every_surface() {
    on_every_surface_that_writes!(documents::suite);
}

#[test]
fn traces_are_the_same_on_every_surface() {
    on_every_surface_that_writes!(traces::suite);
}

#[test]
fn a_run_describes_itself_the_same_on_every_surface() {
    on_every_surface_that_writes!(describing::suite);
}

/// Everything that a run can be asked, answered by every surface that reads.
#[test]
fn every_question_has_the_same_answer_on_every_surface() {
    let (_database, run) = new_run();
    questions::fill(&run);
    let asked = questions::answers(&run);
    assert_eq!(questions::answers(&Relay::to(&run)), asked, "a relay");
    assert_eq!(questions::answers(&run.snapshot().unwrap()), asked, "a snapshot");
    assert_eq!(questions::answers(&run.begin()), asked, "a transaction");
    let in_closure = run.execute(|run| Ok::<_, Error>(questions::answers(run))).unwrap();
    assert_eq!(in_closure.value, asked, "a closure");
}
