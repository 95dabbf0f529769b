//! Creating a store, and telling a store from what is none.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::WalError;
use crate::lsn::Lsn;
use crate::manifest::{LogEntry, MANIFEST_MAGIC, MANIFEST_SIZE, Manifest, SLOT_SIZE};
use crate::prepare::{create_anew, create_segment};
use crate::scan::first_content_of;
use crate::segment::{SEGMENT_SIZE_MIN, SegmentHeader, parse_segment_name, segments_dir};
use crate::source::open_for_reading;
use crate::storage::{Buffer, DirEntry, Storage};
use crate::store_id::StoreId;

/// What lies at the path of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing at all.
    Nothing,
    /// An empty directory, or a creation that a crash interrupted before MANIFEST had its name.
    Unfinished,
    /// A store.
    Store,
}

pub(crate) fn manifest_path(store: &Path) -> PathBuf {
    store.join("MANIFEST")
}

/// Looks without touching; what cannot become a store is an error.
pub(crate) fn survey(storage: &dyn Storage, path: &Path) -> Result<Found, WalError> {
    let entries = match storage.entries(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(WalError::NotADirectory { path: path.to_path_buf() });
        }
        other => other.map_err(|error| WalError::io(path, "list", error))?,
    };
    let foreign =
        |found: &str| Err(WalError::ForeignDirectory { path: path.to_path_buf(), found: found.into() });
    if entries.iter().any(|entry| entry.name == "MANIFEST") {
        let has_segments = entries.iter().any(|entry| entry.name == "WAL" && entry.is_dir);
        return match begins_like_a_manifest(&read_manifest(storage, path)?) {
            false if !has_segments => foreign("MANIFEST"),
            _ => Ok(Found::Store),
        };
    }
    if let Some(other) = entries.iter().find(|entry| !is_unfinished_name(entry)) {
        return foreign(&other.name);
    }
    if entries.iter().any(|entry| entry.name == "WAL") {
        check_unfinished_segments(storage, path)?;
    }
    Ok(Found::Unfinished)
}

/// Creates the directory and its missing parents, durably.
pub(crate) fn create_store_dir(storage: &dyn Storage, path: &Path) -> Result<(), WalError> {
    let parents = missing_and_first_existing(storage, path)?;
    storage.create_dir(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => WalError::NotADirectory { path: path.to_path_buf() },
        _ => WalError::io(path, "create", error),
    })?;
    for parent in parents {
        storage.sync_dir(&parent).map_err(|error| WalError::io(&parent, "sync", error))?;
    }
    Ok(())
}

/// Creates a store in an existing directory. MANIFEST gets its name last: until then there is no store, and a
/// crash leaves an unfinished creation that the next one replaces.
pub(crate) fn create_store(
    storage: &dyn Storage,
    path: &Path,
    log_count: u32,
    now_micros: u64,
) -> Result<(), WalError> {
    let dir = segments_dir(path);
    storage.create_dir(&dir).map_err(|error| WalError::io(&dir, "create", error))?;
    for entry in storage.entries(&dir).map_err(|error| WalError::io(&dir, "list", error))? {
        let leftover = dir.join(&entry.name);
        storage.remove(&leftover).map_err(|error| WalError::io(&leftover, "remove", error))?;
    }
    let store = StoreId::random();
    let logs =
        (0..log_count).map(|log| create_first_segment(storage, path, store, (log, log_count), now_micros));
    let logs = logs.collect::<Result<Vec<_>, _>>()?;
    let sync_dir = |dir: &Path| storage.sync_dir(dir).map_err(|error| WalError::io(dir, "sync", error));
    sync_parent(storage, path)?;
    sync_dir(&dir)?;
    // Before MANIFEST is named: its name must never survive a power loss that takes the segments' directory.
    sync_dir(path)?;
    let manifest = Manifest {
        generation: 1,
        store,
        created_micros: now_micros,
        boot: 0,
        unclean_through: 0,
        is_clean: true,
        first_log: 0,
        logs,
        sections: Vec::new(),
    };
    write_first_manifest(storage, path, manifest)?;
    sync_dir(path)
}

/// The directory may have been made before, by somebody who did not sync its name.
pub(crate) fn sync_parent(storage: &dyn Storage, path: &Path) -> Result<(), WalError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match storage.sync_dir(parent) {
        // Who may not read the parent did not make the directory: its name is in the hands of who did.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(|error| WalError::io(parent, "sync", error)),
    }
}

fn create_first_segment(
    storage: &dyn Storage,
    path: &Path,
    store: StoreId,
    (log, log_count): (u32, u32),
    now_micros: u64,
) -> Result<LogEntry, WalError> {
    let header = SegmentHeader {
        store,
        log,
        log_count,
        number: 1,
        size: SEGMENT_SIZE_MIN,
        first_lsn: Lsn::ZERO,
        chain_seed: rand::random(),
        unsynced_bytes_max: 0,
        created_micros: now_micros,
    };
    create_segment(storage, path, &header)?;
    Ok(LogEntry { oldest_segment: 1, newest_segment: 1, newest_size: header.size, ..LogEntry::default() })
}

/// Both slots are written, so that from the first day a slot that cannot be read is a finding.
pub(crate) fn write_first_manifest(
    storage: &dyn Storage,
    path: &Path,
    mut manifest: Manifest,
) -> Result<(), WalError> {
    let temporary = path.join("MANIFEST.tmp");
    let mut bytes = manifest.encode();
    manifest.generation += 1;
    bytes.extend_from_slice(&manifest.encode());
    assert_eq!(bytes.len(), MANIFEST_SIZE);
    let file = create_anew(storage, &temporary)?;
    let written = file.write_at(&bytes, 0).and_then(|()| file.sync());
    written.map_err(|error| WalError::io(&temporary, "write", error))?;
    storage
        .rename(&temporary, &manifest_path(path))
        .map_err(|error| WalError::io(&temporary, "rename", error))
}

/// The bytes of MANIFEST as the device holds them, as far as they go.
pub(crate) fn read_manifest(storage: &dyn Storage, store: &Path) -> Result<Buffer, WalError> {
    let path = manifest_path(store);
    let mut bytes = Buffer::default();
    bytes.resize(MANIFEST_SIZE);
    let read = open_for_reading(storage, &path).and_then(|file| file.read_at(&mut bytes, 0));
    bytes.resize(read.map_err(|error| WalError::io(&path, "read", error))?);
    Ok(bytes)
}

fn begins_like_a_manifest(bytes: &[u8]) -> bool {
    bytes.chunks(SLOT_SIZE).any(|slot| slot.starts_with(&MANIFEST_MAGIC))
}

fn is_unfinished_name(entry: &DirEntry) -> bool {
    match entry.name.as_str() {
        "LOCK" | "MANIFEST.tmp" => !entry.is_dir,
        "WAL" => entry.is_dir,
        _ => false,
    }
}

/// Segments without MANIFEST are an unfinished creation only while nothing was ever written to them.
fn check_unfinished_segments(storage: &dyn Storage, path: &Path) -> Result<(), WalError> {
    let dir = segments_dir(path);
    for entry in storage.entries(&dir).map_err(|error| WalError::io(&dir, "list", error))? {
        let file = dir.join(&entry.name);
        if entry.is_dir || parse_segment_name(&entry.name).is_none() {
            return Err(WalError::ForeignDirectory { path: dir, found: entry.name });
        }
        if first_content_of(storage, &file)?.is_some() {
            let reason = format!("MANIFEST is missing, and {} holds records", file.display());
            return Err(WalError::corrupt(&manifest_path(path), 0, reason));
        }
    }
    Ok(())
}

/// The directories whose content changes when `path` is created: its parents up to the first that exists.
fn missing_and_first_existing(storage: &dyn Storage, path: &Path) -> Result<Vec<PathBuf>, WalError> {
    let mut parents = Vec::new();
    for parent in path.ancestors().skip(1) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        parents.push(parent.to_path_buf());
        match storage.entries(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(WalError::NotADirectory { path: parent.to_path_buf() });
            }
            other => return other.map(|_| parents).map_err(|error| WalError::io(parent, "list", error)),
        }
    }
    Ok(parents)
}
