//! Gain: what a run brought its user: the best program against the baseline, on windows that the search never saw.

use packevolve_contract::objective::{CaseScore, Scores};
use serde::Serialize;

use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::view::format::{self, milliseconds};
use crate::view::table::{Column, Table};
use crate::view::terminal::Terminal;

/// The best program beside the baseline, on the held-out windows where there are some.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// The best program.
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// How many windows were held out; 0: the figures are those of the windows of the search, and flatter it.
    pub held_out_windows: usize,
    /// The baseline's figures.
    pub baseline: Scores,
    /// The best program's, relative to those.
    pub best: Scores,
}

impl Gain {
    /// Of a run; `None` until it has a best program that was compared with the baseline.
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

    /// As a table, a line a case, and what it comes to.
    pub fn text(&self, terminal: &Terminal) -> String {
        let header = [
            ("case", Column::Left),
            ("balancedness\nbaseline", Column::Right),
            ("\nbest", Column::Right),
            ("gap %\nbaseline", Column::Right),
            ("\nbest", Column::Right),
            ("time ms\nbaseline", Column::Right),
            ("\nbest", Column::Right),
            ("\nspeedup", Column::Right),
        ];
        let rows: Vec<Vec<String>> = self.best.cases.iter().map(|case| self.cells(case)).collect();
        let where_seen = match self.held_out_windows {
            0 => "on the windows of the search, which flatter it: no windows were held out".to_owned(),
            1 => "on one window that the search never saw".to_owned(),
            count => format!("on {count} windows that the search never saw"),
        };
        let rebalances = [("baseline", &self.baseline.rebalance), ("best", &self.best.rebalance)];
        let rebalances = format::rebalance(&rebalances, terminal);
        let times = self.baseline.normalised_unit_seconds.zip(self.best.normalised_unit_seconds);
        let unit = times.map_or(String::new(), |(baseline, best)| {
            format!("all packing calls of one rebalance: {} ms -> {} ms\n", milliseconds(baseline), milliseconds(best))
        });
        format!(
            "{} ({}) against the baseline, {where_seen}:\n\n{}\n\n{rebalances}\n{unit}balancedness_score {:.4} -> {:.4}   \
             combined_score {:.4}\n",
            self.candidate,
            self.name,
            Table::new(&header, rows).draw(terminal),
            self.baseline.balancedness_score,
            self.best.balancedness_score,
            self.best.combined_score,
        )
    }

    fn cells(&self, best: &CaseScore) -> Vec<String> {
        let baseline = self.baseline.cases.iter().find(|case| case.case == best.case);
        let both = |figure: &dyn Fn(&CaseScore) -> String| [baseline.map_or("-".to_owned(), figure), figure(best)];
        let mut cells = vec![best.case.clone()];
        cells.extend(both(&|case| format!("{:.4}", case.balancedness)));
        cells.extend(both(&|case| format!("{:.3}", case.gap * 100.0)));
        cells.extend(both(&|case| milliseconds(case.normalised_seconds)));
        cells.push(format!("{:.1}x", best.speedup));
        cells
    }
}
