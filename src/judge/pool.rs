//! The pool of judges that evaluate in parallel, each on a CPU of its own.

use std::fmt;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::{DuelRequest, EvaluateRequest, Ready, Session};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::judge::client::{Judge, JudgeError};

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

#[derive(Debug)]
pub struct Finished<T> {
    pub task: T,
    pub measured: Result<Measured, JudgeError>,
}

/// Dropping the pool ends its judges. `T` identifies the caller's tasks.
#[derive(Debug)]
pub struct JudgePool<T> {
    ready: Ready,
    orders: Vec<mpsc::Sender<(T, Order)>>,
    free: Vec<usize>,
    results: mpsc::Receiver<(usize, Finished<T>)>,
    /// Dropped with the pool.
    _tasks: JoinSet<()>,
}

impl<T: fmt::Debug + Send + 'static> JudgePool<T> {
    /// Starts `count` judges in parallel, each with the session for its CPU and without the `hidden` environment
    /// variables, and waits until all are ready.
    pub async fn open(
        count: usize,
        hidden: &[String],
        session: impl Fn(Option<usize>) -> Session,
    ) -> Result<Self, JudgeError> {
        let cpus = own_cpus(count);
        let mut opening = JoinSet::new();
        for slot in 0..count {
            let (session, hidden) = (session(cpus.get(slot).copied()), hidden.to_vec());
            opening.spawn(async move { Judge::open(session, &hidden).await });
        }
        let mut judges = Vec::new();
        while let Some(judge) = opening.join_next().await {
            judges.push(judge.expect("BUG: opening a judge does not panic")?);
        }
        let ready = judges.first().expect("BUG: there is at least one slot").ready().clone();
        let (sender, results) = mpsc::channel(count);
        let mut tasks = JoinSet::new();
        let mut orders = Vec::new();
        for (slot, judge) in judges.into_iter().enumerate() {
            let (order, inbox) = mpsc::channel(1);
            tasks.spawn(serve(slot, judge, inbox, sender.clone()));
            orders.push(order);
        }
        Ok(Self { ready, orders, free: (0..count).rev().collect(), results, _tasks: tasks })
    }

    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Starts a measurement on a free judge; [`JudgePool::done`] returns the result.
    pub fn dispatch(&mut self, task: T, order: Order) {
        let slot = self.free.pop().expect("BUG: dispatched without a free slot");
        self.orders[slot].try_send((task, order)).expect("BUG: a free slot takes an order");
    }

    pub async fn done(&mut self) -> Finished<T> {
        let (slot, done) = self.results.recv().await.expect("BUG: slots outlive their results");
        self.free.push(slot);
        done
    }
}

async fn serve<T>(
    slot: usize,
    mut judge: Judge,
    mut inbox: mpsc::Receiver<(T, Order)>,
    results: mpsc::Sender<(usize, Finished<T>)>,
) {
    while let Some((task, order)) = inbox.recv().await {
        let measured = match order {
            Order::Evaluate(request) => judge.evaluate(*request).await.map(|done| Measured::Evaluation(Box::new(done))),
            Order::Duel(request) => judge.duel(*request).await.map(|done| Measured::Duel(Box::new(done))),
        };
        if results.send((slot, Finished { task, measured })).await.is_err() {
            return;
        }
    }
}

/// A CPU for each slot, from those that this process may use; none if there are too few.
fn own_cpus(slots: usize) -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    let allowed: Vec<usize> = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect();
    if allowed.len() < slots { Vec::new() } else { allowed }
}
