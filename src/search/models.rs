//! Models: which language models can be asked now, what all requests have cost, and which of their candidates go back to
//! them with the reason of their rejection.

use serde::{Deserialize, Serialize};

use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::llm_error::{LlmError, Scope};
use crate::values::settings::LlmSettings;

/// Rejected candidates that may wait for their model; more than that only wait behind a model that is never free.
const MOST_REJECTED: usize = 100;

/// Whether a model can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Standing {
    Ready,
    /// It comes back.
    Paused,
    /// Only other settings, or a key, can bring it back.
    Off,
}

/// The state of all language models of a run, by their places in the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Models {
    standing: Vec<Standing>,
    spent: Charge,
    repairs: u32,
    /// Oldest first.
    rejected: Vec<CandidateId>,
}

impl Models {
    /// All of them ready.
    pub fn new(settings: &LlmSettings) -> Self {
        let standing = vec![Standing::Ready; settings.models.len()];
        Self { standing, spent: Charge::NONE, repairs: settings.repairs, rejected: Vec::new() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.standing.len()
    }

    /// Whether a model is there and can be asked.
    pub fn is_ready(&self, model: usize) -> bool {
        self.standing.get(model) == Some(&Standing::Ready)
    }

    /// Whether a model is there and will be asked again later.
    pub fn is_paused(&self, model: usize) -> bool {
        self.standing.get(model) == Some(&Standing::Paused)
    }

    /// Whether any is paused.
    pub fn is_any_paused(&self) -> bool {
        self.standing.contains(&Standing::Paused)
    }

    /// Those that can be asked.
    pub fn ready(&self) -> impl Iterator<Item = usize> {
        (0..self.count()).filter(|model| self.is_ready(*model))
    }

    /// What all requests have cost together.
    pub fn spent(&self) -> Charge {
        self.spent
    }

    /// Candidates that are to go back to their models, oldest first.
    pub fn rejected(&self) -> &[CandidateId] {
        &self.rejected
    }

    pub(super) fn spend(&mut self, charge: Charge) {
        self.spent += charge;
    }

    pub(super) fn pause(&mut self, model: usize, error: &LlmError) {
        self.standing[model] = if error.scope() == Scope::Settings { Standing::Off } else { Standing::Paused };
    }

    pub(super) fn go_on(&mut self, model: usize) {
        self.standing[model] = Standing::Ready;
    }

    pub(super) fn all_go_on(&mut self) {
        self.standing.fill(Standing::Ready);
    }

    /// A candidate that `repairs` others were rejected before was rejected too.
    pub(super) fn reject(&mut self, candidate: CandidateId, repairs: u32) {
        if repairs < self.repairs {
            let excess = (self.rejected.len() + 1).saturating_sub(MOST_REJECTED);
            self.rejected.drain(..excess);
            self.rejected.push(candidate);
        }
    }

    /// It went back.
    pub(super) fn sent_back(&mut self, candidate: CandidateId) {
        self.rejected.retain(|other| *other != candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::settings::ModelSettings;

    #[test]
    fn who_is_paused_comes_back_and_who_is_off_does_not() {
        let example = ModelSettings::example();
        let settings = LlmSettings { models: vec![example.clone(), example], ..LlmSettings::default() };
        let mut models = Models::new(&settings);
        models.pause(0, &LlmError::Empty);
        models.pause(1, &LlmError::NoKey { variable: "A_KEY".to_owned() });
        assert!(models.is_paused(0) && models.is_any_paused() && models.ready().count() == 0);
        models.go_on(0);
        assert!(models.ready().eq([0]) && !models.is_any_paused() && !models.is_paused(1));
        models.all_go_on();
        assert!(models.ready().eq([0, 1]) && !models.is_ready(2));
    }

    #[test]
    fn a_candidate_goes_back_as_often_as_the_settings_say_and_no_crowd_waits() {
        let settings = LlmSettings { models: vec![ModelSettings::example()], repairs: 2, ..LlmSettings::default() };
        let mut models = Models::new(&settings);
        models.reject(CandidateId(1), 2);
        assert_eq!(models.rejected(), []);
        (0..=MOST_REJECTED as u64).for_each(|number| models.reject(CandidateId(number), 1));
        assert_eq!((models.rejected().len(), models.rejected()[0]), (MOST_REJECTED, CandidateId(1)));
        models.sent_back(CandidateId(1));
        assert_eq!(models.rejected()[0], CandidateId(2));
    }
}
