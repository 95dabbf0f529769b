//! What runs show of themselves: every version, every commit, the history of things.

use std::collections::BTreeMap;

use strata::{EntityRef, ErrorKind, Reads, RunHandle, Version};

use crate::support::Dice;
use crate::support::contents::inherited;
use crate::support::versions::is_gone;

/// What a run is, and what it is at each of its versions that can be looked at, as text.
#[derive(Debug)]
pub(crate) struct Shown {
    now: String,
    versions: BTreeMap<u64, String>,
}

impl Shown {
    pub(crate) fn of(run: &RunHandle) -> Shown {
        let mut versions = BTreeMap::new();
        for version in 1..=run.info().unwrap().version.0 {
            match run.at(Version(version)) {
                Ok(was) => drop(versions.insert(version, text(run, &was))),
                Err(error) => assert!(is_gone(error.kind()), "{error:?}"),
            }
        }
        Shown { now: text(run, run), versions }
    }

    /// Without versions that are older.
    pub(crate) fn from(mut self, version: Version) -> Shown {
        self.versions.retain(|known, _| *known >= version.0);
        self
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        self.versions.values().chain([&self.now])
    }

    /// # Panics
    /// If something is not what it was; a version may be gone where not all are kept.
    pub(crate) fn expect(&self, run: &RunHandle, keeps_all: bool, story: &[String]) {
        let id = run.id();
        assert!(text(run, run) == self.now, "{id}\n{self:?}\n{}", story.join("\n"));
        for (version, was) in &self.versions {
            match run.at(Version(*version)) {
                Err(error) if error.kind() == ErrorKind::HistoryTrimmed && !keeps_all => {}
                Err(error) => panic!("{id} at {version}: {error:?}\n{}", story.join("\n")),
                Ok(found) => {
                    let found = text(run, &found);
                    assert!(found == *was, "{id} at {version}\n{found}\nwas\n{was}\n{}", story.join("\n"));
                }
            }
        }
    }
}

/// What a run shares with what it was forked from is told under its own id.
fn text(run: &RunHandle, was: &dyn Reads) -> String {
    assert!(was.verify_chain().unwrap().valid);
    inherited(was).replace(&was.info().unwrap().id.to_string(), &run.id().to_string())
}

/// All that is told of a run's commits, and of the history of some of its things, in pages of some size.
pub(crate) fn told(run: &RunHandle, dice: &mut Dice) -> String {
    let limit = 1 + dice.below(9) as usize;
    let mut told = format!("in pages of {limit}\n");
    let (mut behind, newest) = (Some(Version::NEVER), run.info().unwrap().version);
    while let Some(from) = behind.filter(|from| *from < newest) {
        behind = match run.commits(from, limit) {
            Ok(page) => {
                told += &format!("{:?}\n", page.commits);
                page.next
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error:?}");
                None
            }
        };
    }
    let id = run.id();
    for name in ["n0", "n1", "n2"] {
        let event = EntityRef::event(id, dice.below(5));
        for entity in [EntityRef::json(id, name), EntityRef::kv(id, name), EntityRef::cell(id, name), event] {
            told += &history(run, &entity, limit);
        }
    }
    told
}

fn history(run: &RunHandle, entity: &EntityRef, limit: usize) -> String {
    let (mut told, mut before) = (String::new(), Some(None));
    while let Some(from) = before {
        let page = run.history(entity, limit, from).unwrap();
        told += &format!("{entity}: {:?}\n", page.commits);
        before = page.next.map(Some);
    }
    told
}
