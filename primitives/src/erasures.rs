//! Erasures by what they are about, so that what was written is held against those of its thing alone.
use crate::entity::EntityRef;
use crate::erasure::Erasure;
use crate::id::RunId;
use crate::key::Key;
use crate::version::Version;
use foldhash::{HashMap, HashSet};

/// The erasures that show in a run. Those of another run are inherited from that.
#[derive(Debug)]
pub(crate) struct Erasures {
    run: RunId,
    /// By the thing, as the run has it.
    of: HashMap<EntityRef, Vec<Erasure>>,
    /// The hashes of erased events, where they are known.
    event_hashes: HashSet<[u8; 32]>,
}

impl Erasures {
    pub(crate) fn new(run: RunId, erasures: Vec<Erasure>) -> Self {
        let mut of = HashMap::<_, Vec<_>>::default();
        let event_hashes = erasures.iter().filter_map(|erasure| erasure.event_hash).collect();
        for erasure in erasures {
            of.entry(erasure.entity.in_run(run)).or_default().push(erasure);
        }
        Self { run, of, event_hashes }
    }

    /// The run.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Those of one thing of the run.
    pub(crate) fn of(&self, entity: &EntityRef) -> &[Erasure] {
        self.of.get(entity).map_or(&[], Vec::as_slice)
    }

    /// Whether what this commit wrote of a thing is erased.
    pub(crate) fn covers(&self, entity: &EntityRef, version: Version) -> bool {
        self.of(entity).iter().any(|erasure| erasure.covers(version))
    }

    /// Whether an event with this hash is.
    pub(crate) fn has_event(&self, hash: &[u8; 32]) -> bool {
        self.event_hashes.contains(hash)
    }

    /// Documents of which the run inherited something that is erased, and those erasures.
    pub(crate) fn inherited_documents(&self) -> impl Iterator<Item = (&Key, &Erasure)> {
        let documents = self.of.iter().filter_map(|(entity, erasures)| match entity {
            EntityRef::Json { name, .. } => Some((name, erasures)),
            _ => None,
        });
        documents.flat_map(|(name, erasures)| {
            erasures.iter().filter(|erasure| self.is_inherited(erasure)).map(move |erasure| (name, erasure))
        })
    }

    /// Whether it was erased in a run that this one descends from.
    pub(crate) fn is_inherited(&self, erasure: &Erasure) -> bool {
        erasure.entity.run_id() != self.run
    }
}
