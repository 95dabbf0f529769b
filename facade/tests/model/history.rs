//! One random history: what is done next, and what is looked at after it.

use strata::Version;

use crate::comparison::Comparison;
use crate::read::Read;
use crate::request::Request;
use crate::state::Named;
use crate::world::{Held, NAMES, Sent, World};

/// Between two comparisons of everything.
const STEPS_PER_COMPARISON: u64 = 50;
const SNAPSHOTS_MAX: usize = 6;
const SENT_MAX: usize = 40;

/// What is done in one step.
#[derive(Clone, Copy, Debug)]
enum Act {
    Write,
    Read,
    Batch,
    Batches,
    Again,
    ByHand,
    Closure,
    Execute,
    PassTime,
    OpenSnapshot,
    ReadSnapshot,
    Create,
    Destroy,
    Sync,
    Close,
    Kill,
    CutPower,
    FailLog,
}

/// How often each is done, of a thousand.
const ACTS: [(Act, u64); 18] = [
    (Act::Write, 420),
    (Act::Read, 80),
    (Act::Batch, 60),
    (Act::Batches, 10),
    (Act::Again, 40),
    (Act::ByHand, 100),
    (Act::Closure, 50),
    (Act::Execute, 50),
    (Act::PassTime, 50),
    (Act::OpenSnapshot, 20),
    (Act::ReadSnapshot, 60),
    (Act::Create, 20),
    (Act::Destroy, 6),
    (Act::Sync, 10),
    (Act::Close, 6),
    (Act::Kill, 6),
    (Act::CutPower, 6),
    (Act::FailLog, 6),
];

impl World {
    /// Takes so many steps, and looks at everything in the end.
    pub(crate) fn live(&mut self, steps: u64) {
        for run in 0..NAMES.len() {
            self.create(run);
        }
        for step in 1..=steps {
            let (act, run) = (self.act(), self.chance.below(3) as usize);
            self.journal.step(&(act, NAMES[run]));
            self.take(act, run);
            if step % STEPS_PER_COMPARISON == 0 || step == steps {
                self.expect_whole();
            }
        }
        self.kill();
    }

    fn act(&mut self) -> Act {
        let mut number = self.chance.below(ACTS.iter().map(|(_, weight)| weight).sum());
        for (act, weight) in ACTS {
            match number.checked_sub(weight) {
                None => return act,
                Some(rest) => number = rest,
            }
        }
        unreachable!("the number is below the sum of the weights")
    }

    fn take(&mut self, act: Act, run: usize) {
        match act {
            Act::Write => self.write_something(run),
            Act::Read => {
                let read = self.chance.read(&self.state(run).clone());
                self.journal.detail(&read);
                self.look(run, &read);
            }
            Act::Batch => self.write_batch(run),
            Act::Batches => self.write_batches(),
            Act::Again => self.send_again(),
            Act::ByHand | Act::Closure => {
                let with_rivals = self.chance.one_in(2);
                self.chance.set_focus();
                let body = self.body(run, with_rivals);
                if let Act::ByHand = act {
                    self.by_hand(run, &body)
                } else {
                    self.closure(run, &body)
                }
                self.chance.clear_focus();
            }
            Act::Execute => {
                let body = self.body(run, false);
                self.journal.detail(&body);
                self.execute(run, body);
            }
            Act::PassTime => {
                if let Some((run, kind, name)) = self.pass_time(None) {
                    self.touch(run, kind, &name);
                }
            }
            Act::OpenSnapshot => self.open_snapshot(run),
            Act::ReadSnapshot => self.read_snapshot(),
            Act::Create if self.chance.one_in(2) => self.begin(run),
            Act::Create => self.create(run),
            Act::Destroy => self.destroy(run),
            Act::Sync => {
                self.database().sync().expect("a sound store syncs");
                self.all_durable();
            }
            Act::Close => self.close(),
            Act::Kill => self.kill(),
            Act::CutPower => self.cut_power(),
            Act::FailLog => self.fail_log(),
        }
    }

    /// One random write, now and then with an operation id or with more durability than the store's.
    pub(crate) fn write_something(&mut self, run: usize) {
        let (state, now) = (self.state(run).clone(), self.now(run));
        let write = self.chance.write(&state, now);
        self.journal.detail(&(NAMES[run], &write));
        self.send(run, Request::One(Box::new(write)));
    }

    fn write_batch(&mut self, run: usize) {
        let (state, now) = (self.state(run).clone(), self.now(run));
        let count = self.chance.below(7);
        let writes: Vec<_> = (0..count).map(|_| self.chance.write(&state, now)).collect();
        self.journal.detail(&writes);
        self.send(run, Request::Batch(writes));
    }

    fn send(&mut self, run: usize, request: Request) {
        let strict = self.chance.one_in(12);
        let id = self.chance.one_in(5).then(|| self.chance.operation_id());
        self.submit(run, &request, id, strict);
        if let Some(id) = id {
            self.sent.push(Sent { run, id, request, strict });
            if self.sent.len() > SENT_MAX {
                self.sent.remove(0);
            }
        }
    }

    fn send_again(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let index = self.chance.below(self.sent.len() as u64) as usize;
        let Sent { run, id, request, strict } = self.sent[index].clone();
        self.journal.detail(&(NAMES[run], &request));
        self.submit(run, &request, Some(id), strict);
    }

    /// One batch for every run, sent together.
    fn write_batches(&mut self) {
        let mut requests = Vec::new();
        for run in 0..NAMES.len() {
            let (state, now) = (self.state(run).clone(), self.now(run));
            requests.push(Request::Batch((0..2).map(|_| self.chance.write(&state, now)).collect()));
        }
        self.journal.detail(&requests);
        let batches = requests.iter().enumerate().map(|(run, request)| request.batch(&self.handle(run)));
        let receipts = self.database().commit_all(batches.collect()).expect("batches are sent");
        for (run, (request, receipt)) in requests.iter().zip(receipts).enumerate() {
            self.hear(run, request, receipt.map(Into::into), None, self.durability);
        }
    }

    /// Some time passes: often to the very moment at which something expires, or just not; in one run, if that is
    /// given.
    pub(crate) fn pass_time(&mut self, run: Option<usize>) -> Option<(usize, Named, String)> {
        (0..NAMES.len()).for_each(|run| self.settle(run));
        // The cleaner of a busy shard pauses for 10 ms, so less could leave two cleanings to be told apart.
        let soonest = self.clock.now() + 10_001;
        let runs = (0..NAMES.len()).filter(|other| run.is_none_or(|run| run == *other));
        let mut ahead: Vec<_> = runs.flat_map(|run| self.deadlines(run)).collect();
        ahead.retain(|(deadline, ..)| (soonest + 1..soonest + 300_000).contains(deadline));
        ahead.sort_unstable_by_key(|(deadline, ..)| *deadline);
        let next = ahead.into_iter().nth(self.chance.below(6) as usize);
        let target = match &next {
            Some((deadline, ..)) => deadline - 1 + self.chance.below(3),
            None => soonest + self.chance.below(50_000),
        };
        self.journal.detail(&("time passes, microseconds", target - self.clock.now()));
        self.clock.set(target);
        next.map(|(_, run, kind, name)| (run, kind, name))
    }

    /// Looks at something that may just have expired, or writes to it, before the cleaner has been there.
    fn touch(&mut self, run: usize, kind: Named, name: &str) {
        let held = self.state(run).named(kind).get(name).map_or(Version::NEVER, |entry| entry.stamp.version);
        if self.chance.one_in(2) {
            let write = self.chance.write_to(kind, name, held, self.now(run));
            self.journal.detail(&(NAMES[run], &write));
            return self.send(run, Request::One(Box::new(write)));
        }
        self.look(
            run,
            &match kind {
                Named::Key => Read::Ttl(name.to_owned()),
                Named::Cell => Read::CellTtl(name.to_owned()),
            },
        );
    }

    /// Whatever expires in a run, and when.
    fn deadlines(&self, run: usize) -> Vec<(u64, usize, Named, String)> {
        let of = |kind| {
            let entries = self.state(run).named(kind).iter();
            entries.filter_map(move |(name, entry)| Some((entry.deadline?.0, run, kind, name.clone())))
        };
        of(Named::Key).chain(of(Named::Cell)).collect()
    }

    /// Moves the clock, whether or not the cleaner has done its work.
    pub(crate) fn jump(&mut self, by: u64) {
        self.clock.set(self.clock.now() + by);
    }

    fn open_snapshot(&mut self, run: usize) {
        match self.handle(run).snapshot() {
            Ok(snapshot) => {
                self.align(run, snapshot.version().0);
                let (state, now) = (self.state(run).clone(), self.now(run));
                assert_eq!(snapshot.stamp(), state.stamp, "the stamp of a snapshot");
                self.snapshots.push(Held { run, snapshot, state, now });
                if self.snapshots.len() > SNAPSHOTS_MAX {
                    self.snapshots.remove(0);
                }
            }
            Err(error) => assert!(self.state(run).meta.is_none(), "{error}"),
        }
    }

    /// Looks at a snapshot that is held open, and now and then lets it go.
    fn read_snapshot(&mut self) {
        if self.snapshots.is_empty() {
            return;
        }
        let index = self.chance.below(self.snapshots.len() as u64) as usize;
        let held = self.snapshots.remove(index);
        let Held { run, snapshot, state, now } = &held;
        let eye = self.eye(*now);
        self.journal.detail(&format!("{} at {}", NAMES[*run], state.version()));
        if self.chance.one_in(4) {
            let comparison = Comparison { run: snapshot, state, eye };
            assert_eq!(comparison.whole(&[]), Ok(()), "a snapshot of {} at {}", NAMES[*run], state.version());
        }
        for _ in 0..6 {
            let read = self.chance.read(state);
            let due = state.answer(&read, eye).expect("a snapshot is of a run that was there");
            let found = read.ask(snapshot).unwrap_or_else(|error| panic!("{read:?}: {error:?}"));
            assert_eq!(found, due, "a snapshot is asked for {read:?}");
        }
        if !self.chance.one_in(4) {
            self.snapshots.push(held);
        }
    }

    fn expect_whole(&mut self) {
        for (run, name) in NAMES.into_iter().enumerate() {
            let wrong = self.difference(run);
            assert_eq!(wrong, None, "{name} at {}", self.state(run).version());
        }
    }
}
