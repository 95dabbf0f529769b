//! What is decided together, and what of it others see: transactions, closures, snapshots.

mod conflicts;
mod execute;
mod isolation;
mod joins;
mod json_conflicts;
mod json_transactions;
mod pipelines;
mod side_reads;
mod snapshots;
mod strict_transactions;
mod timeouts;
mod transaction_ids;
mod transaction_limits;
mod transactions;
mod visibility;

#[path = "../support/mod.rs"]
mod support;
