//! The example `what_if`, as a user starts it.

use crate::built::{example, succeed};

#[test]
fn a_run_that_decided_otherwise_in_a_fork_is_compared_merged_and_reverted() {
    let shown = succeed(&mut example("what_if"));
    for part in [
        "  commit 4    how to travel: \"plane\", 300 euros are left, it takes 180\n",
        "    the fork   forked at version 3: {\"city\": \"Oslo\", \"travel\": \"night train\", \"stay\": \"harbour view\"",
        "  key left           50 | 80\n",
        "  plan /travel       \"plane\" | \"night train\"\n",
        "  events             part at 1\n",
        "  key breakfast      changed by the fork: is taken over\n",
        "  key insurance      changed by the run: nothing to take over\n",
        "  key left           changed by both: a conflict\n",
        "  cell phase         changed by both: nothing to take over\n",
        "A merge finds 6 conflicts",
        "  key left           300: 50 | 80                       Open\n",
        "With strategies it is commit 7, which changes 5 things\n",
        "  plan /stars        -: 2 | 5                           Theirs\n",
        "  events             1..3 | 1..3                        Appended\n",
        "/stars is 5  because of commit 7 of the run\n  commit 8 ",
        "/stars is 2  because of commit 6 of the run\n  commit 7 ",
        "/stars is 5  because of commit 8 of the fork\n  commit 5 ",
        "  the run      at version 10: {\"city\": \"Oslo\", \"travel\": \"night train\"",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let behind =
        |heading: &str| shown.split_once(heading).unwrap().1.lines().skip(1).take(4).collect::<Vec<_>>();
    let reverted = behind("\nReverted to version 6");
    assert!(reverted[0].ends_with("50 euros left"), "{shown}");
    assert_eq!(reverted[2], "  breakfast    is not there", "{shown}");
    assert_eq!(reverted[3], "  5 events, 5 traces", "what happened stays: {shown}");
    assert_eq!(succeed(&mut example("what_if")), shown, "the same each time");
}
