//! What a fork says of the memory it takes beside the run that it began as, against what is allocated for it.
//!
//! One test alone in its process, because the counter sees every thread.

#[path = "../../runtime/tests/counting/mod.rs"]
mod counting;
mod support;

use counting::live_bytes;
use strata_primitives::*;
use support::transaction::begin;
use support::{Driver, append, encoded, trace_id};

const SPANS: u64 = 2_000;

fn text(letter: &str) -> Operation {
    Operation::EventAppend { kind: "text".into(), payload: encoded(letter.repeat(1_000)), salt: [7; 16] }
}

/// A run with spans that have not ended, and with events.
fn run() -> Driver {
    let mut run = Driver::created();
    run.batch((0..SPANS).map(|number| begin("s", number, None)).collect()).unwrap();
    for number in 0..SPANS {
        run.write(append("step", number as i64));
        run.write(text("x"));
    }
    run
}

fn fork(run: &Driver) -> Driver {
    let point = ForkPoint { run: run.state.id(), version: run.state.version() };
    let meta = RunMeta { forked_from: Some(point), ..run.state.meta().unwrap().clone() };
    let mut fork = Driver { state: run.state.fork(RunId::from_bytes([2; 16])), ..Driver::missing() };
    let stamp = Stamp { version: fork.state.version().next(), timestamp: fork.state.timestamp() };
    let _ = fork.state.apply(Mutation::RunFork { point, meta: Box::new(meta) }, stamp);
    fork.state.commit(stamp);
    fork
}

/// Ends all the spans, with results that are larger than they.
fn end(fork: &mut Driver) {
    for number in 0..SPANS {
        let end = TraceEnd { result: Some("x".repeat(1_000).into()), ..TraceEnd::default() };
        fork.write(Operation::TraceEnd { id: trace_id(number), end: Box::new(end) });
    }
}

/// Removes all spans that it began with: it keeps its own alone.
fn remove(fork: &mut Driver) {
    let keep = Operation::RunSetTraceRetention { retention: Some(Retention::KeepLast(1_000)) };
    let own = (0..1_000).map(|number| begin("own", SPANS + number, None));
    fork.batch([keep].into_iter().chain(own).collect()).unwrap();
    assert!(fork.try_one(Operation::TraceGet { id: trace_id(SPANS - 1) }).is_err());
}

type Change = fn(&mut Driver);

const CHANGES: [(&str, Change); 5] = [
    ("ends what it began with", end),
    ("removes what it began with", remove),
    ("ends and removes what it began with", |fork| {
        end(fork);
        remove(fork);
    }),
    ("adds to what was erased of what it began with", |fork| {
        for sequence in 0..SPANS * 2 {
            let (from, through, by) = (Version(1), fork.state.version(), Version(u64::MAX));
            let entity = EntityRef::event(support::run_id(), sequence);
            let erasure = Erasure { entity, from, through, by, event_hash: None, reason: "asked for".into() };
            drop(fork.state.redact(&erasure));
        }
        for number in 0..SPANS {
            fork.write(text("y"));
            fork.write(append("step", number as i64));
        }
    }),
    ("adds to what it began with", |fork| {
        for number in 0..SPANS {
            fork.write(begin("own", SPANS + number, None));
        }
    }),
];

#[test]
fn a_fork_says_what_it_takes_beside_what_it_shares() {
    let run = run();
    for (what, change) in CHANGES {
        let before = live_bytes();
        let mut fork = fork(&run);
        change(&mut fork);
        let (taken, said) = ((live_bytes() - before) as f64, fork.state.memory() as f64);
        let ratio = said / taken;
        println!("{what:36} {taken:12.0} taken, {said:12.0} said, {ratio:.2}");
        assert!((0.7..1.7).contains(&ratio), "{what}: {taken} bytes are taken, {said} are said");
    }
    what_it_takes_back_counts_no_longer(fork(&run));
}

fn what_it_takes_back_counts_no_longer(mut fork: Driver) {
    let before = fork.state.memory();
    let stamp = Stamp { version: fork.state.version().next(), timestamp: fork.state.timestamp() };
    let ends = (0..SPANS / 2).map(|number| Mutation::TraceEnd {
        id: trace_id(number),
        ended: stamp.timestamp,
        body: encoded("x".repeat(1_000)),
        previous: Version(2),
    });
    let removals = [10, SPANS * 3 / 4].map(|before| Mutation::TraceTrim { before });
    let replaced: Vec<_> = ends.chain(removals).map(|mutation| fork.state.apply(mutation, stamp)).collect();
    assert!(fork.state.memory() > before);
    replaced.into_iter().rev().for_each(|replaced| fork.state.revert(replaced));
    // Copies of what finds traces by their ids stay, but none of the traces.
    let kept = fork.state.memory() - before;
    assert!(kept <= SPANS as usize * 100, "{kept} bytes more than before");
}
