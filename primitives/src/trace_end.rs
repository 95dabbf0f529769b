//! How a step that took a while came out.
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::members::check_count;
use crate::trace_content::TraceContent;
use crate::usage::Usage;
use crate::value::Value;

const RESULT: &str = "result";
const ERROR: &str = "error";

/// What the end of a span adds to it. What is `None` leaves the span as it was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceEnd {
    /// What came out of it.
    pub result: Option<Value>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Tokens the model was given.
    pub input_tokens: Option<u64>,
    /// Tokens it answered with.
    pub output_tokens: Option<u64>,
}

impl TraceEnd {
    /// Refuses what no span could take; whether this one can is found out by [`fold_into`](Self::fold_into).
    ///
    /// # Errors
    /// `InvalidArgument` naming the limit and the given size.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        check_count("input_tokens", self.input_tokens)?;
        check_count("output_tokens", self.output_tokens)?;
        if let Some(result) = &self.result {
            Encoded::within(result, limits).map_err(|error| error.with_context("result"))?;
        }
        let size = self.error.as_ref().map_or(0, String::len);
        limits.check_size("value_size_max", limits.value_size_max, size, "error")
    }

    /// Adds this end to what a span was begun with.
    ///
    /// A tool call takes both. A query takes its result count, an int, as the result. A custom content that is an
    /// object, or null, takes them as its members `result` and `error`. Tokens are taken by every kind.
    ///
    /// # Errors
    /// `InvalidArgument` when there is a result or an error and the content has no place for it: a decision, a
    /// thought and an error are complete when they are recorded. Nothing is changed then.
    pub fn fold_into(self, content: &mut TraceContent, usage: &mut Usage) -> Result<(), Error> {
        let Self { result, error, input_tokens, output_tokens } = self;
        match content {
            TraceContent::ToolCall { result: held, error: held_error, .. } => {
                replace(held, result);
                replace(held_error, error);
            }
            TraceContent::Query { result_count, .. } => {
                refuse("query", ERROR, error.is_some())?;
                replace(result_count, result.map(result_count_of).transpose()?);
            }
            TraceContent::Custom { kind, content } => {
                if result.is_some() || error.is_some() {
                    let members = members_of(kind, content)?;
                    set(members, RESULT, result);
                    set(members, ERROR, error.map(Value::String));
                }
            }
            TraceContent::Decision { .. }
            | TraceContent::Thought { .. }
            | TraceContent::Error { .. }
            | TraceContent::Erased { .. } => {
                refuse(content.kind(), RESULT, result.is_some())?;
                refuse(content.kind(), ERROR, error.is_some())?;
            }
        }
        replace(&mut usage.input_tokens, input_tokens);
        replace(&mut usage.output_tokens, output_tokens);
        Ok(())
    }
}

fn replace<T>(held: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *held = given;
    }
}

fn refuse(kind: &str, what: &str, is_given: bool) -> Result<(), Error> {
    if !is_given {
        return Ok(());
    }
    Err(invalid(format!("a trace of kind {kind:?} ends without {what}: record it as a trace below this one")))
}

fn result_count_of(result: Value) -> Result<u64, Error> {
    let count = result.as_int().and_then(|count| u64::try_from(count).ok());
    count.ok_or_else(|| {
        let found = result.as_int().map_or(result.kind().to_owned(), |count| count.to_string());
        invalid(format!("the result of a query is the count of what it found, {found} was given"))
    })
}

/// The members of a custom content, which may still be null.
fn members_of<'a>(kind: &str, content: &'a mut Value) -> Result<&'a mut Vec<(String, Value)>, Error> {
    if content.is_null() {
        *content = Value::Object(Vec::new());
    }
    let found = content.kind();
    match content {
        Value::Object(members) => Ok(members),
        _ => Err(invalid(format!(
            "a trace of kind {kind:?} takes its result or error into an object, its content is {found}"
        ))),
    }
}

fn set(members: &mut Vec<(String, Value)>, name: &str, value: Option<Value>) {
    let Some(value) = value else { return };
    match members.iter_mut().find(|(key, _)| key == name) {
        Some((_, held)) => *held = value,
        None => members.push((name.to_owned(), value)),
    }
}

#[cold]
fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool_call(result: Option<Value>, error: Option<&str>) -> TraceContent {
        let error = error.map(str::to_owned);
        TraceContent::ToolCall { name: "t".into(), arguments: Value::Null, result, error }
    }

    fn query(result_count: Option<u64>) -> TraceContent {
        TraceContent::Query { kind: "sql".into(), text: "q".into(), result_count }
    }

    fn custom(content: Value) -> TraceContent {
        TraceContent::Custom { kind: "chat".into(), content }
    }

    fn result(value: impl Into<Value>) -> TraceEnd {
        TraceEnd { result: Some(value.into()), ..TraceEnd::default() }
    }

    fn error(text: &str) -> TraceEnd {
        TraceEnd { error: Some(text.into()), ..TraceEnd::default() }
    }

    fn folded(end: TraceEnd, mut content: TraceContent) -> Result<TraceContent, Error> {
        let before = content.clone();
        match end.fold_into(&mut content, &mut Usage::default()) {
            Ok(()) => Ok(content),
            Err(error) => {
                assert_eq!(content, before, "a refused end changes nothing");
                assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                Err(error)
            }
        }
    }

    #[test]
    fn a_tool_call_takes_a_result_and_an_error() {
        let begun = || tool_call(None, None);
        assert_eq!(folded(result(1), begun()).unwrap(), tool_call(Some(Value::Int(1)), None));
        assert_eq!(folded(error("late"), begun()).unwrap(), tool_call(None, Some("late")));
        let held = tool_call(Some(Value::Int(1)), None);
        assert_eq!(folded(TraceEnd::default(), held.clone()).unwrap(), held);
        assert_eq!(folded(error("late"), held).unwrap(), tool_call(Some(Value::Int(1)), Some("late")));
    }

    #[test]
    fn a_query_takes_the_count_of_its_results() {
        assert_eq!(folded(result(3), query(None)).unwrap(), query(Some(3)));
        assert_eq!(folded(TraceEnd::default(), query(Some(1))).unwrap(), query(Some(1)));
        for (end, found) in [(result(-1), "-1"), (result("3"), "string")] {
            let message = format!("the result of a query is the count of what it found, {found} was given");
            assert_eq!(folded(end, query(None)).unwrap_err().message(), message);
        }
        assert!(folded(error("late"), query(None)).is_err());
    }

    #[test]
    fn a_custom_object_takes_them_as_members() {
        let both = TraceEnd { result: Some(Value::Int(1)), error: Some("e".into()), ..TraceEnd::default() };
        let expected = Value::from([("result", Value::Int(1)), ("error", "e".into())]);
        assert_eq!(folded(both, custom(Value::Null)).unwrap(), custom(expected));
        let begun = custom(Value::from([("result", Value::Null), ("a", Value::Null)]));
        let expected = Value::from([("result", Value::Int(2)), ("a", Value::Null)]);
        assert_eq!(folded(result(2), begun).unwrap(), custom(expected));
        assert_eq!(folded(TraceEnd::default(), custom(Value::Null)).unwrap(), custom(Value::Null));
        assert_eq!(
            folded(result(2), custom(Value::Int(1))).unwrap_err().message(),
            "a trace of kind \"chat\" takes its result or error into an object, its content is int"
        );
    }

    #[test]
    fn what_is_complete_when_recorded_ends_without_a_result() {
        let thought = TraceContent::Thought { text: "t".into(), confidence: None };
        assert_eq!(folded(TraceEnd::default(), thought.clone()).unwrap(), thought);
        assert_eq!(
            folded(result(1), thought.clone()).unwrap_err().message(),
            "a trace of kind \"thought\" ends without result: record it as a trace below this one"
        );
        assert!(folded(error("e"), thought).is_err());
    }

    #[test]
    fn tokens_known_at_the_end_replace_those_known_before() {
        let mut usage = Usage { model: Some("m".into()), input_tokens: Some(1), output_tokens: None };
        let end = TraceEnd { output_tokens: Some(2), ..TraceEnd::default() };
        end.fold_into(&mut tool_call(None, None), &mut usage).unwrap();
        let expected = Usage { model: Some("m".into()), input_tokens: Some(1), output_tokens: Some(2) };
        assert_eq!(usage, expected);
    }

    #[test]
    fn an_end_too_large_for_any_span_is_refused() {
        let limits = Limits { value_size_max: 4, ..Limits::default() };
        assert!(result("1234").check(&limits).is_ok());
        assert_eq!(
            result("12345").check(&limits).unwrap_err().message(),
            "result: value_size_max is 4 bytes, the value has 5"
        );
        assert_eq!(
            error("12345").check(&limits).unwrap_err().message(),
            "value_size_max is 4 bytes, the error has 5"
        );
        let tokens = TraceEnd { input_tokens: Some(u64::MAX), ..TraceEnd::default() };
        assert!(tokens.check(&limits).is_err());
    }
}
