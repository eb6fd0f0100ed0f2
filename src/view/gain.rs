//! Gain: the result of a run: the best program against the baseline, on windows that the search never saw.

use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::policy::PolicyScore;
use packevolve_contract::rebalance::RebalanceScore;
use schemars::JsonSchema;
use serde::Serialize;

use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::view::format::{self, doubt_line, doubted, milliseconds, or_none, percent, times, with_interval};
use crate::view::policy::{lost_text, moved_text, won_text};
use crate::view::table::Table;
use crate::view::terminal::Terminal;

/// The columns of [`Gain::case_rows`].
pub(crate) const CASES: &str = "case|balancedness\nbaseline#|\nbest#|gap %\nbaseline#|\nbest#|time ms\nbaseline#|\
                                \nbest#|\nspeedup#";

/// The best program beside the baseline, on the held-out windows if the run has some.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Gain {
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// The number of windows in its duels; 0: the figures are those of the windows of the search, which flatter it.
    pub held_out_windows: usize,
    /// Half the width of the interval of its `combined_score`; `None` without duels.
    pub half_width: Option<f64>,
    /// Names of the cases in which the baseline's times are doubtful.
    pub doubtful: Vec<String>,
    pub baseline: Scores,
    /// Relative to the baseline.
    pub best: Scores,
}

impl Gain {
    /// `None` until the run has a best program that was compared with the baseline.
    pub fn of(search: &Search) -> Option<Self> {
        let best = search.best()?;
        let known = search.candidate(best.candidate)?;
        let (scores, held_out_windows, half_width) = match &best.held_out {
            Some(held_out) => {
                let half_width = search.pooled_half_width(&held_out.measurement);
                (held_out.scores.clone(), held_out.measurement.rounds(), half_width)
            }
            None => (search.scores_of(best.candidate)?.clone(), 0, None),
        };
        let baseline = search.baseline()?;
        Some(Self {
            candidate: best.candidate,
            name: known.name.clone(),
            held_out_windows,
            half_width,
            doubtful: baseline.calibration.doubtful.clone(),
            baseline: search.scores(baseline)?,
            best: scores,
        })
    }

    pub fn windows(&self) -> String {
        let (one, many) = if self.policy().is_some() { ("chain", "chains") } else { ("window", "windows") };
        match self.held_out_windows {
            0 if self.policy().is_some() => "on the chains of the search, which flatter it".to_owned(),
            0 => "on the windows of the search, which flatter it".to_owned(),
            1 => format!("on one {one} that the search never saw"),
            count => format!("on {count} {many} that the search never saw"),
        }
    }

    /// The time of all packing calls of one rebalance, seconds: the baseline's and the best program's.
    pub fn unit(&self) -> Option<(f64, f64)> {
        self.baseline.normalised_unit_seconds.zip(self.best.normalised_unit_seconds)
    }

    /// The figures of the best policy; `None` if the target is packing.
    pub fn policy(&self) -> Option<&PolicyScore> {
        self.best.policy.as_ref()
    }

    fn policy_text(&self, policy: &PolicyScore, terminal: &Terminal) -> String {
        let before = self.baseline.policy.as_ref().map_or(String::new(), moved_text);
        format!(
            "{} ({}) against the baseline, {}:\n\n{}\n{}\nthe baseline:\n{before}\ncombined_score {}   {}\n",
            self.candidate,
            self.name,
            self.windows(),
            lost_text(policy, "the baseline program of the run", terminal),
            moved_text(policy),
            with_interval(self.best.combined_score, self.half_width),
            won_text(policy),
        )
    }

    pub fn text(&self, terminal: &Terminal) -> String {
        if let Some(policy) = self.policy() {
            return self.policy_text(policy, terminal);
        }
        let unit = self.unit().map_or(String::new(), |(baseline, best)| {
            format!("all packing calls of one rebalance: {} ms -> {} ms\n", milliseconds(baseline), milliseconds(best))
        });
        format!(
            "{} ({}) against the baseline, {}:\n\n{}{}\n\n{}\n{unit}balancedness_score {:.4} -> {:.4}   \
             combined_score {}\n",
            self.candidate,
            self.name,
            self.windows(),
            Table::new(CASES, self.case_rows()).draw(terminal),
            doubt_line(!self.doubtful.is_empty()),
            format::rebalance(&self.rebalances(), terminal),
            self.baseline.balancedness_score,
            self.best.balancedness_score,
            with_interval(self.best.combined_score, self.half_width),
        )
    }

    pub fn rebalances(&self) -> [(&'static str, &Vec<RebalanceScore>); 2] {
        [("baseline", &self.baseline.rebalance), ("best", &self.best.rebalance)]
    }

    pub fn case_rows(&self) -> Vec<Vec<String>> {
        self.best.cases.iter().map(|case| self.cells(case)).collect()
    }

    fn cells(&self, best: &CaseScore) -> Vec<String> {
        let baseline = self.baseline.cases.iter().find(|case| case.case == best.case);
        let both = |figure: fn(&CaseScore) -> String| [or_none(baseline.map(figure)), figure(best)];
        let mut cells = vec![best.case.clone()];
        cells.extend(both(|case| format!("{:.4}", case.balancedness)));
        cells.extend(both(|case| percent(case.gap)));
        let is_doubtful = self.doubtful.contains(&best.case);
        cells.push(or_none(baseline.map(|case| doubted(milliseconds(case.normalised_seconds), is_doubtful))));
        cells.push(milliseconds(best.normalised_seconds));
        cells.push(doubted(times(best.speedup), is_doubtful));
        cells
    }
}
