//! What reading and changing a JSON document costs: `cargo run --release -p strata-primitives --example json_cost`.
use std::hint::black_box;
use std::time::Instant;
use strata_primitives::json::{Terms, set};
use strata_primitives::{Document, Encoded, EntityRef, JsonWrite, Limits, Pointer, RunId, Stamp, Value};

const ROUNDS: u32 = 20_000;

fn main() {
    let note = Value::from([("text", "x".repeat(60).into()), ("score", 0.5.into()), ("seen", 3i64.into())]);
    let notes = |count: usize| Value::Array(vec![note.clone(); count]);
    let members = |count: usize| {
        Value::Object((0..count).map(|index| (format!("member-{index}"), Value::Int(7))).collect())
    };
    let usual = Value::from([("notes", notes(40)), ("plan", members(12)), ("state", "open".into())]);
    measure("5 KB, item of an array of 40", &usual, "/notes/20/score");
    measure("5 KB, member of an object of 12", &usual, "/plan/member-6");
    measure("5 KB, member of the root", &usual, "/state");
    for count in [8, 16, 32, 33, 64, 128, 1_000, 100_000] {
        measure(&format!("object of {count} ints"), &members(count), &format!("/member-{}", count / 2));
        let items = Value::Array(vec![Value::Int(7); count]);
        measure(&format!("array of {count} ints"), &items, &format!("/{}", count / 2));
    }
}

fn measure(what: &str, value: &Value, path: &str) {
    let (limits, stamp) = (Limits::default(), Stamp::default());
    let encode = |value: &Value| {
        Encoded::from_value(value, &limits, || EntityRef::kv(RunId::from_bytes([0; 16]), "k"))
            .expect("a small value")
    };
    let encoded = encode(value);
    let document = Document::from_encoded(&encoded, stamp).expect("a value just encoded");
    let (path, one) = (Pointer::parse(path, 256).expect("a pointer"), encode(&Value::Int(1)));
    let write = JsonWrite::Set { path: path.clone(), value: one.clone() };
    let terms = Terms { stamp, limits: &limits };
    let whole_rounds = (20_000_000 / encoded.len().max(1000)) as u32;

    let mut alone = document.clone();
    alone.apply(&write, stamp);
    println!(
        "{what:33} {:8} bytes | build {:9.2} us, get all {:8.2} us | get {:.2} us, region {:.2} us, \
         decide under a clone {:.2} us, apply under a clone {:.2} us, apply alone {:.2} us",
        encoded.len(),
        micros(whole_rounds, || drop(black_box(Document::from_encoded(&encoded, stamp)))),
        micros(whole_rounds, || drop(black_box(document.get(&Pointer::root())))),
        micros(ROUNDS, || drop(black_box(document.get(&path)))),
        micros(ROUNDS, || _ = black_box(document.region(&path))),
        micros(ROUNDS, || drop(black_box(set(&document, &path, one.clone(), terms)))),
        micros(ROUNDS, || document.clone().apply(black_box(&write), stamp)),
        micros(ROUNDS, || alone.apply(black_box(&write), stamp)),
    );
}

fn micros(rounds: u32, mut action: impl FnMut()) -> f64 {
    let rounds = rounds.max(1);
    (0..rounds / 10).for_each(|_| action());
    let start = Instant::now();
    (0..rounds).for_each(|_| action());
    start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}
