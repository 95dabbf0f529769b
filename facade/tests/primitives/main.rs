//! What a run holds, primitive by primitive, and how runs are found, as an application sees it.

mod async_handles;
mod async_twins;
mod documents;
mod events;
mod json_limits;
mod kv;
mod leases;
mod matrix;
mod published_changes;
mod published_reads;
mod reads;
mod run_queries;
mod runs;
mod smoke;
mod surface;

#[path = "../support/mod.rs"]
mod support;
