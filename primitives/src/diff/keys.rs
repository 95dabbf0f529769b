//! Keys and cells that differ.
use super::common_commits::{CommonCommits, Written};
use super::difference::{DiffPlace, Difference, KeyDifference, KeyState};
use super::page::Page;
use crate::encoded::Encoded;
use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;
use crate::key_kind::KeyKind;

/// A key with what it holds in both states for a reader at the time of each.
type Pair<'a> = (&'a Key, Option<&'a Entry<Encoded>>, Option<&'a Entry<Encoded>>);

pub(super) fn find(page: &mut Page<'_>, kind: KeyKind) -> Result<(), Error> {
    // The last place that a key of this kind could have: behind it this kind is over.
    let (place, behind_all): (fn(Key) -> DiffPlace, _) = match kind {
        KeyKind::Kv => (DiffPlace::Key, DiffPlace::Cell(Key::from(""))),
        KeyKind::Cell => (DiffPlace::Cell, DiffPlace::Document(Key::from(""))),
    };
    if !page.wants(&behind_all) {
        return Ok(());
    }
    for pair in candidates(page, kind, place) {
        if page.is_full() {
            break;
        }
        compare(page, kind, pair)?;
    }
    Ok(())
}

/// The same for one key or cell.
pub(super) fn find_of(page: &mut Page<'_>, kind: KeyKind, key: &Key) -> Result<(), Error> {
    let before = page.before.content().keys(kind).get(key).filter(|entry| entry.is_live(page.then));
    let after = page.after.content().keys(kind).get(key).filter(|entry| entry.is_live(page.now));
    compare(page, kind, (key, before, after))
}

fn compare(page: &mut Page<'_>, kind: KeyKind, (key, before, after): Pair<'_>) -> Result<(), Error> {
    let is_same = is_same(page.commits, before, after);
    if !is_same.map_err(|error| error.with_entity(kind.entity(page.after.id(), key)))? {
        let (before, after) = (before.map(state), after.map(state));
        let difference = KeyDifference { key: key.clone(), before, after };
        page.put(match kind {
            KeyKind::Kv => Difference::Key(difference),
            KeyKind::Cell => Difference::Cell(difference),
        });
    }
    Ok(())
}

/// All that may differ behind where the page begins, in order.
fn candidates<'a>(page: &Page<'a>, kind: KeyKind, place: fn(Key) -> DiffPlace) -> Vec<Pair<'a>> {
    let (before, after) = (page.before.content().keys(kind), page.after.content().keys(kind));
    let (then, now) = (page.then, page.now);
    let mut found = Vec::new();
    let mut look = |key: &'a Key, was: Option<&'a Entry<Encoded>>, is: Option<&'a Entry<Encoded>>| {
        let was = was.filter(|entry| entry.is_live(then));
        let is = is.filter(|entry| entry.is_live(now));
        if is_known_same(page.commits, was, is) != Some(true) && page.wants(&place(key.clone())) {
            found.push((key, was, is));
        }
    };
    before.pairs(after, &mut look);
    // What has expired between the times of both may lie in what they share.
    let expired = match then <= now {
        true => before.expired_between(then, now).collect::<Vec<_>>(),
        false => after.expired_between(now, then).collect(),
    };
    expired.into_iter().for_each(|key| look(key, before.get(key), after.get(key)));
    found.sort_unstable_by_key(|(key, ..)| *key);
    found.dedup_by_key(|(key, ..)| *key);
    found
}

/// Whether both are the same, if that is known without reading a value.
fn is_known_same(
    commits: CommonCommits,
    before: Option<&Entry<Encoded>>,
    after: Option<&Entry<Encoded>>,
) -> Option<bool> {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, None) => return Some(true),
        _ => return Some(false),
    };
    if before.deadline() != after.deadline() {
        return Some(false);
    }
    commits.is_known_same(written(before), written(after))
}

fn is_same(
    commits: CommonCommits,
    before: Option<&Entry<Encoded>>,
    after: Option<&Entry<Encoded>>,
) -> Result<bool, Error> {
    match (is_known_same(commits, before, after), before, after) {
        (Some(is_same), ..) => Ok(is_same),
        (None, Some(before), Some(after)) => commits.is_same(written(before), written(after)),
        (None, ..) => unreachable!("what is there in one state only is known to differ"),
    }
}

fn written(entry: &Entry<Encoded>) -> Written<'_> {
    Written::new(&entry.value, entry.written(), entry.stamp)
}

fn state(entry: &Entry<Encoded>) -> KeyState {
    let (value, deadline) = (entry.value.clone(), entry.deadline());
    KeyState { value, deadline, stamp: entry.stamp, written: entry.written() }
}
