//! README and help topics: their commands parse and their settings load; the help of each command is its snapshot.

use std::fs;
use std::process::Command;

use clap::error::ErrorKind;
use packevolve::cli;
use packevolve::cli::help::TOPICS;
use packevolve::config::Config;
use packevolve::values::settings::Settings;
use serde_json::{Value, json};

use crate::support::repository;

const README: &str = include_str!("../README.md");

/// The README and all topics, with their names.
fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    let topics = TOPICS.iter().filter(|topic| topic.name != "config").map(|topic| (topic.name, topic.text));
    [("README.md", README)].into_iter().chain(topics)
}

/// The blocks of a page in a language.
fn blocks(page: &'static str, language: &str) -> Vec<&'static str> {
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    assert!(README.lines().count() <= 280, "{} lines", README.lines().count());
}

#[test]
fn the_readme_lists_the_topics() {
    let (_, section) = README.split_once("\n## More\n").unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let topics: Vec<String> = TOPICS.iter().map(|topic| format!("| `{}` | {} |", topic.name, topic.about)).collect();
    assert_eq!(rows, topics);
}

/// Command lines of `packevolve` in a page: of its shell sessions, and in backticks.
fn commands(page: &'static str) -> Vec<&'static str> {
    let sessions = blocks(page, "console").into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("$ "));
    let prose = page.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    let commands = sessions.chain(prose).filter(|line| line.starts_with("packevolve "));
    commands.map(|line| line.split(['|', '#', '>', ';']).next().unwrap_or(line)).collect()
}

#[test]
fn every_command_line_parses() {
    let mut count = 0;
    for (name, page) in pages() {
        for line in commands(page) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let Err(error) = cli::command().try_get_matches_from(&words) {
                let only_names_the_command = words.len() == 2 && error.kind() == ErrorKind::MissingRequiredArgument;
                assert!(only_names_the_command || !error.use_stderr(), "{name}: {line}\n{error}");
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

fn settings(yaml: &str) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    fs::write(&path, yaml).unwrap();
    Config::read(Some(&path)).unwrap().settings().unwrap()
}

#[test]
fn every_example_of_settings_can_be_used() {
    let examples: Vec<&str> = pages().flat_map(|(_, page)| blocks(page, "yaml")).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let Settings { llm, judges, evaluation, .. } = settings(example);
        let has_models = llm.models.first().is_some_and(|model| model.name == "some-large-model");
        assert_eq!(has_models, llm.budget_dollars == Some(5.0));
        let is_elsewhere = judges.iter().any(|place| !place.launch.is_empty());
        assert!(has_models || is_elsewhere || evaluation.policy.is_some(), "{example}");
    }
}

/// The settings that the job of a scheduler writes are inside its script.
#[test]
fn the_job_for_slurm_is_a_script_whose_settings_can_be_used() {
    let (_, cluster) = pages().find(|(name, _)| *name == "cluster").unwrap();
    let [script] = blocks(cluster, "sh")[..] else { panic!("one script") };
    let (_, rest) = script.split_once("<<END\n").unwrap();
    let [place] = &settings(rest.split_once("END\n").unwrap().0).judges[..] else { panic!("one place") };
    assert_eq!((place.slots, place.launch[0].as_str()), (191, "srun"));
    let syntax = Command::new("bash").args(["-n", "-c", script]).output().unwrap();
    assert!(syntax.status.success(), "{syntax:?}");
    let last = script.lines().last().unwrap().strip_prefix("exec ").unwrap();
    cli::command().try_get_matches_from(last.split_whitespace()).unwrap();
}

#[test]
fn the_pod_for_kubernetes_is_one_that_its_place_can_use() {
    let (_, cluster) = pages().find(|(name, _)| *name == "cluster").unwrap();
    let [pod] = blocks(cluster, "text")[..] else { panic!("one Pod") };
    let pod: Value = serde_yaml::from_str(pod).unwrap();
    assert_eq!((&pod["apiVersion"], &pod["kind"]), (&json!("v1"), &json!("Pod")));
    let [container] = &pod["spec"]["containers"].as_array().unwrap()[..] else { panic!("one container") };
    assert_eq!(container["command"], json!(["sleep", "infinity"]));
    let kubectl = blocks(cluster, "yaml").into_iter().find(|example| example.contains("kubectl")).unwrap();
    let [place] = &settings(kubectl).judges[..] else { panic!("one place") };
    let name = pod["metadata"]["name"].as_str().unwrap();
    assert_eq!(place.launch, ["kubectl", "exec", "-i", name, "--"]);
    // A CPU of its own for each judge takes equal numbers.
    let resources = &container["resources"];
    assert_eq!(resources["requests"], resources["limits"]);
    assert_eq!(resources["limits"]["cpu"], json!(place.slots.to_string()));
}

/// A change of the help shows in review. To write the snapshots:
/// `UPDATE_SNAPSHOTS=1 cargo test --release --test main readme`
#[test]
fn the_help_of_each_command_is_its_snapshot() {
    let mut packevolve = cli::command().term_width(100);
    packevolve.build();
    let commands = packevolve.get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>();
    let main = ("packevolve".to_owned(), packevolve.render_long_help().to_string());
    let help = |name: String| {
        let text = packevolve.find_subcommand_mut(&name).unwrap().render_long_help().to_string();
        (name, text)
    };
    let all: Vec<(String, String)> = commands.into_iter().map(help).chain([main]).collect();
    for (name, help) in all {
        let path = repository("tests/testdata/help").join(format!("{name}.txt"));
        let help: String = help.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&path, &help).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), help, "{}", path.display());
    }
}
