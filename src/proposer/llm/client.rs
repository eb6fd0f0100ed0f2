//! The HTTP client of one endpoint, with retries. Only this file uses HTTP.
//!
//! Every wait has a bound, so a request ends within [`Client::longest`]. The key appears only in a header; the client
//! removes it from everything that an endpoint sends back.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};

use crate::proposer::llm::key::Key;
use crate::proposer::llm::reply::{self, Reply};
use crate::proposer::llm::request::Request;
use crate::values::cost::{Charge, Reserve};
use crate::values::llm_error::{LlmError, Scope, said};
use crate::values::settings::ModelSettings;

/// Limits on reading the body of an error.
const ERROR_BYTES: u64 = 64 * 1024;
const ERROR_TIME: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub request: Vec<u8>,
    /// The body as received, except that a key in it is removed.
    pub reply: Vec<u8>,
    pub text: String,
    /// The cost that the endpoint reports, or the worst case.
    pub charge: Charge,
    /// Seconds, without earlier tries.
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The failed tries, in order.
    pub failures: Vec<Failure>,
    /// The answer or the error, mostly that of the last failure.
    pub result: Result<Exchange, LlmError>,
}

impl Asked {
    pub fn charge(&self) -> Charge {
        let answer = self.result.as_ref().map_or(Charge::NONE, |exchange| exchange.charge);
        self.failures.iter().map(|failure| failure.charge).sum::<Charge>() + answer
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub error: LlmError,
    /// The part of a body that arrived; possibly empty.
    pub reply: Vec<u8>,
    /// The worst case if the try may have cost something.
    pub charge: Charge,
}

#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    key: Option<Key>,
    model: ModelSettings,
}

impl Client {
    /// Reads the key from the environment if the settings name one. Sends nothing.
    pub fn open(model: &ModelSettings) -> Result<Self, LlmError> {
        let key = model.key_env.as_deref().map(Key::from_env).transpose()?;
        Self::with_key(model, key)
    }

    /// Sends nothing. Fails if the address is invalid or the machine has no certificates for `https`.
    pub fn with_key(model: &ModelSettings, key: Option<Key>) -> Result<Self, LlmError> {
        let bad = |detail: String| LlmError::BadEndpoint { base_url: model.base_url.clone(), detail };
        let url = format!("{}/chat/completions", model.base_url.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| bad(error.to_string()))?;
        let mut http = reqwest::Client::builder()
            .timeout(seconds(model.timeout_seconds))
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("packevolve/", env!("CARGO_PKG_VERSION")));
        // Uses ring, because reqwest's default, aws-lc-rs, takes minutes to compile. An earlier client has installed
        // the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if url.scheme() == "http" {
            // Plain http needs no certificates, and a local server is not behind a proxy.
            http = http.tls_certs_only([]).no_proxy();
        }
        let http = http.build().map_err(|error| bad(innermost(&error)))?;
        Ok(Self { http, url, key, model: model.clone() })
    }

    pub fn model(&self) -> &ModelSettings {
        &self.model
    }

    /// The longest time that [`Client::ask`] can take.
    pub fn longest(&self) -> Duration {
        let retries = self.model.retries;
        let tries = (seconds(self.model.timeout_seconds) + ERROR_TIME).saturating_mul(retries.saturating_add(1));
        tries.saturating_add(seconds(self.model.max_backoff_seconds).saturating_mul(retries))
    }

    /// Sends a request, and repeats it if that may help, after the time that the endpoint names or a doubling one. Each
    /// try draws on the reserve. A future that is dropped during a try leaves the worst case of that try set aside: the
    /// endpoint may charge it.
    pub async fn ask(&self, request: &Request, reserve: &mut impl Reserve) -> Asked {
        let mut failures = Vec::new();
        let result = loop {
            let failure = match self.reserved(request, reserve).await {
                Ok(Ok(exchange)) => break Ok(exchange),
                Ok(Err(failure)) => failure,
                Err(not_sent) => break Err(not_sent),
            };
            let wait = self.wait(&failure.error, failures.len());
            let error = failure.error.clone();
            failures.push(failure);
            let Some(wait) = wait else { break Err(error) };
            tracing::info!(model = self.model.name, %error, wait_seconds = wait.as_secs_f64(), "asking again");
            tokio::time::sleep(wait).await;
        };
        Asked { failures, result }
    }

    /// One try, if the reserve has room for its worst case.
    async fn reserved(
        &self,
        request: &Request,
        reserve: &mut impl Reserve,
    ) -> Result<Result<Exchange, Failure>, LlmError> {
        if self.key.as_ref().is_some_and(|key| key.is_in(&request.body)) {
            return Err(LlmError::KeyInRequest);
        }
        if !reserve.reserve(request.worst) {
            return Err(LlmError::OverBudget);
        }
        let outcome = self.once(request).await;
        let charge = outcome.as_ref().map_or_else(|failure| failure.charge, |exchange| exchange.charge);
        reserve.settle(request.worst, charge);
        Ok(outcome)
    }

    /// The wait before another try; `None`: no further try. If an endpoint names a time beyond the longest wait, the
    /// caller has to come back later.
    fn wait(&self, error: &LlmError, retries: usize) -> Option<Duration> {
        let retries = u32::try_from(retries).ok().filter(|retries| *retries < self.model.retries)?;
        if error.scope() != Scope::Endpoint {
            return None;
        }
        let longest = seconds(self.model.max_backoff_seconds);
        match error.retry_after() {
            Some(named) => (named <= longest).then_some(named),
            None => {
                let first = seconds(self.model.initial_backoff_seconds);
                Some(first.saturating_mul(2u32.saturating_pow(retries)).min(longest))
            }
        }
    }

    async fn once(&self, request: &Request) -> Result<Exchange, Failure> {
        let began = Instant::now();
        let mut received = Vec::new();
        let sent = self.send(request, &mut received).await;
        // First, because shortening the body later could cut a key in two.
        let received = self.key.iter().fold(received, |received, key| key.redact(received));
        let reply = match sent {
            Ok(Status::Success) => reply::read(&received),
            Ok(Status::Other { status, retry_after_ms }) => {
                Reply::failed(reply::refusal(status, retry_after_ms, &received))
            }
            Err(error) => Reply::failed(error),
        };
        let charge = match (reply.usage, &reply.text) {
            (Some(usage), _) => Charge::of(usage, self.model.prices),
            (None, Err(error)) if !error.may_be_charged() => Charge::NONE,
            (None, _) => request.worst,
        };
        match reply.text {
            Ok(text) => {
                let seconds = began.elapsed().as_secs_f64();
                Ok(Exchange { request: request.body.clone(), reply: received, text, charge, seconds })
            }
            Err(error) => Err(Failure { error, reply: received, charge }),
        }
    }

    /// Sends the body and appends the reply to `received`.
    async fn send(&self, request: &Request, received: &mut Vec<u8>) -> Result<Status, LlmError> {
        let mut sending =
            self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(request.body.clone());
        if let Some(key) = &self.key {
            let mut header = HeaderValue::try_from(key.bearer()).expect("BUG: a key is visible ASCII");
            header.set_sensitive(true);
            sending = sending.header(AUTHORIZATION, header);
        }
        let mut response = sending.send().await.map_err(|error| self.failed(&error, 0))?;
        let status = response.status();
        if status.is_success() {
            return self.receive(&mut response, received, self.model.max_reply_bytes).await.map(|()| Status::Success);
        }
        // For an error, the part of the body that arrives soon is enough.
        let retry_after_ms = retry_after_ms(response.headers());
        let reading = self.receive(&mut response, received, ERROR_BYTES);
        let _ = tokio::time::timeout(ERROR_TIME, reading).await;
        Ok(Status::Other { status: status.as_u16(), retry_after_ms })
    }

    async fn receive(&self, response: &mut Response, received: &mut Vec<u8>, limit: u64) -> Result<(), LlmError> {
        loop {
            let chunk = response.chunk().await.map_err(|error| self.failed(&error, received.len()))?;
            let Some(chunk) = chunk else { return Ok(()) };
            let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(received.len());
            received.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Err(LlmError::TooLong { limit_bytes: limit });
            }
        }
    }

    fn failed(&self, error: &reqwest::Error, received: usize) -> LlmError {
        let detail = said(&innermost(error));
        if error.is_timeout() {
            LlmError::Timeout { milliseconds: (self.model.timeout_seconds * 1e3).round() as u64 }
        } else if error.is_connect() {
            LlmError::Unreachable { detail }
        } else {
            LlmError::Truncated { received_bytes: received as u64, detail }
        }
    }
}

/// The beginning of a reply.
enum Status {
    Success,
    Other { status: u16, retry_after_ms: Option<u64> },
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The root cause of an error, without the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = None;
    while let Some(error) = source {
        text = Some(error.to_string());
        source = error.source();
    }
    text.unwrap_or_else(|| error.to_string())
}

/// The time in Retry-After: seconds, possibly fractional, or a date.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let of_date = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64();
    let seconds = text.parse().ok().or_else(|| httpdate::parse_http_date(text).ok().map(of_date))?;
    let bounded = f64::clamp(seconds, 0.0, 1e9);
    (!bounded.is_nan()).then(|| (bounded * 1e3).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(change: impl FnOnce(&mut ModelSettings)) -> Client {
        let mut model = ModelSettings::example();
        change(&mut model);
        Client::with_key(&model, None).unwrap()
    }

    fn limited(retry_after_ms: Option<u64>) -> LlmError {
        LlmError::RateLimited { retry_after_ms, said: String::new() }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let client = client(|model| {
            (model.retries, model.initial_backoff_seconds, model.max_backoff_seconds) = (4, 1.0, 3.0);
        });
        let waits: Vec<_> = (0..5).map(|retries| client.wait(&limited(None), retries)).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(3), Some(3), None].map(|wait| wait.map(Duration::from_secs)));
        assert_eq!(client.wait(&LlmError::KeyInRequest, 0), None);
    }

    #[test]
    fn an_endpoint_is_asked_again_when_it_said_and_not_before() {
        let client = client(|model| model.max_backoff_seconds = 3.0);
        assert_eq!(client.wait(&limited(Some(2500)), 1), Some(Duration::from_millis(2500)));
        assert_eq!(client.wait(&limited(Some(3001)), 0), None);
    }

    #[test]
    fn the_longest_that_a_request_can_take_is_known() {
        let client = client(|model| {
            (model.timeout_seconds, model.retries, model.max_backoff_seconds) = (10.0, 2, 60.0);
        });
        assert_eq!(client.longest(), Duration::from_secs(3 * 15 + 2 * 60));
    }

    #[test]
    fn the_time_to_come_back_is_read_in_all_its_forms() {
        let read =
            |value: &str| retry_after_ms(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]));
        assert_eq!(read("2"), Some(2000));
        assert_eq!(read(" 0.25 "), Some(250));
        assert_eq!(read("-3"), Some(0));
        assert_eq!(read("1e300"), Some(1_000_000_000_000));
        assert_eq!(read("soon"), None);
        assert_eq!(read("NaN"), None);
        let soon = read(&httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100))).unwrap();
        assert!((98_000..=100_000).contains(&soon), "{soon}");
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
    }

    #[test]
    fn an_address_that_is_none_is_refused_at_once() {
        let mut model = ModelSettings::example();
        model.base_url = "http://[".to_owned();
        let error = Client::with_key(&model, None).map(drop).unwrap_err();
        assert_eq!(<&str>::from(error), "bad-endpoint");
    }
}
