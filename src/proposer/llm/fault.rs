//! The error that an endpoint sends, with a status or inside a success. Pure.

use serde_json::Value;

use crate::proposer::llm::body;
use crate::proposer::llm::retry_after;
use crate::values::llm_error::{LlmError, said};

/// Parts of the words that endpoints use as codes, in lower case and letters alone, and the status that each stands for.
const STATUSES: [(&str, u16); 24] = [
    ("insufficientquota", 402),
    ("billing", 402),
    ("payment", 402),
    ("ratelimit", 429),
    ("resourceexhausted", 429),
    ("toomanyrequests", 429),
    ("throttl", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("invalidapikey", 401),
    ("authentication", 401),
    ("unauthenticated", 401),
    ("permission", 403),
    ("forbidden", 403),
    ("notfound", 404),
    ("contextlength", 400),
    ("invalidrequest", 400),
    ("invalidargument", 400),
    ("badrequest", 400),
    ("validation", 400),
    ("timeout", 504),
    ("servererror", 500),
    ("internal", 500),
    ("apierror", 500),
];
/// Parts of the words for a prompt or an answer that a filter refuses.
const FILTERS: [&str; 4] = ["contentfilter", "contentpolicy", "moderation", "flagged"];

/// The error in a body, if there is one, beside anything else.
pub(crate) fn in_body(body: &Value) -> Option<&Value> {
    let is_error = |value: &&Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let is_bare = body.get("object").or(body.get("type")).and_then(Value::as_str) == Some("error");
    body.get("error").filter(is_error).or_else(|| is_bare.then_some(body))
}

/// The error for a status other than success and its body.
pub(crate) fn refusal(status: u16, retry_after_ms: Option<u64>, body: &[u8]) -> LlmError {
    let json: Option<Value> = body::json(body).ok();
    let Some(json) = json.as_ref().map(unwrapped) else {
        return of_status(status, retry_after_ms, text(body));
    };
    of_error(status, retry_after_ms, in_body(json).unwrap_or(json))
}

/// The error for an error inside a success: by its code, as if that were the status.
pub(crate) fn within(error: &Value) -> LlmError {
    match status(error) {
        Some(status) => of_error(status, None, error),
        None => LlmError::Failed { said: message(error), url: String::new() },
    }
}

/// Some endpoints put an error into a list.
pub(crate) fn unwrapped(body: &Value) -> &Value {
    match body.as_array().map(Vec::as_slice) {
        Some([only]) if only.is_object() => only,
        _ => body,
    }
}

fn of_error(status: u16, retry_after_ms: Option<u64>, error: &Value) -> LlmError {
    let said = message(error);
    let has_word = |words: &[&str]| words.iter().any(|word| codes(error).any(|code| code.contains(word)));
    // Waiting does not help where a quota is used up.
    if status == 429 && (has_word(&["insufficientquota"]) || said.contains("insufficient_quota")) {
        return LlmError::NoCredit { status, said };
    }
    // A filter refuses this prompt, not the key.
    let metadata = error.get("metadata");
    let is_flagged =
        metadata.is_some_and(|metadata| metadata.get("flagged_input").or(metadata.get("reasons")).is_some());
    if status == 403 && (is_flagged || has_word(&FILTERS) || FILTERS.iter().any(|word| letters(&said).contains(word))) {
        return LlmError::NotAccepted { status, said };
    }
    of_status(status, retry_after_ms.or_else(|| retry_after::in_error(error)), said)
}

fn of_status(status: u16, retry_after_ms: Option<u64>, said: String) -> LlmError {
    match status {
        401 | 403 => LlmError::Unauthorized { status, said },
        402 => LlmError::NoCredit { status, said },
        404 | 405 | 410 => LlmError::Unknown { status, said, url: String::new() },
        429 if said.contains("insufficient_quota") => LlmError::NoCredit { status, said },
        429 => LlmError::RateLimited { retry_after_ms, said },
        408 | 409 | 425 | 500.. => LlmError::Server { status, retry_after_ms, said },
        _ => LlmError::NotAccepted { status, said },
    }
}

/// The status that the code of an error stands for.
fn status(error: &Value) -> Option<u16> {
    let number = |value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    };
    let fields = ["code", "status", "status_code", "statusCode"];
    let by_number = fields.iter().find_map(|name| number(error.get(*name)?));
    by_number.or_else(|| {
        let words: Vec<String> = codes(error).collect();
        STATUSES.iter().find(|(word, _)| words.iter().any(|code| code.contains(word))).map(|(_, status)| *status)
    })
}

/// The words that say which error it is, as letters.
fn codes(error: &Value) -> impl Iterator<Item = String> {
    ["code", "type", "status", "error_type"].into_iter().filter_map(|name| error.get(name)?.as_str().map(letters))
}

fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect()
}

/// `code: message` of an error, with what a gateway passes on; the error itself if it has no message.
fn message(error: &Value) -> String {
    let part = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // The status is shown beside it.
    let is_word = |code: &&str| *code != "error" && code.parse::<u16>().is_err();
    let code = part("code").filter(is_word).or(part("type").filter(is_word));
    let raw = error.get("metadata").and_then(|metadata| metadata.get("raw")).and_then(Value::as_str);
    let raw = raw.map_or(String::new(), |raw| format!(": {raw}"));
    match (code, part("message")) {
        (Some(code), Some(message)) => said(&format!("{code}: {message}{raw}")),
        (None, Some(message)) => said(&format!("{message}{raw}")),
        (_, None) => said(&error.as_str().map_or_else(|| error.to_string(), str::to_owned)),
    }
}

/// The text of a body that is not JSON; of a page its title.
fn text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let title = || {
        let (_, rest) = text.split_once("<title>").or_else(|| text.split_once("<TITLE>"))?;
        Some(format!("an HTML page, {:?}", said(rest.split('<').next()?)))
    };
    body::is_page(&text).then(title).flatten().unwrap_or_else(|| said(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_says_what_the_endpoint_said() {
        for (status, body, wanted) in [
            (
                429,
                r#"{"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}"#,
                "rate limited (429), retry after 2000 ms: rate_limit_exceeded: Rate limit reached",
            ),
            (503, "<h1>busy</h1>", "the endpoint fails (503), retry after 2000 ms: <h1>busy</h1>"),
            (
                502,
                "<html>\n<head><title>502 Bad Gateway</title></head></html>",
                "the endpoint fails (502), retry after 2000 ms: an HTML page, \"502 Bad Gateway\"",
            ),
            (400, r#"{"detail": "bad"}"#, r#"the request is not accepted (400): {"detail":"bad"}"#),
            (
                500,
                r#"{"error": {"message": "lost", "type": "internal_server_error", "code": "500"}}"#,
                "the endpoint fails (500), retry after 2000 ms: internal_server_error: lost",
            ),
            (400, r#"{"object": "error", "message": "bad", "code": 400}"#, "the request is not accepted (400): bad"),
            (404, r#"{"error": "model 'x' not found"}"#, "unknown model or address (404): model 'x' not found"),
            (
                400,
                r#"{"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": "too long"}}}"#,
                "the request is not accepted (400): Provider returned error: too long",
            ),
        ] {
            assert_eq!(refusal(status, Some(2000), body.as_bytes()).to_string(), wanted);
        }
    }

    #[test]
    fn a_used_up_quota_is_not_a_rate_limit() {
        let quota = br#"{"error": {"message": "Check your plan", "type": "insufficient_quota"}}"#;
        assert_eq!(<&str>::from(refusal(429, None, quota)), "no-credit");
    }

    #[test]
    fn a_list_around_an_error_does_not_hide_it() {
        let body = json!([{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]}}]);
        let error = refusal(429, None, body.to_string().as_bytes());
        assert_eq!(error, LlmError::RateLimited { retry_after_ms: Some(17_000), said: "slow".to_owned() });
    }

    #[test]
    fn a_prompt_that_a_filter_refuses_says_nothing_about_the_key() {
        let flagged = json!({"error": {"code": 403, "message": "no", "metadata": {"flagged_input": "x"}}});
        for (body, kind) in [
            (flagged, "not-accepted"),
            (json!({"error": {"message": "Your input was flagged", "code": 403}}), "not-accepted"),
            (json!({"error": {"code": "content_policy_violation", "message": "no"}}), "not-accepted"),
            (json!({"error": {"message": "no access to this model"}}), "unauthorized"),
        ] {
            assert_eq!(<&str>::from(refusal(403, None, body.to_string().as_bytes())), kind, "{body}");
        }
    }

    #[test]
    fn the_code_of_an_error_inside_a_success_is_its_status() {
        for (error, kind) in [
            (json!({"code": 429, "message": "later"}), "rate-limited"),
            (json!({"code": "429", "message": "later"}), "rate-limited"),
            (json!({"type": "rate_limit_error", "message": "later"}), "rate-limited"),
            (json!({"type": "overloaded_error", "message": "Overloaded"}), "server"),
            (json!({"code": "invalid_api_key", "message": "no"}), "unauthorized"),
            (json!({"code": "insufficient_quota", "message": "no"}), "no-credit"),
            (json!({"type": "NotFoundError", "message": "no model"}), "unknown"),
            (json!({"status": "INVALID_ARGUMENT", "message": "no"}), "not-accepted"),
            (json!({"type": "BadRequestError", "message": "no", "code": 400}), "not-accepted"),
            (json!({"code": 524, "message": "slow"}), "server"),
            (json!({"code": "odd", "message": "broken"}), "failed"),
            (json!("Unexpected endpoint or method."), "failed"),
        ] {
            assert_eq!(<&str>::from(within(&error)), kind, "{error}");
        }
    }

    #[test]
    fn a_body_without_an_error_has_none() {
        for body in
            [json!({"error": null}), json!({"error": ""}), json!({"error": {}}), json!({"error": false}), json!(3)]
        {
            assert_eq!(in_body(&body), None, "{body}");
        }
        let bare = json!({"type": "error", "error": {"type": "overloaded_error"}});
        assert_eq!(in_body(&bare), Some(&bare["error"]));
    }
}
