//! Run: the loop of a live run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use packevolve_contract::evaluation::Evaluation;
use tokio::sync::mpsc;

use crate::judge::client::JudgeError;
use crate::judge::pool::{Finished, JudgePool, Measured, Order};
use crate::proposer::draw::Proposers;
use crate::proposer::llm::pool::ModelReply;
use crate::run::driver::error::DriverError;
use crate::run::driver::models::Models;
use crate::run::driver::record::Record;
use crate::run::folder::RunFolder;
use crate::run::request::{baseline_request, duel_request, evaluate_request};
use crate::search::{Attempt, Next, Search, Task};
use crate::values::candidate::CandidateId;
use crate::values::event::{Declined, Event, Proposer, Selection, StopReason};

pub struct Driver<'a> {
    pub(super) record: Record<'a>,
    pub(super) models: Models,
    pub(super) proposers: Proposers,
    pub(super) judges: JudgePool<Task>,
    pub(super) in_flight: BTreeSet<Task>,
    /// Whether the judge broke in the latest duel.
    pub(super) lost_duel: bool,
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
        if let Task::Duel(contender) = task {
            self.start_duel(contender)?;
        }
        let order = self.order(task)?;
        self.in_flight.insert(task);
        self.judges.dispatch(task, order);
        Ok(())
    }

    /// The windows of a duel exist only from here on. Its seed is on the disk before the judge knows it.
    fn start_duel(&mut self, contender: CandidateId) -> Result<(), DriverError> {
        let best = self.record.search.opponent(contender).expect("BUG: a contender has someone to beat").candidate;
        self.record.add(&Event::DuelStarted { contender, best, seed: rand::random() })?;
        self.record.sync()
    }

    fn order(&self, task: Task) -> Result<Order, DriverError> {
        let (search, program) = (&self.record.search, |candidate| self.record.program(candidate));
        Ok(match task {
            Task::Baseline => Order::Evaluate(Box::new(baseline_request(search))),
            Task::Evaluate(candidate) => {
                Order::Evaluate(Box::new(evaluate_request(search, candidate, program(candidate)?)))
            }
            Task::Duel(_) => {
                let duel = search.duel().expect("BUG: a duel starts before it is measured");
                let (contender, best) = (program(duel.contender)?, program(duel.best)?);
                Order::Duel(Box::new(duel_request(search, duel, contender, best)))
            }
        })
    }

    fn finish(&mut self, done: Finished<Task>) -> Result<(), DriverError> {
        let Finished { task, measured } = done;
        self.in_flight.remove(&task);
        let is_duel = matches!(task, Task::Duel(_));
        let measured = match measured {
            // It starts again with another seed.
            Err(error) if is_duel && !self.lost_duel => {
                tracing::warn!(%error, "the duel starts again");
                self.lost_duel = true;
                return Ok(());
            }
            measured => measured?,
        };
        self.lost_duel &= !is_duel;
        let event = match (task, measured) {
            (Task::Evaluate(candidate), Measured::Evaluation(evaluation)) => {
                Event::CandidateEvaluated { candidate, evaluation: *evaluation }
            }
            (Task::Duel(contender), Measured::Duel(duel)) => Event::DuelEnded { contender, duel },
            (Task::Baseline, Measured::Evaluation(evaluation)) => baseline_evaluated(*evaluation)?,
            (_, other) => return Err(JudgeError::Answer(format!("{other:?}")).into()),
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

fn baseline_evaluated(evaluation: Evaluation) -> Result<Event, DriverError> {
    match evaluation {
        Evaluation::Measured { measurement } => {
            Ok(Event::BaselineEvaluated { measurement, inconsistencies: Vec::new() })
        }
        Evaluation::Inconsistent { inconsistencies, measurement } => {
            Ok(Event::BaselineEvaluated { measurement, inconsistencies })
        }
        Evaluation::Rejected { rejection, .. } => Err(DriverError::Baseline(format!("it {rejection}"))),
        Evaluation::Outclassed { .. } => unreachable!("BUG: the baseline has no threshold"),
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
