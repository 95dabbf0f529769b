//! Threads that call at the same time.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::placement::{Placement, stay_on};

/// Runs `body` on a thread of its own, where the first client of `placement` runs.
///
/// A store opened by the caller is not confined by it, and neither is what the caller does next.
pub fn alone<T: Send>(placement: &Placement, body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            stay_on(&[placement.client(0)]);
            body()
        });
        client.join().expect("a client does not panic")
    })
}

/// Where the clients of one measurement run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seats<'a> {
    /// Each on one CPU of the placement, in turn.
    Apart(&'a Placement),
    /// Wherever the kernel puts them.
    Anywhere,
}

/// Runs `body` once for each state, all at the same time. Returns the time from the first start to
/// the last end; threads are started before that.
pub fn together<S: Send>(
    seats: Seats<'_>,
    states: &mut [S],
    body: impl Fn(usize, &mut S) + Sync,
) -> Duration {
    let barrier = Barrier::new(states.len());
    let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let clients: Vec<_> = states
            .iter_mut()
            .enumerate()
            .map(|(index, state)| {
                let (barrier, body) = (&barrier, &body);
                scope.spawn(move || {
                    if let Seats::Apart(placement) = seats {
                        stay_on(&[placement.client(index)]);
                    }
                    barrier.wait();
                    let start = Instant::now();
                    body(index, state);
                    (start, Instant::now())
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let start = spans.iter().map(|(start, _)| *start).min();
    let end = spans.iter().map(|(_, end)| *end).max();
    start.zip(end).map_or(Duration::ZERO, |(start, end)| end - start)
}

/// Every client calls, waits for the answer and calls again until `length` is over, wherever the
/// kernel puts it. `call` is told how many calls its client has made. Returns calls a second of all.
pub fn closed_loops<S: Send>(length: Duration, states: &mut [S], call: impl Fn(&mut S, usize) + Sync) -> f64 {
    let mut clients: Vec<(&mut S, usize)> = states.iter_mut().map(|state| (state, 0)).collect();
    let elapsed = together(Seats::Anywhere, &mut clients, |_, (state, count)| {
        let start = Instant::now();
        while start.elapsed() < length {
            call(state, *count);
            *count += 1;
        }
    });
    let count: usize = clients.iter().map(|(_, count)| count).sum();
    count as f64 / elapsed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::allowed_cpus;

    #[test]
    fn every_client_works_on_its_own_state() {
        let mut states = vec![0; 4];
        let elapsed = together(Seats::Anywhere, &mut states, |index, state| *state = index + 1);
        assert_eq!(states, [1, 2, 3, 4]);
        assert!(elapsed > Duration::ZERO);
    }

    #[test]
    fn a_closed_loop_counts_the_calls_of_all_clients() {
        let mut states = vec![0; 2];
        let rate = closed_loops(Duration::from_millis(10), &mut states, |state, index| {
            assert_eq!(*state, index);
            *state += 1;
        });
        assert!(states.iter().all(|&calls| calls > 0));
        assert!(rate >= 200.0);
    }

    #[test]
    fn a_client_on_a_seat_leaves_the_caller_where_it_was() {
        let before = allowed_cpus();
        let placement = Placement::apart();
        assert_eq!(alone(&placement, allowed_cpus).len(), 1);
        assert_eq!(allowed_cpus(), before);
    }
}
