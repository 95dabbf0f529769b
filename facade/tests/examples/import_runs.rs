//! The example `import_runs`, as a user starts it, on a small recording of tools that change documents.

use std::path::{Path, PathBuf};

use crate::built::{example, fail, succeed};

#[test]
fn tool_calls_are_imported_as_traces_and_change_the_documents_of_their_run() {
    let place = tempfile::tempdir().unwrap();
    let (runs, reservations) = desk(place.path(), r#"[{"first_name": "Ada"}]"#);
    let output = succeed(example("import_runs").arg(&runs).arg("--reservations").arg(&reservations));
    for line in ["traces             7   one for each tool call, 1 of them failed", "changes            7"] {
        assert!(output.contains(line), "{line:?} is not in\n{output}");
    }
    assert_eq!(output.matches("16 equal messages, 7 traces, 6 documents").count(), 6, "{output}");
    let output = succeed(example("import_runs").arg(&runs));
    assert_eq!(output.matches("16 equal messages, 7 traces, 0 documents").count(), 6, "{output}");
}

#[test]
fn an_import_notices_a_document_that_is_not_as_the_recording_shows_it() {
    let place = tempfile::tempdir().unwrap();
    let (runs, reservations) = desk(place.path(), r#"[{"first_name": "Bob"}]"#);
    let error = fail(1, example("import_runs").arg(&runs).arg("--reservations").arg(&reservations));
    assert!(error.contains("document R1 is {") && error.contains("the file says {"), "{error}");
}

/// A recording of two runs at a desk, with the reservations they change. The last call puts these passengers in, and
/// is answered with Ada.
fn desk(folder: &Path, passengers: &str) -> (PathBuf, PathBuf) {
    let reservation = |id: &str, flights: &str, paid: &str, bags: u8, rest: &str| {
        format!(
            r#"{{"reservation_id": "{id}", "flights": {flights}, "passengers": [{{"first_name": "Ada"}}],
            "payment_history": [{paid}], "total_baggages": {bags}, "nonfree_baggages": 0{rest}}}"#
        )
    };
    let first = reservation("R1", r#"["F1"]"#, r#"{"amount": 5}"#, 1, "");
    let second = reservation("R2", r#"["F9"]"#, "", 0, "");
    let flown = reservation("R1", r#"["F2", "F3"]"#, r#"{"amount": 5}, {"amount": 2.5}"#, 1, "");
    let packed = reservation("R1", r#"["F2", "F3"]"#, r#"{"amount": 5}, {"amount": 2.5}"#, 3, "");
    let cancelled =
        reservation("R2", r#"["F9"]"#, r#"{"amount": -1}, {"amount": -2}"#, 0, r#", "status": "cancelled""#);
    let booked = reservation("NEW", "[]", "", 0, "");
    let call = |id: u8, tool: &str, arguments: &str, answer: &str| {
        let (arguments, answer) = (serde_json::json!(arguments), serde_json::json!(answer));
        format!(
            r#"{{"role": "assistant", "content": null, "tool_calls": [{{"id": "{id}", "type": "function",
            "function": {{"name": "{tool}", "arguments": {arguments}}}}}]}},
            {{"role": "tool", "tool_call_id": "{id}", "name": "{tool}", "content": {answer}}}"#
        )
    };
    let one = r#"{"reservation_id": "R1"}"#;
    let bags = r#"{"reservation_id": "R1", "total_baggages": 3, "nonfree_baggages": 0}"#;
    let names = format!(r#"{{"reservation_id": "R1", "passengers": {passengers}}}"#);
    let at_work = [
        call(1, "get_reservation_details", one, &first),
        call(2, "update_reservation_flights", one, "Error: not enough seats on flight F2"),
        call(2, "update_reservation_flights", one, &flown),
        call(3, "update_reservation_baggages", bags, &packed),
        call(4, "update_reservation_passengers", &names, &packed),
    ];
    let other = [
        call(1, "cancel_reservation", r#"{"reservation_id": "R2"}"#, &cancelled),
        call(2, "book_reservation", "{}", &booked),
    ];
    let run = |messages: &[String]| {
        format!(r#"{{"traj": [{{"role": "user", "content": "hello"}}, {}]}}"#, messages.join(", "))
    };
    let (runs, reservations) = (folder.join("runs.json"), folder.join("reservations.json"));
    std::fs::write(&runs, format!("[{}, {}]", run(&at_work), run(&other))).unwrap();
    std::fs::write(&reservations, format!(r#"{{"R1": {first}, "R2": {second}, "R3": {{}}}}"#)).unwrap();
    (runs, reservations)
}
