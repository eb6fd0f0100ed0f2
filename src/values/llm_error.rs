//! Error: what can go wrong between us and an endpoint, each kind by its name. Data for the journal: it never holds a
//! key, and whatever an endpoint said is cut to a bounded length.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How much of what an endpoint says is kept in an error, characters.
const SAID: usize = 400;
/// How long an endpoint that failed for the first time is left alone, and the longest that it ever is.
const PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Why a request has no usable reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LlmError {
    /// The environment variable that config names is not set, or empty.
    #[error("no key: the environment variable {variable} is not set")]
    NoKey {
        /// Its name.
        variable: String,
    },
    /// The key holds what no header can carry.
    #[error("the key in the environment variable {variable} holds blanks or other characters that cannot be sent")]
    BadKey {
        /// Its name.
        variable: String,
    },
    /// No client for this endpoint can be made.
    #[error("{base_url} cannot be used: {detail}")]
    BadEndpoint {
        /// As it stands in config.
        base_url: String,
        /// Why.
        detail: String,
    },
    /// What was to be sent holds the key. It was not sent.
    #[error("the request holds the key: it was not sent")]
    KeyInRequest,
    /// There is no money or there are no tokens left for the worst case of a try. It was not sent.
    #[error("it may cost more than is left: it was not sent")]
    OverBudget,
    /// The run was stopped, or died, before there was an answer, which may well be charged.
    #[error("given up when the run was stopped")]
    Abandoned,
    /// There was no whole reply in time.
    #[error("no whole reply after {milliseconds} ms")]
    Timeout {
        /// The limit.
        milliseconds: u64,
    },
    /// Nobody answers there: connection refused, no such host, no way to it, TLS that does not come about.
    #[error("cannot be reached: {detail}")]
    Unreachable {
        /// Why.
        detail: String,
    },
    /// 429: too many requests.
    #[error("asked too often (429){}: {said}", after(*retry_after_ms))]
    RateLimited {
        /// When to come back, if it was said.
        retry_after_ms: Option<u64>,
        /// What the endpoint said.
        said: String,
    },
    /// 5xx: something of theirs broke or is overloaded.
    #[error("the endpoint fails ({status}){}: {said}", after(*retry_after_ms))]
    Server {
        /// The status.
        status: u16,
        /// When to come back, if it was said.
        retry_after_ms: Option<u64>,
        /// What the endpoint said.
        said: String,
    },
    /// 401 or 403: a wrong key, or one that must not do this.
    #[error("the key is not accepted ({status}): {said}")]
    Unauthorized {
        /// The status.
        status: u16,
        /// What the endpoint said.
        said: String,
    },
    /// 402, or a quota that is used up.
    #[error("there is no credit left ({status}): {said}")]
    NoCredit {
        /// The status.
        status: u16,
        /// What the endpoint said.
        said: String,
    },
    /// 404: no such model, or no endpoint under this address.
    #[error("no such model or address ({status}): {said}")]
    Unknown {
        /// The status.
        status: u16,
        /// What the endpoint said.
        said: String,
    },
    /// Another status than success: parameters or a prompt that it does not take, a redirection.
    #[error("the request is not accepted ({status}): {said}")]
    NotAccepted {
        /// The status.
        status: u16,
        /// What the endpoint said.
        said: String,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the reply broke off after {received_bytes} bytes: {detail}")]
    Truncated {
        /// How much of it had come.
        received_bytes: u64,
        /// Why.
        detail: String,
    },
    /// More than is taken.
    #[error("the reply is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: u64,
    },
    /// Success, and nothing else.
    #[error("the reply is empty")]
    Empty,
    /// Success, but no JSON.
    #[error("the reply is no JSON: {detail}; it begins with {said:?}")]
    NotJson {
        /// What the parser says.
        detail: String,
        /// How it begins.
        said: String,
    },
    /// JSON without the text of an answer.
    #[error("the reply has no content: {detail}")]
    NoContent {
        /// What is there instead.
        detail: String,
    },
    /// The model did not come to its end.
    #[error("the answer was cut off: finish_reason {finish_reason:?}")]
    CutOff {
        /// `length`, `content_filter` ...
        finish_reason: String,
    },
}

/// What an error says something about, when retries have not helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This request: another one may do better, at once.
    Request,
    /// The endpoint: leave it alone for a while.
    Endpoint,
    /// The settings: without other ones it will never do.
    Settings,
}

impl LlmError {
    /// The kind as one word, as it stands in the journal.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoKey { .. } => "no-key",
            Self::BadKey { .. } => "bad-key",
            Self::BadEndpoint { .. } => "bad-endpoint",
            Self::KeyInRequest => "key-in-request",
            Self::OverBudget => "over-budget",
            Self::Abandoned => "abandoned",
            Self::Timeout { .. } => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::RateLimited { .. } => "rate-limited",
            Self::Server { .. } => "server",
            Self::Unauthorized { .. } => "unauthorized",
            Self::NoCredit { .. } => "no-credit",
            Self::Unknown { .. } => "unknown",
            Self::NotAccepted { .. } => "not-accepted",
            Self::Truncated { .. } => "truncated",
            Self::TooLong { .. } => "too-long",
            Self::Empty => "empty",
            Self::NotJson { .. } => "not-json",
            Self::NoContent { .. } => "no-content",
            Self::CutOff { .. } => "cut-off",
        }
    }

    /// Whether the same request may do better a little later.
    pub fn is_worth_a_retry(&self) -> bool {
        self.scope() == Scope::Endpoint
    }

    /// What it says something about.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Truncated { .. }
            | Self::Empty
            | Self::NotJson { .. } => Scope::Endpoint,
            Self::KeyInRequest
            | Self::OverBudget
            | Self::Abandoned
            | Self::NotAccepted { .. }
            | Self::TooLong { .. }
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
            | Self::NoContent { .. }
            | Self::CutOff { .. } => true,
            // A gateway that lost the answer of who is behind it.
            Self::Server { status, .. } => matches!(status, 502 | 504),
            _ => false,
        }
    }

    /// When the endpoint said that it may be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after_ms, .. } | Self::Server { retry_after_ms, .. } => {
                retry_after_ms.map(Duration::from_millis)
            }
            _ => None,
        }
    }

    /// How long to leave the endpoint alone after this many requests in a row (at least 1) have failed: as long as it
    /// said, else twice as long each time; bounded.
    pub fn pause(&self, in_a_row: u32) -> Duration {
        let doubled = PAUSE.saturating_mul(2u32.saturating_pow(in_a_row.saturating_sub(1)));
        self.retry_after().unwrap_or(doubled).min(LONGEST_PAUSE)
    }
}

fn after(retry_after_ms: Option<u64>) -> String {
    retry_after_ms.map(|ms| format!(", again after {ms} ms")).unwrap_or_default()
}

/// What an endpoint said as one line of bounded length that can go to a terminal.
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
            LlmError::CutOff { finish_reason: "length".to_owned() },
        ] {
            let json = serde_json::to_value(&error).unwrap();
            assert_eq!(json["kind"], error.kind());
            assert_eq!(serde_json::from_value::<LlmError>(json).unwrap(), error);
        }
    }

    #[test]
    fn a_pause_is_what_was_said_or_doubles_and_is_bounded() {
        assert_eq!(rate_limited(Some(20_000)).pause(5), Duration::from_secs(20));
        assert_eq!(rate_limited(None).pause(1), Duration::from_secs(15));
        assert_eq!(rate_limited(None).pause(3), Duration::from_secs(60));
        assert_eq!(rate_limited(None).pause(u32::MAX), LONGEST_PAUSE);
        assert_eq!(rate_limited(Some(u64::MAX)).pause(1), LONGEST_PAUSE);
    }

    #[test]
    fn what_an_endpoint_says_is_one_bounded_line() {
        assert_eq!(said(" a\u{1b}[31m\n\tb \n"), "a [31m b");
        assert_eq!(said(&"x".repeat(1000)).len(), SAID);
        assert_eq!(said("\n"), "nothing");
    }
}
