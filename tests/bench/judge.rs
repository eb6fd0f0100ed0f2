//! `cargo bench`: what judging costs and how well it repeats. Prints figures and asserts nothing: times are of one
//! machine and one moment, and what is worth comparing are the ratios.
//!
//! Needs both programs: `cargo build --release --workspace` first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use packevolve::config::Config;
use packevolve::derive::derive;
use packevolve::judge::{Judge, session};
use packevolve::proposer::corpus;
use packevolve_contract::case::{self, Case};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Weights, median, scores};
use packevolve_contract::protocol::{EvaluateRequest, WindowSet};

/// Evaluations of each program, for the spread.
const TIMES: usize = 5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::read(Some(&root.join("config.yaml")))?;
    let settings = config.settings(Path::new("config.yaml"))?;
    let evaluation = &settings.evaluation;
    let cases = case::cases(&evaluation.topology, &evaluation.global_cases, 0, settings.rng_seed)?;
    let programs = programs(root)?;
    let mut judge = Judge::open(session(evaluation, &cases, settings.rng_seed, Some(0))).await?;
    let ready = judge.ready();
    println!("{} ({}), torch {}, {} windows\n", ready.device, ready.device_name, ready.torch, ready.windows);
    let baseline = split(&mut judge, &programs).await?;
    repeat(&mut judge, &programs, &baseline, &cases).await
}

/// The seed program and all that the corpus makes of it, by name.
fn programs(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let seed = std::fs::read_to_string(root.join("candidates/eplb.py"))?;
    let mut programs = vec![("seed".to_owned(), seed.clone())];
    for planned in corpus::plan(&seed, corpus::read(&root.join("candidates/proposals"))?) {
        let parent = planned.parent.map_or(0, |parent| parent + 1);
        let derived = derive(&programs[parent].1, &planned.document.bytes)
            .map_err(|reason| anyhow::anyhow!("{}: {reason}", planned.document.file))?;
        programs.push((derived.proposal.name, derived.program));
    }
    Ok(programs)
}

/// Where the time of an evaluation goes: the candidate, the reference, everything else.
async fn split(judge: &mut Judge, programs: &[(String, String)]) -> anyhow::Result<Measurement> {
    println!(
        "{:<36} {:>9} {:>11} {:>11} {:>7}",
        "one window of every case", "total s", "candidate s", "reference s", "rest %"
    );
    let mut baseline = None;
    for (name, program) in programs {
        let began = Instant::now();
        // The budget is used up at once, so that one window is taken; cheap programs get all.
        let measurement = evaluate(judge, program, if name == "seed" { None } else { Some(0.5) }).await?;
        let total = began.elapsed().as_secs_f64();
        let samples = || measurement.cases.iter().flat_map(|case| &case.samples);
        let candidate: f64 = samples().map(|sample| sample.seconds).sum();
        let reference: f64 = samples().map(|sample| sample.reference_seconds).sum();
        let rest = 100.0 * (total - candidate - reference) / total;
        let windows = measurement.cases[0].samples.len();
        let label = format!("{name} ({windows})");
        println!("{label:<36} {total:>9.3} {candidate:>11.3} {reference:>11.3} {rest:>7.1}");
        baseline.get_or_insert(measurement);
    }
    Ok(baseline.expect("BUG: there is a seed program"))
}

/// How well speedups repeat, on a quiet CPU and beside a process that spins on the same one.
async fn repeat(
    judge: &mut Judge,
    programs: &[(String, String)],
    baseline: &Measurement,
    cases: &[Case],
) -> anyhow::Result<()> {
    println!(
        "\nspeedup over the seed program, {TIMES} evaluations of one window; spread is largest over smallest - 1\n"
    );
    println!("{:<36} {:>10} {:>9} {:>10} {:>9}", "", "quiet", "spread %", "beside", "spread %");
    let mut orders: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
    let mut speedups: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for condition in ["quiet", "beside"] {
        let _spinner = (condition == "beside").then(Spinner::start).transpose()?;
        for _ in 0..TIMES {
            let mut order = Vec::new();
            for (name, program) in programs {
                let measurement = evaluate(judge, program, Some(0.0)).await?;
                let speedup = speedup(&measurement, baseline, cases);
                speedups.entry((name, condition)).or_default().push(speedup);
                order.push((speedup, name.as_str()));
            }
            order.sort_by(|a, b| b.0.total_cmp(&a.0));
            orders.entry(condition).or_default().push(order.into_iter().map(|(_, name)| name).collect());
        }
    }
    for (name, _) in programs {
        let cells = ["quiet", "beside"].map(|condition| {
            let values = &speedups[&(name.as_str(), condition)];
            let (low, high) = values.iter().fold((f64::MAX, 0f64), |(low, high), v| (low.min(*v), high.max(*v)));
            format!("{:>9.2}x {:>9.1}", median(values.iter().copied()), 100.0 * (high / low - 1.0))
        });
        println!("{name:<36} {} {}", cells[0], cells[1]);
    }
    for (condition, orders) in orders {
        let same = orders.iter().filter(|order| **order == orders[0]).count();
        println!("order of the {} programs by speed, {condition}: the same in {same} of {TIMES}", programs.len());
    }
    Ok(())
}

fn speedup(measurement: &Measurement, baseline: &Measurement, cases: &[Case]) -> f64 {
    let unit: Vec<String> = cases.iter().map(ToString::to_string).collect();
    let scores = scores(measurement, baseline, Weights::default(), &unit);
    let logs: Vec<f64> = scores.cases.iter().map(|case| case.speedup.ln()).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

async fn evaluate(judge: &mut Judge, program: &str, budget_seconds: Option<f64>) -> anyhow::Result<Measurement> {
    let request = EvaluateRequest {
        candidate: 0,
        file_name: "eplb.py".to_owned(),
        program: program.to_owned(),
        windows: WindowSet::Search,
        budget_seconds,
        limits: None,
        outclassed: None,
    };
    match judge.evaluate(request).await? {
        Evaluation::Measured { measurement } => Ok(measurement),
        other => anyhow::bail!("not measured: {other:?}"),
    }
}

/// A process that spins on CPU 0 until it is dropped.
struct Spinner(Child);

impl Spinner {
    fn start() -> anyhow::Result<Self> {
        let taskset = PathBuf::from("taskset");
        Ok(Self(Command::new(taskset).args(["-c", "0", "sh", "-c", "exec sh -c 'while :; do :; done'"]).spawn()?))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
