//! A run that forks are merged into, one after the other, and that is reverted in between.

use strata::{
    Database, Direction, EntityRef, EntryStrategy, Merge, Reads, Strategies, Strategy, Value, Version, Writes,
};

use crate::say;
use crate::support::script;

const RUN: &str = "merged";
/// What a fork writes, each by a commit of its own.
const PARTS: [&str; 3] = ["a", "b", "c"];

/// What is known of it.
#[derive(Default)]
pub(crate) struct Merges {
    /// The newest round whose merge was acknowledged or read back.
    merged: u64,
    /// The newest round whose revert was.
    reverted: u64,
}

impl Merges {
    pub(crate) fn count(&self) -> u64 {
        self.merged + self.reverted
    }

    /// Takes one line of a child; `false` for one that is about something else.
    pub(crate) fn hear(&mut self, word: &str, numbers: &[u64]) -> bool {
        match (word, numbers) {
            ("merged", &[round]) => self.merged = self.merged.max(round),
            ("reverted", &[round]) => self.reverted = self.reverted.max(round),
            _ => return false,
        }
        true
    }

    /// All of each merge that was acknowledged is there, and of the one that was under way all or nothing; what was reverted is what it was.
    pub(crate) fn compare(&mut self, database: &Database) {
        let run = script::begin(database, RUN).expect("the run can be had");
        let rounds = run.event_count().unwrap().value;
        assert!(
            (self.merged..=self.merged + 1).contains(&rounds),
            "{rounds} merges, {} were told",
            self.merged
        );
        for part in PARTS {
            assert_eq!(run.count(&format!("{part}/")).unwrap().value, rounds, "a merge is there as a whole");
        }
        let events = run.events(0, 10_000, Direction::Forward).unwrap().events;
        assert!(events.iter().zip(1..).all(|(event, round)| event.payload == Value::Int(round)));
        assert!(run.verify_chain().unwrap().valid);
        if let Some(undone) = run.get("undone").unwrap().and_then(|undone| undone.value.as_int()) {
            let is_under_way = undone as u64 == rounds && self.reverted < rounds;
            assert!(
                undone == 0 || is_under_way,
                "{undone} stands, {} were told to be reverted",
                self.reverted
            );
        }
        self.merged = rounds;
    }
}

/// Forks, merges and reverts for ever.
pub(crate) fn merge(database: &Database) {
    let run = script::begin(database, RUN).expect("the run can be had");
    // What a killed child had written and not reverted.
    run.put("undone", 0).expect("it is written");
    let mut round = run.event_count().expect("it is read").value;
    say(&format!("merged {round}"));
    let undone = EntityRef::kv(run.id(), "undone");
    loop {
        round += 1;
        let fork = run.fork().expect("the run is forked");
        for part in PARTS {
            fork.put(&format!("{part}/{round}"), round as i64).expect("a fork is written");
        }
        fork.append("round", round as i64).expect("a fork is written");
        let strategies =
            Strategies { keys: Strategy::Theirs, events: EntryStrategy::Append, ..Strategies::default() };
        let merge = Merge { strategies, ..Merge::of(&fork) };
        let report = run.merge(&merge).expect("a fork is merged");
        assert!(report.commit.is_some(), "it has changed something");
        say(&format!("merged {round}"));
        fork.delete_run().expect("a fork is deleted");
        let written = run.put("undone", round as i64).expect("it is written").version;
        run.revert_entity(&undone, Version(written.0 - 1)).expect("it is reverted");
        say(&format!("reverted {round}"));
    }
}
