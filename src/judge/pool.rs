//! The pool of judges that measure in parallel, one a slot, each at the place of its slot. Decides nothing: it opens a slot
//! when it is asked to, and reports what becomes of it.

use std::fmt;
use std::time::Duration;

use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::{DuelRequest, EvaluateRequest, Ready, Session};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::judge::client::{Judge, JudgeError};
use crate::values::place::Place;
use crate::values::settings::Settings;

/// What a judge is asked to measure.
#[derive(Debug)]
pub enum Order {
    Evaluate(Box<EvaluateRequest>),
    Duel(Box<DuelRequest>),
}

/// The answer to an order of the same kind.
#[derive(Debug)]
pub enum Measured {
    Evaluation(Box<Evaluation>),
    Duel(Box<Duel>),
}

/// What became of a slot.
#[derive(Debug)]
pub struct Report<T> {
    pub slot: usize,
    pub news: News<T>,
}

#[derive(Debug)]
pub enum News<T> {
    /// A judge is ready.
    Opened(Box<Ready>),
    Measured(T, Measured),
    /// The judge is gone, or did not start, with the task that it had.
    Lost(Option<T>, JudgeError),
}

enum Command<T> {
    /// Starts a judge after this time.
    Open(Duration),
    Measure(T, Order),
}

/// Dropping the pool kills what it has started on this machine; [`JudgePool::close`] ends judges everywhere. `T`
/// identifies the caller's tasks.
#[derive(Debug)]
pub struct JudgePool<T> {
    /// By slot; `None` once it is retired.
    slots: Vec<Option<mpsc::Sender<Command<T>>>>,
    reports: mpsc::Receiver<Report<T>>,
    keepers: JoinSet<()>,
}

impl<T: fmt::Debug + Send + 'static> JudgePool<T> {
    /// A closed slot for each slot of the settings. Judges start without the `hidden` environment variables.
    pub fn new(settings: &Settings, session: &Session, hidden: &[String]) -> Self {
        let (sender, reports) = mpsc::channel(settings.slots());
        let mut keepers = JoinSet::new();
        let mut slots = Vec::new();
        for place in &settings.judges {
            for number in 0..place.slots {
                let (commands, inbox) = mpsc::channel(1);
                let session = Session { cpu: Some(number), ..session.clone() };
                let keeper = Keeper { place: place.clone(), session, hidden: hidden.to_vec(), judge: None };
                keepers.spawn(keep(slots.len(), keeper, inbox, sender.clone()));
                slots.push(Some(commands));
            }
        }
        Self { slots, reports, keepers }
    }

    /// Starts a judge in a closed slot after this time; [`JudgePool::next`] reports what becomes of it.
    pub fn open(&self, slot: usize, after: Duration) {
        self.command(slot, Command::Open(after));
    }

    /// Starts a measurement in an open slot; [`JudgePool::next`] reports what becomes of it.
    pub fn dispatch(&self, slot: usize, task: T, order: Order) {
        self.command(slot, Command::Measure(task, order));
    }

    fn command(&self, slot: usize, command: Command<T>) {
        let commands = self.slots[slot].as_ref().expect("BUG: a retired slot is not used");
        assert!(commands.try_send(command).is_ok(), "BUG: a slot has one command at a time");
    }

    /// Ends the judge of a slot for good.
    pub fn retire(&mut self, slot: usize) {
        self.slots[slot] = None;
    }

    /// Waits for what becomes of a slot next.
    pub async fn next(&mut self) -> Report<T> {
        match self.reports.recv().await {
            Some(report) => report,
            // All slots are retired.
            None => std::future::pending().await,
        }
    }

    /// Ends all judges, here and elsewhere, and waits until they have ended.
    pub async fn close(mut self) {
        self.slots.clear();
        self.reports.close();
        while self.keepers.join_next().await.is_some() {}
    }
}

/// What a slot needs to start its judge.
struct Keeper {
    place: Place,
    session: Session,
    hidden: Vec<String>,
    judge: Option<Judge>,
}

/// Carries out the commands of a slot, until there are no more or none can be heard.
async fn keep<T>(
    slot: usize,
    mut keeper: Keeper,
    mut inbox: mpsc::Receiver<Command<T>>,
    reports: mpsc::Sender<Report<T>>,
) {
    while let Some(command) = inbox.recv().await {
        let news = tokio::select! {
            news = keeper.obey(command) => news,
            // Only the end comes while a command is carried out.
            _ = inbox.recv() => break,
        };
        if reports.send(Report { slot, news }).await.is_err() {
            break;
        }
    }
    if let Some(judge) = keeper.judge.take() {
        judge.close().await;
    }
}

impl Keeper {
    async fn obey<T>(&mut self, command: Command<T>) -> News<T> {
        match command {
            Command::Open(after) => {
                tokio::time::sleep(after).await;
                match self.start().await {
                    Ok(ready) => News::Opened(ready),
                    Err(error) => self.lost(None, error).await,
                }
            }
            Command::Measure(task, order) => match self.measure(order).await {
                Ok(measured) => News::Measured(task, measured),
                Err(error) => self.lost(Some(task), error).await,
            },
        }
    }

    async fn start(&mut self) -> Result<Box<Ready>, JudgeError> {
        let judge = self.judge.insert(Judge::start(&self.place, &self.hidden)?);
        judge.greet(self.session.clone()).await?;
        Ok(Box::new(judge.ready().clone()))
    }

    async fn measure(&mut self, order: Order) -> Result<Measured, JudgeError> {
        let judge = self.judge.as_mut().expect("BUG: a slot opens before it measures");
        Ok(match order {
            Order::Evaluate(request) => Measured::Evaluation(Box::new(judge.evaluate_once(*request).await?)),
            Order::Duel(request) => Measured::Duel(Box::new(judge.duel(*request).await?)),
        })
    }

    /// Ends what is left of the judge.
    async fn lost<T>(&mut self, task: Option<T>, error: JudgeError) -> News<T> {
        if let Some(judge) = self.judge.take() {
            judge.close().await;
        }
        News::Lost(task, error)
    }
}
