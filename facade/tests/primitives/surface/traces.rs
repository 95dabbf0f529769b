//! Traces, on any surface.

use strata::{
    Direction, EntityRef, ErrorKind, NewTrace, Reads, Timestamp, TraceContent, TraceEnd, TraceFilter,
    TraceId, TracePage, Value, Writes,
};

use super::NOW;

pub(crate) fn id(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16])
}

pub(crate) fn thought(number: u8, parent: Option<u8>) -> NewTrace {
    let content = TraceContent::Thought { text: format!("thought {number}"), confidence: None };
    NewTrace { parent: parent.map(id), ..NewTrace::new(id(number), content) }
}

pub(crate) fn call(number: u8) -> NewTrace {
    let (name, arguments) = ("search".into(), Value::Int(1));
    let content = TraceContent::ToolCall { name, arguments, result: None, error: None };
    NewTrace { tags: vec!["slow".into()], ..NewTrace::new(id(number), content) }
}

fn ids(page: &TracePage) -> Vec<TraceId> {
    page.traces.iter().map(|trace| trace.id).collect()
}

pub(crate) fn suite<W: Writes>(run: &W) {
    let entity = EntityRef::trace(run.run_id(), id(1));
    assert_eq!(run.trace_get(id(1)).unwrap(), None);
    assert_eq!(run.trace_begin(call(1)).unwrap().0, id(1));
    assert_eq!(run.trace_record(thought(2, Some(1))).unwrap().0, id(2));
    run.trace_record(thought(3, Some(2))).unwrap();
    run.trace_record(thought(4, None)).unwrap();
    let taken = run.trace_record(thought(1, None)).err().unwrap();
    assert_eq!((taken.kind(), taken.entity()), (ErrorKind::AlreadyExists, Some(&entity)));
    assert_eq!(run.trace_record(thought(9, Some(8))).err().unwrap().kind(), ErrorKind::NotFound);

    let open = TraceFilter { is_open: Some(true), ..TraceFilter::default() };
    assert_eq!(ids(&list(run, &open)), [id(1)]);
    run.trace_end(id(1), TraceEnd { result: Some("found".into()), ..TraceEnd::default() }).unwrap();
    let again = run.trace_end(id(1), TraceEnd::default()).err().unwrap();
    assert_eq!((again.kind(), again.entity()), (ErrorKind::InvalidArgument, Some(&entity)));
    assert_eq!(run.trace_end(id(9), TraceEnd::default()).err().unwrap().kind(), ErrorKind::NotFound);

    let trace = run.trace_get(id(1)).unwrap().unwrap();
    assert_eq!((trace.ended, trace.tags), (Some(Timestamp(NOW)), vec!["slow".to_owned()]));
    let TraceContent::ToolCall { result, .. } = trace.content else { panic!("it is a call") };
    assert_eq!(result, Some("found".into()));
    expect_found(run);
    assert!(run.stat(&entity).unwrap().unwrap().value > 0);
}

fn list(run: &impl Reads, filter: &TraceFilter) -> TracePage {
    run.trace_list(filter, None, 9, Direction::Forward).unwrap()
}

fn expect_found(run: &impl Reads) {
    let any = TraceFilter::default;
    assert_eq!(ids(&list(run, &any())), [id(1), id(2), id(3), id(4)]);
    assert_eq!(ids(&list(run, &TraceFilter { is_open: Some(true), ..any() })), []);
    assert_eq!(ids(&list(run, &TraceFilter { tag: Some("slow".into()), ..any() })), [id(1)]);
    assert_eq!(
        ids(&list(run, &TraceFilter { kind: Some("thought".into()), ..any() })),
        [id(2), id(3), id(4)]
    );
    assert_eq!(ids(&list(run, &TraceFilter { from: Some(Timestamp(NOW + 1)), ..any() })), []);
    let page = run.trace_list(&any(), None, 3, Direction::Reverse).unwrap();
    assert_eq!(ids(&page), [id(4), id(3), id(2)]);
    let page = run.trace_list(&any(), page.next, 3, Direction::Reverse).unwrap();
    assert_eq!((ids(&page), page.next), (vec![id(1)], None));
    assert_eq!(ids(&run.trace_children(id(1), None, 9).unwrap()), [id(2)]);
    let tree = run.trace_tree(id(1), 9).unwrap();
    let nodes: Vec<_> = tree.nodes.iter().map(|(depth, trace)| (*depth, trace.id)).collect();
    assert_eq!((nodes, tree.is_cut), (vec![(0, id(1)), (1, id(2)), (2, id(3))], false));
    assert!(run.trace_tree(id(1), 2).unwrap().is_cut);
    assert!(run.trace_tree(id(9), 2).unwrap().nodes.is_empty());
    let counts = [None, Some("thought"), Some("error")].map(|kind| run.trace_count(kind).unwrap().value);
    assert_eq!(counts, [4, 3, 0]);
}
