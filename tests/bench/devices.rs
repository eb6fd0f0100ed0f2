//! Devices: the seed program and every program that the corpus makes, on the CPU and on the GPU.

use std::collections::{BTreeMap, BTreeSet};

use packevolve_contract::case;
use packevolve_contract::objective::{Pairing, Weights, Yardstick, scores};

use crate::{Bench, evaluate, programs};

/// Prints the time of the unit and of all cases together, on every device that is there.
pub async fn table(bench: &Bench) -> anyhow::Result<()> {
    let programs = programs::with_more()?;
    let unit: Vec<String> = case::unit(&bench.settings.evaluation.topology).iter().map(ToString::to_string).collect();
    let mut cells: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let mut devices = Vec::new();
    let gpu = std::env::var("PACKEVOLVE_TEST_DEVICE").unwrap_or_else(|_| "cuda:0".to_owned());
    let wanted = BTreeSet::from(["cpu", gpu.as_str()]);
    for device in wanted {
        let on_device = Bench::new(device)?;
        let mut judge = on_device.judge().await?;
        devices.push(device);
        for (name, program) in &programs {
            let cell = match evaluate(&mut judge, program, Some(0.0)).await {
                Ok(measurement) => {
                    let yardstick = Yardstick {
                        baseline: &measurement,
                        objective: Weights::default().into(),
                        pairing: Pairing::Shared,
                    };
                    let scores = scores(&measurement, yardstick, &unit, measurement.clock());
                    let all: f64 = scores.cases.iter().map(|case| case.seconds).sum();
                    format!("{:>10.2} {:>10.1}", 1e3 * scores.unit_seconds.unwrap_or(f64::NAN), 1e3 * all)
                }
                Err(error) => format!("{error:.20}"),
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
    Ok(())
}
