//! Overhead: what an evaluation and a candidate cost beside the computing that is measured, in CPU time.

use packevolve::run::driver::{Driver, RunUpdate, Start};
use packevolve::run::folder::RunFolder;
use packevolve::values::event::Event;
use packevolve::values::place::Place;
use packevolve::values::settings::Parts;
use packevolve_contract::statistic::median;
use tempfile::TempDir;

use crate::cost::{Spent, candidate_seconds, reference_seconds};
use crate::{Bench, evaluate, programs};

/// Evaluations over which the costs of one are averaged, as processes count time in hundredths of a second.
const TIMES: u32 = 5;
/// Candidates of the run whose overhead is measured.
const CANDIDATES: u64 = 61;

/// Fewer of them say nothing.
const FEWEST: usize = 5;

/// Where the time of a full evaluation goes: the candidate, the reference program, everything else.
pub async fn of_evaluations(bench: &mut Bench) -> anyhow::Result<()> {
    let mut judge = bench.judge().await?;
    println!("{:<28} {:>8} {:>12} {:>12} {:>9}", "a full evaluation, CPU s", "total", "candidate", "reference", "rest");
    for (name, program, times, most) in [
        ("vectorized LPT", programs::named("bridge_vectorized_lpt")?, TIMES, 2.0),
        ("seed", programs::named("seed")?, 1, 60.0),
    ] {
        // The loads and bounds of a window are computed when they are first needed, once in a run.
        evaluate(&mut judge, &programs::named("bridge_vectorized_lpt")?, None).await?;
        let before = Spent::now();
        let (mut candidate, mut reference) = (0.0, 0.0);
        for _ in 0..times {
            let measurement = evaluate(&mut judge, &program, None).await?;
            candidate += candidate_seconds(&measurement);
            reference += reference_seconds(&measurement);
        }
        let each = |seconds: f64| seconds / f64::from(times);
        let total = each(Spent::now().since(before).total());
        let rest = total - each(candidate + reference);
        println!("{name:<28} {total:>8.3} {:>12.3} {:>12.3} {rest:>9.3}", each(candidate), each(reference));
        bench.figure(&format!("{name}, fully judged"), total, most, "s");
        if name != "seed" {
            bench.figure(&format!("{name}, neither candidate nor reference"), rest, 0.15 * most, "s");
        }
    }
    Ok(())
}

/// What a candidate of a run costs beside its computing: proposal, edit, fork, load, verification, journal, commit.
pub async fn of_candidates(bench: &mut Bench) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let program = programs::named("bridge_vectorized_lpt")?;
    let mut settings = bench.settings.clone();
    (settings.judges, settings.search.candidates) = (vec![Place::here(1)], CANDIDATES);
    // One candidate after the other, each judged once.
    settings.evaluation.held_out_windows = 0;
    settings.search.proposers = Parts { compose: false, cross: false, mutate: true };
    let (file_name, baseline) = ("eplb.py".to_owned(), program.clone());
    let start = Start { settings, file_name, program, baseline, corpus: Vec::new(), catalogues: Vec::new(), epoch: 0 };
    let (mut added, mut before) = (Vec::new(), None);
    let mut observer = |news: RunUpdate<'_>, _: &_| {
        let RunUpdate::Happened(Event::CandidateEvaluated { evaluation, .. }) = news else { return };
        let now = Spent::now();
        // A rejected candidate does not tell what it computed.
        if let (Some(before), Some(measurement)) = (before, evaluation.measurement()) {
            let mut spent = now.since(before);
            spent.nursery -= candidate_seconds(measurement) + reference_seconds(measurement);
            added.push((spent, measurement.calibration.voided.len()));
        }
        before = Some(now);
    };
    let mut driver = Driver::start(RunFolder::named(folder.path(), "bench")?, start, &mut observer).await?;
    driver.run().await?;
    drop(driver);
    let (quiet, disturbed): (Vec<_>, Vec<_>) = added.into_iter().partition(|(_, voided)| *voided == 0);
    println!("\nbeside its computing a candidate costs, median, CPU s");
    println!("{:<42} {:>8} {:>8} {:>8} {:>8}", "", "harness", "judge", "nursery", "together");
    let all = of_group("without a void pair", &quiet);
    of_group("with void pairs (a new child for each)", &disturbed);
    anyhow::ensure!(quiet.len() >= FEWEST, "this machine is too restless: hardly a candidate without a void pair");
    bench.figure("a candidate's overhead, median", all, 0.05, "s");
    Ok(())
}

/// Prints the medians of a group of candidates, and returns that of the sums.
fn of_group(name: &str, group: &[(Spent, usize)]) -> f64 {
    let of = |part: fn(&Spent) -> f64| median(group.iter().map(|(spent, _)| part(spent)));
    let [harness, judge, nursery, total] =
        [of(|spent| spent.harness), of(|spent| spent.judge), of(|spent| spent.nursery), of(|spent| spent.total())];
    let name = format!("{} {name}", group.len());
    println!("{name:<42} {harness:>8.3} {judge:>8.3} {nursery:>8.3} {total:>8.3}");
    total
}
