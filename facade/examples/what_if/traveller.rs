//! A small agent that plans a trip: what it decides next follows from what its run holds, and from nothing else.

use strata::{Database, Reads, RunHandle, RunSpec, TraceContent, Value, Writes, new_trace};

use crate::Result;

/// The document that the trip becomes.
pub(crate) const PLAN: &str = "plan";
/// The key with the euros that are left.
pub(crate) const LEFT: &str = "left";

/// Something that can be booked.
struct Offer {
    name: &'static str,
    price: i64,                                 // euros
    note: Option<(&'static str, &'static str)>, // what the run keeps of it, under a key of its own
    stars: i64,
}

/// Ways to travel, the fastest first.
const TRAVEL: [Offer; 2] = [
    Offer { name: "plane", price: 180, note: Some(("insurance", "covers a missed flight")), stars: 0 },
    Offer { name: "night train", price: 60, note: Some(("breakfast", "served at seven")), stars: 0 },
];

/// Places to sleep, the best first.
const STAYS: [Offer; 2] = [
    Offer { name: "harbour view", price: 160, note: None, stars: 5 },
    Offer { name: "hostel", price: 70, note: None, stars: 2 },
];

/// A run with a goal, 300 euros, and what was found out before anything is decided.
pub(crate) fn begin(database: &Database) -> Result<RunHandle> {
    let run = database.begin_run(RunSpec::named("trip-to-oslo"))?;
    let mut batch = run.batch();
    batch.put("goal", "one night in Oslo")?.put(LEFT, 300)?.cell_init("phase", "planning")?;
    batch.json_create(PLAN, Value::from([("city", Value::from("Oslo"))]))?;
    run.commit(batch)?;
    let content = TraceContent::Query {
        kind: "web".to_owned(),
        text: "ways to Oslo".to_owned(),
        result_count: Some(2),
    };
    let mut batch = run.batch();
    batch.trace_record(new_trace(content))?.append("searched", "two ways to Oslo")?;
    run.commit(batch)?;
    Ok(run)
}

/// Goes on with a run until its trip is planned. Of what there is to choose from it takes `wish` if that is among it, else the first
/// that it can pay.
pub(crate) fn go_on(run: &RunHandle, wish: &str) -> Result<()> {
    if run.json_get(PLAN, "/travel")?.is_none() {
        book(run, "how to travel", "/travel", &TRAVEL, wish)?;
    }
    if run.json_get(PLAN, "/stay")?.is_none() {
        book(run, "where to sleep", "/stay", &STAYS, wish)?;
    }
    run.cell_set("phase", "planned")?;
    Ok(())
}

/// Decides, and does what was decided, in one commit.
fn book(run: &RunHandle, question: &str, place: &str, offers: &[Offer], wish: &str) -> Result<()> {
    let left = run.get(LEFT)?.and_then(|found| found.value.as_int()).ok_or("nobody knows what is left")?;
    let is_wished = |offer: &&Offer| offer.name == wish;
    let can_be_paid = |offer: &&Offer| offer.price <= left;
    let offer = offers.iter().find(is_wished).or_else(|| offers.iter().find(can_be_paid));
    let Offer { name, price, note, stars } = offer.ok_or("nothing can be paid")?;
    let content = TraceContent::Decision {
        question: question.to_owned(),
        options: offers.iter().map(|offer| offer.name.into()).collect(),
        chosen: (*name).into(),
        reasoning: Some(format!("{left} euros are left, it takes {price}")),
    };
    let mut batch = run.batch();
    batch.trace_record(new_trace(content))?.json_set(PLAN, place, *name)?.increment(LEFT, -price)?;
    if *stars > 0 {
        batch.json_set(PLAN, "/stars", *stars)?;
    }
    if let Some((key, words)) = note {
        batch.put(key, *words)?;
    }
    batch.append("booked", format!("{name}, {price} euros"))?;
    run.commit(batch)?;
    Ok(())
}
