//! One small finished run of the real judge, made once for the tests that need times and scores that were measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;

use super::finished::NAME;
use super::{Output, World, copy, judge};

/// The run and what `evolve` printed.
struct Measured {
    folder: PathBuf,
    output: Output,
}

static MEASURED: LazyLock<Measured> = LazyLock::new(|| {
    judge();
    let world = World::with("judges: [{slots: 2}]\nsearch: {candidates: 16}\n");
    let output = world.run(&["evolve", "--run", NAME]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("measured");
    let _ = fs::remove_dir_all(&folder);
    copy(&world.path("runs").join(NAME), &folder);
    Measured { folder, output }
});

static RUN: LazyLock<Run> = LazyLock::new(|| Run::open(RunFolder::new(MEASURED.folder.clone())).unwrap());

/// What `evolve` printed.
pub fn output() -> &'static Output {
    &MEASURED.output
}

/// A world that holds a copy of the run and nothing of the repository.
pub fn world() -> World {
    let world = World::new();
    copy(&MEASURED.folder, &world.path("runs").join(NAME));
    world
}

/// The run, read once.
pub fn run() -> &'static Run {
    &RUN
}
