//! The requests in flight, as [`slots`](crate::judge::pool) are the judges at work. Sends requests within each model's
//! limit on concurrency, and keeps the budget. Decides and records nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::proposer::llm::client::{Client, Exchange, Failure};
use crate::proposer::llm::conversation::Conversation;
use crate::proposer::llm::request::Request;
use crate::values::cost::{Budget, Charge, Limit, Reserve};
use crate::values::event::Asking;
use crate::values::llm_error::LlmError;
use crate::values::settings::LlmSettings;

#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// Index of the model in the settings.
    pub model: usize,
    pub asking: Asking,
    /// The conversation so far, in case the answer has to go back.
    pub conversation: Conversation,
    pub request: Request,
    pub repairs_left: u32,
}

impl ModelRequest {
    /// The conversation in the form in which it was sent.
    pub fn sent(&self) -> Conversation {
        Request::conversation(&self.request.body).expect("BUG: this request was made here")
    }
}

/// News of a request.
#[derive(Debug)]
pub enum ModelReply {
    /// A try failed; the request may be sent again.
    Failed(ModelRequest, Failure),
    /// It ended, with the answer or the error of its last try.
    Ended(ModelRequest, Result<Exchange, LlmError>),
}

/// The clients of all models and the requests in flight, which are dropped with the pool.
pub struct ModelPool {
    endpoints: Vec<Result<Arc<Endpoint>, LlmError>>,
    budget: Arc<Mutex<Budget>>,
    tasks: JoinSet<(u64, Result<Exchange, LlmError>)>,
    /// Failed tries, by the number of their request.
    failures: UnboundedReceiver<(u64, Failure)>,
    report: UnboundedSender<(u64, Failure)>,
    in_flight: BTreeMap<u64, (ModelRequest, Reservation)>,
    sent: u64,
}

struct Endpoint {
    client: Client,
    /// One permit for each concurrent request.
    permits: Semaphore,
}

impl ModelPool {
    /// A pool with earlier spending. Sends nothing.
    pub fn open(settings: &LlmSettings, spent: Charge) -> Self {
        let endpoint = |model| {
            let client = Client::open(model)?;
            Ok(Arc::new(Endpoint { permits: Semaphore::new(model.max_concurrent.min(Semaphore::MAX_PERMITS)), client }))
        };
        let (report, failures) = unbounded_channel();
        let limit = Limit::new(settings.budget_dollars, settings.budget_tokens);
        Self {
            endpoints: settings.models.iter().map(endpoint).collect(),
            budget: Arc::new(Mutex::new(Budget { spent, ..Budget::new(limit) })),
            tasks: JoinSet::new(),
            failures,
            report,
            in_flight: BTreeMap::new(),
            sent: 0,
        }
    }

    /// The reason why a model cannot be used, if there is one.
    pub fn broken(&self, model: usize) -> Option<&LlmError> {
        self.endpoints[model].as_ref().err()
    }

    /// Whether the budget covers this cost beside the worst cases of the requests in flight.
    pub fn has_room(&self, worst: Charge) -> bool {
        budget(&self.budget).has_room(worst)
    }

    /// Whether the token budget, and not the money, is too small for this.
    pub fn lacks_tokens(&self, worst: Charge) -> bool {
        let Budget { limit, spent, .. } = *budget(&self.budget);
        !Limit { nanodollars: None, ..limit }.allows(spent + worst)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Sends a request to a model that is not broken, once its limit on concurrency permits; [`ModelPool::done`]
    /// returns the answer.
    pub fn send(&mut self, order: ModelRequest) {
        let endpoint = self.endpoints[order.model].as_ref().map(Arc::clone);
        let endpoint = endpoint.expect("BUG: no way to this model, which was to be looked at before");
        let (number, request) = (self.sent, order.request.clone());
        let reservation = Reservation { budget: Arc::clone(&self.budget), open: Arc::default() };
        let (mut own, failures) = (reservation.clone(), self.report.clone());
        self.sent += 1;
        self.in_flight.insert(number, (order, reservation));
        self.tasks.spawn(async move {
            let _permit = endpoint.permits.acquire().await.expect("BUG: permits are never closed");
            // The receiver lives as long as the tasks.
            let mut failed = |failure| drop(failures.send((number, failure)));
            (number, endpoint.client.ask(&request, &mut own, &mut failed).await)
        });
    }

    /// Waits for the next failure or answer; forever if no request is in flight. The failed tries of a request come
    /// before its end.
    pub async fn done(&mut self) -> ModelReply {
        loop {
            tokio::select! {
                biased;
                Some((number, failure)) = self.failures.recv() => {
                    // Those of a dropped request are part of its cost.
                    let Some((order, reservation)) = self.in_flight.get(&number) else { continue };
                    reservation.change(|open| open.less(failure.charge));
                    return ModelReply::Failed(order.clone(), failure);
                }
                Some(done) = self.tasks.join_next() => {
                    let (number, result) = done.expect("BUG: a request does not panic");
                    let (order, _) = self.in_flight.remove(&number).expect("BUG: what was sent is under way until now");
                    return ModelReply::Ended(order, result);
                }
            }
        }
    }

    /// Drops all requests in flight and returns what each that was sent costs in the worst case, beside the failures that
    /// were reported.
    pub fn abandon(&mut self) -> Vec<(ModelRequest, Charge)> {
        self.tasks.abort_all();
        let dropped = std::mem::take(&mut self.in_flight).into_values();
        let charged = dropped.map(|(order, reservation)| (order, reservation.total()));
        charged.filter(|(_, charge)| *charge != Charge::NONE).collect()
    }
}

/// The budget of one request: the cost of tries that were not reported, and the reservation for one in flight.
#[derive(Clone)]
struct Reservation {
    budget: Arc<Mutex<Budget>>,
    open: Arc<Mutex<Charge>>,
}

impl Reservation {
    fn total(&self) -> Charge {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(Charge) -> Charge) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = change(*open);
    }
}

impl Reserve for Reservation {
    fn reserve(&mut self, worst: Charge) -> bool {
        let fits = budget(&self.budget).reserve(worst);
        if fits {
            self.change(|open| open + worst);
        }
        fits
    }

    fn settle(&mut self, worst: Charge, actual: Charge) {
        budget(&self.budget).settle(worst, actual);
        self.change(|open| open.less(worst) + actual);
    }
}

fn budget(budget: &Mutex<Budget>) -> std::sync::MutexGuard<'_, Budget> {
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::cost::Usage;
    use crate::values::settings::{ModelSettings, Prices};

    #[test]
    fn a_reservation_holds_the_charges_and_the_worst_case_of_the_running_try() {
        let charge = |tokens| {
            Charge::of(Usage { prompt_tokens: tokens, completion_tokens: 0 }, Prices { prompt: 1.0, completion: 1.0 })
        };
        let limit = Limit { tokens: Some(100), nanodollars: None };
        let mut reservation = Reservation { budget: Arc::new(Mutex::new(Budget::new(limit))), open: Arc::default() };
        assert!(reservation.reserve(charge(60)) && !reservation.reserve(charge(60)));
        assert_eq!(reservation.total(), charge(60));
        reservation.settle(charge(60), charge(10));
        assert!(reservation.reserve(charge(60)));
        assert_eq!(reservation.total(), charge(70));
    }

    #[test]
    fn what_lacks_room_is_named() {
        let settings = LlmSettings {
            models: vec![ModelSettings::example()],
            budget_tokens: Some(10),
            budget_dollars: Some(1.0),
            ..LlmSettings::default()
        };
        let requests = ModelPool::open(&settings, Charge::NONE);
        let tokens = Charge { usage: Usage { prompt_tokens: 11, completion_tokens: 0 }, nanodollars: 0 };
        let money = Charge { nanodollars: 2_000_000_000, ..Charge::NONE };
        assert!(!requests.has_room(tokens) && requests.lacks_tokens(tokens));
        assert!(!requests.has_room(money) && !requests.lacks_tokens(money));
    }
}
