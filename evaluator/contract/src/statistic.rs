//! Statistic: medians, quartiles and intervals of a few numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Quartiles: half of the values lie between the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quartiles {
    /// First quartile.
    pub lower: f64,
    /// Third quartile.
    pub upper: f64,
}

/// `numerator / denominator`, and 1 for a zero denominator: no load is perfectly balanced.
pub fn balance(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 1.0 } else { numerator / denominator }
}

/// The median: the mean of the middle two for an even number of values, 0 without values.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// The first and third quartile, by linear interpolation; 0 without values.
pub fn quartiles(values: impl Iterator<Item = f64>) -> Quartiles {
    let sorted = sorted(values);
    Quartiles { lower: quantile(&sorted, 0.25), upper: quantile(&sorted, 0.75) }
}

/// The value below which this share of the values lies, by linear interpolation; 0 without values.
pub fn percentile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    quantile(&sorted(values), share)
}

/// The mean; `None` without values.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The standard error of the mean of these values; 0 for fewer than two.
pub fn standard_error(values: &[f64]) -> f64 {
    let Some(mean) = mean(values.iter().copied()).filter(|_| values.len() > 1) else { return 0.0 };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() as f64 * (values.len() - 1) as f64)).sqrt()
}

/// Two standard errors of a figure by the jackknife (Quenouille 1956, Tukey 1958), given its values with each
/// observation left out in turn; 0 for a single observation.
pub fn two_standard_errors(left_out: &[f64]) -> f64 {
    if left_out.len() < 2 {
        return 0.0;
    }
    let count = left_out.len() as f64;
    let center = left_out.iter().sum::<f64>() / count;
    let squares: f64 = left_out.iter().map(|figure| (figure - center).powi(2)).sum();
    2.0 * ((count - 1.0) / count * squares).sqrt()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    if at.fract() == 0.5 { f64::midpoint(low, high) } else { low + (high - low) * at.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_in_the_middle_of_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.5);
        assert_eq!(median(std::iter::empty()), 0.0);
    }

    #[test]
    fn half_of_the_values_lie_between_the_quartiles() {
        assert_eq!(quartiles([5.0, 1.0, 2.0, 4.0, 3.0].into_iter()), Quartiles { lower: 2.0, upper: 4.0 });
        assert_eq!(quartiles([0.0, 1.0, 2.0, 3.0].into_iter()), Quartiles { lower: 0.75, upper: 2.25 });
        assert_eq!(quartiles(std::iter::once(7.0)), Quartiles { lower: 7.0, upper: 7.0 });
    }

    #[test]
    fn a_share_of_the_values_lies_below_a_percentile() {
        assert_eq!(percentile((0..=10).map(f64::from), 0.9), 9.0);
        assert_eq!((percentile([3.0].into_iter(), 0.9), percentile(std::iter::empty(), 0.9)), (3.0, 0.0));
    }

    #[test]
    fn the_standard_error_of_a_mean_falls_with_the_number_of_values() {
        assert!((standard_error(&[1.0, 2.0, 3.0]) - 1.0 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!((standard_error(&[]), standard_error(&[1.0]), standard_error(&[2.0, 2.0])), (0.0, 0.0, 0.0));
    }

    #[test]
    fn of_a_mean_the_jackknife_gives_the_standard_error() {
        // 1, 2, 3: standard deviation 1, standard error 1 / sqrt(3).
        let left_out = [2.5, 2.0, 1.5];
        assert!((two_standard_errors(&left_out) - 2.0 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(two_standard_errors(&[1.0]), 0.0);
    }
}
