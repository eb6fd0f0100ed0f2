//! The data of a prompt, as plain values for templates. Figures have full precision, because differences in this
//! problem are in the fourth digit.

use packevolve_contract::case::Case;
use packevolve_contract::chain::{ChainMeasurement, GpuLoads, PlannerStep, Step as ChainStep};
use packevolve_contract::clock::Clock;
use packevolve_contract::evaluation::{Measurement, Sample};
use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::policy::{PolicyScore, policy_score};
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::serving::Serving;
use serde::{Deserialize, Serialize};

use crate::proposer::llm::document::editable_lines;
use crate::proposer::llm::said::{masked, quoted};

/// The data of a request for a proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptContext {
    /// The program to edit.
    pub parent: ProgramShown,
    /// The other parent of a crossover.
    pub other: Option<ProgramShown>,
    /// The program that scores are relative to.
    pub baseline: Option<Figures>,
    /// The edits that led to the parent, the latest first.
    pub ancestors: Vec<Step>,
    /// Failed attempts on this parent or near it.
    pub failures: Vec<Failed>,
    pub inspirations: Vec<ProgramShown>,
    /// By a model, of the run.
    pub summary: Option<String>,
    /// The version of Numba that programs can use.
    pub numba: Option<String>,
    /// The prices of a run whose target is the whole policy.
    #[serde(default)]
    pub policy: Option<Serving>,
}

/// A program in a prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgramShown {
    /// Name and description of its proposal.
    pub name: String,
    pub description: String,
    pub program: String,
    /// First and last line, from 1, of each editable region.
    pub editable_lines: Vec<(usize, usize)>,
    pub figures: Option<Figures>,
}

impl ProgramShown {
    pub fn new(name: &str, description: &str, program: &str, figures: Option<Figures>) -> Self {
        let (name, description, program) = (name.to_owned(), description.to_owned(), program.to_owned());
        Self { editable_lines: editable_lines(&program), name, description, program, figures }
    }
}

/// The scores of a program, by the definitions of [`Scores`]; its time is the normalised one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub combined_score: f64,
    pub quality: Option<f64>,
    pub speed_score: f64,
    pub balancedness_score: f64,
    pub unit_seconds: Option<f64>,
    pub cases: Vec<CaseFigures>,
    /// Those of a policy, which has no cases.
    #[serde(default)]
    pub policy: Option<PolicyScore>,
}

/// The scores of a program on one case, by the definitions of [`CaseScore`]; times are the normalised ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseFigures {
    /// Name, such as `72->8`.
    pub case: String,
    /// X, n, m and n / m of a call.
    pub rows: usize,
    pub items: usize,
    pub packs: usize,
    pub items_per_pack: usize,
    /// Load of the heaviest pack and its lower bound, summed over rows, mean over calls.
    pub heaviest_load: f64,
    pub lower_bound: f64,
    pub gap: f64,
    pub baseline_gap: Option<f64>,
    pub worst_row_gap: f64,
    pub balancedness: f64,
    pub seconds: f64,
    pub baseline_seconds: Option<f64>,
    pub speedup: f64,
    pub quality: Option<f64>,
}

impl Figures {
    /// `scores` were computed from `measurement`.
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
            policy: scores.policy.clone(),
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

/// A proposal that led to a program, with its effect on the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub description: String,
    /// `combined_score` of the parent and of the program, if they have one.
    pub before: Option<f64>,
    pub after: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// Name and description of the proposal, if there was one.
    pub name: Option<String>,
    pub description: Option<String>,
    /// The outcome with its evidence.
    pub evidence: String,
}

/// The reason and the evidence of a rejection, in a text of bounded length. What the judge says comes first, without long
/// numbers, because the program chose some of them; then what the program said.
pub fn diagnosis(rejection: &Rejection, evidence: &Evidence) -> String {
    let (reason, message) = match rejection {
        Rejection::Load { message } => ("does not load".to_owned(), message.as_str()),
        Rejection::Exception { message } => ("raises an exception".to_owned(), message.as_str()),
        Rejection::WrongResult { message } => ("returns something else than it must".to_owned(), message.as_str()),
        Rejection::Protocol { message } => ("breaks the protocol".to_owned(), message.as_str()),
        Rejection::Memory { limit_bytes, .. } => (format!("needs more memory than {} MiB", limit_bytes >> 20), ""),
        other => (masked(&other.to_string()), ""),
    };
    let mut text = format!("The edit applies, but the program {reason}.\n");
    if !evidence.during.is_empty() {
        text += &format!("That was during: {}\n", evidence.during);
    }
    text + &quoted(&[("Message", message), ("Traceback", &evidence.traceback), ("It printed", &evidence.output)])
}

/// The data of a request for a summary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SummaryContext {
    pub previous: Option<String>,
    /// Proposals since then that led to a program, oldest first.
    pub steps: Vec<Step>,
    /// Proposals since then that did not, oldest first.
    pub failures: Vec<Failed>,
    /// The best program so far.
    pub best: Option<ProgramShown>,
    /// The version of Numba that programs can use.
    pub numba: Option<String>,
    /// The prices of a run whose target is the whole policy.
    pub policy: Option<Serving>,
}

impl PromptContext {
    /// A context with every part, to try templates before a run starts.
    pub fn example() -> Self {
        serde_json::from_str(include_str!("../../../candidates/prompts/example.json"))
            .expect("BUG: the example lacks a field")
    }

    /// A context of a run whose target is the whole policy.
    pub fn policy_example() -> Self {
        let loads = GpuLoads { mean: 0.9, max: 1.0 };
        let step = ChainStep { now: loads, served: loads, floor: 0.95, replicas: 9, gpus: 3, ..ChainStep::default() };
        let planner = PlannerStep { served: loads, busiest_gpu: 1 };
        let step = ChainStep { planner, seconds: 1.0, reference_seconds: 1.0, ..step };
        let chains = [ChainMeasurement { chain: 0, steps: vec![step] }];
        let prices = Serving::default();
        let policy = policy_score(&chains, &chains, &prices, Clock::RELATIVE);
        let mut example = Self { policy: Some(prices), ..Self::example() };
        let shown = example.inspirations.iter_mut().chain([&mut example.parent]).chain(&mut example.other);
        let figures = shown.filter_map(|shown| shown.figures.as_mut()).chain(&mut example.baseline);
        figures.for_each(|figures| figures.policy.clone_from(&policy));
        example
    }

    /// A context without any optional part.
    pub fn bare_example() -> Self {
        let program = "def balanced_packing(weight, num_packs): ...";
        Self { parent: ProgramShown::new("seed", "The seed program.", program, None), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::case::Source;
    use packevolve_contract::evaluation::CaseMeasurement;
    use packevolve_contract::objective::{Pairing, Weights, Yardstick, scores};

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
        let yardstick = Yardstick { baseline: &theirs, objective: Weights::default().into(), pairing: Pairing::Shared };
        let score = |measurement| scores(measurement, yardstick, &[], theirs.clock());
        let figures = Figures::new(&[case], &score(&ours), &ours, Some(&score(&theirs)));
        assert_eq!(figures.combined_score, score(&ours).combined_score);
        let [case] = &figures.cases[..] else { panic!("{figures:?}") };
        assert_eq!((case.rows, case.items, case.packs, case.items_per_pack), (58, 8, 4, 2));
        assert_eq!((case.lower_bound, case.heaviest_load), (200.0, 202.0));
        assert_eq!((case.baseline_gap, case.baseline_seconds), (Some(score(&theirs).cases[0].gap), Some(1.0)));
    }

    #[test]
    fn a_rejection_has_the_judges_reason_and_the_end_of_what_the_program_said() {
        let evidence = Evidence {
            during: "72->8, window 3".to_owned(),
            traceback: format!("{}IndexError: 9\n", "  line\n".repeat(10_000)),
            ..Evidence::default()
        };
        let rejection = Rejection::Exception { message: "IndexError: 9".to_owned() };
        let text = diagnosis(&rejection, &evidence);
        assert!(text.starts_with(
            "The edit applies, but the program raises an exception.\nThat was during: 72->8, window 3\nIn the program's own"
        ));
        assert!(text.contains("  line\n") && text.ends_with("IndexError: 9\n````\n") && text.len() < 4000, "{text}");
        assert!(!text.contains("printed"), "nothing was printed");
    }

    #[test]
    fn no_text_of_a_program_carries_its_loads_into_a_prompt() {
        const LOADS: &str = "[15360048.0, 20495585.0, 18442610.0]";
        let said = || LOADS.to_owned();
        let rejections = [
            Rejection::Load { message: said() },
            Rejection::Exception { message: said() },
            Rejection::WrongResult { message: said() },
            Rejection::Protocol { message: said() },
            Rejection::MutatedInput { message: "row 1, item 2: 15360048 became 0".to_owned() },
            Rejection::InvalidPlacement { message: "row 0: pack 20495585".to_owned() },
            Rejection::Memory { used_bytes: 15_360_048, limit_bytes: 1 << 30 },
        ];
        for rejection in rejections {
            let text = diagnosis(&rejection, &Evidence { traceback: said(), output: said(), ..Evidence::default() });
            assert!(!["15360048", "20495585", "18442610"].iter().any(|load| text.contains(load)), "{text}");
        }
    }
}
