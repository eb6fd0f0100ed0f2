//! Heat: the gap of the leading programs in every case, as a table in which colours mark small gaps.

use packevolve_contract::objective::CaseScore;

use crate::view::format::{percent, score};
use crate::view::plot::number;
use crate::view::report::cast::NamedCandidates;
use crate::view::report::page::{Block, Cell, Section, Table, arrow};

/// Shades, by the share of the baseline's gap that is left; above the last it is worse than the baseline.
const SHADES: [(f64, &str); 5] = [(0.02, "h5"), (0.05, "h4"), (0.15, "h3"), (0.4, "h2"), (1.0, "h1")];
/// Up to half a percent more than the baseline's gap counts as the same.
const SAME: f64 = 1.005;

pub fn section(cast: &NamedCandidates<'_>) -> Section {
    let leading = cast.leading();
    let mut blocks = Vec::new();
    if leading.len() > 1 {
        let shades = SHADES.map(|(share, _)| format!("{} %", number(share * 100.0)));
        let text = format!(
            "The front, the given proposals and the seed program, the highest score first. The stronger blue, the less of the \
             baseline's gap is left: at most {}. Orange is worse than the baseline.",
            shades.join(", ")
        );
        blocks.push(Block::words(text));
        blocks.push(Block::Table(table(cast)));
    }
    Section { id: "heat", title: "Gap in every case", blocks }
}

fn table(cast: &NamedCandidates<'_>) -> Table {
    let cases: Vec<String> = cast.search.origin().cases.iter().map(ToString::to_string).collect();
    let named = cases.iter().map(|case| format!("{}#", arrow(case).replace(' ', "\n")));
    let columns = ["program", "score#"].map(str::to_owned).into_iter().chain(named);
    let mut table = Table::new("Gap to the lower bound in %, on the windows of the search", columns);
    let baseline = cast.search.baseline().and_then(|baseline| cast.search.scores(baseline));
    let baseline = baseline.map_or(Vec::new(), |scores| scores.cases);
    for id in cast.leading() {
        let Some(scores) = cast.scores(id) else { continue };
        let name = format!("{id} {}", cast.name(id).long);
        let gaps = cases.iter().map(|case| gap(case, &scores.cases, &baseline));
        let first = [Cell::name(name), Cell::from(score(scores.combined_score))];
        let cells = first.into_iter().chain(gaps);
        table.row(cells).is_best = Some(id) == cast.best;
    }
    table
}

fn gap(case: &str, scores: &[CaseScore], baseline: &[CaseScore]) -> Cell {
    let of = |scores: &[CaseScore]| scores.iter().find(|score| score.case == case).map(|score| score.gap);
    let Some(gap) = of(scores) else { return Cell::from("") };
    let class = of(baseline).map_or("", |baseline| shade(gap, baseline));
    Cell { text: percent(gap), class: class.to_owned() }
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
