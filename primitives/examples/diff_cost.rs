//! What it costs to find what differs: `cargo run --release -p strata-primitives --example diff_cost`.
//!
//! A run of a million keys against what it shared before some of them were changed; against the same run with nothing shared;
//! and what sharing it at a snapshot costs.
use std::hint::black_box;
use std::time::Instant;
use strata_primitives::diff::diff;
use strata_primitives::{
    Encoded, ImageLoad, ImageSlice, ImageWalk, Limits, Mutation, Operation, RunId, RunState, Stamp,
    Timestamp, Version, validate,
};

const KEYS: usize = 1_000_000;

fn main() {
    let mut run = filled();
    for changed in [0, 1, 1_000, 10_000, 100_000] {
        let before = run.share();
        let snapshot = run.open_snapshot();
        let value = run.version().0 as i64;
        commit(&mut run, (0..changed).map(|index| put((index * 7_919) % KEYS, value)).collect());
        measure(&format!("{changed} changed, shared"), || {
            let page = diff(&before, &run, None, usize::MAX).expect("all is in memory");
            assert_eq!(page.differences.len(), changed);
        });
        measure(&format!("{changed} changed, a page of 100"), || {
            let page = diff(&before, &run, None, 100).expect("all is in memory");
            assert_eq!(page.differences.len(), changed.min(100));
        });
        measure(&format!("{changed} changed, share at the snapshot"), || {
            drop(black_box(run.share_at(&snapshot)));
        });
        run.close_snapshot(snapshot);
        while run.forget_past(1 << 20) {}
    }
    let before = run.share();
    commit(&mut run, (0..1_000).map(|index| put(KEYS + index, 1)).collect());
    measure("1000 added, shared", || {
        assert_eq!(diff(&before, &run, None, usize::MAX).expect("all is in memory").differences.len(), 1_000);
    });
    let unshared = loaded(&run);
    measure("1000 added, nothing shared", || {
        let page = diff(&before, &unshared, None, usize::MAX).expect("all is in memory");
        assert_eq!(page.differences.len(), 1_000);
    });
}

fn put(index: usize, value: i64) -> Mutation {
    let (key, value) = (format!("key/{index:08}").into(), Encoded::from_int(value));
    Mutation::KvPut { key, value, deadline: None, previous: Version::NEVER }
}

fn commit(run: &mut RunState, mutations: Vec<Mutation>) {
    let stamp = Stamp { version: run.version().next(), timestamp: Timestamp(run.version().0 + 1_000) };
    mutations.into_iter().for_each(|mutation| drop(run.apply(mutation, stamp)));
    run.commit(stamp);
}

fn filled() -> RunState {
    let mut run = RunState::new(RunId::from_bytes([7; 16]), 1);
    let context = strata_primitives::Context { now: Timestamp(1), boot: 1 };
    let mut draft = strata_primitives::Draft::new(run.view());
    let create = Operation::RunCreate { spec: Box::default() };
    validate(create, &mut draft, &context, &Limits::default()).expect("a run is created");
    let creation = draft.into_mutations();
    commit(&mut run, creation);
    commit(&mut run, (0..KEYS).map(|index| put(index, -1)).collect());
    run
}

/// The same run, made of its image.
fn loaded(run: &RunState) -> RunState {
    let (mut walk, mut slice) = (ImageWalk::new(), ImageSlice::new());
    walk.write(&run.view(), usize::MAX, &mut slice);
    let mut load = ImageLoad::new(run.id(), 2);
    load.take(&slice.into_bytes().expect("all is in memory")).expect("an image that was just written");
    load.finish().expect("it is whole")
}

/// Prints the median of several rounds.
fn measure(what: &str, mut round: impl FnMut()) {
    let mut times: Vec<_> = (0..25)
        .map(|_| {
            let began = Instant::now();
            round();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("{what:40} {:10.3} ms, {:.3} to {:.3}", ms(times[12]), ms(times[0]), ms(times[24]));
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
