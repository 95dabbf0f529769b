//! Reads of what lies where a run is seen without a message. What is not known there is asked for.

use strata_primitives::{Direction, EventRef, FindKey, KeyKind, KeyRef, Versioned, check_key};
use strata_shards::{Engine, Sight};

use crate::Result;
use crate::answers::{visit_events_of, visit_values_of};
use crate::kv::KvScan;
use crate::reads::{Reads, look_up_by_asking, request};

/// Who may see a run without a message.
pub(crate) trait Sees: Reads {
    /// Where it does.
    fn sight(&self) -> Option<(&Engine, Sight<'_>)>;
}

/// Hands `found` what is under a key, where it is known without asking; whether it is.
pub(crate) fn look_up_now(
    reader: &impl Sees,
    kind: KeyKind,
    name: &str,
    found: &mut FindKey<'_>,
) -> Result<bool> {
    let Some((engine, sight)) = reader.sight() else { return Ok(false) };
    check_key(kind, name, reader.run_id(), reader.limits())?;
    engine.read_key(sight, kind, name, found)
}

/// As [`Reads::look_up`].
pub(crate) fn look_up(reader: &impl Sees, kind: KeyKind, name: &str, found: &mut FindKey<'_>) -> Result<()> {
    match look_up_now(reader, kind, name, found)? {
        true => Ok(()),
        false => look_up_by_asking(reader, kind, name, found),
    }
}

/// As [`Reads::visit_last_events`].
pub(crate) fn visit_last_events(
    reader: &impl Sees,
    limit: usize,
    visit: &mut dyn FnMut(EventRef<'_>),
) -> Result<Versioned<u64>> {
    let operation = request(reader).events(None, limit, Direction::Reverse);
    request(reader).check_read(&operation)?;
    let limit = limit.min(reader.limits().items_max);
    let visited = match reader.sight() {
        Some((engine, sight)) => engine.visit_last_events(sight, limit, visit)?,
        None => None,
    };
    match visited {
        Some(visited) => Ok(visited),
        None => visit_events_of(reader.ask(operation)?, visit),
    }
}

/// As [`Reads::visit_values`].
pub(crate) fn visit_values(
    reader: &impl Sees,
    scan: &KvScan,
    visit: &mut dyn FnMut(KeyRef<'_>),
) -> Result<Versioned<u64>> {
    let operation = request(reader).list(scan, true);
    request(reader).check_read(&operation)?;
    let limit = scan.limit.min(reader.limits().items_max);
    let visited = match reader.sight() {
        Some((engine, sight)) => engine.visit_keys(sight, &scan.range(), limit, visit)?,
        None => None,
    };
    match visited {
        Some(visited) => Ok(visited),
        None => visit_values_of(reader.ask(operation)?, visit),
    }
}
