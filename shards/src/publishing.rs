//! When what is published of runs changes: runs are shown that everybody may see, and erasures that are safe.

use std::sync::Arc;

use strata_primitives::RunId;

use crate::boot::Boot;
use crate::held::Held;
use crate::reader::Reader;
use crate::run::Progress;
use crate::run_table::RunTable;

impl RunTable {
    /// Opens a window for a reader of a run. Who reads one that is not there is told by message.
    pub(crate) fn attend(&mut self, run: RunId, reader: Arc<Reader>) {
        if self.held(run).is_some_and(Held::exists) {
            self.windows.attend(run, reader);
        } else {
            reader.forget();
        }
    }

    /// Takes those who read a resident run without a message for having used it in this turn. When it was used last.
    pub(crate) fn note_readers(&mut self, run: RunId, turn: u64) -> Option<u64> {
        let was_read = self.windows.take_was_read(run);
        let run = self.get_mut(run)?;
        if was_read {
            run.used = turn;
        }
        Some(run.used)
    }

    /// Shows erasures that are safe by now in the pictures that somebody keeps.
    pub(crate) fn release_erasures(&mut self, progress: &Progress) {
        if !self.windows.has_unseen_erasures() {
            return;
        }
        let mut windows = std::mem::take(&mut self.windows);
        windows.release(progress, |run, ancestor| self.inherited_through(run, ancestor));
        self.windows = windows;
    }

    /// Publishes what is due and may be seen by everybody.
    pub(crate) fn publish_due(&mut self, progress: &Progress, boot: Boot, erasure_mark: u64) {
        if !self.windows.is_any_due() {
            return;
        }
        let mut windows = std::mem::take(&mut self.windows);
        for id in windows.take_due() {
            match self.held(id) {
                Some(Held::Resident(run)) if !run.need.is_met(progress) => windows.put_off(id),
                Some(Held::Resident(run)) if run.state.exists() => {
                    windows.publish(&run.state, boot, erasure_mark);
                }
                _ => windows.pass_over(id),
            }
        }
        self.windows = windows;
    }
}
