//! The ids of runs.

use rand::RngCore;
use strata_primitives::{RunId, RunSpec, Timestamp};
use strata_shards::Clock;

/// The id of the run that a spec speaks of: derived from its name, or fresh.
pub(crate) fn id_of(spec: &RunSpec) -> RunId {
    match &spec.name {
        Some(name) => RunId::named(&spec.namespace, name),
        None => {
            let (now, random) = now_and_random();
            RunId::fresh(now, random)
        }
    }
}

/// A fresh id for a fork of a run.
pub(crate) fn id_beside(run: RunId) -> RunId {
    let (now, random) = now_and_random();
    run.fresh_beside(now, random)
}

fn now_and_random() -> (u64, [u8; 10]) {
    let mut random = [0; 10];
    rand::rng().fill_bytes(&mut random);
    let Timestamp(now) = Clock::System.now();
    (now, random)
}
