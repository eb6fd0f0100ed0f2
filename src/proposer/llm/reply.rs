//! Parses the response of an endpoint. Pure, so that a recorded response parses the same way later.

use serde::Deserialize;
use serde_json::Value;

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

/// The fields that PackEvolve reads; it ignores others.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    choices: Vec<Choice>,
    /// Some endpoints send it with a success status.
    error: Option<Value>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Value>,
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Value>,
}

/// Parses the body of a success.
pub fn read(bytes: &[u8]) -> Reply {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Reply::failed(LlmError::Empty);
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(json) => of_json(json),
        Err(error) => {
            let said = said(&String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]));
            Reply::failed(LlmError::NotJson { detail: error.to_string(), said })
        }
    }
}

fn of_json(json: Value) -> Reply {
    // Names the type of a value that does not fit, because the value may be long.
    let body = match serde_json::from_value::<Body>(json) {
        Ok(body) => body,
        Err(error) => return Reply::failed(LlmError::NoContent { detail: said(&error.to_string()) }),
    };
    let usage = body.usage.as_ref().and_then(usage);
    let text = match (body.choices.into_iter().next(), body.error) {
        (Some(choice), _) => answer(choice),
        (None, Some(error)) => Err(late_error(&error)),
        (None, None) => Err(LlmError::NoContent { detail: "it has no choices".to_owned() }),
    };
    Reply { text, usage }
}

fn usage(usage: &Value) -> Option<Usage> {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    Some(Usage { prompt_tokens: count("prompt_tokens")?, completion_tokens: count("completion_tokens")? })
}

fn answer(choice: Choice) -> Result<String, LlmError> {
    let no_content = |detail: &str| Err(LlmError::NoContent { detail: detail.to_owned() });
    let is_cut = |reason: &String| ["length", "content_filter"].contains(&reason.as_str());
    if let Some(finish_reason) = choice.finish_reason.filter(is_cut) {
        return Err(LlmError::CutOff { finish_reason });
    }
    let Some(message) = choice.message else { return no_content("its choice has no message") };
    match text(message.content.as_ref()) {
        Some(text) if !text.trim().is_empty() => Ok(text),
        _ if message.refusal.is_some() => {
            no_content(&said(&format!("refused: {}", message.refusal.unwrap_or_default())))
        }
        _ if message.tool_calls.is_some_and(|calls| !calls.is_null()) => no_content("it calls a tool"),
        Some(_) => no_content("it is blank"),
        None => no_content("it is absent or no text"),
    }
}

/// A text, or the text parts of a list.
fn text(content: Option<&Value>) -> Option<String> {
    match content? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(|part| part.get("text")?.as_str()).collect(),
        _ => None,
    }
}

/// An error in the body of a success, from gateways that notice it late.
fn late_error(error: &Value) -> LlmError {
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    match status.filter(|status| (400..600).contains(status)) {
        Some(status) => of_status(status, None, &message(error)),
        None => LlmError::NoContent { detail: message(error) },
    }
}

/// The error for a status other than success.
pub(crate) fn of_status(status: u16, retry_after_ms: Option<u64>, said: &str) -> LlmError {
    let said = said.to_owned();
    match status {
        401 | 403 => LlmError::Unauthorized { status, said },
        402 => LlmError::NoCredit { status, said },
        404 => LlmError::Unknown { status, said },
        // An exhausted quota also comes as 429, but waiting does not help.
        429 if said.contains("insufficient_quota") => LlmError::NoCredit { status, said },
        429 => LlmError::RateLimited { retry_after_ms, said },
        408 | 500.. => LlmError::Server { status, retry_after_ms, said },
        _ => LlmError::NotAccepted { status, said },
    }
}

/// The error in a status and a body.
pub(crate) fn refusal(status: u16, retry_after_ms: Option<u64>, body: &[u8]) -> LlmError {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let said = match json.as_ref().map(|json| json.get("error").unwrap_or(json)) {
        Some(error) => message(error),
        None => said(&String::from_utf8_lossy(body)),
    };
    of_status(status, retry_after_ms, &said)
}

/// `code: message` of an error object; the object itself if it has no message.
fn message(error: &Value) -> String {
    let part = |name: &str| error.get(name).and_then(Value::as_str);
    match (part("code").or(part("type")), part("message")) {
        (Some(code), Some(message)) => said(&format!("{code}: {message}")),
        (None, Some(message)) => said(message),
        (_, None) => said(&error.as_str().map_or_else(|| error.to_string(), str::to_owned)),
    }
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
        let parts = r#"{"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]}"#;
        assert_eq!(read(parts.as_bytes()), Reply { text: Ok("ab".to_owned()), usage: None });
    }

    #[test]
    fn a_reply_without_an_answer_names_its_kind() {
        for (body, wanted) in [
            ("", "empty"),
            (" \n", "empty"),
            ("<html>", "not-json"),
            (r#"{"choices": [{"mess"#, "not-json"),
            ("[]", "no-content"),
            ("{}", "no-content"),
            (r#"{"choices": []}"#, "no-content"),
            (r#"{"choices": 3}"#, "no-content"),
            (r#"{"choices": [{}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": null}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": " "}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": 7}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": [{"type": "image"}]}}]}"#, "no-content"),
            (r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}"#, "cut-off"),
            (r#"{"error": {"code": 429, "message": "later"}}"#, "rate-limited"),
            (r#"{"error": {"code": "odd", "message": "broken"}}"#, "no-content"),
        ] {
            assert_eq!(kind(body), wanted, "{body}");
        }
    }

    #[test]
    fn an_answer_of_no_use_still_says_what_it_cost() {
        let usage = r#""usage": {"prompt_tokens": 3, "completion_tokens": 2}"#;
        let body = format!(r#"{{"choices": [{{"message": {{"content": "x"}}, "finish_reason": "length"}}], {usage}}}"#);
        let reply = read(body.as_bytes());
        assert_eq!(reply.text, Err(LlmError::CutOff { finish_reason: "length".to_owned() }));
        assert_eq!(reply.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 2 }));
    }

    #[test]
    fn a_refusal_says_what_the_endpoint_said() {
        let body = br#"{"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}"#;
        let error = refusal(429, Some(2000), body);
        assert_eq!(
            error.to_string(),
            "rate limited (429), retry after 2000 ms: rate_limit_exceeded: Rate limit reached"
        );
        let quota = br#"{"error": {"message": "Check your plan", "type": "insufficient_quota"}}"#;
        assert_eq!(<&str>::from(refusal(429, None, quota)), "no-credit");
        assert_eq!(refusal(503, None, b"<h1>busy</h1>").to_string(), "the endpoint fails (503): <h1>busy</h1>");
        assert_eq!(
            refusal(400, None, br#"{"detail": "bad"}"#).to_string(),
            r#"the request is not accepted (400): {"detail":"bad"}"#
        );
    }
}
