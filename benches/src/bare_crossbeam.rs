//! The peer of the bare round trip: the same word over two channels of crossbeam, and nothing else.

use std::hint::spin_loop;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::placement::stay_on;

/// Messages a channel holds; as many as a shard's mailbox does by default.
const CAPACITY: usize = 1024;

/// A thread that answers every word with the same word. Neither side ever sleeps.
pub struct BareCrossbeam {
    words: Option<Sender<u64>>,
    answers: Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

impl BareCrossbeam {
    /// Starts the thread on the CPUs given.
    pub fn start(cpus: &[usize]) -> BareCrossbeam {
        let (words, inbox) = bounded(CAPACITY);
        let (outbox, answers) = bounded(CAPACITY);
        let cpus = cpus.to_vec();
        let thread = std::thread::spawn(move || {
            stay_on(&cpus);
            loop {
                match inbox.try_recv() {
                    Ok(word) => outbox.try_send(word).expect("one word is under way at a time"),
                    Err(TryRecvError::Empty) => spin_loop(),
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        });
        BareCrossbeam { words: Some(words), answers, thread: Some(thread) }
    }

    /// Sends `word` and waits until it has come back.
    ///
    /// # Panics
    /// If the thread has ended.
    #[inline]
    pub fn round_trip(&self, word: u64) -> u64 {
        let words = self.words.as_ref().expect("the channel is there until the end");
        words.try_send(word).expect("one word is under way at a time");
        loop {
            match self.answers.try_recv() {
                Ok(word) => return word,
                Err(TryRecvError::Empty) => spin_loop(),
                Err(TryRecvError::Disconnected) => panic!("every word is answered"),
            }
        }
    }
}

impl Drop for BareCrossbeam {
    fn drop(&mut self) {
        // The thread ends when its channel has no sender any more.
        self.words = None;
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
        let channels = BareCrossbeam::start(&allowed_cpus());
        assert!((0..100).all(|word| channels.round_trip(word) == word));
    }
}
