//! Operator: in which of its ways a proposer made a candidate. Our proposers say it in the NAME that they give.

use crate::event::{Kind, Proposer};
use crate::search::Known;

/// The way in which a candidate was made, in words; empty for what was given.
pub fn operator(known: &Known) -> &'static str {
    match known.proposer {
        None | Some(Proposer::Corpus(_)) => "",
        Some(Proposer::Compose) => composed(known.name.trim_start_matches("compose_")),
        Some(Proposer::Cross) if known.name.starts_with("cross_merge_with_") => "both programs' changes merged",
        Some(Proposer::Cross) => "a function taken over",
        Some(Proposer::Mutate) => mutated(known.name.trim_start_matches("mutate_")),
        Some(Proposer::Model(_)) if known.repairs > 0 => "a rejected one repaired",
        Some(Proposer::Model(_)) => match known.kind {
            Some(Kind::Rewrite) => "rewrite",
            Some(Kind::Crossover) => "crossover",
            Some(Kind::Edit) | None => "edit",
        },
    }
}

fn composed(step: &str) -> &'static str {
    match step {
        _ if step.starts_with("with_") => "a block added",
        _ if step.starts_with("without_") => "a block left out",
        _ if step.contains("_to_") => "a parameter changed",
        _ if step.contains("_for_") => "a block exchanged",
        _ => "put together anew",
    }
}

fn mutated(change: &str) -> &'static str {
    let is_number = |text: &str| text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match change {
        _ if ["drop_", "repeat_", "exchange_"].iter().any(|what| change.starts_with(what)) => "a statement changed",
        _ if change.ends_with("_exit") => "an early exit",
        _ => match change.split_once("_to_") {
            Some((_, to)) if is_number(to) => "a constant changed",
            _ => "an operator or a type changed",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_was_done() {
        let composed =
            ["with_matched_and_2_more", "without_extremes", "rounds_extremes64_heaviest16x0.001"].map(composed);
        assert_eq!(composed, ["a block added", "a block left out", "put together anew"]);
        let steps = ["opposite_for_extremes", "heaviest_tolerance_0.002_to_0.001_and_1_more"].map(super::composed);
        assert_eq!(steps, ["a block exchanged", "a parameter changed"]);
        let mutated =
            ["steps_4_to_8", "drop_refine_85", "refine_opposite_94_exit", "refine_129_times_to_over"].map(mutated);
        let wanted = ["a constant changed", "a statement changed", "an early exit", "an operator or a type changed"];
        assert_eq!(mutated, wanted);
    }
}
