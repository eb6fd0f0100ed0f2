//! What every command has: `--quiet`, `--verbose`, `--color`; and what clap makes of all of them: completions, man
//! pages.

use std::fs;

use crate::support::World;
use crate::support::finished::{self, NAME};

const ESCAPE: char = '\u{1b}';

#[test]
fn quiet_leaves_results_and_errors() {
    let world = finished::world();
    let journal = world.path("runs").join(NAME).join("journal.jsonl");
    let torn = fs::read(&journal).unwrap().into_iter().chain(*b"{\"seq\"").collect::<Vec<u8>>();
    fs::write(&journal, torn).unwrap();
    let said = world.run(&["lineage"]).ends(0).tells(&["note: "]);
    let quiet = world.run(&["lineage", "--quiet"]).ends(0);
    assert_eq!((quiet.stdout, quiet.stderr.as_str()), (said.stdout, ""));
    world.run(&["-q", "show", "999"]).ends(3).tells_one_error(&["no candidate \"999\""]);
    world.run(&["-q", "-v", "top"]).ends(2);
}

#[test]
fn results_are_coloured_through_a_pipe_only_on_request() {
    let mut world = finished::world();
    world.export("NO_COLOR", "1");
    let plain = world.run(&["top"]).ends(0).stdout;
    let coloured = world.run(&["top", "--color", "always"]).ends(0).stdout;
    assert!(!plain.contains(ESCAPE) && coloured.contains(ESCAPE), "{coloured}");
    assert_eq!(world.run(&["--color", "never", "top"]).ends(0).stdout, plain);
    let lines = |text: &str| text.lines().count();
    assert_eq!(lines(&plain), lines(&coloured), "a pipe has no width, coloured or not");
}

#[test]
fn a_completion_script_knows_all_commands_and_options() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&["completions", shell]).ends(0).stdout;
        assert!(script.contains("lineage") && script.contains("no-evaluate"), "{shell}: {script}");
    }
    world.run(&["completions", "cmd"]).ends(2);
}

#[test]
fn man_pages_are_written_for_every_command() {
    let world = World::new();
    world.run(&["man", "pages"]).ends(0);
    let pages: Vec<String> = fs::read_dir(world.path("pages"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    for page in ["packevolve.1", "packevolve-evolve.1", "packevolve-export.1", "packevolve-record.7"] {
        assert!(pages.iter().any(|written| written == page), "{page}: {pages:?}");
    }
    let text = fs::read_to_string(world.path("pages/packevolve-show.1")).unwrap();
    assert!(text.contains("commit prefix"), "{text}");
    world.run(&["man", "config.yaml/x"]).ends(3).tells_one_error(&["cannot write config.yaml/x"]);
}
