//! Ticks: the numbers that stand along an axis.

use crate::view::plot::chart::Scale;

/// Around `count` round numbers from `low` to `high`.
pub fn ticks(scale: Scale, low: f64, high: f64, count: usize) -> Vec<f64> {
    match scale {
        Scale::Rows => Vec::new(),
        Scale::Linear => linear(low, high, count),
        Scale::Log => logarithmic(low, high, count),
        Scale::TowardsOne => towards_one(low, high, count),
    }
}

fn linear(low: f64, high: f64, count: usize) -> Vec<f64> {
    let wanted = (high - low) / count.max(1) as f64;
    let power = 10f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= wanted * 0.7);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|at| at as f64 * step).collect()
}

/// Powers of ten; where there are few, what lies between them too.
fn logarithmic(low: f64, high: f64, count: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let within = |factors: &[f64], every: usize| -> Vec<f64> {
        let powers = (first..=last).step_by(every).map(|power| 10f64.powi(power));
        let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
        all.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect()
    };
    let factors: [&[f64]; 4] = [&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
    let few = factors.into_iter().map(|factors| within(factors, 1)).find(|ticks| ticks.len() <= count + 1);
    few.unwrap_or_else(|| within(&[1.0], ((last - first) as usize).div_ceil(count.max(1))))
}

/// Round numbers that crowd towards 1, the roundest first, as long as they keep apart.
const NEAR_ONE: [&[f64]; 4] = [
    &[0.0, 0.9, 0.99, 0.999, -9.0],
    &[0.5, -1.0, 0.8, 0.95, 0.98, 0.995, 0.998],
    &[0.7, -3.0, 0.6, 0.85, 0.97],
    &[0.4, 0.2, -0.5, 0.75, 0.82, 0.78, 0.92, 0.94, 0.96],
];

fn towards_one(low: f64, high: f64, count: usize) -> Vec<f64> {
    let place = |value: f64| Scale::TowardsOne.of(value);
    let apart = (place(high) - place(low)) / (count as f64 * 1.6);
    let mut taken: Vec<f64> = Vec::new();
    for tick in NEAR_ONE.into_iter().flatten().copied().filter(|tick| (low..=high).contains(tick)) {
        if taken.iter().all(|other| (place(*other) - place(tick)).abs() >= apart) {
            taken.push(tick);
        }
    }
    taken.sort_by(f64::total_cmp);
    taken
}

/// A number as it stands along an axis or in a table: no more digits than it needs.
pub fn number(value: f64) -> String {
    let digits = (5 - value.abs().max(1e-9).log10().ceil() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let text = if text == "-0" { "0" } else { text };
    let (whole, rest) = text.split_once('.').map_or((text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    format!("{}{rest}", grouped(whole))
}

/// With thin spaces between thousands, from five digits on.
fn grouped(whole: &str) -> String {
    if whole.trim_start_matches('-').len() < 5 {
        return whole.to_owned();
    }
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale, low: f64, high: f64, count: usize) -> Vec<String> {
        ticks(scale, low, high, count).into_iter().map(number).collect()
    }

    #[test]
    fn ticks_are_round_numbers_inside_the_axis() {
        assert_eq!(texts(Scale::Linear, -0.52, 0.93, 6), ["-0.4", "-0.2", "0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(texts(Scale::Linear, 0.0, 300.0, 3), ["0", "100", "200", "300"]);
        assert_eq!(texts(Scale::Log, 0.9, 1200.0, 6), ["1", "3", "10", "30", "100", "300", "1000"]);
        assert_eq!(texts(Scale::Log, 1.9, 31.0, 6), ["2", "5", "10", "20"]);
        assert_eq!(texts(Scale::Log, 1e-6, 1e6, 4).len(), 5);
        assert_eq!(texts(Scale::TowardsOne, -1.2, 0.97, 6), ["-1", "0", "0.5", "0.8", "0.9", "0.95", "0.97"]);
        assert!(texts(Scale::Rows, 0.0, 9.0, 4).is_empty());
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        let written = [0.0, 0.1 + 0.2, 1234.5, 12_345.0, -1_234_567.0, 0.000_012].map(number);
        assert_eq!(written, ["0", "0.3", "1234.5", "12\u{202f}345", "-1\u{202f}234\u{202f}567", "0.000012"]);
    }
}
