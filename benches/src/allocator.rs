//! The allocator of every binary that links this crate.
//!
//! An engine is chosen together with its allocator: the one of glibc costs a put of a cold key up to
//! 40 % more, and would hide what is our own.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
