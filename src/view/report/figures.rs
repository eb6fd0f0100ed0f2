//! Figures: how numbers are written in a report, where they may be missing.

pub use crate::view::format::{milliseconds, percent};

/// What stands for a number that is not there.
pub const NONE: &str = "–";

/// A number that may be missing.
pub fn or_none(value: Option<impl Into<String>>) -> String {
    value.map_or(NONE.to_owned(), Into::into)
}

/// A score with four digits.
pub fn score(score: f64) -> String {
    format!("{score:.4}").replace('-', "\u{2212}").replace("\u{2212}0.0000", "0.0000")
}

/// A difference of two scores, with its sign.
pub fn difference(difference: f64) -> String {
    format!("{difference:+.4}").replace('-', "\u{2212}")
}

/// A time for people: milliseconds, or seconds where those are many.
pub fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{} ms", milliseconds(seconds)) } else { format!("{seconds:.2} s") }
}

/// How long something went on.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A case as it is printed.
pub fn arrow(case: &str) -> String {
    case.replace("->", "→")
}

/// How many of what.
pub fn count(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", crate::view::plot::number(count as f64), if count == 1 { one } else { many })
}

/// A ratio with as many digits as count.
pub fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}×") } else { format!("{}×", crate::view::plot::number(ratio.round())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([difference(0.5), difference(-0.25)], ["+0.5000", "\u{2212}0.2500"]);
        assert_eq!([time(0.0123), time(2.5)], ["12.3 ms", "2.50 s"]);
        assert_eq!([duration(3.25), duration(61.0), duration(7384.0)], ["3.2 s", "1 min 1 s", "2 h 3 min"]);
        assert_eq!([times(1.25), times(82.4), times(12_345.0)], ["1.2×", "82×", "12\u{202f}345×"]);
        assert_eq!([count(1, "edit", "edits"), count(2, "edit", "edits")], ["1 edit", "2 edits"]);
    }
}
