//! Trust: what scores owe to the machine, to the baseline's measurement and to the loop that calls a program.

use std::time::Instant;

use packevolve_contract::evaluation::Measurement;
use packevolve_contract::objective::{Pairing, Weights, Yardstick, scores};
use packevolve_contract::protocol::{DuelRequest, Duelist};
use packevolve_contract::statistic::{mean, standard_error};

use crate::repeat::Spinner;
use crate::{Bench, evaluate, evaluate_baseline, programs};

/// Evaluations of each program under each condition.
const TIMES: usize = 16;

/// Takes 20 ms of CPU time, however fast the machine is.
const CONSTANT: &str = r#"import time

import torch


def balanced_packing(weight, num_packs):
    until = time.process_time() + 0.02
    rows, items = weight.shape
    place = torch.arange(items).expand(rows, items)
    while time.process_time() < until:
        pass
    return place % num_packs, place // num_packs
"#;

/// What follows the text of a program that answers by a loop of its own: no checks, no seeds, outputs in place.
const OWN_LOOP: &str = include_str!("own_loop.py");

pub async fn trust(bench: &mut Bench) -> anyhow::Result<()> {
    let mut judge = bench.judge().await?;
    let seed = &programs::nine()?[0].1;
    let baseline = evaluate_baseline(&mut judge, seed).await?;
    let again = evaluate_baseline(&mut judge, seed).await?;
    bench.figure(
        "two measurements of the baseline, the case farthest apart",
        100.0 * farthest(&baseline, &again),
        3.0,
        "%",
    );

    let fast = programs::fast();
    let all = [("fast", fast.clone()), ("constant CPU time", CONSTANT.to_owned())];
    let mut doubtful = 0;
    for (name, program) in &all {
        let mut means = Vec::new();
        for condition in ["quiet", "beside a spinning process"] {
            let _spinner = (condition != "quiet").then(Spinner::start).transpose()?;
            let mut taken = Vec::new();
            for _ in 0..TIMES {
                let measurement = evaluate(&mut judge, program, Some(15.0)).await?;
                doubtful += usize::from(measurement.is_doubtful());
                taken.push(score(&measurement, &baseline));
            }
            let deviation = standard_error(&taken) * (TIMES as f64).sqrt();
            bench.figure(&format!("{name}, {condition}: standard deviation of {TIMES} scores"), deviation, 0.002, "");
            let mean = mean(taken.into_iter()).unwrap_or(0.0);
            println!("        their mean: {mean:.4}");
            means.push(mean);
        }
        bench.figure(&format!("{name}: between the two means"), (means[0] - means[1]).abs(), 0.002, "");
    }
    let share = 100.0 * doubtful as f64 / (4 * TIMES) as f64;
    bench.figure("evaluations with a case that is doubtful", share, 2.0, "%");

    let own_loop = format!("{fast}{OWN_LOOP}");
    let mut gains = Vec::new();
    for _ in 0..2 * TIMES {
        let honest = score(&evaluate(&mut judge, &fast, Some(15.0)).await?, &baseline);
        gains.push(score(&evaluate(&mut judge, &own_loop, Some(15.0)).await?, &baseline) - honest);
    }
    let error = 2.0 * standard_error(&gains);
    println!("        two standard errors of the next figure: {error:.4}");
    bench.figure("gain by a loop of one's own", mean(gains.into_iter()).unwrap_or(0.0), 0.0005, "");

    let started = Instant::now();
    let duelist = |candidate| Duelist { candidate, program: fast.clone() };
    let request = DuelRequest {
        contender: duelist(2),
        best: duelist(1),
        file_name: "eplb.py".to_owned(),
        seed: 1,
        least_rounds: 16,
        most_rounds: 16,
        budget_seconds: None,
        limits: bench.settings.evaluation.limits.times(Some(&baseline)),
        baseline,
        objective: Weights::default().into(),
        rebalance: true,
    };
    judge.duel(request).await?;
    bench.figure("a duel of sixteen rounds", started.elapsed().as_secs_f64(), 5.0, "s");
    Ok(())
}

/// How far the relative times of a case are apart, for the case with the largest difference.
fn farthest(one: &Measurement, other: &Measurement) -> f64 {
    let time = |measurement: &Measurement, case: &str| {
        let sum = |figure: fn(&packevolve_contract::evaluation::Sample) -> f64| {
            measurement.samples(case).iter().map(figure).sum::<f64>()
        };
        sum(|sample| sample.seconds) / sum(|sample| sample.reference_seconds)
    };
    let apart = |case: &str| (time(one, case) / time(other, case) - 1.0).abs();
    one.cases.iter().map(|case| apart(&case.case)).fold(0.0, f64::max)
}

fn score(measurement: &Measurement, baseline: &Measurement) -> f64 {
    let yardstick = Yardstick { baseline, objective: Weights::default().into(), pairing: Pairing::Shared };
    scores(measurement, yardstick, &[], baseline.clock()).combined_score
}
