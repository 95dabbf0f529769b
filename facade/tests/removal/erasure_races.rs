//! What is erased at the wrong moment of something else is gone all the same, and costs nothing else.

use std::path::Path;
use std::sync::Arc;

use strata::{Compaction, Durability, EntityRef, ErasedVersions, Options, Reads, RunSpec, Value, Writes};
use strata_wal::sim::SimDisk;

use crate::support::hooked::{Hooks, open_hooked};
use crate::support::{open_on, options};

/// The options of a store that keeps all, and makes a checkpoint when it is told.
fn calm() -> Options {
    Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) }
}

/// A file that an image is written to, under whatever name.
fn is_image(path: &Path) -> bool {
    path.to_string_lossy().contains("SNAPSHOTS/")
}

/// What was erased while the image of its run was written is in some slices of that and not in others, and the directory told how
/// much it had been. So the image was taken for damaged, and the run was lost where the one before was written in the same way.
#[test]
fn a_run_that_is_erased_while_its_images_are_written_is_loaded_from_them() {
    let (disk, hooks) = (SimDisk::new(1), Hooks::default());
    let database = open_hooked(&disk, &hooks, calm());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let key = |number: usize| format!("key/{number:04}");
    // Many slices: the writer takes no more of them before all is erased.
    for number in 0..400 {
        run.put(&key(number), format!("secret-{number:04}-") + &"x".repeat(20_000)).unwrap();
    }
    for image in 0..2 {
        let (weak, id) = (Arc::downgrade(&database), run.id());
        let erase = move || {
            let run = weak.upgrade().unwrap().run(id);
            for number in (image..400).step_by(2) {
                let entity = EntityRef::kv(id, key(number).as_str());
                run.erase(&entity, ErasedVersions::All, "because").unwrap().unwrap();
            }
        };
        hooks.before(is_image, erase);
        drop(database.checkpoint().unwrap());
    }
    let disk = disk.kill();
    let database = open_on(&disk, calm()).unwrap();
    for number in 0..400 {
        let found = database.run(run.id()).get(&key(number)).unwrap().unwrap();
        assert_eq!(found.value, Value::Erased, "{number}");
    }
    database.compact(Compaction::Full).unwrap();
    for file in disk.files() {
        assert!(!disk.bytes(&file).windows(7).any(|part| part == b"secret-"), "{}", file.display());
    }
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}
