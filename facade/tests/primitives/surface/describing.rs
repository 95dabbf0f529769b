//! The run itself, on any surface.

use strata::{EntityRef, ErrorKind, OperationId, Retention, RunId, RunStatus, Value, Writes};

pub(crate) fn suite<W: Writes>(run: &W) {
    assert!(run.set_tags(["red", "blue", "red"]).unwrap().is_some());
    assert!(run.set_metadata(Value::from([("task", 7.into())])).unwrap().is_some());
    assert!(run.set_retention(Retention::KeepLast(9)).unwrap().is_some());
    assert_eq!(run.info().unwrap().retention, Some(Retention::KeepLast(9)));
    assert!(run.set_retention(None).unwrap().is_some());
    assert_eq!(run.info().unwrap().retention, None);
    assert!(run.set_event_retention(Retention::KeepLast(9)).unwrap().is_some());
    assert_eq!(run.info().unwrap().event_retention, Some(Retention::KeepLast(9)));
    let nothing = run.set_event_retention(Retention::KeepLast(0)).err().unwrap();
    assert_eq!(nothing.kind(), ErrorKind::InvalidArgument);
    assert!(run.set_event_retention(None).unwrap().is_some());
    assert!(run.set_trace_retention(Retention::KeepLast(8)).unwrap().is_some());
    assert_eq!(run.info().unwrap().trace_retention, Some(Retention::KeepLast(8)));
    let nothing = run.set_trace_retention(Retention::KeepLast(0)).err().unwrap();
    assert_eq!(nothing.kind(), ErrorKind::InvalidArgument);
    assert!(run.set_trace_retention(None).unwrap().is_some());
    let nothing = run.set_retention(Retention::KeepLast(0)).err().unwrap();
    assert_eq!(nothing.kind(), ErrorKind::InvalidArgument);
    run.put("key", 1).unwrap();
    run.append("step", 1).unwrap();
    run.cell_set("cell", 1).unwrap();
    run.json_create("document", 1).unwrap();
    let info = run.info().unwrap();
    assert_eq!((info.id, info.name.as_deref()), (run.run_id(), Some("run")));
    assert_eq!(
        (info.tags, info.metadata),
        (vec!["red".into(), "blue".into()], Value::from([("task", 7.into())]))
    );
    let counts = [info.kv_count, info.event_count, info.cell_count, info.document_count, info.trace_count];
    assert_eq!(counts, [1, 1, 1, 1, 0]);
    assert_eq!(run.stat(&EntityRef::run(run.run_id())).unwrap().unwrap().value, info.size);
    let of_another = EntityRef::kv(RunId::from_bytes([9; 16]), "key");
    assert_eq!(run.stat(&of_another).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(run.receipt(OperationId([9; 16])).unwrap(), None);

    let status = || run.info().unwrap().status;
    assert!(run.resume().unwrap().is_none(), "it is active, and begun in this boot");
    assert!(run.update_status(RunStatus::Paused).unwrap().is_some());
    assert!(run.update_status(RunStatus::Paused).unwrap().is_none());
    assert_eq!(status(), RunStatus::Paused);
    let closed = run.increment("key", 1).err().unwrap();
    assert_eq!((closed.kind(), closed.entity()), (ErrorKind::RunClosed, Some(&EntityRef::run(run.run_id()))));
    assert!(run.set_tags(["paused"]).unwrap().is_some(), "tags are allowed on all");
    assert!(run.resume().unwrap().is_some());
    assert_eq!(run.end(RunStatus::Paused).err().unwrap().kind(), ErrorKind::InvalidArgument);
    assert!(run.end(RunStatus::Completed).unwrap().is_some());
    assert_eq!(run.resume().err().unwrap().kind(), ErrorKind::RunClosed);
    assert!(run.archive().unwrap().is_some());
    assert_eq!(status(), RunStatus::Archived);
    assert_eq!(run.delete("key").err().unwrap().kind(), ErrorKind::RunClosed);
}
