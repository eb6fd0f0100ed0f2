//! Requests: what a judge is asked to measure for a run. Live runs and replay ask alike.

use packevolve_contract::duel::{LEAST_ROUNDS, MOST_ROUNDS};
use packevolve_contract::evaluation::Measurement;
use packevolve_contract::protocol::{DuelRequest, Duelist, EvaluateRequest, Threshold};

use crate::search::Search;
use crate::search::best::OpenDuel;
use crate::values::candidate::CandidateId;

/// Number of the baseline program if it is not candidate 0; keys its order of rows and items.
const BASELINE_NUMBER: u64 = u64::MAX;

/// Measures the baseline in full.
pub fn baseline_request(search: &Search) -> EvaluateRequest {
    let origin = search.origin();
    EvaluateRequest {
        candidate: if search.baseline_is_seed() { CandidateId::SEED.0 } else { BASELINE_NUMBER },
        file_name: origin.file_name.clone(),
        program: origin.baseline.clone(),
        budget_seconds: None,
        limits: None,
        outclassed: None,
        measures_inconsistent: true,
        is_baseline: true,
        rebalance: search.holds_out(),
        is_of_blocks: false,
    }
}

/// Measures a candidate with this program, in a slot that compares it with this `baseline`. The seed program runs in full:
/// others are compared with it on the windows that both have seen. A given proposal has one window of each case at first.
pub fn evaluate_request(
    search: &Search,
    baseline: Option<&Measurement>,
    candidate: CandidateId,
    program: String,
) -> EvaluateRequest {
    let evaluation = &search.settings().evaluation;
    let known = search.candidate(candidate).expect("BUG: only candidates are measured");
    let outclassed = known.outclassed_below.zip(baseline).map(|(score, baseline)| Threshold {
        score,
        baseline: baseline.clone(),
        objective: evaluation.objective(),
    });
    EvaluateRequest {
        candidate: candidate.0,
        file_name: search.origin().file_name.clone(),
        program,
        budget_seconds: match search.is_measured_partially(candidate) {
            true => Some(0.0),
            false => evaluation.budget_seconds.filter(|_| known.proposer.is_some()),
        },
        limits: Some(evaluation.limits.times(baseline)),
        outclassed,
        measures_inconsistent: search.measures_inconsistent(candidate),
        is_baseline: false,
        rebalance: false,
        is_of_blocks: false,
    }
}

/// Measures contender and best, with these programs, in a duel in a slot that compares them with this `baseline`.
pub fn duel_request(
    search: &Search,
    baseline: &Measurement,
    duel: OpenDuel,
    contender: String,
    best: String,
) -> DuelRequest {
    let evaluation = &search.settings().evaluation;
    DuelRequest {
        contender: Duelist { candidate: duel.contender.0, program: contender },
        best: Duelist { candidate: duel.best.0, program: best },
        file_name: search.origin().file_name.clone(),
        seed: duel.seed,
        least_rounds: LEAST_ROUNDS,
        most_rounds: MOST_ROUNDS,
        budget_seconds: evaluation.budget_seconds,
        limits: evaluation.limits.times(Some(baseline)),
        baseline: baseline.clone(),
        objective: evaluation.objective(),
        rebalance: true,
    }
}
