//! One small run that came to its end, made once and shared by all tests that only look at a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use packevolve::run::fold::Run;

use super::{Output, World, copy, judge, settings};

/// Name of the run.
pub const NAME: &str = "small";
/// Its candidates: the seed program, the corpus of eight and mutations.
pub const CANDIDATES: usize = 16;

/// The run and what was printed while it was made.
pub struct Finished {
    folder: PathBuf,
    pub output: Output,
}

static FINISHED: LazyLock<Finished> = LazyLock::new(|| {
    judge();
    let world = World::with("search: {slots: 2, candidates: 16}\n");
    let output = world.run(&["evolve", "--run", NAME]);
    // Beside what cargo builds, as nobody is left to remove it when the tests have ended.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("finished");
    let _ = fs::remove_dir_all(&folder);
    copy(&world.path("runs").join(NAME), &folder);
    Finished { folder, output }
});

/// What was printed when the run was made.
pub fn output() -> &'static Output {
    &FINISHED.output
}

/// A world that holds a copy of the run and nothing of the repository.
pub fn world() -> World {
    let world = World::new();
    world.write("config.yaml", settings(""));
    copy(&FINISHED.folder, &world.path("runs").join(NAME));
    world
}

/// The run, read.
pub fn run() -> Run {
    world().read(NAME)
}
