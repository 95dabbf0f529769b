//! The operation ids a run remembers, so that a resent write is answered instead of repeated.
use crate::effect::Effect;
use crate::fingerprint::Fingerprint;
use crate::id::OperationId;
use crate::limits::OPERATION_IDS_MAX;
use crate::version::{Commit, Version};
use foldhash::HashMap;
use std::collections::VecDeque;

/// What a write with an operation id was first answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The commit the write made.
    pub commit: Commit,
    /// What each of its operations revealed, in order.
    pub effects: Vec<Effect>,
    /// What was written: another write does not get this receipt.
    pub fingerprint: Fingerprint,
}

/// The newest operation ids of a run with their receipts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Receipts {
    by_id: HashMap<OperationId, Receipt>,
    oldest_first: VecDeque<OperationId>,
}

impl Receipts {
    pub(crate) fn get(&self, id: &OperationId) -> Option<&Receipt> {
        // Most runs never see an id; those pay one comparison.
        if self.by_id.is_empty() { None } else { self.by_id.get(id) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The oldest receipt of a commit behind `version`, with its id.
    pub(crate) fn behind(&self, version: Version) -> Option<(OperationId, &Receipt)> {
        let is_before = |id: &OperationId| self.by_id[id].commit.version <= version;
        let id = *self.oldest_first.get(self.oldest_first.partition_point(is_before))?;
        Some((id, &self.by_id[&id]))
    }

    /// Remembers a receipt; the oldest is forgotten when there are too many.
    pub(crate) fn insert(&mut self, id: OperationId, receipt: Receipt) {
        if self.by_id.insert(id, receipt).is_some() {
            return;
        }
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > OPERATION_IDS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    /// Forgets an id, one of the newest. What it pushed out does not come back.
    pub(crate) fn remove(&mut self, id: &OperationId) {
        if self.by_id.remove(id).is_some() {
            let place = self.oldest_first.iter().rposition(|remembered| remembered == id);
            place.and_then(|place| self.oldest_first.remove(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Durability, Timestamp, Version};

    fn id(number: usize) -> OperationId {
        OperationId((number as u128).to_le_bytes())
    }

    fn receipt(version: u64) -> Receipt {
        let (version, timestamp) = (Version(version), Timestamp(1));
        Receipt {
            commit: Commit { version, timestamp, durability: Durability::Strict },
            effects: vec![Effect::None],
            fingerprint: Fingerprint([1; 8]),
        }
    }

    #[test]
    fn a_run_remembers_so_many_ids_and_forgets_the_oldest() {
        let mut receipts = Receipts::default();
        for number in 0..=OPERATION_IDS_MAX {
            receipts.insert(id(number), receipt(number as u64));
        }
        assert_eq!(receipts.get(&id(0)), None);
        assert_eq!(receipts.get(&id(1)), Some(&receipt(1)));
        assert_eq!(receipts.get(&id(OPERATION_IDS_MAX)), Some(&receipt(OPERATION_IDS_MAX as u64)));
    }

    #[test]
    fn forgetting_leaves_nothing_behind() {
        let mut receipts = Receipts::default();
        assert_eq!(receipts.get(&id(1)), None);
        receipts.insert(id(1), receipt(1));
        receipts.insert(id(1), receipt(2));
        assert_eq!(receipts.get(&id(1)), Some(&receipt(2)));
        receipts.remove(&id(2));
        receipts.remove(&id(1));
        assert_eq!(receipts, Receipts::default());
    }
}
