//! The primitives and the invariants of a store, one test for each pair (docs/contract.md).
//!
//! A row is a primitive: an implementor of [`rows::Row`], which says how one of its things is created, changed, taken
//! away, read and counted. A column is an invariant: a function over any row. A new primitive is one more row and one
//! more line in the table below; until it has them, `every_primitive_of_the_table_has_a_row` fails.

mod addressable;
mod introspectable;
mod lifecycle;
mod reads;
mod rows;
mod transactional;
mod versioned;
mod within_a_run;

use std::collections::BTreeSet;

use strata::{Database, Durability, Operation, RunHandle, RunSpec};

use crate::support::options;

/// Every row meets every column.
macro_rules! matrix {
    ($($name:ident is $row:expr),+ $(,)?) => {
        /// The names that the operations of the rows begin with.
        const ROWS: &[&str] = &[$(stringify!($name)),+];

        $(
            mod $name {
                use super::*;

                #[test]
                fn everything_is_addressable() {
                    addressable::check($row);
                }

                #[test]
                fn everything_is_versioned() {
                    versioned::check($row);
                }

                #[test]
                fn everything_is_transactional() {
                    transactional::check($row);
                }

                #[test]
                fn everything_has_a_lifecycle() {
                    lifecycle::check($row);
                }

                #[test]
                fn everything_exists_within_a_run() {
                    within_a_run::check($row);
                }

                #[test]
                fn everything_is_introspectable() {
                    introspectable::check($row);
                }

                #[test]
                fn reads_of_it_never_write() {
                    reads::check($row);
                }
            }
        )+
    };
}

matrix! {
    kv is rows::Kv,
    event is rows::Event,
    cell is rows::Cell,
    trace is rows::Trace,
    json is rows::Json,
    run is rows::Run,
}

#[test]
fn every_primitive_of_the_table_has_a_row() {
    // `expire` and `entity_stat` are about things of any primitive.
    let of_any = ["expire", "entity_stat"];
    let names = Operation::table().iter().map(|row| row.name).filter(|name| !of_any.contains(name));
    let primitives: BTreeSet<_> = names.filter_map(|name| name.split('_').next()).collect();
    assert_eq!(primitives, ROWS.iter().copied().collect());
}

/// A run of a database in memory.
fn in_memory() -> (Database, RunHandle) {
    let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}
