//! Decisions about single things, whatever they are.
use super::Decision;
use crate::entity::EntityRef;
use crate::error::Error;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::run_meta::RunInfo;
use crate::version::Versioned;

impl Decision<'_, '_> {
    /// The size of one thing in bytes, with the commit that last wrote it; `None` if it is not there.
    /// What was removed is refused.
    pub(super) fn stat(&mut self, entity: &EntityRef) -> Result<Option<Versioned<u64>>, Error> {
        Ok(match entity {
            EntityRef::Kv { key, .. } => self.stat_key(KeyKind::Kv, key),
            EntityRef::Cell { name, .. } => self.stat_key(KeyKind::Cell, name),
            EntityRef::Event { sequence, .. } => self.one_event(*sequence)?.map(|event| {
                let value = (event.kind.len() + event.payload.len()) as u64;
                Versioned { value, version: event.version, timestamp: event.timestamp }
            }),
            EntityRef::Trace { id, .. } => self.one_trace(id)?.map(|trace| {
                let (version, timestamp) = (trace.stamp.version, trace.stamp.timestamp);
                Versioned { value: trace.size(), version, timestamp }
            }),
            EntityRef::Json { name, .. } => self.stat_document(name),
            EntityRef::Run { .. } => {
                let info = self.info();
                info.map(|RunInfo { size: value, version, timestamp, .. }| Versioned {
                    value,
                    version,
                    timestamp,
                })
            }
        })
    }

    fn stat_key(&mut self, kind: KeyKind, key: &Key) -> Option<Versioned<u64>> {
        let found = self.get(kind, key)?;
        Some(found.map(|value| (key.len() + value.len()) as u64))
    }
}
