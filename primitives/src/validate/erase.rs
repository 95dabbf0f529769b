//! Decisions about erasures.
use super::{Answer, Decision};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::entry::Entry;
use crate::erasure::ErasedVersions;
use crate::error::{Error, ErrorKind};
use crate::event_log::Anchor;
use crate::fork::ForkChanges;
use crate::key_kind::KeyKind;
use crate::mutation::Mutation;
use crate::trace_log::RemovedTraces;
use crate::version::Version;
use std::sync::Arc;

impl Decision<'_, '_> {
    /// What the run has written of one thing is erased. Whether an older commit wrote it is not known here: of what is not there
    /// any more, and of commits before the last, whatever they wrote is.
    pub(super) fn erase(
        &mut self,
        entity: EntityRef,
        versions: ErasedVersions,
        reason: Arc<str>,
    ) -> Result<Answer, Error> {
        // The run keeps it for ever.
        let entity = entity.alone();
        let newest = self.draft.view().stamp().version;
        let (from, through) = match versions {
            ErasedVersions::All => (Version::NEVER.next(), newest),
            ErasedVersions::At(version) => (version, version),
            ErasedVersions::Through(version) => (Version::NEVER.next(), version),
        };
        if through > newest || through == Version::NEVER {
            return Err(Error::version_not_found(newest, through).with_entity(entity));
        }
        let found = self.find(&entity, versions).map_err(|error| error.with_entity(entity.clone()))?;
        let view = self.draft.view();
        let Anchor { from: first_event, through: last_event, .. } = *view.event_anchor();
        let RemovedTraces { from: first_trace, through: last_trace } = *view.traces().removed();
        // Of these there is one with this address, and an earlier life of the run may have had another.
        let mut is_only_one = matches!(entity, EntityRef::Event { .. } | EntityRef::Trace { .. });
        let removed = match &entity {
            EntityRef::Event { sequence, .. } if *sequence < view.first_event() => {
                Some(RemovedEntry { place_max: *sequence, first: first_event, last: last_event })
            }
            EntityRef::Trace { .. } if view.traces().first() > 0 => {
                // One with this id may have been removed before.
                is_only_one = false;
                let place_max = view.traces().first() - 1;
                Some(RemovedEntry { place_max, first: first_trace, last: last_trace })
            }
            _ => None,
        };
        let from = self
            .own(&entity, found.as_ref(), removed.as_ref(), from, through)
            .map_err(|error| error.with_entity(entity.clone()))?;
        let from = found.as_ref().filter(|_| is_only_one).map_or(from, |found| from.max(found.first));
        let (from, through) = match (&removed, &found) {
            (Some(removed), None) => (from.max(removed.first), through.min(removed.last)),
            (Some(removed), Some(_)) => (from.max(removed.first), through),
            (None, _) => (from, through),
        };
        let through = match &found {
            // Behind the commit that wrote what is there, nobody wrote anything.
            Some(found) => through.min(found.written),
            None => self.before_erasures(through),
        };
        let is_erased = found.as_ref().is_some_and(|found| found.is_erased && found.written <= through);
        let is_known =
            self.draft.view().erasures().iter().any(|erasure| {
                erasure.entity == entity && erasure.from <= from && through <= erasure.through
            });
        if is_known || (is_erased && is_only_one) || from > through {
            return Ok(Answer::Write(Effect::None));
        }
        self.draft.stage(Mutation::Erase { entity: Box::new(entity), from, through, reason }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    /// What stands there now, if something does; and whether such a thing can be erased in this way.
    fn find(&self, entity: &EntityRef, versions: ErasedVersions) -> Result<Option<Found>, Error> {
        let view = self.draft.view();
        let as_whole = |what: &str| match versions {
            ErasedVersions::All => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{what} is erased as a whole: later versions hold parts of earlier ones"),
            )),
        };
        match entity {
            EntityRef::Run { .. } => {
                let message = "a run is not erased: delete it, and compact the store";
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            EntityRef::Kv { key, .. } => found_key(view.keys(KeyKind::Kv).get(key), versions),
            EntityRef::Cell { name, .. } => found_key(view.keys(KeyKind::Cell).get(name), versions),
            // One that was removed is looked for among all that were.
            EntityRef::Event { sequence, .. } if *sequence < view.first_event() => Ok(None),
            EntityRef::Event { sequence, .. } => match view.event(*sequence) {
                None => Err(Error::new(ErrorKind::NotFound, format!("there is no event {sequence}"))),
                Some(event) => Found::at(event.stamp.version, event.is_erased(), versions).map(Some),
            },
            EntityRef::Trace { id, .. } => {
                as_whole("a trace")?;
                match view.traces().find(id) {
                    None if view.traces().first() > 0 => Ok(None),
                    None => Err(Error::new(ErrorKind::NotFound, format!("there is no trace {id}"))),
                    Some(trace) => Ok(Some(Found {
                        first: trace.recorded.version,
                        written: trace.stamp.version,
                        is_erased: trace.body.is_erased(),
                    })),
                }
            }
            EntityRef::Json { name, .. } => {
                as_whole("a document")?;
                let found = view.documents().get(name).map(|held| Found {
                    first: held.stamp.version,
                    written: held.stamp.version,
                    is_erased: held.value.is_erased(),
                });
                Ok(found)
            }
        }
    }

    /// Where what the run itself has written begins; refuses what it began with.
    fn own(
        &self,
        entity: &EntityRef,
        found: Option<&Found>,
        removed: Option<&RemovedEntry>,
        from: Version,
        through: Version,
    ) -> Result<Version, Error> {
        // What a run was imported with it has written itself.
        let fork = self.draft.view().fork().filter(|fork| fork.point.run != self.draft.run_id());
        let Some(ForkChanges { point, event_count, trace_count, .. }) = fork else { return Ok(from) };
        let inherited_count =
            if matches!(entity, EntityRef::Trace { .. }) { trace_count } else { event_count };
        let is_inherited = match (found, removed) {
            (Some(found), _) => found.first <= point.version,
            (None, removed) => removed.is_some_and(|removed| removed.place_max < *inherited_count),
        };
        if through > point.version && !is_inherited {
            return Ok(from.max(point.version.next()));
        }
        let message = format!(
            "what is there was inherited: erase it in run {}, of which this one was forked at version {}",
            point.run, point.version
        );
        Err(Error::new(ErrorKind::InvalidArgument, message))
    }

    /// The newest commit up to `through` that was no erasure.
    fn before_erasures(&self, through: Version) -> Version {
        let erasures = self.draft.view().erasures().iter().rev();
        erasures.fold(through, |through, erasure| match erasure.by == through {
            true => Version(through.0 - 1),
            false => through,
        })
    }
}

/// An event that was removed, or a trace that may have been: its place at most, and the first and the last commit that wrote any such.
struct RemovedEntry {
    place_max: u64,
    first: Version,
    last: Version,
}

/// What stands under an address.
struct Found {
    /// The first commit that wrote in it, and the last.
    first: Version,
    written: Version,
    is_erased: bool,
}

impl Found {
    /// What one commit wrote; refuses another one.
    fn at(written: Version, is_erased: bool, versions: ErasedVersions) -> Result<Self, Error> {
        let is_before = match versions {
            ErasedVersions::All => false,
            ErasedVersions::At(version) => version != written,
            ErasedVersions::Through(version) => version < written,
        };
        if is_before {
            let message = format!("it was written by commit {written} alone");
            return Err(Error::new(ErrorKind::VersionNotFound, message));
        }
        Ok(Self { first: written, written, is_erased })
    }
}

fn found_key(held: Option<&Entry<Encoded>>, versions: ErasedVersions) -> Result<Option<Found>, Error> {
    let Some(held) = held else { return Ok(None) };
    let written = held.written();
    match versions {
        ErasedVersions::At(version) if version > written && version == held.stamp.version => {
            let message =
                format!("commit {version} has moved the deadline: commit {written} wrote the value");
            Err(Error::new(ErrorKind::InvalidArgument, message))
        }
        ErasedVersions::At(version) if version > written => {
            let message =
                format!("commit {version} has not written it: its last value is of commit {written}");
            Err(Error::new(ErrorKind::VersionNotFound, message))
        }
        _ => Ok(Some(Found { first: written, written, is_erased: held.value.is_erased() })),
    }
}

#[cfg(test)]
mod tests {
    use crate::draft::Draft;
    use crate::encoded::Encoded;
    use crate::entity::EntityRef;
    use crate::erasure::ErasedVersions;
    use crate::id::RunId;
    use crate::key::Key;
    use crate::limits::Limits;
    use crate::mutation::Mutation;
    use crate::operation::Operation;
    use crate::run_meta::RunMeta;
    use crate::run_state::RunState;
    use crate::validate::{Context, validate};
    use crate::version::{Stamp, Timestamp, Version};

    /// The run kept the address as it was told for all its life. A key that came from a comparison lay in one allocation with the
    /// very value that was erased, which stayed in memory.
    #[test]
    fn an_erasure_does_not_keep_the_value_beside_which_its_key_lay() {
        let mut state = RunState::new(RunId::from_bytes([1; 16]), 7);
        let stamp = Stamp { version: Version(1), timestamp: Timestamp(10) };
        let _ = state
            .apply(Mutation::RunCreate { meta: Box::new(RunMeta::plain()), previous: Version(0) }, stamp);
        let _ = state.apply(put(), stamp);
        state.commit(stamp);
        let paired = Encoded::from_int(7).under(&Key::from("plan"));
        let entity = Box::new(EntityRef::kv(state.id(), paired.key().clone()));
        let operation = Operation::RunErase { entity, versions: ErasedVersions::All, reason: "why".into() };
        let mut draft = Draft::new(state.view());
        let context = Context { now: Timestamp(10), boot: 1 };
        validate(operation, &mut draft, &context, &Limits::default()).unwrap();
        let mutations = draft.into_mutations();
        let [Mutation::Erase { entity, .. }] = &mutations[..] else { panic!("{mutations:?}") };
        let EntityRef::Kv { key, .. } = &**entity else { panic!("{entity:?}") };
        assert_eq!((key.as_str(), key.value()), ("plan", &b""[..]));
    }

    fn put() -> Mutation {
        let (value, deadline, previous) = (Encoded::from_int(7), None, Version(0));
        Mutation::KvPut { key: "plan".into(), value, deadline, previous }
    }
}
