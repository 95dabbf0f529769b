use super::*;

/// One of each kind with everything that may be there, and its stored form.
fn full() -> Vec<(TraceContent, &'static str)> {
    vec![
        (
            TraceContent::ToolCall {
                name: "search".into(),
                arguments: Value::from([("q", "x".into())]),
                result: Some(Value::Int(1)),
                error: Some("late".into()),
            },
            r#"{"gen_ai.tool.name": "search", "gen_ai.tool.call.arguments": {"q": "x"}, "gen_ai.tool.call.result": 1, "error": "late"}"#,
        ),
        (
            TraceContent::Decision {
                question: "which".into(),
                options: vec![Value::Int(1), Value::Null],
                chosen: Value::Int(1),
                reasoning: Some("first".into()),
            },
            r#"{"question": "which", "options": [1, null], "chosen": 1, "reasoning": "first"}"#,
        ),
        (
            TraceContent::Query { kind: "vector".into(), text: "cats".into(), result_count: Some(3) },
            r#"{"query_kind": "vector", "gen_ai.retrieval.query.text": "cats", "result_count": 3}"#,
        ),
        (
            TraceContent::Thought { text: "hm".into(), confidence: Some(0.5) },
            r#"{"text": "hm", "confidence": 0.5}"#,
        ),
        (
            TraceContent::Error { kind: "timeout".into(), message: "30 s".into(), recoverable: true },
            r#"{"error.type": "timeout", "message": "30 s", "recoverable": true}"#,
        ),
        (
            TraceContent::Custom { kind: "handoff".into(), content: vec![Value::Null].into() },
            r#"{"content": [null]}"#,
        ),
    ]
}

/// The same with everything missing that may be.
fn sparse() -> Vec<TraceContent> {
    vec![
        TraceContent::ToolCall { name: "".into(), arguments: Value::Null, result: None, error: None },
        TraceContent::Decision { question: "".into(), options: vec![], chosen: Value::Null, reasoning: None },
        TraceContent::Query { kind: "".into(), text: "".into(), result_count: None },
        TraceContent::Thought { text: "".into(), confidence: None },
    ]
}

#[test]
fn every_content_has_the_members_that_are_documented() {
    for (content, golden) in full() {
        assert_eq!(content.to_value().to_string(), golden);
    }
}

#[test]
fn every_content_comes_back_from_its_value() {
    for content in full().into_iter().map(|(content, _)| content).chain(sparse()) {
        let back = TraceContent::from_value(content.kind(), content.to_value()).unwrap();
        assert_eq!(back, content);
        assert_eq!(format!("{back:?}"), format!("{content:?}"), "exact, not merely equal");
    }
}

#[test]
fn a_null_result_is_not_a_missing_one() {
    let call =
        |result| TraceContent::ToolCall { name: "t".into(), arguments: Value::Null, result, error: None };
    assert_ne!(call(None), call(Some(Value::Null)));
    let back = TraceContent::from_value("tool_call", call(Some(Value::Null)).to_value()).unwrap();
    assert_eq!(back, call(Some(Value::Null)));
}

#[test]
fn an_object_without_one_of_its_members_or_with_one_more_is_corrupt() {
    for (content, _) in full() {
        let members = content.to_value().as_object().unwrap().to_vec();
        for index in 0..members.len() {
            let mut damaged = members.clone();
            damaged[index].0 = "other".into();
            let error = TraceContent::from_value(content.kind(), Value::Object(damaged)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{content:?} without {:?}", members[index].0);
        }
        assert!(TraceContent::from_value(content.kind(), Value::Null).is_err());
    }
}

#[test]
fn a_member_of_another_form_is_corrupt() {
    let of_any_value = [TOOL_ARGUMENTS, TOOL_RESULT, CHOSEN, CONTENT];
    for (content, _) in full() {
        let members = content.to_value().as_object().unwrap().to_vec();
        for index in (0..members.len()).filter(|index| !of_any_value.contains(&members[*index].0.as_str())) {
            let mut damaged = members.clone();
            damaged[index].1 = Value::Bytes(vec![1]);
            let error = TraceContent::from_value(content.kind(), Value::Object(damaged)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().contains(&members[index].0), "{error}");
        }
    }
    let unsure = Value::from([(TEXT, "t".into()), (CONFIDENCE, f64::NAN.into())]);
    assert!(TraceContent::from_value(THOUGHT, unsure).is_err());
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let limits = Limits::default();
    assert!(full().iter().all(|(content, _)| content.check(&limits).is_ok()));
    let custom = |kind: &str| TraceContent::Custom { kind: kind.into(), content: Value::Null };
    let refused = [
        (custom(""), "the kind of trace is empty"),
        (custom("thought"), "\"thought\" is not a custom kind: it has a form of its own"),
        (custom("_strata/x"), "the kind of trace \"_strata/x\" begins with the reserved prefix \"_strata/\""),
        (
            TraceContent::Thought { text: "".into(), confidence: Some(f64::NAN) },
            "a confidence is a finite number, NaN was given",
        ),
        (
            TraceContent::Query { kind: "".into(), text: "".into(), result_count: Some(1 << 63) },
            "result_count is at most 9223372036854775807, 9223372036854775808 was given",
        ),
    ];
    for (content, message) in refused {
        let error = content.check(&limits).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, message));
    }
}
