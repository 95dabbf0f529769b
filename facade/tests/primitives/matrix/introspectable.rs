//! Invariant 6: everything is introspectable. Whether it is there, its version, and the space it takes. Its history
//! is not kept yet.

use strata::{EntityRef, Reads, Value, Writes};

use super::in_memory;
use super::rows::Row;

pub(crate) fn check<R: Row>(row: R) {
    let (_database, run) = in_memory();
    let stat = |number| run.stat(&row.entity(run.id(), number)).unwrap();
    let size = |number| stat(number).map_or(0, |stat| stat.value);
    assert_eq!(size(0), 0, "nothing takes no space");
    let created = row.create(&run, 0, text(100)).unwrap().unwrap();
    let found = stat(0).unwrap();
    assert_eq!((found.version, found.timestamp), (created.version, created.timestamp));
    let whole = || run.stat(&EntityRef::run(run.id())).unwrap().unwrap().value;
    if R::IS_THE_RUN {
        assert_eq!(size(0), run.info().unwrap().size, "of a run it is what it holds");
        run.put("key", text(100)).unwrap();
        assert_eq!(size(0), run.stat(&EntityRef::kv(run.id(), "key")).unwrap().unwrap().value);
        return;
    }
    assert!(size(0) > 100, "name and value: {}", size(0));
    row.create(&run, 1, text(1_000)).unwrap();
    assert!(size(1) > 1_000, "a larger thing takes more space: {}", size(1));
    assert_eq!(whole(), size(0) + size(1), "the space of a run is that of its things");
    assert_eq!(run.info().unwrap().size, whole());
    if let Some(evolved) = row.evolve(&run, 0, text(500)) {
        let evolved = evolved.unwrap().unwrap();
        assert!(size(0) > 500);
        assert_eq!(stat(0).unwrap().version, evolved.version);
        assert_eq!(whole(), size(0) + size(1));
    }
    if let Some(destroyed) = row.destroy(&run, 1) {
        destroyed.unwrap();
        assert_eq!((stat(1), whole()), (None, size(0)), "what is gone takes none");
    }
    let counts = row.counts(&run).unwrap();
    let info = run.info().unwrap();
    let known = [info.kv_count, info.event_count, info.cell_count, info.trace_count, info.document_count];
    assert_eq!(known.iter().sum::<u64>(), counts[0].value, "the run knows how many there are");
}

fn text(size: usize) -> Value {
    "x".repeat(size).into()
}
