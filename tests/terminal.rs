//! What a run looks like on a pseudo-terminal: colours, width, and nothing that a
//! candidate wrote steers it.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};

use crate::support::World;
use crate::support::finished::{self, NAME};

/// What a command prints to a terminal of `columns`.
fn on_terminal(world: &World, columns: u16, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let mut command: Command = world.command(arguments);
    command.env("TERM", "xterm-256color").envs(environment.iter().copied());
    let mut process = command.stdout(terminal.slave).stderr(Stdio::inherit()).spawn().unwrap();
    // The other end is closed in this process too, or the end of the output would not be seen.
    drop(command);
    let mut output = Vec::new();
    // It ends with an error when the last that had it open is gone.
    let _ = File::from(terminal.master).read_to_end(&mut output);
    assert!(process.wait().unwrap().success(), "{arguments:?}");
    String::from_utf8(output).unwrap().replace("\r\n", "\n")
}

/// The text without colours, which must be all that is left of control characters.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('m').unwrap();
        assert!(code.chars().all(|c| c.is_ascii_digit() || c == ';'), "{code:?} is not a colour");
        plain += rest;
    }
    assert!(!plain.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{plain:?}");
    plain
}

const LOOKS: [&[&str]; 6] =
    [&["top"], &["lineage"], &["log"], &["show", "best"], &["diff", "seed", "best"], &["show", "best", "--program"]];

#[test]
fn colours_are_for_terminals_that_want_them() {
    let world = finished::world();
    for arguments in LOOKS {
        let coloured = on_terminal(&world, 300, &[], arguments);
        let without = [("NO_COLOR", "1")];
        let uncoloured = on_terminal(&world, 300, &without, arguments);
        assert_eq!(plain(&coloured), uncoloured, "{arguments:?}");
        assert_eq!(coloured != uncoloured, !arguments.contains(&"--program"), "{arguments:?}");
        assert_eq!(on_terminal(&world, 300, &[("TERM", "dumb")], arguments), uncoloured, "{arguments:?}");
        assert_eq!(on_terminal(&world, 300, &[("NO_COLOR", "")], arguments), coloured, "{arguments:?}");
        let piped = world.run(arguments).ends(0).stdout;
        assert!(!piped.contains('\u{1b}'));
        assert_eq!(uncoloured, piped, "{arguments:?}");
    }
}

#[test]
fn no_table_is_wider_than_its_terminal_and_what_is_left_out_is_said() {
    let world = finished::world();
    for arguments in [&["top", "--all"][..], &["lineage"], &["log"]] {
        for columns in [60, 80, 100, 140] {
            let shown = plain(&on_terminal(&world, columns, &[], arguments));
            // Below a table stands a hint with commands that are as long as they are.
            for line in shown.lines().filter(|line| !line.contains("packevolve ") && !line.contains("largest gain")) {
                assert!(line.chars().count() <= columns.into(), "{arguments:?}, {columns}: {line}");
            }
        }
    }
    let narrow = plain(&on_terminal(&world, 80, &[], &["top"]));
    assert!(narrow.contains("columns do not fit here"), "{narrow}");
    assert!(narrow.contains("combined") && !narrow.contains("gap %"), "{narrow}");
    let untold = on_terminal(&world, 0, &[], &["top"]);
    assert_eq!(
        plain(&untold),
        world.run(&["top", "--run", NAME]).ends(0).stdout,
        "a terminal that does not say how wide it is"
    );
}

/// A program that turns its own comment, rings the bell and clears the screen of the reader.
#[test]
fn nothing_that_a_candidate_wrote_steers_a_terminal() {
    let world = finished::world();
    let hostile = "# \u{1b}[2J\u{1b}]0;title\u{7} \u{9b}31m \u{202e}desrever\n";
    let program = crate::support::text_of("candidates/eplb.py");
    let marker = "# EVOLVE-BLOCK-START\n";
    let program = program.replace(marker, &format!("{hostile}{marker}"));
    world.write("hostile.py", &program);
    world.set("program", "hostile.py");
    world.run(&["evolve", "--run", "hostile", "--candidates", "3"]).ends(0);
    let shown = on_terminal(&world, 80, &[], &["show", "seed", "--run", "hostile", "--program"]);
    assert!(shown.contains("\\u{1b}[2J") && shown.contains("\\u{202e}desrever"), "{shown}");
    plain(&shown);
    assert_eq!(world.run(&["show", "seed", "--run", "hostile", "--program"]).ends(0).stdout, program);
    for arguments in [
        &["show", "1", "--run", "hostile"][..],
        &["diff", "seed", "1", "--run", "hostile"],
        &["log", "--run", "hostile"],
    ] {
        plain(&on_terminal(&world, 80, &[], arguments));
    }
}
