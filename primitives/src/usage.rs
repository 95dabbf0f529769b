//! Which model did a step, and how many tokens it took.
use crate::error::Error;
use crate::members::{Members, as_count, as_text, check_count, count_value};

// Names of the OpenTelemetry semantic conventions for generative AI.
const MODEL: &str = "gen_ai.request.model";
const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";

/// What is known about the model behind a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model that was asked; stored as `gen_ai.request.model`.
    pub model: Option<String>,
    /// Tokens it was given; stored as `gen_ai.usage.input_tokens`.
    pub input_tokens: Option<u64>,
    /// Tokens it answered with; stored as `gen_ai.usage.output_tokens`.
    pub output_tokens: Option<u64>,
}

impl Usage {
    /// Refuses counts beyond `i64::MAX`, which no stored number holds.
    pub fn check(&self) -> Result<(), Error> {
        check_count("input_tokens", self.input_tokens)?;
        check_count("output_tokens", self.output_tokens)
    }

    pub(crate) fn put(self, members: &mut Members) {
        members.put_option(MODEL, self.model);
        members.put_option(INPUT_TOKENS, self.input_tokens.map(count_value));
        members.put_option(OUTPUT_TOKENS, self.output_tokens.map(count_value));
    }

    pub(crate) fn take(members: &mut Members) -> Result<Self, Error> {
        Ok(Self {
            model: members.take_option(MODEL, as_text)?,
            input_tokens: members.take_option(INPUT_TOKENS, as_count)?,
            output_tokens: members.take_option(OUTPUT_TOKENS, as_count)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_stored_under_the_names_of_the_conventions() {
        let usage = Usage { model: Some("m".into()), input_tokens: Some(3), output_tokens: Some(0) };
        let mut members = Members::default();
        usage.clone().put(&mut members);
        let value = members.into_value();
        assert_eq!(
            value.to_string(),
            r#"{"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 0}"#
        );
        assert_eq!(Usage::take(&mut Members::of(value).unwrap()).unwrap(), usage);
    }

    #[test]
    fn unknown_usage_takes_no_space() {
        let mut members = Members::default();
        Usage::default().put(&mut members);
        assert!(members.expect_end().is_ok());
        assert_eq!(Usage::take(&mut members).unwrap(), Usage::default());
    }

    #[test]
    fn usage_beyond_every_stored_number_is_refused() {
        let usage = Usage { output_tokens: Some(u64::MAX), ..Usage::default() };
        assert!(usage.check().unwrap_err().message().starts_with("output_tokens is at most"));
        assert!(Usage::default().check().is_ok());
    }
}
