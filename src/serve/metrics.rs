//! Metrics: the figures of runs in Prometheus' text form, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::search::Search;
use crate::values::event::{Event, Proposer};
use crate::view::report::data::judge_seconds;
use crate::view::site::Shown;

/// A figure with all its samples.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: String,
}

const FAMILIES: [(&str, &str, &str); 15] = [
    ("packevolve_run_live", "gauge", "1 while a process of this machine runs the run."),
    ("packevolve_run_stopped", "gauge", "1 once the run has stopped."),
    ("packevolve_events_total", "counter", "Events in the journal."),
    ("packevolve_candidates", "gauge", "Candidates by outcome."),
    ("packevolve_candidates_limit", "gauge", "Candidates that the run makes at most, without pruned ones."),
    ("packevolve_proposals_declined_total", "counter", "Attempts that made no candidate."),
    ("packevolve_best_score", "gauge", "combined_score of the best, on held-out windows if there are any."),
    ("packevolve_best_candidate", "gauge", "Number of the best candidate."),
    ("packevolve_judge_seconds_total", "counter", "Seconds that judges spent on measurements."),
    ("packevolve_slots", "gauge", "Slots by state."),
    ("packevolve_slot_losses_total", "counter", "Losses of a judge, by place."),
    ("packevolve_model_requests_total", "counter", "Requests to language models that have ended, by outcome."),
    ("packevolve_tokens_total", "counter", "Tokens of requests to language models, both ways."),
    ("packevolve_dollars_total", "counter", "Dollars that requests to language models have cost."),
    ("packevolve_last_event_timestamp_seconds", "gauge", "Time of the last event, in seconds since 1970."),
];

/// The figures of these runs.
pub fn text(runs: &[Shown<'_>]) -> String {
    let family = |(name, kind, help)| Family { name, kind, help, samples: String::new() };
    let mut families = FAMILIES.map(family);
    for run in runs {
        add_run(&mut families, run);
    }
    let text = |Family { name, kind, help, samples }: &Family| {
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}")
    };
    families.iter().map(text).collect()
}

fn add_run(families: &mut [Family], run: &Shown<'_>) {
    let search = &run.run.search;
    let mut add = |name: &str, labels: &[(&str, &str)], value: &dyn Display| {
        let family = families.iter_mut().find(|family| family.name == name).expect("BUG: a family of the list");
        let labels = [("run", run.name)]
            .into_iter()
            .chain(labels.iter().copied())
            .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        let _ = writeln!(family.samples, "{name}{{{labels}}} {value}");
    };
    add("packevolve_run_live", &[], &u8::from(run.is_live));
    add("packevolve_run_stopped", &[], &u8::from(search.stopped().is_some()));
    add("packevolve_events_total", &[], &run.entries.len());
    for (outcome, count) in outcomes(search) {
        add("packevolve_candidates", &[("outcome", outcome)], &count);
    }
    add("packevolve_candidates_limit", &[], &search.candidate_limit());
    add(
        "packevolve_proposals_declined_total",
        &[],
        &count(run, |event| matches!(event, Event::ProposalDeclined { .. })),
    );
    if let Some(best) = search.best() {
        add("packevolve_best_score", &[], &best.reported_score());
        add("packevolve_best_candidate", &[], &best.candidate);
    }
    let seconds: f64 = run.entries.iter().map(|entry| judge_seconds(&entry.event)).sum();
    add("packevolve_judge_seconds_total", &[], &seconds);
    for (state, count) in slots(run) {
        add("packevolve_slots", &[("state", state)], &count);
    }
    for (place, losses) in losses(run) {
        add("packevolve_slot_losses_total", &[("place", &place)], &losses);
    }
    for (place, model) in search.settings().llm.models.iter().enumerate() {
        let name = ("model", model.name.as_str());
        let ended = |failed: bool| {
            count(run, |event| match event {
                Event::ModelAsked(asked) => asked.model == place && asked.error.is_some() == failed,
                _ => false,
            })
        };
        add("packevolve_model_requests_total", &[name, ("outcome", "answered")], &ended(false));
        add("packevolve_model_requests_total", &[name, ("outcome", "failed")], &ended(true));
        let arm = search.bandit().arms().iter().find(|arm| arm.who == Proposer::Model(place));
        let stats = arm.map(|arm| arm.stats).unwrap_or_default();
        add("packevolve_tokens_total", &[name], &stats.tokens);
        add("packevolve_dollars_total", &[name], &(stats.nanodollars as f64 / 1e9));
    }
    let last = run.entries.last().map_or(0.0, |entry| entry.time);
    add("packevolve_last_event_timestamp_seconds", &[], &last);
}

fn count(run: &Shown<'_>, fits: impl Fn(&Event) -> bool) -> usize {
    run.entries.iter().filter(|entry| fits(&entry.event)).count()
}

fn outcomes(search: &Search) -> [(&'static str, usize); 5] {
    let tally = search.tally();
    [
        ("measured", tally.measured),
        ("inconsistent", tally.inconsistent),
        ("outclassed", tally.outclassed),
        ("rejected", tally.rejected),
        ("waiting", search.candidates().len() - tally.ended().min(search.candidates().len())),
    ]
}

fn slots(run: &Shown<'_>) -> [(&'static str, usize); 4] {
    let places = run.run.search.places();
    let all = run.run.search.settings().slots();
    let left_out = (0..all).filter(|slot| places.is_left_out(*slot)).count();
    let (open, busy) = if run.is_live { (places.open(), run.busy.len()) } else { (0, 0) };
    let free = open.saturating_sub(busy);
    [("busy", busy), ("free", free), ("left-out", left_out), ("closed", all.saturating_sub(busy + free + left_out))]
}

/// The losses of each place of the settings, also of those without one.
fn losses(run: &Shown<'_>) -> BTreeMap<String, usize> {
    let settings = run.run.search.settings();
    let mut losses: BTreeMap<String, usize> = settings.judges.iter().map(|place| (place.name(), 0)).collect();
    for entry in run.entries {
        if let Event::SlotLost { slot, .. } = &entry.event {
            *losses.entry(settings.place_of(*slot).name()).or_default() += 1;
        }
    }
    losses
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_before_its_end() {
        assert_eq!(escaped("a\"} 1\nb\\"), "a\\\"} 1\\nb\\\\");
    }

    #[test]
    fn every_figure_is_explained_even_without_a_run() {
        let text = text(&[]);
        for (name, kind, _) in FAMILIES {
            assert!(text.contains(&format!("# HELP {name} ")) && text.contains(&format!("# TYPE {name} {kind}\n")));
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        }
    }
}
