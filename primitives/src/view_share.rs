//! What a view shows as content of its own, which shares everything that has not changed since.
use super::RunView;
use crate::content::Content;
use crate::entry::{Entry, Stored};
use crate::entry_log::EntryLog;
use crate::event_log::EventLog;
use crate::key::Key;
use crate::key_map::KeyMap;
use std::sync::Arc;

impl RunView<'_> {
    /// What it shows, without receipts and without what is kept for snapshots: the content as it is, with all put back that
    /// later commits have replaced, and all taken out that they have added.
    pub(crate) fn share(&self, hash_seed: usize) -> Content {
        let mut shared = self.content.share(hash_seed);
        if !self.is_old {
            return shared;
        }
        let (past, version) = (&self.content.past, self.stamp.version);
        put_back(&mut shared.kv, past.kv.since(version));
        put_back(&mut shared.cells, past.cells.since(version));
        put_back(&mut shared.documents, past.documents.since(version));
        shared.events = self.share_events();
        shared.traces = self.traces().share();
        shared.meta = self.meta().cloned().map(Box::new);
        shared.meta_version = self.meta_version();
        if self.erasures().len() < shared.erasures.len() {
            shared.erasures = Arc::new(self.erasures().to_vec());
        }
        shared
    }

    fn share_events(&self) -> EventLog {
        let mut events = self.event_log().clone();
        let end = self.event_count();
        while events.end() > end {
            events.take_back();
        }
        events
    }
}

fn put_back<'a, V: Stored + 'a>(
    map: &mut KeyMap<V>,
    replaced: impl Iterator<Item = (&'a Key, &'a Option<Entry<V>>)>,
) {
    for (key, was) in replaced {
        match was {
            Some(entry) => drop(map.put(key, entry.clone())),
            None => drop(map.remove(key)),
        }
    }
}
