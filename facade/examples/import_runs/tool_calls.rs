//! The tool calls of a recorded run: each with the message that answers it.

use serde_json::Value as Json;
use strata::TraceContent;

use crate::recorded::Message;
use crate::reservations::Write;
use crate::values::from_json;

/// One tool call.
pub(crate) struct ToolCall {
    pub name: String,
    pub arguments: Json,
    pub answer: Answer,
    /// The place of the message that answers it; without one, of the message that asks.
    pub place: usize,
    /// What the store will have of it.
    pub content: TraceContent,
    /// What it does to the documents of its run.
    pub writes: Vec<Write>,
}

/// What came of a call.
#[derive(PartialEq)]
pub(crate) enum Answer {
    Result(Json),
    Error(String),
    Missing,
}

/// All calls in the order of their answers.
pub(crate) fn of(messages: &[Message]) -> Result<Vec<ToolCall>, String> {
    let mut calls = Vec::new();
    for (place, message) in messages.iter().enumerate() {
        for asked in message.json.get("tool_calls").and_then(Json::as_array).into_iter().flatten() {
            let call = call_of(asked, place, messages);
            calls.push(call.map_err(|reason| format!("message {place}: {reason}"))?);
        }
    }
    calls.sort_by_key(|call| call.place);
    Ok(calls)
}

fn call_of(asked: &Json, place: usize, messages: &[Message]) -> Result<ToolCall, String> {
    let function = asked.get("function").unwrap_or(&Json::Null);
    let name = function.get("name").and_then(Json::as_str).ok_or("a tool call with a name is expected")?;
    let arguments = parsed(function.get("arguments").unwrap_or(&Json::Null));
    // An id may be used again later in a conversation, so the nearest answer counts.
    let is_answer = |message: &Message| {
        message.kind == "message.tool" && message.json.get("tool_call_id") == asked.get("id")
    };
    let behind = messages.iter().enumerate().skip(place + 1);
    let answered = behind.into_iter().find(|(_, message)| is_answer(message));
    let (place, answer) = answered.map_or((place, Answer::Missing), |(place, message)| {
        (place, answer_of(message.json.get("content").unwrap_or(&Json::Null)))
    });
    let content = content_of(name, &arguments, &answer)?;
    Ok(ToolCall { name: name.to_owned(), arguments, answer, place, content, writes: Vec::new() })
}

/// The tools of the recordings begin what went wrong with this word.
fn answer_of(content: &Json) -> Answer {
    match content.as_str() {
        Some(text) if text.starts_with("Error") => Answer::Error(text.to_owned()),
        _ => Answer::Result(parsed(content)),
    }
}

/// The value behind text that is a JSON object or array; anything else is itself.
fn parsed(json: &Json) -> Json {
    let is_container = |inner: &Json| inner.is_object() || inner.is_array();
    let inner = json.as_str().and_then(|text| serde_json::from_str(text).ok());
    inner.filter(is_container).unwrap_or_else(|| json.clone())
}

fn content_of(name: &str, arguments: &Json, answer: &Answer) -> Result<TraceContent, String> {
    let (result, error) = match answer {
        Answer::Result(result) => (Some(from_json(result)?), None),
        Answer::Error(error) => (None, Some(error.clone())),
        Answer::Missing => (None, None),
    };
    Ok(TraceContent::ToolCall { name: name.to_owned(), arguments: from_json(arguments)?, result, error })
}
