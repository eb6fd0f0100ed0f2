//! Format: how numbers are written for people, and the tables of one program beside another.

use packevolve_contract::adrs::AdrsScores;
use packevolve_contract::comparison::{Comparison, Ratio};
use packevolve_contract::rebalance::RebalanceScore;
use packevolve_contract::statistic::Quartiles;

pub use crate::values::figure::{score, signed};
use crate::view::plot::number;
use crate::view::table::Table;
use crate::view::terminal::Terminal;

pub fn or_none(value: Option<impl Into<String>>) -> String {
    value.map_or("-".to_owned(), Into::into)
}

pub fn percent(share: f64) -> String {
    format!("{:.3}", share * 100.0)
}

/// Marks a figure as doubtful.
pub fn doubted(figure: String, is_doubtful: bool) -> String {
    if is_doubtful { figure + "?" } else { figure }
}

/// The line below a table that explains its mark, if it has one.
pub fn doubt_line(has_mark: bool) -> &'static str {
    if has_mark { "\n? doubtful: measured while the machine was disturbed" } else { "" }
}

/// A score with four digits and half the width of its interval.
pub fn with_interval(combined_score: f64, half_width: Option<f64>) -> String {
    let half_width = half_width.map_or(String::new(), |half_width| format!(" ± {half_width:.4}"));
    format!("{}{half_width}", score(combined_score))
}

/// A time in milliseconds, with three significant digits.
pub fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    let digits = if ms < 9.95 { 2 } else { usize::from(ms < 99.5) };
    format!("{ms:.digits$}")
}

pub fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{} ms", milliseconds(seconds)) } else { format!("{seconds:.2} s") }
}

pub fn quartiles(of: Quartiles) -> String {
    format!("{}-{}", milliseconds(of.lower), milliseconds(of.upper))
}

pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The time of day of a time in seconds since 1970.
pub fn clock(time: f64) -> String {
    let seconds = time.max(0.0) as u64 % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

pub fn count(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(count as f64), if count == 1 { one } else { many })
}

pub fn times(ratio: f64) -> String {
    match ratio {
        ..9.995 => format!("{ratio:.2}x"),
        ..99.95 => format!("{ratio:.1}x"),
        _ => format!("{}x", number(ratio.round())),
    }
}

/// A ratio beside its interval: four significant digits below 10, three above.
fn figure(ratio: f64) -> String {
    let digits = if ratio < 9.995 { 3 } else { usize::from(ratio < 99.95) };
    format!("{ratio:.digits$}")
}

/// The columns of [`rebalance_rows`].
pub const REBALANCE: &str = "one rebalance|windows#|balanced-\nness#|on the next\nwindow#|moved\nreplicas %#|\
                             time ms,\nmedian#|\nquartiles#|speedup#|program";

/// The figures of `rebalance_experts` of programs by their names, policy by policy.
pub fn rebalance_rows(sides: &[(&str, &Vec<RebalanceScore>)]) -> Vec<Vec<String>> {
    let mut scores: Vec<(&str, &RebalanceScore)> =
        sides.iter().flat_map(|(name, scores)| scores.iter().map(|score| (*name, score))).collect();
    scores.sort_by_key(|(_, score)| score.policy.name() != "hierarchical");
    let cells = |(name, score): (&str, &RebalanceScore)| {
        vec![
            score.policy.name().to_owned(),
            score.windows.to_string(),
            format!("{:.6}", score.balancedness),
            or_none(score.next_balancedness.map(|next| format!("{next:.6}"))),
            or_none(score.moved.map(|share| format!("{:.1}", share * 100.0))),
            milliseconds(score.normalised_seconds),
            quartiles(score.normalised_quartiles),
            or_none(score.speedup.map(times)),
            name.to_owned(),
        ]
    };
    scores.into_iter().map(cells).collect()
}

/// The same as a table; empty if no rebalance was measured.
pub fn rebalance(sides: &[(&str, &Vec<RebalanceScore>)], terminal: &Terminal) -> String {
    match rebalance_rows(sides) {
        rows if rows.is_empty() => String::new(),
        rows => Table::new(REBALANCE, rows).expendable([6, 1, 3]).draw(terminal) + "\n",
    }
}

pub fn comparison(comparison: &Comparison, program: &str, against: &str, terminal: &Terminal) -> String {
    let header = "|windows#|times\nas fast#|\ninterval#|gap %#|other's\ngap %#";
    let speed = |ratio: Ratio| [figure(ratio.ratio), format!("{} - {}", figure(ratio.low), figure(ratio.high))];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for case in &comparison.cases {
        let [ratio, interval] = speed(case.speedup);
        let [gap, gap_against] = [case.gap, case.gap_against].map(percent);
        rows.push(vec![case.case.clone(), case.windows.to_string(), ratio, interval, gap, gap_against]);
    }
    let total = |name: String, ratio: Ratio| {
        let [ratio, interval] = speed(ratio);
        vec![name, String::new(), ratio, interval, String::new(), String::new()]
    };
    rows.push(total("all cases".to_owned(), comparison.speedup));
    let rebalances = comparison.rebalance.iter();
    rows.extend(rebalances.map(|one| total(format!("{} rebalance", one.policy.name()), one.speedup)));
    format!(
        "{program} against {against}, in pairs over windows; intervals are two standard errors\n{}\n",
        Table::new(header, rows).expendable([1]).draw(terminal)
    )
}

pub fn adrs(sides: &[(&str, AdrsScores)], terminal: &Terminal) -> String {
    let header = "leaderboard#|combined,\nolder#|balanced-\nness gpu#|balanced-\nness expert#|\
                  time ms, as\nmeasured#|windows#|program";
    let cells = |(name, scores): &(&str, AdrsScores)| {
        vec![
            score(scores.leaderboard),
            format!("{:.6}", scores.combined),
            format!("{:.6}", scores.balancedness_gpu),
            format!("{:.6}", scores.balancedness_expert),
            milliseconds(scores.seconds),
            scores.windows.to_string(),
            (*name).to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = sides.iter().map(cells).collect();
    format!(
        "score preset adrs, by its published formulas: planned on a window, scored on the next\n{}\n",
        Table::new(header, rows).expendable([1]).draw(terminal)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        assert_eq!([0.001_234, 0.012_34, 0.1234].map(milliseconds), ["1.23", "12.3", "123"]);
        assert_eq!([0.9876, 9.876, 98.76, 987.6].map(figure), ["0.988", "9.876", "98.8", "988"]);
        assert_eq!(
            [0.25, -0.25, 0.0, -0.0, -0.00004].map(|change| signed(change, 4)),
            ["+0.2500", "-0.2500", "0.0000", "0.0000", "0.0000"]
        );
        assert_eq!([0.5, -0.25, -0.00001].map(score), ["0.5000", "-0.2500", "0.0000"]);
        assert_eq!([time(0.0123), time(2.5)], ["12.3 ms", "2.50 s"]);
        assert_eq!([duration(3.25), duration(61.0), duration(7384.0)], ["3.2 s", "1 min 1 s", "2 h 3 min"]);
        assert_eq!([times(1.25), times(82.4), times(12_345.0)], ["1.25x", "82.4x", "12\u{202f}345x"]);
        assert_eq!([count(1, "edit", "edits"), count(2, "edit", "edits")], ["1 edit", "2 edits"]);
        assert_eq!(quartiles(Quartiles { lower: 0.001, upper: 0.02 }), "1.00-20.0");
    }
}
