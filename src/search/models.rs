//! Models: which language models are available, the cost of all requests, and the rejected candidates that go back to
//! their models for repair.

use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::settings::LlmSettings;

/// A model gets no further request after this many in a row of its attempts that made no candidate.
pub(super) const WORN_AFTER: u64 = 100;

/// Rejected candidates that may wait for their model. A longer queue waits for a model that is never free.
const MAX_REJECTED: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Availability {
    Ready,
    /// For a while.
    Paused,
    /// Until the settings or its key change.
    Off,
}

/// The state of all language models of a run, by place in the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Models {
    availability: Vec<Availability>,
    /// Attempts in a row that made no candidate, for any reason.
    declined_in_a_row: Vec<u64>,
    pub(super) spent: Charge,
    repairs: u32,
    /// The oldest first.
    rejected: Vec<CandidateId>,
}

impl Models {
    pub fn new(settings: &LlmSettings) -> Self {
        let count = settings.models.len();
        Self {
            availability: vec![Availability::Ready; count],
            declined_in_a_row: vec![0; count],
            spent: Charge::NONE,
            repairs: settings.repairs,
            rejected: Vec::new(),
        }
    }

    pub fn count(&self) -> usize {
        self.availability.len()
    }

    /// Whether a model exists and takes requests.
    pub fn is_ready(&self, model: usize) -> bool {
        self.availability.get(model) == Some(&Availability::Ready) && !self.is_worn(model)
    }

    /// Whether too many of its attempts in a row have made no candidate.
    pub fn is_worn(&self, model: usize) -> bool {
        self.declined_in_a_row.get(model).is_some_and(|declined| *declined >= WORN_AFTER)
    }

    /// Whether a model exists and will take requests again later.
    pub fn is_paused(&self, model: usize) -> bool {
        self.availability.get(model) == Some(&Availability::Paused)
    }

    pub fn is_any_paused(&self) -> bool {
        (0..self.count()).any(|model| self.is_paused(model) && !self.is_worn(model))
    }

    pub fn ready(&self) -> impl Iterator<Item = usize> {
        (0..self.count()).filter(|model| self.is_ready(*model))
    }

    pub fn spent(&self) -> Charge {
        self.spent
    }

    /// Candidates that wait to go back to their models, the oldest first.
    pub fn rejected(&self) -> &[CandidateId] {
        &self.rejected
    }

    /// Whether it can be paused: it exists, and is neither paused nor off.
    pub fn is_on(&self, model: usize) -> bool {
        self.availability.get(model) == Some(&Availability::Ready)
    }

    pub(super) fn pause(&mut self, model: usize) {
        self.availability[model] = Availability::Paused;
    }

    pub(super) fn switch_off(&mut self, model: usize) {
        self.availability[model] = Availability::Off;
    }

    pub(super) fn declined(&mut self, model: usize) {
        self.declined_in_a_row[model] += 1;
    }

    pub(super) fn made_candidate(&mut self, model: usize) {
        self.declined_in_a_row[model] = 0;
    }

    pub(super) fn resume(&mut self, model: usize) {
        self.availability[model] = Availability::Ready;
    }

    pub(super) fn resume_all(&mut self) {
        self.availability.fill(Availability::Ready);
        self.declined_in_a_row.fill(0);
    }

    pub(super) fn reject(&mut self, candidate: CandidateId, repairs: u32) {
        if repairs < self.repairs {
            let excess = (self.rejected.len() + 1).saturating_sub(MAX_REJECTED);
            self.rejected.drain(..excess);
            self.rejected.push(candidate);
        }
    }

    pub(super) fn sent_back(&mut self, candidate: CandidateId) {
        self.rejected.retain(|other| *other != candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::settings::ModelSettings;

    #[test]
    fn a_paused_model_comes_back_and_one_that_is_off_does_not() {
        let example = ModelSettings::example();
        let settings = LlmSettings { models: vec![example.clone(), example], ..LlmSettings::default() };
        let mut models = Models::new(&settings);
        models.pause(0);
        models.switch_off(1);
        assert!(models.is_paused(0) && models.is_any_paused() && models.ready().count() == 0);
        models.resume(0);
        assert!(models.ready().eq([0]) && !models.is_any_paused() && !models.is_paused(1));
        models.resume_all();
        assert!(models.ready().eq([0, 1]) && !models.is_ready(2));
    }

    #[test]
    fn a_model_without_candidates_gets_no_request_until_the_run_is_resumed() {
        let mut models = Models::new(&LlmSettings { models: vec![ModelSettings::example()], ..LlmSettings::default() });
        (1..WORN_AFTER).for_each(|_| models.declined(0));
        assert!(models.is_ready(0) && models.is_on(0));
        models.declined(0);
        assert!(!models.is_ready(0) && models.is_on(0) && models.is_worn(0));
        models.pause(0);
        assert!(models.is_paused(0) && !models.is_any_paused());
        models.resume_all();
        assert!(models.is_ready(0));
        models.declined(0);
        models.made_candidate(0);
        assert_eq!(models.declined_in_a_row, [0]);
    }

    #[test]
    fn a_candidate_goes_back_as_often_as_the_settings_say_and_the_queue_is_bounded() {
        let settings = LlmSettings { models: vec![ModelSettings::example()], repairs: 2, ..LlmSettings::default() };
        let mut models = Models::new(&settings);
        models.reject(CandidateId(1), 2);
        assert_eq!(models.rejected(), []);
        (0..=MAX_REJECTED as u64).for_each(|number| models.reject(CandidateId(number), 1));
        assert_eq!((models.rejected().len(), models.rejected()[0]), (MAX_REJECTED, CandidateId(1)));
        models.sent_back(CandidateId(1));
        assert_eq!(models.rejected()[0], CandidateId(2));
    }
}
