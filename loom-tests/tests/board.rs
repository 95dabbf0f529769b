//! The board: a change is marked before it is answered, so that nobody who was told of it reads what was before.
#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::thread;
use strata_loom_tests::{assert_fails, explore};
use strata_runtime::{Board, Publication, ReplyPool, Responder};

/// The thing that is changed, and another one that is not.
const CHANGED: u64 = 1 << 51;
const UNCHANGED: u64 = 2 << 51;

/// Publishes `shown`.
fn publish<T>(board: &Board<T>, shown: T) -> Arc<Publication<T>> {
    let publication = Arc::new(Publication::new(shown, 0));
    board.publish(Arc::clone(&publication));
    publication
}

/// What a look at the changed thing tells a reader: what is shown, or that he has to ask.
fn look(board: &Board<u32>) -> Option<u32> {
    board.read(|seen| (!seen.is_marked(CHANGED)).then(|| *seen.shown())).flatten()
}

/// Changes the thing, which publications show as 1, and answers.
fn change(publication: &Publication<u32>, reply: Responder<()>) {
    publication.mark(CHANGED);
    reply.send(());
}

/// The same in the wrong order.
fn change_too_late(publication: &Publication<u32>, reply: Responder<()>) {
    reply.send(());
    publication.mark(CHANGED);
}

fn a_change(change: fn(&Publication<u32>, Responder<()>)) {
    let board = Board::new();
    let publication = publish(&board, 1);
    let pool = ReplyPool::new();
    let (pending, reply) = pool.request();
    let owner = thread::spawn(move || change(&publication, reply));
    pool.wait(pending).unwrap();
    assert_eq!(look(&board), None, "who was told of the change asks");
    assert_eq!(board.read(|seen| seen.is_marked(UNCHANGED)), Some(false));
    owner.join().unwrap();
}

/// Who was told reads what he was told or something newer, whatever is published meanwhile.
#[test]
fn who_was_told_of_a_change_does_not_read_what_was_before() {
    explore("a change", || a_change(change));
    assert_fails("a change that is answered before it is marked", "who was told of the change asks", || {
        loom::model(|| a_change(change_too_late));
    });
}

/// The owner changes the thing, publishes it as 2, and changes it once more.
fn two_changes(
    board: &Board<u32>,
    first: Responder<()>,
    second: Responder<()>,
    change: fn(&Publication<u32>, Responder<()>),
) {
    let publication = publish(board, 1);
    change(&publication, first);
    let publication = publish(board, 2);
    change(&publication, second);
}

fn a_publication_between_changes(change: fn(&Publication<u32>, Responder<()>)) {
    let board = Arc::new(Board::new());
    let pool = ReplyPool::new();
    let (first, first_reply) = pool.request();
    let (second, second_reply) = pool.request();
    let owner = {
        let board = Arc::clone(&board);
        thread::spawn(move || two_changes(&board, first_reply, second_reply, change))
    };
    pool.wait(first).unwrap();
    assert_ne!(look(&board), Some(1), "told of the first change");
    pool.wait(second).unwrap();
    assert_eq!(look(&board), None, "told of the second change");
    owner.join().unwrap();
}

#[test]
fn a_new_publication_has_all_that_was_told_before() {
    explore("a publication between changes", || a_publication_between_changes(change));
    assert_fails("changes that are answered before they are marked", "told of the", || {
        loom::model(|| a_publication_between_changes(change_too_late));
    });
}

/// Another thread that was told by a reader sees at least as much as that one did.
#[test]
fn who_is_told_by_a_reader_reads_nothing_older() {
    explore("a reader who tells", || {
        let board = Arc::new(Board::new());
        publish(&board, 1);
        let owner = {
            let board = Arc::clone(&board);
            thread::spawn(move || drop(publish(&board, 2)))
        };
        let pool = ReplyPool::new();
        let (pending, reply) = pool.request();
        let reader = {
            let board = Arc::clone(&board);
            thread::spawn(move || reply.send(look(&board)))
        };
        let told = pool.wait(pending).unwrap();
        assert!(look(&board) >= told, "told of {told:?}");
        owner.join().unwrap();
        reader.join().unwrap();
    });
}

/// What the owner finds to be his alone behind a withdrawal is nobody else's afterwards.
#[test]
fn what_is_withdrawn_is_known_to_whoever_still_holds_it() {
    explore("a withdrawal", || {
        let board = Arc::new(Board::new());
        let shown = Arc::new(1);
        let publication = publish(&board, Arc::clone(&shown));
        let reader = {
            let board = Arc::clone(&board);
            thread::spawn(move || board.read(|seen: &Publication<Arc<u32>>| Arc::clone(seen.shown())))
        };
        board.withdraw();
        drop(publication);
        let is_own = Arc::strong_count(&shown) == 1;
        let held = reader.join().unwrap();
        assert!(!(is_own && held.is_some()), "a reader has it who was not counted");
    });
}
