//! What the world does to a store, as the errors a caller sees.

use strata_primitives::{Error, ErrorKind};
use strata_wal::WalError;

/// The error a caller gets for a failure of the files below.
pub(crate) fn store_error(error: WalError) -> Error {
    let kind = match &error {
        WalError::AlreadyOpen { .. } => ErrorKind::AlreadyOpen,
        WalError::NotADirectory { .. } | WalError::ForeignDirectory { .. } => ErrorKind::InvalidArgument,
        WalError::NewerFormat { .. } | WalError::UnknownCodec { .. } | WalError::Unsupported { .. } => {
            ErrorKind::Unsupported
        }
        WalError::Corrupt { .. } => ErrorKind::Corrupt,
        WalError::NoSpace { .. } => ErrorKind::Full,
        WalError::Failed { .. } => ErrorKind::LogFailed,
        WalError::MissingStore { .. } => ErrorKind::NotFound,
        WalError::Io { .. } => ErrorKind::Io,
        _ => ErrorKind::Io,
    };
    Error::new(kind, error.to_string()).with_source(error)
}
