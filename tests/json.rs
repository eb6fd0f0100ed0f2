//! `--format json`: documents have the shape of their schema, and the examples of the help topic run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::finished::{self, NAME};
use crate::support::skip::skip;
use crate::support::{Output, World, harness, judge};

const TOPIC: &str = include_str!("../src/cli/help/json.md");

/// The schema that `packevolve schema COMMAND` prints.
fn schema(command: &str) -> Value {
    World::new().run(&["schema", command]).ends(0).json()
}

/// Checks a value against a schema of the kinds that schemas here are made of. A field that the schema does not name is
/// an error too.
pub fn check(value: &Value, shape: &Value, root: &Value) -> Result<(), String> {
    let known = fields(value, shape, root)?;
    let unknown = value.as_object().and_then(|object| object.keys().find(|field| !known.contains(*field)));
    unknown.map_or(Ok(()), |field| Err(format!("the schema has no {field}")))
}

/// The same without unknown fields; returns the fields that the schema names.
fn fields(value: &Value, shape: &Value, root: &Value) -> Result<BTreeSet<String>, String> {
    let mut known = BTreeSet::new();
    if let Some(path) = shape["$ref"].as_str() {
        known.extend(fields(value, root.pointer(&path[1..]).unwrap(), root)?);
    }
    for either in [&shape["anyOf"], &shape["oneOf"]].into_iter().filter_map(Value::as_array) {
        let tried: Vec<_> = either.iter().map(|shape| fields(value, shape, root)).collect();
        let errors = || format!("{:?}", tried.iter().filter_map(|tried| tried.as_ref().err()).collect::<Vec<_>>());
        known.extend(tried.iter().find_map(|tried| tried.clone().ok()).ok_or_else(errors)?);
    }
    let types = shape.get("type").map_or(Vec::new(), |of| of.as_array().cloned().unwrap_or(vec![of.clone()]));
    let is_allowed = types.is_empty() || types.iter().any(|of| is_a(value, of.as_str().unwrap()));
    let is_constant = shape.get("const").is_none_or(|constant| constant == value);
    let is_listed = shape["enum"].as_array().is_none_or(|list| list.contains(value));
    if !(is_allowed && is_constant && is_listed) {
        return Err(format!("{value} is not {types:?} {} {}", shape["const"], shape["enum"]));
    }
    for field in shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        value.get(field).ok_or(format!("no {field}"))?;
    }
    for (field, shape) in shape["properties"].as_object().into_iter().flatten() {
        known.insert(field.clone());
        value
            .get(field)
            .map_or(Ok(()), |value| check(value, shape, root))
            .map_err(|error| format!("{field}: {error}"))?;
    }
    if let (Some(others), Some(object)) = (shape["additionalProperties"].as_object(), value.as_object()) {
        let others = Value::Object(others.clone());
        object.values().try_for_each(|value| check(value, &others, root))?;
        known.extend(object.keys().cloned());
    }
    for (at, value) in value.as_array().into_iter().flatten().enumerate() {
        let shape = shape["prefixItems"].get(at).or(shape.get("items"));
        shape.map_or(Ok(()), |shape| check(value, shape, root)).map_err(|error| format!("{at}: {error}"))?;
    }
    Ok(known)
}

fn is_a(value: &Value, of: &str) -> bool {
    match of {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{of} is not a type"),
    }
}

/// The command with `--format json`, each document of it.
fn documents(world: &World, arguments: &[&str]) -> Vec<Value> {
    let output = world.run(&[arguments, &["--format", "json"]].concat()).ends(0);
    let documents = serde_json::Deserializer::from_str(&output.stdout).into_iter();
    documents.map(Result::unwrap).collect()
}

#[test]
fn what_is_printed_has_the_shape_of_its_schema() {
    let world = finished::world();
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
    world.write("loads.json", "{\"logical_count\": [[[0, 0], [1, 2]], [[0, 0], [3, 4]]]}");
    all.push(("loads", documents(&world, &["loads", "loads.json"])));
    all.push(("presets", documents(&world, &["presets"])));
    // Plans need a judge that makes them.
    judge();
    let measuring = World::new();
    measuring.write("window.csv", "5,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1\n".repeat(4));
    let worth = ["worth", "--program", &program, "--loads", "window.csv", "--next", "window.csv", "--redundant", "4"];
    all.push(("worth", documents(&measuring, &worth)));
    let plan = ["plan", "--program", &program, "--loads", "window.csv"];
    all.push(("plan", documents(&measuring, &plan)));
    measuring.run(&[&plan[..], &["-o", "plan.json"]].concat()).ends(0);
    all.push(("plan", documents(&measuring, &[&plan[..], &["--from", "plan.json", "--expert-bytes", "1MB"]].concat())));
    let numbers: Vec<String> = (0..finished::CANDIDATES).map(|number| number.to_string()).collect();
    let shown = numbers.iter().flat_map(|number| documents(&world, &["show", number, "--run", NAME]));
    all.push(("show", shown.collect()));
    for (command, documents) in all {
        let schema = schema(command);
        let text = schema.to_string();
        assert!(!text.contains("`None`") && !text.contains("crate::"), "{command} is described in words of Rust");
        for document in documents {
            assert_eq!(document["format"], 1, "{command}");
            check(&document, &schema, &schema).unwrap_or_else(|error| panic!("{command}: {error}"));
        }
    }
}

#[test]
fn a_document_of_another_shape_does_not_pass_for_one() {
    let schema = schema("top");
    let document = documents(&finished::world(), &["top", "--run", NAME]).remove(0);
    check(&document, &schema, &schema).unwrap();
    for (path, value) in [
        ("/candidates/0/scores/cases/0/gap", Value::from("small")),
        ("/candidates/0/held_out", Value::from(1)),
        ("/candidates/0/proposer", Value::from("unknown")),
        ("/best", Value::from(0.5)),
    ] {
        let mut other = document.clone();
        *other.pointer_mut(path).unwrap() = value;
        check(&other, &schema, &schema).unwrap_err();
    }
    for path in ["", "/candidates/0", "/candidates/0/scores/cases/0"] {
        let mut more = document.clone();
        more.pointer_mut(path).unwrap()["another"] = Value::Null;
        check(&more, &schema, &schema).unwrap_err();
    }
    let mut less = document;
    less.pointer_mut("/candidates/0/scores").unwrap().as_object_mut().unwrap().remove("quality");
    check(&less, &schema, &schema).unwrap_err();
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
        return skip("jq", "there is no jq");
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
        assert!(!output.stdout.contains("null\n"), "{line}: a field of another name");
    }
}

#[test]
fn the_example_with_pandas_runs() {
    let pythons = [crate::support::repository(".venv/bin/python"), PathBuf::from("python3")];
    let Some(python) = pythons.iter().find(|python| is_there(python, &["-c", "import pandas"])) else {
        return skip("pandas", "no Python here has pandas");
    };
    let world = finished::world();
    shell(&world, "packevolve top --all --format json > top.json; packevolve log --format json > log.jsonl").ends(0);
    let [example] = examples("python")[..] else { panic!("one example") };
    world.write("example.py", example);
    let output = shell(&world, &format!("{} example.py", python.display())).ends(0);
    assert!(output.stdout.contains("candidate-evaluated"), "{}", output.stdout);
}
