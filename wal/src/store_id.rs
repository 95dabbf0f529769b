//! The identity of one store, given at its creation.

use std::fmt;

/// Sixteen random bytes that tell one store's files from another's.
///
/// They seed every checksum of the log, so that a block of another store is never taken for one of this.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl StoreId {
    /// A fresh identity from the operating system's generator.
    pub(crate) fn random() -> StoreId {
        StoreId(rand::random())
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoreId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_prints_as_thirty_two_hexadecimal_digits() {
        let id = StoreId([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(format!("{id:?}"), format!("StoreId({})", "ab".repeat(16)));
    }

    #[test]
    fn two_stores_have_two_identities() {
        assert_ne!(StoreId::random(), StoreId::random());
    }
}
