//! Decisions about single things, whatever they are.
use super::Decision;
use crate::entity::EntityRef;
use crate::key_kind::KeyKind;
use crate::version::Versioned;
use std::sync::Arc;

impl Decision<'_, '_> {
    /// The size of one thing in bytes, with the commit that last wrote it; `None` if it is not there.
    pub(super) fn stat(&mut self, entity: &EntityRef) -> Option<Versioned<u64>> {
        match entity {
            EntityRef::Kv { key, .. } => self.stat_key(KeyKind::Kv, key),
            EntityRef::Cell { name, .. } => self.stat_key(KeyKind::Cell, name),
            EntityRef::Event { sequence, .. } => {
                let event = self.one_event(*sequence)?;
                let value = (event.kind.len() + event.payload.len()) as u64;
                Some(Versioned { value, version: event.version, timestamp: event.timestamp })
            }
            EntityRef::Trace { id, .. } => {
                let trace = self.one_trace(id)?;
                let (version, timestamp) = (trace.stamp.version, trace.stamp.timestamp);
                Some(Versioned { value: trace.size(), version, timestamp })
            }
            EntityRef::Json { name, .. } => self.stat_document(name),
            EntityRef::Run { .. } => {
                let info = self.info()?;
                Some(Versioned { value: info.size, version: info.version, timestamp: info.timestamp })
            }
        }
    }

    fn stat_key(&mut self, kind: KeyKind, key: &Arc<str>) -> Option<Versioned<u64>> {
        let found = self.get(kind, key)?;
        Some(found.map(|value| (key.len() + value.len()) as u64))
    }
}
