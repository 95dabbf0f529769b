//! The limit of a synchronous call: a message of one word to another thread and one word back.

use std::thread::JoinHandle;
use std::time::Duration;

use strata_runtime::{ReplyPool, Responder, Sender, Spin, mailbox};

use crate::placement::stay_on;

/// Messages the mailbox holds; as many as a shard's does by default.
const CAPACITY: usize = 1024;
/// How long a call waits for room; there is one caller, so there is always room.
const PATIENCE: Duration = Duration::from_secs(5);

enum Message {
    Echo(u64, Responder<u64>),
    Stop,
}

/// A thread that answers every word with the same word, over the mailbox and the reply slots that
/// shards use.
pub struct BareChannel {
    sender: Sender<Message>,
    replies: ReplyPool<u64>,
    thread: Option<JoinHandle<()>>,
}

impl BareChannel {
    /// Starts the thread on the CPUs given, which are those of a shard.
    ///
    /// # Panics
    /// If the process has no thread or descriptor left.
    pub fn start(cpus: &[usize]) -> BareChannel {
        let (sender, inbox) = mailbox(CAPACITY).expect("a bench has descriptors to spare");
        let cpus = cpus.to_vec();
        let thread = std::thread::spawn(move || {
            stay_on(&cpus);
            loop {
                match inbox.receive() {
                    Some(Message::Echo(word, reply)) => reply.send(word),
                    Some(Message::Stop) => return,
                    None if inbox.spin(Spin::default()) => {}
                    None => inbox.sleep(None, None),
                }
            }
        });
        BareChannel { sender, replies: ReplyPool::new(), thread: Some(thread) }
    }

    /// Sends `word` and waits until it has come back.
    ///
    /// # Panics
    /// If the thread has ended.
    #[inline]
    pub fn round_trip(&self, word: u64) -> u64 {
        let (pending, reply) = self.replies.request();
        self.sender
            .send(Message::Echo(word, reply), PATIENCE)
            .expect("the thread serves until it is told to stop");
        self.replies.wait(pending).expect("every word is answered")
    }
}

impl Drop for BareChannel {
    fn drop(&mut self) {
        // A thread that has ended already is joined just the same.
        let _ = self.sender.send(Message::Stop, PATIENCE);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::allowed_cpus;

    #[test]
    fn a_word_comes_back_as_it_went() {
        let channel = BareChannel::start(&allowed_cpus());
        assert!((0..100).all(|word| channel.round_trip(word) == word));
    }
}
