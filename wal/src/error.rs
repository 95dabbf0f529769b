//! What can go wrong between a log and its files.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store's directory or log could not be opened, read or extended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// Another process (or another handle of this one) owns the store.
    #[error("the store is already open, by {owner}: close it there first, or open another path")]
    AlreadyOpen {
        /// What the owner wrote about itself.
        owner: String,
    },
    /// The path is there, and it is not a directory.
    #[error("{} is not a directory: a store is one, give the path of a store or a path where nothing is yet", path.display())]
    NotADirectory {
        /// The path that was to be the store.
        path: PathBuf,
    },
    /// The directory holds something that is not part of a store; nothing was written.
    #[error("{} is not a store, it holds `{found}`: give the path of a store, of an empty directory, or a path where nothing is yet", path.display())]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// The first thing in it that does not belong.
        found: String,
    },
    /// A newer version of this library wrote the file; nothing was written.
    #[error("{} has format version {found}, this release reads versions up to {supported}: open it with a newer release", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that can be read here.
        supported: u32,
    },
    /// The file is written in a way that this release cannot read, encrypted say; nothing was written.
    #[error("{} is written with codec {found}, this release reads 0, as it is: open it with a release that knows it", path.display())]
    UnknownCodec {
        /// The file.
        path: PathBuf,
        /// The number of its codec.
        found: u32,
    },
    /// A file is damaged below what was proven durable: opening would lose acknowledged records.
    #[error("{} is corrupt at offset {offset}: {reason}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What was expected and what was found.
        reason: String,
    },
    /// The device is full; nothing happened.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// The file that needed space.
        path: PathBuf,
    },
    /// An earlier write or sync failed: what is on disk is unknown until the store is opened again.
    #[error("an earlier failure closed this file for writing: {reason}")]
    Failed {
        /// The first failure.
        reason: String,
    },
    /// The request is understood, and not possible here.
    #[error("{reason}")]
    Unsupported {
        /// What was asked, and what is possible.
        reason: String,
    },
    /// There is no store at this path, and a read-only open creates none.
    #[error("there is no store at {}", path.display())]
    MissingStore {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The refusal.
        source: io::Error,
    },
}

impl WalError {
    /// Names the file and the attempt beside the operating system's answer; a full device is its own cause.
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> WalError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WalError::NoSpace { path },
            _ => WalError::Io { path, action, source },
        }
    }

    /// Damage at one place of one file.
    pub(crate) fn corrupt(file: &Path, offset: u64, reason: impl Into<String>) -> WalError {
        WalError::Corrupt { file: file.to_path_buf(), offset, reason: reason.into() }
    }
}

/// Why a record was not staged. In every case nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A write must complete or a segment must arrive first: try again after `reap` or `offer_segment`.
    #[error("the log is waiting for a write or a segment")]
    Stalled,
    /// No segment could be prepared that holds the record; a later append asks for one again.
    #[error("no space could be prepared for the record")]
    Full,
    /// A write or sync of this log failed; it takes no record until it is recovered.
    #[error("an earlier write or sync of the log failed")]
    Failed,
}

/// A write or sync of the log failed, now or earlier: what it should have made durable is unknown.
///
/// A failed sync is never retried: the kernel may have marked the dirty pages clean, so a second success
/// would prove nothing (Rebello et al., USENIX ATC 2020).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log has failed: {reason}")]
pub struct LogFailed {
    /// The first failure.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_device_is_told_from_a_broken_one() {
        let path = Path::new("/store/MANIFEST");
        let full = WalError::io(path, "write", io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, WalError::NoSpace { .. }));
        let broken = WalError::io(path, "write", io::Error::other("broken"));
        assert_eq!(broken.to_string(), "could not write /store/MANIFEST: broken");
    }

    #[test]
    fn damage_names_file_and_offset() {
        let error = WalError::corrupt(Path::new("/store/WAL/000-0000000001.seg"), 4096, "no batch");
        assert_eq!(error.to_string(), "/store/WAL/000-0000000001.seg is corrupt at offset 4096: no batch");
    }
}
