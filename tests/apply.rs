//! `packevolve apply`: one edit, by hand.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{World, repository, text_of};

const EDIT: &str = "<NAME>\ntwo\n</NAME>\n<DESCRIPTION>\nOne becomes two.\n</DESCRIPTION>\n<DIFF>\n<<<<<<< SEARCH\n    \
                    return 1\n=======\n    return 2\n>>>>>>> REPLACE\n</DIFF>\n";
const PROGRAM: &str = "# EVOLVE-BLOCK-START\r\ndef f():\n    return 1\n# EVOLVE-BLOCK-END\n# no newline";

fn world() -> World {
    let world = World::new();
    world.write("program.py", PROGRAM);
    world.write("edit.txt", EDIT);
    world
}

#[test]
fn the_result_is_the_program_with_the_matched_span_changed_and_no_other_byte() {
    let output = world().run(&["apply", "program.py", "edit.txt"]).ends(0);
    assert_eq!(output.stdout, PROGRAM.replace("return 1", "return 2"));
    assert_eq!(output.stderr, "applied two: 1 block\n");
}

#[test]
fn a_proposal_of_the_corpus_applies_to_the_seed_program() {
    let (program, proposal) = ("candidates/eplb.py", "candidates/proposals/004_refine_packing.txt");
    let paths = [program, proposal].map(|path| repository(path).display().to_string());
    let output = World::new().run(&["apply", &paths[0], &paths[1]]).ends(0);
    assert!(output.stdout.contains("def refine_packing") || output.stdout != text_of(program));
    assert!(output.stdout.starts_with(text_of(program).lines().next().unwrap()));
}

#[test]
fn the_result_may_take_the_place_of_the_program() {
    let world = world();
    fs::set_permissions(world.path("program.py"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("program.py", world.path("link.py")).unwrap();
    let output = world.run(&["apply", "link.py", "edit.txt", "-o", "link.py"]).ends(0);
    assert_eq!(output.stdout, "");
    assert!(world.path("link.py").is_symlink(), "the link was replaced");
    assert_eq!(fs::read_to_string(world.path("program.py")).unwrap(), PROGRAM.replace("return 1", "return 2"));
    assert_eq!(fs::metadata(world.path("program.py")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 4, "something was left behind");
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    world().run(&["apply", "program.py", "edit.txt", "-o", "/dev/null"]).ends(0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn an_edit_that_does_not_match_is_diagnosed_and_nothing_is_written() {
    let world = world();
    world.write("edit.txt", EDIT.replace("return 1", "return  1"));
    let output = world.run(&["apply", "program.py", "edit.txt", "-o", "result.py"]).ends(4);
    output.tells_one_error(&["edit.txt: does not apply", "nearest is line 3", "-     return  1", "+     return 1"]);
    assert!(!world.path("result.py").exists());
}

#[test]
fn an_invalid_proposal_and_a_missing_one_give_different_errors() {
    let world = world();
    world.write("prose.txt", "Use a heap.\n");
    world.write("binary.txt", [0xff, 0xfe]);
    world.run(&["apply", "program.py", "prose.txt"]).ends(4).tells_one_error(&["prose.txt: not a proposal"]);
    world.run(&["apply", "program.py", "binary.txt"]).ends(4).tells_one_error(&["binary.txt: not a proposal"]);
    world.run(&["apply", "program.py", "none.txt"]).ends(3).tells_one_error(&["cannot read none.txt"]);
    world.run(&["apply", "none.py", "edit.txt"]).ends(3).tells_one_error(&["cannot read none.py"]);
    world
        .run(&["apply", "program.py", "edit.txt", "-o", "no/folder"])
        .ends(3)
        .tells_one_error(&["cannot write no/folder"]);
}
