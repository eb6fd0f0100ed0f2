//! `packevolve log`: what happened in a run, and what happens in one that goes on.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use packevolve_contract::evaluation::Evaluation;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::named::{RunArguments, find_run};
use crate::journal::{Entry, Reader};
use crate::run::fold::{Run, fold};
use crate::run::folder::{RunError, RunFolder};
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::Event;
use crate::view::inspect::{self, FORMAT};
use crate::view::output::{is_read, print, status};
use crate::view::terminal::Terminal;

/// Between two looks at a journal.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After so long without an event it is asked whether anybody works on the run.
const QUIET: Duration = Duration::from_secs(5);

/// What happened in a run, a line an event.
#[derive(Debug, Args)]
pub struct Log {
    #[command(flatten)]
    run: RunArguments,
    /// Wait for what happens next, until the run stops.
    #[arg(short, long)]
    follow: bool,
    /// Only what happened to this candidate: number, NAME, commit prefix, `best` or `seed`.
    #[arg(long, value_name = "CANDIDATE", conflicts_with = "follow")]
    candidate: Option<String>,
    /// Only the candidates that were rejected, each with the reason.
    #[arg(long)]
    rejected: bool,
    /// Of JSON, an object a line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The shape is part of the interface.
#[derive(Serialize)]
struct Line<'a> {
    format: u32,
    seq: u64,
    time: f64,
    event: &'a Event,
}

impl Log {
    pub fn run(&self) -> anyhow::Result<Exit> {
        if self.follow {
            return self.follow();
        }
        let run = self.run.open()?;
        let wanted = self.candidate.as_ref().map(|wanted| run.candidate(wanted)).transpose()?;
        let attempt = wanted.and_then(|wanted| attempt_of(&run, wanted));
        let mut printer = self.printer();
        for entry in run.entries.iter() {
            if wanted.is_none_or(|wanted| concerns(&entry.event, wanted, attempt)) {
                printer.began = run.entries[0].time;
                printer.print(entry, &run.search)?;
            }
            if printer.is_unread {
                break;
            }
        }
        Ok(Exit::Success)
    }

    fn printer(&self) -> Printer {
        let is_cut = !self.rejected && self.candidate.is_none();
        let (format, terminal) = (self.format, Terminal::of_stdout());
        Printer { format, terminal, is_cut, rejected: self.rejected, began: 0.0, is_unread: false }
    }

    /// Prints events as they are written, until the last of them says that the run has stopped.
    fn follow(&self) -> anyhow::Result<Exit> {
        let folder = find_run(self.run.config.as_deref(), self.run.run.as_deref())?;
        let mut reader: Reader<Event> = Reader::open(&folder.journal()).map_err(RunError::from)?;
        let mut follower =
            Follower { folder, printer: self.printer(), search: None, heard: Instant::now(), told: false };
        loop {
            for entry in reader.by_ref() {
                follower.take(&entry.map_err(RunError::from)?)?;
            }
            if follower.is_over() || !is_read() {
                return Ok(Exit::Success);
            }
            follower.tell_if_alone();
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Prints events, whichever way they come.
struct Printer {
    format: Format,
    terminal: Terminal,
    /// Whether lines end where a terminal does. Who asks for a few of them wants them whole.
    is_cut: bool,
    /// Only rejections.
    rejected: bool,
    /// When the run began.
    began: f64,
    /// The reader has gone, so that there is nothing left to do.
    is_unread: bool,
}

impl Printer {
    fn print(&mut self, entry: &Entry<Event>, search: &Search) -> anyhow::Result<()> {
        let Entry { seq, time, event, .. } = entry;
        if self.rejected && !is_rejection(event) {
            return Ok(());
        }
        let line = match self.format {
            Format::Json => serde_json::to_string(&Line { format: FORMAT, seq: *seq, time: *time, event })?,
            Format::Table => {
                let whole = inspect::event_line(entry, self.began, search);
                let line = if self.is_cut { self.terminal.cut(&whole) } else { whole };
                inspect::event_tone(event).map_or(line.clone(), |tone| self.terminal.paint(tone, &line))
            }
        };
        print(line + "\n")?;
        self.is_unread = !is_read();
        Ok(())
    }
}

/// Follows a run.
struct Follower {
    folder: RunFolder,
    printer: Printer,
    /// The state so far; `None` before the first event.
    search: Option<Search>,
    /// When the last event came.
    heard: Instant,
    /// Whether it was said that nobody works on the run.
    told: bool,
}

impl Follower {
    fn take(&mut self, entry: &Entry<Event>) -> anyhow::Result<()> {
        match &mut self.search {
            None => {
                self.search = Some(fold(&self.folder.journal(), std::slice::from_ref(entry))?);
                self.printer.began = entry.time;
            }
            Some(search) => {
                search.apply(&entry.event).map_err(|refusal| RunError::Impossible {
                    path: self.folder.journal(),
                    seq: entry.seq,
                    reason: refusal.to_string(),
                })?;
            }
        }
        (self.heard, self.told) = (Instant::now(), false);
        let search = self.search.as_ref().expect("BUG: it was made from the first event");
        self.printer.print(entry, search)
    }

    /// Whether nothing more is to be expected, or nobody would read it.
    fn is_over(&self) -> bool {
        self.printer.is_unread || self.search.as_ref().is_some_and(|search| search.stopped().is_some())
    }

    /// A run whose process was killed says nothing any more; whoever waits for it should know.
    fn tell_if_alone(&mut self) {
        if self.told || self.heard.elapsed() < QUIET || self.folder.is_worked_on() {
            return;
        }
        self.told = true;
        let path = self.folder.path().display();
        status(format_args!(
            "note: no process here works on {path}; still waiting\nhint: `packevolve resume {path}` goes on with it"
        ));
    }
}

/// Whether an event tells that a candidate was rejected.
fn is_rejection(event: &Event) -> bool {
    matches!(
        event,
        Event::CandidateEvaluated { evaluation: Evaluation::Rejected { .. }, .. }
            | Event::Refuted { evaluation: Evaluation::Rejected { .. }, .. }
    )
}

fn attempt_of(run: &Run, candidate: CandidateId) -> Option<u64> {
    run.entries.iter().find_map(|entry| match &entry.event {
        Event::CandidateCreated(created) if created.candidate == candidate => Some(created.attempt),
        _ => None,
    })
}

/// Whether an event is about a candidate or the attempt that made it.
fn concerns(event: &Event, wanted: CandidateId, made_by: Option<u64>) -> bool {
    use crate::values::event::Asking;
    match event {
        Event::Selected { attempt, .. } => Some(*attempt) == made_by,
        Event::ModelAsked(asked) => made_by.is_some_and(|attempt| asked.asking == Asking::Proposal(attempt)),
        Event::CandidateCreated(created) => created.candidate == wanted,
        Event::CandidateEvaluated { candidate, .. }
        | Event::Confirmed { candidate, .. }
        | Event::Refuted { candidate, .. } => *candidate == wanted,
        _ => false,
    }
}
