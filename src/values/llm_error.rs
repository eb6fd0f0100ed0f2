//! Errors of requests to language models. They are data of the journal: they never hold a key, and they shorten the
//! texts of endpoints.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use thiserror::Error;

/// Characters of an endpoint's text in an error.
const SAID: usize = 400;
/// The pause after the first failure of an endpoint that names none, and the bounds of all pauses.
const PAUSE: Duration = Duration::from_secs(15);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Why a request has no usable reply.
///
/// A `url` is the address that was asked; it is empty where a recorded reply is read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error, IntoStaticStr, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum LlmError {
    /// The environment variable is unset or empty.
    #[error("no key: the environment variable {variable} is not set")]
    NoKey { variable: String },
    /// A header cannot carry the key.
    #[error("the key in the environment variable {variable} holds blanks or other characters that cannot be sent")]
    BadKey { variable: String },
    #[error("{base_url} cannot be used: {detail}")]
    BadEndpoint { base_url: String, detail: String },
    #[error("not sent: the request contains the key")]
    KeyInRequest,
    /// The budget does not cover the worst case of a try.
    #[error("not sent: it may cost more than the budget has left")]
    OverBudget,
    /// The run stopped or died before the answer, which the endpoint may charge.
    #[error("abandoned when the run stopped")]
    Abandoned,
    #[error("no whole reply after {milliseconds} ms")]
    Timeout { milliseconds: u64 },
    /// Connection refused, unknown host, no route, failed TLS.
    #[error("cannot be reached: {detail}{}", at(url))]
    Unreachable { detail: String, url: String },
    /// 429: too many requests.
    #[error("rate limited (429){}: {said}", after(*retry_after_ms))]
    RateLimited { retry_after_ms: Option<u64>, said: String },
    /// 5xx and other statuses that pass: the endpoint is broken or overloaded.
    #[error("the endpoint fails ({status}){}: {said}", after(*retry_after_ms))]
    Server { status: u16, retry_after_ms: Option<u64>, said: String },
    /// 401 or 403: the key is wrong or lacks permission.
    #[error("the key is not accepted ({status}): {said}")]
    Unauthorized { status: u16, said: String },
    /// 402, or an exhausted quota.
    #[error("there is no credit left ({status}): {said}")]
    NoCredit { status: u16, said: String },
    /// 404, 405 or 410: unknown model or address.
    #[error("unknown model or address ({status}): {said}{}", at(url))]
    Unknown { status: u16, said: String, url: String },
    /// 3xx. The key goes to no other address.
    #[error("redirected ({status}) to {location}, which is not followed{}", at(url))]
    Redirected { status: u16, location: String, url: String },
    /// Any other status: rejected parameters or prompt.
    #[error("the request is not accepted ({status}): {said}")]
    NotAccepted { status: u16, said: String },
    /// The connection broke, the reply is not HTTP, or its text ends too early.
    #[error("the reply broke off after {received_bytes} bytes: {detail}")]
    Truncated { received_bytes: u64, detail: String },
    #[error("the reply is longer than {limit_bytes} bytes")]
    TooLong { limit_bytes: u64 },
    #[error("the reply is empty")]
    Empty,
    #[error("the reply is not JSON: {detail}; it begins with {said:?}{}", at(url))]
    NotJson { detail: String, said: String, url: String },
    /// A success that holds an error without a code.
    #[error("the reply is an error: {said}{}", at(url))]
    Failed { said: String, url: String },
    /// JSON of another kind than an answer.
    #[error("the reply has no choices: {said}{}", at(url))]
    NoChoices { said: String, url: String },
    #[error("the reply has no content: {detail}")]
    NoContent { detail: String },
    /// The model did not finish.
    #[error("the answer was cut off: finish_reason {finish_reason:?}{}", after_thoughts(*reasoning, *hidden_tokens))]
    CutOff {
        /// `length`, `content_filter` ...
        finish_reason: String,
        /// Characters of reasoning in the reply.
        reasoning: u64,
        /// Tokens of reasoning that the endpoint counts.
        hidden_tokens: u64,
    },
    /// The answers of a model, not its requests, are useless.
    #[error("{attempts} attempts in a row led to no candidate, the latest: {latest}")]
    NoCandidates {
        attempts: u32,
        /// Why the latest attempt led to none.
        latest: String,
    },
}

/// The cause of an error that retries did not fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Another request may succeed at once.
    Request,
    /// The endpoint needs a pause.
    Endpoint,
    /// Only other settings can help.
    Settings,
}

impl LlmError {
    pub fn scope(&self) -> Scope {
        match self {
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Truncated { .. }
            | Self::Empty
            | Self::NotJson { .. }
            | Self::Failed { .. } => Scope::Endpoint,
            Self::KeyInRequest
            | Self::OverBudget
            | Self::Abandoned
            | Self::NotAccepted { .. }
            | Self::Redirected { .. }
            | Self::NoCandidates { .. }
            | Self::TooLong { .. }
            | Self::NoChoices { .. }
            | Self::NoContent { .. }
            | Self::CutOff { .. } => Scope::Request,
            Self::NoKey { .. }
            | Self::BadKey { .. }
            | Self::BadEndpoint { .. }
            | Self::Unauthorized { .. }
            | Self::NoCredit { .. }
            | Self::Unknown { .. } => Scope::Settings,
        }
    }

    /// Whether the endpoint may have answered, and charged for it, although the answer is lost. Refusals are free.
    pub(crate) fn may_be_charged(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Truncated { .. }
            | Self::TooLong { .. }
            | Self::Empty
            | Self::NotJson { .. }
            | Self::NoChoices { .. }
            | Self::NoContent { .. }
            | Self::CutOff { .. } => true,
            // A gateway that lost the answer of the server behind it.
            Self::Server { status, .. } => matches!(status, 502 | 504 | 524),
            _ => false,
        }
    }

    /// The same error, with the address that was asked.
    #[must_use]
    pub(crate) fn asked_at(mut self, asked: &str) -> Self {
        if let Self::Unreachable { url, .. }
        | Self::Unknown { url, .. }
        | Self::Redirected { url, .. }
        | Self::NotJson { url, .. }
        | Self::Failed { url, .. }
        | Self::NoChoices { url, .. } = &mut self
        {
            asked.clone_into(url);
        }
        self
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after_ms, .. } | Self::Server { retry_after_ms, .. } => {
                retry_after_ms.map(Duration::from_millis)
            }
            _ => None,
        }
    }

    /// The pause after `in_a_row` failures (at least 1): first the wait that the endpoint asks for, doubling if it fails
    /// after that, too; bounded.
    pub fn pause(&self, in_a_row: u32) -> Duration {
        let first = self.retry_after().unwrap_or(PAUSE).max(SHORTEST_PAUSE);
        first.saturating_mul(2u32.saturating_pow(in_a_row.saturating_sub(1))).min(LONGEST_PAUSE)
    }
}

/// The end of a message that may be about a wrong address.
fn at(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    match rest.split_once('/') {
        None => String::new(),
        Some((_, "chat/completions")) => {
            format!("; asked: POST {url}, but the base_url of most servers ends in /v1")
        }
        Some(_) => format!("; asked: POST {url}"),
    }
}

/// The end of a message about an answer that reasoning left no room for. What is in the reply says more than its count.
pub(crate) fn after_thoughts(characters: u64, hidden_tokens: u64) -> String {
    match (characters, hidden_tokens) {
        (0, 0) => String::new(),
        (0, tokens) => format!(", after {tokens} tokens of hidden reasoning"),
        (characters, _) => format!(", after {characters} characters of reasoning"),
    }
}

fn after(retry_after_ms: Option<u64>) -> String {
    retry_after_ms.map(|ms| format!(", retry after {ms} ms")).unwrap_or_default()
}

/// An endpoint's text as one short line that is safe to print.
pub(crate) fn said(text: &str) -> String {
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    let line: String = text.trim().chars().take(SAID).map(printable).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "nothing".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_limited(retry_after_ms: Option<u64>) -> LlmError {
        LlmError::RateLimited { retry_after_ms, said: "slow down".to_owned() }
    }

    #[test]
    fn errors_come_back_from_the_journal_under_their_own_names() {
        for error in [
            LlmError::NoKey { variable: "A_KEY".to_owned() },
            LlmError::Timeout { milliseconds: 5 },
            rate_limited(Some(1500)),
            LlmError::Server { status: 503, retry_after_ms: None, said: "busy".to_owned() },
            LlmError::Unauthorized { status: 401, said: "no".to_owned() },
            LlmError::Truncated { received_bytes: 3, detail: "reset".to_owned() },
            LlmError::Empty,
            LlmError::CutOff { finish_reason: "length".to_owned(), reasoning: 5, hidden_tokens: 6 },
            LlmError::Redirected { status: 307, location: "/b".to_owned(), url: "http://a/v1/chat".to_owned() },
            LlmError::NoCandidates { attempts: 5, latest: "no NAME".to_owned() },
        ] {
            let json = serde_json::to_value(&error).unwrap();
            assert_eq!(json["kind"], <&str>::from(&error));
            assert_eq!(serde_json::from_value::<LlmError>(json).unwrap(), error);
        }
    }

    #[test]
    fn a_pause_follows_the_endpoint_and_doubles_and_is_bounded() {
        assert_eq!(rate_limited(Some(20_000)).pause(1), Duration::from_secs(20));
        assert_eq!(rate_limited(Some(20_000)).pause(3), Duration::from_secs(80));
        assert_eq!(rate_limited(Some(0)).pause(1), Duration::from_secs(1));
        assert_eq!(rate_limited(None).pause(1), Duration::from_secs(15));
        assert_eq!(rate_limited(None).pause(3), Duration::from_secs(60));
        assert_eq!(rate_limited(None).pause(u32::MAX), LONGEST_PAUSE);
        assert_eq!(rate_limited(Some(u64::MAX)).pause(1), LONGEST_PAUSE);
    }

    #[test]
    fn what_may_be_a_wrong_address_names_it_and_the_usual_cure() {
        let error = LlmError::Unknown { status: 404, said: "nothing".to_owned(), url: String::new() };
        assert_eq!(error.to_string(), "unknown model or address (404): nothing");
        let message = |url: &str| error.clone().asked_at(url).to_string();
        assert!(message("http://a:1/v1/chat/completions").ends_with("; asked: POST http://a:1/v1/chat/completions"));
        let bare = message("http://a:1/chat/completions");
        assert!(
            bare.ends_with("asked: POST http://a:1/chat/completions, but the base_url of most servers ends in /v1")
        );
    }

    #[test]
    fn what_an_endpoint_says_is_one_bounded_line() {
        assert_eq!(said(" a\u{1b}[31m\n\tb \n"), "a [31m b");
        assert_eq!(said(&"x".repeat(1000)).len(), SAID);
        assert_eq!(said("\n"), "nothing");
    }
}
