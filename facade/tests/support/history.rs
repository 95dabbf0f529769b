//! Clients that run transactions on one run at the same time, and what each of them saw and wrote.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use strata::{Direction, Error, KvScan, Reads, RunHandle, Value, Writes};

use super::Dice;

/// Clients of one history.
const CLIENTS: u64 = 4;
/// What the two accounts of a transfer hold together.
pub(crate) const TOTAL: i64 = 1_000;

/// One thing that was looked at, with what was found and the commit that wrote it.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Key { key: String, found: Option<(Value, u64)> },
    List { prefix: String, items: Vec<(String, Value, u64)> },
    Count { prefix: String, count: u64 },
    EventCount(u64),
    LastEvents(Vec<(u64, Value)>),
}

/// One thing that was written.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(String, Value),
    Append(Value),
}

/// One transaction that has returned.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    /// Moments of one clock that all clients share.
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    /// The commit, or the version that one without a commit says it saw.
    pub(crate) version: u64,
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<Write>,
}

/// All transactions of one run, the first being what it held at the start.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) transactions: Vec<Transaction>,
    /// Closures that ran, and those that ran because of a conflict.
    pub(crate) tries: u64,
    pub(crate) conflicts: u64,
}

/// Where a transaction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In itself, so that its reads are validated; now and then it is a shipped closure.
    Transaction,
    /// In a snapshot of its own, of which its commit knows nothing.
    Snapshot,
    /// In the run, as it is at each read.
    Run,
}

/// What one transaction is to do.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Appends a number to the lists under some keys, or to the events.
    Append { lists: Vec<u64>, number: i64 },
    /// Adds one to a number that it has read.
    Count { counter: u64 },
    /// Reads two keys and writes one of them.
    Skew { writes_left: bool, number: i64 },
    /// Looks at what begins with a prefix, and adds to it.
    Insert { key: String, by_list: bool },
    /// Moves something between two accounts.
    Transfer { amount: i64 },
    /// Reads both accounts and the rest, and writes nothing.
    Audit,
}

/// Runs the clients to their end. Every plan comes from the seed; how they meet is up to the threads.
pub(crate) fn run_clients(
    run: &RunHandle,
    seed: u64,
    steps: u64,
    source: Source,
    plan: fn(&mut Dice, i64) -> Plan,
) -> History {
    let (moments, start) = (AtomicU64::new(0), Barrier::new(CLIENTS as usize));
    let mut history = History { transactions: vec![furnish(run)], tries: 0, conflicts: 0 };
    let moment = || moments.fetch_add(1, Ordering::SeqCst);
    thread::scope(|scope| {
        let (moment, start) = (&moment, &start);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let mut dice = Dice::new(seed.wrapping_mul(31).wrapping_add(client));
                    let mut own = History { transactions: Vec::new(), tries: 0, conflicts: 0 };
                    start.wait();
                    for step in 0..steps {
                        let plan = plan(&mut dice, (client * 1_000_000 + step) as i64);
                        let begun = moment();
                        let (done, tries) = take(run, source, plan, dice.below(8) == 0);
                        let ended = moment();
                        own.transactions.push(Transaction { begun, ended, ..done });
                        own.tries += tries;
                        own.conflicts += tries - 1;
                    }
                    own
                })
            })
            .collect();
        for client in clients {
            let own = client.join().expect("a client comes to its end");
            history.transactions.extend(own.transactions);
            history.tries += own.tries;
            history.conflicts += own.conflicts;
        }
    });
    history
}

/// What the run holds at the start, as one commit.
fn furnish(run: &RunHandle) -> Transaction {
    let mut writes: Vec<_> = (0..3).map(|number| Write::Put(list(number), Value::Array(vec![]))).collect();
    writes.extend((0..2).map(|number| Write::Put(counter(number), Value::Int(0))));
    writes.extend([("x", TOTAL), ("y", 0), ("left", 0), ("right", 0)].map(|(key, value)| put(key, value)));
    let entries = writes.iter().map(|write| match write {
        Write::Put(key, value) => (key.clone(), value.clone()),
        Write::Append(_) => unreachable!("a run begins with keys"),
    });
    let version = run.put_many(entries).unwrap().unwrap().version.0;
    Transaction { begun: 0, ended: 0, version, reads: Vec::new(), writes }
}

/// Carries one plan out, and tells how often its closure ran.
fn take(run: &RunHandle, source: Source, plan: Plan, is_shipped: bool) -> (Transaction, u64) {
    let mut tries = 0;
    let done = if is_shipped && source == Source::Transaction {
        tries = 1;
        run.execute(move |run| Step::new(run, run).take(&plan, true))
    } else {
        run.transaction(|tx| {
            tries += 1;
            match source {
                Source::Transaction => Step::new(tx, tx).take(&plan, true),
                Source::Snapshot => Step::new(&run.snapshot()?, tx).take(&plan, false),
                Source::Run => Step::new(run, tx).take(&plan, false),
            }
        })
    };
    let done = done.expect("every plan succeeds");
    let mut transaction = done.value;
    if let Some(commit) = done.receipt.commit {
        transaction.version = commit.version.0;
    }
    (transaction, tries)
}

/// One try at a plan.
struct Step<'a, R, W> {
    reader: &'a R,
    writer: &'a W,
    done: Transaction,
}

impl<'a, R: Reads, W: Writes> Step<'a, R, W> {
    fn new(reader: &'a R, writer: &'a W) -> Self {
        let done = Transaction { begun: 0, ended: 0, version: 0, reads: Vec::new(), writes: Vec::new() };
        Step { reader, writer, done }
    }

    fn take(mut self, plan: &Plan, is_sound: bool) -> Result<Transaction, Error> {
        match plan {
            Plan::Append { lists, number } if lists.is_empty() => {
                let events = self.reader.last_events(3)?.events;
                let events = events.into_iter().map(|event| (event.sequence, event.payload)).collect();
                self.done.reads.push(Read::LastEvents(events));
                self.done.reads.push(Read::EventCount(self.reader.event_count()?.value));
                self.append(Value::Int(*number))?;
            }
            Plan::Append { lists, number } => {
                for key in lists.iter().map(|number| list(*number)) {
                    let mut items = self.key(&key)?.as_array().expect("a list").to_vec();
                    items.push(Value::Int(*number));
                    self.put(&key, Value::Array(items))?;
                }
            }
            Plan::Count { counter: number } => {
                let key = counter(*number);
                let count = self.int(&key)?;
                self.put(&key, Value::Int(count + 1))?;
            }
            Plan::Skew { writes_left, number } => {
                let _both = (self.int("left")?, self.int("right")?);
                self.put(if *writes_left { "left" } else { "right" }, Value::Int(*number))?;
            }
            Plan::Insert { key, by_list } => {
                let found = if *by_list { self.list("set/")? } else { self.count("set/")? };
                self.put(key, Value::Int(found))?;
            }
            Plan::Transfer { amount } => {
                let (x, y) = self.accounts(is_sound)?;
                self.put("x", Value::Int(x - amount))?;
                self.put("y", Value::Int(y + amount))?;
            }
            Plan::Audit => {
                self.done.version = self.reader.info()?.version.0;
                self.accounts(is_sound)?;
                self.list("list/")?;
                self.count("set/")?;
            }
        }
        Ok(self.done)
    }

    fn accounts(&mut self, is_sound: bool) -> Result<(i64, i64), Error> {
        let (x, y) = (self.int("x")?, self.int("y")?);
        assert!(!is_sound || x + y == TOTAL, "a closure saw two states: {x} + {y}");
        Ok((x, y))
    }

    fn int(&mut self, key: &str) -> Result<i64, Error> {
        Ok(self.key(key)?.as_int().expect("a number"))
    }

    fn key(&mut self, key: &str) -> Result<Value, Error> {
        let found = self.reader.get(key)?.expect("the key was there from the start");
        let (value, version) = (found.value, found.version.0);
        self.done.reads.push(Read::Key { key: key.to_owned(), found: Some((value.clone(), version)) });
        // Whoever waits gets a turn between any two steps.
        thread::yield_now();
        Ok(value)
    }

    fn list(&mut self, prefix: &str) -> Result<i64, Error> {
        let direction = if self.done.reads.is_empty() { Direction::Forward } else { Direction::Reverse };
        let scan = KvScan { direction, limit: 100_000, ..KvScan::prefix(prefix) };
        let mut items: Vec<_> = self.reader.list_values(&scan)?.items;
        items.sort_by(|left, right| left.0.cmp(&right.0));
        let items: Vec<_> = items.into_iter().map(|(key, read)| (key, read.value, read.version.0)).collect();
        let count = items.len() as i64;
        self.done.reads.push(Read::List { prefix: prefix.to_owned(), items });
        thread::yield_now();
        Ok(count)
    }

    fn count(&mut self, prefix: &str) -> Result<i64, Error> {
        let count = self.reader.count(prefix)?.value;
        self.done.reads.push(Read::Count { prefix: prefix.to_owned(), count });
        thread::yield_now();
        Ok(count as i64)
    }

    fn put(&mut self, key: &str, value: Value) -> Result<(), Error> {
        self.done.writes.push(Write::Put(key.to_owned(), value.clone()));
        self.writer.put(key, value).map(drop)
    }

    fn append(&mut self, value: Value) -> Result<(), Error> {
        self.done.writes.push(Write::Append(value.clone()));
        self.writer.append("step", value).map(drop)
    }
}

fn put(key: &str, value: i64) -> Write {
    Write::Put(key.to_owned(), Value::Int(value))
}

fn list(number: u64) -> String {
    format!("list/{number}")
}

fn counter(number: u64) -> String {
    format!("counter/{number}")
}
