//! Words: an event as a line of text.

use packevolve_contract::evaluation::Evaluation;

use crate::journal::Entry;
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::event::{Asking, Event, ModelAsked, Proposer};
use crate::values::llm_error::Scope;
use crate::view::output::harmless;
use crate::view::terminal::Tone;

/// An event in a line, for `log`: its number, its time in seconds after `began`, and its text.
pub fn event_line(entry: &Entry<Event>, began: f64, search: &Search) -> String {
    let text = event_text(&entry.event, search).replace('\n', " ");
    format!("{:>5}  {:>9.2}s  {text}", entry.seq, entry.time - began)
}

pub fn event_tone(event: &Event) -> Option<Tone> {
    match event {
        Event::RunStarted(_) | Event::RunStopped { .. } | Event::RunResumed { .. } => Some(Tone::Heading),
        Event::Confirmed { .. } => Some(Tone::Good),
        Event::CandidateEvaluated { evaluation: Evaluation::Rejected { .. }, .. }
        | Event::Refuted { .. }
        | Event::ModelPaused { .. } => Some(Tone::Bad),
        Event::Selected { .. } | Event::CandidateCreated(_) | Event::ProposalDeclined { .. } => Some(Tone::Faint),
        _ => None,
    }
}

/// An event in words. `search` is the state right after it, or a later one.
pub fn event_text(event: &Event, search: &Search) -> String {
    // Candidates, proposals and endpoints write parts of it.
    harmless(&text(event, search))
}

fn text(event: &Event, search: &Search) -> String {
    let name = |id: CandidateId| search.candidate(id).map_or("?", |known| known.name.as_str());
    let held_out = |measurement| search.held_out_scores(measurement).map_or(0.0, |scores| scores.combined_score);
    match event {
        Event::RunStarted(started) => format!(
            "started from {} on {} ({}), rng_seed {}, {} proposals in the corpus",
            started.file_name,
            started.judge.device,
            started.judge.device_name,
            started.settings.rng_seed,
            started.corpus.len()
        ),
        Event::BaselineEvaluated { measurement } => {
            format!("baseline measured in {:.1} s", measurement.evaluation_seconds)
        }
        Event::BaselineHeldOut { measurement } => {
            format!("baseline measured on the held-out windows in {:.1} s", measurement.evaluation_seconds)
        }
        Event::Selected { attempt, selection } => {
            let operator = selection.operator.map_or_else(String::new, |operator| format!(" ({operator})"));
            format!("attempt {attempt}: {}{operator} on candidate {}", selection.proposer, selection.parent)
        }
        Event::ModelAsked(asked) => asked_text(asked, search),
        Event::ModelPaused { model, error } if error.scope() == Scope::Settings => {
            format!("{} is switched off: {error}", model_name(*model, search))
        }
        Event::ModelPaused { model, error } => format!("{} pauses: {error}", model_name(*model, search)),
        Event::ModelResumed { model } => format!("{} is asked again", model_name(*model, search)),
        Event::ProposalDeclined { attempt, reason, .. } => format!("attempt {attempt} declined: {reason}"),
        Event::CandidateCreated(created) => format!(
            "candidate {} [{}] made by attempt {}: {}",
            created.candidate,
            created.fingerprint.commit.short(),
            created.attempt,
            created.name
        ),
        Event::CandidateEvaluated { candidate, evaluation } => {
            format!("candidate {candidate} {} ({})", outcome_text(evaluation, search), name(*candidate))
        }
        Event::Confirmed { candidate, measurement } => {
            let text = confirmed_text(*candidate, held_out(measurement), search);
            format!("candidate {candidate} {text} ({})", name(*candidate))
        }
        Event::Refuted { candidate, evaluation: Evaluation::Rejected { rejection, .. } } => {
            format!("candidate {candidate} is rejected on the held-out windows: it {rejection} ({})", name(*candidate))
        }
        Event::Refuted { candidate, evaluation } => {
            let score = evaluation.measurement().map_or(0.0, held_out);
            let name = name(*candidate);
            format!("candidate {candidate} is not the best: refuted with {score:.4} on the held-out windows ({name})")
        }
        Event::RunStopped { reason } => format!("stopped: {reason}"),
        Event::RunResumed { candidates } => format!("resumed, up to {candidates} candidates"),
    }
}

/// The name of a language model in the settings.
fn model_name(model: usize, search: &Search) -> &str {
    search.settings().llm.models.get(model).map_or("?", |model| model.name.as_str())
}

/// The name of a proposer; that of a language model is in the settings.
pub fn proposer_name(proposer: Proposer, search: &Search) -> String {
    match proposer {
        Proposer::Model(model) => model_name(model, search).to_owned(),
        proposer => proposer.to_string(),
    }
}

fn asked_text(asked: &ModelAsked, search: &Search) -> String {
    let name = model_name(asked.model, search);
    let what = match asked.asking {
        Asking::Proposal(attempt) => format!("for attempt {attempt}"),
        Asking::Summary => "for a summary".to_owned(),
    };
    let outcome = asked.error.as_ref().map_or("answered".to_owned(), ToString::to_string);
    format!("{name} asked {what}, {}: {outcome}", charge_text(asked.charge))
}

pub fn charge_text(charge: Charge) -> String {
    format!("{} tokens, ${:.4}", charge.tokens(), charge.dollars())
}

fn confirmed_text(candidate: CandidateId, score: f64, search: &Search) -> String {
    let size = |id: CandidateId| search.candidate(id).map_or(0, |known| known.size);
    match search.candidate(candidate).filter(|known| known.cut.is_some()) {
        Some(known) => {
            let (before, after) = (known.parents.first().map_or(0, |parent| size(*parent)), known.size);
            format!("is the best: {after} tokens in place of {before}, and {score:.4} on the held-out windows")
        }
        None => format!("is the best: confirmed with {score:.4} on the held-out windows"),
    }
}

fn outcome_text(evaluation: &Evaluation, search: &Search) -> String {
    match evaluation {
        Evaluation::Measured { measurement } => {
            let scores = search.scores(measurement);
            scores.map_or("measured".to_owned(), |scores| format!("scores {:.4}", scores.combined_score))
        }
        Evaluation::Outclassed { at_best, .. } => format!("outclassed: {at_best:.4} was to be expected at best"),
        Evaluation::Rejected { rejection, .. } => format!("rejected: it {rejection}"),
    }
}
