//! Repeat: how well speedups repeat, on the CPU alone and beside a process that spins on the same one, and whether
//! programs of different speed stay in order.

use std::collections::BTreeMap;
use std::process::{Child, Command};

use packevolve_contract::evaluation::Measurement;
use packevolve_contract::objective::{Pairing, Weights, Yardstick, scores};
use packevolve_contract::statistic::median;

use crate::{Bench, evaluate, programs};

/// Evaluations of each program.
const TIMES: usize = 5;
/// Of the pairs of evaluations of one program, this share agrees within what is allowed.
const MOST_PAIRS: f64 = 0.95;
/// How far two evaluations may be apart, in percent.
const CONDITIONS: [(&str, f64); 2] = [("alone", 5.0), ("beside a spinning process", 10.0)];

pub async fn repeat(bench: &mut Bench) -> anyhow::Result<()> {
    let mut judge = bench.judge().await?;
    let programs = programs::nine()?;
    // As a run has it: a slow program gets fewer windows.
    let budget = bench.settings.evaluation.budget_seconds;
    let baseline = evaluate(&mut judge, &programs[0].1, None).await?;
    for (condition, most) in CONDITIONS {
        let _spinner = (condition != CONDITIONS[0].0).then(Spinner::start).transpose()?;
        let mut speedups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let (mut voided, mut doubtful) = (0, 0);
        for _ in 0..TIMES {
            for (name, program) in &programs {
                let measurement = evaluate(&mut judge, program, budget).await?;
                voided += measurement.calibration.voided.len();
                doubtful += usize::from(measurement.is_doubtful());
                speedups.entry(name).or_default().push(speedup(&measurement, &baseline));
            }
        }
        println!(
            "speedup over the seed program, {TIMES} evaluations, median and widest, {condition}; {voided} pairs void, {doubtful} doubtful"
        );
        let mut apart = Vec::new();
        for (name, _) in &programs {
            let values = &speedups[name];
            let pairs = pairs_apart(values);
            let widest = pairs.iter().copied().fold(0.0, f64::max);
            println!("  {name:<32} {:>9.2}x {widest:>7.1} %", median(values.iter().copied()));
            apart.extend(pairs);
        }
        apart.sort_by(f64::total_cmp);
        let within = apart[(MOST_PAIRS * apart.len() as f64) as usize];
        let widest = apart[apart.len() - 1];
        println!("  of {} pairs of evaluations of one program the widest is {widest:.1} % apart", apart.len());
        bench.figure(&format!("{:.0} % of them within, {condition}", 100.0 * MOST_PAIRS), within, most, "%");
        let orders: Vec<Vec<&str>> = (0..TIMES).map(|time| order(&speedups, time)).collect();
        let other = orders.iter().filter(|order| **order != orders[0]).count();
        bench.figure(&format!("evaluations in another order by speed, {condition}"), other as f64, 0.0, "");
        println!();
    }
    Ok(())
}

/// How far any two of the values are apart, in percent.
fn pairs_apart(values: &[f64]) -> Vec<f64> {
    let later = |at: usize| &values[at + 1..];
    let apart = |a: f64, b: f64| 100.0 * (a.max(b) / a.min(b) - 1.0);
    values.iter().enumerate().flat_map(|(at, a)| later(at).iter().map(move |b| apart(*a, *b))).collect()
}

/// The programs by their speed in one of the evaluations.
fn order<'a>(speedups: &BTreeMap<&'a str, Vec<f64>>, time: usize) -> Vec<&'a str> {
    let mut names: Vec<&str> = speedups.keys().copied().collect();
    names.sort_by(|a, b| speedups[b][time].total_cmp(&speedups[a][time]));
    names
}

/// Geometric mean over the cases.
fn speedup(measurement: &Measurement, baseline: &Measurement) -> f64 {
    let yardstick = Yardstick { baseline, objective: Weights::default().into(), pairing: Pairing::Shared };
    let scores = scores(measurement, yardstick, &[], baseline.clock());
    let logs: Vec<f64> = scores.cases.iter().map(|case| case.speedup.ln()).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

/// A process that spins on the judge's CPU until it is dropped.
pub struct Spinner(Child);

impl Spinner {
    pub fn start() -> anyhow::Result<Self> {
        Ok(Self(Command::new("taskset").args(["-c", "0", "sh", "-c", "while :; do :; done"]).spawn()?))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
