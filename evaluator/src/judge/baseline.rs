//! Baseline: measures the baseline better than any other program, because every score contains its error.

use std::time::{Duration, Instant};

use packevolve_contract::evaluation::{CaseInterval, CaseMeasurement, Measurement, Sample};
use packevolve_contract::statistic::two_standard_errors;

use crate::error::Halt;
use crate::judge::progress::Progress;
use crate::judge::sample::WindowCall;
use crate::judge::session::Judge;

/// Measures a case again while half the width of its interval exceeds this share: an interval of 3 % in all.
const WANTED_HALF_WIDTH: f64 = 0.015;
/// How often a case is measured on all windows at most.
const MOST_PASSES: u32 = 6;
/// No further pass begins after this time.
const MOST_TIME: Duration = Duration::from_secs(90);
/// The reference program is timed for this share of a call's time on either side of it.
const SHARE_AROUND: f64 = 0.1;
const MOST_AROUND: usize = 16;
/// Attempts of one pass.
const PASS: u32 = 1000;

impl Judge {
    /// Repeats the cases whose time is not known well enough, on all their windows, and records the interval of each. The
    /// baseline may see a window twice: it is ours.
    pub(super) fn settle_baseline(&mut self, progress: &mut Progress<'_>) -> Result<(), Halt> {
        let started = Instant::now();
        for pass in 1..MOST_PASSES {
            for case in 0..self.session.cases.len() {
                if half_width(&progress.measurement.cases[case]) <= WANTED_HALF_WIDTH || started.elapsed() > MOST_TIME {
                    continue;
                }
                for round in progress.schedule.rounds() {
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
}
