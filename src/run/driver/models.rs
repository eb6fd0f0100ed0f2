//! Models: the language models of a live run: what they are asked, what becomes of an answer, when one pauses. Every
//! exchange is recorded before its answer is used.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::proposer::draw::ProposalDraft;
use crate::proposer::llm::client::Exchange;
use crate::proposer::llm::conversation::Conversation;
use crate::proposer::llm::document::document;
use crate::proposer::llm::pool::{ModelPool, ModelReply, ModelRequest};
use crate::proposer::llm::prompt::{PromptError, Prompts};
use crate::proposer::llm::request::Request;
use crate::run::driver::error::DriverError;
use crate::run::driver::record::Record;
use crate::search::{Attempt, Next, Search};
use crate::values::cost::Charge;
use crate::values::event::{Asking, Declined, Event, ModelAsked, Selection, StopReason};
use crate::values::llm_error::{LlmError, Scope};
use crate::values::settings::LlmSettings;

/// A model pauses after this many useless answers in a row, as if its endpoint had failed.
const USELESS: u32 = 5;

pub(super) struct Models {
    settings: LlmSettings,
    prompts: Prompts,
    pool: ModelPool,
    /// Requests that wait until running ones cost less than their worst case.
    parked: Vec<ModelRequest>,
    is_summing_up: bool,
    /// By model: requests in a row without an answer.
    failed_in_a_row: Vec<u32>,
    paused_until: BTreeMap<usize, Instant>,
    /// Whether the process before this one died: it may have waited for answers.
    died: bool,
}

impl Models {
    pub(super) fn open(search: &Search, died: bool) -> Result<Self, PromptError> {
        let settings = search.settings().llm.clone();
        Ok(Self {
            prompts: Prompts::read(settings.prompts.as_deref())?,
            pool: ModelPool::open(&settings, search.models().spent()),
            parked: Vec::new(),
            is_summing_up: false,
            failed_in_a_row: vec![0; settings.models.len()],
            paused_until: BTreeMap::new(),
            died,
            settings,
        })
    }

    /// Pauses the models that have no usable endpoint or key.
    pub(super) fn pause_broken(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        for model in 0..self.settings.models.len() {
            if let Some(error) = self.pool.broken(model).cloned() {
                self.pause(record, model, error)?;
            }
        }
        Ok(())
    }

    /// Asks a model for the proposal of an attempt.
    pub(super) fn ask(&mut self, record: &mut Record<'_>, model: usize, attempt: &Attempt) -> Result<(), DriverError> {
        if let Some(error) = self.pool.broken(model).cloned() {
            return record.decline(attempt.number, None, Declined::Unanswered { error });
        }
        let (conversation, repairs_left) = self.question(record, &attempt.selection)?;
        let request = self.request(model, Asking::Proposal(attempt.number), conversation, repairs_left);
        if self.died {
            record_abandoned(record, &request, request.request.worst)?;
        }
        self.send(record, request)
    }

    fn question(&self, record: &Record<'_>, selection: &Selection) -> Result<(Conversation, u32), DriverError> {
        let sent_back = selection.repairs.map_or(0, |rejected| record.known(rejected).repairs + 1);
        let left = self.settings.repairs.saturating_sub(sent_back);
        let data = record.prompt_data();
        let returned = selection.repairs.map(|rejected| data.returned(rejected)).transpose()?.flatten();
        let conversation = match returned {
            Some(back) => self.prompts.repair(back.conversation, back.reply, &back.diagnosis, left)?,
            None => {
                let form = selection.form.expect("BUG: a request to a model has a form");
                self.prompts.ask(form, &data.context(selection)?)?
            }
        };
        Ok((conversation, left))
    }

    /// Ends the first step of a run: the process before this one may have waited for a summary.
    pub(super) fn account_for_summary(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        if std::mem::take(&mut self.died)
            && let Some(request) = self.summary_request(record)?
        {
            record_abandoned(record, &request, request.request.worst)?;
        }
        Ok(())
    }

    /// Asks a model for a summary of the run, when one is due.
    pub(super) fn summarise(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        if let Some(request) = self.summary_request(record)? {
            self.is_summing_up = true;
            self.dispatch(record, request)?;
        }
        Ok(())
    }

    /// The request for a summary, if one is due and the budget has room for it.
    fn summary_request(&self, record: &Record<'_>) -> Result<Option<ModelRequest>, DriverError> {
        let every = self.settings.summary_every;
        let is_due = every > 0 && record.history.since_summary >= every && !self.is_summing_up;
        let ready: Vec<usize> = record.search.models().ready().collect();
        if !is_due || ready.is_empty() || matches!(record.search.next(), Next::Stop(_)) {
            return Ok(None);
        }
        let model = ready[record.history.summaries % ready.len()];
        let conversation = self.prompts.summarise(&record.prompt_data().summary_context()?)?;
        let request = self.request(model, Asking::Summary, conversation, 0);
        // A summary must not end the run for lack of budget.
        Ok(Some(request).filter(|request| self.pool.has_room(request.request.worst)))
    }

    fn request(&self, model: usize, asking: Asking, conversation: Conversation, repairs_left: u32) -> ModelRequest {
        let request = Request::new(&self.settings.models[model], &conversation);
        ModelRequest { model, asking, conversation, request, repairs_left }
    }

    /// Sends a request, or parks it until running ones have cost less than their worst case.
    fn send(&mut self, record: &mut Record<'_>, request: ModelRequest) -> Result<(), DriverError> {
        if self.pool.has_room(request.request.worst) {
            return self.dispatch(record, request);
        }
        self.parked.push(request);
        Ok(())
    }

    /// The events that led to a request are on the disk before it is sent: it costs money in any case.
    fn dispatch(&mut self, record: &mut Record<'_>, request: ModelRequest) -> Result<(), DriverError> {
        record.sync()?;
        self.pool.send(request);
        Ok(())
    }

    /// Waits for the next answer; for ever if none is on its way.
    pub(super) async fn done(&mut self) -> ModelReply {
        self.pool.done().await
    }

    /// Records and uses an answer.
    pub(super) fn answered(&mut self, record: &mut Record<'_>, answer: ModelReply) -> Result<(), DriverError> {
        let ModelReply { order, asked } = answer;
        for failure in &asked.failures {
            let reply = Some(failure.reply.as_slice()).filter(|reply| !reply.is_empty());
            let asked = Answer { reply, error: Some(failure.error.clone()), charge: failure.charge };
            record_asked(record, &order, asked)?;
        }
        self.is_summing_up &= order.asking != Asking::Summary;
        match asked.result {
            Ok(exchange) => {
                let asked = Answer { reply: Some(&exchange.reply), error: None, charge: exchange.charge };
                record_asked(record, &order, asked)?;
                self.failed_in_a_row[order.model] = 0;
                self.use_reply(record, order, exchange)?;
            }
            Err(LlmError::OverBudget) if order.asking == Asking::Summary => {}
            Err(LlmError::OverBudget) => self.parked.push(order),
            Err(error) => self.unanswered(record, &order, error)?,
        }
        std::mem::take(&mut self.parked).into_iter().try_for_each(|request| self.send(record, request))
    }

    /// Turns a reply into a candidate, returns it to its model for repair, or declines it.
    fn use_reply(
        &mut self,
        record: &mut Record<'_>,
        order: ModelRequest,
        exchange: Exchange,
    ) -> Result<(), DriverError> {
        let Asking::Proposal(number) = order.asking else { return Ok(()) };
        let selection = record.search.attempt_under_way(number).expect("BUG: an attempt is open until this").clone();
        let form = selection.form.expect("BUG: a request to a model has a form");
        let parent = record.program(selection.parent)?;
        match (document(form, &parent, &exchange.text), order.repairs_left.checked_sub(1)) {
            (Ok(document), _) => {
                record.take(&Attempt { number, selection }, ProposalDraft { document, operator: None })
            }
            (Err(error), Some(left)) => {
                let conversation = self.prompts.repair(order.conversation, exchange.text, &error.diagnosis(), left)?;
                let request = self.request(order.model, order.asking, conversation, left);
                self.send(record, request)
            }
            (Err(error), None) => record.decline(number, None, Declined::Unusable { error: error.to_string() }),
        }
    }

    fn unanswered(
        &mut self,
        record: &mut Record<'_>,
        order: &ModelRequest,
        error: LlmError,
    ) -> Result<(), DriverError> {
        if let Asking::Proposal(attempt) = order.asking {
            record.decline(attempt, None, Declined::Unanswered { error: error.clone() })?;
        }
        if !record.search.models().is_ready(order.model) {
            return Ok(());
        }
        let in_a_row = &mut self.failed_in_a_row[order.model];
        *in_a_row += 1;
        if error.scope() == Scope::Request && *in_a_row < USELESS {
            return Ok(());
        }
        self.pause(record, order.model, error)
    }

    /// Pauses a model: for a while, or for good if only other settings help.
    fn pause(&mut self, record: &mut Record<'_>, model: usize, error: LlmError) -> Result<(), DriverError> {
        if error.scope() != Scope::Settings {
            let pause = error.pause(self.failed_in_a_row[model]);
            self.paused_until.insert(model, Instant::now() + pause);
        }
        record.add(&Event::ModelPaused { model, error })
    }

    /// Time until the next pause ends.
    pub(super) fn pause_left(&self) -> Duration {
        let until = self.paused_until.values().min();
        until.map_or(Duration::MAX, |until| until.duration_since(Instant::now()))
    }

    /// Resumes the models whose pause has ended.
    pub(super) fn wake(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        let now = Instant::now();
        let over = |(model, until): (&usize, &Instant)| (*until <= now).then_some(*model);
        let awake: Vec<usize> = self.paused_until.iter().filter_map(over).collect();
        for model in awake {
            self.paused_until.remove(&model);
            record.add(&Event::ModelResumed { model })?;
        }
        Ok(())
    }

    /// The reason to stop if the budget has no room for a parked request and no running one can free any.
    pub(super) fn used_up(&self) -> Option<StopReason> {
        let request = self.parked.first().filter(|_| self.pool.in_flight() == 0)?;
        let lacks_tokens = self.pool.lacks_tokens(request.request.worst);
        Some(if lacks_tokens { StopReason::Tokens } else { StopReason::Dollars })
    }

    /// Drops all requests; their attempts stay open. Each one that was sent counts at its worst case.
    pub(super) fn abandon(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        self.parked.clear();
        let dropped = self.pool.abandon();
        dropped.into_iter().try_for_each(|(request, charge)| record_abandoned(record, &request, charge))
    }
}

/// The end of one try of a request.
struct Answer<'a> {
    reply: Option<&'a [u8]>,
    error: Option<LlmError>,
    charge: Charge,
}

fn record_abandoned(record: &mut Record<'_>, request: &ModelRequest, charge: Charge) -> Result<(), DriverError> {
    record_asked(record, request, Answer { reply: None, error: Some(LlmError::Abandoned), charge })
}

fn record_asked(record: &mut Record<'_>, request: &ModelRequest, answer: Answer<'_>) -> Result<(), DriverError> {
    let Answer { reply, error, charge } = answer;
    let exchange = record.exchange(&request.request.body, reply)?;
    let (model, asking) = (request.model, request.asking);
    record.add(&Event::ModelAsked(ModelAsked { model, asking, exchange, error, charge }))
}
