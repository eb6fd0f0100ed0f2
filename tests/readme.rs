//! The README: what it says of the command line is what the program says.

use packevolve::cli;
use packevolve::exit::Exit;

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
