//! What the machine lacks: descriptors, disk, processes. A run says what it was, loses nothing, and continues later.

use std::fs;
use std::process::Command;

use crate::support::{Output, World, scripted};

/// The command under a limit of the shell, such as `-n 40`.
fn limited(command: &Command, limit: &str) -> Output {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    shell.env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(command.get_current_dir().unwrap());
    Output::of(&mut shell)
}

#[test]
fn a_judge_without_enough_descriptors_names_them() {
    let world = World::new();
    let output = limited(&world.command(&["evolve", "--run", "x", "--candidates", "2"]), "-n 40");
    assert_ne!(output.code, Some(0));
    output.tells_one_error(&["Too many open files", "hint: open files are limited: `ulimit -n`"]);
    assert!(!world.has_run("x"), "nothing was begun");
    world.run(&["evolve", "--run", "x", "--candidates", "2"]).ends(0);
}

/// A limit of files is what a test can set without a disk of its own; a full disk fails at the same calls.
#[test]
fn a_journal_that_cannot_grow_ends_the_run_with_the_reason_and_resumes() {
    let world = scripted::world();
    let evolve = world.command(&["evolve", "--run", "x", "--candidates", "12"]);
    // In blocks of 512 bytes; the first event is shorter.
    let output = limited(&evolve, "-f 440");
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    output.tells_one_error(&[
        "journal.jsonl: cannot append to it",
        "because: File too large",
        "hint: `packevolve resume",
    ]);
    let before = fs::read(world.path("runs/x/journal.jsonl")).unwrap();
    world.run(&["resume", "--run", "x"]).ends(0);
    let after = fs::read(world.path("runs/x/journal.jsonl")).unwrap();
    let whole = before.iter().rposition(|byte| *byte == b'\n').unwrap();
    assert!(after.starts_with(&before[..=whole]), "a line was lost");
    world.run(&["fsck", "--run", "x"]).ends(0);
}

/// What cannot be opened for lack of descriptors is not damaged.
#[test]
fn a_good_archive_is_not_moved_aside_for_lack_of_descriptors() {
    let world = scripted::world();
    world.run(&["evolve", "--run", "x", "--candidates", "6"]).ends(0);
    for most in 4..16 {
        for arguments in [&["fsck", "--run", "x", "--repair"][..], &["resume", "--run", "x", "--candidates", "7"]] {
            let output = limited(&world.command(arguments), &format!("-n {most}"));
            assert!(!output.stderr.contains("panicked"), "{most}: {}", output.stderr);
            assert!(
                !world.path("runs/x/archive.git.damaged").exists(),
                "{most} {arguments:?}: {}{}",
                output.stdout,
                output.stderr
            );
        }
    }
    world.run(&["fsck", "--run", "x"]).ends(0);
}
