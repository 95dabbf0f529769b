//! The ids of runs.

use rand::RngCore;
use strata_primitives::{RunId, RunSpec, Timestamp};
use strata_shards::Clock;

/// The id of the run that a spec speaks of: derived from its name, or fresh.
pub(crate) fn id_of(spec: &RunSpec) -> RunId {
    match &spec.name {
        Some(name) => RunId::named(&spec.namespace, name),
        None => {
            let mut random = [0; 10];
            rand::rng().fill_bytes(&mut random);
            let Timestamp(now) = Clock::System.now();
            RunId::fresh(now, random)
        }
    }
}
