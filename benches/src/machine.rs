//! What the figures were measured on.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use strata_wal::disk::Disk;
use strata_wal::storage::Storage;

use crate::placement::allowed_cpus;

/// What the figures were measured on: CPU, kernel, and how the file system of `dir` writes.
pub fn describe(dir: &Path) -> Value {
    let (direct, ring) = match Disk::new().probe(dir) {
        Ok(found) => (text(found.direct), text(found.ring)),
        Err(error) => (error.to_string(), error.to_string()),
    };
    json!({
        "cpu": cpu_model(),
        "cpus": allowed_cpus(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "dir": dir.display().to_string(),
        "file_system": file_system(dir),
        "direct_io": direct,
        "io_uring": ring,
        "allocator": "mimalloc",
    })
}

fn text(found: Result<(), String>) -> String {
    found.map_or_else(|reason| reason, |()| "yes".to_string())
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_string(), |(_, name)| name.trim().to_string())
}

/// The type and device of the mount that holds `dir`: the one with the longest path above it.
fn file_system(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .filter(|(_, point, _)| dir.starts_with(point))
        .max_by_key(|(_, point, _)| point.len());
    mount.map_or_else(String::new, |(device, _, kind)| format!("{kind} on {device}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_described_without_a_gap() {
        let machine = describe(&std::env::temp_dir());
        assert!(machine["cpus"].as_array().is_some_and(|cpus| !cpus.is_empty()));
        for field in ["cpu", "kernel", "file_system", "direct_io", "io_uring"] {
            assert!(machine[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {machine}");
        }
    }
}
