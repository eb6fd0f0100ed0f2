//! Settings as the commands read them: an error is reported once, with its place, before anything is written.

use crate::support::{World, settings};

#[track_caller]
fn refused(config: &str, wanted: &[&str]) {
    let world = World::new();
    world.write("config.yaml", config);
    for command in [&["evolve", "--run", "x"][..], &["doctor"], &["evaluate", "eplb.py"]] {
        world.run(command).ends(3).tells_one_error(wanted);
    }
    assert!(!world.path("runs").exists());
}

#[test]
fn a_typo_is_reported_with_file_line_and_the_likely_key() {
    refused(
        "rng_seed: 1\nevaluation:\n  windws: 2\n",
        &["error: config.yaml:3:3: evaluation: unknown field `windws`", "hint: did you mean `windows`?"],
    );
    refused("rng_sed: 1\n", &["error: config.yaml:1:", "hint: did you mean `rng_seed`?"]);
}

#[test]
fn an_impossible_value_is_reported_by_its_name_or_line() {
    refused("limits: {call_timeout: soon}\n", &["error: config.yaml:1:"]);
    refused("judges: [{slots: 0}]\n", &["error: config.yaml:1:18: judges[0].slots is 0, must be at least 1"]);
    refused("topology: {gpus: 5}\n", &["config.yaml"]);
    refused("evaluation: [\n", &["error: config.yaml:"]);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let world = World::new();
    for command in [&["evolve"][..], &["doctor"], &["evaluate", "eplb.py"]] {
        world
            .run(&[command, &["--config", "none.yaml"]].concat())
            .ends(3)
            .tells_one_error(&["cannot read none.yaml", "because: "]);
    }
    let program = settings("").replacen("eplb.py", "none.py", 1);
    world.write("config.yaml", program);
    world.run(&["evolve", "--run", "x"]).ends(3).tells_one_error(&["cannot read ", "none.py"]);
    world.write("config.yaml", settings("").replace("candidates/proposals", "candidates/none"));
    world.run(&["evolve", "--run", "x"]).ends(3).tells_one_error(&["candidates/none"]);
    assert!(!world.path("runs").exists());
}

#[test]
fn a_wrong_command_line_is_reported_with_the_usage() {
    let world = World::new();
    for arguments in
        [&[][..], &["evolv"], &["evolve", "--candidates", "0"], &["apply", "one"], &["top", "--format", "xml"]]
    {
        let output = world.run(arguments).ends(2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let help = world.run(&["--help"]).ends(0);
    assert!(help.stdout.contains("130") && help.stderr.is_empty(), "exit codes are part of the help");
    world.run(&["--version"]).ends(0);
}
