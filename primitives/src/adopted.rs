//! A run that begins as it was elsewhere: in an archive.
use super::RunState;
use crate::id::RunId;
use std::sync::Arc;

impl RunState {
    /// The same run, which begins here as it was elsewhere, and is not there before the mutation
    /// [`RunImport`](crate::Mutation::RunImport) says so. What it has erased and what it answered to operation ids comes with it.
    pub fn adopt(&self) -> Self {
        let mut adopted = Self { receipts: self.receipts.clone(), ..self.fork(self.id) };
        adopted.content.erasures = Arc::clone(&self.content.erasures);
        adopted
    }

    /// Puts it under another id: what that run inherited, as its own, with no list of what was erased in this one.
    pub fn rename(&mut self, id: RunId) {
        if id != self.id {
            (self.id, self.content.erasures) = (id, Arc::default());
        }
    }
}
