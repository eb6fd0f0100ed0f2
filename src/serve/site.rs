//! Site: who may read, and what is answered. The only file that knows the web server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderName, LOCATION, REFERRER_POLICY,
    SET_COOKIE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use tokio::net::TcpListener;

use crate::serve::error::ServeError;
use crate::serve::metrics;
use crate::serve::runs::{Runs, lock};
use crate::serve::token::Token;
use crate::serve::watched::Watched;
use crate::values::candidate::CandidateId;
use crate::view::site::{self, Listed, Shown};

/// Nothing but what this server has, and no script or style inside a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const SAME_SITE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A page that changes all the time is fetched at most this often.
const REST: Duration = Duration::from_secs(1);

/// A server that listens, and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    runs: Arc<Runs>,
    token: Token,
    /// Cookies are for a host and all of its ports: two servers must not take each other's.
    cookie: String,
    /// How long it took to make the page of a run last.
    slowest: Mutex<Duration>,
}

/// Listens at an address; port 0 takes a free one.
///
/// # Errors
/// The address is taken, or is not one of this machine.
pub async fn bind(address: SocketAddr, token: Token, runs: Arc<Runs>) -> Result<Server, ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let cookie = format!("packevolve-{}", address.port());
    Ok(Server { listener, address, shared: Arc::new(Shared { runs, token, cookie, slowest: Mutex::default() }) })
}

impl Server {
    /// The address that opens the list of runs in a browser.
    pub fn address(&self) -> String {
        format!("http://{}/?token={}", self.address, self.shared.token.text())
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// The operating system fails.
    pub async fn run(self) -> Result<(), ServeError> {
        axum::serve(self.listener, routes(self.shared)).await.map_err(ServeError::Failed)
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/run/{name}", get(run))
        .route("/run/{name}/candidates", get(candidates))
        .route("/run/{name}/candidate/{number}", get(candidate))
        .route("/events", get(events))
        .route("/metrics", get(all_metrics))
        .route("/page.js", get(|| async { typed("text/javascript; charset=utf-8", site::SCRIPT) }))
        .route("/style.css", get(|| async { typed("text/css; charset=utf-8", site::style()) }))
        .route("/icon.svg", get(|| async { typed("image/svg+xml", site::ICON) }))
        .fallback(|| async { not_found("there is no such page") })
        .layer(from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// Lets through who has the token, and says on every answer what a browser may do with it.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = parameters(request.uri().query()).into_iter().find(|(key, _)| key == "token");
    let mut response = match given {
        // The address bar and the history need not keep it.
        Some((_, token)) if shared.token.is(&token) && is_page(request.uri()) => welcome(&shared, request.uri()),
        Some((_, token)) if shared.token.is(&token) => next.run(request).await,
        None if shared.admits(request.headers()) => next.run(request).await,
        _ => refusal(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (SAME_SITE, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_page(address: &Uri) -> bool {
    !["/metrics", "/events"].contains(&address.path())
}

/// Leads to the same page without the token, which the browser keeps in a cookie that no script reads.
fn welcome(shared: &Shared, address: &Uri) -> Response {
    let rest: Vec<&str> =
        address.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("token=")).collect();
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    let place = format!("{}{query}", address.path());
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Lax", shared.cookie, shared.token.text());
    (StatusCode::SEE_OTHER, [(LOCATION, place), (SET_COOKIE, cookie)]).into_response()
}

fn refusal() -> Response {
    let text = "A token is needed: open the address that `packevolve serve` printed, or send the token as Bearer.\n";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

impl Shared {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut own = pairs.filter(|(name, _)| *name == self.cookie).map(|(_, token)| token);
        match bearer {
            Some(token) => self.token.is(token.trim()),
            None => own.any(|token| self.token.is(token)),
        }
    }

    /// Makes a page of a run, away from the threads that answer; there is none of a candidate that the run does not have.
    async fn page(
        self: Arc<Self>,
        name: String,
        make: impl FnOnce(&Shown<'_>) -> Result<Option<String>, String> + Send + 'static,
    ) -> Response {
        let made = tokio::task::spawn_blocking(move || {
            let Some(watched) = self.runs.get(&name) else { return not_found("there is no such run") };
            let began = Instant::now();
            let watched = lock(&watched);
            let page = match watched.shown() {
                Ok(shown) => make(&shown),
                Err(why) => Err(why.to_owned()),
            };
            *lock(&self.slowest) = began.elapsed();
            match page {
                Ok(Some(page)) => typed("text/html; charset=utf-8", page),
                Ok(None) => not_found("the run has no such candidate"),
                Err(why) => failed(&why),
            }
        });
        made.await.unwrap_or_else(|_| failed("the page could not be made"))
    }
}

async fn index(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let wanted: Vec<String> =
        parameters(query.as_deref()).into_iter().filter(|(key, _)| key == "run").map(|(_, name)| name).collect();
    let made = tokio::task::spawn_blocking(move || {
        let version = shared.runs.changes().borrow().to_string();
        let names = shared.runs.names();
        let known = in_order(names.iter().filter_map(|name| Some((name.clone(), shared.runs.peek(name)?))));
        let locked: BTreeMap<&str, MutexGuard<'_, Watched>> =
            known.iter().map(|(name, run)| (name.as_str(), lock(run))).collect();
        let listed = names.iter().map(|name| match locked.get(name.as_str()).map(|run| run.shown()) {
            Some(Ok(shown)) => Listed::Read(shown),
            Some(Err(why)) => Listed::Unread { name, why },
            None => Listed::Unread { name, why: "is being read" },
        });
        let page = site::index(listed.collect(), (!wanted.is_empty()).then_some(&wanted[..]), &version);
        typed("text/html; charset=utf-8", page)
    });
    made.await.unwrap_or_else(|_| failed("the page could not be made"))
}

async fn run(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    shared.page(name, |shown| site::run(shown).map(Some).map_err(|error| error.to_string())).await
}

async fn candidates(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    shared.page(name, |shown| Ok(Some(site::all_candidates(shown)))).await
}

async fn candidate(State(shared): State<Arc<Shared>>, Path((name, number)): Path<(String, String)>) -> Response {
    let Ok(number) = number.parse() else { return not_found("a candidate is a number") };
    let id = CandidateId(number);
    let page = move |shown: &Shown<'_>| match shown.run.search.candidate(id) {
        Some(_) => site::candidate(shown, id).map(Some).map_err(|error| error.to_string()),
        None => Ok(None),
    };
    shared.page(name, page).await
}

async fn all_metrics(State(shared): State<Arc<Shared>>) -> Response {
    let made = tokio::task::spawn_blocking(move || {
        let names = shared.runs.names();
        let known = in_order(names.iter().filter_map(|name| Some((name.clone(), shared.runs.get(name)?))));
        let locked: Vec<MutexGuard<'_, Watched>> = known.values().map(|run| lock(run)).collect();
        let shown: Vec<Shown<'_>> = locked.iter().filter_map(|run| run.shown().ok()).collect();
        typed("text/plain; version=0.0.4; charset=utf-8", metrics::text(&shown))
    });
    made.await.unwrap_or_else(|_| failed("the figures could not be made"))
}

/// Runs by their names: who locks several locks them in this order, so that no two wait for each other.
fn in_order(runs: impl Iterator<Item = (String, Arc<Mutex<Watched>>)>) -> BTreeMap<String, Arc<Mutex<Watched>>> {
    runs.collect()
}

/// Tells the version of a run, or of the list of runs, at once and whenever it has changed.
async fn events(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let name = parameters(query.as_deref()).into_iter().find(|(key, _)| key == "run").map(|(_, name)| name);
    let state = (shared.runs.changes(), shared, name, String::new());
    let events = stream::unfold(state, |(mut changes, shared, name, last)| async move {
        loop {
            changes.borrow_and_update();
            let version = version(&shared, name.as_deref());
            if version != last {
                let event = Event::default().event("version").data(&version);
                return Some((Ok::<_, Infallible>(event), (changes, shared, name, version)));
            }
            // A page that is slow to make is not asked for as often.
            let rest = REST.max(*lock(&shared.slowest) * 5);
            tokio::time::sleep(rest).await;
            changes.changed().await.ok()?;
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn version(shared: &Shared, name: Option<&str>) -> String {
    match name {
        None => shared.runs.changes().borrow().to_string(),
        Some(name) => shared.runs.peek(name).map_or(String::new(), |run| lock(&run).version().to_owned()),
    }
}

/// The pairs of a query, decoded.
fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

/// A text in which bytes are written as `%` and two digits.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        match digits {
            Some(digits) => {
                bytes.extend(digits);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn typed(kind: &'static str, content: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, kind)], content.into()).into_response()
}

fn not_found(what: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("{what}\n")).into_response()
}

fn failed(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("this cannot be shown: {why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_never_fails() {
        let pairs = |text: &str| parameters(Some(text));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(pairs("run=a%2Fb&run=c+d&x"), [pair("run", "a/b"), pair("run", "c d"), pair("x", "")]);
        assert_eq!(pairs("a=%zz&b=%4&c=%ff&&"), [pair("a", "%zz"), pair("b", "%4"), pair("c", "\u{fffd}")]);
        assert_eq!(parameters(None), []);
    }
}
