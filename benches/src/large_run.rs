//! A run of many keys, and how much space a store takes.

use std::error::Error;
use std::fs;
use std::path::Path;

use strata::{RunHandle, Writes};

/// Keys that are put with one call.
const PUT_COUNT: u64 = 1_000;

/// One of its keys, by number.
pub fn key(number: u64) -> String {
    format!("key/{number:08}")
}

/// Puts `key_count` keys with values of so many bytes, a thousand a call.
///
/// # Errors
/// Those of a put.
pub fn fill(run: &RunHandle, key_count: u64, value_size: usize) -> Result<(), Box<dyn Error>> {
    for first in (0..key_count).step_by(PUT_COUNT as usize) {
        let last = (first + PUT_COUNT).min(key_count);
        run.put_many((first..last).map(|number| (key(number), "v".repeat(value_size))))?;
    }
    Ok(())
}

/// Bytes of all files below a directory.
///
/// # Errors
/// Those of looking at them.
pub fn space(path: &Path) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { space(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
