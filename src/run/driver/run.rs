//! Run: the loop of a live run.

use std::time::{Duration, Instant};

use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::EvaluateRequest;
use tokio::sync::mpsc;

use crate::judge::client::JudgeError;
use crate::judge::pool::{Measured, Order, Report};
use crate::proposer::draw::Proposers;
use crate::proposer::llm::pool::ModelReply;
use crate::run::driver::error::{DriverError, Role};
use crate::run::driver::models::Models;
use crate::run::driver::record::Record;
use crate::run::driver::slots::{Ended, Job, Slots};
use crate::run::fold::Run;
use crate::run::folder::RunFolder;
use crate::run::inbox::Inbox;
use crate::run::now::Now;
use crate::run::request::{baseline_request, duel_request, evaluate_request};
use crate::search::{Attempt, Next, Outcome, Search, Task};
use crate::values::candidate::CandidateId;
use crate::values::event::{Declined, Event, Proposer, Selection, StopReason};

/// How often a run that measures nothing looks for its stop file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub struct Driver<'a> {
    pub(super) record: Record<'a>,
    pub(super) models: Models,
    pub(super) proposers: Proposers,
    pub(super) slots: Slots,
    pub(super) inbox: Inbox,
    pub(super) now: Now,
    pub(super) signals: mpsc::Receiver<()>,
    pub(super) began: Instant,
    /// The working time of earlier processes.
    pub(super) before: Duration,
}

enum DriverEvent {
    Slot(Box<Report<Job>>),
    ModelReply(Box<ModelReply>),
    Signal,
    TimeIsUp,
    PauseIsOver,
    /// Nothing; but someone may have put the stop file there.
    Look,
}

impl Driver<'_> {
    /// Runs to the end, and returns its reason.
    ///
    /// # Errors
    /// The harness, its machine or a judge failed; the run can be resumed.
    pub async fn run(&mut self) -> Result<StopReason, DriverError> {
        self.check_known_seed()?;
        self.slots.announce(&mut self.record)?;
        self.models.switch_off_broken(&mut self.record)?;
        for attempt in self.record.search.open_attempts().to_vec() {
            self.attempt(&attempt)?;
        }
        self.models.account_for_summary(&mut self.record)?;
        let mut stopping = None;
        loop {
            if stopping.is_none() {
                stopping = self.stop_reason()?;
            }
            if stopping == Some(StopReason::WallTime) {
                self.complete()?;
            }
            if let (Some(reason), true) = (stopping, self.slots.are_idle()) {
                self.models.abandon(&mut self.record)?;
                self.record.finish(reason)?;
                self.now.end();
                return Ok(reason);
            }
            self.record.sync()?;
            self.now.show(self.slots.in_flight());
            match self.next_event(stopping.is_none()).await {
                DriverEvent::Slot(report) => {
                    if let Some(ended) = self.slots.heard(&mut self.record, *report, stopping.is_none())? {
                        self.finish(ended)?;
                    }
                }
                DriverEvent::ModelReply(answer) => self.models.heard(&mut self.record, *answer)?,
                DriverEvent::Signal if stopping == Some(StopReason::Interrupted) => return Err(DriverError::Aborted),
                DriverEvent::Signal => stopping = self.stop(StopReason::Interrupted)?,
                DriverEvent::TimeIsUp => stopping = self.stop(StopReason::WallTime)?,
                DriverEvent::PauseIsOver => self.models.wake(&mut self.record)?,
                DriverEvent::Look => {}
            }
        }
    }

    /// Ends a resumed run whose seed program was rejected before.
    fn check_known_seed(&self) -> Result<(), DriverError> {
        if !matches!(self.record.known(CandidateId::SEED).outcome, Some(Outcome::Rejected)) {
            return Ok(());
        }
        let evaluation = Run::open(self.folder().clone())?.evaluation(CandidateId::SEED)?;
        evaluation.map_or(Ok(()), check_seed)
    }

    /// The reason to stop now. Without one, every free judge and model has work.
    fn stop_reason(&mut self) -> Result<Option<StopReason>, DriverError> {
        if self.record.folder.stop_file().exists() {
            return self.stop(StopReason::StopFile);
        }
        if self.time_left().is_zero() {
            return self.stop(StopReason::WallTime);
        }
        self.take_in_letters()?;
        self.models.summarise(&mut self.record)?;
        let reason = self.start_work()?;
        // Once every judge has work: replay gives it to them before it sees the limit.
        let is_near = reason.is_none() && self.time_until_limit_is_near().is_zero();
        if is_near && self.see_limit(StopReason::WallTime)? { self.start_work() } else { Ok(reason) }
    }

    /// Has partial verdicts completed before a limit that the search does not see. Whether there are any.
    fn see_limit(&mut self, reason: StopReason) -> Result<bool, DriverError> {
        let search = &self.record.search;
        let is_news = search.partial().len() > 0 && !search.is_limit_near();
        if is_news {
            self.record.add(&Event::LimitNear { reason })?;
        }
        Ok(is_news)
    }

    /// Completes partial verdicts, though the time is used up. Starts nothing else.
    fn complete(&mut self) -> Result<(), DriverError> {
        self.see_limit(StopReason::WallTime)?;
        match self.next_task() {
            Some(task @ Task::Complete(_)) => self.dispatch(task),
            _ => Ok(()),
        }
    }

    /// Takes the proposals that a person has handed in. A letter is removed once its event is on the disk; one that was
    /// left behind by a crash in between is known by its name.
    fn take_in_letters(&mut self) -> Result<(), DriverError> {
        for given in self.inbox.letters() {
            let name = given.letter.clone();
            if self.record.search.candidate(given.parent).is_none() {
                self.inbox.refuse(&name, "there is no such parent");
                continue;
            }
            if !self.record.search.was_given(&name) {
                self.record.add(&Event::ProposalGiven(given))?;
                self.record.sync()?;
            }
            self.inbox.taken(&name);
        }
        Ok(())
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
        let limit_is_near = self.time_until_limit_is_near();
        tokio::select! {
            report = self.slots.next() => DriverEvent::Slot(Box::new(report)),
            Some(()) = self.signals.recv() => DriverEvent::Signal,
            answer = self.models.done(), if is_going_on => DriverEvent::ModelReply(Box::new(answer)),
            () = sleep(time_left), if is_going_on => DriverEvent::TimeIsUp,
            () = sleep(limit_is_near), if is_going_on => DriverEvent::Look,
            () = sleep(pause), if is_going_on => DriverEvent::PauseIsOver,
            () = sleep(LOOK_EVERY), if is_going_on && self.slots.are_idle() => DriverEvent::Look,
        }
    }

    /// Gives work to every free judge and model; the reason to stop, if there is one.
    fn start_work(&mut self) -> Result<Option<StopReason>, DriverError> {
        loop {
            while let Some(task) = self.next_task() {
                self.dispatch(task)?;
            }
            if let Some(reason) = self.models.used_up() {
                if self.see_limit(reason)? {
                    continue;
                }
                // The candidates that were paid for are measured first.
                let is_settled = self.slots.are_idle() && self.record.search.tasks().next().is_none();
                return Ok(is_settled.then_some(reason));
            }
            match self.record.search.next() {
                Next::Attempt(attempt) if self.slots.has_free() || model(&attempt.selection).is_some() => {
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
        tasks.find(|task| !self.slots.is_in_flight(*task)).filter(|_| self.slots.has_free())
    }

    /// Carries out an attempt: it makes a candidate or is declined, or a model's answer decides that later.
    fn attempt(&mut self, attempt: &Attempt) -> Result<(), DriverError> {
        if let Some(model) = model(&attempt.selection) {
            return self.models.ask(&mut self.record, model, attempt);
        }
        let record = &mut self.record;
        match self.proposers.draw(&record.search, attempt, |candidate| record.program(candidate))? {
            Some(draft) => record.take(attempt, draft).map(drop),
            None => record.decline(attempt.number, None, Declined::NothingNew),
        }
    }

    fn dispatch(&mut self, task: Task) -> Result<(), DriverError> {
        if let Task::Duel(contender) = task {
            self.start_duel(contender)?;
        }
        let order = self.order(task)?;
        self.slots.dispatch(task, order);
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
        let baseline = self.slots.next_free().and_then(|slot| search.baseline_of(slot));
        Ok(match task {
            Task::Baseline => Order::Evaluate(Box::new(baseline_request(search))),
            Task::Evaluate(candidate) | Task::Complete(candidate) => {
                let request = evaluate_request(search, baseline, candidate, program(candidate)?);
                let is_of_blocks = self.proposers.is_of_blocks(&request.program);
                Order::Evaluate(Box::new(EvaluateRequest { is_of_blocks, ..request }))
            }
            Task::Duel(_) => {
                let duel = search.duel().expect("BUG: a duel starts before it is measured");
                let (contender, best) = (program(duel.contender)?, program(duel.best)?);
                Order::Duel(Box::new(duel_request(
                    search,
                    baseline.expect("BUG: the baseline is measured first"),
                    duel,
                    contender,
                    best,
                )))
            }
        })
    }

    fn finish(&mut self, ended: Ended) -> Result<(), DriverError> {
        let Ended { task, slot, measured } = ended;
        let event = match (task, measured) {
            (Task::Evaluate(candidate) | Task::Complete(candidate), Measured::Evaluation(evaluation)) => {
                let is_measured = evaluation.measurement().is_some();
                let partial = is_measured && self.record.search.is_measured_partially(candidate);
                Event::CandidateEvaluated { candidate, slot, evaluation: *evaluation, partial }
            }
            (Task::Duel(contender), Measured::Duel(duel)) => Event::DuelEnded { contender, slot, duel },
            (Task::Baseline, Measured::Evaluation(evaluation)) => baseline_evaluated(slot, *evaluation)?,
            (_, other) => return Err(JudgeError::Answer(format!("{other:?}")).into()),
        };
        self.record.add(&event)?;
        if task == Task::Baseline {
            self.slots.baseline_is_known(&mut self.record)?;
        }
        if let Event::CandidateEvaluated { candidate: CandidateId::SEED, evaluation, .. } = event {
            self.record.sync()?;
            check_seed(evaluation)?;
        }
        Ok(())
    }

    pub fn search(&self) -> &Search {
        &self.record.search
    }

    /// Ends the judges, wherever they are, and returns the final state; journal and archive are closed.
    pub async fn close(self) -> Search {
        self.slots.close().await;
        self.record.search
    }

    pub fn folder(&self) -> &RunFolder {
        &self.record.folder
    }

    /// The time until what is left is needed to complete partial verdicts.
    fn time_until_limit_is_near(&self) -> Duration {
        let search = &self.record.search;
        let needed = Duration::try_from_secs_f64(search.completion_seconds()).unwrap_or(Duration::MAX);
        let is_settled = search.partial().len() == 0 || search.is_limit_near();
        if is_settled { Duration::MAX } else { self.time_left().saturating_sub(needed) }
    }

    fn time_left(&self) -> Duration {
        let limit = self.record.search.settings().search.wall_seconds;
        let used = self.before.saturating_add(self.began.elapsed());
        limit.map_or(Duration::MAX, |limit| Duration::from_secs_f64(limit).saturating_sub(used))
    }
}

/// A search has nothing to start from without a seed program that works.
fn check_seed(evaluation: Evaluation) -> Result<(), DriverError> {
    match evaluation {
        Evaluation::Rejected { rejection, evidence } => {
            Err(DriverError::Rejected { role: Role::Seed, rejection, evidence })
        }
        _ => Ok(()),
    }
}

fn baseline_evaluated(slot: usize, evaluation: Evaluation) -> Result<Event, DriverError> {
    match evaluation {
        Evaluation::Measured { measurement } => {
            Ok(Event::BaselineEvaluated { slot, measurement, inconsistencies: Vec::new() })
        }
        Evaluation::Inconsistent { inconsistencies, measurement } => {
            Ok(Event::BaselineEvaluated { slot, measurement, inconsistencies })
        }
        Evaluation::Rejected { rejection, evidence } => {
            Err(DriverError::Rejected { role: Role::Baseline, rejection, evidence })
        }
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
