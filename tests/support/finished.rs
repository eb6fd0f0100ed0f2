//! One small finished run of the scripted judge, made once for all tests that look at a run. Every time and every score
//! in it is the same on every machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;

use super::{World, copy, scripted};

/// Name of the run.
pub const NAME: &str = "small";
/// Its candidates: the seed program, the corpus of eight and mutations.
pub const CANDIDATES: usize = 16;

/// The first random seed that is tried.
const RNG_SEED: u64 = 71;

/// Holds the run and the settings it was made with.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // A change of the search changes which seed gives a run that shows everything.
    let world = (RNG_SEED..RNG_SEED + 100).map(evolved).find(shows_everything).expect("a run that shows everything");
    // Cargo's folder of temporary files: nothing runs after the last test that could remove another one.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("finished");
    let _ = fs::remove_dir_all(&folder);
    copy(&world.path("runs").join(NAME), &folder.join("run"));
    fs::copy(world.path("config.yaml"), folder.join("config.yaml")).unwrap();
    folder
});

fn evolved(rng_seed: u64) -> World {
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {population_size: 6}\n");
    world.set("rng_seed", &rng_seed.to_string());
    world.run(&["evolve", "--run", NAME, "--candidates", &CANDIDATES.to_string()]).ends(0);
    world
}

/// Whether candidates of the run were rejected, stopped early, confirmed and refuted, and the best one has a lineage.
fn shows_everything(world: &World) -> bool {
    let search = world.read(NAME).search;
    let tally = search.tally();
    let refuted = search
        .candidates()
        .filter(|(_, candidate)| candidate.held_out.as_ref().is_some_and(|held_out| !held_out.confirmed))
        .count();
    let depth = search.line_to(search.best().unwrap().candidate).len();
    tally.rejected > 0 && tally.outclassed > 0 && refuted > 0 && depth > 3
}

static RUN: LazyLock<Run> = LazyLock::new(|| Run::open(RunFolder::new(FOLDER.join("run"))).unwrap());

/// A world with a copy of the run and its settings.
pub fn world() -> World {
    let world = scripted::world();
    copy_to(&world);
    world
}

/// Puts a copy of the run and its settings into a world, which may have a judge that measures.
pub fn copy_to(world: &World) {
    copy(&FOLDER.join("run"), &world.path("runs").join(NAME));
    fs::copy(FOLDER.join("config.yaml"), world.path("config.yaml")).unwrap();
}

/// The run, read once.
pub fn run() -> &'static Run {
    &RUN
}
