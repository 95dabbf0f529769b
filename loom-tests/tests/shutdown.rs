//! Shutdown against send: every request is answered, refused or abandoned, and nobody waits for ever.
#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::thread::{self, JoinHandle};
use strata_loom_tests::{HANGS, RACES, assert_fails_without, explore, explore_bounded};
use strata_runtime::sync::Site;
use strata_runtime::{Abandoned, Mailbox, ReplyPool, Responder, SendError, Sender, mailbox};

enum Message {
    Ask(u32, Responder<u32>),
    Stop,
}

/// Answers until told to stop, then closes.
fn serve(mailbox: Mailbox<Message>) {
    loop {
        match mailbox.receive() {
            Some(Message::Ask(question, responder)) => responder.send(question + 1),
            Some(Message::Stop) => return,
            None => mailbox.sleep(None, None),
        }
    }
}

/// Asks and waits; the sender is held all the while, as a handle holds it.
fn ask(sender: &Sender<Message>, question: u32) {
    let pool = ReplyPool::new();
    let (pending, responder) = pool.request();
    let sent = sender.try_send(Message::Ask(question, responder));
    let is_refused = match sent {
        Ok(()) => false,
        Err(SendError::Full(message) | SendError::Closed(message)) => {
            drop(message);
            true
        }
    };
    let reply = pool.wait(pending);
    assert!(reply == Err(Abandoned) || (reply == Ok(question + 1) && !is_refused));
}

fn start(capacity: usize) -> (Sender<Message>, JoinHandle<()>) {
    let (sender, mailbox) = mailbox(capacity).expect("a model has descriptors");
    (sender, thread::spawn(move || serve(mailbox)))
}

fn stop(sender: &Sender<Message>) {
    sender.try_send(Message::Stop).expect("the mailbox has room until it has stopped");
}

/// A client asks while another thread stops the server.
fn ask_against_stop() {
    let (sender, server) = start(2);
    let asking = sender.clone();
    let client = thread::spawn(move || ask(&asking, 1));
    stop(&sender);
    client.join().unwrap();
    server.join().unwrap();
}

/// As above, with two clients.
fn two_ask_against_stop() {
    let (sender, server) = start(3);
    let clients = [1, 2].map(|question| {
        let asking = sender.clone();
        thread::spawn(move || ask(&asking, question))
    });
    stop(&sender);
    for client in clients {
        client.join().unwrap();
    }
    server.join().unwrap();
}

/// The server goes without being told, as after a panic.
fn ask_against_drop() {
    let (sender, mailbox) = mailbox::<Message>(1).expect("a model has descriptors");
    let server = thread::spawn(move || drop(mailbox));
    ask(&sender, 1);
    server.join().unwrap();
}

/// Two clients, room for one: one may be refused because the mailbox is full.
fn two_ask_against_drop() {
    let (sender, mailbox) = mailbox::<Message>(1).expect("a model has descriptors");
    let other = sender.clone();
    let client = thread::spawn(move || ask(&other, 2));
    let server = thread::spawn(move || drop(mailbox));
    ask(&sender, 1);
    client.join().unwrap();
    server.join().unwrap();
}

#[test]
fn a_request_against_a_stop_is_answered_or_abandoned() {
    explore_bounded("shutdown: one client against stop (2 preemptions)", 2, ask_against_stop);
    explore_bounded("shutdown: two clients against stop (1 preemption)", 1, two_ask_against_stop);
}

#[test]
fn a_request_against_a_drop_is_refused_or_abandoned() {
    explore("shutdown: one client against drop", ask_against_drop);
    explore_bounded("shutdown: two clients against drop (2 preemptions)", 2, two_ask_against_drop);
}

#[test]
fn a_client_hangs_without_the_fence_of_the_closing_server() {
    assert_fails_without(Site::FenceBeforeDrain, "shutdown: ask against stop", HANGS, ask_against_stop);
    assert_fails_without(Site::FenceBeforeDrain, "shutdown: ask against drop", HANGS, ask_against_drop);
}

#[test]
fn either_side_hangs_without_the_fence_of_the_sender() {
    assert_fails_without(Site::FenceAfterPush, "shutdown: ask against drop", HANGS, ask_against_drop);
    assert_fails_without(Site::FenceAfterPush, "shutdown: ask against stop", HANGS, ask_against_stop);
}

#[test]
fn a_server_hangs_without_its_own_fence() {
    assert_fails_without(Site::FenceBeforeRecheck, "shutdown: ask against stop", HANGS, ask_against_stop);
}

#[test]
fn an_answer_is_torn_without_its_release() {
    assert_fails_without(Site::Answer, "shutdown: ask against stop", RACES, ask_against_stop);
}
