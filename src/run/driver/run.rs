//! Run: the loop of a live run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::{EvaluateRequest, Threshold, WindowSet};
use tokio::sync::mpsc;

use crate::judge::pool::{Finished, JudgePool};
use crate::proposer::draw::Proposers;
use crate::proposer::llm::pool::ModelReply;
use crate::run::driver::error::DriverError;
use crate::run::driver::models::Models;
use crate::run::driver::record::Record;
use crate::run::folder::RunFolder;
use crate::search::{Attempt, Next, Search, Subject, Task};
use crate::values::candidate::CandidateId;
use crate::values::event::{Declined, Event, Proposer, Selection, StopReason};

/// Number of the baseline program if it is not candidate 0; keys its order of rows and items.
const BASELINE_NUMBER: u64 = u64::MAX;

pub struct Driver<'a> {
    pub(super) record: Record<'a>,
    pub(super) models: Models,
    pub(super) proposers: Proposers,
    pub(super) judges: JudgePool<Task>,
    pub(super) in_flight: BTreeSet<Task>,
    pub(super) signals: mpsc::Receiver<()>,
    pub(super) began: Instant,
    /// The working time of earlier processes.
    pub(super) before: Duration,
}

enum DriverEvent {
    Finished(Box<Finished<Task>>),
    ModelReply(Box<ModelReply>),
    Signal,
    TimeIsUp,
    PauseIsOver,
}

impl Driver<'_> {
    /// Runs to the end, and returns its reason.
    ///
    /// # Errors
    /// The harness, its machine or a judge failed; the run can be resumed.
    pub async fn run(&mut self) -> Result<StopReason, DriverError> {
        self.models.pause_broken(&mut self.record)?;
        for attempt in self.record.search.open_attempts().to_vec() {
            self.attempt(&attempt)?;
        }
        self.models.account_for_summary(&mut self.record)?;
        let mut stopping = None;
        loop {
            if stopping.is_none() {
                stopping = self.stop_reason()?;
            }
            if let (Some(reason), true) = (stopping, self.in_flight.is_empty()) {
                self.models.abandon(&mut self.record)?;
                self.record.finish(reason)?;
                return Ok(reason);
            }
            self.record.sync()?;
            match self.next_event(stopping.is_none()).await {
                DriverEvent::Finished(done) => self.finish(*done)?,
                DriverEvent::ModelReply(answer) => self.models.answered(&mut self.record, *answer)?,
                DriverEvent::Signal if stopping == Some(StopReason::Interrupted) => return Err(DriverError::Aborted),
                DriverEvent::Signal => stopping = self.stop(StopReason::Interrupted)?,
                DriverEvent::TimeIsUp => stopping = self.stop(StopReason::WallTime)?,
                DriverEvent::PauseIsOver => self.models.wake(&mut self.record)?,
            }
        }
    }

    /// The reason to stop now. Without one, every free judge and model has work.
    fn stop_reason(&mut self) -> Result<Option<StopReason>, DriverError> {
        if self.record.folder.stop_file().exists() {
            return self.stop(StopReason::StopFile);
        }
        if self.time_left().is_zero() {
            return self.stop(StopReason::WallTime);
        }
        self.models.summarise(&mut self.record)?;
        self.start_work()
    }

    /// Starts nothing more, and waits only for running evaluations.
    fn stop(&mut self, reason: StopReason) -> Result<Option<StopReason>, DriverError> {
        self.record.stopping(reason);
        self.models.abandon(&mut self.record)?;
        Ok(Some(reason))
    }

    /// Waits for the next event; once the run is stopping, only evaluations and signals count.
    async fn next_event(&mut self, is_going_on: bool) -> DriverEvent {
        let (time_left, pause) = (self.time_left(), self.models.pause_left());
        tokio::select! {
            done = self.judges.done() => DriverEvent::Finished(Box::new(done)),
            Some(()) = self.signals.recv() => DriverEvent::Signal,
            answer = self.models.done(), if is_going_on => DriverEvent::ModelReply(Box::new(answer)),
            () = sleep(time_left), if is_going_on => DriverEvent::TimeIsUp,
            () = sleep(pause), if is_going_on => DriverEvent::PauseIsOver,
        }
    }

    /// Gives work to every free judge and model; the reason to stop, if there is one.
    fn start_work(&mut self) -> Result<Option<StopReason>, DriverError> {
        loop {
            while let Some(task) = self.next_task() {
                self.dispatch(task)?;
            }
            if let Some(reason) = self.models.used_up() {
                // The candidates that were paid for are measured first.
                let is_settled = self.in_flight.is_empty() && self.record.search.tasks().next().is_none();
                return Ok(is_settled.then_some(reason));
            }
            match self.record.search.next() {
                Next::Attempt(attempt) if self.judges.has_free() || model(&attempt.selection).is_some() => {
                    let Attempt { number, selection } = attempt.clone();
                    self.record.add(&Event::Selected { attempt: number, selection })?;
                    self.attempt(&attempt)?;
                }
                Next::Attempt(_) | Next::Wait => return Ok(None),
                Next::Stop(reason) => return Ok(Some(reason)),
            }
        }
    }

    /// The next measurement, if a judge is free.
    fn next_task(&self) -> Option<Task> {
        let mut tasks = self.record.search.tasks();
        tasks.find(|task| !self.in_flight.contains(task)).filter(|_| self.judges.has_free())
    }

    /// Carries out an attempt: it makes a candidate or is declined, or a model's answer decides that later.
    fn attempt(&mut self, attempt: &Attempt) -> Result<(), DriverError> {
        if let Some(model) = model(&attempt.selection) {
            return self.models.ask(&mut self.record, model, attempt);
        }
        let record = &mut self.record;
        match self.proposers.draw(&record.search, attempt, |candidate| record.program(candidate))? {
            Some(draft) => record.take(attempt, draft),
            None => record.decline(attempt.number, None, Declined::NothingNew),
        }
    }

    fn dispatch(&mut self, task: Task) -> Result<(), DriverError> {
        let request = self.request(task)?;
        self.in_flight.insert(task);
        self.judges.dispatch(task, request);
        Ok(())
    }

    fn request(&self, task: Task) -> Result<EvaluateRequest, DriverError> {
        let search = &self.record.search;
        let (origin, evaluation) = (search.origin(), &search.settings().evaluation);
        let (candidate, program) = match task.subject {
            Subject::Baseline if search.baseline_is_seed() => (CandidateId::SEED.0, origin.baseline.clone()),
            Subject::Baseline => (BASELINE_NUMBER, origin.baseline.clone()),
            Subject::Candidate(candidate) => (candidate.0, self.record.program(candidate)?),
        };
        let known = match task.subject {
            Subject::Baseline => None,
            Subject::Candidate(candidate) => Some(self.record.known(candidate)),
        };
        // Baseline and seed program run in full: the others are compared with them on the windows that both have seen.
        let budget = evaluation.budget_seconds.filter(|_| known.is_some_and(|known| known.proposer.is_some()));
        let threshold = known.filter(|_| task.windows == WindowSet::Search).and_then(|known| known.outclassed_below);
        let outclassed = threshold.zip(search.baseline()).map(|(score, baseline)| Threshold {
            score,
            baseline: baseline.clone(),
            weights: evaluation.weights,
        });
        Ok(EvaluateRequest {
            candidate,
            file_name: origin.file_name.clone(),
            program,
            windows: task.windows,
            budget_seconds: budget,
            limits: known.map(|_| evaluation.limits.times(search.baseline())),
            outclassed,
            rebalance: task.windows == WindowSet::HeldOut,
        })
    }

    fn finish(&mut self, done: Finished<Task>) -> Result<(), DriverError> {
        let Finished { task, evaluation } = done;
        self.in_flight.remove(&task);
        let event = match (task.subject, task.windows, evaluation?) {
            (Subject::Candidate(candidate), WindowSet::Search, evaluation) => {
                Event::CandidateEvaluated { candidate, evaluation }
            }
            (Subject::Candidate(candidate), WindowSet::HeldOut, evaluation) => {
                self.record.search.ruling(candidate, evaluation)
            }
            (Subject::Baseline, WindowSet::Search, Evaluation::Measured { measurement }) => {
                Event::BaselineEvaluated { measurement }
            }
            (Subject::Baseline, WindowSet::HeldOut, Evaluation::Measured { measurement }) => {
                Event::BaselineHeldOut { measurement }
            }
            (Subject::Baseline, _, Evaluation::Rejected { rejection, .. }) => {
                return Err(DriverError::Baseline(format!("it {rejection}")));
            }
            (Subject::Baseline, _, Evaluation::Outclassed { .. }) => {
                unreachable!("BUG: the baseline has no threshold")
            }
        };
        self.record.add(&event)
    }

    pub fn search(&self) -> &Search {
        &self.record.search
    }

    /// The final state; judges, journal and archive are closed.
    pub fn into_search(self) -> Search {
        self.record.search
    }

    pub fn folder(&self) -> &RunFolder {
        &self.record.folder
    }

    fn time_left(&self) -> Duration {
        let limit = self.record.search.settings().search.wall_seconds;
        let used = self.before.saturating_add(self.began.elapsed());
        limit.map_or(Duration::MAX, |limit| Duration::from_secs_f64(limit).saturating_sub(used))
    }
}

/// Sleeps; for ever if there is no limit.
async fn sleep(time: Duration) {
    // A timer of tokio cannot hold Duration::MAX.
    tokio::time::sleep(time.min(Duration::from_secs(1 << 25))).await;
}

/// The language model of a selection.
fn model(selection: &Selection) -> Option<usize> {
    match selection.proposer {
        Proposer::Model(model) => Some(model),
        _ => None,
    }
}
