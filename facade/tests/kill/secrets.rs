//! What is written and erased again while others write, and what a kill leaves of it.

use std::fs;
use std::path::Path;

use strata::{Database, EntityRef, ErasedVersions, Reads, RunHandle, Value};

use crate::say;
use crate::support::script;

/// What was said of them; they have numbers from 1 on.
#[derive(Default)]
pub(crate) struct Secrets {
    written: u64,
    erased: u64,
}

impl Secrets {
    /// How many commits were acknowledged, at least.
    pub(crate) fn count(&self) -> u64 {
        self.written + 2 * self.erased
    }

    /// How many were erased, at least.
    pub(crate) fn erased(&self) -> u64 {
        self.erased
    }

    /// Takes one line of a child; `false` for one that is not about them.
    pub(crate) fn hear(&mut self, word: &str, numbers: &[u64]) -> bool {
        match (word, numbers) {
            ("secret", &[number]) => advance(&mut self.written, number, word),
            ("erased", &[number]) => advance(&mut self.erased, number, word),
            _ => return false,
        }
        true
    }

    /// What was acknowledged is there, and nothing that was erased.
    pub(crate) fn compare(&self, database: &Database) {
        let run = script::begin(database, "secrets").expect("the run of secrets can be had");
        let count = run.event_count().unwrap().value;
        let expected = [self.written, self.written + 1];
        assert!(expected.contains(&count), "{} secrets were told, {count} are there", self.written);
        for number in 1..=count {
            let event = run.event(number - 1).unwrap().expect("an event that is counted").payload;
            let may_be = self.may_be(number, &event);
            let Self { written, erased } = self;
            assert!(may_be, "secret {number} of {count} is {event}; {written} written and {erased} erased");
        }
        if let Some(key) = run.get("secret").unwrap() {
            assert!(self.may_be(count, &key.value), "the key of secret {count} is {}", key.value);
        }
        assert!(run.verify_chain().unwrap().valid, "the chain of the secrets holds");
    }

    fn may_be(&self, number: u64, found: &Value) -> bool {
        match found {
            Value::Erased => number <= self.erased + 1,
            other => number > self.erased && *other == secret(number),
        }
    }

    /// No file has what was erased; asked behind a compaction of everything.
    pub(crate) fn expect_gone(&self, directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.expect_gone(&path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(MARK.len()).enumerate().filter(|(_, part)| *part == MARK.as_bytes());
            for (at, _) in found {
                let number =
                    bytes[at + MARK.len()..].get(..DIGITS).and_then(|text| str::from_utf8(text).ok());
                let Some(number) = number.and_then(|text| text.parse::<u64>().ok()) else { continue };
                assert!(number > self.erased, "secret {number} of {} is in {}", self.erased, path.display());
            }
        }
    }
}

/// A child that has opened the store goes on where the one before was, or behind that.
fn advance(known: &mut u64, number: u64, word: &str) {
    assert!(number >= *known, "{word} {known} was told, a later child goes on at {number}");
    *known = number;
}

const MARK: &str = "nobody is to know ";
const DIGITS: usize = 10;

fn secret(number: u64) -> Value {
    format!("{MARK}{number:0DIGITS$}").into()
}

/// Writes them for ever, each to a key and an event, and erases both.
pub(crate) fn keep(database: &Database) {
    let run = script::begin(database, "secrets").expect("the run of secrets can be had");
    let mut number = run.event_count().expect("events are counted").value;
    say(&format!("secret {number}"));
    if number > 0 {
        erase(&run, number);
    }
    loop {
        number += 1;
        let mut batch = run.batch();
        batch.put("secret", secret(number)).unwrap().append("secret", secret(number)).unwrap();
        run.commit(batch).expect("a secret is taken");
        say(&format!("secret {number}"));
        erase(&run, number);
    }
}

fn erase(run: &RunHandle, number: u64) {
    for entity in [EntityRef::event(run.id(), number - 1), EntityRef::kv(run.id(), "secret")] {
        run.erase(&entity, ErasedVersions::All, "nobody is to know").expect("a secret is erased");
    }
    say(&format!("erased {number}"));
}
