//! What was written, in a form that is found wherever it lies.

use std::collections::{BTreeMap, BTreeSet};

use strata::Version;

use crate::support::Dice;

const BEGIN: &[u8] = b"secret-";
/// Of what a secret begins with, and is found by.
const MARK_SIZE: usize = 40;

#[derive(Default)]
pub(crate) struct Secrets {
    /// By the mark: who wrote it, when.
    written: BTreeMap<String, String>,
    erased: BTreeSet<String>,
    /// What a fork brought along from its archive is its own, whatever becomes of what it was copied from.
    copied: BTreeSet<String>,
}

impl Secrets {
    /// One that is in no other text, now and then large enough to lie in a file of its own.
    pub(crate) fn draw(dice: &mut Dice) -> String {
        let rest = if dice.below(12) == 0 { "x".repeat(20_000) } else { String::new() };
        let secret = format!("secret-{:016x}-{:016x}{rest}", dice.roll(), dice.roll());
        assert_eq!(marks(secret.as_bytes()).len(), 1, "a secret has its mark");
        secret
    }

    pub(crate) fn is_written(&mut self, secret: &str, by: String) {
        self.written.insert(mark(secret), by);
    }

    pub(crate) fn are_erased(&mut self, secrets: &[(Version, String)]) {
        let own =
            secrets.iter().map(|(_, secret)| mark(secret)).filter(|secret| !self.copied.contains(secret));
        self.erased.extend(own);
    }

    /// An archive that is imported holds those of others, too.
    pub(crate) fn are_copied<'a>(
        &mut self,
        archive: &[u8],
        others: impl Iterator<Item = &'a (Version, String)>,
    ) {
        let there = marks(archive);
        self.copied.extend(others.map(|(_, secret)| mark(secret)).filter(|secret| there.contains(secret)));
    }

    /// # Panics
    /// If one that was erased is in there.
    pub(crate) fn expect_none_erased(&self, bytes: &[u8], place: &str, story: &[String]) {
        if let Some(found) = marks(bytes).intersection(&self.erased).next() {
            panic!("{found}, written by {}, is in {place}\n{}", self.written[found], story.join("\n"));
        }
    }
}

fn mark(secret: &str) -> String {
    secret[..MARK_SIZE].to_string()
}

fn marks(bytes: &[u8]) -> BTreeSet<String> {
    let begins = bytes.windows(MARK_SIZE).filter(|part| part.starts_with(BEGIN));
    begins.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}
