//! Figures: how numbers are written for people, and the tables of one program beside another.

use packevolve_contract::adrs::AdrsScores;
use packevolve_contract::comparison::{Comparison, Ratio};
use packevolve_contract::rebalance::RebalanceScore;
use packevolve_contract::statistic::Quartiles;

use crate::view::table::{Column, Table};
use crate::view::terminal::Terminal;

/// A share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.3}", share * 100.0)
}

/// A change with its sign; what rounds to nothing has none.
pub fn signed(change: f64, digits: usize) -> String {
    let text = format!("{change:+.digits$}");
    let is_nothing = text.chars().all(|c| matches!(c, '+' | '-' | '0' | '.'));
    if is_nothing { text[1..].to_owned() } else { text }
}

/// A time in milliseconds, with three digits that count.
pub fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    let digits = if ms < 9.95 { 2 } else { usize::from(ms < 99.5) };
    format!("{ms:.digits$}")
}

/// Between which times half of the calls lie.
pub fn quartiles(of: Quartiles) -> String {
    format!("{}-{}", milliseconds(of.lower), milliseconds(of.upper))
}

/// The figures of `rebalance_experts` of programs by their names, policy by policy; empty if none was measured.
pub fn rebalance(sides: &[(&str, &Vec<RebalanceScore>)], terminal: &Terminal) -> String {
    let header = [
        ("one rebalance", Column::Left),
        ("windows", Column::Right),
        ("balanced-\nness", Column::Right),
        ("on the next\nwindow", Column::Right),
        ("moved\nreplicas %", Column::Right),
        ("time ms,\nmedian", Column::Right),
        ("\nquartiles", Column::Right),
        ("speedup", Column::Right),
        ("program", Column::Left),
    ];
    let mut scores: Vec<(&str, &RebalanceScore)> =
        sides.iter().flat_map(|(name, scores)| scores.iter().map(|score| (*name, score))).collect();
    scores.sort_by_key(|(_, score)| score.policy.name() != "hierarchical");
    let rows: Vec<Vec<String>> = scores.into_iter().map(|(name, score)| rebalance_cells(name, score)).collect();
    if rows.is_empty() {
        return String::new();
    }
    Table::new(&header, rows).expendable([6, 1, 3]).draw(terminal) + "\n"
}

fn rebalance_cells(name: &str, score: &RebalanceScore) -> Vec<String> {
    let or_none = |value: Option<String>| value.unwrap_or("-".to_owned());
    vec![
        score.policy.name().to_owned(),
        score.windows.to_string(),
        format!("{:.6}", score.balancedness),
        or_none(score.next_balancedness.map(|next| format!("{next:.6}"))),
        or_none(score.moved.map(|share| format!("{:.1}", share * 100.0))),
        milliseconds(score.normalised_seconds),
        quartiles(score.normalised_quartiles),
        or_none(score.speedup.map(|speedup| format!("{speedup:.2}x"))),
        name.to_owned(),
    ]
}

/// A program held against another: how many times as fast it is, and the gaps of both.
pub fn comparison(comparison: &Comparison, program: &str, against: &str, terminal: &Terminal) -> String {
    let header = [
        ("", Column::Left),
        ("windows", Column::Right),
        ("times\nas fast", Column::Right),
        ("\ninterval", Column::Right),
        ("gap %", Column::Right),
        ("other's\ngap %", Column::Right),
    ];
    let speed = |ratio: Ratio| [figure(ratio.ratio), format!("{} - {}", figure(ratio.low), figure(ratio.high))];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for case in &comparison.cases {
        let [ratio, interval] = speed(case.speedup);
        let gaps = [case.gap, case.gap_against].map(percent);
        rows.push([vec![case.case.clone(), case.windows.to_string(), ratio, interval], gaps.to_vec()].concat());
    }
    let all = std::iter::once(("all cases".to_owned(), comparison.speedup));
    let rebalances = comparison.rebalance.iter();
    let rebalances = rebalances.map(|rebalance| (format!("{} rebalance", rebalance.policy.name()), rebalance.speedup));
    for (name, ratio) in all.chain(rebalances) {
        let [ratio, interval] = speed(ratio);
        rows.push(vec![name, String::new(), ratio, interval, String::new(), String::new()]);
    }
    format!(
        "{program} against {against}, in pairs over windows; intervals are two standard errors\n{}\n",
        Table::new(&header, rows).expendable([1]).draw(terminal)
    )
}

/// A ratio with three digits that count.
fn figure(ratio: f64) -> String {
    let digits = if ratio < 9.995 { 3 } else { usize::from(ratio < 99.95) };
    format!("{ratio:.digits$}")
}

/// The published scores of programs by their names.
pub fn adrs(sides: &[(&str, AdrsScores)], terminal: &Terminal) -> String {
    let header = [
        ("leaderboard", Column::Right),
        ("combined,\nolder", Column::Right),
        ("balanced-\nness gpu", Column::Right),
        ("balanced-\nness expert", Column::Right),
        ("time ms, as\nmeasured", Column::Right),
        ("windows", Column::Right),
        ("program", Column::Left),
    ];
    let cells = |(name, scores): &(&str, AdrsScores)| {
        vec![
            format!("{:.4}", scores.leaderboard),
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
        Table::new(&header, rows).expendable([1]).draw(terminal)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ratios_have_three_digits_that_count() {
        assert_eq!([0.001_234, 0.012_34, 0.1234].map(milliseconds), ["1.23", "12.3", "123"]);
        assert_eq!([0.9876, 9.876, 98.76, 987.6].map(figure), ["0.988", "9.876", "98.8", "988"]);
        assert_eq!(
            [0.25, -0.25, 0.0, -0.0, -0.00004].map(|change| signed(change, 4)),
            ["+0.2500", "-0.2500", "0.0000", "0.0000", "0.0000"]
        );
        assert_eq!(quartiles(Quartiles { lower: 0.001, upper: 0.02 }), "1.00-20.0");
    }
}
