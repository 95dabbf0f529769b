use super::*;
use crate::new_trace::NewTrace;
use crate::version::Version;

fn id(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16])
}

fn call() -> NewTrace {
    let content =
        TraceContent::ToolCall { name: "t".into(), arguments: Value::Int(1), result: None, error: None };
    NewTrace::new(id(1), content)
}

fn span() -> Trace {
    call().into_span(Timestamp(5), &Limits::default()).unwrap()
}

fn full() -> Trace {
    let new = NewTrace {
        parent: Some(id(2)),
        tags: vec!["a".into(), "bc".into()],
        metadata: Value::Bool(true),
        usage: Usage { model: Some("m".into()), input_tokens: Some(3), output_tokens: None },
        began: Some(Timestamp(5)),
        duration: Some(Duration::from_micros(2)),
        ..call()
    };
    new.into_record(Timestamp(100), &Limits::default()).unwrap()
}

fn encoded(trace: &Trace) -> Vec<u8> {
    let mut bytes = Vec::new();
    trace.encode(&mut bytes);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

#[test]
fn the_bytes_of_a_trace_never_change() {
    let call = [&text("gen_ai.tool.name")[..], &[5], &text("t")].concat();
    let arguments = [&text("gen_ai.tool.call.arguments")[..], &[3, 1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let model = [&text("gen_ai.request.model")[..], &[5], &text("m")].concat();
    let tokens = [&text("gen_ai.usage.input_tokens")[..], &[3, 3, 0, 0, 0, 0, 0, 0, 0]].concat();
    let metadata = [&text("metadata")[..], &[2]].concat();
    let small_body = [&[8, 2, 0, 0, 0][..], &call, &arguments].concat();
    let full_body = [&[8, 5, 0, 0, 0][..], &call, &arguments, &model, &tokens, &metadata].concat();
    let small = [
        &[1; 16][..],
        &[0],
        &text("tool_call"),
        &[0, 0, 0, 0],
        &(small_body.len() as u32).to_le_bytes(),
        &small_body,
        &[5, 0, 0, 0, 0, 0, 0, 0],
        &[0],
    ];
    let full_size = [
        &[1; 16][..],
        &[1],
        &[2; 16],
        &text("tool_call"),
        &[2, 0, 0, 0],
        &text("a"),
        &text("bc"),
        &(full_body.len() as u32).to_le_bytes(),
        &full_body,
        &[5, 0, 0, 0, 0, 0, 0, 0],
        &[1, 7, 0, 0, 0, 0, 0, 0, 0],
    ];
    for (trace, golden) in [(span(), small.concat()), (full(), full_size.concat())] {
        assert_eq!(encoded(&trace), golden);
        assert_eq!(trace.encoded_size(), golden.len());
        let mut input = &golden[..];
        assert_eq!(Trace::decode(&mut input).unwrap(), trace);
        assert!(input.is_empty());
    }
}

#[test]
fn a_trace_cut_anywhere_is_refused() {
    for trace in [span(), full()] {
        let bytes = encoded(&trace);
        for cut in 0..bytes.len() {
            let error = Trace::decode(&mut &bytes[..cut]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "cut at {cut}: {error}");
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_or_read_as_another_trace_and_never_panics() {
    for trace in [span(), full()] {
        let bytes = encoded(&trace);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let Ok(other) = Trace::decode(&mut &damaged[..]) else { continue };
            assert_ne!(other, trace);
            let _ = (other.content(), other.usage(), other.metadata(), other.duration());
            let end = other.end(TraceEnd::default(), Timestamp(9), &Limits::default());
            assert!(
                end.is_ok()
                    || matches!(end.unwrap_err().kind(), ErrorKind::InvalidArgument | ErrorKind::Corrupt)
            );
        }
    }
}

#[test]
fn the_parts_of_a_body_come_back() {
    let trace = full();
    assert_eq!(trace.content().unwrap(), call().content);
    let usage = Usage { model: Some("m".into()), input_tokens: Some(3), output_tokens: None };
    assert_eq!(trace.usage().unwrap(), usage);
    assert_eq!(trace.metadata().unwrap(), Value::Bool(true));
    assert_eq!(span().metadata().unwrap(), Value::Null);
}

#[test]
fn a_body_that_was_not_stored_is_corrupt() {
    for body in [Encoded::from_int(1), Encoded::from_canonical(&[]), Encoded::from_canonical(&[8, 1])] {
        let trace = Trace { body, ..full() };
        assert_eq!(trace.content().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(trace.usage().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(trace.metadata().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let of_another_kind = Trace { kind: "thought".into(), ..full() };
    assert_eq!(of_another_kind.content().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_span_is_open_until_it_ends() {
    let span = span();
    assert!(span.is_open() && span.duration().is_none());
    let end = TraceEnd { result: Some(Value::Int(9)), input_tokens: Some(4), ..TraceEnd::default() };
    let (ended, body) = span.end(end, Timestamp(12), &Limits::default()).unwrap();
    let stamp = Stamp { version: Version(3), timestamp: Timestamp(12) };
    let closed = span.with_end(ended, body, stamp);
    assert_eq!((closed.duration(), closed.stamp), (Some(Duration::from_micros(7)), stamp));
    assert_eq!((closed.id, closed.began, closed.recorded), (span.id, span.began, span.recorded));
    assert_eq!(closed.usage().unwrap().input_tokens, Some(4));
    assert!(matches!(
        closed.content().unwrap(),
        TraceContent::ToolCall { result: Some(Value::Int(9)), error: None, .. }
    ));
}

#[test]
fn a_trace_ends_only_once() {
    let error = full().end(TraceEnd::default(), Timestamp(9), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        error.message(),
        "the trace 01010101-0101-0101-0101-010101010101 has ended at 7, and ends only once"
    );
}

#[test]
fn a_span_that_begins_in_the_future_takes_no_time() {
    let new = NewTrace { began: Some(Timestamp(50)), ..call() };
    let span = new.into_span(Timestamp(5), &Limits::default()).unwrap();
    let (ended, _) = span.end(TraceEnd::default(), Timestamp(12), &Limits::default()).unwrap();
    assert_eq!(ended, Timestamp(50));
}

#[test]
fn an_end_may_not_make_a_trace_too_large() {
    let limits = Limits { value_size_max: 100, ..Limits::default() };
    let end = TraceEnd { result: Some("r".repeat(90).into()), ..TraceEnd::default() };
    assert!(end.check(&limits).is_ok(), "by itself it is small enough");
    let error = span().end(end, Timestamp(9), &limits).unwrap_err();
    assert!(error.message().starts_with("trace: value_size_max is 100 bytes, the value has "), "{error}");
}
