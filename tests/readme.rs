//! The README: what it says of the command line is what the program says.

use std::fs;

use packevolve::cli;
use packevolve::cli::exit::Exit;
use packevolve::config::Config;

const README: &str = include_str!("../README.md");

#[test]
fn its_help_is_the_programs() {
    let help: Vec<String> = cli::help().lines().map(|line| line.trim_end().to_owned()).collect();
    assert!(README.contains(&help.join("\n")), "paste into README.md:\n{}", help.join("\n"));
}

#[test]
fn its_commands_are_the_programs() {
    let commands: Vec<&str> =
        README.lines().filter_map(|line| line.strip_prefix("$ packevolve ")?.split_whitespace().next()).collect();
    assert!(commands.len() > 8, "{commands:?}");
    let help = cli::help();
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn its_exit_codes_are_all_there_are() {
    for exit in Exit::ALL {
        assert!(README.contains(&format!("{:>3}  {}", exit.code(), &exit.meaning()[..20.min(exit.meaning().len())])));
    }
}

/// The first block of YAML under a heading.
fn yaml_under(heading: &str) -> &'static str {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, block) = section.split_once("```yaml\n").unwrap();
    block.split_once("```").unwrap().0
}

#[test]
fn its_language_models_are_settings_that_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    fs::write(&path, yaml_under("Language models")).unwrap();
    let llm = Config::read(Some(&path)).unwrap().settings(&path).unwrap().llm;
    let names: Vec<&str> = llm.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!((names, llm.budget_dollars), (vec!["some-large-model", "ours"], Some(5.0)));
}
