//! Whether one harness keeps many judges busy: a run of 200 slots behind a launcher, whose judges take three seconds for
//! each program: `cargo bench --bench slots`, a minute.
//!
//! A whole run of the product; only the judge is another one: this bench itself, which serves as a [`stub`] when it is
//! called as the judge is. A figure that is missed is marked, and makes the bench fail.

#[allow(dead_code, reason = "the judge of the tests looks at more of what it is asked")]
mod stub;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use packevolve::journal::Reader;
use packevolve::values::event::Event;
use packevolve_contract::evaluation::Evaluation;
use tempfile::TempDir;

/// What the harness looks for beside itself.
const JUDGE: &str = "packevolve-judge";
const SLOTS: usize = 200;
/// What an evaluation takes.
const SECONDS: f64 = 3.0;
/// Twelve rounds of all slots.
const CANDIDATES: usize = 12 * SLOTS;
/// Rounds at the start, in which slots wait for the baseline and for a first population.
const FIRST_ROUNDS: usize = 2;

fn main() -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe()?;
    if own.file_name().is_some_and(|name| name == JUDGE) {
        stub::serve(|session, asked| Evaluation::Measured { measurement: stub::measurement(session, asked) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let world = world(&own)?;
    run(world.path(), &["evolve", "--run", "slots"])?;
    let judged = judged(&world.path().join("runs/slots/journal.jsonl"))?;
    // The last round of each slot ends where there is nothing more to do.
    let steady = &judged[FIRST_ROUNDS * SLOTS..judged.len() - SLOTS];
    let a_second = (steady.len() - 1) as f64 / (steady[steady.len() - 1] - steady[0]);
    let busy = a_second * SECONDS / SLOTS as f64;
    println!("\n{} candidates on {SLOTS} slots, {SECONDS} s each", judged.len());
    let met = [("candidates a minute", 60.0 * a_second, 3600.0), ("share of the time that slots are busy", busy, 0.9)]
        .map(|(name, value, least)| {
            println!("{:<7} {name}: {value:.3}, at least {least}", if value >= least { "ok" } else { "MISSED" });
            value >= least
        });
    run(world.path(), &["replay", "--run", "slots", "--no-evaluate"])?;
    println!("ok      replay makes the same decisions");
    Ok(if met.into_iter().all(|met| met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A folder with the harness, the judge beside it, and a launcher.
fn world(judge: &Path) -> anyhow::Result<TempDir> {
    let world = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = |name: &str| world.path().join(name);
    fs::copy(env!("CARGO_BIN_EXE_packevolve"), path("packevolve"))?;
    fs::copy(judge, path(JUDGE))?;
    let milliseconds = SECONDS * 1000.0;
    fs::write(path("launcher"), format!("#!/bin/sh\n{}={milliseconds} exec \"$@\"\n", stub::TAKES))?;
    fs::set_permissions(path("launcher"), Permissions::from_mode(0o755))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).display();
    fs::write(
        path("config.yaml"),
        format!(
            "{{program: {root}/candidates/eplb.py, baseline: {root}/candidates/eplb.py, \
             judges: [{{slots: {SLOTS}, launch: [./launcher]}}], search: {{candidates: {CANDIDATES}}}, \
             proposers: {{corpus: {root}/candidates/proposals, compose: {{blocks: {root}/candidates/blocks}}, prune: {{enabled: false}}}}}}\n"
        ),
    )?;
    Ok(world)
}

fn run(world: &Path, command: &[&str]) -> anyhow::Result<()> {
    let mut harness = Command::new(world.join("packevolve"));
    let status = harness.args(command).current_dir(world).stdout(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// When candidates were judged, seconds.
fn judged(journal: &Path) -> anyhow::Result<Vec<f64>> {
    let mut judged = Vec::new();
    for entry in Reader::<Event>::open(journal)? {
        let entry = entry?;
        if matches!(entry.event, Event::CandidateEvaluated { .. }) {
            judged.push(entry.time);
        }
    }
    anyhow::ensure!(judged.len() > (FIRST_ROUNDS + 2) * SLOTS, "the run ended early: {} candidates", judged.len());
    Ok(judged)
}
