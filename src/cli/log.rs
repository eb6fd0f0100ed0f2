//! `packevolve log`.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::Programs;
use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::format::Format;
use crate::journal::{self, Entry, Reader};
use crate::run::answered::Answers;
use crate::run::fold::Fold;
use crate::run::folder::{RunError, RunFolder};
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::{Asking, Event};
use crate::values::task::Task;
use crate::view::inspect::{self, FORMAT};
use crate::view::output::{is_read, print, status};
use crate::view::terminal::Terminal;

/// Interval between two reads of a journal.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Time without an event after which `log -f` checks that the run is live.
const QUIET: Duration = Duration::from_secs(5);

/// Print the events of a run
#[derive(Debug, Args)]
pub struct Log {
    #[command(flatten)]
    run: RunArgs,
    /// Wait for further events until the run stops
    #[arg(short, long)]
    follow: bool,
    /// Only events of this candidate: number, NAME, commit prefix, `best` or `seed`
    #[arg(long, value_name = "CANDIDATE", conflicts_with = "follow")]
    candidate: Option<String>,
    /// Only rejections, each with its reason
    #[arg(long)]
    rejected: bool,
    /// `json` prints one object a line
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve log --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct LogJson<'a> {
    format: u32,
    seq: u64,
    time: f64,
    event: &'a Event,
}

impl Log {
    pub fn run(&self) -> Result<(), CommandError> {
        if self.follow {
            return self.follow();
        }
        let run = self.run.open()?;
        let mut printer = self.printer(&run.folder);
        if let Some(wanted) = &self.candidate {
            let candidate = run.candidate(wanted)?;
            let created = run.programs.created(candidate)?;
            printer.wanted = Some((candidate, created.map(|created| created.attempt)));
        }
        for entry in Reader::<Event>::open(&run.folder.journal())? {
            printer.print(&entry?, &run.search, &run.programs)?;
            if printer.is_unread {
                break;
            }
        }
        Ok(())
    }

    fn printer(&self, folder: &RunFolder) -> Printer {
        Printer {
            format: self.format,
            terminal: Terminal::of_stdout(),
            is_cut: !self.rejected && self.candidate.is_none(),
            rejected: self.rejected,
            wanted: None,
            answers: Answers::of(folder),
            began: 0.0,
            is_unread: false,
        }
    }

    /// Prints events as they are written, until one says that the run has stopped.
    fn follow(&self) -> Result<(), CommandError> {
        let folder = self.run.folder()?;
        let mut reader: Reader<Event> = Reader::open(&folder.journal()).map_err(RunError::from)?;
        let (printer, fold) = (self.printer(&folder), Fold::new(folder.journal()));
        let mut follower = Follower { folder, printer, fold, is_over: false, last_event: Instant::now(), noted: false };
        loop {
            for entry in reader.by_ref() {
                follower.take(&entry.map_err(RunError::from)?)?;
            }
            if follower.is_over || follower.printer.is_unread || !is_read() {
                return Ok(());
            }
            follower.note_if_dead();
            thread::sleep(LOOK_EVERY);
        }
    }
}

struct Printer {
    format: Format,
    terminal: Terminal,
    /// Whether to cut lines at the width of the terminal; a filtered log prints them whole.
    is_cut: bool,
    rejected: bool,
    /// The candidate whose events to print, and the attempt that made it.
    wanted: Option<(CandidateId, Option<u64>)>,
    answers: Answers,
    /// Time of the first event.
    began: f64,
    /// Whether the reader of stdout is gone.
    is_unread: bool,
}

impl Printer {
    fn print(&mut self, entry: &Entry<Event>, search: &Search, programs: &Programs) -> Result<(), CommandError> {
        let Entry { seq, time, event, .. } = entry;
        let problem = self.answers.problem(event, programs);
        if *seq == 0 {
            self.began = *time;
        }
        let is_wanted = self.wanted.is_none_or(|(wanted, attempt)| concerns(event, wanted, attempt));
        if !is_wanted || self.rejected && !is_rejection(event) {
            return Ok(());
        }
        let line = match self.format {
            Format::Json => serde_json::to_string(&LogJson { format: FORMAT, seq: *seq, time: *time, event })
                .expect("BUG: events are JSON in the journal"),
            Format::Table => {
                let problem =
                    problem.map_or(String::new(), |problem| format!(", {}", inspect::unusable_text(&problem)));
                let whole = inspect::event_line(entry, self.began, search) + &problem;
                let line = if self.is_cut { self.terminal.cut(&whole) } else { whole };
                inspect::event_tone(event, search).map_or(line.clone(), |tone| self.terminal.paint(tone, &line))
            }
        };
        print(line + "\n")?;
        self.is_unread = !is_read();
        Ok(())
    }
}

struct Follower {
    folder: RunFolder,
    printer: Printer,
    fold: Fold,
    /// The run has stopped, and was not resumed.
    is_over: bool,
    /// Time of the last event.
    last_event: Instant,
    /// Whether the note that the run is not live has been printed.
    noted: bool,
}

impl Follower {
    fn take(&mut self, entry: &Entry<Event>) -> Result<(), CommandError> {
        self.fold.step(entry)?;
        let (search, programs) = self.fold.state();
        (self.last_event, self.noted, self.is_over) = (Instant::now(), false, search.stopped().is_some());
        self.printer.print(entry, search, programs)
    }

    /// Notes that the process of the run has died: its journal will not say so.
    fn note_if_dead(&mut self) {
        if self.noted || self.last_event.elapsed() < QUIET || journal::is_live(&self.folder.journal()) {
            return;
        }
        self.noted = true;
        let path = self.folder.path().display();
        status(format_args!(
            "note: no process on this machine is running {path}; still waiting\nhint: `packevolve resume --run {path}` continues it"
        ));
    }
}

fn is_rejection(event: &Event) -> bool {
    match event {
        Event::CandidateEvaluated { evaluation, .. } => evaluation.rejection().is_some(),
        Event::DuelEnded { duel, .. } => duel.contender.rejection().or(duel.best.rejection()).is_some(),
        _ => false,
    }
}

fn concerns(event: &Event, wanted: CandidateId, made_by: Option<u64>) -> bool {
    match event {
        Event::Selected { attempt, .. } => Some(*attempt) == made_by,
        Event::ModelAsked(asked) => made_by.is_some_and(|attempt| asked.asking == Asking::Proposal(attempt)),
        Event::CandidateCreated(created) => created.candidate == wanted,
        Event::CandidateEvaluated { candidate, .. }
        | Event::DuelStarted { contender: candidate, .. }
        | Event::DuelEnded { contender: candidate, .. }
        | Event::SlotLost {
            task: Some(Task::Evaluate(candidate) | Task::Complete(candidate) | Task::Duel(candidate)),
            ..
        } => *candidate == wanted,
        _ => false,
    }
}
