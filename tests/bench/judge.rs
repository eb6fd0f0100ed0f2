//! What judging costs and how far its scores can be trusted: `cargo bench`, some minutes. `cargo bench -- overhead`,
//! `-- repeat` and `-- trust` are its parts; `-- devices` shows all programs on the CPU and on the GPU of the tests
//! (`PACKEVOLVE_TEST_DEVICE`, `cuda:0` unless it is set); `-- programs` writes them to the folder `programs`.
//!
//! Times are of one machine and one moment; costs are in CPU time, of which other programs take none. A figure that is
//! missed is marked, and makes the bench fail. Needs both programs: `cargo build --release --workspace` first.

mod cost;
mod devices;
mod overhead;
mod programs;
mod repeat;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use packevolve::config::Config;
use packevolve::judge::client::{Judge, session};
use packevolve::values::settings::Settings;
use packevolve_contract::case::{self, Case};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::protocol::EvaluateRequest;

/// What the parts share.
struct Bench {
    settings: Settings,
    cases: Vec<Case>,
    /// Whether every figure was met.
    passed: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |part: &str| parts.iter().any(|wanted| wanted == part);
    let mut bench = Bench::new("cpu")?;
    if runs("programs") {
        programs::write()?;
        return Ok(ExitCode::SUCCESS);
    }
    if runs("devices") {
        let all_measured = devices::table(&bench).await?;
        return Ok(if all_measured { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if parts.is_empty() || runs("overhead") {
        overhead::of_evaluations(&mut bench).await?;
        overhead::of_candidates(&mut bench).await?;
    }
    if parts.is_empty() || runs("repeat") {
        repeat::repeat(&mut bench).await?;
    }
    if parts.is_empty() || runs("trust") {
        trust::trust(&mut bench).await?;
    }
    Ok(if bench.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder of the repository, or another one with its candidates and its config.
fn root() -> PathBuf {
    std::env::var_os("PACKEVOLVE_TEST_ROOT").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

impl Bench {
    fn new(device: &str) -> anyhow::Result<Self> {
        let mut config = Config::read(Some(&root().join("config.yaml")))?;
        device.clone_into(&mut config.evaluation.device);
        config.evaluation.python = std::env::var_os("PACKEVOLVE_TEST_PYTHON").map(PathBuf::from);
        let settings = config.settings()?;
        let evaluation = &settings.evaluation;
        let cases =
            case::cases(&evaluation.topology, &evaluation.global_cases, evaluation.random_cases, settings.rng_seed)?;
        Ok(Self { settings, cases, passed: true })
    }

    /// A judge on the first CPU.
    async fn judge(&self) -> anyhow::Result<Judge> {
        let judge =
            Judge::open(session(&self.settings.evaluation, &self.cases, self.settings.rng_seed, Some(0))?, &[]).await?;
        let ready = judge.ready();
        println!("\n{} ({}), torch {}, {} windows\n", ready.device, ready.device_name, ready.torch, ready.windows);
        Ok(judge)
    }

    /// Prints a figure with its limit.
    fn figure(&mut self, name: &str, value: f64, at_most: f64, unit: &str) {
        let met = value <= at_most;
        self.passed &= met;
        let verdict = if met { "ok" } else { "MISSED" };
        println!("{verdict:<7} {name}: {value:.4} {unit}, at most {at_most} {unit}");
    }
}

/// Has a program judged; `None`: on all windows.
async fn evaluate(judge: &mut Judge, program: &str, budget_seconds: Option<f64>) -> anyhow::Result<Measurement> {
    measured(judge, request(program, budget_seconds)).await
}

/// Has the baseline judged, as at the start of a run.
async fn evaluate_baseline(judge: &mut Judge, program: &str) -> anyhow::Result<Measurement> {
    measured(judge, EvaluateRequest { is_baseline: true, ..request(program, None) }).await
}

fn request(program: &str, budget_seconds: Option<f64>) -> EvaluateRequest {
    EvaluateRequest {
        candidate: 0,
        file_name: "eplb.py".to_owned(),
        program: program.to_owned(),
        budget_seconds,
        limits: None,
        outclassed: None,
        measures_inconsistent: true,
        is_baseline: false,
        rebalance: false,
        is_of_blocks: false,
    }
}

async fn measured(judge: &mut Judge, request: EvaluateRequest) -> anyhow::Result<Measurement> {
    match judge.evaluate(request).await? {
        Evaluation::Measured { measurement } | Evaluation::Inconsistent { measurement, .. } => Ok(measurement),
        other => anyhow::bail!("not measured: {other:?}"),
    }
}
