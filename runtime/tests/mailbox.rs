//! The mailbox through its public face, with real threads.
#![cfg(not(loom))]

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strata_runtime::{Mailbox, ReplyPool, Responder, SendError, Spin, mailbox};

/// More than any machine needs for anything that happens here.
const GENEROUS: Duration = Duration::from_secs(60);

#[test]
fn messages_arrive_in_the_order_they_were_sent() {
    let (sender, mailbox) = mailbox(4).unwrap();
    for number in 0..4 {
        sender.try_send(number).unwrap();
    }
    assert_eq!(mailbox.len(), 4);
    assert_eq!(std::iter::from_fn(|| mailbox.receive()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(mailbox.is_empty());
}

#[test]
fn a_full_mailbox_gives_the_message_back() {
    let (sender, mailbox) = mailbox(1).unwrap();
    sender.try_send("first").unwrap();
    assert_eq!(sender.try_send("second"), Err(SendError::Full("second")));
    assert_eq!(sender.send("second", Duration::ZERO), Err(SendError::Full("second")));
    assert_eq!(mailbox.receive(), Some("first"));
    sender.try_send("second").unwrap();
    assert_eq!(mailbox.receive(), Some("second"));
}

/// Handles hold senders, and applications catch panics around handles.
#[test]
fn a_sender_may_be_used_inside_and_after_a_caught_panic() {
    let (sender, mailbox) = mailbox(2).unwrap();
    let caught = std::panic::catch_unwind(|| {
        sender.try_send(std::cell::Cell::new(1)).unwrap();
        std::panic::resume_unwind(Box::new("a panic without a message on the terminal"));
    });
    assert!(caught.is_err());
    sender.try_send(std::cell::Cell::new(2)).unwrap();
    assert_eq!([mailbox.receive().unwrap().get(), mailbox.receive().unwrap().get()], [1, 2]);
}

#[test]
fn a_patient_sender_gives_up_when_no_room_comes() {
    let (sender, _mailbox) = mailbox(1).unwrap();
    sender.try_send(1).unwrap();
    let patience = Duration::from_millis(20);
    let start = Instant::now();
    assert_eq!(sender.send(2, patience), Err(SendError::Full(2)));
    assert!(start.elapsed() >= patience);
}

#[test]
fn a_patient_sender_gets_in_when_room_comes() {
    let (sender, mailbox) = mailbox(1).unwrap();
    sender.try_send(1).unwrap();
    let patient = thread::spawn(move || sender.send(2, GENEROUS));
    assert_eq!(mailbox.receive(), Some(1));
    assert_eq!(patient.join().unwrap(), Ok(()));
    assert_eq!(mailbox.receive(), Some(2));
}

#[test]
fn a_patient_sender_is_told_at_once_that_the_mailbox_closed() {
    let (sender, mailbox) = mailbox(1).unwrap();
    sender.try_send(1).unwrap();
    let patient = thread::spawn(move || {
        let start = Instant::now();
        (sender.send(2, GENEROUS), start.elapsed())
    });
    drop(mailbox);
    let (outcome, waited) = patient.join().unwrap();
    assert_eq!(outcome, Err(SendError::Closed(2)));
    assert!(waited < GENEROUS);
}

#[test]
fn a_closed_mailbox_refuses_messages_and_drops_those_it_held() {
    let pool = ReplyPool::<u32>::new();
    let (sender, mailbox) = mailbox(2).unwrap();
    let (pending, responder) = pool.request();
    sender.try_send(responder).unwrap();
    drop(mailbox);
    assert!(pool.wait(pending).is_err(), "the sender still lives, yet the responder is gone");

    let (pending, responder) = pool.request();
    let refused = sender.try_send(responder).unwrap_err();
    assert!(!refused.is_full());
    drop(refused.into_message());
    assert!(pool.wait(pending).is_err());
}

#[test]
fn a_message_ends_the_sleep() {
    let (sender, mailbox) = mailbox(1).unwrap();
    let sending = thread::spawn(move || sender.try_send(7).map(|()| sender));
    assert_eq!(receive(&mailbox), 7);
    sending.join().unwrap().unwrap();
}

#[test]
fn a_sleep_does_not_begin_while_a_message_waits() {
    let (sender, mailbox) = mailbox(1).unwrap();
    sender.try_send(7).unwrap();
    let start = Instant::now();
    mailbox.sleep(None, Some(GENEROUS));
    assert!(start.elapsed() < GENEROUS);
    assert!(mailbox.spin(Spin::default()));
}

#[test]
fn a_wake_before_the_sleep_is_kept_for_it_once() {
    let (sender, mailbox) = mailbox::<u32>(1).unwrap();
    sender.wake();
    sender.wake();
    let start = Instant::now();
    mailbox.sleep(None, Some(GENEROUS));
    assert!(start.elapsed() < GENEROUS);

    let short = Duration::from_millis(20);
    let start = Instant::now();
    mailbox.sleep(None, Some(short));
    assert!(start.elapsed() >= short, "the first sleep used both wakes up");
}

#[test]
fn input_ends_the_sleep() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (_sender, mailbox) = mailbox::<u32>(1).unwrap();
    let writing = thread::spawn(move || std::io::Write::write_all(&mut { writer }, b"x"));
    let start = Instant::now();
    mailbox.sleep(Some(reader.as_fd()), Some(GENEROUS));
    assert!(start.elapsed() < GENEROUS);
    writing.join().unwrap().unwrap();
}

#[test]
fn a_sleep_of_no_length_returns_at_once_and_one_without_end_is_accepted() {
    let (sender, mailbox) = mailbox::<u32>(1).unwrap();
    mailbox.sleep(None, Some(Duration::ZERO));
    sender.wake();
    mailbox.sleep(None, Some(Duration::MAX));
}

/// Clients and servers that sleep and wake as the scheduler likes: every request is answered, with its own answer.
#[test]
fn many_clients_of_a_sleepy_server_all_get_their_own_answers() {
    const CLIENT_COUNT: u64 = 4;
    const REQUEST_COUNT: u64 = 5_000;
    let (sender, mailbox) = mailbox::<(u64, Responder<u64>)>(2).unwrap();
    let served = Arc::new(AtomicU64::new(0));
    let counter = served.clone();
    let server = strata_runtime::spawn("server", None, move || {
        while counter.load(Ordering::Relaxed) < CLIENT_COUNT * REQUEST_COUNT {
            match mailbox.receive() {
                Some((question, responder)) => {
                    counter.fetch_add(1, Ordering::Relaxed);
                    responder.send(question + 1);
                }
                // Odd questions meet a server that spun, even ones a server that slept at once.
                None if mailbox.spin(Spin::new(Duration::from_micros(1))) => {}
                None => mailbox.sleep(None, None),
            }
        }
    });
    let clients = (0..CLIENT_COUNT).map(|client| {
        let sender = sender.clone();
        thread::spawn(move || {
            // Half of the clients park at once, the others spin first.
            let budget = Duration::from_micros(5 * (client % 2));
            let pool = ReplyPool::with_spin(Spin::new(budget));
            for request in 0..REQUEST_COUNT {
                let question = client << 32 | request;
                let (pending, responder) = pool.request();
                sender.send((question, responder), GENEROUS).unwrap();
                assert_eq!(pool.wait(pending), Ok(question + 1));
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.join().unwrap();
    }
    server.unwrap().join().unwrap();
    assert_eq!(served.load(Ordering::Relaxed), CLIENT_COUNT * REQUEST_COUNT);
}

/// The server goes away at any moment: every client is answered, refused or told, and none waits for ever.
#[test]
fn clients_of_a_server_that_vanishes_never_hang() {
    for round in 0..200 {
        let (sender, mailbox) = mailbox::<Responder<u32>>(2).unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || {
                    let pool = ReplyPool::new();
                    loop {
                        let (pending, responder) = pool.request();
                        if sender.send(responder, GENEROUS).is_err() {
                            return;
                        }
                        if pool.wait(pending).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        for _ in 0..round % 20 {
            receive(&mailbox).send(1);
        }
        drop(mailbox);
        for client in clients {
            client.join().unwrap();
        }
    }
}

#[test]
fn a_thousand_mailboxes_leave_no_descriptor_behind() {
    let round = || {
        let (sender, mailbox) = mailbox(1).unwrap();
        sender.try_send(1).unwrap();
        drop(mailbox);
        drop(sender);
    };
    // Other tests of this process open descriptors too, a few at a time; a leak here would leave a thousand.
    let before = descriptor_count();
    (0..1_000).for_each(|_| round());
    assert!(descriptor_count() < before + 500);
}

fn receive<T>(mailbox: &Mailbox<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(message) = mailbox.receive() {
            return message;
        }
        assert!(start.elapsed() < GENEROUS, "no message came");
        mailbox.sleep(None, Some(GENEROUS));
    }
}

fn descriptor_count() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
