//! The note below a candidate's commit: its scores. A view of the search; nothing reads it back.

use std::collections::BTreeMap;

use packevolve_contract::objective::{CaseScore, Scores};

use crate::search::{Candidate, Outcome, Search};
use crate::values::candidate::CommitId;
use crate::values::figure::score;

/// The notes of all evaluated candidates.
pub fn notes(search: &Search) -> BTreeMap<CommitId, String> {
    let best = search.best().map(|best| best.candidate);
    let judged = search.candidates().filter_map(|(id, known)| Some((id, known, verdict(known)?)));
    let note = judged.map(|(id, known, mut text)| {
        if Some(id) == best {
            text += "the best of the run\n";
        }
        (known.commit, text)
    });
    note.collect()
}

fn verdict(known: &Candidate) -> Option<String> {
    Some(match known.outcome.as_ref()? {
        Outcome::Measured(scores) => measured(scores, known) + &inconsistencies(known),
        Outcome::Inconsistent(scores) => {
            let scores = scores.as_ref().map_or(String::new(), |scores| measured(scores, known));
            format!("{scores}{}", inconsistencies(known))
        }
        Outcome::Outclassed => "outclassed: stopped early\n".to_owned(),
        Outcome::Rejected => "rejected\n".to_owned(),
    })
}

fn inconsistencies(known: &Candidate) -> String {
    known.inconsistencies.iter().map(|inconsistency| format!("inconsistent: {inconsistency}\n")).collect()
}

fn measured(scores: &Scores, known: &Candidate) -> String {
    let Scores { combined_score, speed_score, balancedness_score, .. } = scores;
    let quality = scores.quality.map_or(String::new(), |quality| format!("quality {}  ", score(quality)));
    let unit = scores.normalised_unit_seconds.map_or(String::new(), |unit| format!("unit {:.3} ms\n", unit * 1e3));
    let gap = |case: &CaseScore| format!("{} {:.3}", case.case, case.gap * 100.0);
    let gaps: Vec<String> = scores.cases.iter().filter(|case| case.quality.is_some()).map(gap).collect();
    if let Some(policy) = &scores.policy {
        return format!(
            "combined_score {}{}{}\nlost {:.3} s a window of {} s  balancedness served {balancedness_score:.4}  moved {:.1} %\nplanning {:.3} ms\n",
            score(*combined_score),
            if known.doubtful.is_empty() { "" } else { " (doubtful)" },
            ruling(known),
            policy.lost.total(),
            policy.prices.window,
            policy.moved * 100.0,
            policy.normalised_seconds * 1e3,
        );
    }
    let gaps = if gaps.is_empty() { String::new() } else { format!("gap % {}\n", gaps.join(", ")) };
    format!(
        "combined_score {}{}{}\n{quality}speed_score {}  balancedness_score {balancedness_score:.4}\n{unit}{gaps}",
        score(*combined_score),
        if known.doubtful.is_empty() { "" } else { " (doubtful)" },
        ruling(known),
        score(*speed_score)
    )
}

fn ruling(known: &Candidate) -> String {
    let Some(ruling) = &known.held_out else { return String::new() };
    let verdict = if ruling.confirmed { "confirmed" } else { "refuted" };
    match &ruling.scores {
        Some(scores) => {
            let doubtful = if ruling.is_doubtful { " (doubtful)" } else { "" };
            format!(", {verdict} with {}{doubtful} on held-out windows", score(scores.combined_score))
        }
        None => ", rejected on held-out windows".to_owned(),
    }
}
