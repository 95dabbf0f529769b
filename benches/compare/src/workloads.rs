//! The families of questions, in the order of the table.

mod disjoint;
mod events;
mod footprint;
mod points;
mod reopening;
mod scans;
mod transactions;
mod writers;

use crate::command::Command;
use crate::row::Row;

pub use footprint::weigh;

/// Asks everything that is wanted; `tell` hears of each row when it is there.
pub fn ask(command: &Command, mut tell: impl FnMut(Row)) {
    let families: [fn(&Command, &mut dyn FnMut(Row)); 8] = [
        points::ask,
        writers::ask,
        disjoint::ask,
        events::ask,
        transactions::ask,
        scans::ask,
        reopening::ask,
        footprint::ask,
    ];
    families.into_iter().for_each(|family| family(command, &mut tell));
}
