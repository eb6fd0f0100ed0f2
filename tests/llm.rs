//! Language models, against a real server on loopback: each fault that an endpoint can have is reported as what it is,
//! sent again as often as it should be and no more, ends in time, and shows no key.

use std::future::Future;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use packevolve::archive::programs::derive;
use packevolve::proposer::llm::client::{Client, Exchange, Failure};
use packevolve::proposer::llm::context::{ProgramShown, PromptContext};
use packevolve::proposer::llm::conversation::Conversation;
use packevolve::proposer::llm::document::document;
use packevolve::proposer::llm::key::Key;
use packevolve::proposer::llm::prompt::Prompts;
use packevolve::proposer::llm::reply;
use packevolve::proposer::llm::request::Request;
use packevolve::values::cost::{Budget, Charge, Limit, Reserve, Usage};
use packevolve::values::event::RequestForm;
use packevolve::values::llm_error::{LlmError, Scope};
use packevolve::values::settings::ModelSettings;

use crate::support::endpoint::{Act, Endpoint, answer};
use crate::support::{World, text_of};

const KEY: &str = "sk-hunter2-and-more";
/// Far beyond what any of these may take, far below what a test run would wait.
const TOO_LONG: Duration = Duration::from_secs(60);

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TOO_LONG, future).await.expect("it hangs") })
}

fn model(base_url: &str) -> ModelSettings {
    ModelSettings { base_url: base_url.to_owned(), ..ModelSettings::example() }
}

fn asking(model: &ModelSettings) -> Request {
    Request::new(model, &Conversation::new("be brief".to_owned(), "say something".to_owned()))
}

/// A request with the failures that were reported before it ended.
#[derive(Debug, PartialEq)]
struct Asked {
    failures: Vec<Failure>,
    result: Result<Exchange, LlmError>,
}

impl Asked {
    fn charge(&self) -> Charge {
        let answer = self.result.as_ref().map_or(Charge::NONE, |exchange| exchange.charge);
        self.failures.iter().map(|failure| failure.charge).sum::<Charge>() + answer
    }
}

async fn ask(client: &Client, request: &Request, reserve: &mut impl Reserve) -> Asked {
    let mut failures = Vec::new();
    let result = client.ask(request, reserve, &mut |failure| failures.push(failure)).await;
    Asked { failures, result }
}

/// Spends without limit.
fn rich() -> Budget {
    Budget::new(Limit::default())
}

/// What came of one request with the key that must show nowhere.
struct Outcome {
    asked: Asked,
    took: Duration,
}

impl Outcome {
    fn of(model: &ModelSettings) -> Self {
        let client = Client::with_key(model, Key::new(KEY)).unwrap();
        let mut budget = rich();
        let began = Instant::now();
        let asked = wait_for(ask(&client, &asking(model), &mut budget));
        let outcome = Self { asked, took: began.elapsed() };
        assert!(outcome.took <= client.longest(), "{:?} is longer than {:?}", outcome.took, client.longest());
        assert_eq!((budget.spent, budget.reserved), (outcome.asked.charge(), Charge::NONE));
        outcome.shows_no_key(&client);
        outcome
    }

    fn shows_no_key(&self, client: &Client) {
        let mut shown = format!("{client:?} {:?}", self.asked);
        for failure in &self.asked.failures {
            shown += &failure.error.to_string();
            shown += &serde_json::to_string(&failure.error).unwrap();
            shown += &String::from_utf8_lossy(&failure.reply);
        }
        if let Ok(exchange) = &self.asked.result {
            shown += &String::from_utf8_lossy(&exchange.reply);
            shown += &String::from_utf8_lossy(&exchange.request);
        }
        assert!(!shown.contains(KEY), "the key shows:\n{shown}");
    }

    #[track_caller]
    fn answer(&self) -> &Exchange {
        self.asked.result.as_ref().unwrap()
    }

    /// The last failure, which is the one that is reported.
    #[track_caller]
    fn failure(&self) -> &Failure {
        let last = self.asked.failures.last().expect("a try failed");
        assert_eq!(self.asked.result.as_ref().expect_err("an answer came"), &last.error);
        last
    }
}

/// A fault that stays: how it is reported, how many requests it takes, what it says about the endpoint, and whether it
/// may have cost something.
#[track_caller]
fn stays(act: Act, kind: &str, requests: usize, scope: Scope, is_charged: bool) -> Outcome {
    let endpoint = Endpoint::playing(vec![act]);
    let model = ModelSettings { timeout_seconds: 0.4, max_reply_bytes: 4096, ..model(&endpoint.base_url()) };
    let outcome = Outcome::of(&model);
    let error = &outcome.failure().error;
    assert_eq!((<&str>::from(error), error.scope()), (kind, scope), "{error:?}");
    assert_eq!((endpoint.arrived().len(), outcome.asked.failures.len()), (requests, requests), "{error:?}");
    let charge = if is_charged { asking(&model).worst } else { Charge::NONE };
    // A body that is unreadable again costs nothing.
    let charged = |failure: &Failure| if failure.is_again { Charge::NONE } else { charge };
    assert!(outcome.asked.failures.iter().all(|failure| failure.charge == charged(failure)), "{:?}", outcome.asked);
    let waits = outcome.asked.failures.iter().map(|failure| failure.wait.is_some());
    assert!(waits.eq((1..=requests).map(|number| number < requests)), "{:?}", outcome.asked);
    outcome
}

#[test]
fn an_answer_comes_with_all_that_a_record_needs() {
    let endpoint = Endpoint::playing(vec![Act::Say("hé\n".to_owned())]);
    let mut model = model(&endpoint.base_url());
    model.parameters.insert("temperature".to_owned(), serde_json::json!(0.7));
    let outcome = Outcome::of(&model);
    let exchange = outcome.answer();
    assert_eq!(exchange.text, "hé\n");
    assert_eq!(exchange.reply, answer("hé\n").as_bytes());
    let usage = Usage { prompt_tokens: 100, completion_tokens: 10 };
    assert_eq!(exchange.charge, Charge::of(usage, model.prices));
    assert_eq!(exchange.charge.dollars(), 0.000_14);
    let [arrived] = &endpoint.arrived()[..] else { panic!("one request") };
    assert!(arrived.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", arrived.head);
    assert!(arrived.head.to_lowercase().contains("content-type: application/json"), "{}", arrived.head);
    assert!(arrived.head.contains(&format!("Bearer {KEY}")), "{}", arrived.head);
    assert_eq!(arrived.body, exchange.request, "what is recorded is what was sent");
    assert_eq!(reply::read(&exchange.reply).text.unwrap(), exchange.text, "and reads again without the endpoint");
}

#[test]
fn without_a_key_none_is_sent() {
    let endpoint = Endpoint::playing(vec![Act::Say("a".to_owned())]);
    let model = model(&endpoint.base_url());
    let client = Client::open(&model).unwrap();
    wait_for(ask(&client, &asking(&model), &mut rich())).result.unwrap();
    assert!(!endpoint.arrived()[0].head.to_lowercase().contains("authorization"));
}

#[test]
fn silence_ends_with_the_time_that_it_has() {
    let outcome = stays(Act::Silence, "timeout", 3, Scope::Endpoint, true);
    assert!(outcome.took >= Duration::from_millis(3 * 400), "{:?}", outcome.took);
    assert_eq!(outcome.failure().error, LlmError::Timeout { milliseconds: 400 });
}

#[test]
fn a_reply_that_trickles_ends_with_the_time_that_it_has() {
    stays(Act::Drip, "timeout", 3, Scope::Endpoint, true);
}

#[test]
fn too_many_requests_are_sent_again_when_the_endpoint_said() {
    let later = Act::refuse(429, "Retry-After: 0.3\r\n", "slow down");
    let endpoint = Endpoint::playing(vec![later.clone(), later, Act::Say("now".to_owned())]);
    let outcome = Outcome::of(&model(&endpoint.base_url()));
    assert_eq!(outcome.answer().text, "now");
    let arrived = endpoint.arrived();
    assert_eq!(arrived.len(), 3);
    for pair in arrived.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= Duration::from_millis(300), "{apart:?}");
        assert_eq!(pair[0].body, pair[1].body);
    }
    assert!(outcome.asked.failures.iter().all(|failure| failure.charge == Charge::NONE), "a refusal is free");
    assert_eq!(outcome.asked.failures[0].error.to_string(), "rate limited (429), retry after 300 ms: slow down");
}

#[test]
fn an_endpoint_that_wants_more_patience_than_there_is_is_left_alone() {
    let later = Act::refuse(429, "Retry-After: 3600\r\n", "tomorrow");
    let outcome = stays(later, "rate-limited", 1, Scope::Endpoint, false);
    assert_eq!(outcome.failure().error.pause(1), Duration::from_secs(15 * 60), "bounded");
    stays(Act::refuse(429, "", "often"), "rate-limited", 3, Scope::Endpoint, false);
    stays(Act::refuse(429, "", "insufficient_quota"), "no-credit", 1, Scope::Settings, false);
}

#[test]
fn an_endpoint_that_fails_is_asked_again_after_a_wait_that_doubles() {
    let broken = Act::refuse(500, "", "oops");
    let endpoint = Endpoint::playing(vec![broken.clone(), broken, Act::Say("back".to_owned())]);
    let model = ModelSettings { initial_backoff_seconds: 0.1, ..model(&endpoint.base_url()) };
    assert_eq!(Outcome::of(&model).answer().text, "back");
    let at: Vec<Instant> = endpoint.arrived().iter().map(|arrived| arrived.at).collect();
    assert!(at[1] - at[0] >= Duration::from_millis(100) && at[2] - at[1] >= Duration::from_millis(200));
    stays(Act::refuse(503, "", "busy"), "server", 3, Scope::Endpoint, false);
    stays(Act::refuse(502, "", "lost what may have been an answer"), "server", 3, Scope::Endpoint, true);
}

#[test]
fn a_refused_connection_is_reported() {
    let model = model(&Endpoint::refusing());
    let outcome = Outcome::of(&model);
    assert_eq!(<&str>::from(&outcome.failure().error), "unreachable");
    assert_eq!(outcome.failure().error.scope(), Scope::Endpoint);
    assert_eq!((outcome.asked.failures.len(), outcome.failure().charge), (3, Charge::NONE));
    let message = outcome.failure().error.to_string();
    assert!(message.to_lowercase().contains("refused"), "{message}");
}

#[test]
fn a_reply_that_breaks_off_is_sent_for_again() {
    let outcome = stays(Act::BreakOff, "truncated", 3, Scope::Endpoint, true);
    assert!(
        matches!(outcome.failure().error, LlmError::Truncated { received_bytes: 13, .. }),
        "{:?}",
        outcome.failure()
    );
    assert_eq!(outcome.failure().reply, b"{\"choices\": [");
    stays(Act::Close, "truncated", 3, Scope::Endpoint, true);
    stays(Act::Garble, "truncated", 3, Scope::Endpoint, true);
}

#[test]
fn a_huge_reply_is_not_read_to_its_end() {
    let outcome = stays(Act::Flood, "too-long", 1, Scope::Request, true);
    assert_eq!(outcome.failure().error, LlmError::TooLong { limit_bytes: 4096 });
    assert_eq!(outcome.failure().reply.len(), 4096);
    let room = ModelSettings::example().max_reply_bytes as usize;
    let endpoint = Endpoint::playing(vec![Act::Say("x".repeat(room))]);
    assert_eq!(
        <&str>::from(&Outcome::of(&model(&endpoint.base_url())).failure().error),
        "too-long",
        "with its length announced"
    );
}

#[test]
fn an_empty_reply_and_an_unreadable_one_are_retried_once_and_charged_once() {
    let outcome = stays(Act::body(""), "empty", 2, Scope::Endpoint, true);
    assert!(!outcome.asked.failures[0].is_again && outcome.asked.failures[1].is_again);
    let outcome = stays(Act::body("<html>Sign in</html>"), "not-json", 2, Scope::Endpoint, true);
    assert!(outcome.failure().error.to_string().contains("\"<html>Sign in</html>\""));
    assert!(!outcome.asked.failures[0].is_again && outcome.asked.failures[1].is_again);
    let outcome = stays(Act::body(&answer("x")[..60]), "truncated", 2, Scope::Endpoint, true);
    assert!(!outcome.asked.failures[0].is_again && outcome.asked.failures[1].is_again);
}

#[test]
fn what_stays_unreadable_is_charged_at_its_worst_once_for_all_requests() {
    let page = Act::body("<html>Sign in</html>");
    let endpoint = Endpoint::playing(vec![page.clone(), page.clone(), page.clone(), Act::Say("a".to_owned()), page]);
    let model = model(&endpoint.base_url());
    let client = Client::with_key(&model, None).unwrap();
    let request = asking(&model);
    let charges = |asked: Asked| asked.failures.iter().map(|failure| failure.charge).collect::<Vec<_>>();
    let (worst, none) = (request.worst, Charge::NONE);
    assert_eq!(charges(wait_for(ask(&client, &request, &mut rich()))), [worst, none]);
    assert_eq!(charges(wait_for(ask(&client, &request, &mut rich()))), [none]);
    assert_eq!(wait_for(ask(&client, &request, &mut rich())).result.unwrap().text, "a");
    assert_eq!(charges(wait_for(ask(&client, &request, &mut rich()))), [worst, none]);
}

#[test]
fn a_reply_without_content_is_an_error_and_not_retried() {
    stays(Act::body("{\"choices\": [{\"message\": {}}]}"), "no-content", 1, Scope::Request, true);
    stays(Act::body("{\"object\": \"list\"}"), "no-choices", 1, Scope::Request, true);
}

#[test]
fn an_answer_that_was_cut_off_is_reported_and_charged_as_counted() {
    let body = answer("half of").replace("\"stop\"", "\"length\"");
    let endpoint = Endpoint::playing(vec![Act::body(&body)]);
    let model = model(&endpoint.base_url());
    let outcome = Outcome::of(&model);
    let failure = outcome.failure();
    assert_eq!(failure.error, LlmError::CutOff { finish_reason: "length".to_owned(), reasoning: 0, hidden_tokens: 0 });
    assert_eq!(failure.charge, Charge::of(Usage { prompt_tokens: 100, completion_tokens: 10 }, model.prices));
    assert_eq!((failure.reply.as_slice(), endpoint.arrived().len()), (body.as_bytes(), 1));
}

#[test]
fn what_other_settings_alone_can_cure_is_final() {
    stays(Act::refuse(401, "", "wrong key"), "unauthorized", 1, Scope::Settings, false);
    stays(Act::refuse(403, "", "not you"), "unauthorized", 1, Scope::Settings, false);
    stays(Act::refuse(402, "", "pay first"), "no-credit", 1, Scope::Settings, false);
    stays(Act::refuse(404, "", "no such model"), "unknown", 1, Scope::Settings, false);
}

#[test]
fn a_request_that_is_not_taken_is_not_sent_again_nor_elsewhere() {
    stays(Act::refuse(400, "", "context_length_exceeded"), "not-accepted", 1, Scope::Request, false);
    let elsewhere = Endpoint::playing(vec![Act::Say("caught".to_owned())]);
    let headers = format!("Location: {}\r\n", elsewhere.base_url());
    let outcome = stays(Act::refuse(307, &headers, "there"), "redirected", 1, Scope::Request, false);
    let message = outcome.failure().error.to_string();
    assert!(
        message.contains(&format!("(307) to {}, which is not followed; asked: POST http", elsewhere.base_url())),
        "{message}"
    );
    assert!(elsewhere.arrived().is_empty(), "no key follows a redirection");
}

#[test]
fn an_endless_error_is_still_reported_by_its_status() {
    let body = "x".repeat(1 << 20);
    let outcome =
        stays(Act::Reply { status: 401, headers: String::new(), body }, "unauthorized", 1, Scope::Settings, false);
    assert_eq!(outcome.failure().reply.len(), 64 * 1024);
}

#[test]
fn a_key_that_an_endpoint_sends_back_is_taken_out() {
    let endpoint = Endpoint::playing(vec![Act::Echo { status: 200 }]);
    let outcome = Outcome::of(&model(&endpoint.base_url()));
    let exchange = outcome.answer();
    assert!(exchange.text.contains("Bearer [key]"), "{}", exchange.text);
    let endpoint = Endpoint::playing(vec![Act::Echo { status: 401 }]);
    let outcome = Outcome::of(&model(&endpoint.base_url()));
    assert!(outcome.failure().error.to_string().contains("Bearer [key]"), "{:?}", outcome.failure());
}

#[test]
fn a_request_that_holds_the_key_is_never_sent() {
    let endpoint = Endpoint::playing(vec![Act::Say("a".to_owned())]);
    let model = model(&endpoint.base_url());
    let client = Client::with_key(&model, Key::new(KEY)).unwrap();
    let request = Request::new(&model, &Conversation::new("s".to_owned(), format!("my key is {KEY}")));
    let asked = wait_for(ask(&client, &request, &mut rich()));
    assert_eq!(asked, Asked { failures: Vec::new(), result: Err(LlmError::KeyInRequest) });
    assert!(endpoint.arrived().is_empty());
}

#[test]
fn a_missing_key_is_reported_by_the_name_of_its_variable() {
    let variable = "PACKEVOLVE_TEST_NO_SUCH_KEY".to_owned();
    let model = ModelSettings { key_env: Some(variable.clone()), ..model("http://127.0.0.1:1/v1") };
    assert_eq!(Client::open(&model).map(drop), Err(LlmError::NoKey { variable }));
}

#[test]
fn no_try_is_made_that_the_budget_has_no_room_for() {
    let endpoint = Endpoint::playing(vec![Act::BreakOff, Act::BreakOff, Act::Say("at last".to_owned())]);
    let model = model(&endpoint.base_url());
    let client = Client::with_key(&model, None).unwrap();
    let request = asking(&model);
    let limit = Limit { tokens: None, nanodollars: Some(2 * request.worst.nanodollars) };
    let mut budget = Budget::new(limit);
    let asked = wait_for(ask(&client, &request, &mut budget));
    // Two lost replies may have been charged, so that there is no room for a third try.
    assert_eq!(asked.result, Err(LlmError::OverBudget));
    assert_eq!((endpoint.arrived().len(), asked.failures.len()), (2, 2));
    assert!(limit.allows(budget.spent) && !budget.has_room(request.worst));
    assert_eq!((budget.spent, budget.reserved), (asked.charge(), Charge::NONE));
}

/// One budget for requests at the same time.
struct Shared<'a>(&'a Mutex<Budget>);

impl Reserve for Shared<'_> {
    fn reserve(&mut self, worst: Charge) -> bool {
        self.0.lock().unwrap().reserve(worst)
    }

    fn settle(&mut self, worst: Charge, actual: Charge) {
        self.0.lock().unwrap().settle(worst, actual);
    }
}

#[test]
fn requests_in_flight_count_at_their_worst() {
    let endpoint = Endpoint::playing(vec![Act::Say("one".to_owned())]);
    let model = model(&endpoint.base_url());
    let client = Client::with_key(&model, None).unwrap();
    let request = asking(&model);
    let limit = Limit { tokens: Some(request.worst.tokens() + 50), nanodollars: None };
    let budget = Mutex::new(Budget::new(limit));
    let (mut one, mut other) = (Shared(&budget), Shared(&budget));
    let (first, second) =
        wait_for(async { tokio::join!(ask(&client, &request, &mut one), ask(&client, &request, &mut other)) });
    assert_eq!((first.result.is_ok(), second.result), (true, Err(LlmError::OverBudget)));
    // What it really cost leaves less than the worst case of another one.
    let spent = budget.lock().unwrap().spent;
    assert_eq!((spent, endpoint.arrived().len()), (first.charge(), 1));
    assert_eq!(spent.tokens(), 110);
    assert!(!budget.lock().unwrap().has_room(request.worst));
}

#[test]
fn requests_at_the_same_time_do_not_wait_for_each_other() {
    let endpoint = Endpoint::playing(vec![Act::Silence, Act::Say("here".to_owned())]);
    let model = ModelSettings { timeout_seconds: 2.0, retries: 0, ..model(&endpoint.base_url()) };
    let client = Client::with_key(&model, None).unwrap();
    let request = asking(&model);
    let (first, second) = wait_for(async {
        let (mut one, mut other) = (rich(), rich());
        tokio::join!(ask(&client, &request, &mut one), async {
            while endpoint.arrived().is_empty() {
                tokio::task::yield_now().await;
            }
            let began = Instant::now();
            (ask(&client, &request, &mut other).await.result, began.elapsed())
        })
    });
    assert_eq!(<&str>::from(first.result.unwrap_err()), "timeout");
    let (answer, took) = second;
    assert!(answer.unwrap().text == "here" && took < Duration::from_secs(1), "{took:?}");
}

/// A request's whole life: an edit that does not apply goes back with its diagnosis, and the next one is a proposal.
#[test]
fn an_edit_that_does_not_apply_comes_back_as_one_that_does() {
    let parent = text_of("candidates/eplb.py");
    let edit = |search: &str| {
        format!(
            "<NAME>\ncpu_sort\n</NAME>\n<DESCRIPTION>\nd\n</DESCRIPTION>\n<DIFF>\n<<<<<<< SEARCH\n{search}\n=======\n    \
             indices = weight.sort(-1, descending=True).indices\n>>>>>>> REPLACE\n</DIFF>"
        )
    };
    let line = "    indices = weight.float().sort(-1, descending=True).indices.cpu()";
    let endpoint = Endpoint::playing(vec![Act::Say(edit(line.trim_start())), Act::Say(edit(line))]);
    let model = model(&endpoint.base_url());
    let client = Client::with_key(&model, None).unwrap();
    let prompts = Prompts::read(None).unwrap();
    let shown = ProgramShown::new("seed", "The seed program.", &parent, None);
    let context = PromptContext { parent: shown, ..PromptContext::bare_example() };

    let conversation = prompts.ask(RequestForm::Edit, &context).unwrap();
    let first = wait_for(ask(&client, &Request::new(&model, &conversation), &mut rich())).result.unwrap();
    let error = document(RequestForm::Edit, &parent, &first.text).unwrap_err();
    let back = prompts.repair(conversation, first.text, &error.diagnosis(), 1).unwrap();
    let second = wait_for(ask(&client, &Request::new(&model, &back), &mut rich())).result.unwrap();
    let document = document(RequestForm::Edit, &parent, &second.text).unwrap();
    assert_eq!(derive(&parent, &document).unwrap().0.name, "cpu_sort");

    let sent = String::from_utf8(endpoint.arrived()[1].body.clone()).unwrap();
    let sent: serde_json::Value = serde_json::from_str(&sent).unwrap();
    let said = |place: usize| sent["messages"][place]["content"].as_str().unwrap();
    assert!(said(1).contains(&parent), "the program stands in the prompt to the byte");
    assert!(said(3).contains("differs in indentation only"), "{}", said(3));
}

#[test]
fn a_model_in_config_is_checked_before_anything_begins() {
    let world = World::new();
    world.set("proposers", "{models: [{base_url: 'http://localhost/v1', model: m, parameters: {}}]}");
    let message = ["config.yaml:8:78: proposers.models[0].parameters: must set max_completion_tokens or max_tokens"];
    world.run(&["evolve", "--run", "x"]).ends(3).tells_one_error(&message);
    assert!(!world.has_run("x"));
}

/// Against a server that others wrote, of the Python package `mock-ai-api` (0.1.1):
///
/// ```text
/// python3 -m venv there && there/bin/pip install mock-ai-api==0.1.1
/// there/bin/mock-ai-api --openai-port 8011 &
/// OTHERS_ENDPOINT=http://127.0.0.1:8011/v1 cargo test --release -p packevolve --test main -- --ignored others_wrote
/// ```
#[test]
#[ignore = "needs a server of others, see above"]
fn a_server_that_others_wrote_is_understood() {
    let base_url =
        std::env::var("OTHERS_ENDPOINT").expect("OTHERS_ENDPOINT names the server, as in http://host:port/v1");
    let ask = |scenario: &str| {
        let model = ModelSettings { model: format!("gpt-4.1:{scenario}"), ..model(&base_url) };
        Outcome::of(&model)
    };
    let outcome = ask("mock-text");
    let exchange = outcome.answer();
    println!("it says {:?} for {:?}", exchange.text, exchange.charge);
    assert!(!exchange.text.is_empty() && exchange.charge.usage.completion_tokens > 0);
    assert!(exchange.charge.tokens() < 1000, "as counted there");
    for (scenario, kind, retries) in [
        ("mock-400", "not-accepted", 0),
        ("mock-401", "unauthorized", 0),
        ("mock-429", "rate-limited", 2),
        ("mock-500", "server", 2),
        ("mock-503", "server", 2),
        ("mock-tool-call", "no-content", 0),
    ] {
        let outcome = ask(scenario);
        println!("{scenario}: {}", outcome.failure().error);
        assert_eq!(
            (<&str>::from(&outcome.failure().error), outcome.asked.failures.len() - 1),
            (kind, retries),
            "{scenario}"
        );
    }
}

#[test]
fn the_built_in_prompts_are_those_of_the_repository() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("candidates/prompts");
    let context = PromptContext::example();
    for form in [RequestForm::Edit, RequestForm::Rewrite, RequestForm::Crossover] {
        let ask = |folder: Option<&Path>| Prompts::read(folder).unwrap().ask(form, &context).unwrap();
        assert_eq!(ask(Some(&folder)), ask(None));
    }
}
