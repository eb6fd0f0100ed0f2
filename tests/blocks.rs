//! The building blocks of `compose`: each alone, by the oracles of `testdata/blocks/check_blocks.py`, and the programs
//! that are assembled of them, by those of `testdata/programs/check_programs.py`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use packevolve::proposer::catalogue::{Catalogue, gather};
use packevolve::proposer::compose;
use packevolve_contract::stream::{Purpose, stream};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn catalogue() -> Catalogue {
    Catalogue::parse(&gather(&root().join("candidates/blocks")).unwrap()).unwrap()
}

fn python(script: &str, arguments: &[PathBuf]) -> Output {
    let python = root().join(".venv/bin/python");
    assert!(python.is_file(), "there is no {}: `make setup` makes it", python.display());
    Command::new(python).arg("-B").arg(root().join(script)).args(arguments).output().unwrap()
}

/// The checks that held; fails with the others if there are some.
fn held(output: &Output) -> Vec<String> {
    let report = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = report.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(output.status.success(), "{}\n{}", failed.join("\n"), String::from_utf8_lossy(&output.stderr));
    report.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::to_owned).collect()
}

#[test]
fn every_block_alone_does_what_its_kind_promises() {
    let held = held(&python("tests/testdata/blocks/check_blocks.py", &[root().join("candidates/blocks")]));
    for name in catalogue().names() {
        let times = held.iter().filter(|line| line.starts_with(&format!("{name} "))).count();
        // What others need is checked with them.
        assert!(times >= 17 || ["put_back", "unfinished"].contains(&name), "{name} was checked {times} times");
    }
}

#[test]
fn a_block_is_in_the_file_of_its_name() {
    for name in catalogue().names() {
        let text = fs::read_to_string(root().join(format!("candidates/blocks/{name}.py"))).unwrap();
        assert!(text.starts_with(&format!("# block: {name}\n")), "{name}");
    }
}

#[test]
fn programs_that_are_assembled_or_varied_keep_the_contract() {
    let catalogue = catalogue();
    let seed = fs::read_to_string(root().join("candidates/eplb.py")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut programs, mut varied) = (Vec::new(), seed.clone());
    let mut unused: Vec<String> = catalogue.names().map(|name| format!("def _{name}(")).collect();
    for number in 0..400 {
        // Every other one is a new draw; between them one program is varied further.
        let parent = if number % 2 == 0 { &seed } else { &varied };
        let mut rng = stream(11, number, Purpose::Proposal);
        let (_, proposal) = compose::propose(parent, &catalogue, None, &mut rng, &|_| false).unwrap();
        let program = proposal.edit.apply(parent).unwrap();
        let before = unused.len();
        unused.retain(|function| !program.contains(function));
        // Some blocks are drawn seldom; of the programs without news the first forty are enough.
        if number < 40 || unused.len() < before {
            let path = folder.path().join(format!("{number}_{}.py", proposal.name));
            fs::write(&path, &program).unwrap();
            programs.push(path);
        }
        if number % 2 == 1 {
            varied = program;
        }
    }
    assert_eq!(unused, [""; 0], "blocks that were never drawn");
    let held = held(&python("tests/testdata/programs/check_programs.py", &programs));
    assert!(held.len() >= 36 * programs.len(), "only {} checks were made", held.len());
}
