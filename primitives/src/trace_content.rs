//! What a step of an agent was: a tool call, a decision, a query, a thought, an error, or a kind of its own.
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::members::{Members, as_count, as_list, as_text, check_count, count_value};
use crate::value::Value;

const TOOL_CALL: &str = "tool_call";
const DECISION: &str = "decision";
const QUERY: &str = "query";
const THOUGHT: &str = "thought";
const ERROR: &str = "error";

// Members are named by the OpenTelemetry semantic conventions (generative AI, and `error.type`) where they have a
// name, with the dots they have there; the others are ours. Names are stored, so they never change.
const TOOL_NAME: &str = "gen_ai.tool.name";
const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
const TOOL_RESULT: &str = "gen_ai.tool.call.result";
const TOOL_ERROR: &str = "error";
const QUESTION: &str = "question";
const OPTIONS: &str = "options";
const CHOSEN: &str = "chosen";
const REASONING: &str = "reasoning";
const QUERY_KIND: &str = "query_kind";
const QUERY_TEXT: &str = "gen_ai.retrieval.query.text";
const RESULT_COUNT: &str = "result_count";
const TEXT: &str = "text";
const CONFIDENCE: &str = "confidence";
const ERROR_KIND: &str = "error.type";
const ERROR_MESSAGE: &str = "message";
const RECOVERABLE: &str = "recoverable";
const CONTENT: &str = "content";

/// One step of an agent. Two are equal when their stored forms are.
#[derive(Debug, Clone)]
pub enum TraceContent {
    /// A tool was called.
    ToolCall {
        /// The tool.
        name: String,
        /// What it was given.
        arguments: Value,
        /// What it answered, once it has. A call that failed half way may have a result and an error.
        result: Option<Value>,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// One of several options was chosen.
    Decision {
        /// What was to be decided.
        question: String,
        /// What could have been chosen.
        options: Vec<Value>,
        /// What was; it need not be among the options.
        chosen: Value,
        /// Why.
        reasoning: Option<String>,
    },
    /// Something was looked up.
    Query {
        /// Where or how, such as `vector` or `sql`.
        kind: String,
        /// What was looked for.
        text: String,
        /// How much was found, once it is known; at most `i64::MAX`.
        result_count: Option<u64>,
    },
    /// Something was thought.
    Thought {
        /// What.
        text: String,
        /// How sure of it the agent is, on a scale of its own; a finite number.
        confidence: Option<f64>,
    },
    /// Something went wrong.
    Error {
        /// Its kind, in a word that can be counted.
        kind: String,
        /// What happened.
        message: String,
        /// Whether the agent can go on.
        recoverable: bool,
    },
    /// A step of a kind that is the caller's own.
    Custom {
        /// Its kind, by the rules of event types, and not one of [`KINDS`](TraceContent::KINDS).
        kind: String,
        /// Whatever there is to say.
        content: Value,
    },
    /// What the step was is erased. It is read and never written.
    Erased {
        /// The kind of step it was.
        kind: String,
    },
}

impl TraceContent {
    /// The kinds that are not the caller's own.
    pub const KINDS: [&str; 5] = [TOOL_CALL, DECISION, QUERY, THOUGHT, ERROR];

    /// The kind of step this is: one of [`KINDS`](Self::KINDS), or the caller's own.
    pub fn kind(&self) -> &str {
        match self {
            Self::ToolCall { .. } => TOOL_CALL,
            Self::Decision { .. } => DECISION,
            Self::Query { .. } => QUERY,
            Self::Thought { .. } => THOUGHT,
            Self::Error { .. } => ERROR,
            Self::Custom { kind, .. } | Self::Erased { kind } => kind,
        }
    }

    /// Refuses a kind, a count or a confidence that cannot be stored; sizes are checked for the trace as a whole.
    ///
    /// # Errors
    /// `InvalidArgument` naming the rule and what was given.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        match self {
            Self::Query { result_count, .. } => check_count(RESULT_COUNT, *result_count),
            Self::Thought { confidence: Some(confidence), .. } if !confidence.is_finite() => {
                Err(invalid(format!("a confidence is a finite number, {confidence} was given")))
            }
            Self::Custom { kind, .. } if Self::KINDS.contains(&kind.as_str()) => {
                Err(invalid(format!("{kind:?} is not a custom kind: it has a form of its own")))
            }
            Self::Custom { kind, .. } => limits.check_trace_kind(kind),
            Self::Erased { .. } => {
                Err(invalid("what is left of an erased trace is read only: it cannot be recorded".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The stored form: an object whose member names never change. What is `None` has no member.
    pub fn to_value(&self) -> Value {
        self.clone().into_value()
    }

    /// The same, without copying.
    pub fn into_value(self) -> Value {
        self.into_members().into_value()
    }

    /// Reads back what [`to_value`](Self::to_value) made of a content of this kind.
    ///
    /// # Errors
    /// `Corrupt` when a member is missing, unknown or of another form.
    pub fn from_value(kind: &str, value: Value) -> Result<Self, Error> {
        Self::from_members(kind, Members::of(value)?)
    }

    pub(crate) fn into_members(self) -> Members {
        let mut members = Members::default();
        match self {
            Self::ToolCall { name, arguments, result, error } => {
                members.put(TOOL_NAME, name);
                members.put(TOOL_ARGUMENTS, arguments);
                members.put_option(TOOL_RESULT, result);
                members.put_option(TOOL_ERROR, error);
            }
            Self::Decision { question, options, chosen, reasoning } => {
                members.put(QUESTION, question);
                members.put(OPTIONS, options);
                members.put(CHOSEN, chosen);
                members.put_option(REASONING, reasoning);
            }
            Self::Query { kind, text, result_count } => {
                members.put(QUERY_KIND, kind);
                members.put(QUERY_TEXT, text);
                members.put_option(RESULT_COUNT, result_count.map(count_value));
            }
            Self::Thought { text, confidence } => {
                members.put(TEXT, text);
                members.put_option(CONFIDENCE, confidence);
            }
            Self::Error { kind, message, recoverable } => {
                members.put(ERROR_KIND, kind);
                members.put(ERROR_MESSAGE, message);
                members.put(RECOVERABLE, recoverable);
            }
            Self::Custom { content, .. } => members.put(CONTENT, content),
            Self::Erased { .. } => {}
        }
        members
    }

    pub(crate) fn from_members(kind: &str, mut members: Members) -> Result<Self, Error> {
        let content = match kind {
            TOOL_CALL => Self::ToolCall {
                name: members.take(TOOL_NAME, as_text)?,
                arguments: members.take(TOOL_ARGUMENTS, Some)?,
                result: members.take_option(TOOL_RESULT, Some)?,
                error: members.take_option(TOOL_ERROR, as_text)?,
            },
            DECISION => Self::Decision {
                question: members.take(QUESTION, as_text)?,
                options: members.take(OPTIONS, as_list)?,
                chosen: members.take(CHOSEN, Some)?,
                reasoning: members.take_option(REASONING, as_text)?,
            },
            QUERY => Self::Query {
                kind: members.take(QUERY_KIND, as_text)?,
                text: members.take(QUERY_TEXT, as_text)?,
                result_count: members.take_option(RESULT_COUNT, as_count)?,
            },
            THOUGHT => Self::Thought {
                text: members.take(TEXT, as_text)?,
                confidence: members.take_option(CONFIDENCE, as_confidence)?,
            },
            ERROR => Self::Error {
                kind: members.take(ERROR_KIND, as_text)?,
                message: members.take(ERROR_MESSAGE, as_text)?,
                recoverable: members.take(RECOVERABLE, |value| value.as_bool())?,
            },
            custom => Self::Custom { kind: custom.to_owned(), content: members.take(CONTENT, Some)? },
        };
        members.expect_end()?;
        Ok(content)
    }
}

impl PartialEq for TraceContent {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.to_value() == other.to_value()
    }
}

impl Eq for TraceContent {}

fn as_confidence(value: Value) -> Option<f64> {
    value.as_float().filter(|confidence| confidence.is_finite())
}

#[cold]
fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
#[path = "trace_content_tests.rs"]
mod tests;
