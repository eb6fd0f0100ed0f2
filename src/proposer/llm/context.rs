//! Context: all that a model is told, as plain data for templates. Figures are those of the record at full precision:
//! differences in this problem are in the fourth digit.

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{Measurement, Sample};
use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::rejection::{Evidence, Rejection};
use serde::{Deserialize, Serialize};

use crate::proposer::llm::document::{ReplyError, editable_lines};

/// How much of what a program printed or raised is told, bytes: the end says most.
const TOLD: usize = 4000;

/// What a request for a proposal is rendered from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromptContext {
    /// What is to be edited.
    pub parent: ProgramShown,
    /// The other parent of a crossover.
    pub other: Option<ProgramShown>,
    /// The program that scores are relative to.
    pub baseline: Option<Figures>,
    /// How the parent came about, nearest ancestor first.
    pub ancestors: Vec<Step>,
    /// What was tried on this parent or near it and failed.
    pub failures: Vec<Failed>,
    /// Other programs that are good at something.
    pub inspirations: Vec<ProgramShown>,
    /// What worked so far and what did not, in a model's own words.
    pub summary: Option<String>,
}

/// A program as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProgramShown {
    /// NAME of its proposal.
    pub name: String,
    /// DESCRIPTION of its proposal.
    pub description: String,
    /// The text, to the byte.
    pub program: String,
    /// First and last line, from 1, of each part that may be edited.
    pub editable_lines: Vec<(usize, usize)>,
    /// What was measured of it.
    pub figures: Option<Figures>,
}

impl ProgramShown {
    /// A program with what is known of it.
    pub fn new(name: &str, description: &str, program: &str, figures: Option<Figures>) -> Self {
        let (name, description, program) = (name.to_owned(), description.to_owned(), program.to_owned());
        Self { editable_lines: editable_lines(&program), name, description, program, figures }
    }
}

/// What was measured of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Weighted sum of `quality` and `speed_score`: 0 for the baseline.
    pub combined_score: f64,
    /// Mean share of the baseline's gaps that is closed; `None` where the baseline has no gap.
    pub quality: Option<f64>,
    /// Mean of log10(speedup) / 3.
    pub speed_score: f64,
    /// Mean load over maximum load of the packs, mean over the cases.
    pub balancedness_score: f64,
    /// Normalised time of the packing calls of one rebalance, seconds.
    pub unit_seconds: Option<f64>,
    /// In the order of the cases of the run.
    pub cases: Vec<CaseFigures>,
}

/// What was measured of a program on one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseFigures {
    /// Name, such as `72->8`.
    pub case: String,
    /// X, n, m and n / m of a call.
    pub rows: usize,
    /// Items of a row.
    pub items: usize,
    /// Packs of a row.
    pub packs: usize,
    /// Items that each pack gets.
    pub items_per_pack: usize,
    /// Mean over the calls of the sum over rows of the heaviest pack's load.
    pub heaviest_load: f64,
    /// The same of the lower bound on the heaviest pack: no program can be below.
    pub lower_bound: f64,
    /// Heaviest load over lower bound, minus 1.
    pub gap: f64,
    /// The baseline's gap.
    pub baseline_gap: Option<f64>,
    /// Largest gap of a single row.
    pub worst_row_gap: f64,
    /// Mean load over maximum load.
    pub balancedness: f64,
    /// Normalised time of a call, seconds.
    pub seconds: f64,
    /// The baseline's.
    pub baseline_seconds: Option<f64>,
    /// How many times faster than the baseline.
    pub speedup: f64,
    /// Share of the baseline's gap that is closed; `None` where it has none, and then the case does not count.
    pub quality: Option<f64>,
}

impl Figures {
    /// Of scores that were computed from `measurement`, beside those of the baseline.
    pub fn new(cases: &[Case], scores: &Scores, measurement: &Measurement, baseline: Option<&Scores>) -> Self {
        let theirs = |name: &str| baseline.and_then(|scores| scores.cases.iter().find(|case| case.case == name));
        let figures = |score: &CaseScore| {
            let case = cases.iter().find(|case| case.to_string() == score.case)?;
            Some(CaseFigures::new(case, score, measurement.samples(&score.case), theirs(&score.case)))
        };
        Self {
            combined_score: scores.combined_score,
            quality: scores.quality,
            speed_score: scores.speed_score,
            balancedness_score: scores.balancedness_score,
            unit_seconds: scores.normalised_unit_seconds,
            cases: scores.cases.iter().filter_map(figures).collect(),
        }
    }
}

impl CaseFigures {
    fn new(case: &Case, score: &CaseScore, samples: &[Sample], baseline: Option<&CaseScore>) -> Self {
        let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / samples.len().max(1) as f64;
        Self {
            case: score.case.clone(),
            rows: case.rows,
            items: case.items,
            packs: case.packs,
            items_per_pack: case.items_per_pack(),
            heaviest_load: mean(|sample| sample.max_load),
            lower_bound: mean(|sample| sample.bound),
            gap: score.gap,
            baseline_gap: baseline.map(|baseline| baseline.gap),
            worst_row_gap: score.worst_row_gap,
            balancedness: score.balancedness,
            seconds: score.normalised_seconds,
            baseline_seconds: baseline.map(|baseline| baseline.normalised_seconds),
            speedup: score.speedup,
            quality: score.quality,
        }
    }
}

/// A proposal that made a program, and what that did to the score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// NAME.
    pub name: String,
    /// DESCRIPTION.
    pub description: String,
    /// `combined_score` of what it edited, where that has one.
    pub before: Option<f64>,
    /// `combined_score` of what it made.
    pub after: Option<f64>,
}

/// A proposal that brought nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed {
    /// NAME, if it has one.
    pub name: Option<String>,
    /// DESCRIPTION, if it has one.
    pub description: Option<String>,
    /// What became of it, in words, with its evidence.
    pub evidence: String,
}

/// A program and a reply that did not work, to be sent back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repair {
    /// What is wrong, in words, with its evidence.
    pub diagnosis: String,
    /// How often it may be tried again after this.
    pub left: u32,
}

impl Repair {
    /// A reply that proposes nothing that can be tried.
    pub fn of_reply(error: &ReplyError, left: u32) -> Self {
        Self { diagnosis: error.diagnosis(), left }
    }

    /// A program that was rejected.
    pub fn of_rejection(rejection: &Rejection, evidence: &Evidence, left: u32) -> Self {
        Self { diagnosis: diagnosis(rejection, evidence), left }
    }
}

/// Why a program was rejected and what was seen, in words of bounded length.
pub fn diagnosis(rejection: &Rejection, evidence: &Evidence) -> String {
    let mut text = format!("The edit applies, but the program {rejection}.\n");
    if !evidence.during.is_empty() {
        text += &format!("That was during: {}\n", evidence.during);
    }
    for (title, said) in [("Traceback", &evidence.traceback), ("It printed", &evidence.output)] {
        if !said.trim().is_empty() {
            text += &format!("{title}:\n{}\n", the_end(said));
        }
    }
    text
}

/// The last bytes of a text, from the start of a line where one is near.
fn the_end(text: &str) -> &str {
    let text = text.trim_end();
    if text.len() <= TOLD {
        return text;
    }
    let end = &text[text.ceil_char_boundary(text.len() - TOLD)..];
    end.split_once('\n').map_or(end, |(_, lines)| lines)
}

/// What a request for a summary is rendered from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryContext {
    /// The summary before this one.
    pub previous: Option<String>,
    /// What was tried since and made a program, oldest first.
    pub steps: Vec<Step>,
    /// What was tried since and made none, oldest first.
    pub failures: Vec<Failed>,
    /// The best program so far.
    pub best: Option<ProgramShown>,
}

impl PromptContext {
    /// A context in which everything is there: templates are tried on it before a run begins.
    pub fn example() -> Self {
        let case = CaseFigures {
            case: "72->8".to_owned(),
            rows: 232,
            items: 72,
            packs: 8,
            items_per_pack: 9,
            heaviest_load: 1234.5,
            lower_bound: 1228.25,
            gap: 0.005_431_210_987_654_321,
            baseline_gap: Some(0.006),
            worst_row_gap: 0.03,
            balancedness: 0.9931,
            seconds: 0.004_2,
            baseline_seconds: Some(0.361),
            speedup: 85.95,
            quality: Some(0.094_798_168_724),
        };
        let figures = Figures {
            combined_score: 0.663_718_492_018_374_6,
            quality: Some(0.946_1),
            speed_score: 0.381_2,
            balancedness_score: 0.906_7,
            unit_seconds: Some(0.0169),
            cases: vec![case],
        };
        let program = "# EVOLVE-BLOCK-START\ndef balanced_packing(weight, num_packs):\n    ...\n# EVOLVE-BLOCK-END\n";
        let shown = |name: &str| ProgramShown::new(name, "What it does.", program, Some(figures.clone()));
        let step = Step {
            name: "vectorized_lpt".to_owned(),
            description: "One step for all rows.".to_owned(),
            before: Some(0.0),
            after: Some(0.2825),
        };
        let failed = Failed {
            name: Some("too_clever".to_owned()),
            description: Some("Sorts less.".to_owned()),
            evidence: "raises IndexError\n".to_owned(),
        };
        Self {
            parent: shown("parent"),
            other: Some(shown("other")),
            baseline: Some(figures.clone()),
            ancestors: vec![step],
            failures: vec![failed],
            inspirations: vec![shown("inspiration")],
            summary: Some("Fewer launches help.".to_owned()),
        }
    }

    /// A context in which everything that can be absent is.
    pub fn bare_example() -> Self {
        let program =
            ProgramShown::new("seed", "The seed program.", "def balanced_packing(weight, num_packs): ...", None);
        Self {
            parent: program.clone(),
            other: None,
            baseline: None,
            ancestors: Vec::new(),
            failures: Vec::new(),
            inspirations: Vec::new(),
            summary: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::case::Source;
    use packevolve_contract::evaluation::CaseMeasurement;
    use packevolve_contract::objective::{Weights, scores};

    use super::*;

    fn measured(gap: f64, seconds: f64) -> Measurement {
        let sample = |window: usize, bound: f64| Sample {
            window,
            mean_load: bound,
            max_load: bound * (1.0 + gap),
            bound,
            worst_row_gap: 2.0 * gap,
            next: None,
            seconds,
            wall_seconds: seconds,
            reference_seconds: 0.01,
        };
        let samples = vec![sample(0, 100.0), sample(1, 300.0)];
        Measurement { cases: vec![CaseMeasurement { case: "8->4".to_owned(), samples }], ..Measurement::default() }
    }

    #[test]
    fn figures_stand_beside_the_bounds_and_the_baselines() {
        let case = Case { source: Source::Groups, rows: 58, items: 8, packs: 4 };
        let (ours, theirs) = (measured(0.01, 0.1), measured(0.04, 1.0));
        let score = |measurement| scores(measurement, &theirs, Weights::default(), &[], theirs.clock());
        let figures = Figures::new(&[case], &score(&ours), &ours, Some(&score(&theirs)));
        assert_eq!(figures.combined_score, score(&ours).combined_score);
        let [case] = &figures.cases[..] else { panic!("{figures:?}") };
        assert_eq!((case.rows, case.items, case.packs, case.items_per_pack), (58, 8, 4, 2));
        assert_eq!((case.lower_bound, case.heaviest_load), (200.0, 202.0));
        assert_eq!((case.baseline_gap, case.baseline_seconds), (Some(score(&theirs).cases[0].gap), Some(1.0)));
    }

    #[test]
    fn a_rejection_is_told_with_the_end_of_its_evidence() {
        let evidence = Evidence {
            during: "72->8, window 3".to_owned(),
            traceback: format!("{}IndexError: 9\n", "  line\n".repeat(10_000)),
            ..Evidence::default()
        };
        let rejection = Rejection::Exception { message: "IndexError: 9".to_owned() };
        let text = diagnosis(&rejection, &evidence);
        assert!(text.starts_with("The edit applies, but the program raises IndexError: 9.\nThat was during: 72->8, "));
        assert!(text.contains("Traceback:\n  line\n") && text.ends_with("IndexError: 9\n") && text.len() < TOLD + 200);
        assert!(!text.contains("printed"), "nothing was printed");
    }
}
