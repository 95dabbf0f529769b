//! Exports and imports at the wrong moment of something else.

mod support;

use std::sync::Arc;

use strata::{Durability, ErrorKind, Options, Retention, RunSpec, Writes};
use support::hooked::{Hooks, open_hooked};
use support::options;
use support::versions::{disk, file};

fn calm() -> Options {
    Options {
        retention: Retention::KeepAll,
        checkpoint_log_size: 1 << 30,
        ..options(Durability::Buffered, 1)
    }
}

#[test]
fn a_run_that_is_deleted_while_it_is_exported_is_not_there() {
    let (disk, hooks) = (disk(2), Hooks::default());
    let from = open_hooked(&disk, &hooks, calm());
    let run = from.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    let (weak, id) = (Arc::downgrade(&from), run.id());
    hooks.before(
        |path| path.to_string_lossy().contains("SNAPSHOTS/"),
        move || {
            weak.upgrade().unwrap().run(id).delete_run().unwrap();
        },
    );
    let refused = run.export(file("run.arc"));
    assert_eq!(refused.map(drop).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!disk.files().contains(&file("run.arc")));
}
