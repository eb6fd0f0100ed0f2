//! `packevolve doctor`: what this machine offers.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::skip::skip;
use crate::support::{Output, World, judge, repository};

#[test]
fn doctor_shows_what_programs_are_measured_with() {
    judge();
    let world = World::new();
    let table = world.run(&["doctor"]).ends(0).stdout;
    for row in [
        "packevolve  0.",
        "python      3.",
        "torch       2.",
        "device      cpu (",
        "slots       1",
        "loads       2 windows",
    ] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{row:?} is missing:\n{table}");
    }
    assert!(table.lines().any(|line| line.starts_with("jail")), "{table}");
    let json = world.run(&["doctor", "--format", "json"]).ends(0).json();
    for field in ["version", "device", "device_name", "python", "torch", "windows", "loads_digest", "jail"] {
        assert!(json.get(field).is_some(), "{field}");
    }
}

#[test]
fn what_is_missing_is_reported_with_a_hint() {
    let world = World::new();
    let output = Output::of(world.lone_harness().arg("doctor")).ends(1);
    output.tells_one_error(&["packevolve-judge is not beside", "hint: "]);
}

#[test]
fn doctor_and_a_run_say_which_torch_is_whose() {
    judge();
    let packages = repository(".venv/lib").read_dir().into_iter().flatten().map(|entry| entry.unwrap().path());
    let Some(packages) = packages.map(|path| path.join("site-packages")).find(|path| path.is_dir()) else {
        return skip("python", "there is no .venv");
    };
    // An environment with the same packages, in which torch says that it is another one.
    let world = World::new();
    let library = world.path("other/lib").join(packages.parent().unwrap().file_name().unwrap()).join("site-packages");
    fs::create_dir_all(&library).unwrap();
    fs::create_dir_all(world.path("other/bin")).unwrap();
    symlink(repository(".venv/bin/python").canonicalize().unwrap(), world.path("other/bin/python")).unwrap();
    fs::copy(repository(".venv/pyvenv.cfg"), world.path("other/pyvenv.cfg")).unwrap();
    let others = format!("{}\nimport torch; torch.__version__ = '1.2.3'\n", packages.display());
    fs::write(library.join("others.pth"), others).unwrap();
    let said = "1.2.3 runs the programs, the judge itself uses 2.";
    world.set("evaluation", "{device: cpu, windows: 2, held_out_windows: 0, loads_seed: 1, python: other/bin/python}");
    let table = world.run(&["doctor"]).ends(0).stdout;
    assert!(table.contains(&format!("torch       {said}")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("numpy       2.")), "{table}");
    world.run(&["evolve", "--run", "x", "--candidates", "1"]).ends(0).tells(&["note: torch ", said]);
    let run = world.read("x");
    let judge = &run.search.origin().judge;
    assert_eq!(judge.torch, "1.2.3");
    assert!(judge.judge_torch.starts_with("2."), "{judge:?}");
}
