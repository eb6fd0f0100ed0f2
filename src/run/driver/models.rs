//! Models: the language models of a live run: what they are asked, and what becomes of an answer. Every exchange is
//! recorded before its answer is used.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::proposer::draw::ProposalDraft;
use crate::proposer::llm::client::{Exchange, Failure};
use crate::proposer::llm::conversation::Conversation;
use crate::proposer::llm::document::document;
use crate::proposer::llm::pool::{ModelPool, ModelReply, ModelRequest};
use crate::proposer::llm::prompt::{PromptError, Prompts};
use crate::proposer::llm::request::Request;
use crate::run::driver::error::DriverError;
use crate::run::driver::record::Record;
use crate::run::driver::standing::{Standing, Verdict};
use crate::search::{Attempt, Next, Search};
use crate::values::cost::Charge;
use crate::values::event::{Asking, Declined, Event, ModelAsked, Selection, StopReason};
use crate::values::llm_error::LlmError;
use crate::values::settings::{LlmSettings, ModelSettings};

pub(super) struct Models {
    settings: LlmSettings,
    prompts: Prompts,
    pool: ModelPool,
    /// Requests that wait until running ones cost less than their worst case.
    parked: Vec<ModelRequest>,
    is_summing_up: bool,
    /// By model.
    standing: Vec<Standing>,
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
            standing: vec![Standing::default(); settings.models.len()],
            paused_until: BTreeMap::new(),
            died,
            settings,
        })
    }

    /// Switches off the models that have no usable endpoint or key.
    pub(super) fn switch_off_broken(&mut self, record: &mut Record<'_>) -> Result<(), DriverError> {
        for model in 0..self.settings.models.len() {
            if let Some(error) = self.pool.broken(model).cloned() {
                self.carry_out(record, model, Verdict::Ends(error))?;
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

    /// Records what came of a request or of a try, and uses an answer.
    pub(super) fn heard(&mut self, record: &mut Record<'_>, news: ModelReply) -> Result<(), DriverError> {
        match news {
            ModelReply::Failed(order, failure) => try_failed(record, &order, failure),
            ModelReply::Ended(order, result) => self.ended(record, order, result),
        }
    }

    fn ended(
        &mut self,
        record: &mut Record<'_>,
        order: ModelRequest,
        result: Result<Exchange, LlmError>,
    ) -> Result<(), DriverError> {
        self.is_summing_up &= order.asking != Asking::Summary;
        match result {
            Ok(exchange) => {
                let asked = Answer { reply: Some(&exchange.reply), error: None, charge: exchange.charge };
                record_asked(record, &order, asked)?;
                self.answered(order.model);
                self.use_reply(record, order, exchange)?;
            }
            Err(LlmError::OverBudget) if order.asking == Asking::Summary => {}
            Err(LlmError::OverBudget) => self.parked.push(order),
            Err(error) => self.unanswered(record, order, error)?,
        }
        std::mem::take(&mut self.parked).into_iter().try_for_each(|request| self.send(record, request))
    }

    fn answered(&mut self, model: usize) {
        self.standing[model].answered();
        let key = |model: &ModelSettings| model.key_env.clone().map(|key| (model.base_url.clone(), key));
        let own = key(&self.settings.models[model]);
        let others = self.standing.iter_mut().zip(&self.settings.models);
        let same = others.filter(|(_, other)| own.is_some() && key(other) == own);
        same.for_each(|(standing, _)| standing.key_works());
    }

    /// Turns a reply into a candidate, returns it to its model for repair, or declines it.
    fn use_reply(
        &mut self,
        record: &mut Record<'_>,
        order: ModelRequest,
        exchange: Exchange,
    ) -> Result<(), DriverError> {
        let Asking::Proposal(number) = order.asking else { return Ok(()) };
        let model = order.model;
        let selection = record.search.attempt_under_way(number).expect("BUG: an attempt is open until this").clone();
        let form = selection.form.expect("BUG: a request to a model has a form");
        let parent = record.program(selection.parent)?;
        let declined = match (document(form, &parent, &exchange.text), order.repairs_left.checked_sub(1)) {
            (Ok(document), _) => {
                record.take(&Attempt { number, selection }, ProposalDraft { document, operator: None })?
            }
            (Err(error), Some(left)) => {
                let conversation = self.prompts.repair(order.conversation, exchange.text, &error.diagnosis(), left)?;
                let request = self.request(model, order.asking, conversation, left);
                return self.send(record, request);
            }
            (Err(error), None) => {
                let reason = Declined::Unusable { error: error.to_string() };
                record.decline(number, None, reason.clone())?;
                Some(reason)
            }
        };
        let standing = &mut self.standing[model];
        let verdict = match declined {
            Some(reason) => standing.led_to_nothing(&reason.to_string()),
            None => {
                standing.led_to_candidate();
                Verdict::Stays
            }
        };
        self.carry_out(record, model, verdict)
    }

    fn unanswered(&mut self, record: &mut Record<'_>, order: ModelRequest, error: LlmError) -> Result<(), DriverError> {
        let (model, standing) = (order.model, &mut self.standing[order.model]);
        if standing.may_lack_system(&error, &order.sent()) {
            tracing::info!(model = self.settings.models[model].name, %error, "asking without the role of the system");
            self.settings.models[model].system = false;
            let request = self.request(model, order.asking, order.conversation, order.repairs_left);
            return self.send(record, request);
        }
        if standing.is_not_about_system(&error) {
            self.settings.models[model].system = true;
        }
        // The failures of requests that were under way when it paused count once.
        let verdict = match record.search.models().is_on(model) {
            true => standing.failed(error.clone(), &order.conversation),
            false => Verdict::Stays,
        };
        if let Asking::Proposal(attempt) = order.asking {
            record.decline(attempt, None, Declined::Unanswered { error: error.clone() })?;
        }
        let verdict = if record.search.models().is_worn(model) { Verdict::Ends(error) } else { verdict };
        self.carry_out(record, model, verdict)
    }

    /// Pauses a model or switches it off.
    fn carry_out(&mut self, record: &mut Record<'_>, model: usize, verdict: Verdict) -> Result<(), DriverError> {
        // Another request may have done so before.
        if !record.search.models().is_on(model) {
            return Ok(());
        }
        match verdict {
            Verdict::Stays => Ok(()),
            Verdict::Pauses(error, pause) => {
                self.paused_until.insert(model, Instant::now() + pause);
                record.add(&Event::ModelPaused { model, error, seconds: Some(pause.as_secs_f64()) })
            }
            Verdict::Ends(error) => record.add(&Event::ModelPaused { model, error, seconds: None }),
        }
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

fn try_failed(record: &mut Record<'_>, request: &ModelRequest, failure: Failure) -> Result<(), DriverError> {
    let Failure { error, reply, charge, wait, .. } = failure;
    let reply = Some(reply.as_slice()).filter(|reply| !reply.is_empty());
    record_asked(record, request, Answer { reply, error: Some(error.clone()), charge })?;
    if let Some(wait) = wait {
        record.asking_again(request.model, &error, wait);
    }
    Ok(())
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
