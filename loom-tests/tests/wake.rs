//! The wake word: no sleeper misses what was sent before or while it fell asleep.
#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use strata_loom_tests::{HANGS, assert_fails, assert_fails_without, explore, explore_bounded};
use strata_runtime::sync::Site;
use strata_runtime::{Mailbox, Sender, WakeWord, mailbox};

/// Receives one message; a wake-up that is lost leaves this thread asleep for ever, which loom reports.
fn receive(mailbox: &Mailbox<u32>) -> u32 {
    loop {
        if let Some(message) = mailbox.receive() {
            return message;
        }
        mailbox.sleep(None, None);
    }
}

fn send(sender: &Sender<u32>, message: u32) {
    sender.try_send(message).expect("the mailbox has room and is open");
}

fn one_sender() {
    let (sender, mailbox) = mailbox(1).expect("a model has descriptors");
    let thread = thread::spawn(move || send(&sender, 7));
    assert_eq!(receive(&mailbox), 7);
    thread.join().unwrap();
}

fn one_sender_of_two_messages() {
    let (sender, mailbox) = mailbox(2).expect("a model has descriptors");
    let thread = thread::spawn(move || {
        send(&sender, 1);
        send(&sender, 2);
    });
    assert_eq!((receive(&mailbox), receive(&mailbox)), (1, 2));
    thread.join().unwrap();
}

fn two_senders() {
    let (sender, mailbox) = mailbox(2).expect("a model has descriptors");
    let other = sender.clone();
    let threads = [thread::spawn(move || send(&sender, 1)), thread::spawn(move || send(&other, 2))];
    assert_eq!(receive(&mailbox) + receive(&mailbox), 3);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Work that the mailbox does not hold is found because the sender nudges.
fn a_nudge() {
    let (sender, mailbox) = mailbox::<u32>(1).expect("a model has descriptors");
    let has_work = Arc::new(AtomicBool::new(false));
    let flag = has_work.clone();
    let thread = thread::spawn(move || {
        flag.store(true, Ordering::Relaxed);
        sender.wake();
    });
    while !has_work.load(Ordering::Relaxed) {
        mailbox.sleep(None, None);
    }
    thread.join().unwrap();
}

/// A message and a nudge change the same word; neither may undo the other.
fn a_nudge_beside_a_message() {
    let (sender, mailbox) = mailbox(1).expect("a model has descriptors");
    let other = sender.clone();
    let has_work = Arc::new(AtomicBool::new(false));
    let flag = has_work.clone();
    let threads = [
        thread::spawn(move || send(&sender, 7)),
        thread::spawn(move || {
            flag.store(true, Ordering::Relaxed);
            other.wake();
        }),
    ];
    let mut has_message = false;
    while !(has_message && has_work.load(Ordering::Relaxed)) {
        match mailbox.receive() {
            Some(_) => has_message = true,
            None => mailbox.sleep(None, None),
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The nudge model with a plain wake: the last look before sleep does not see the flag.
fn a_wake_for_work_elsewhere() {
    let word = Arc::new(WakeWord::new().expect("a model has descriptors"));
    let has_work = Arc::new(AtomicBool::new(false));
    let (their_word, flag) = (word.clone(), has_work.clone());
    let thread = thread::spawn(move || {
        flag.store(true, Ordering::Relaxed);
        assert!(their_word.wake(), "the owner is there");
    });
    while !has_work.load(Ordering::Relaxed) {
        word.sleep(|| false, None, None);
    }
    thread.join().unwrap();
}

#[test]
fn one_sender_always_wakes_the_sleeper() {
    explore("wake: one sender", one_sender);
    explore_bounded("wake: one sender, two messages (3 preemptions)", 3, one_sender_of_two_messages);
}

#[test]
fn two_senders_always_wake_the_sleeper() {
    explore_bounded("wake: two senders (2 preemptions)", 2, two_senders);
}

#[test]
fn a_nudge_always_reaches_the_owner() {
    explore("wake: nudge", a_nudge);
    explore_bounded("wake: nudge and message (2 preemptions)", 2, a_nudge_beside_a_message);
}

#[test]
fn a_wake_up_is_lost_without_the_fence_of_the_sender() {
    assert_fails_without(Site::FenceAfterPush, "wake: one sender", HANGS, one_sender);
    assert_fails_without(Site::FenceAfterPush, "wake: two senders", HANGS, two_senders);
}

#[test]
fn a_wake_up_is_lost_without_the_fence_of_the_sleeper() {
    assert_fails_without(Site::FenceBeforeRecheck, "wake: one sender", HANGS, one_sender);
    assert_fails_without(Site::FenceBeforeRecheck, "wake: two senders", HANGS, two_senders);
}

#[test]
fn a_nudge_is_lost_without_its_release() {
    assert_fails_without(Site::Nudge, "wake: a nudge", HANGS, a_nudge);
}

#[test]
fn a_wake_where_a_nudge_is_needed_is_lost() {
    assert_fails("wake: wake instead of nudge", HANGS, || loom::model(a_wake_for_work_elsewhere));
}
