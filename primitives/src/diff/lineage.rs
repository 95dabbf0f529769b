//! What two states have in common, so that equal versions mean the same commit.
use crate::encoded::Encoded;
use crate::error::Error;
use crate::run_state::RunState;
use crate::version::Version;

/// How far two states tell of the same commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lineage {
    /// The newest commit of both; `NEVER` if they have none in common that is known of.
    through: Version,
}

impl Lineage {
    pub(super) fn of(before: &RunState, after: &RunState) -> Self {
        Self { through: common_version(before, after).unwrap_or(Version::NEVER) }
    }

    /// Whether both values are the same, if that is known without reading one; they stand under the same name, each with the
    /// commit that wrote it.
    pub(super) fn is_known_same(
        &self,
        (before, before_by): (&Encoded, Version),
        (after, after_by): (&Encoded, Version),
    ) -> Option<bool> {
        let is_same_commit = before_by == after_by && after_by <= self.through;
        before.is_known_same(after).or(is_same_commit.then_some(true))
    }

    /// Whether both are the same. They are read only where nothing else tells.
    ///
    /// # Errors
    /// Those of reading a value.
    pub(super) fn is_same(
        &self,
        before: (&Encoded, Version),
        after: (&Encoded, Version),
    ) -> Result<bool, Error> {
        match self.is_known_same(before, after) {
            Some(is_same) => Ok(is_same),
            None => Ok(before.0.read()?.as_bytes() == after.0.read()?.as_bytes()),
        }
    }
}

fn common_version(before: &RunState, after: &RunState) -> Option<Version> {
    let (was, is) = (before.meta()?, after.meta()?);
    if before.id() == after.id() {
        // Elsewhere there may be another run of this id, and one that was imported goes on in both places.
        let imported =
            [was.imported, is.imported].into_iter().flatten().map(|imported| imported.through).min();
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
