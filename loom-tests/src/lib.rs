//! Model checks of what threads share.
//!
//! Each test walks every interleaving of a small program through the code that ships, built with `--cfg loom`:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p strata-loom-tests --release
//! ```
//!
//! Each model has controls: the same program with one ordering taken away must fail, or the model proves nothing
//! about it. Without the flag this crate is empty.
#![forbid(unsafe_code)]

#[cfg(loom)]
mod explore;

#[cfg(loom)]
pub use explore::{
    HANGS, LOOKS_FOR_EVER, RACES, assert_fails, assert_fails_without, explore, explore_bounded,
};
