//! Decisions about state cells.
use super::{Answer, Decision};
use crate::deadline::Deadline;
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::version::Version;

impl Decision<'_, '_> {
    pub(super) fn cell_init(
        &mut self,
        name: Key,
        value: Encoded,
        deadline: Deadline,
    ) -> Result<Answer, Error> {
        if let Some(entry) = self.entry(KeyKind::Cell, &name) {
            let version = entry.stamp.version;
            let message = format!("the cell is there at version {version}: read it, or set it");
            return Err(self.about(KeyKind::Cell, &name, ErrorKind::AlreadyExists, message));
        }
        self.cell_set(name, value, deadline)
    }

    pub(super) fn cell_set(
        &mut self,
        name: Key,
        value: Encoded,
        deadline: Deadline,
    ) -> Result<Answer, Error> {
        let deadline = self.resolve(KeyKind::Cell, &name, deadline)?;
        self.stage_put(KeyKind::Cell, name, value, deadline)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn cell_cas(
        &mut self,
        name: Key,
        value: Encoded,
        deadline: Deadline,
        expected: Version,
    ) -> Result<Answer, Error> {
        self.expect_version(KeyKind::Cell, &name, expected)?;
        self.cell_set(name, value, deadline)
    }
}
