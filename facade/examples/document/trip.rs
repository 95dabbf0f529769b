//! The document: a trip with a stay for each thread, and a sum that all of them share.

use strata::{Reads, Value};

use crate::Result;

/// The name of the document.
pub(crate) const TRIP: &str = "trip";
/// The place that all threads write.
pub(crate) const SPENT: &str = "/spent";

const CITIES: [&str; 4] = ["Oslo", "Bergen", "Bodø", "Tromsø"];

/// A trip that nobody has planned yet.
pub(crate) fn trip(stays: u64) -> Value {
    let stay = |number: u64| {
        let city = CITIES[number as usize % CITIES.len()];
        Value::from([("city", city.into()), ("nights", 0.into())])
    };
    Value::from([
        ("traveller", "an agent".into()),
        ("stays", (0..stays).map(stay).collect::<Vec<_>>().into()),
        ("spent", 0.into()),
    ])
}

/// The place of a stay's nights.
pub(crate) fn nights_of(stay: u64) -> String {
    format!("/stays/{stay}/nights")
}

/// The number at a place of the document.
pub(crate) fn number(run: &impl Reads, path: &str) -> Result<i64> {
    let found = run.json_get(TRIP, path)?;
    Ok(found.and_then(|found| found.value.as_int()).ok_or(format!("there is no number at {path}"))?)
}

/// A JSON Patch that replaces a number, if it still is the one read before.
pub(crate) fn raise(path: &str, from: i64) -> Value {
    let operation = |op: &str, value: i64| {
        Value::from([("op", op.into()), ("path", path.into()), ("value", value.into())])
    };
    Value::Array(vec![operation("test", from), operation("replace", from + 1)])
}
