//! Parses the response of an endpoint. Pure, so that a recorded response parses the same way later.

use serde_json::Value;

use crate::proposer::llm::{answer, body, fault};
use crate::values::cost::Usage;
use crate::values::llm_error::{LlmError, said};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The answer, or the reason why there is none.
    pub text: Result<String, LlmError>,
    /// The usage that the endpoint reports, if any. It charges unusable answers, too.
    pub usage: Option<Usage>,
}

impl Reply {
    pub(crate) fn failed(error: LlmError) -> Self {
        Self { text: Err(error), usage: None }
    }
}

/// Parses the body of a success.
pub fn read(bytes: &[u8]) -> Reply {
    body::json(bytes).map_or_else(Reply::failed, |json| of_json(fault::unwrapped(&json)))
}

fn of_json(body: &Value) -> Reply {
    let choice = body.get("choices").and_then(|choices| choices.get(0));
    let usage = body.get("usage").and_then(usage);
    let error = fault::in_body(body).or_else(|| choice.and_then(fault::in_body));
    let text = match (error, choice) {
        // An endpoint that fails late sends what it has, which does not count.
        (Some(error), _) => Err(fault::within(error)),
        (None, Some(choice)) => answer::of_choice(choice, hidden_tokens(body)),
        (None, None) => Err(LlmError::NoChoices { said: said(&body.to_string()), url: String::new() }),
    };
    Reply { text, usage }
}

/// The tokens that an endpoint counts. Some leave reasoning out of the reply and have it in the total alone.
fn usage(usage: &Value) -> Option<Usage> {
    let count = |names: &[&str]| {
        let value = names.iter().find_map(|name| usage.get(*name).filter(|value| !value.is_null()))?;
        value.as_u64().or_else(|| value.as_f64().filter(|tokens| *tokens >= 0.0).map(|tokens| tokens.ceil() as u64))
    };
    let prompt_tokens = count(&["prompt_tokens", "input_tokens"])?;
    let completion_tokens = count(&["completion_tokens", "output_tokens"])?;
    let beside_the_prompt = count(&["total_tokens"]).unwrap_or(0).saturating_sub(prompt_tokens);
    Some(Usage { prompt_tokens, completion_tokens: completion_tokens.max(beside_the_prompt) })
}

/// The tokens of reasoning that an endpoint counts. OpenAI, Azure and Gemini count it and do not send it.
fn hidden_tokens(body: &Value) -> u64 {
    let details = ["completion_tokens_details", "output_tokens_details"];
    let tokens = |usage: &Value| details.iter().find_map(|name| usage.get(*name)?.get("reasoning_tokens")?.as_u64());
    body.get("usage").and_then(tokens).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &str) -> &'static str {
        read(body.as_bytes()).text.unwrap_err().into()
    }

    #[test]
    fn the_text_is_that_of_the_first_choice() {
        let body = r#"{"id": "x", "choices": [{"message": {"role": "assistant", "content": "h\u00e9"}, "finish_reason":
            "stop"}, {}], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}"#;
        let usage = Some(Usage { prompt_tokens: 3, completion_tokens: 2 });
        assert_eq!(read(body.as_bytes()), Reply { text: Ok("hé".to_owned()), usage });
    }

    #[test]
    fn a_reply_without_an_answer_names_its_kind() {
        for (body, wanted) in [
            ("", "empty"),
            (" \n", "empty"),
            ("<html>", "not-json"),
            (r#"{"choices": [{"mess"#, "truncated"),
            ("[]", "no-choices"),
            ("{}", "no-choices"),
            (r#"{"choices": []}"#, "no-choices"),
            (r#"{"choices": 3}"#, "no-choices"),
            (r#"{"choices": [{}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": null}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": " "}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": 7}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": [{"type": "image"}]}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}"#, "cut-off"),
            (r#"{"error": {"code": 429, "message": "later"}}"#, "rate-limited"),
            (r#"[{"error": {"code": 429, "message": "later"}}]"#, "rate-limited"),
            (r#"{"choices": null, "error": {"code": 429, "message": "later"}}"#, "rate-limited"),
            (r#"{"choices": [], "error": {"code": "odd", "message": "broken"}}"#, "failed"),
            (r#"{"object": "error", "message": "no such model", "code": 404}"#, "unknown"),
        ] {
            assert_eq!(kind(body), wanted, "{body}");
        }
    }

    #[test]
    fn an_answer_beside_an_error_is_none() {
        let partial = r#""message": {"content": "half"}"#;
        for (body, wanted) in [
            (format!(r#"{{"choices": [{{{partial}, "finish_reason": "error"}}]}}"#), "failed"),
            (format!(r#"{{"choices": [{{{partial}, "error": {{"code": 502, "message": "lost"}}}}]}}"#), "server"),
            (
                format!(r#"{{"choices": [{{{partial}}}], "error": {{"code": 429, "message": "later"}}}}"#),
                "rate-limited",
            ),
        ] {
            assert_eq!(kind(&body), wanted, "{body}");
        }
        let fine = format!(r#"{{"choices": [{{{partial}, "error": null}}], "error": null}}"#);
        assert_eq!(read(fine.as_bytes()).text.as_deref(), Ok("half"));
    }

    #[test]
    fn an_answer_of_no_use_still_says_what_it_cost() {
        let usage = r#""usage": {"prompt_tokens": 3, "completion_tokens": 2}"#;
        let body = format!(r#"{{"choices": [{{"message": {{"content": "x"}}, "finish_reason": "length"}}], {usage}}}"#);
        let reply = read(body.as_bytes());
        assert_eq!(
            reply.text,
            Err(LlmError::CutOff { finish_reason: "length".to_owned(), reasoning: 0, hidden_tokens: 0 })
        );
        assert_eq!(reply.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 2 }));
    }

    #[test]
    fn usage_counts_reasoning_wherever_an_endpoint_puts_it() {
        let of = |usage: &str| {
            read(format!(r#"{{"usage": {usage}}}"#).as_bytes()).usage.map(|usage| usage.completion_tokens)
        };
        assert_eq!(of(r#"{"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 45}"#), Some(42));
        assert_eq!(of(r#"{"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 0}"#), Some(2));
        assert_eq!(of(r#"{"input_tokens": 3, "output_tokens": 2.0}"#), Some(2));
        assert_eq!(of(r#"{"prompt_tokens": 3}"#), None);
        assert_eq!(of("null"), None);
    }
}
