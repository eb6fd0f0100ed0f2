//! Outside a checkout: `packevolve init`, and commands in a folder that holds nothing.

use std::fs;

use packevolve::config::Config;
use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::values::shipped;

use crate::support::{Output, World, repository, scripted};

/// A folder that holds nothing.
fn empty() -> World {
    let world = scripted::world();
    fs::remove_file(world.path("config.yaml")).unwrap();
    world
}

fn init(world: &World, folder: &str) -> Output {
    world.run(&["init", folder])
}

#[test]
fn everything_that_a_checkout_has_to_edit_is_written_and_used() {
    let world = empty();
    init(&world, "mine").ends(0).tells(&["written to mine"]);
    for (path, bytes) in shipped::all() {
        assert_eq!(fs::read(world.path("mine").join(path)).unwrap(), bytes, "{path}");
    }
    let config = Config::read(Some(&world.path("mine/config.yaml"))).unwrap();
    assert_eq!(config.program.path(), world.path("mine/candidates/eplb.py"));
    assert_eq!(config.search, Config::default().search, "the settings are the defaults");
    assert!(!world.path("config.yaml").exists(), "nothing is written elsewhere");
}

#[test]
fn nothing_is_replaced_and_what_is_there_already_stays() {
    let world = empty();
    init(&world, ".").ends(0);
    init(&world, ".").ends(0).tells(&["0 files"]);
    world.write("candidates/eplb.py", "# mine\n");
    fs::remove_file(world.path("config.yaml")).unwrap();
    let refused = init(&world, ".").ends(3);
    refused.tells_one_error(&["nothing is written: ./candidates/eplb.py would be replaced", "hint: name a new folder"]);
    assert!(!world.path("config.yaml").exists());
    assert_eq!(fs::read_to_string(world.path("candidates/eplb.py")).unwrap(), "# mine\n");
}

#[test]
fn a_search_needs_no_files_beside_its_loads() {
    let world = empty();
    let output = world.run(&["evolve", "--run", "x", "--candidates", "12", "--device", "cpu"]).ends(0);
    assert!(output.stdout.contains("best: candidate"), "{}", output.stdout);
    let run = Run::open(RunFolder::new(world.path("runs/x"))).unwrap();
    let origin = run.search.origin();
    assert_eq!(origin.program, fs::read_to_string(repository("candidates/eplb.py")).unwrap());
    assert_eq!(origin.file_name, "eplb.py");
    assert_eq!(origin.corpus.len(), fs::read_dir(repository("candidates/proposals")).unwrap().count());
    assert_eq!(origin.catalogues.len(), 2);
    let left: Vec<String> = fs::read_dir(world.path("")).unwrap().map(name).collect();
    assert_eq!(left, ["runs"], "nothing else is written");
}

fn name(entry: std::io::Result<fs::DirEntry>) -> String {
    entry.unwrap().file_name().into_string().unwrap()
}

#[test]
fn an_error_says_where_the_missing_file_comes_from() {
    let world = empty();
    let hint = "hint: `packevolve init` writes the files that PackEvolve brings along";
    let missing = world.run(&["evaluate", "candidates/eplb.py"]).ends(3);
    missing.tells_one_error(&["cannot read candidates/eplb.py", hint]);
    world.write("config.yaml", "program: candidates/eplb.py\n");
    world.run(&["evolve"]).ends(3).tells_one_error(&["cannot read candidates/eplb.py", hint]);
    world.write("config.yaml", "program: mine.py\n");
    let other = world.run(&["evolve"]).ends(3);
    assert!(!other.stderr.contains("init"), "{}", other.stderr);
}
