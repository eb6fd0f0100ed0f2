//! Words: an event as a line of text.

use std::time::Duration;

use packevolve_contract::duel::{Duel, Verdict};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::objective::Scores;

use crate::journal::Entry;
use crate::search::{DuelResult, Ruling, Search};
use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::event::{Asking, Declined, Event, ModelAsked, Proposer};
use crate::values::llm_error::LlmError;
use crate::values::task::Task;
use crate::view::format;
use crate::view::inspect::row::device_name;
use crate::view::output::harmless;
use crate::view::terminal::Tone;

/// An event in a line, for `log`: its number, its time in seconds after `began`, and its text.
pub fn event_line(entry: &Entry<Event>, began: f64, search: &Search) -> String {
    let text = event_text(&entry.event, entry.time, search).replace('\n', " ");
    format!("{:>5}  {:>9.2}s  {text}", entry.seq, entry.time - began)
}

pub fn event_tone(event: &Event, search: &Search) -> Option<Tone> {
    match event {
        Event::RunStarted(_) | Event::RunStopped { .. } | Event::RunResumed { .. } => Some(Tone::Heading),
        Event::DuelEnded { contender, duel, .. } => match result_of(*contender, duel, search)?.ruling {
            Ruling::Confirmed => Some(Tone::Good),
            Ruling::Refuted => Some(Tone::Bad),
            Ruling::Doubtful => None,
        },
        Event::CandidateEvaluated {
            evaluation: Evaluation::Rejected { .. } | Evaluation::Inconsistent { .. }, ..
        }
        | Event::SlotLost { .. }
        | Event::ModelPaused { .. } => Some(Tone::Bad),
        Event::Selected { .. }
        | Event::SlotOpened { .. }
        | Event::CandidateCreated(_)
        | Event::ProposalDeclined { .. }
        | Event::DuelStarted { .. } => Some(Tone::Faint),
        _ => None,
    }
}

/// An event in words. `time` is that of the event, in seconds since 1970; `search` is the state right after it, or a
/// later one.
pub fn event_text(event: &Event, time: f64, search: &Search) -> String {
    // Candidates, proposals and endpoints write parts of it.
    harmless(&text(event, time, search))
}

/// A failed try of a request, and when the next one follows.
pub fn asking_again_text(model: usize, error: &LlmError, wait: Duration, search: &Search) -> String {
    let wait = format::duration(wait.as_secs_f64());
    harmless(&format!("{}: {error}; asked again after {wait}", model_name(model, search)))
}

fn text(event: &Event, time: f64, search: &Search) -> String {
    let name = |id: CandidateId| search.candidate(id).map_or("?", |known| known.name.as_str());
    match event {
        Event::RunStarted(started) => format!(
            "started from {} on {} ({}), rng_seed {}, {} proposals in the corpus",
            started.file_name,
            started.judge.device,
            started.judge.device_name,
            started.settings.rng_seed,
            started.corpus.len()
        ),
        Event::SlotOpened { slot, judge, .. } => {
            let judge = judge.as_deref().unwrap_or(&search.origin().judge);
            format!("{} opened on {} ({})", slot_name(*slot, search), judge.device, judge.device_name)
        }
        Event::SlotLost { slot, reason, task, .. } => lost_text(*slot, reason, *task, search),
        Event::BaselineEvaluated { measurement, inconsistencies, .. } => {
            let doubtful = if measurement.is_doubtful() { ", its times are doubtful" } else { "" };
            let inconsistent = inconsistent_text(inconsistencies);
            format!("baseline measured in {:.1} s{doubtful}{inconsistent}", measurement.evaluation_seconds)
        }
        Event::ProposalGiven(given) => {
            format!("a person handed in {}, an edit of candidate {}", given.file, given.parent)
        }
        Event::Selected { attempt, selection } => {
            let operator = selection.operator.map_or_else(String::new, |operator| format!(" ({operator})"));
            format!("attempt {attempt}: {}{operator} on candidate {}", selection.proposer, selection.parent)
        }
        Event::ModelAsked(asked) => asked_text(asked, search),
        Event::ModelPaused { model, error, seconds: None } => {
            format!("{} is switched off: {error}", model_name(*model, search))
        }
        Event::ModelPaused { model, error, seconds: Some(seconds) } => {
            let (length, until) = (format::duration(*seconds), format::clock(time + seconds));
            format!("{} pauses for {length}, until {until}: {error}", model_name(*model, search))
        }
        Event::ModelResumed { model } => format!("{} is asked again", model_name(*model, search)),
        Event::ProposalDeclined { attempt, reason, .. } => format!("attempt {attempt} declined: {reason}"),
        Event::CandidateCreated(created) => format!(
            "candidate {} [{}] made by attempt {}: {}",
            created.candidate,
            created.fingerprint.commit.short(),
            created.attempt,
            created.name
        ),
        Event::LimitNear { reason } => format!("about to stop ({reason}): partial verdicts are completed first"),
        Event::CandidateEvaluated { candidate, evaluation, partial, .. } => {
            let device = search.candidate(*candidate).and_then(|known| known.device);
            let outcome = outcome_text(evaluation, device, search);
            let partly = if *partial { " on one window of each case" } else { "" };
            format!("candidate {candidate} {outcome}{partly} ({}){}", name(*candidate), on_device(device, search))
        }
        Event::DuelStarted { contender, best, seed } => {
            format!("candidate {contender} meets candidate {best} in a duel, seed {seed}")
        }
        Event::DuelEnded { contender, duel, .. } => {
            format!("{} ({})", duel_text(*contender, duel, search), name(*contender))
        }
        Event::RunStopped { reason } => format!("stopped: {reason}"),
        Event::RunResumed { candidates } => format!("resumed, up to {candidates} candidates"),
    }
}

/// A slot by its number and its place.
fn slot_name(slot: usize, search: &Search) -> String {
    format!("slot {slot} ({})", search.settings().place_of(slot).name())
}

fn lost_text(slot: usize, reason: &str, task: Option<Task>, search: &Search) -> String {
    let was_at = match task {
        None => String::new(),
        Some(Task::Baseline) => " with the baseline".to_owned(),
        Some(Task::Evaluate(candidate)) => format!(" with candidate {candidate}"),
        Some(Task::Complete(candidate)) => format!(" with the rest of candidate {candidate}"),
        Some(Task::Duel(contender)) => format!(" with a duel of candidate {contender}"),
    };
    let left_out = if search.places().is_left_out(slot) { ", and left out" } else { "" };
    format!("{} was lost{was_at}{left_out}: {reason}", slot_name(slot, search))
}

/// Names a device in a run whose devices differ.
fn on_device(device: Option<usize>, search: &Search) -> String {
    device_name(search, device).map_or(String::new(), |device| format!(" on {device}"))
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

/// The problem of an answer that holds no proposal, in a line.
pub fn unusable_text(problem: &str) -> String {
    let reason = Declined::Unusable { error: problem.to_owned() };
    harmless(&reason.to_string()).replace('\n', " ")
}

pub fn charge_text(charge: Charge) -> String {
    format!("{} tokens, ${:.4}", charge.tokens(), charge.dollars())
}

/// The result of a duel. Those of one contender differ in their verdicts.
fn result_of<'a>(contender: CandidateId, duel: &Duel, search: &'a Search) -> Option<&'a DuelResult> {
    let is_its = |result: &&DuelResult| result.verdict == search.verdict(result.device, duel);
    search.candidate(contender)?.duels.iter().find(is_its)
}

fn duel_text(contender: CandidateId, duel: &Duel, search: &Search) -> String {
    if let Evaluation::Rejected { rejection, .. } = &duel.contender {
        return format!("candidate {contender} is rejected in its duel: it {rejection}");
    }
    let Some(result) = result_of(contender, duel, search) else { return format!("the duel of {contender} ended") };
    let shortened = match search.candidate(contender) {
        Some(known) if known.cut.is_some() => {
            let before = known.parents.first().and_then(|parent| search.candidate(*parent));
            format!("{} tokens in place of {}, ", known.size, before.map_or(0, |parent| parent.size))
        }
        _ => String::new(),
    };
    let result_text = duel_result_text(result);
    match result.ruling {
        Ruling::Confirmed => format!("candidate {contender} is the best: {shortened}{result_text}"),
        Ruling::Refuted => format!("candidate {contender} is not the best: {result_text}"),
        Ruling::Doubtful => format!("the duel of candidate {contender} decides nothing: {result_text}"),
    }
}

/// The result of a duel, without the contender.
pub fn duel_result_text(result: &DuelResult) -> String {
    let DuelResult { against, ruling, verdict, .. } = result;
    let what = match verdict {
        None => return format!("{ruling} against candidate {against}, which was rejected"),
        Some(Verdict { rounds, difference, uncertainty }) => {
            format!(
                "{} ± {uncertainty:.4} in {}",
                format::signed(*difference, 4),
                format::count(*rounds, "window", "windows")
            )
        }
    };
    format!("{ruling} against candidate {against} with {what}")
}

fn inconsistent_text(inconsistencies: &[Inconsistency]) -> String {
    match inconsistencies.split_first() {
        None => String::new(),
        Some((first, [])) => format!(", inconsistent: {first}"),
        Some((first, more)) => format!(", inconsistent: {first}, and {} more", more.len()),
    }
}

fn outcome_text(evaluation: &Evaluation, device: Option<usize>, search: &Search) -> String {
    match evaluation {
        Evaluation::Measured { measurement } => scored_text(measurement, device, search),
        Evaluation::Inconsistent { inconsistencies, measurement } => {
            format!("{}{}", scored_text(measurement, device, search), inconsistent_text(inconsistencies))
        }
        Evaluation::Outclassed { at_best, .. } => {
            format!("outclassed: {} was to be expected at best", format::score(*at_best))
        }
        Evaluation::Rejected { rejection, .. } => format!("rejected: it {rejection}"),
    }
}

fn scored_text(measurement: &Measurement, device: Option<usize>, search: &Search) -> String {
    let measurement = &*search.compared(device, measurement);
    let score = |scores: Scores| format!("scores {}", format::score(scores.combined_score));
    format::doubted(search.scores(measurement).map_or("measured".to_owned(), score), measurement.is_doubtful())
}
