//! Families of runs that erase, fork, travel and move: what they erased is nowhere, and everything else is what it was.

mod family;
mod look;
mod secrets;

use crate::support::{Dice, number, seed};
use family::Family;

/// A sample; `STRATA_ROUNDS=300` is the long form.
#[test]
fn what_families_erase_is_nowhere_and_what_they_kept_is_there_whatever_happens() {
    let first = seed();
    for round in 0..number("STRATA_ROUNDS", 3) {
        println!("round {round}: STRATA_SEED={} STRATA_ROUNDS=1", first + round);
        let mut family = Family::new(Dice::new(first + round));
        for _ in 0..150 {
            family.step();
        }
        family.change_all();
    }
}
