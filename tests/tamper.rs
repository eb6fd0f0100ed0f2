//! What happens to a record that was changed, with all digests made right again, so that only making it again can tell:
//! `packevolve replay` names the first event that does not follow from those before it. Where the digests were left as
//! they were, the line is named by everything that reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use packevolve::archive::NewCandidate;
use packevolve::run::derive::{archived, new_seed, normal_form};
use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::run::replay;
use packevolve::values::event::{Event, Fingerprint};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::forged;
use crate::support::scripted::{self, tried};
use crate::support::{Output, World, copy};

const NAME: &str = "x";
/// The number of changes that are tried.
const FEW: usize = 12;

/// A run of one slot that came to its end.
static RECORDED: LazyLock<TempDir> = LazyLock::new(|| {
    let world = scripted::world();
    Output::of(&mut scripted::command(&world, &["evolve", "--run", NAME, "--candidates", "24"])).ends(0);
    let folder = TempDir::new().unwrap();
    copy(&world.path("runs").join(NAME), folder.path());
    folder
});

/// A copy of the run, to be changed.
struct Forgery {
    world: World,
    folder: PathBuf,
    events: Vec<Value>,
}

impl Forgery {
    fn new() -> Self {
        let world = scripted::world();
        let folder = world.path("runs").join(NAME);
        copy(RECORDED.path(), &folder);
        let events = forged::events(&folder.join("journal.jsonl"));
        Self { world, folder, events }
    }

    fn run(&self) -> Run {
        Run::open(RunFolder::new(self.folder.clone())).unwrap()
    }

    /// The number of the first event that fits.
    fn find(&self, fits: impl Fn(&Value) -> bool) -> usize {
        self.events.iter().position(fits).unwrap()
    }

    /// The number of the event that created a candidate of this proposer.
    fn created_by(&self, proposer: &str) -> usize {
        let of =
            |event: &Value| event["type"] == "selected" && event["data"]["selection"]["proposer"] == json!(proposer);
        let selected = self.events.iter().filter(|event| of(event)).map(|event| &event["data"]["attempt"]);
        let attempts: Vec<&Value> = selected.collect();
        self.find(|event| event["type"] == "candidate-created" && attempts.contains(&&event["data"]["attempt"]))
    }

    /// Writes the events with digests that are right.
    fn seal(&self) {
        forged::write(&self.folder.join("journal.jsonl"), &self.events);
    }

    /// Demands that replay names an event and what is wrong with it.
    #[track_caller]
    fn diverges(&self, event: usize, wanted: &[&str]) {
        self.seal();
        let output = Output::of(&mut scripted::command(&self.world, &["replay", "--run", NAME])).ends(5);
        let output = output.tells(&[&format!("error: event {event}, "), "note: the record is not reproduced"]);
        output.tells(wanted).tells_one_error(&[]);
    }

    /// What opening and replaying the run say against it.
    fn divergence(&self) -> Option<String> {
        self.seal();
        divergence(&self.folder)
    }
}

fn divergence(folder: &Path) -> Option<String> {
    let (run, impossible) = match Run::open_possible(RunFolder::new(folder.to_owned())) {
        Ok(opened) => opened,
        Err(error) => return Some(error.to_string()),
    };
    if let Some(impossible) = impossible {
        let earlier = replay::whole(&run).err().map(|error| error.to_string());
        return earlier.or(Some(impossible.to_string()));
    }
    replay::whole(&run).err().map(|error| error.to_string())
}

#[test]
fn the_run_as_it_was_recorded_is_made_again() {
    let forgery = Forgery::new();
    assert_eq!(forgery.divergence(), None);
}

#[test]
fn another_seed_program_diverges_at_the_first_candidate() {
    let mut forgery = Forgery::new();
    let run = forgery.run();
    let origin = run.search.origin();
    let program = origin.program.replace("index", "place");
    let ids = new_seed(&program, &origin.file_name, origin.epoch).ids().unwrap();
    let (normalised, size) = normal_form(&program);
    let event = &mut forgery.events[0]["data"];
    event["program"] = json!(program);
    event["baseline"] = json!(program);
    event["seed"] = json!(Fingerprint { commit: ids.commit, program: ids.program, normalised, size });
    // Documents of the corpus are edits of the seed program, by their text.
    forgery.diverges(0, &["the corpus: the record has", "replay gives"]);
}

/// The fingerprint of the candidate of an event, if it were as `change` makes it.
fn forged(forgery: &Forgery, event: usize, change: impl Fn(&mut NewCandidate)) -> Value {
    let run = forgery.run();
    let Event::CandidateCreated(created) = &run.entries().unwrap()[event].event else { panic!("no candidate") };
    let mut new = archived(&run.search, &run.programs, created.candidate).unwrap();
    change(&mut new);
    let ids = new.ids().unwrap();
    json!(Fingerprint { commit: ids.commit, program: ids.program, ..created.fingerprint })
}

#[test]
fn another_program_of_a_candidate_diverges_there() {
    let mut forgery = Forgery::new();
    let event = forgery.created_by("compose");
    let fingerprint = forged(&forgery, event, |new| new.program = "import torch\n".to_owned());
    forgery.events[event]["data"]["fingerprint"] = fingerprint;
    forgery.diverges(event, &["program of candidate 10 ", "the record has", "replay gives"]);
}

#[test]
fn another_commit_of_a_candidate_diverges_there() {
    let mut forgery = Forgery::new();
    let event = forgery.created_by("compose");
    let fingerprint = forged(&forgery, event, |new| new.description = "not what it said".to_owned());
    let commit = fingerprint["commit"].as_str().unwrap().to_owned();
    forgery.events[event]["data"]["fingerprint"] = fingerprint;
    forgery.diverges(event, &["commit of candidate 10 ", &commit]);
}

#[test]
fn another_proposal_diverges_where_it_was_made() {
    let mut forgery = Forgery::new();
    let event = forgery.created_by("compose");
    forgery.events[event]["data"]["proposal"] = json!("<NAME>\nelse\n</NAME>\nnothing of this was drawn\n");
    forgery.diverges(event, &["the proposal: the record has", "\"else\" in line 2"]);
}

#[test]
fn a_number_of_a_measurement_diverges_at_the_first_decision_that_depends_on_it() {
    let mut forgery = Forgery::new();
    // Of a partial measurement nothing may depend.
    let is_measured = |event: &Value| {
        let data = &event["data"];
        event["type"] == "candidate-evaluated" && data["evaluation"]["outcome"] == "measured" && data["partial"] != true
    };
    let measured = forgery.find(is_measured);
    let samples = &mut forgery.events[measured]["data"]["evaluation"]["data"]["measurement"]["cases"][0]["samples"];
    for sample in samples.as_array_mut().unwrap() {
        sample[6] = json!(sample[6].as_f64().unwrap() / 1e3);
    }
    let divergence = forgery.divergence().unwrap();
    assert!(
        divergence.starts_with("event ")
            && divergence.contains("the record has")
            && divergence.contains("replay gives"),
        "{divergence}"
    );
    let at: usize = divergence.split([' ', ',', ':']).nth(1).unwrap().parse().unwrap();
    assert!(measured < at, "{divergence}");
}

#[test]
fn a_number_of_a_selection_diverges_there() {
    let mut forgery = Forgery::new();
    let at = forgery.find(|event| event["type"] == "selected" && event["data"]["selection"]["proposer"] == "compose");
    let selection = &mut forgery.events[at]["data"]["selection"];
    let (was, parent) = (selection["parent"].clone(), json!(1));
    assert_ne!(was, parent);
    selection["parent"] = parent;
    forgery.diverges(at, &["the selection: the record has parent 1, replay gives parent "]);
}

#[test]
fn another_rng_seed_diverges_where_something_was_drawn() {
    let mut forgery = Forgery::new();
    forgery.events[0]["data"]["settings"]["rng_seed"] = json!(1234);
    forgery.diverges(0, &["the cases: the record has", "replay gives"]);
    // Without cases of random shape it shows later.
    forgery.events[0]["data"]["settings"]["evaluation"]["random_cases"] = json!(0);
    forgery.events[0]["data"]["cases"].as_array_mut().unwrap().pop();
    let divergence = forgery.divergence().unwrap();
    assert!(
        divergence.contains("the selection: the record has") || divergence.contains("the proposal: the record has"),
        "{divergence}"
    );
}

#[test]
fn settings_that_anything_was_decided_by_diverge_where_it_was() {
    for (path, value, wanted) in [
        (
            "/settings/evaluation/topology/experts",
            json!(32),
            "event 0 contradicts the events before it: these settings",
        ),
        ("/settings/evaluation/weights/quality", json!(0.1), "the record has"),
        ("/settings/search/candidates", json!(25), "the record has"),
        ("/settings/search/candidates", json!(9), "the record has"),
        ("/settings/search/islands", json!(1), "event 6 contradicts the events before it: there is no island 1"),
        ("/settings/search/proposers/compose", json!(false), "the selection"),
        ("/settings/search/target_score", json!(0.001), "the selection"),
        (
            "/settings/evaluation/held_out_windows",
            json!(0),
            "contradicts the events before it: no windows are held out",
        ),
        ("/epoch", json!(12), "event 0, commit of candidate 0"),
        ("/file_name", json!("other.py"), "event 0, commit "),
    ] {
        let mut forgery = Forgery::new();
        *forgery.events[0]["data"].pointer_mut(path).unwrap() = value;
        let divergence = forgery.divergence().unwrap_or_else(|| panic!("{path}"));
        assert!(divergence.contains(wanted), "{path}: {divergence}");
    }
}

#[test]
fn any_two_neighbours_that_changed_places_are_found() {
    let whole = Forgery::new();
    for at in tried((1..whole.events.len()).collect(), FEW) {
        let mut forgery = Forgery::new();
        forgery.events.swap(at - 1, at);
        let divergence = forgery.divergence().unwrap_or_else(|| panic!("events {} and {at} changed places", at - 1));
        assert!(divergence.contains("event "), "{divergence}");
    }
}

#[test]
fn any_event_that_was_left_out_is_found() {
    let whole = Forgery::new();
    for at in tried((0..whole.events.len() - 1).collect(), FEW) {
        let mut forgery = Forgery::new();
        forgery.events.remove(at);
        assert!(forgery.divergence().is_some(), "event {at} was left out: {}", whole.events[at]);
    }
}

/// What no decision depends on (nor of a file's name in the corpus): what the judge is, how long and under which limits
/// it judges. The digests hold it, and a second measurement on the same machine tells whether it is true.
const HELD_BY_DIGESTS_ONLY: [&str; 19] = [
    "/data/packevolve",
    "/data/judge",
    "/data/settings/evaluation/device",
    "/data/settings/evaluation/python",
    "/data/settings/evaluation/loads",
    "/data/settings/evaluation/loads_seed",
    "/data/settings/evaluation/windows",
    "/data/settings/evaluation/budget_seconds",
    "/data/settings/evaluation/limits",
    "/data/settings/evaluation/sandbox",
    "/data/settings/evaluation/allow_compile",
    "/data/settings/search/wall_seconds",
    // These only tell in a longer run than this one.
    "/data/settings/search/population_size",
    "/data/settings/search/migration_interval",
    "/data/settings/search/stagnation_limit",
    "/data/settings/search/pareto_bins",
    // That of a run whose judges are never lost.
    "/data/settings/judges",
    "/data/settings/evaluation/held_out_windows",
    "/data/settings/evaluation/topology/name",
];

/// Paths of all numbers, texts and truths in a value.
fn leaves(value: &Value, path: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(parts) => parts.iter().for_each(|(key, part)| leaves(part, &format!("{path}/{key}"), all)),
        Value::Array(parts) => {
            parts.iter().enumerate().for_each(|(at, part)| leaves(part, &format!("{path}/{at}"), all));
        }
        Value::Null => {}
        _ => all.push(path.to_owned()),
    }
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(is) => json!(!is),
        Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
        Value::Number(number) => json!(number.as_f64().unwrap() * 1.5 + 0.25),
        Value::String(text) => match text.as_bytes() {
            [b'0'..=b'9' | b'a'..=b'f', rest @ ..] if text.len() == 40 => {
                json!(format!(
                    "{}{}",
                    if text.starts_with('1') { '2' } else { '1' },
                    std::str::from_utf8(rest).unwrap()
                ))
            }
            _ => json!(format!("{text}x")),
        },
        _ => unreachable!("a leaf"),
    }
}

#[test]
fn any_change_to_anything_but_a_measurement_is_found() {
    let whole = Forgery::new();
    let mut all = Vec::new();
    for (at, event) in whole.events.iter().enumerate() {
        let is_measurement = ["measurement", "evaluation", "duel"].iter().any(|part| event["data"].get(part).is_some());
        let mut paths = Vec::new();
        leaves(event, "", &mut paths);
        let has_effect = |path: &String| {
            // The seed of a duel is entropy.
            at > 0 && path != "/data/seed"
                || at == 0
                    && !path.ends_with("/file")
                    && !HELD_BY_DIGESTS_ONLY.iter().any(|prefix| path.starts_with(prefix))
        };
        all.extend(paths.into_iter().filter(has_effect).filter(|_| !is_measurement).map(|path| (at, path)));
    }
    let mut unseen = Vec::new();
    for (at, path) in tried(all, 3 * FEW) {
        let mut forgery = Forgery::new();
        let leaf = forgery.events[at].pointer_mut(&path).unwrap();
        *leaf = other(leaf);
        if forgery.divergence().is_none() {
            unseen.push(format!("event {at} {path}: {leaf}", leaf = forgery.events[at].pointer(&path).unwrap()));
        }
    }
    assert_eq!(unseen, Vec::<String>::new());
}

#[test]
fn without_right_digests_the_line_is_named_for_any_change() {
    let whole = Forgery::new();
    let text = fs::read_to_string(whole.folder.join("journal.jsonl")).unwrap();
    for (what, from, to) in [
        ("rng_seed", "\"rng_seed\":", "\"rng_seed\":1"),
        ("config", "\"islands\":2", "\"islands\":3"),
        (
            "a measurement",
            "\"type\":\"candidate-evaluated\",\"data\":{\"candidate\":1",
            "\"type\":\"candidate-evaluated\",\"data\":{\"candidate\":2",
        ),
        ("a selection", "\"proposer\":\"compose\"", "\"proposer\":\"mutate\""),
        (
            "a candidate",
            "\"type\":\"candidate-created\",\"data\":{\"candidate\":3",
            "\"type\":\"candidate-created\",\"data\":{\"candidate\":4",
        ),
    ] {
        let at = text.find(from).unwrap_or_else(|| panic!("{what}: no {from}"));
        let line = 1 + text[..at].matches('\n').count();
        fs::write(whole.folder.join("journal.jsonl"), text.replacen(from, to, 1)).unwrap();
        let place = format!("runs/x/journal.jsonl:{line}: digest is wrong");
        Output::of(&mut scripted::command(&whole.world, &["replay", "--run", NAME])).ends(5).tells_one_error(&[&place]);
        Output::of(&mut scripted::command(&whole.world, &["resume", "--run", NAME])).ends(3).tells_one_error(&[&place]);
        let fsck = Output::of(&mut scripted::command(&whole.world, &["fsck", "--run", NAME])).ends(7);
        assert!(fsck.stdout.contains(&format!("damaged line: line {line}: ")), "{}", fsck.stdout);
    }
}

/// The paths of all numbers in a value.
fn numbers(value: &Value, path: &str, all: &mut Vec<String>) {
    match value {
        Value::Number(_) => all.push(path.to_owned()),
        Value::Array(items) => {
            items.iter().take(2).enumerate().for_each(|(at, item)| numbers(item, &format!("{path}/{at}"), all));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| numbers(value, &format!("{path}/{name}"), all));
        }
        _ => {}
    }
}

#[test]
fn an_absurd_number_in_the_first_event_ends_every_command_soon_and_without_a_panic() {
    let world = scripted::world();
    copy(RECORDED.path(), &world.path("runs").join(NAME));
    let journal = world.path("runs").join(NAME).join("journal.jsonl");
    let events = forged::events(&journal);
    let mut all = Vec::new();
    numbers(&events[0], "", &mut all);
    assert!(all.iter().any(|path| path.ends_with("/topology/layers")), "{all:?}");
    for path in all {
        let mut forged = events.clone();
        *forged[0].pointer_mut(&path).unwrap() = json!(u64::MAX);
        forged::write(&journal, &forged);
        for arguments in [&["top"][..], &["show", "seed"], &["fsck"], &["replay", "--no-evaluate"]] {
            let started = std::time::Instant::now();
            let output = Output::of(&mut scripted::command(&world, &[arguments, &["--run", NAME]].concat()));
            assert!(started.elapsed().as_secs() < 20, "{path}: {arguments:?}");
            assert!(!output.stderr.contains("panicked"), "{path}: {arguments:?}: {}", output.stderr);
        }
    }
}
