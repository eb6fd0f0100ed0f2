//! Compared: two candidates side by side.

use packevolve_contract::objective::{CaseScore, Scores};
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::format::{milliseconds, or_none, percent, score, signed, times};
use crate::view::inspect::lineage::ScoreGain;
use crate::view::inspect::row::Row;
use crate::view::output::harmless;
use crate::view::policy;
use crate::view::table::Table;
use crate::view::terminal::{Terminal, Tone};

/// Two candidates.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Compared {
    pub a: Row,
    pub b: Row,
    /// `b` over `a`; `None` unless both were measured in full.
    pub gain: Option<ScoreGain>,
}

impl Compared {
    pub fn new(a: Row, b: Row) -> Self {
        let gain = a.scores.as_ref().zip(b.scores.as_ref()).map(|(a, b)| ScoreGain::between(a, b));
        Self { a, b, gain }
    }
}

/// Both candidates, a line each, and then figure by figure.
pub fn compared_table(compared: &Compared, terminal: &Terminal) -> String {
    let Compared { a, b, .. } = compared;
    let who = |row: &Row| {
        let Row { candidate, proposer, commit, outcome, .. } = row;
        let origin = proposer.map_or(String::new(), |proposer| format!(", {proposer}"));
        let doubtful = if row.doubtful.is_empty() { "" } else { ", doubtful times" };
        let on_device = row.device.as_ref().map_or(String::new(), |device| format!(" on {}", harmless(device)));
        let name = harmless(&row.name);
        let text = format!("{candidate} {name} [{}]{origin}, {outcome}{on_device}{doubtful}", commit.short());
        terminal.cut(&text)
    };
    let heading = terminal.paint(Tone::Heading, &format!("{}\n{}", who(a), who(b)));
    match (&a.scores, &b.scores) {
        (Some(before), Some(after)) => format!("{heading}\n\n{}", figures(compared, before, after, terminal)),
        _ => format!("{heading}\n\nnothing to compare: one of them was not measured in full\n"),
    }
}

fn figures(compared: &Compared, before: &Scores, after: &Scores, terminal: &Terminal) -> String {
    let (a, b) = (compared.a.candidate, compared.b.candidate);
    let lines = score_lines(compared, before, after);
    let tones = lines.iter().map(|line| tone(&line[3])).collect::<Vec<_>>();
    let scores = Table::new(&format!("|{a}#|{b}#|change#"), lines).tones(tones).draw(terminal);
    if let (Some(old), Some(new)) = (&before.policy, &after.policy) {
        let names = [a, b].map(|candidate| candidate.to_string());
        let figures = policy::compared_table(old, new, names.each_ref().map(String::as_str), terminal);
        return format!("{scores}\n\n{figures}\n");
    }
    let header = format!("case|gap %\n{a}#|\n{b}#|\nchange#|time ms\n{a}#|\n{b}#|\nspeedup#");
    let lines = after.cases.iter().map(|case| case_line(case, before)).collect();
    format!("{scores}\n\n{}\n", Table::new(&header, lines).draw(terminal))
}

fn score_lines(compared: &Compared, before: &Scores, after: &Scores) -> Vec<Vec<String>> {
    let line = |name: &str, old: Option<f64>, new: Option<f64>| {
        let figure = |value: Option<f64>| or_none(value.map(score));
        let change = old.zip(new).map_or(String::new(), |(old, new)| signed(new - old, 4));
        vec![name.to_owned(), figure(old), figure(new), change]
    };
    let held_out = |row: &Row| row.held_out.as_ref()?.scores.as_ref().map(|scores| scores.combined_score);
    let mut lines = vec![line("combined_score", Some(before.combined_score), Some(after.combined_score))];
    if held_out(&compared.a).or(held_out(&compared.b)).is_some() {
        lines.push(line("  on held-out windows", held_out(&compared.a), held_out(&compared.b)));
    }
    let [quality, speed, unit] = match after.policy {
        Some(_) => ["balance won", "stayed", "plan ms"],
        None => ["quality", "speed_score", "unit ms"],
    };
    lines.push(line(quality, before.quality, after.quality));
    lines.push(line(speed, Some(before.speed_score), Some(after.speed_score)));
    lines.push(line("balancedness_score", Some(before.balancedness_score), Some(after.balancedness_score)));
    let [old, new] = [before, after].map(|scores| scores.normalised_unit_seconds);
    let speedup = old.zip(new).map_or(String::new(), |(old, new)| times(old / new));
    let [old, new] = [old, new].map(|seconds| or_none(seconds.map(milliseconds)));
    lines.push(vec![unit.to_owned(), old, new, speedup]);
    lines
}

fn tone(change: &str) -> Option<Tone> {
    match change.as_bytes().first()? {
        b'+' => Some(Tone::Good),
        b'-' => Some(Tone::Bad),
        _ => None,
    }
}

fn case_line(case: &CaseScore, before: &Scores) -> Vec<String> {
    let old = before.cases.iter().find(|old| old.case == case.case);
    vec![
        case.case.clone(),
        or_none(old.map(|old| percent(old.gap))),
        percent(case.gap),
        old.map_or(String::new(), |old| signed((case.gap - old.gap) * 100.0, 3)),
        or_none(old.map(|old| milliseconds(old.normalised_seconds))),
        milliseconds(case.normalised_seconds),
        old.map_or(String::new(), |old| times(old.normalised_seconds / case.normalised_seconds)),
    ]
}

#[cfg(test)]
mod tests {
    use packevolve_contract::evaluation::{CaseMeasurement, Measurement, Sample};
    use packevolve_contract::objective::{Pairing, Weights, Yardstick, scores};
    use packevolve_contract::rebalance::{PlanLoads, Policy, RebalanceSample};
    use proptest::prelude::*;

    use super::*;
    use crate::search::testing::{Script, World};
    use crate::values::candidate::CandidateId;
    use crate::view::gain::Gain;

    /// Seconds of a call and of the reference program beside it, for each of three windows.
    type Times = Vec<(f64, f64)>;

    fn measured(cases: &[Times]) -> Measurement {
        let sample = |(window, (seconds, reference_seconds)): (usize, &(f64, f64))| Sample {
            window,
            bound: 1.0,
            max_load: 1.5,
            seconds: *seconds,
            reference_seconds: *reference_seconds,
            ..Sample::default()
        };
        let rebalance = |(window, (seconds, reference_seconds)): (usize, &(f64, f64))| RebalanceSample {
            policy: Policy::Global,
            window,
            now: PlanLoads::default(),
            next: None,
            moved: None,
            replicas: 1,
            seconds: *seconds,
            wall_seconds: 0.0,
            reference_seconds: *reference_seconds,
        };
        let case = |(at, times): (usize, &Times)| CaseMeasurement {
            case: format!("{at}->1"),
            samples: times.iter().enumerate().map(sample).collect(),
        };
        Measurement {
            cases: cases.iter().enumerate().map(case).collect(),
            rebalance: cases[0].iter().enumerate().map(rebalance).collect(),
            ..Measurement::default()
        }
    }

    /// The range that a number lies in, by the digits that are shown of it.
    fn range(shown: &str) -> (f64, f64) {
        let shown = shown.trim_end_matches('x').replace('\u{202f}', "");
        let digits = shown.split_once('.').map_or(0, |(_, digits)| digits.len());
        let (value, half) = (shown.parse::<f64>().unwrap(), 0.500_001 * 0.1f64.powi(digits as i32));
        (value - half, value + half)
    }

    #[track_caller]
    fn assert_agree(before: &str, after: &str, speedup: &str) {
        let [before, after, speedup] = [before, after, speedup].map(range);
        let (least, most) = (before.0 / after.1, before.1 / after.0);
        assert!(least <= speedup.1 && speedup.0 <= most, "{before:?} {after:?} {speedup:?}");
    }

    /// The words of the lines that end in a speedup, or have one before their last word.
    fn rows(text: &str) -> Vec<Vec<&str>> {
        let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.filter(|words| words.iter().rev().take(2).any(|word| word.ends_with('x'))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_ratio_of_the_times_in_a_row_is_its_speedup(
            sides in prop::array::uniform3(prop::collection::vec(prop::collection::vec((1e-3..0.9, 1e-3..0.01), 3), 2)),
        ) {
            let [baseline, one, other] = sides.map(|cases| measured(&cases));
            let unit = ["0->1", "1->1"].map(str::to_owned);
            let yardstick =
                Yardstick { baseline: &baseline, objective: Weights::default().into(), pairing: Pairing::Shared };
            let scored = |of| scores(of, yardstick, &unit, baseline.clock());
            let terminal = Terminal::default();

            let search = World::finished(Script::smooth()).search;
            let gain = Gain { baseline: scored(&baseline), best: scored(&one), ..Gain::of(&search).unwrap() };
            let text = gain.text(&terminal);
            let mut rows_of_gain = rows(&text);
            let rebalances = rows_of_gain.split_off(2);
            for words in rows_of_gain {
                let [.., before, after, speedup] = words[..] else { panic!("{text}") };
                assert_agree(before, after, speedup);
            }
            let time = |words: &[&str]| words[words.len() - 4].to_owned();
            let [before, after] = &rebalances[..] else { panic!("{text}") };
            assert_agree(&time(before), &time(after), after[after.len() - 2]);

            let known = |scores| Row { scores: Some(scores), ..Row::of(&search, CandidateId(0)) };
            let compared = Compared::new(known(scored(&one)), known(scored(&other)));
            let text = compared_table(&compared, &terminal);
            prop_assert_eq!(rows(&text).len(), 3);
            for words in rows(&text) {
                let [.., before, after, speedup] = words[..] else { panic!("{text}") };
                assert_agree(before, after, speedup);
            }
        }
    }
}
