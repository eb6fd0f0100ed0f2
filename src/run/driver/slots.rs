//! Slots: the judges of a live run: which of them are free, what each one measures, and what follows when one is lost. It
//! records every change, so that `replay` sees the same slots.

use std::collections::BTreeMap;
use std::time::Duration;

use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::{Ready, Session};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::judge::client::JudgeError;
use crate::judge::pool::{JudgePool, Measured, News, Order, Report};
use crate::judge::unlike::{Unlike, other_device, unusable};
use crate::run::driver::error::DriverError;
use crate::run::driver::record::Record;
use crate::run::request::baseline_request;
use crate::search::Task;
use crate::values::event::Event;
use crate::values::place::Place;
use crate::values::settings::Settings;

/// How long a run waits at its start for the other slots, once one of the first place is ready.
const JOINED: Duration = Duration::from_secs(30);
/// The judge breaks whenever it measures this task, so the run cannot continue.
const MOST_LOSSES: u32 = 5;

/// What a slot is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// The slot measures the baseline for itself, before it opens.
    Baseline,
    Task(Task),
}

pub(super) struct Slots {
    settings: Settings,
    pool: JudgePool<Job>,
    /// The first judge of the first place.
    first: Ready,
    /// Slots with a judge that no event has opened yet.
    ready: BTreeMap<usize, Ready>,
    /// Losses that no event tells yet.
    failed: Vec<(usize, JudgeError)>,
    /// The last one was free last.
    free: Vec<usize>,
    in_flight: BTreeMap<Task, usize>,
    /// How often the judge was lost that measured a task.
    losses: BTreeMap<Task, u32>,
}

/// A measurement that has ended.
pub(super) struct Ended {
    pub task: Task,
    pub slot: usize,
    pub measured: Measured,
}

impl Slots {
    /// Starts all judges, and waits for one of the first place, and some time for the others.
    ///
    /// # Errors
    /// A judge cannot be used, or none of the first place is there.
    pub(super) async fn start(
        settings: &Settings,
        session: &Session,
        signals: &mut mpsc::Receiver<()>,
    ) -> Result<Self, DriverError> {
        let pool = JudgePool::new(settings, session, &settings.llm.key_variables());
        (0..settings.slots()).for_each(|slot| pool.open(slot, Duration::ZERO));
        let mut slots = Self {
            settings: settings.clone(),
            pool,
            first: Ready::default(),
            ready: BTreeMap::new(),
            failed: Vec::new(),
            free: Vec::new(),
            in_flight: BTreeMap::new(),
            losses: BTreeMap::new(),
        };
        let gathered = tokio::select! {
            gathered = slots.gather() => gathered,
            Some(()) = signals.recv() => Err(DriverError::NotStarted),
        };
        match gathered {
            Ok(()) => Ok(slots),
            Err(error) => {
                slots.close().await;
                Err(error)
            }
        }
    }

    async fn gather(&mut self) -> Result<(), DriverError> {
        let in_first_place = self.settings.judges.first().map_or(0, |place| place.slots);
        let mut until: Option<Instant> = None;
        while self.ready.len() + self.failed.len() < self.settings.slots() {
            let Report { slot, news } = tokio::select! {
                report = self.pool.next() => report,
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
            };
            match news {
                News::Opened(ready) => {
                    if slot < in_first_place {
                        until.get_or_insert(Instant::now() + JOINED);
                    }
                    self.ready.insert(slot, *ready);
                }
                News::Lost(_, error) if error.is_lasting() => return Err(self.at_place(slot, error)),
                News::Lost(_, error) => self.failed.push((slot, error)),
                News::Measured(..) => unreachable!("BUG: nothing was asked yet"),
            }
            let in_first = |(slot, _): &(usize, JudgeError)| *slot < in_first_place;
            if self.failed.iter().filter(|failed| in_first(failed)).count() == in_first_place {
                let last = self.failed.iter().position(in_first).expect("BUG: the first place has a slot");
                let (slot, error) = self.failed.swap_remove(last);
                return Err(self.at_place(slot, error));
            }
        }
        self.first = self.ready.values().next().expect("BUG: a slot of the first place is ready").clone();
        self.ready.iter().try_for_each(|(slot, ready)| self.fits(*slot, ready, &self.first.loads_digest))
    }

    fn at_place(&self, slot: usize, error: JudgeError) -> DriverError {
        let place = self.settings.place_of(slot);
        if place.launch.is_empty() { error.into() } else { DriverError::AtPlace { place: place.name(), source: error } }
    }

    fn fits(&self, slot: usize, ready: &Ready, loads: &str) -> Result<(), DriverError> {
        let place = self.settings.place_of(slot);
        match self.unlike(place, ready, loads) {
            None => Ok(()),
            Some(unlike) => Err(DriverError::Unlike { place: place.name(), unlike }),
        }
    }

    fn unlike(&self, place: &Place, ready: &Ready, loads: &str) -> Option<Unlike> {
        let other = || other_device(&self.first, ready).filter(|_| !place.mixed);
        unusable(loads, self.settings.evaluation.sandbox, ready).or_else(other)
    }

    /// The first judge of the first place.
    pub(super) fn first(&self) -> &Ready {
        &self.first
    }

    /// Records what the start has come to.
    pub(super) fn announce(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        for (slot, error) in std::mem::take(&mut self.failed) {
            self.lost(record, slot, None, &error)?;
            self.start_again(record, slot);
        }
        for (slot, ready) in std::mem::take(&mut self.ready) {
            self.opened(record, slot, ready)?;
        }
        // The first one is used first.
        self.free.reverse();
        Ok(())
    }

    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether nothing of the search is being measured.
    pub(super) fn are_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// What is being measured, each with its slot.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = (Task, usize)> {
        self.in_flight.iter().map(|(task, slot)| (*task, *slot))
    }

    pub(super) fn is_in_flight(&self, task: Task) -> bool {
        self.in_flight.contains_key(&task)
    }

    /// The slot that the next measurement is for.
    pub(super) fn next_free(&self) -> Option<usize> {
        self.free.last().copied()
    }

    /// Starts a measurement in the [`next_free`](Self::next_free) slot.
    pub(super) fn dispatch(&mut self, task: Task, order: Order) {
        let slot = self.free.pop().expect("BUG: dispatched without a free slot");
        self.in_flight.insert(task, slot);
        self.pool.dispatch(slot, Job::Task(task), order);
    }

    /// Waits for what becomes of a slot next.
    pub(super) async fn next(&mut self) -> Report<Job> {
        self.pool.next().await
    }

    /// Records what became of a slot, and returns the measurement that has ended. A run that is not going on starts nothing
    /// more.
    pub(super) fn heard(
        &mut self,
        record: &mut Record<'_>,
        report: Report<Job>,
        is_going_on: bool,
    ) -> Result<Option<Ended>, DriverError> {
        let Report { slot, news } = report;
        match news {
            News::Measured(Job::Task(task), measured) => {
                self.in_flight.remove(&task);
                self.losses.remove(&task);
                self.free.push(slot);
                return Ok(Some(Ended { task, slot, measured }));
            }
            News::Lost(Some(Job::Task(task)), error) => {
                self.in_flight.remove(&task);
                let losses = self.losses.entry(task).or_default();
                *losses += 1;
                if *losses >= MOST_LOSSES {
                    return Err(self.at_place(slot, error));
                }
                self.lost(record, slot, Some(task), &error)?;
                if is_going_on {
                    self.start_again(record, slot);
                }
            }
            _ if !is_going_on => {}
            News::Lost(_, error) => {
                self.lost(record, slot, None, &error)?;
                self.start_again(record, slot);
            }
            News::Opened(ready) => self.opened(record, slot, *ready)?,
            News::Measured(Job::Baseline, measured) => self.measured_for_itself(record, slot, measured)?,
        }
        Ok(None)
    }

    /// A judge is ready. One that is unlike the one that measured the baseline measures it for itself, once the run has a
    /// baseline.
    fn opened(&mut self, record: &mut Record<'_>, slot: usize, ready: Ready) -> Result<(), DriverError> {
        let origin = record.search.origin();
        if let Some(unlike) = self.unlike(self.settings.place_of(slot), &ready, &origin.judge.loads_digest) {
            return self.refuse(record, slot, unlike.to_string());
        }
        let is_known = record.search.baseline().is_some();
        let standard = if is_known { record.search.places().baseline_judge() } else { &self.first };
        if other_device(standard, &ready).is_none() {
            let judge = (ready != origin.judge).then(|| Box::new(ready));
            record.add(&Event::SlotOpened { slot, judge, baseline: None })?;
            self.free.push(slot);
            return Ok(());
        }
        self.ready.insert(slot, ready);
        if is_known {
            let request = baseline_request(&record.search);
            self.pool.dispatch(slot, Job::Baseline, Order::Evaluate(Box::new(request)));
        }
        Ok(())
    }

    /// The run has a baseline: judges that wait for that measure it for themselves.
    pub(super) fn baseline_is_known(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        let waiting = std::mem::take(&mut self.ready);
        waiting.into_iter().try_for_each(|(slot, ready)| self.opened(record, slot, ready))
    }

    fn measured_for_itself(
        &mut self,
        record: &mut Record<'_>,
        slot: usize,
        measured: Measured,
    ) -> Result<(), DriverError> {
        let ready = self.ready.remove(&slot).expect("BUG: the slot waits for its baseline");
        let evaluation = match measured {
            Measured::Evaluation(evaluation) => *evaluation,
            Measured::Duel(duel) => return Err(JudgeError::Answer(format!("{duel:?}")).into()),
        };
        let measurement = match evaluation {
            Evaluation::Measured { measurement } | Evaluation::Inconsistent { measurement, .. } => measurement,
            Evaluation::Rejected { rejection, .. } => {
                return self.refuse(record, slot, format!("it rejects the baseline program, which {rejection}"));
            }
            Evaluation::Outclassed { .. } => unreachable!("BUG: the baseline has no threshold"),
        };
        let (judge, baseline) = (Some(Box::new(ready)), Some(Box::new(measurement)));
        record.add(&Event::SlotOpened { slot, judge, baseline })?;
        self.free.push(slot);
        Ok(())
    }

    fn refuse(&mut self, record: &mut Record<'_>, slot: usize, reason: String) -> Result<(), DriverError> {
        self.pool.retire(slot);
        record.add(&Event::SlotLost { slot, reason, task: None, refused: true })
    }

    /// Records a loss.
    fn lost(
        &mut self,
        record: &mut Record<'_>,
        slot: usize,
        task: Option<Task>,
        error: &JudgeError,
    ) -> Result<(), DriverError> {
        self.ready.remove(&slot);
        self.free.retain(|free| *free != slot);
        let (reason, refused) = (error.to_string(), error.is_lasting());
        tracing::warn!(slot, reason, "lost a judge");
        record.add(&Event::SlotLost { slot, reason, task, refused })
    }

    /// Starts a lost slot again after a while, unless it is left out.
    fn start_again(&mut self, record: &Record<'_>, slot: usize) {
        let places = record.search.places();
        if places.is_left_out(slot) {
            return self.pool.retire(slot);
        }
        let wait = self.settings.place_of(slot).backoff_seconds(places.losses(slot));
        self.pool.open(slot, Duration::from_secs_f64(wait));
    }

    /// Ends all judges, wherever they are.
    pub(super) async fn close(self) {
        self.pool.close().await;
    }
}
