//! Baseline: measures the baseline better than any other program, because every score contains its error.

use std::time::{Duration, Instant};

use packevolve_contract::evaluation::{CaseInterval, CaseMeasurement, Measurement, Sample};
use packevolve_contract::statistic::two_standard_errors;

use crate::error::Halt;
use crate::judge::progress::Progress;
use crate::judge::sample::WindowCall;
use crate::judge::session::Judge;

/// Measures on while half the width of the interval of all cases' times together exceeds this share. By as much the speed
/// of every program may be off: 0.0011 of a combined score with equal weights. Measured on two busy CPUs, the first pass left
/// 0.017 (0.0013 of a score, in 21 s of the baseline's time), the second 0.012 (0.0009, in 12 s more), and the passes
/// three to six, in 66 s more, 0.007 (0.0005).
const WANTED_TOGETHER: f64 = 0.015;
/// Only cases whose own interval has more than this half width are measured again. If none has, their times together are
/// known well enough.
const WANTED_HALF_WIDTH: f64 = 0.03;
/// How often a case is measured on all windows at most.
const MOST_PASSES: u32 = 6;
/// No further case is measured again after this time.
const MOST_TIME: Duration = Duration::from_secs(45);
/// The reference program is timed for this share of a call's time on either side of it.
const SHARE_AROUND: f64 = 0.1;
const MOST_AROUND: usize = 16;
/// Attempts of one pass.
const PASS: u32 = 1000;

impl Judge {
    /// Repeats the cases whose time is not known well enough, on all their windows, until the times of all are known well
    /// enough together, and records the interval of each. The baseline may see a window twice: it is ours.
    pub(super) fn settle_baseline(&mut self, progress: &mut Progress<'_>) -> Result<(), Halt> {
        let started = Instant::now();
        let rounds: Vec<usize> = progress.schedule.rounds().collect();
        for pass in 1..MOST_PASSES {
            for case in 0..self.session.cases.len() {
                let cases = &progress.measurement.cases;
                let is_known = half_width(&cases[case]) <= WANTED_HALF_WIDTH || together(cases) <= WANTED_TOGETHER;
                if is_known || started.elapsed() > MOST_TIME {
                    continue;
                }
                for &round in &rounds {
                    let window = progress.schedule.window(case, round);
                    let around = self.around_baseline(&progress.measurement, case);
                    let sample =
                        self.sample(progress, WindowCall { case, window, first_attempt: pass * PASS, around })?;
                    progress.measurement.cases[case].samples.push(sample);
                }
            }
        }
        let interval = |case: &CaseMeasurement| CaseInterval { case: case.case.clone(), half_width: half_width(case) };
        progress.measurement.calibration.intervals = progress.measurement.cases.iter().map(interval).collect();
        Ok(())
    }

    /// How often the reference program is timed on either side of a call of the baseline: the longer the call takes, the
    /// more can the slot's speed change meanwhile.
    pub(super) fn around_baseline(&self, measurement: &Measurement, case: usize) -> usize {
        let Some(last) = measurement.cases[case].samples.last() else { return MOST_AROUND };
        let share = SHARE_AROUND * last.seconds / last.reference_seconds;
        (share as usize).clamp(1, MOST_AROUND)
    }
}

/// Two standard errors of the geometric mean of the times of all cases, as a share of it.
fn together(cases: &[CaseMeasurement]) -> f64 {
    cases.iter().map(|case| half_width(case).powi(2)).sum::<f64>().sqrt() / cases.len().max(1) as f64
}

/// Two standard errors, by the jackknife, of the time relative to the reference program, as a share of it.
fn half_width(case: &CaseMeasurement) -> f64 {
    let logarithm = |left_out: usize| {
        let kept = case.samples.iter().enumerate().filter(|(place, _)| *place != left_out);
        let sum = |(ours, reference), (_, sample): (usize, &Sample)| {
            (ours + sample.seconds, reference + sample.reference_seconds)
        };
        let (ours, reference) = kept.fold((0.0, 0.0), sum);
        f64::ln(ours / reference)
    };
    if case.samples.len() < 2 {
        return 0.0;
    }
    two_standard_errors(&(0..case.samples.len()).map(logarithm).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(times: &[(f64, f64)]) -> CaseMeasurement {
        let sample = |&(seconds, reference_seconds)| Sample { seconds, reference_seconds, ..Sample::default() };
        CaseMeasurement { case: "8->4".to_owned(), samples: times.iter().map(sample).collect() }
    }

    #[test]
    fn a_time_is_known_as_well_as_its_ratios_to_the_reference_agree() {
        // The machine is half as fast for the second call, and so is the reference program.
        assert!(half_width(&case(&[(1.0, 0.01), (2.0, 0.02), (1.0, 0.01)])) < 1e-12);
        assert!(half_width(&case(&[(1.0, 0.01), (1.1, 0.01)])) > 0.09);
        let more = |count| half_width(&case(&[(1.0, 0.01), (1.1, 0.01)].repeat(count)));
        assert!(more(4) < more(2) && more(2) < more(1));
        assert_eq!(half_width(&case(&[(1.0, 0.01)])), 0.0);
    }

    #[test]
    fn the_times_of_all_cases_are_known_better_than_those_of_one() {
        let noisy = case(&[(1.0, 0.01), (1.1, 0.01), (1.0, 0.01), (1.1, 0.01)]);
        let one = half_width(&noisy);
        assert!((together(&vec![noisy.clone(); 4]) - one / 2.0).abs() < 1e-12);
        assert_eq!(together(&[]), 0.0);
        // Cases that are each known well enough leave nothing to measure again.
        let most = (0..8).map(|_| WANTED_HALF_WIDTH.powi(2)).sum::<f64>().sqrt() / 8.0;
        assert!(most <= WANTED_TOGETHER);
    }
}
