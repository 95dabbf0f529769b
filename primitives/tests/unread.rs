//! Large values that are left where an image has them: the run is the same, and takes no memory for them.
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use strata_primitives::*;
use support::{Driver, encoded, run_id};

fn text(name: &str) -> Encoded {
    encoded(format!("{name}:").repeat(LARGE_VALUE_SIZE / name.len()))
}

fn trace(number: u8, name: &str) -> Box<NewTrace> {
    let content = TraceContent::Thought { text: name.repeat(LARGE_VALUE_SIZE), confidence: None };
    Box::new(NewTrace::new(TraceId::from_bytes([number; 16]), content))
}

/// A run with large and small values of every primitive.
fn filled() -> Driver {
    let mut driver = Driver::created();
    for (name, value) in [("large", text("value")), ("small", encoded("value"))] {
        let (key, deadline): (Key, _) = (name.into(), Deadline::None);
        driver.write(Operation::KvPut { key: key.clone(), value: value.clone(), deadline });
        driver.write(Operation::CellSet { name: key.clone(), value: value.clone(), deadline });
        driver.write(Operation::EventAppend { kind: key, payload: value, salt: [7; 16] });
    }
    driver.write(Operation::TraceRecord { trace: trace(1, "t") });
    driver.write(Operation::TraceBegin { trace: trace(2, "s") });
    driver
}

/// The slices of an image of it.
fn image_of(state: &mut RunState) -> Vec<Arc<Vec<u8>>> {
    let (snapshot, mut walk, mut slices) = (state.open_snapshot(), ImageWalk::new(), Vec::new());
    while !walk.is_done() {
        let mut slice = ImageSlice::new();
        walk.write(&state.view_at(&snapshot).unwrap(), 10_000, &mut slice);
        let size = slice.len();
        let bytes = slice.into_bytes().unwrap();
        assert_eq!(bytes.len(), size, "a slice is as large as it says before it is read");
        slices.push(Arc::new(bytes));
    }
    state.close_snapshot(snapshot);
    slices
}

/// The run of an image, without its large values; each read of one is counted.
fn left_by(image: &[Arc<Vec<u8>>], reads: &Arc<AtomicUsize>) -> RunState {
    let mut load = ImageLoad::new(run_id(), 3);
    for slice in image {
        let leave = |range: std::ops::Range<usize>| {
            let (slice, reads) = (Arc::clone(slice), Arc::clone(reads));
            let read = ReadValue::new(move || {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok(Encoded::from_canonical(&slice[range.clone()]))
            });
            Some(read)
        };
        load.take_leaving(slice, leave).unwrap();
    }
    load.finish().unwrap()
}

#[test]
fn what_is_left_in_an_image_is_the_same_run_and_the_same_image_again() {
    let mut whole = filled().state;
    let (image, reads) = (image_of(&mut whole), Arc::default());
    let left = left_by(&image, &reads);
    assert_eq!(reads.load(Ordering::Relaxed), 0, "nothing is read that nobody asked for");
    assert_eq!(left.summary(), whole.summary());
    // A key, a cell, an event and a trace; the body of an open span is needed when that ends.
    assert!(left.elsewhere() > 4 * (LARGE_VALUE_SIZE - 300), "{}", left.elsewhere());
    assert!(whole.memory() - left.memory() >= left.elsewhere(), "{} and {}", whole.memory(), left.memory());
    let mut driver = Driver { state: left, ..Driver::missing() };
    let chain = driver.read(Operation::EventVerifyChain);
    assert!(
        matches!(chain, Outcome::Chain(report) if report.valid),
        "events are verified by what is known of them"
    );
    let mut left = driver.state;
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    assert_eq!(image_of(&mut left), image);
    assert_eq!(reads.load(Ordering::Relaxed), 4);
    assert!(left.same_state(&whole));
}

#[test]
fn another_value_that_lies_there_is_refused_whatever_its_size() {
    let mut whole = filled().state;
    let image = image_of(&mut whole);
    let other: Vec<_> = image
        .iter()
        .map(|slice| {
            let mut slice = slice.to_vec();
            let places = slice.windows(6).enumerate().filter(|(_, part)| *part == b"value:");
            let places: Vec<usize> = places.map(|(place, _)| place).collect();
            places.into_iter().for_each(|place| slice[place] = b'V');
            Arc::new(slice)
        })
        .collect();
    let mut load = ImageLoad::new(run_id(), 3);
    for (slice, other) in image.iter().zip(&other) {
        let leave = |range: std::ops::Range<usize>| {
            let other = Arc::clone(other);
            Some(ReadValue::new(move || Ok(Encoded::from_canonical(&other[range.clone()]))))
        };
        load.take_leaving(slice, leave).unwrap();
    }
    let mut driver = Driver { state: load.finish().unwrap(), ..Driver::missing() };
    let Outcome::Value(Some(found)) = driver.read(Operation::KvGet { key: "large".into() }) else {
        panic!("it is there")
    };
    assert_eq!(found.value.to_value().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn who_has_a_value_reads_it_where_it_has_moved() {
    let reads = Arc::new(AtomicUsize::new(0));
    let image = image_of(&mut filled().state);
    let (mut load, mut all) = (ImageLoad::new(run_id(), 3), Vec::new());
    for slice in &image {
        let leave = |range: std::ops::Range<usize>| {
            let read = ReadValue::new(|| panic!("nothing is there any more"));
            all.push((read.downgrade(), Arc::clone(slice), range));
            Some(read)
        };
        load.take_leaving(slice, leave).unwrap();
    }
    let left = load.finish().unwrap();
    let shared = left.share();
    for (read, slice, range) in all {
        let reads = Arc::clone(&reads);
        read.upgrade().expect("others have it").replace(move || {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(Encoded::from_canonical(&slice[range.clone()]))
        });
    }
    for state in [left, shared] {
        let mut driver = Driver { state, ..Driver::missing() };
        let found = driver.read(Operation::EventRead { sequence: 0 });
        let Outcome::Event(Some(event)) = found else { panic!("it is there") };
        assert_eq!(event.payload, text("value"));
    }
    assert!(reads.load(Ordering::Relaxed) >= 2);
}

#[test]
fn what_goes_is_not_counted_as_elsewhere_any_more() {
    let mut whole = filled().state;
    let image = image_of(&mut whole);
    let mut driver = Driver::missing();
    driver.state = left_by(&image, &Arc::default());
    let before = driver.state.elsewhere();
    driver.write(Operation::KvDelete { key: "large".into() });
    driver.write(Operation::CellSet { name: "large".into(), value: encoded(1), deadline: Deadline::None });
    let after = driver.state.elsewhere();
    assert!(before - after > 2 * (LARGE_VALUE_SIZE - 300) && after > 0, "{before}, then {after}");
}
