//! Rounds of one question, in which everybody takes turns.

use std::time::{Duration, Instant};

use strata_benches::clients::{Seats, together};
use strata_benches::placement::Placement;
use strata_benches::timing::Rounds;
use tempfile::TempDir;

use crate::command::Command;
use crate::engine::{Engine, Promise, Session, Store};
use crate::row::{Row, Unit};

/// Calls between two readings of the clock, where a call does not wait for a disk.
const CALLS_PER_READING: usize = 16;
/// Clients that have a CPU each, as far as there are CPUs; more are put where the kernel likes.
const SEATED_COUNT: usize = 2;

/// One who takes part, with an open store.
pub struct Contestant {
    engine: &'static dyn Engine,
    store: Box<dyn Store>,
    _directory: TempDir, // dropped after the store
}

impl Contestant {
    /// Opens a new store of `engine`.
    ///
    /// # Panics
    /// If there is no place for it.
    pub fn open(
        command: &Command,
        engine: &'static dyn Engine,
        promise: Promise,
        clients: usize,
    ) -> Contestant {
        let directory = tempfile::tempdir_in(&command.dir).expect("there is a place for a store");
        let store = engine.open(directory.path(), promise, clients);
        Contestant { engine, store, _directory: directory }
    }

    /// Does something as client `number`.
    pub fn with(&self, number: usize, body: impl FnOnce(&mut dyn Session)) {
        body(&mut *self.store.session(number));
    }
}

/// How a question is asked.
#[derive(Clone, Copy, Debug)]
pub struct Bout {
    /// Clients at the same time.
    pub clients: usize,
    /// Operations of a call.
    pub call_size: usize,
    /// What writes are promised.
    pub promise: Promise,
}

impl Bout {
    /// Asks everybody in turn, in several rounds, and counts operations a second of all clients together. A call is told
    /// its client and how many that client has made.
    pub fn ask(
        self,
        command: &Command,
        question: String,
        contestants: &[Contestant],
        call: impl Fn(&mut dyn Session, usize, usize) + Sync,
    ) -> Row {
        // Clients keep off the CPUs of shards where others are left, and so do those of everybody else.
        let placement = Placement::apart();
        let seats = if self.clients <= SEATED_COUNT { Seats::Apart(&placement) } else { Seats::Anywhere };
        let length = command.pick(Duration::from_millis(120), Duration::from_millis(4));
        let mut answers: Vec<Rounds> = contestants.iter().map(|_| Rounds::new()).collect();
        let mut made = vec![vec![0; self.clients]; contestants.len()];
        for _ in 0..command.pick(7, 2) {
            for ((contestant, answer), made) in contestants.iter().zip(&mut answers).zip(&mut made) {
                let mut clients: Vec<(usize, f64)> = made.iter().map(|made| (*made, 0.0)).collect();
                together(seats, &mut clients, |client, (made, rate)| {
                    let mut session = contestant.store.session(client);
                    *rate = self.run(&mut *session, client, made, length, &call);
                });
                answer.push(clients.iter().map(|(_, rate)| rate).sum());
                made.iter_mut().zip(clients).for_each(|(made, (now, _))| *made = now);
            }
        }
        let engines = contestants.iter().map(|contestant| contestant.engine);
        Row { question, unit: Unit::Rate, answers: engines.zip(answers).collect() }
    }

    /// Calls until the time is over; operations a second, without a first call that warms up.
    fn run(
        self,
        session: &mut dyn Session,
        client: usize,
        made: &mut usize,
        length: Duration,
        call: &(impl Fn(&mut dyn Session, usize, usize) + Sync),
    ) -> f64 {
        let calls_per_reading = if self.promise == Promise::Disk { 1 } else { CALLS_PER_READING };
        call(session, client, *made);
        *made += 1;
        let (start, first) = (Instant::now(), *made);
        loop {
            for _ in 0..calls_per_reading {
                call(session, client, *made);
                *made += 1;
            }
            let elapsed = start.elapsed();
            if elapsed >= length {
                return ((*made - first) * self.call_size) as f64 / elapsed.as_secs_f64();
            }
        }
    }
}
