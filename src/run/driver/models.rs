//! Asking: the part of the driver that language models are asked by: what is sent, what becomes of an answer, when a
//! model is left alone. Every exchange is recorded before anything is made of it.

use std::time::Instant;

use crate::proposer::draw::ProposalDraft;
use crate::proposer::llm::client::Exchange;
use crate::proposer::llm::context::Repair;
use crate::proposer::llm::conversation::Conversation;
use crate::proposer::llm::document::document;
use crate::proposer::llm::pool::{ModelReply, ModelRequest};
use crate::proposer::llm::prompt_data::PromptData;
use crate::proposer::llm::request::Request;
use crate::run::driver::state::{Driver, DriverError};
use crate::search::Next;
use crate::values::cost::Charge;
use crate::values::event::{Asking, Declined, Event, ModelAsked, Selection, StopReason};
use crate::values::llm_error::{LlmError, Scope};
use crate::values::settings::LlmSettings;

/// After so many answers in a row that are of no use a model is left alone, as if its endpoint had failed.
const USELESS: u32 = 5;

impl Driver<'_> {
    /// Switches off the models that there is no way to.
    pub(super) fn leave_out_broken_models(&mut self) -> Result<(), DriverError> {
        for model in 0..self.search.models().count() {
            if let Some(error) = self.requests.broken(model).cloned() {
                self.pause(model, error)?;
            }
        }
        Ok(())
    }

    /// Sends what a selection asks a model for.
    pub(super) fn ask(&mut self, attempt: u64, model: usize, selection: &Selection) -> Result<(), DriverError> {
        if let Some(error) = self.requests.broken(model).cloned() {
            return self.decline_unanswered(attempt, error);
        }
        let (conversation, repairs_left) = self.question(selection)?;
        let order = self.order(model, Asking::Proposal(attempt), conversation, repairs_left);
        if self.died {
            // The process before this one may have been waiting for the answer.
            self.record_asked(&order, None, Some(LlmError::Abandoned), order.request.worst)?;
        }
        self.send(order)
    }

    fn question(&self, selection: &Selection) -> Result<(Conversation, u32), DriverError> {
        let sent_back = selection.repairs.map_or(0, |rejected| self.known(rejected).repairs + 1);
        let left = self.llm().repairs.saturating_sub(sent_back);
        let returned = selection.repairs.map(|rejected| self.briefing().returned(rejected)).transpose()?.flatten();
        let conversation = match returned {
            Some(back) => {
                self.prompts.repair(back.conversation, back.reply, &Repair { diagnosis: back.diagnosis, left })?
            }
            None => {
                let form = selection.form.expect("BUG: a model is asked in some form");
                self.prompts.ask(form, &self.briefing().context(selection)?)?
            }
        };
        Ok((conversation, left))
    }

    /// The process before this one may have been waiting for a summary.
    pub(super) fn account_for_summary(&mut self) -> Result<(), DriverError> {
        match self.summary_order()? {
            Some(order) if self.died => self.record_asked(&order, None, Some(LlmError::Abandoned), order.request.worst),
            _ => Ok(()),
        }
    }

    /// Asks a model what worked and what did not, when it is time.
    pub(super) fn summarise(&mut self) -> Result<(), DriverError> {
        if let Some(order) = self.summary_order()? {
            self.is_summing_up = true;
            self.dispatch_request(order)?;
        }
        Ok(())
    }

    /// What a model is asked for a summary with, if it is time and there is money for it.
    fn summary_order(&self) -> Result<Option<ModelRequest>, DriverError> {
        let every = self.llm().summary_every;
        let is_due = every > 0 && self.history.since_summary() >= every && !self.is_summing_up;
        let ready: Vec<usize> = self.search.models().ready().collect();
        if !is_due || ready.is_empty() || matches!(self.search.next(), Next::Stop(_)) {
            return Ok(None);
        }
        let model = ready[self.history.summaries() % ready.len()];
        let conversation = self.prompts.summarise(&self.briefing().summary_context()?)?;
        let order = self.order(model, Asking::Summary, conversation, 0);
        // One that there is no money for is not worth the end of the run.
        Ok(Some(order).filter(|order| self.requests.has_room(order.request.worst)))
    }

    fn llm(&self) -> &LlmSettings {
        &self.search.settings().llm
    }

    fn briefing(&self) -> PromptData<'_> {
        PromptData {
            search: &self.search,
            history: &self.history,
            programs: &self.programs,
            exchanges: &self.exchanges,
        }
    }

    fn order(&self, model: usize, asking: Asking, conversation: Conversation, repairs_left: u32) -> ModelRequest {
        let request = Request::new(&self.llm().models[model], &conversation);
        ModelRequest { model, asking, conversation, request, repairs_left }
    }

    /// Sends it, or lets it wait until what is under way has cost less than it might.
    fn send(&mut self, order: ModelRequest) -> Result<(), DriverError> {
        if self.requests.has_room(order.request.worst) {
            return self.dispatch_request(order);
        }
        self.parked.push(order);
        Ok(())
    }

    /// What led to a request is on record before the request is on its way: it costs money, whatever happens next.
    fn dispatch_request(&mut self, order: ModelRequest) -> Result<(), DriverError> {
        self.journal.sync()?;
        self.requests.send(order);
        Ok(())
    }

    /// What came of a request.
    pub(super) fn answered(&mut self, answered: ModelReply) -> Result<(), DriverError> {
        let ModelReply { order, asked } = answered;
        for failure in &asked.failures {
            let reply = Some(failure.reply.as_slice()).filter(|reply| !reply.is_empty());
            self.record_asked(&order, reply, Some(failure.error.clone()), failure.charge)?;
        }
        self.is_summing_up &= order.asking != Asking::Summary;
        match asked.result {
            Ok(exchange) => {
                self.record_asked(&order, Some(&exchange.reply), None, exchange.charge)?;
                self.failed_in_a_row[order.model] = 0;
                self.take_up(order, exchange)?;
            }
            Err(LlmError::OverBudget) if order.asking == Asking::Summary => {}
            Err(LlmError::OverBudget) => self.parked.push(order),
            Err(error) => self.unanswered(&order, error)?,
        }
        std::mem::take(&mut self.parked).into_iter().try_for_each(|order| self.send(order))
    }

    /// A proposal of a model becomes a candidate, or goes back to it, or is declined.
    fn take_up(&mut self, order: ModelRequest, exchange: Exchange) -> Result<(), DriverError> {
        let Asking::Proposal(attempt) = order.asking else { return Ok(()) };
        let selection = self.search.attempt_under_way(attempt).expect("BUG: an attempt is open until this").clone();
        let form = selection.form.expect("BUG: a model is asked in some form");
        let parent = self.program(selection.parent)?;
        match (document(form, &parent, &exchange.text), order.repairs_left.checked_sub(1)) {
            (Ok(document), _) => {
                let event = self.make_candidate(attempt, &selection, &ProposalDraft { document, operator: None })?;
                self.record(&event)
            }
            (Err(error), Some(left)) => {
                let repair = Repair::of_reply(&error, left);
                let conversation = self.prompts.repair(order.conversation, exchange.text, &repair)?;
                let order = self.order(order.model, order.asking, conversation, left);
                self.send(order)
            }
            (Err(error), None) => {
                let reason = Declined::Unusable { error: error.to_string() };
                self.record(&Event::ProposalDeclined { attempt, proposal: None, reason })
            }
        }
    }

    fn unanswered(&mut self, order: &ModelRequest, error: LlmError) -> Result<(), DriverError> {
        if let Asking::Proposal(attempt) = order.asking {
            self.decline_unanswered(attempt, error.clone())?;
        }
        if !self.search.models().is_ready(order.model) {
            return Ok(());
        }
        let in_a_row = &mut self.failed_in_a_row[order.model];
        *in_a_row += 1;
        if error.scope() == Scope::Request && *in_a_row < USELESS {
            return Ok(());
        }
        self.pause(order.model, error)
    }

    fn decline_unanswered(&mut self, attempt: u64, error: LlmError) -> Result<(), DriverError> {
        let reason = Declined::Unanswered { error };
        self.record(&Event::ProposalDeclined { attempt, proposal: None, reason })
    }

    /// Leaves a model alone: for a while, or for good if only other settings help.
    fn pause(&mut self, model: usize, error: LlmError) -> Result<(), DriverError> {
        if error.scope() != Scope::Settings {
            let pause = error.pause(self.failed_in_a_row[model]);
            self.paused_until.insert(model, Instant::now() + pause);
        }
        self.record(&Event::ModelPaused { model, error })
    }

    /// The models whose pause is over are asked again.
    pub(super) fn wake(&mut self) -> Result<(), DriverError> {
        let now = Instant::now();
        let over = |(model, until): (&usize, &Instant)| (*until <= now).then_some(*model);
        let awake: Vec<usize> = self.paused_until.iter().filter_map(over).collect();
        for model in awake {
            self.paused_until.remove(&model);
            self.record(&Event::ModelResumed { model })?;
        }
        Ok(())
    }

    /// Why the run is to end, if there is nothing left for a request that waits, whatever those under way will cost.
    pub(super) fn used_up(&self) -> Option<StopReason> {
        let order = self.parked.first().filter(|_| self.requests.in_flight() == 0)?;
        let lacks_tokens = self.requests.lacks_tokens(order.request.worst);
        Some(if lacks_tokens { StopReason::Tokens } else { StopReason::Dollars })
    }

    /// Drops all requests; their attempts stay open. What was sent counts at its worst.
    pub(super) fn abandon(&mut self) -> Result<(), DriverError> {
        self.parked.clear();
        for (order, charge) in self.requests.abandon() {
            self.record_asked(&order, None, Some(LlmError::Abandoned), charge)?;
        }
        Ok(())
    }

    fn record_asked(
        &mut self,
        order: &ModelRequest,
        reply: Option<&[u8]>,
        error: Option<LlmError>,
        charge: Charge,
    ) -> Result<(), DriverError> {
        let exchange = self.exchange(&order.request.body, reply)?;
        let (model, asking) = (order.model, order.asking);
        self.record(&Event::ModelAsked(ModelAsked { model, asking, exchange, error, charge }))
    }
}
