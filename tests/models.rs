//! Runs with language models, whose endpoints are servers on loopback that follow a script: no matter what an endpoint
//! does, the run continues, costs no more than it may, shows no key, and is made again without any endpoint.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use packevolve::run::fold::Run;
use packevolve::search::Outcome;
use packevolve::values::candidate::CandidateId;
use packevolve::values::cost::Charge;
use packevolve::values::event::{Asking, Event, ModelAsked, Proposer, Selection, StopReason};
use serde_json::{Value, json};

use crate::support::endpoint::{Act, Endpoint};
use crate::support::live::Live;
use crate::support::script::{INCONSISTENT, MEASURED};
use crate::support::{World, count, repository, scripted};

const KEY: &str = "sk-hunter2-and-more";
const KEY_ENV: &str = "SOME_TEST_KEY";

fn insert(text: &str) -> Act {
    Act::Insert(text.to_owned())
}

/// A proposal that no other is like.
fn idea() -> Act {
    insert(&format!("_IDEA = {{n}}  {MEASURED}"))
}

fn model(name: &str, base_url: &str) -> Value {
    json!({
        "name": name, "base_url": base_url, "model": "m", "key_env": KEY_ENV, "parameters": {"max_tokens": 20},
        "max_concurrent": 2, "timeout": "10s", "retries": 2, "initial_backoff": "10ms", "max_backoff": "1s",
        "prices": {"prompt": 0, "completion": 1000},
    })
}

/// A world whose proposers are only these models, with `more` settings of theirs.
fn world_of(models: &[Value], more: &Value) -> World {
    let mut world = scripted::with("judges: [{slots: 2}]\nsearch: {candidates: 8}\n");
    world.export(KEY_ENV, KEY);
    let mut proposers = json!({
        "models": models, "corpus": null, "compose": {"enabled": false}, "cross": {"enabled": false}, "mutate": {"enabled": false}, "prune": {"enabled": false}, "summary_every": 0,
    });
    proposers.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.set("proposers", &proposers.to_string());
    world
}

fn offline() -> Value {
    json!({"mutate": {"enabled": true}, "compose": {"blocks": repository("candidates/blocks")}})
}

fn exchanges(run: &Run) -> impl Iterator<Item = ModelAsked> {
    run.entries().unwrap().into_iter().filter_map(|entry| match entry.event {
        Event::ModelAsked(asked) => Some(asked),
        _ => None,
    })
}

fn selections(run: &Run) -> impl Iterator<Item = Selection> {
    run.entries().unwrap().into_iter().filter_map(|entry| match entry.event {
        Event::Selected { selection, .. } => Some(selection),
        _ => None,
    })
}

fn kinds_of_errors(run: &Run) -> Vec<&'static str> {
    let mut kinds: Vec<&str> = exchanges(run).filter_map(|asked| asked.error).map(|error| (&error).into()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Replay needs nothing but the run's folder, and git finds the archive whole.
#[track_caller]
fn is_made_again(world: &World) {
    let lone = World::new();
    crate::support::copy(&world.path("runs/x"), &lone.path("runs/x"));
    lone.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
    lone.run(&["replay", "best", "--run", "x", "--no-evaluate"]).ends(0);
    lone.tool("git", &["-C", "runs/x/archive.git", "fsck", "--strict", "--no-dangling"]).ends(0);
}

/// No file of a run contains the key, and no object of its archive, unpacked. The prompts are in the exchanges.
#[track_caller]
fn shows_no_key(world: &World) {
    holds_no_key(&world.path("runs/x"));
    assert!(holds(&fs::read(world.path("runs/x/exchanges.jsonl")).unwrap(), "messages"));
    let archive = world.path("runs/x/archive.git");
    let mut git = Command::new("git");
    git.arg("-C").arg(archive).args(["cat-file", "--batch", "--batch-all-objects"]);
    let objects = git.output().unwrap().stdout;
    assert!(holds(&objects, "EVOLVE-BLOCK-START") && !holds(&objects, KEY), "the key is in an object");
}

fn holds_no_key(path: &Path) {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().for_each(|entry| holds_no_key(&entry.unwrap().path()));
    }
    assert!(!holds(&fs::read(path).unwrap(), KEY), "the key is in {}", path.display());
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Tells all that a program can see of environments.
const SPY: &str = "import os, glob
def _seen(path):
    try:
        return open(path, 'rb').read().decode('latin-1')
    except Exception as error:
        return str(error)
raise ValueError('spy: ' + str(dict(os.environ)) + ''.join(map(_seen, glob.glob('/proc/*/environ'))))";

#[test]
fn a_run_with_two_models_and_all_their_faults_ends_with_all_candidates_and_is_made_again_without_them() {
    let one = Endpoint::playing(vec![
        Act::Say("no proposal".to_owned()),
        idea(),
        Act::refuse(500, "", "oops"),
        Act::BreakOff,
        insert(SPY),
        Act::refuse(429, "Retry-After: 0.2\r\n", "slow down"),
        idea(),
        Act::body(""),
        Act::body("<html>"),
        idea(),
        Act::body("{\"choices\": [{\"message\": {}}]}"),
        Act::Echo { status: 400 },
        idea(),
    ]);
    let other = Endpoint::playing(vec![Act::Close, Act::Echo { status: 200 }, Act::Garble, idea()]);
    let models = [model("one", &one.base_url()), model("other", &other.base_url())];
    let world = world_of(&models, &offline());
    let live = Live::start(&world, "x", &["evolve", "--run", "x", "--candidates", "30"]);
    live.wait_for("candidate-evaluated", 1);
    let with_key = |pid: &i32| holds(&fs::read(format!("/proc/{pid}/environ")).unwrap_or_default(), KEY);
    let processes = live.processes();
    let has_key: Vec<&str> = processes.iter().filter(|(pid, _)| with_key(pid)).map(|(_, name)| name.as_str()).collect();
    assert_eq!(has_key, ["packevolve"], "of {processes:?}");
    let output = live.end().ends(0).tells(&["stopped: all candidates asked for were made"]);
    assert!(output.stdout.contains("language models: ") && output.stdout.contains(" other "), "{}", output.stdout);
    assert!(!output.stdout.contains(KEY) && !output.stderr.contains(KEY), "{}", output.stderr);

    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 30);
    assert!(run.search.open_attempts().is_empty());
    let kinds = kinds_of_errors(&run);
    for kind in ["truncated", "server"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    for place in 0..2 {
        let made = run.search.candidates().filter(|(_, known)| known.proposer == Some(Proposer::Model(place)));
        assert!(made.count() > 0, "model {place} made nothing");
    }
    let arrived = one.arrived().len() + other.arrived().len();
    assert_eq!(exchanges(&run).count(), arrived, "every exchange is recorded");
    let total: Charge = exchanges(&run).map(|asked| asked.charge).sum();
    assert_eq!(run.search.models().spent(), total);
    let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
    assert!(log.contains("spy: ") && log.contains("one asked for attempt") && !log.contains(KEY), "{log}");
    shows_no_key(&world);
    drop((one, other));
    is_made_again(&world);
}

#[test]
fn what_does_not_work_goes_back_and_what_worked_is_summed_up_for_later_prompts() {
    let acts = [
        Act::Say("first thoughts".to_owned()),
        insert("raise ValueError('boom')"),
        idea(),
        Act::Say("What we learnt: nothing.".to_owned()),
        idea(),
    ];
    let endpoint = Endpoint::playing(acts.to_vec());
    let mut model = model("one", &endpoint.base_url());
    model["max_concurrent"] = json!(1);
    let world = world_of(&[model], &json!({"summary_every": 2}));
    world.run(&["evolve", "--run", "x", "--candidates", "8"]).ends(0);
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 8);
    // The record has the answer; why it went back follows from that.
    let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
    let unusable: Vec<&str> = log.lines().filter(|line| line.contains("no proposal that can be tried")).collect();
    assert!(
        unusable.len() == 1 && unusable[0].contains("one asked for attempt ") && unusable[0].contains("answered, no"),
        "{log}"
    );
    let arrived = endpoint.arrived();
    let back = arrived[1].said();
    assert_eq!((back.len(), back[2].as_str()), (4, "first thoughts"));
    assert!(back[3].contains("no DIFF section") || back[3].contains("no program"), "{}", back[3]);
    // The rejected program goes back with its diagnosis, after what was said about it before.
    let follow_up = arrived.iter().map(|arrived| arrived.said()).find(|said| said.len() == 6).expect("it goes back");
    assert!(follow_up[5].contains("boom") && follow_up[4].contains("idea_1"), "{follow_up:?}");
    let repairs: Vec<_> = selections(&run).filter_map(|selection| selection.repairs).collect();
    assert_eq!(repairs.len(), 1, "{repairs:?}");
    let summaries: Vec<_> = exchanges(&run).filter(|asked| asked.asking == Asking::Summary).collect();
    assert!(!summaries.is_empty());
    let asked = arrived.iter().position(|arrived| arrived.said()[1].contains("Sum up the run")).unwrap();
    let answered = arrived.iter().skip(asked + 1).any(|arrived| arrived.said()[1].contains("# Summary of what worked"));
    assert!(answered, "no later prompt tells the summary");
    is_made_again(&world);
}

#[test]
fn no_money_is_spent_beyond_the_budget_by_requests_at_the_same_time_either() {
    let endpoint = Endpoint::playing(vec![idea()]);
    let mut model = model("one", &endpoint.base_url());
    model["max_concurrent"] = json!(4);
    // A request costs a cent, and two at worst.
    let world = world_of(&[model], &json!({"budget": {"dollars": 0.055}}));
    let output = world.run(&["evolve", "--run", "x", "--candidates", "30"]).ends(0);
    let output = output.tells(&["stopped: the money of the run is used up"]);
    assert!(output.stdout.contains("language models: 440 tokens, $0.0400"), "{}", output.stdout);
    let run = world.read("x");
    assert_eq!((run.search.models().spent().nanodollars, endpoint.arrived().len()), (40_000_000, 4));
    assert_eq!(run.search.tally().measured, 5, "what was paid for was measured: the seed program and four");
    is_made_again(&world);
    // What was spent stays spent.
    world.run(&["resume", "--run", "x"]).ends(0).tells(&["stopped: the money of the run is used up"]);
    assert_eq!(endpoint.arrived().len(), 4);
}

#[test]
fn a_run_whose_exchanges_are_lost_is_not_resumed_and_stays_as_it_was() {
    let endpoint = Endpoint::playing(vec![idea()]);
    let world = world_of(&[model("one", &endpoint.base_url())], &json!({}));
    world.run(&["evolve", "--run", "x", "--candidates", "3"]).ends(0);
    let [exchanges, aside, archive] =
        ["exchanges.jsonl", "aside", "archive.git"].map(|name| world.path("runs/x").join(name));
    let journal = || fs::read(world.path("runs/x/journal.jsonl")).unwrap();
    let before = journal();
    fs::rename(&exchanges, &aside).unwrap();
    let resume = ["resume", "--run", "x", "--candidates", "4"];
    let hint = "hint: only a backup of exchanges.jsonl has it";
    world.run(&resume).ends(3).tells_one_error(&["exchanges.jsonl: cannot read it", hint]);
    fs::write(&exchanges, fs::read_to_string(&aside).unwrap().replace("_IDEA", "_HINT")).unwrap();
    world.run(&resume).ends(3).tells_one_error(&["is not the exchange that the journal names", hint]);
    // The archive needs no exchange.
    fs::remove_dir_all(&archive).unwrap();
    world.run(&["fsck", "--run", "x", "--repair"]);
    assert!(archive.is_dir());
    assert_eq!(journal(), before);
    fs::rename(&aside, &exchanges).unwrap();
    world.run(&resume).ends(0);
    is_made_again(&world);
}

#[test]
fn without_tokens_for_the_first_request_none_is_sent() {
    let endpoint = Endpoint::playing(vec![idea()]);
    let world = world_of(&[model("one", &endpoint.base_url())], &json!({"budget": {"tokens": 10}}));
    let output = world.run(&["evolve", "--run", "x"]).ends(0);
    output.tells(&["stopped: the tokens of the run are used up"]);
    assert!(endpoint.arrived().is_empty());
}

#[test]
fn an_endpoint_that_is_down_pauses_one_that_refuses_the_key_is_switched_off_and_the_others_continue() {
    let stranger = Endpoint::playing(vec![Act::refuse(401, "", "wrong key")]);
    let mut no_key = model("keyless", &stranger.base_url());
    no_key["key_env"] = json!("NO_SUCH_VARIABLE");
    let models = [model("down", &Endpoint::refusing()), model("stranger", &stranger.base_url()), no_key];
    let world = world_of(&models, &offline());
    let output = world.run(&["evolve", "--run", "x", "--candidates", "16"]).ends(0);
    output.tells(&[
        "note: language model down pauses for 15.0 s, until ",
        "note: language model stranger is switched off: ",
        "note: language model keyless is switched off: no key: the environment variable NO_SUCH_VARIABLE is not set",
        "stopped: all candidates asked for were made",
    ]);
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 16);
    assert_eq!(count(&run, |event| matches!(event, Event::ModelPaused { .. })), 3);
    assert!(stranger.arrived().len() <= 2, "once it is known to be of no use it is left alone");
    is_made_again(&world);
}

#[test]
fn a_pause_ends_and_the_model_is_asked_again() {
    let later = Act::refuse(429, "Retry-After: 2\r\n", "later");
    let endpoint = Endpoint::playing(vec![later, idea()]);
    let mut model = model("one", &endpoint.base_url());
    model["max_concurrent"] = json!(1);
    let world = world_of(&[model], &json!({}));
    world.run(&["evolve", "--run", "x", "--candidates", "3"]).ends(0);
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 3);
    assert_eq!(count(&run, |event| matches!(event, Event::ModelResumed { model: 0 })), 1);
    let arrived = endpoint.arrived();
    assert!(arrived[1].at - arrived[0].at >= Duration::from_secs(2));
    is_made_again(&world);
}

#[test]
fn a_run_whose_models_are_all_switched_off_ends() {
    let stranger = Endpoint::playing(vec![Act::refuse(401, "", "wrong key")]);
    let world = world_of(&[model("stranger", &stranger.base_url())], &json!({}));
    let output = world.run(&["evolve", "--run", "x"]).ends(8);
    output.tells(&["stopped: no proposer is left: every language model is switched off", "hint: `packevolve resume"]);
}

#[test]
fn a_model_reads_in_what_way_its_program_was_inconsistent() {
    let unsteady = insert(&format!("_IDEA = {{n}}  {INCONSISTENT}"));
    let endpoint = Endpoint::playing(vec![unsteady, idea()]);
    let mut model = model("one", &endpoint.base_url());
    model["max_concurrent"] = json!(1);
    let world = world_of(&[model], &json!({}));
    world.run(&["evolve", "--run", "x", "--candidates", "8"]).ends(0);
    let known = world.read("x").search.candidate(CandidateId(1)).unwrap().clone();
    assert_eq!(known.outcome, Some(Outcome::Inconsistent(None)), "{known:?}");
    let said: Vec<String> = endpoint.arrived().iter().map(|arrived| arrived.said().concat()).collect();
    let wanted = "its answers are inconsistent: another process packs 2 of 4 rows of ";
    assert!(said.iter().any(|said| said.contains(wanted)), "{said:?}");
    is_made_again(&world);
}

#[test]
fn ctrl_c_drops_open_requests_and_resume_asks_again_as_after_a_kill() {
    let endpoint = Endpoint::playing(vec![Act::Silence, Act::Silence, idea()]);
    let mut silent = model("one", &endpoint.base_url());
    (silent["max_concurrent"], silent["timeout"]) = (json!(1), json!("10min"));
    let world = world_of(&[silent], &json!({}));
    let until_arrived = |number: usize| {
        let began = Instant::now();
        while endpoint.arrived().len() < number {
            assert!(began.elapsed() < Duration::from_secs(60), "no request {number} came");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let live = Live::start(&world, "x", &["evolve", "--run", "x", "--candidates", "4"]);
    until_arrived(1);
    live.wait_for("baseline-evaluated", 1);
    let began = Instant::now();
    live.signal(Signal::SIGINT);
    live.end().ends(130);
    assert!(began.elapsed() < Duration::from_secs(30), "it waited for an answer");
    let run = world.read("x");
    assert_eq!(run.search.stopped(), Some(StopReason::Interrupted));
    assert_eq!(run.search.open_attempts().len(), 1);
    // What was under way may be charged, and counts at its worst.
    assert_eq!((kinds_of_errors(&run), run.search.models().spent().nanodollars), (vec!["abandoned"], 20_000_000));

    let live = Live::start(&world, "x", &["resume", "--run", "x"]);
    until_arrived(2);
    live.kill();
    Live::start(&world, "x", &["resume", "--run", "x"]).end().ends(0);
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 4);
    assert!(run.search.open_attempts().is_empty());
    assert_eq!(exchanges(&run).filter(|asked| asked.error.is_some()).count(), 2, "one dropped, one lost by the kill");
    assert_eq!(run.search.models().spent().nanodollars, 2 * 20_000_000 + 3 * 10_000_000);
    assert!(selections(&run).all(|selection| selection.proposer == Proposer::Model(0)));
    is_made_again(&world);
}

/// The model alone, one request at a time.
fn alone(endpoint: &Endpoint, more: &Value) -> World {
    let mut model = model("one", &endpoint.base_url());
    model["max_concurrent"] = json!(1);
    world_of(&[model], more)
}

#[test]
fn a_model_that_refuses_every_request_is_switched_off_after_two_prompts() {
    let endpoint = Endpoint::playing(vec![Act::refuse(400, "", "top_k is not supported")]);
    let world = alone(&endpoint, &offline());
    let refusal = "note: language model one is switched off: the request is not accepted (400): top_k is not supported";
    world.run(&["evolve", "--run", "x", "--candidates", "30"]).ends(0).tells(&[refusal, "stopped: all candidates"]);
    assert_eq!(endpoint.arrived().len(), 3, "the first prompt is sent again without the role of the system");
    is_made_again(&world);
    let alone = alone(&endpoint, &json!({}));
    alone.run(&["evolve", "--run", "x"]).ends(8).tells(&[refusal, "stopped: no proposer is left"]);
    is_made_again(&alone);
}

#[test]
fn a_model_whose_answers_are_useless_pauses_with_the_reason_and_the_others_go_to_the_end() {
    let twice = format!(
        "<NAME>a</NAME>\n<DESCRIPTION>b</DESCRIPTION>\n{0}{0}",
        "<DIFF>\nx\n</DIFF>\n```\ndef balanced_packing(a\n```\n"
    );
    let endpoint = Endpoint::playing(vec![Act::Say(twice)]);
    let mut more = offline();
    more["repairs"] = json!(0);
    let world = alone(&endpoint, &more);
    let output = world.run(&["evolve", "--run", "x", "--candidates", "60"]).ends(0);
    let output = output.tells(&["note: language model one pauses for 15.0 s, until ", "stopped: all candidates"]);
    let wanted = "UTC: 5 attempts in a row led to no candidate, the latest: no proposal that can be tried: 2 ";
    assert!(output.stderr.contains(wanted), "{}", output.stderr);
    assert!(output.stderr.contains("in the reply, one perhaps in its thoughts: answer with one"), "{}", output.stderr);
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 60);
    assert_eq!(endpoint.arrived().len(), 5);
    is_made_again(&world);
}

#[test]
fn a_model_without_the_role_of_the_system_is_asked_without_it() {
    for status in [400, 500] {
        let endpoint = Endpoint::playing(vec![Act::WithoutSystem(status, format!("_IDEA = {{n}}  {MEASURED}"))]);
        let world = alone(&endpoint, &json!({}));
        world.run(&["evolve", "--run", "x", "--candidates", "4"]).ends(0);
        assert_eq!(world.read("x").search.candidates().len(), 4);
        let lengths: Vec<usize> = endpoint.arrived().iter().map(|arrived| arrived.said().len()).collect();
        let refused = if status == 400 { 1 } else { 3 };
        assert_eq!(lengths, [vec![2; refused], vec![1; 3]].concat(), "{status}");
        let first = endpoint.arrived()[0].said().join("\n\n");
        assert_eq!(endpoint.arrived()[refused].said(), [first], "what was said is the same");
        is_made_again(&world);
    }
    let endpoint = Endpoint::playing(vec![idea()]);
    let mut without = model("one", &endpoint.base_url());
    without["system"] = json!(false);
    let world = world_of(&[without], &json!({}));
    world.run(&["evolve", "--run", "x", "--candidates", "3"]).ends(0);
    assert!(endpoint.arrived().iter().all(|arrived| arrived.said().len() == 1));
}

#[test]
fn a_prompt_that_is_refused_does_not_switch_off_a_model_that_has_answered() {
    let refused = Act::refuse(403, "", "not this one");
    let endpoint = Endpoint::playing(vec![idea(), refused.clone(), refused.clone(), idea(), refused]);
    let world = alone(&endpoint, &json!({}));
    let output = world.run(&["evolve", "--run", "x", "--candidates", "8"]).ends(8);
    output.tells(&["note: language model one is switched off: the key is not accepted (403): not this one"]);
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 3);
    // Three in a row are too many; a prompt that comes twice counts once.
    assert!((7..=16).contains(&endpoint.arrived().len()), "{}", endpoint.arrived().len());
    // It may pause before that, if the same prompt comes too often.
    assert_eq!(count(&run, |event| matches!(event, Event::ModelPaused { seconds: None, .. })), 1);
    is_made_again(&world);
}

#[test]
fn what_one_model_declines_does_not_end_the_work_of_the_others() {
    let useless = Endpoint::playing(vec![Act::refuse(503, "Retry-After: 0\r\n", "busy")]);
    let mut model = model("busy", &useless.base_url());
    (model["retries"], model["max_concurrent"]) = (json!(0), json!(8));
    let world = world_of(&[model], &offline());
    let output = world.run(&["evolve", "--run", "x", "--candidates", "40"]).ends(0);
    output.tells(&["stopped: all candidates asked for were made"]);
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), 40);
    assert!(useless.arrived().len() <= 110, "{} requests", useless.arrived().len());
    is_made_again(&world);
}

#[test]
fn a_failed_try_is_recorded_and_shown_while_the_request_waits_for_the_next() {
    let endpoint = Endpoint::playing(vec![Act::refuse(500, "", "oops")]);
    let mut model = model("one", &endpoint.base_url());
    (model["initial_backoff"], model["max_backoff"]) = (json!("10min"), json!("10min"));
    model["max_concurrent"] = json!(1);
    let world = world_of(&[model], &json!({}));
    let live = Live::start(&world, "x", &["evolve", "--run", "x"]);
    live.wait_for("model-asked", 1);
    live.wait_for("baseline-evaluated", 1);
    live.signal(Signal::SIGINT);
    let output = live.end().ends(130);
    let wanted = "note: language model one: the endpoint fails (500): oops; asked again after 10 min 0 s";
    assert!(output.stderr.contains(wanted), "{}", output.stderr);
    let run = world.read("x");
    assert_eq!(kinds_of_errors(&run), ["server"], "the try was free, and no other was under way");
    assert_eq!(endpoint.arrived().len(), 1);
}

#[test]
fn a_key_in_place_of_the_name_of_its_variable_shows_nowhere() {
    const CANARY: &str = "cAnArY1234567890";
    let endpoint = Endpoint::playing(vec![idea()]);
    for (name, value) in [
        ("key_env", json!(format!("sk-{CANARY}"))),
        ("key_env", json!(format!("hf_{CANARY}"))),
        ("key_env", json!(format!("${{{CANARY}}}"))),
        ("key_env", json!(format!("Bearer {CANARY}"))),
        ("key_env", json!([CANARY])),
        ("base_url", json!(format!("sk-{CANARY}"))),
        ("base_url", json!(format!("http://user:{CANARY}@127.0.0.1/v1"))),
        ("parameters", json!({"max_tokens": 9, "api_key": CANARY})),
        ("parameters", json!({"max_tokens": 9, "headers": {"Authorization": CANARY}})),
        ("api_key", json!(CANARY)),
    ] {
        let mut model = model("one", &endpoint.base_url());
        model[name] = value.clone();
        let world = world_of(&[model], &json!({}));
        let output = world.run(&["evolve", "--run", "x", "--candidates", "3"]).ends(3);
        assert!(!output.stderr.contains(CANARY) && !output.stdout.contains(CANARY), "{name}: {}", output.stderr);
        assert!(output.stderr.contains(name) && !world.has_run("x"), "{}", output.stderr);
        fs::remove_file(world.path("config.yaml")).unwrap();
        no_file_holds(&world.path(""), CANARY);
    }
    assert!(endpoint.arrived().is_empty());
}

fn no_file_holds(path: &Path, text: &str) {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().for_each(|entry| no_file_holds(&entry.unwrap().path(), text));
    }
    let bytes = fs::read(path).unwrap_or_default();
    assert!(!holds(&bytes, text), "{} holds it", path.display());
}
