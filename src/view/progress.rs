//! Progress: what a live run shows on stderr: a bar on a terminal, elsewhere a line for every new best.

use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::driver::RunUpdate;
use crate::search::best::Best;
use crate::search::{Search, Tally};
use crate::values::cost::Charge;
use crate::values::error_kind::in_one_line;
use crate::values::event::{Event, StopReason};
use crate::view::format::score;
use crate::view::inspect::{asking_again_text, charge_text, event_text};
use crate::view::output::{Verbosity, harmless, status, verbosity};

/// Time between two lines without a new best, where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(15);
const WAITING: &str = "[{elapsed_precise}] {wide_msg}";
/// `wide_msg` is cut at the width of the terminal.
const RUNNING: &str = "[{elapsed_precise}] {bar:20} {pos}/{len}  {wide_msg}";

/// The progress of one process; dropping it clears the bar.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    last_line: Instant,
    /// Time of the latest line about a failed try of a request.
    last_failure: Option<Instant>,
    /// Time of the first event, and the number of candidates judged before it.
    before: Option<(Instant, usize)>,
    best: Option<f64>,
}

impl Progress {
    /// Starts before the judges do.
    pub fn start() -> Self {
        let has_bar = verbosity() == Verbosity::Normal && std::io::stderr().is_terminal();
        let bar = has_bar.then(|| {
            let bar = ProgressBar::new(0).with_style(style(WAITING)).with_message("starting the judges");
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        if bar.is_none() {
            status("starting the judges");
        }
        Self { bar, began: Instant::now(), last_line: Instant::now(), last_failure: None, before: None, best: None }
    }

    pub fn saw(&mut self, news: RunUpdate<'_>, search: &Search) {
        match news {
            // The closing table must not run into the bar.
            RunUpdate::Happened(Event::RunStopped { .. }) => self.clear(),
            RunUpdate::Happened(event) => {
                if matches!(event, Event::ModelPaused { .. }) {
                    self.tell(&format!("note: language model {}", event_text(event, now(), search)));
                }
                if matches!(event, Event::ProposalGiven(_)) {
                    self.tell(&format!("note: {}", event_text(event, now(), search)));
                }
                if matches!(event, Event::SlotLost { .. }) {
                    self.tell(&format!("note: {}", event_text(event, now(), search)));
                    if search.places().all_are_left_out() {
                        self.tell("note: no judge is left: the run waits for its time limit, its stop file or Ctrl-C");
                        self.tell("hint: `packevolve resume` starts all judges again");
                    }
                }
                self.show(search);
            }
            RunUpdate::LoadsRead(notes) => {
                notes.iter().for_each(|note| self.tell(&format!("note: {}", harmless(note))));
            }
            RunUpdate::AskingAgain { model, error, wait } => {
                if self.last_failure.is_none_or(|last| last.elapsed() > LINE_EVERY) {
                    self.last_failure = Some(Instant::now());
                    self.tell(&format!("note: language model {}", asking_again_text(model, error, wait, search)));
                }
            }
            RunUpdate::Stopping(StopReason::Interrupted) => {
                self.tell("interrupted: waiting for running evaluations; press Ctrl-C again to stop now");
            }
            RunUpdate::Stopping(_) => self.tell("stopping: waiting for running evaluations"),
            RunUpdate::ArchiveBehind(error) => {
                self.tell(&format!("note: the archive is not up to date: {}", in_one_line(error)));
                self.tell("hint: `packevolve fsck --repair` makes it again from the journal");
            }
        }
    }

    fn show(&mut self, search: &Search) {
        let judged = search.tally().ended();
        let (since, before) = *self.before.get_or_insert_with(|| {
            self.bar.iter().for_each(|bar| bar.set_style(style(RUNNING)));
            (Instant::now(), judged)
        });
        let text = text(search, judged, judged - before, since.elapsed());
        let best = search.best().map(Best::reported_score);
        let is_news = best > self.best || self.last_line.elapsed() > LINE_EVERY;
        self.best = best;
        match &self.bar {
            Some(bar) => {
                bar.set_length(wanted(search));
                bar.set_position(judged as u64);
                bar.set_message(text);
            }
            None if is_news => {
                self.last_line = Instant::now();
                let seconds = self.began.elapsed().as_secs_f64();
                status(format_args!("[{seconds:>6.1}s] {judged}/{}  {text}", wanted(search)));
            }
            None => {}
        }
    }

    fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// Prints a line that the bar does not overwrite.
    fn tell(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => status(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// In seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("BUG: the templates are fixed").progress_chars("=> ")
}

fn text(search: &Search, judged: usize, judged_now: usize, elapsed: Duration) -> String {
    if judged == 0 {
        return "measuring the baseline program".to_owned();
    }
    let mut parts = Vec::new();
    if let Some(best) = search.best() {
        let name = search.candidate(best.candidate).map_or("", |known| known.name.as_str());
        let held_out = if best.held_out.is_some() { " on held-out windows" } else { "" };
        parts.push(format!("best {}{held_out} (#{} {name})", score(best.reported_score()), best.candidate));
    }
    if judged_now > 0 && elapsed > Duration::from_secs(1) {
        parts.push(format!("{:.0} a minute", judged_now as f64 / elapsed.as_secs_f64() * 60.0));
    }
    let Tally { rejected, inconsistent, outclassed, .. } = search.tally();
    for (count, outcome) in [(rejected, "rejected"), (inconsistent, "inconsistent"), (outclassed, "outclassed")] {
        if count > 0 {
            parts.push(format!("{count} {outcome}"));
        }
    }
    let spent = search.models().spent();
    if spent != Charge::NONE {
        parts.push(charge_text(spent));
    }
    parts.join(", ")
}

/// Candidates that the settings ask for, and those that pruning has added.
fn wanted(search: &Search) -> u64 {
    search.candidate_limit() + search.pruning().made()
}
