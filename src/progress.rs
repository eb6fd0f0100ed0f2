//! Progress: a line on stderr while a run goes on: a bar on a terminal, a line for every new best elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::event::Event;
use crate::search::{Search, Verdict};

/// Between two lines without news, where stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// What a person sees of a run while it goes on.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    last_line: Instant,
    /// Candidates that were judged before this process began.
    judged_before: Option<usize>,
    best: Option<f64>,
}

impl Progress {
    /// Begins; `candidates` is how many there will be.
    pub fn start(candidates: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(candidates);
            let style = ProgressStyle::with_template("[{elapsed_precise}] {bar:24} {pos}/{len}  {msg}");
            bar.set_style(style.expect("BUG: the template is fixed").progress_chars("=> "));
            bar.set_message("starting the judges");
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        if bar.is_none() {
            eprintln!("starting the judges");
        }
        Self { bar, began: Instant::now(), last_line: Instant::now(), judged_before: None, best: None }
    }

    /// Takes in an event right after it has happened.
    pub fn saw(&mut self, event: &Event, search: &Search) {
        let judged = search.candidates().filter(|(_, known)| known.verdict.is_some()).count();
        let before = *self.judged_before.get_or_insert(judged);
        let text = self.text(judged, judged - before.min(judged), search);
        let best = search.best().map(|member| member.score);
        let news = best > self.best;
        self.best = best;
        match &self.bar {
            Some(bar) => {
                bar.set_length(search.candidate_limit());
                bar.set_position(judged as u64);
                bar.set_message(text);
                if matches!(event, Event::RunStopped { .. }) {
                    bar.finish_and_clear();
                }
            }
            None if news || self.last_line.elapsed() > LINE_EVERY => {
                self.last_line = Instant::now();
                eprintln!(
                    "[{:>6.1}s] {judged}/{}  {text}",
                    self.began.elapsed().as_secs_f64(),
                    search.candidate_limit()
                );
            }
            None => {}
        }
    }

    fn text(&self, judged: usize, judged_now: usize, search: &Search) -> String {
        if judged == 0 {
            return "measuring the baseline".to_owned();
        }
        let count = |wanted: &Verdict| {
            let same = |verdict: &Verdict| std::mem::discriminant(verdict) == std::mem::discriminant(wanted);
            search.candidates().filter(|(_, known)| known.verdict.as_ref().is_some_and(same)).count()
        };
        let rate = judged_now as f64 / self.began.elapsed().as_secs_f64().max(1e-9) * 60.0;
        let best = search.best().map_or(String::new(), |best| {
            let name = search.candidate(best.candidate).map_or("", |known| known.name.as_str());
            format!("best {:.4} (#{} {name}), ", best.score, best.candidate)
        });
        format!(
            "{best}{rate:.0} a minute, {} rejected, {} outclassed",
            count(&Verdict::Rejected),
            count(&Verdict::Outclassed)
        )
    }
}
