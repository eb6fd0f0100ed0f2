//! Number literals of a program, and the literals one step away, written in the same style.
//!
//! Steps are on a log scale, because the right order of magnitude is unknown. Integers stay integers, exponents stay
//! exponents, and no number steps to itself. Hexadecimal and imaginary numbers are not tuned.

/// Integers up to this magnitude also step to their neighbours.
const SMALL: u64 = 16;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Literal {
    Integer(i64),
    Decimal(f64),
    /// A number with an exponent, such as `1e-5`.
    Exponent(f64),
}

impl Literal {
    /// Parses a signed literal; `None` if it is not a plain decimal number or too large to step from.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.replace('_', "").to_ascii_lowercase();
        let unsigned = digits.strip_prefix('-').unwrap_or(&digits);
        if unsigned.starts_with("0x") || !unsigned.starts_with(|char: char| char == '.' || char.is_ascii_digit()) {
            return None;
        }
        if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return digits.parse().ok().map(Self::Integer);
        }
        let value: f64 = digits.parse().ok().filter(|value: &f64| value.is_finite())?;
        Some(if digits.contains('e') { Self::Exponent(value) } else { Self::Decimal(value) })
    }

    /// Whether this is 0, 1 or -1: such numbers mostly shape a program rather than tune it.
    pub(crate) fn is_structural(self) -> bool {
        match self {
            Self::Integer(value) => (-1..=1).contains(&value),
            Self::Decimal(value) | Self::Exponent(value) => value == 0.0 || value.abs() == 1.0,
        }
    }

    /// The literals one step away, in no particular order.
    ///
    /// A positive integer stays positive; a 1 does so only if it is a `count`.
    pub(crate) fn steps(self, count: bool) -> Vec<String> {
        let mut steps: Vec<String> = match self {
            Self::Integer(value) => integer_steps(value, count).iter().map(i64::to_string).collect(),
            Self::Decimal(value) => float_steps(value).into_iter().map(decimal).collect(),
            Self::Exponent(value) => float_steps(value).into_iter().map(|value| format!("{value:e}")).collect(),
        };
        let mut known = Vec::new();
        steps.retain(|step| {
            let new = Self::parse(step).filter(|literal| *literal != self && !known.contains(literal));
            known.extend(new);
            new.is_some()
        });
        steps
    }
}

fn integer_steps(value: i64, count: bool) -> Vec<i64> {
    let mut steps = Vec::new();
    if value.unsigned_abs() > 1 {
        steps.extend([Some(value / 2), value.checked_mul(2), Some(value / 5), value.checked_mul(5)]);
    }
    if value.unsigned_abs() <= SMALL {
        steps.extend([value.checked_sub(1), value.checked_add(1)]);
    }
    if count && value == 1 {
        steps.extend([Some(2), Some(5)]);
    }
    let least = if value > 1 || count && value == 1 { 1 } else { i64::MIN };
    let most = if value < -1 { -1 } else { i64::MAX };
    // A fifth of a small number is clamped to the least allowed value.
    steps.into_iter().flatten().map(|step| step.clamp(least, most)).collect()
}

fn float_steps(value: f64) -> Vec<f64> {
    let far = [value / 10.0, value / 2.0, value * 2.0, value * 10.0];
    let distance = value - 1.0;
    // A factor near 1 acts by its distance from 1: 1.05 is twice as strong as 1.025.
    let near = [0.2, 0.5, 2.0, 5.0].map(|scale| 1.0 + scale * distance);
    let steps = match value {
        1.0 => vec![0.5, 0.9, 1.1, 2.0],
        _ if (0.5..2.0).contains(&value) => near.into_iter().filter(|&step| step > 0.01).collect(),
        _ => far.to_vec(),
    };
    steps.into_iter().map(rounded).filter(|step| step.is_finite() && *step != 0.0).collect()
}

/// Rounds to six digits, because 0.95 - 1 is not exactly -0.05.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("BUG: a formatted number does not read back")
}

fn decimal(value: f64) -> String {
    let text = value.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steps(text: &str, count: bool) -> Vec<String> {
        let mut steps = Literal::parse(text).unwrap().steps(count);
        steps.sort_by(|a, b| a.parse::<f64>().unwrap().total_cmp(&b.parse().unwrap()));
        steps
    }

    #[test]
    fn integers_step_on_a_log_scale_and_small_ones_to_their_neighbours() {
        assert_eq!(steps("5", true), ["1", "2", "4", "6", "10", "25"]);
        assert_eq!(steps("20", true), ["4", "10", "40", "100"]);
        assert_eq!(steps("1_000", false), ["200", "500", "2000", "5000"]);
        assert_eq!(steps("-8", false), ["-40", "-16", "-9", "-7", "-4", "-1"]);
    }

    #[test]
    fn counts_and_what_is_above_one_stay_at_least_one() {
        assert_eq!(steps("2", true), ["1", "3", "4", "10"]);
        assert_eq!(steps("3", false), ["1", "2", "4", "6", "15"]);
        assert_eq!(steps("1", true), ["2", "5"]);
        assert_eq!(steps("1", false), ["0", "2"]);
        assert_eq!(steps("0", false), ["-1", "1"]);
        assert_eq!(steps("-1", false), ["-2", "0"]);
    }

    #[test]
    fn floats_keep_their_style() {
        assert_eq!(steps("1e-5", false), ["1e-6", "5e-6", "2e-5", "1e-4"]);
        assert_eq!(steps("0.4", false), ["0.04", "0.2", "0.8", "4.0"]);
        assert_eq!(steps("30.0", false), ["3.0", "15.0", "60.0", "300.0"]);
        assert_eq!(steps("-0.1", false), ["-1.0", "-0.2", "-0.05", "-0.01"]);
    }

    #[test]
    fn floats_near_one_step_by_their_distance_from_it() {
        assert_eq!(steps("1.05", false), ["1.01", "1.025", "1.1", "1.25"]);
        assert_eq!(steps("0.95", false), ["0.75", "0.9", "0.975", "0.99"]);
        assert_eq!(steps("0.6", false), ["0.2", "0.8", "0.92"]);
        assert_eq!(steps("0.8", false), ["0.6", "0.9", "0.96"]);
        assert_eq!(steps("1.0", false), ["0.5", "0.9", "1.1", "2.0"]);
    }

    #[test]
    fn what_is_not_tuned_has_no_steps() {
        for text in ["0x10", "0b1", "0o7", "1j", "2.5J", "inf", "nan", "99999999999999999999", "1e999", "", "-", "x"] {
            assert_eq!(Literal::parse(text), None, "{text}");
        }
        assert_eq!(steps("0.0", false), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_number_steps_to_itself_and_none_changes_its_kind(
            text in "-?[0-9]{1,19}|-?[0-9]{1,5}\\.[0-9]{0,5}|-?[0-9]{1,2}(\\.[0-9])?[eE]-?[0-9]{1,3}", count: bool,
        ) {
            let Some(literal) = Literal::parse(&text) else { return Ok(()) };
            for step in literal.steps(count) {
                let new = Literal::parse(&step);
                prop_assert!(new.is_some() && new != Some(literal), "{text} -> {step}");
                prop_assert_eq!(new.map(|new| std::mem::discriminant(&new)), Some(std::mem::discriminant(&literal)));
            }
        }
    }
}
