//! Which commits two states seem to have in common, so that what these wrote need not be read.
//!
//! A run goes on in more than one place where its store was copied, or where it was exported, and a name leads to runs in many stores. So
//! ids and versions prove nothing by themselves: a commit that seems to be the same vouches for a value only together with what is
//! known of both values, their size, their kind and a hash of 64 bits.
use super::seen::Seen;
use crate::encoded::Encoded;
use crate::error::Error;
use crate::version::{Stamp, Timestamp, Version};

/// How far two states tell of the same commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommonCommits {
    /// The newest commit of both; `NEVER` if they have none in common that is known of.
    through: Version,
}

/// A value with the commit that wrote it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    value: &'a Encoded,
    by: Version,
    /// When that was; `None` where a later commit has moved the deadline, so that it is not known any more.
    at: Option<Timestamp>,
}

impl<'a> Written<'a> {
    /// A value that was written by the commit `by` and last touched by `last`.
    pub(crate) fn new(value: &'a Encoded, by: Version, last: Stamp) -> Self {
        Self { value, by, at: (last.version == by).then_some(last.timestamp) }
    }
}

impl CommonCommits {
    pub(crate) fn of(before: Seen<'_>, after: Seen<'_>) -> Self {
        Self { through: common_version(before, after).unwrap_or(Version::NEVER) }
    }

    /// Whether both values are the same, if that is known without reading one; they stand under the same name.
    pub(crate) fn is_known_same(&self, before: Written<'_>, after: Written<'_>) -> Option<bool> {
        // Those that are known to differ are told here, whatever commits say.
        before.value.is_known_same(after.value).or_else(|| self.is_same_commit(before, after).then_some(true))
    }

    fn is_same_commit(&self, before: Written<'_>, after: Written<'_>) -> bool {
        let is_same_time = before.at.zip(after.at).is_none_or(|(before, after)| before == after);
        before.by == after.by && is_same_time && after.by <= self.through
    }

    /// Whether both are the same. They are read only where nothing else tells.
    ///
    /// # Errors
    /// Those of reading a value.
    pub(crate) fn is_same(&self, before: Written<'_>, after: Written<'_>) -> Result<bool, Error> {
        match self.is_known_same(before, after) {
            Some(is_same) => Ok(is_same),
            None => Ok(before.value.read()?.as_bytes() == after.value.read()?.as_bytes()),
        }
    }
}

fn common_version(before: Seen<'_>, after: Seen<'_>) -> Option<Version> {
    let (before, after) = (before.state, after.state);
    let (was, is) = (before.meta()?, after.meta()?);
    if before.id() == after.id() {
        // Elsewhere there may be another run of this id, and one that was imported goes on in both places.
        let imported = [was.imported, is.imported].into_iter().flatten().min();
        let newest = before.version().min(after.version());
        return (was.created == is.created).then(|| imported.map_or(newest, |imported| imported.min(newest)));
    }
    match (was.forked_from, is.forked_from) {
        (Some(point), _) if point.run == after.id() => Some(point.version),
        (_, Some(point)) if point.run == before.id() => Some(point.version),
        (Some(was), Some(is)) if was.run == is.run => Some(was.version.min(is.version)),
        _ => None,
    }
}
