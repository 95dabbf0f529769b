//! The two slots of MANIFEST as they lie in the file.

use std::path::Path;

use crate::creation::{manifest_path, read_manifest};
use crate::error::WalError;
use crate::manifest::{BadSlot, MANIFEST_FORMAT_VERSION, Manifest, SLOT_SIZE};
use crate::storage::Storage;

/// What was read from MANIFEST.
pub(crate) struct Slots {
    pub(crate) current: Manifest,
    /// Slot of the next update: the one `current` does not lie in.
    pub(crate) next: usize,
    /// Why the other slot could not be read.
    pub(crate) damaged: Option<String>,
}

/// Reads both slots and takes the newer one that is whole.
pub(crate) fn read_slots(storage: &dyn Storage, path: &Path) -> Result<Slots, WalError> {
    let manifest = manifest_path(path);
    let bytes = read_manifest(storage, path)?;
    let (first, second) = bytes.split_at(SLOT_SIZE.min(bytes.len()));
    let (current, next, damaged) = match (Manifest::decode(first), Manifest::decode(second)) {
        (Ok(first), Ok(second)) if second.generation > first.generation => (second, 0, None),
        (Ok(first), Ok(_)) => (first, 1, None),
        (Ok(first), Err(bad)) => (first, 1, Some(describe_slot(bad, 1, &manifest)?)),
        (Err(bad), Ok(second)) => (second, 0, Some(describe_slot(bad, 0, &manifest)?)),
        (Err(first), Err(second)) => {
            let reasons = (describe_slot(first, 0, &manifest)?, describe_slot(second, 1, &manifest)?);
            return Err(WalError::corrupt(&manifest, 0, format!("{}; {}", reasons.0, reasons.1)));
        }
    };
    Ok(Slots { current, next, damaged })
}

/// Why a slot does not count; one that is newer or written otherwise is no damage, and refuses the store.
fn describe_slot(bad: BadSlot, slot: usize, manifest: &Path) -> Result<String, WalError> {
    match bad {
        BadSlot::Newer(found) => {
            let supported = MANIFEST_FORMAT_VERSION;
            Err(WalError::NewerFormat { path: manifest.to_path_buf(), found, supported })
        }
        BadSlot::UnknownCodec(found) => Err(WalError::UnknownCodec { path: manifest.to_path_buf(), found }),
        BadSlot::Foreign => Ok(format!("slot {slot} does not begin like a slot")),
        BadSlot::Damaged(reason) => Ok(format!("slot {slot}: {reason}")),
    }
}
