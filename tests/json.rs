//! `--format json`: what the help topic says of its shape is what is printed, and its examples run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::finished::{self, NAME};
use crate::support::{Output, World, harness};

const TOPIC: &str = include_str!("../src/cli/help/json.md");

/// Where only values stand, or what the topic leaves to the journal's own reference.
const NOT_DESCRIBED: [&str; 4] = ["event", "proposer", "rejection", "kind"];

/// What the topic says of a kind of object: its fields, and which of them are not always there.
#[derive(Clone, Debug, Default)]
struct Described {
    always: BTreeSet<String>,
    sometimes: BTreeSet<String>,
}

/// The table of objects, by the names that hold them.
fn described() -> BTreeMap<String, Described> {
    let mut all = BTreeMap::new();
    for line in TOPIC.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let [_, names, fields, _] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let mut object = Described::default();
        for field in quoted(fields) {
            match field.strip_suffix('?') {
                Some(field) => object.sometimes.insert(field.to_owned()),
                None => object.always.insert(field),
            };
        }
        for name in quoted(names) {
            assert!(all.insert(name.clone(), object.clone()).is_none(), "{name} is described twice");
        }
    }
    let row: Described = all["candidates"].clone();
    all.get_mut("show").unwrap().always.extend(row.always);
    all
}

/// What stands in backticks, outside of parentheses.
fn quoted(text: &str) -> Vec<String> {
    let mut depth = 0;
    let is_outside = |c: &char| {
        depth += i32::from(*c == '(');
        let outside = depth == 0;
        depth -= i32::from(*c == ')');
        outside
    };
    let outside: String = text.chars().filter(is_outside).collect();
    outside.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Holds every object below against the table; `path` ends with the name that holds it.
fn check(value: &Value, path: &[&str], table: &BTreeMap<String, Described>, seen: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| check(value, path, table, seen)),
        Value::Object(fields) => {
            let last = path[path.len() - 1];
            // The scores of both sides of a gain have these names.
            let canonical =
                |parent: &str| if matches!(parent, "baseline" | "best") { "scores" } else { parent }.to_owned();
            let qualified = path.iter().rev().nth(1).map(|parent| format!("{}.{last}", canonical(parent)));
            let name = qualified.filter(|name| table.contains_key(name)).unwrap_or(last.to_owned());
            let object = table.get(&name).unwrap_or_else(|| panic!("{path:?} is not described"));
            for field in fields.keys() {
                let is_known = object.always.contains(field) || object.sometimes.contains(field);
                assert!(is_known, "{path:?} has a field that is not described: {field}");
                seen.insert(format!("{name}.{field}"));
            }
            for field in &object.always {
                assert!(fields.contains_key(field), "{path:?} has no {field}");
            }
            for (field, value) in fields.iter().filter(|(field, _)| !NOT_DESCRIBED.contains(&field.as_str())) {
                check(value, &[path, &[field.as_str()]].concat(), table, seen);
            }
        }
        _ => {}
    }
}

/// The command with `--format json`, each document of it.
fn documents(world: &World, arguments: &[&str]) -> Vec<Value> {
    let output = world.run(&[arguments, &["--format", "json"]].concat()).ends(0);
    let documents = serde_json::Deserializer::from_str(&output.stdout).into_iter();
    documents.map(Result::unwrap).collect()
}

#[test]
fn every_field_that_is_printed_is_described_and_the_described_ones_are_there() {
    let world = finished::world();
    let table = described();
    let mut seen = BTreeSet::new();
    let program = crate::support::repository("candidates/eplb.py").display().to_string();
    let mut all: Vec<(&str, Vec<Value>)> = vec![
        ("top", documents(&world, &["top", "--run", NAME, "--all"])),
        ("lineage", documents(&world, &["lineage", "best", "--run", NAME])),
        ("diff", documents(&world, &["diff", "seed", "best", "--run", NAME])),
        ("log", documents(&world, &["log", "--run", NAME])),
        ("fsck", documents(&world, &["fsck", "--run", NAME])),
        ("replay", documents(&world, &["replay", "best", "--run", NAME])),
        ("resume", documents(&world, &["resume", "--run", NAME])),
        ("evaluate", documents(&world, &["evaluate", &program, "--against", &program, "--score", "adrs"])),
    ];
    let numbers: Vec<String> = (0..finished::CANDIDATES).map(|number| number.to_string()).collect();
    all.extend(numbers.iter().map(|number| ("show", documents(&world, &["show", number, "--run", NAME]))));
    for (name, document) in all.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one))) {
        assert_eq!(document["format"], 1, "{name}");
        check(document, &[name], &table, &mut seen);
    }
    for (name, object) in &table {
        // What this run has none of, or says under another of its names.
        let absent = ["evolve", "evidence", "moved", "elsewhere", "voided", "sample", "b", "findings", "repaired"];
        if absent.contains(&name.as_str()) {
            continue;
        }
        for field in &object.always {
            assert!(seen.contains(&format!("{name}.{field}")), "{name}.{field} was never printed");
        }
    }
}

/// The examples of the topic in a language.
fn examples(language: &str) -> Vec<&'static str> {
    let blocks = TOPIC.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

fn is_there(program: &Path, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Runs a line of shell in the world, where `packevolve` is the harness.
fn shell(world: &World, line: &str) -> Output {
    let folder = harness().parent().unwrap().display().to_string();
    let mut path = std::env::var("PATH").unwrap_or_default();
    path.insert_str(0, &format!("{folder}:"));
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", line]).env_clear().env("PATH", path).current_dir(world.path("."));
    Output::of(&mut command)
}

#[test]
fn the_examples_with_jq_print_something() {
    if !is_there(Path::new("jq"), &["--version"]) {
        println!("skipped: there is no jq");
        return;
    }
    let world = finished::world();
    let lines: Vec<&str> =
        examples("console").iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(lines.len() >= 4, "{lines:?}");
    for line in lines {
        let output = shell(&world, line).ends(0);
        assert_eq!(output.stderr, "", "{line}");
        // A run in which nothing was rejected has nothing to say to that.
        assert!(!output.stdout.is_empty() || line.contains("rejected"), "{line}");
    }
}

#[test]
fn the_example_with_pandas_runs() {
    let pythons = [crate::support::repository(".venv/bin/python"), PathBuf::from("python3")];
    let Some(python) = pythons.iter().find(|python| is_there(python, &["-c", "import pandas"])) else {
        println!("skipped: there is no pandas");
        return;
    };
    let world = finished::world();
    shell(&world, "packevolve top --all --format json > top.json; packevolve log --format json > log.jsonl").ends(0);
    let [example] = examples("python")[..] else { panic!("one example") };
    world.write("example.py", example);
    let output = shell(&world, &format!("{} example.py", python.display())).ends(0);
    assert!(output.stdout.contains("candidate-evaluated"), "{}", output.stdout);
}
