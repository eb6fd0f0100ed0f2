//! Gain: the result of a run: the best program against the baseline, on windows that the search never saw.

use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::rebalance::RebalanceScore;
use schemars::JsonSchema;
use serde::Serialize;

use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::view::format::{self, milliseconds, or_none, percent, times};
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
    /// The number of held-out windows; 0: the figures are those of the windows of the search, which flatter it.
    pub held_out_windows: usize,
    pub baseline: Scores,
    /// Relative to the baseline.
    pub best: Scores,
}

impl Gain {
    /// `None` until the run has a best program that was compared with the baseline.
    pub fn of(search: &Search) -> Option<Self> {
        let best = search.best()?;
        let known = search.candidate(best.candidate)?;
        let (baseline, scores, held_out_windows) = match &best.held_out {
            Some(held_out) => {
                let baseline = search.held_out_scores(search.baseline_held_out()?)?;
                (baseline, held_out.scores.clone(), search.baseline_held_out()?.windows().len())
            }
            None => {
                let measured = search.scores_of(best.candidate)?;
                (search.scores(search.baseline()?)?, measured.clone(), 0)
            }
        };
        Some(Self { candidate: best.candidate, name: known.name.clone(), held_out_windows, baseline, best: scores })
    }

    pub fn windows(&self) -> String {
        match self.held_out_windows {
            0 => "on the windows of the search, which flatter it: no windows were held out".to_owned(),
            1 => "on one window that the search never saw".to_owned(),
            count => format!("on {count} windows that the search never saw"),
        }
    }

    /// The time of all packing calls of one rebalance, seconds: the baseline's and the best program's.
    pub fn unit(&self) -> Option<(f64, f64)> {
        self.baseline.normalised_unit_seconds.zip(self.best.normalised_unit_seconds)
    }

    pub fn text(&self, terminal: &Terminal) -> String {
        let unit = self.unit().map_or(String::new(), |(baseline, best)| {
            format!("all packing calls of one rebalance: {} ms -> {} ms\n", milliseconds(baseline), milliseconds(best))
        });
        format!(
            "{} ({}) against the baseline, {}:\n\n{}\n\n{}\n{unit}balancedness_score {:.4} -> {:.4}   \
             combined_score {:.4}\n",
            self.candidate,
            self.name,
            self.windows(),
            Table::new(CASES, self.case_rows()).draw(terminal),
            format::rebalance(&self.rebalances(), terminal),
            self.baseline.balancedness_score,
            self.best.balancedness_score,
            self.best.combined_score,
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
        cells.extend(both(|case| milliseconds(case.normalised_seconds)));
        cells.push(times(best.speedup));
        cells
    }
}
