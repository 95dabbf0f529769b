//! Whether a history is strictly serializable, and if not, which anomaly shows.

use std::collections::BTreeMap;

use strata::{Direction, KvScan, Reads, RunHandle, Value};

use super::history::{History, Read, Transaction, Write};

/// How a history fails to be serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Anomaly {
    /// A key was read and written although another commit had written it between.
    LostUpdate,
    /// A key was read that another commit had changed before this one wrote something else.
    WriteSkew,
    /// Things had come or gone in a range, behind a count or at the end of the events.
    Phantom,
    /// The reads of one transaction were not true at any one version.
    NonRepeatableRead,
    /// A read-only transaction was true at another version than it said.
    OtherVersion,
    /// Commits are not numbered 1, 2, 3 and so on.
    Gap,
    /// A transaction that began after another had returned stands before it.
    RealTime,
    /// The run does not hold what its commits wrote.
    FinalState,
}

/// Everything a run has held: each key at each version, and the events.
#[derive(Debug, Default)]
struct Model {
    keys: BTreeMap<String, Vec<(u64, Value)>>,
    events: Vec<(u64, Value)>,
    first: u64,
    last: u64,
}

/// Every anomaly of a history, with the transaction that shows it; none if the history is strictly serializable.
pub(crate) fn anomalies(history: &History, run: &RunHandle) -> Vec<(Anomaly, String)> {
    let mut commits: Vec<_> = history.transactions.iter().filter(|done| !done.writes.is_empty()).collect();
    commits.sort_by_key(|commit| commit.version);
    let mut found = Vec::new();
    let mut model = Model { first: commits[0].version, last: commits[0].version - 1, ..Model::default() };
    for commit in commits {
        if commit.version != model.last + 1 {
            found.push((Anomaly::Gap, format!("{} follows {}", commit.version, model.last)));
        }
        model.commit(commit);
    }
    for done in &history.transactions {
        found.extend(model.anomaly_of(done).map(|anomaly| (anomaly, format!("{done:?}"))));
    }
    found.extend(out_of_order(&history.transactions).map(|story| (Anomaly::RealTime, story)));
    if !model.is_held_by(run) {
        found.push((Anomaly::FinalState, "the run holds something else".to_owned()));
    }
    found
}

impl Model {
    fn commit(&mut self, commit: &Transaction) {
        self.last = commit.version;
        for write in &commit.writes {
            match write {
                Write::Put(key, value) => {
                    self.keys.entry(key.clone()).or_default().push((commit.version, value.clone()))
                }
                Write::Append(value) => self.events.push((commit.version, value.clone())),
            }
        }
    }

    /// What a transaction saw has to be the state just before its commit, or at the version it names.
    fn anomaly_of(&self, done: &Transaction) -> Option<Anomaly> {
        let is_commit = !done.writes.is_empty();
        let version = if is_commit { done.version - 1 } else { done.version };
        let wrong = done.reads.iter().find(|read| !self.holds(read, version))?;
        let is_one_state =
            (self.first..=self.last).any(|v| done.reads.iter().all(|read| self.holds(read, v)));
        Some(match wrong {
            _ if !is_one_state => Anomaly::NonRepeatableRead,
            _ if !is_commit => Anomaly::OtherVersion,
            Read::Key { key, found: Some(_) } if done.wrote(key) => Anomaly::LostUpdate,
            Read::Key { found: Some(_), .. } => Anomaly::WriteSkew,
            _ => Anomaly::Phantom,
        })
    }

    fn holds(&self, read: &Read, version: u64) -> bool {
        match read {
            Read::Key { key, found } => {
                let held = self.keys.get(key).and_then(|held| at(held, version));
                held.map(|(version, value)| (value, version))
                    == found.as_ref().map(|(value, version)| (value, version))
            }
            Read::List { prefix, items } => {
                let held = self.range(prefix, version);
                held.eq(items.iter().map(|(key, value, version)| (key, value, version)))
            }
            Read::Count { prefix, count } => self.range(prefix, version).count() as u64 == *count,
            Read::EventCount(count) => self.event_count(version) as u64 == *count,
            Read::LastEvents(events) => {
                let count = self.event_count(version);
                let held = (0..count).rev().take(3).map(|place| (place as u64, &self.events[place].1));
                held.eq(events.iter().map(|(sequence, value)| (*sequence, value)))
            }
        }
    }

    fn range(&self, prefix: &str, version: u64) -> impl Iterator<Item = (&String, &Value, &u64)> {
        let within = self.keys.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix));
        within.filter_map(move |(key, held)| at(held, version).map(|(version, value)| (key, value, version)))
    }

    fn event_count(&self, version: u64) -> usize {
        self.events.partition_point(|(by, _)| *by <= version)
    }

    fn is_held_by(&self, run: &RunHandle) -> bool {
        let page = run.list_values(&KvScan { limit: 100_000, ..KvScan::default() }).unwrap();
        let items = page.items.into_iter().map(|(key, read)| (key, read.value, read.version.0)).collect();
        let events = run.events(0, 100_000, Direction::Forward).unwrap().events;
        let events: Vec<_> = events.into_iter().map(|event| (event.version.0, event.payload)).collect();
        let is_whole = page.version.0 == self.last && run.verify_chain().unwrap().valid;
        is_whole
            && self.holds(&Read::List { prefix: String::new(), items }, self.last)
            && events == self.events
    }
}

impl Transaction {
    fn wrote(&self, key: &str) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::Put(written, _) if written == key))
    }

    /// Where it stands: a commit behind the version it saw, a reader right at the one it saw.
    fn place(&self) -> (u64, bool) {
        (self.version, self.writes.is_empty())
    }
}

fn at(held: &[(u64, Value)], version: u64) -> Option<(&u64, &Value)> {
    let newest = held.partition_point(|(by, _)| *by <= version).checked_sub(1)?;
    held.get(newest).map(|(version, value)| (version, value))
}

/// Transactions that stand before one which had returned when they began.
fn out_of_order(transactions: &[Transaction]) -> impl Iterator<Item = String> {
    let mut by_end: Vec<_> = transactions.iter().collect();
    let mut by_begin = by_end.clone();
    by_end.sort_by_key(|done| done.ended);
    by_begin.sort_by_key(|done| done.begun);
    let (mut returned, mut newest) = (by_end.into_iter().peekable(), (0, false));
    by_begin.into_iter().filter_map(move |later| {
        while let Some(earlier) = returned.next_if(|earlier| earlier.ended < later.begun) {
            newest = newest.max(earlier.place());
        }
        (later.place() < newest).then(|| format!("{later:?} began behind {newest:?}"))
    })
}
