//! The HTTP client of one endpoint, with retries. Only this file uses HTTP.
//!
//! Every wait has a bound, so a request ends within [`Client::longest`]. The key appears only in a header; the client
//! removes it from everything that an endpoint sends back.

use std::error::Error;
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};

use crate::proposer::llm::key::Key;
use crate::proposer::llm::reply::{self, Reply};
use crate::proposer::llm::request::Request;
use crate::proposer::llm::{body, fault, retry_after};
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
pub struct Failure {
    pub error: LlmError,
    /// The part of a body that arrived; possibly empty.
    pub reply: Vec<u8>,
    /// The worst case if the try may have cost something.
    pub charge: Charge,
    /// Whether the body is as unreadable as the one before.
    pub is_again: bool,
    /// The wait before the next try; `None`: this was the last.
    pub wait: Option<Duration>,
}

#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    key: Option<Key>,
    model: ModelSettings,
    /// The kind of the latest reply, if it was unreadable.
    unreadable: Mutex<Option<Discriminant<LlmError>>>,
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
        Ok(Self { http, url, key, model: model.clone(), unreadable: Mutex::default() })
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
    /// try draws on the reserve, and each failed one is reported when it ends. A future that is dropped during a try
    /// leaves the worst case of that try set aside: the endpoint may charge it.
    ///
    /// # Errors
    /// That of the last failure, or why no further try was sent.
    pub async fn ask(
        &self,
        request: &Request,
        reserve: &mut impl Reserve,
        failed: &mut (impl FnMut(Failure) + Send),
    ) -> Result<Exchange, LlmError> {
        for tries in 0.. {
            let mut failure = match self.reserved(request, reserve).await? {
                Ok(exchange) => return Ok(exchange),
                Err(failure) => failure,
            };
            failure.wait = self.wait(&failure.error, tries).filter(|_| !failure.is_again);
            let (error, wait) = (failure.error.clone(), failure.wait);
            failed(failure);
            let Some(wait) = wait else { return Err(error) };
            tracing::info!(model = self.model.name, %error, wait_seconds = wait.as_secs_f64(), "asking again");
            tokio::time::sleep(wait).await;
        }
        unreachable!("BUG: tries are bounded")
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
        let is_success = matches!(sent, Ok(Status::Success));
        let reply = match sent {
            Ok(Status::Success) => reply::read(&received),
            Ok(Status::Redirect { status, location }) => Reply::failed(self.redirected(status, location)),
            Ok(Status::Other { status, retry_after_ms }) => {
                Reply::failed(fault::refusal(status, retry_after_ms, &received))
            }
            Err(error) => Reply::failed(error),
        };
        let is_again = self.is_unreadable_again(reply.text.as_ref().err(), is_success);
        let charge = match (reply.usage, &reply.text) {
            (Some(usage), _) => Charge::of(usage, self.model.prices),
            // An error in place of an answer is free.
            (None, Err(LlmError::Server { .. })) if is_success => Charge::NONE,
            (None, Err(error)) if is_again || !error.may_be_charged() => Charge::NONE,
            (None, _) => request.worst,
        };
        match reply.text {
            Ok(text) => {
                let seconds = began.elapsed().as_secs_f64();
                Ok(Exchange { request: request.body.clone(), reply: received, text, charge, seconds })
            }
            Err(error) => {
                let error = error.asked_at(self.url.as_str());
                Err(Failure { error, reply: received, charge, is_again, wait: None })
            }
        }
    }

    /// Whether a body is unreadable in the way of the one before. Such a fault does not pass, and such a body
    /// does not cost anything. A `whole` body that ends too early is such a one; a connection may break again.
    fn is_unreadable_again(&self, error: Option<&LlmError>, whole: bool) -> bool {
        let is_unreadable = |error: &&LlmError| match error {
            LlmError::NotJson { .. } | LlmError::Empty => true,
            LlmError::Truncated { .. } => whole,
            _ => false,
        };
        let kind = error.filter(is_unreadable).map(discriminant);
        let mut latest = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *latest, kind) == kind && kind.is_some()
    }

    fn redirected(&self, status: u16, location: Option<Vec<u8>>) -> LlmError {
        let location = location.unwrap_or_default();
        let location = self.key.iter().fold(location, |location, key| key.redact(location));
        LlmError::Redirected { status, location: said(&String::from_utf8_lossy(&location)), url: String::new() }
    }

    /// Sends the body and puts the reply, unpacked, into `received`.
    async fn send(&self, request: &Request, received: &mut Vec<u8>) -> Result<Status, LlmError> {
        let mut sending = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .body(request.body.clone());
        if let Some(key) = &self.key {
            let mut header = HeaderValue::try_from(key.bearer()).expect("BUG: a key is visible ASCII");
            header.set_sensitive(true);
            sending = sending.header(AUTHORIZATION, header);
        }
        let mut response = sending.send().await.map_err(|error| self.failed(&error, 0))?;
        let status = response.status();
        if status.is_success() {
            let limit = self.model.max_reply_bytes;
            self.receive(&mut response, received, limit).await?;
            *received = body::unpacked(std::mem::take(received), limit)?;
            return packing(&response).map_or(Ok(Status::Success), Err);
        }
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).map(|location| location.as_bytes().to_vec());
            return Ok(Status::Redirect { status: status.as_u16(), location });
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let retry_after_ms = retry_after::in_headers(header);
        // For an error, the part of the body that arrives soon is enough.
        let reading = self.receive(&mut response, received, ERROR_BYTES);
        let _ = tokio::time::timeout(ERROR_TIME, reading).await;
        *received = body::beginning(std::mem::take(received), ERROR_BYTES);
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
            LlmError::Unreachable { detail, url: String::new() }
        } else {
            LlmError::Truncated { received_bytes: received as u64, detail }
        }
    }
}

/// The beginning of a reply.
enum Status {
    Success,
    Redirect { status: u16, location: Option<Vec<u8>> },
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

/// The error for a body that is packed in a way that was not asked for, and that cannot be unpacked here.
fn packing(response: &Response) -> Option<LlmError> {
    let packing = response.headers().get(CONTENT_ENCODING)?.to_str().ok()?.to_ascii_lowercase();
    let is_known = ["gzip", "x-gzip", "identity", ""].contains(&packing.as_str());
    let detail = format!("it is packed as {}, which was not asked for", said(&packing));
    (!is_known).then(|| LlmError::NotJson { detail, said: packing, url: String::new() })
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
    fn an_address_that_is_none_is_refused_at_once() {
        let mut model = ModelSettings::example();
        model.base_url = "http://[".to_owned();
        let error = Client::with_key(&model, None).map(drop).unwrap_err();
        assert_eq!(<&str>::from(error), "bad-endpoint");
    }
}
