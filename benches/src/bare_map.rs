//! The limit of a put and a get in memory: a plain hash map on the caller's own thread.

use rustc_hash::FxHashMap;

/// A plain hash map of boxed keys and boxed values: no thread, no version, no log.
#[derive(Debug, Default)]
pub struct BareMap {
    values: FxHashMap<Box<str>, Box<[u8]>>,
}

impl BareMap {
    /// An empty map.
    pub fn new() -> BareMap {
        BareMap::default()
    }

    /// Copies the key and the value into the map.
    #[inline]
    pub fn put(&mut self, key: &str, value: &str) {
        self.values.insert(key.into(), value.as_bytes().into());
    }

    /// Copies the value of a key out of the map.
    #[inline]
    pub fn get(&self, key: &str) -> Option<Box<[u8]>> {
        self.values.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_put_replaces_an_earlier_one() {
        let mut map = BareMap::new();
        map.put("plan", "draft");
        map.put("plan", "final");
        assert_eq!(map.get("plan").as_deref(), Some(&b"final"[..]));
        assert_eq!(map.get("goal"), None);
    }
}
