//! Devices: the seed program and every program that the corpus makes, on the CPU and on the GPU.

use std::collections::{BTreeMap, BTreeSet};

use packevolve::judge::client::Judge;
use packevolve_contract::case;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Pairing, Weights, Yardstick, scores};
use packevolve_contract::rejection::Rejection;

use crate::{Bench, programs, request};

/// What Python says to a program that imports it.
const NO_NUMBA: &str = "No module named 'numba'";

/// Prints the time of the unit and of all cases together, on every device that is there. False if a program failed there;
/// one that is too slow, or needs a Numba that Python lacks, is skipped.
pub async fn table(bench: &Bench) -> anyhow::Result<bool> {
    let programs = programs::with_more()?;
    let unit: Vec<String> = case::unit(&bench.settings.evaluation.topology).iter().map(ToString::to_string).collect();
    let mut cells: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let (mut devices, mut all_measured) = (Vec::new(), true);
    let gpu = std::env::var("PACKEVOLVE_TEST_DEVICE").unwrap_or_else(|_| "cuda:0".to_owned());
    let wanted = BTreeSet::from(["cpu", gpu.as_str()]);
    for device in wanted {
        let on_device = Bench::new(device)?;
        let mut judge = on_device.judge().await?;
        devices.push(device);
        for (name, program) in &programs {
            let cell = match measured(&mut judge, program).await? {
                Measured::Times(measurement) => times(&measurement, &unit),
                Measured::Skipped(why) => {
                    println!("skipped: {name} on {device}: {why}");
                    format!("{:>21}", "skipped")
                }
                Measured::Failed(why) => {
                    all_measured = false;
                    println!("failed: {name} on {device}: {why}");
                    format!("{:>21}", "failed")
                }
            };
            cells.insert((device, name), cell);
        }
    }
    println!("\n{:<38}{}", "ms", devices.iter().map(|device| format!("{device:>21}")).collect::<String>());
    println!("{:<38}{}", "", devices.iter().map(|_| format!("{:>10} {:>10}", "unit", "all cases")).collect::<String>());
    for (name, _) in &programs {
        let row: Vec<&str> = devices.iter().map(|device| cells[&(*device, name.as_str())].as_str()).collect();
        println!("{name:<38}{}", row.join(""));
    }
    Ok(all_measured)
}

/// What came of a program.
enum Measured {
    Times(Box<Measurement>),
    /// It is not measured, for this reason.
    Skipped(&'static str),
    Failed(String),
}

async fn measured(judge: &mut Judge, program: &str) -> anyhow::Result<Measured> {
    Ok(match judge.evaluate(request(program, Some(0.0))).await? {
        Evaluation::Measured { measurement } | Evaluation::Inconsistent { measurement, .. } => {
            Measured::Times(Box::new(measurement))
        }
        Evaluation::Rejected { rejection: Rejection::Load { message }, .. } if message.contains(NO_NUMBA) => {
            Measured::Skipped("it needs Numba, which this Python lacks")
        }
        Evaluation::Rejected { rejection: Rejection::Hang { .. }, .. } => Measured::Skipped("it is too slow"),
        other => Measured::Failed(format!("{other:?}")),
    })
}

/// Milliseconds of the unit and of all cases together.
fn times(measurement: &Measurement, unit: &[String]) -> String {
    let yardstick = Yardstick { baseline: measurement, objective: Weights::default().into(), pairing: Pairing::Shared };
    let scores = scores(measurement, yardstick, unit, measurement.clock());
    let all: f64 = scores.cases.iter().map(|case| case.seconds).sum();
    format!("{:>10.2} {:>10.1}", 1e3 * scores.unit_seconds.unwrap_or(f64::NAN), 1e3 * all)
}
