//! A shard that serves nobody for as long as a test wants.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use strata::{Error, RunHandle};

/// Holds the shard of a run, until it is let go or dropped.
pub(crate) struct HeldShard {
    /// Only dropped.
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HeldShard {
    /// Returns once the shard is held: what is sent from now on waits in its mailbox.
    pub(crate) fn of(run: &RunHandle) -> HeldShard {
        let ((release, released), (begun, has_begun)) = (channel::<()>(), channel());
        let run = run.clone();
        let thread = std::thread::spawn(move || {
            let held = run.execute(move |_| {
                begun.send(()).unwrap();
                // It ends with the other end.
                let _ = released.recv();
                Ok::<_, Error>(())
            });
            held.unwrap();
        });
        has_begun.recv().unwrap();
        HeldShard { release: Some(release), thread: Some(thread) }
    }

    /// Lets the shard go on, and returns once it does.
    pub(crate) fn let_go(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.release.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for HeldShard {
    fn drop(&mut self) {
        self.end();
    }
}
