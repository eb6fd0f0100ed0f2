//! Heat: the gap of the leading programs in every case, as a table in which colours mark small gaps.

use packevolve_contract::objective::CaseScore;

use crate::view::format::{percent, score};
use crate::view::plot::number;
use crate::view::report::data::ReportData;
use crate::view::report::page::{Part, Section, Table, arrow};

/// Shades, by the share of the baseline's gap that is left; above the last it is worse than the baseline.
const SHADES: [(f64, &str); 5] = [(0.02, "h5"), (0.05, "h4"), (0.15, "h3"), (0.4, "h2"), (1.0, "h1")];
/// Up to half a percent more than the baseline's gap counts as the same.
const SAME: f64 = 1.005;

pub fn section(data: &ReportData<'_>) -> Section {
    let leading = data.leading();
    let mut parts = Vec::new();
    if leading.len() > 1 && !data.search.origin().cases.is_empty() {
        let shades = SHADES.map(|(share, _)| format!("{} %", number(share * 100.0)));
        let text = format!(
            "The front, the given proposals and the seed program, the highest score first. The stronger blue, the less of the \
             baseline's gap is left: at most {}. Orange is worse than the baseline.",
            shades.join(", ")
        );
        parts.push(Part::Paragraph(text));
        parts.push(Part::Table(table(data)));
    }
    Section { id: "heat", title: "Gap in every case", parts }
}

fn table(data: &ReportData<'_>) -> Table {
    let cases: Vec<String> = data.search.origin().cases.iter().map(ToString::to_string).collect();
    let columns: String = cases.iter().map(|case| format!("|{}#", arrow(case).replace(' ', "\n"))).collect();
    let caption = "Gap to the lower bound in %, on the windows of the search";
    let mut table = Table::new(caption, &format!("program|score#{columns}"));
    let baseline = data.search.baseline().and_then(|baseline| data.search.scores(baseline));
    let baseline = baseline.map_or(Vec::new(), |scores| scores.cases);
    for id in data.leading() {
        let Some(scores) = data.scores(id) else { continue };
        let gaps: Vec<Option<f64>> = cases.iter().map(|case| gap(case, &scores.cases)).collect();
        let first = [format!("{id} {}", data.name(id).long), score(scores.combined_score)];
        let row = table.row(first.into_iter().chain(gaps.iter().map(|gap| gap.map_or(String::new(), percent))));
        row.is_best = Some(id) == data.best;
        for ((cell, own), case) in row.cells[2..].iter_mut().zip(&gaps).zip(&cases) {
            cell.class = own.zip(gap(case, &baseline)).map_or("", |(own, baseline)| shade(own, baseline));
        }
    }
    table.with_class(0, "name")
}

fn gap(case: &str, scores: &[CaseScore]) -> Option<f64> {
    scores.iter().find(|score| score.case == case).map(|score| score.gap)
}

fn shade(gap: f64, baseline: f64) -> &'static str {
    if gap > baseline * SAME {
        return "w1";
    }
    // No colour where the baseline leaves nothing to gain.
    if baseline <= 0.0 {
        return "";
    }
    SHADES.into_iter().find(|(share, _)| gap <= baseline * share).map_or("", |(_, class)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shade_follows_what_is_left_of_the_baselines_gap() {
        let shades = [0.0, 0.0003, 0.001, 0.0039, 0.0099, 0.01, 0.02].map(|gap| shade(gap, 0.01));
        assert_eq!(shades, ["h5", "h4", "h3", "h2", "h1", "h1", "w1"]);
        assert_eq!([shade(0.0, 0.0), shade(0.1, 0.0)], ["", "w1"]);
    }
}
