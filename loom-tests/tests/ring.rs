//! The ring under a mailbox: every message accepted comes out once, whole and in its producer's order.
#![cfg(loom)]
#![forbid(unsafe_code)]

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use strata_loom_tests::{LOOKS_FOR_EVER, RACES, assert_fails_without, explore, explore_bounded};
use strata_runtime::ring::{Consumer, Producer, ring};
use strata_runtime::sync::Site;

/// Pushes these numbers until one is refused; tells how many were accepted.
fn push_until_full(producer: &Producer<usize>, mut numbers: RangeInclusive<usize>) -> usize {
    let count = numbers.clone().count();
    let refused = numbers.position(|number| producer.push(number).is_err());
    refused.unwrap_or(count)
}

/// Looks `look_count` times and returns what was found.
fn look(consumer: &Consumer<usize>, look_count: usize) -> Vec<usize> {
    (0..look_count).filter_map(|_| consumer.pop()).collect()
}

/// Everything that is left.
fn take_all(consumer: &Consumer<usize>) -> impl Iterator<Item = usize> {
    std::iter::from_fn(|| consumer.pop())
}

fn one_producer() {
    let (producer, consumer) = ring(2);
    let thread = thread::spawn(move || assert_eq!(push_until_full(&producer, 1..=2), 2));
    let mut found = look(&consumer, 3);
    thread.join().unwrap();
    found.extend(take_all(&consumer));
    assert_eq!(found, [1, 2]);
    assert!(consumer.is_empty());
}

fn two_producers() {
    let (producer, consumer) = ring(2);
    let threads = [1, 2].map(|number| {
        let producer = producer.clone();
        thread::spawn(move || producer.push(number).expect("there is room for both"))
    });
    let mut found = look(&consumer, 2);
    for thread in threads {
        thread.join().unwrap();
    }
    found.extend(take_all(&consumer));
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
}

/// Two want the one place: whoever is refused has its message back, and the other's comes out.
fn two_producers_of_a_full_ring() {
    let (producer, consumer) = ring(1);
    let threads = [1, 2].map(|number| {
        let producer = producer.clone();
        thread::spawn(move || producer.push(number))
    });
    let mut found = look(&consumer, 1);
    for thread in threads {
        if let Err(refused) = thread.join().unwrap() {
            found.push(refused);
        }
    }
    found.extend(take_all(&consumer));
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
}

/// The ring is full; the next message goes where the consumer takes the first one out, or is refused.
fn a_place_used_again() {
    let (producer, consumer) = ring(2);
    assert_eq!(push_until_full(&producer, 1..=2), 2);
    let thread = thread::spawn(move || producer.push(3).is_ok());
    let mut found = look(&consumer, 1);
    let is_accepted = thread.join().unwrap();
    found.extend(take_all(&consumer));
    assert_eq!(found, if is_accepted { vec![1, 2, 3] } else { vec![1, 2] });
}

/// Room for one, in two places: the third message goes where the first one was.
fn twice_around() {
    let (producer, consumer) = ring(1);
    assert_eq!(push_until_full(&producer, 1..=1), 1);
    let thread = thread::spawn(move || push_until_full(&producer, 2..=3));
    let mut found = look(&consumer, 2);
    let accepted_count = thread.join().unwrap();
    found.extend(take_all(&consumer));
    assert_eq!(found, (1..=1 + accepted_count).collect::<Vec<_>>());
}

/// A value that tells how often it was dropped.
struct Counted(std::sync::Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The consumer goes with messages in the ring, and others on their way.
fn dropped_with_messages() {
    let drop_count = std::sync::Arc::new(AtomicUsize::new(0));
    let (producer, consumer) = ring(2);
    let counted = drop_count.clone();
    let thread = thread::spawn(move || {
        for _ in 0..3 {
            drop(producer.push(Counted(counted.clone())));
        }
    });
    drop(consumer.pop());
    drop(consumer);
    thread.join().unwrap();
    assert_eq!(drop_count.load(Ordering::SeqCst), 3);
}

#[test]
fn messages_of_one_producer_come_out_in_order() {
    explore("ring: one producer", one_producer);
}

#[test]
fn messages_of_two_producers_all_come_out() {
    explore_bounded("ring: two producers (3 preemptions)", 3, two_producers);
}

#[test]
fn a_full_ring_gives_the_message_back() {
    explore_bounded("ring: two producers, room for one (3 preemptions)", 3, two_producers_of_a_full_ring);
}

#[test]
fn a_place_is_used_again_only_when_it_is_empty() {
    explore("ring: a place used again", a_place_used_again);
    explore("ring: twice around", twice_around);
}

#[test]
fn messages_that_nobody_takes_are_dropped_once() {
    explore("ring: dropped with messages", dropped_with_messages);
}

#[test]
fn a_message_is_torn_without_the_release_of_its_producer() {
    assert_fails_without(Site::Publish, "ring: one producer", RACES, one_producer);
    assert_fails_without(Site::Publish, "ring: dropped with messages", RACES, dropped_with_messages);
}

#[test]
fn a_message_is_torn_without_the_acquire_of_the_consumer() {
    assert_fails_without(Site::Receive, "ring: one producer", RACES, one_producer);
    assert_fails_without(Site::Receive, "ring: two producers", RACES, two_producers);
    assert_fails_without(Site::Receive, "ring: dropped with messages", RACES, dropped_with_messages);
}

/// Who finds that another producer was faster reads the tail again, and has seen it move only because of this release.
#[test]
fn a_producer_looks_for_ever_without_the_release_of_the_other() {
    assert_fails_without(Site::Publish, "ring: two producers", LOOKS_FOR_EVER, two_producers);
}

#[test]
fn a_message_is_overwritten_without_the_release_of_the_consumer() {
    assert_fails_without(Site::Open, "ring: a place used again", RACES, a_place_used_again);
    assert_fails_without(Site::Open, "ring: twice around", RACES, twice_around);
}

#[test]
fn a_message_is_overwritten_without_the_acquire_of_the_producer() {
    assert_fails_without(Site::Claim, "ring: a place used again", RACES, a_place_used_again);
    assert_fails_without(Site::Claim, "ring: twice around", RACES, twice_around);
}
