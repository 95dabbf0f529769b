//! The example `trials`, as a user starts it, on four small trials of one task and one of another.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::built::{example, fail, succeed};

#[test]
fn trials_of_a_task_are_forks_from_the_step_at_which_they_part() {
    let place = tempfile::tempdir().unwrap();
    let shown = succeed(example("trials").arg(trials(place.path())));
    for line in [
        "Task 7: 4 trials, 2 of them solved it; 10 steps, 5 of them written",
        "  trial 0          failed  3 steps",
        "    trial 1        solved  3 steps, the first 2 as trial 0",
        "      trial 2      solved  3 steps, the first 3 as trial 1",
        "    trial 3        failed  1 step, none as trial 0",
        "0 and 1 part at step 2   book, other arguments                                 R1 at 1 place",
        "0 and 2 part at step 2   book, other arguments                                 R1 at 1 place",
        "0 and 3 part at step 0   find | ask                                            R1 only in 0",
        "1 and 2 part at step 3   the end | the end",
        "trial 2 solved it, trial 0 did not",
        "R1 /price: 90 | 70",
        "Task 8: 1 trial, 0 of them solved it; 0 steps, 0 of them written",
        "tasks            2   6 pairs of trials compared",
        "trials           5   3 of them forks",
        "steps           10   5 of them written, 50 % shared",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
}

#[test]
fn trials_compared_by_words_part_at_the_first_that_is_another() {
    let place = tempfile::tempdir().unwrap();
    let shown = succeed(example("trials").arg(trials(place.path())).args(["--words", "--tasks", "1"]));
    for line in [
        "    trial 1        solved  8 steps, the first 5 as trial 0",
        "0 and 1 part at step 5   message.assistant, other words                        R1 at 1 place",
        "1 and 2 part at step 7   message.user, other words",
        "... and 1 task; --tasks all shows them",
        "steps           30   17 of them written",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    assert!(!shown.contains("Task 8"), "{shown}");
}

#[test]
fn trials_without_a_task_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("trials.json");
    std::fs::write(&file, r#"[{"traj": []}]"#).unwrap();
    assert!(fail(1, example("trials").arg(&file)).contains("run 0000 has no `task_id`"));
    assert!(
        fail(2, example("trials").arg(&file).args(["--tasks", "few"])).contains("\"few\" is not a number")
    );
}

fn trials(folder: &Path) -> PathBuf {
    let call = |id: u8, tool: &str, arguments: &str, answer: &str| {
        let function = json!({"name": tool, "arguments": arguments});
        let asked = json!({"id": id.to_string(), "type": "function", "function": function});
        [
            json!({"role": "assistant", "content": null, "tool_calls": [asked]}),
            json!({"role": "tool", "tool_call_id": id.to_string(), "content": answer}),
        ]
    };
    let said = |words: &str| json!({"role": "user", "content": words});
    let book = |price: u8| {
        call(
            3,
            "book",
            &json!({"price": price}).to_string(),
            &json!({"reservation_id": "R1", "price": price}).to_string(),
        )
    };
    let begun =
        [call(1, "find", r#"{"to": "SEA"}"#, "two flights"), call(2, "think", r#"{"of": "the price"}"#, "")];
    let trial = |task: u8, trial: u8, reward: f64, calls: &[[serde_json::Value; 2]], words: &str| {
        let traj: Vec<_> = [said("hello")].into_iter().chain(calls.concat()).chain([said(words)]).collect();
        json!({"task_id": task, "trial": trial, "reward": reward, "traj": traj})
    };
    let booked = |price| [&begun[..], &[book(price)]].concat();
    let all = json!([
        trial(7, 0, 0.0, &booked(90), "too much"),
        trial(7, 1, 1.0, &booked(70), "thanks"),
        trial(8, 0, 0.0, &[], "bye"),
        trial(7, 2, 1.0, &booked(70), "thank you"),
        trial(7, 3, 0.0, &[call(1, "ask", "{}", "whom?")], "bye"),
    ]);
    let file = folder.join("trials.json");
    std::fs::write(&file, all.to_string()).unwrap();
    file
}
