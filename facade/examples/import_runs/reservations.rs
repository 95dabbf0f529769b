//! The documents that recorded tools read and change: what each call does to them, by its arguments and its answer.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json, json};
use strata::Value;

use crate::Result;
use crate::tool_calls::{Answer, ToolCall};
use crate::values::from_json;

/// The name of the run that holds every document as the file has it.
pub(crate) const WORLD: &str = "reservations";

/// All documents by their names, as they are before any run.
#[derive(Default)]
pub(crate) struct Reservations {
    pub json: Map<String, Json>,
    pub values: Vec<(String, Value)>,
    pub size: u64, // bytes of its JSON text
}

/// One write to the documents of a run.
pub(crate) enum Write {
    /// The run works on this document from now on: on a copy, because every run begins in the same world.
    Take { document: String },
    /// A new document.
    Create { document: String, value: Value },
    /// A JSON Patch.
    Patch { document: String, patch: Value },
}

/// What a tool changes of a reservation: members that its arguments tell, and members that only its answer does.
const CHANGES: [(&str, &[&str], &[&str]); 4] = [
    ("cancel_reservation", &[], &["status"]),
    ("update_reservation_flights", &[], &["flights"]),
    ("update_reservation_baggages", &["total_baggages", "nonfree_baggages"], &[]),
    ("update_reservation_passengers", &["passengers"], &[]),
];

/// Reads the documents of `file`: one object, a member for each.
pub(crate) fn read(file: &Path) -> Result<Reservations> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    let json: Json = serde_json::from_str(&text).map_err(|error| format!("{name} is not JSON: {error}"))?;
    let Json::Object(json) = json else {
        return Err(format!("{name} holds no object: a member for each reservation is expected").into());
    };
    let (mut values, mut size) = (Vec::with_capacity(json.len()), 0);
    for (document, reservation) in &json {
        let value = from_json(reservation).map_err(|reason| format!("{document} of {name}: {reason}"))?;
        values.push((document.clone(), value));
        size += reservation.to_string().len() as u64;
    }
    Ok(Reservations { json, values, size })
}

impl Reservations {
    /// Gives every call its writes, and returns the documents as the last answers of the run show them.
    pub(crate) fn follow(
        &self,
        calls: &mut [ToolCall],
    ) -> std::result::Result<BTreeMap<String, Json>, String> {
        let mut documents = BTreeMap::new();
        for call in calls {
            let (Answer::Result(answer), false) = (&call.answer, self.json.is_empty()) else { continue };
            let mut writes = Vec::new();
            let named = call.arguments.get("reservation_id").and_then(Json::as_str);
            if let Some((document, begins)) = named.and_then(|name| self.json.get_key_value(name))
                && !documents.contains_key(document)
            {
                documents.insert(document.clone(), begins.clone());
                writes.push(Write::Take { document: document.clone() });
            }
            if let Some((document, shown)) = shown_by(answer) {
                match documents.get(document) {
                    Some(before) => writes.extend(patch_of(call, before, shown, document)?),
                    None => {
                        writes.push(Write::Create { document: document.to_owned(), value: from_json(shown)? })
                    }
                }
                documents.insert(document.to_owned(), shown.clone());
            }
            call.writes = writes;
        }
        Ok(documents)
    }
}

/// The reservation that an answer shows.
fn shown_by(answer: &Json) -> Option<(&str, &Json)> {
    Some((answer.get("reservation_id")?.as_str()?, answer))
}

/// How a call changes a document, if it does: payments that were not there are new, the rest is told by its tool.
fn patch_of(
    call: &ToolCall,
    before: &Json,
    after: &Json,
    document: &str,
) -> std::result::Result<Option<Write>, String> {
    let Some((_, by_arguments, by_answer)) = CHANGES.iter().find(|(tool, ..)| *tool == call.name) else {
        return Ok(None);
    };
    let told = by_arguments.iter().map(|name| (name, call.arguments.get(name)));
    let shown = by_answer.iter().map(|name| (name, after.get(name)));
    let members = told.chain(shown).filter_map(|(name, value)| Some((format!("/{name}"), value?)));
    let payments = |json: &Json| json.get("payment_history").and_then(Json::as_array).cloned();
    let paid_before = payments(before).map_or(0, |payments| payments.len());
    let new = payments(after).unwrap_or_default().into_iter().skip(paid_before);
    let added = new.map(|payment| json!({"op": "add", "path": "/payment_history/-", "value": payment}));
    let patch: Vec<_> = members
        .map(|(path, value)| json!({"op": "add", "path": path, "value": value}))
        .chain(added)
        .collect();
    Ok(Some(Write::Patch { document: document.to_owned(), patch: from_json(&patch.into())? }))
}
