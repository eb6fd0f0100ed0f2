//! Standing: what the latest requests of one language model say about asking it again. Pure: no clock, no IO.

use std::time::Duration;

use crate::proposer::llm::conversation::Conversation;
use crate::values::llm_error::{LlmError, Scope};

/// A model pauses after this many attempts in a row without a candidate, and again after as many more.
const USELESS: u32 = 5;
/// After this many it is switched off.
const WORTHLESS: u32 = 20;
/// Requests with different prompts that fail in the same way switch a model off: this many before its first answer, ...
const REFUSALS: usize = 2;
/// ... and this many once it has answered, since then the fault may be that of the prompts.
const REFUSALS_AFTER_ANSWER: usize = 3;
/// ... and this many where the endpoint fails in a way that may pass: with the pauses between them that takes minutes.
const FAULTS: usize = 5;
/// Words of this length that mix letters and digits are ids of requests, which differ in each text.
const ID: usize = 8;

/// What becomes of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is asked again.
    Stays,
    Pauses(LlmError, Duration),
    /// It is switched off.
    Ends(LlmError),
}

/// Whether a model has the role of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SystemRole {
    #[default]
    Unknown,
    /// A request without it is under way.
    Tried,
    /// Known, one way or the other.
    Settled,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    has_answered: bool,
    /// Whether another model has answered to the same key.
    key_works: bool,
    /// Requests in a row that the endpoint did not answer.
    failed: u32,
    /// Attempts in a row that led to no candidate, although the endpoint was there.
    useless: u32,
    /// The latest refusals, all of the same kind, each with its prompt.
    refusals: Vec<Conversation>,
    refusal: String,
    system: SystemRole,
}

impl Standing {
    /// A reply holds an answer, useful or not.
    pub(super) fn answered(&mut self) {
        (self.has_answered, self.failed, self.system) = (true, 0, SystemRole::Settled);
        self.refusals.clear();
    }

    /// Another model at the same endpoint answered to the same key.
    pub(super) fn key_works(&mut self) {
        self.key_works = true;
    }

    /// An attempt led to a candidate.
    pub(super) fn led_to_candidate(&mut self) {
        self.useless = 0;
    }

    /// An attempt that was answered led to none, for this reason.
    pub(super) fn led_to_nothing(&mut self, reason: &str) -> Verdict {
        self.useless += 1;
        let error = || LlmError::NoCandidates { attempts: self.useless, latest: reason.to_owned() };
        match self.useless {
            WORTHLESS.. => Verdict::Ends(error()),
            useless if useless.is_multiple_of(USELESS) => {
                let error = error();
                let pause = error.pause(useless / USELESS);
                Verdict::Pauses(error, pause)
            }
            _ => Verdict::Stays,
        }
    }

    /// A request with this prompt ended without an answer.
    pub(super) fn failed(&mut self, error: LlmError, prompt: &Conversation) -> Verdict {
        if let Some((kind, most)) = self.refusal_kind(&error) {
            if self.refusals_of(kind, prompt) >= most {
                return Verdict::Ends(error);
            }
        } else {
            self.refusals.clear();
        }
        match error.scope() {
            Scope::Settings if self.refusals.is_empty() => Verdict::Ends(error),
            Scope::Settings | Scope::Request => match self.led_to_nothing(&error.to_string()) {
                // The fault says more than the number of its cases.
                Verdict::Pauses(_, pause) => Verdict::Pauses(error, pause),
                Verdict::Ends(_) => Verdict::Ends(error),
                Verdict::Stays => Verdict::Stays,
            },
            Scope::Endpoint => {
                self.failed += 1;
                let pause = error.pause(self.failed);
                Verdict::Pauses(error, pause)
            }
        }
    }

    /// Whether a request that was refused with the role of the system may be sent without it.
    pub(super) fn may_lack_system(&mut self, error: &LlmError, prompt: &Conversation) -> bool {
        let speaks_of_roles = |said: &str| {
            let said = said.to_lowercase();
            ["system", "role", "developer"].iter().any(|word| said.contains(word))
        };
        let may_lack = match error {
            LlmError::NotAccepted { .. } => true,
            // Some servers take the error of a template for their own.
            LlmError::Server { said, .. } | LlmError::Failed { said, .. } => speaks_of_roles(said),
            _ => false,
        };
        let is_new = self.system != SystemRole::Settled && prompt.has_system();
        if may_lack && is_new {
            self.system = SystemRole::Tried;
        }
        may_lack && is_new
    }

    /// A request without the role of the system failed, too. `true`: that role was not the reason, and is used again.
    pub(super) fn is_not_about_system(&mut self, error: &LlmError) -> bool {
        let is_tried = self.system == SystemRole::Tried && error.scope() != Scope::Endpoint;
        if is_tried {
            self.system = SystemRole::Settled;
        }
        is_tried
    }

    /// What two refusals share if they are the same, and how many of those are too many; `None` for errors that are no
    /// refusals.
    fn refusal_kind(&self, error: &LlmError) -> Option<(String, usize)> {
        let kind = <&str>::from(error);
        let most = if self.has_answered { REFUSALS_AFTER_ANSWER } else { REFUSALS };
        match error {
            LlmError::NotAccepted { status, said } => Some((format!("{kind} {status} {}", without_ids(said)), most)),
            LlmError::Redirected { status, .. } => Some((format!("{kind} {status}"), most)),
            LlmError::NotJson { .. } | LlmError::NoChoices { .. } => Some((kind.to_owned(), most)),
            LlmError::Failed { said, .. } if !self.has_answered => {
                Some((format!("{kind} {}", without_ids(said)), most))
            }
            // A template that refuses each prompt; a server that starts answers with other statuses.
            LlmError::Server { status: 500, said, .. } if !self.has_answered => {
                Some((format!("{kind} {}", without_ids(said)), FAULTS))
            }
            LlmError::Empty => Some((kind.to_owned(), FAULTS)),
            // A key or a model that has worked does so again, except for some prompts.
            LlmError::Unknown { .. } if self.has_answered => Some((kind.to_owned(), most)),
            LlmError::Unauthorized { .. } if self.has_answered || self.key_works => Some((kind.to_owned(), most)),
            _ => None,
        }
    }

    /// How many prompts were refused in the same way, with this one.
    fn refusals_of(&mut self, kind: String, prompt: &Conversation) -> usize {
        if self.refusal != kind {
            self.refusals.clear();
            self.refusal = kind;
        }
        if !self.refusals.contains(prompt) {
            self.refusals.push(prompt.clone());
        }
        self.refusals.len()
    }
}

fn without_ids(said: &str) -> String {
    let is_id = |word: &&str| {
        let mixes = word.contains(|c: char| c.is_ascii_digit()) && word.contains(|c: char| c.is_ascii_alphabetic());
        mixes && word.len() >= ID
    };
    said.split_whitespace().filter(|word| !is_id(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(text: &str) -> Conversation {
        Conversation::new("s".to_owned(), text.to_owned())
    }

    fn refused(said: &str) -> LlmError {
        LlmError::NotAccepted { status: 400, said: said.to_owned() }
    }

    fn forbidden() -> LlmError {
        LlmError::Unauthorized { status: 403, said: "no".to_owned() }
    }

    #[test]
    fn a_model_whose_answers_lead_to_nothing_pauses_ever_longer_and_is_switched_off() {
        let mut standing = Standing::default();
        let verdicts: Vec<Verdict> = (0..20)
            .map(|_| {
                standing.answered();
                standing.led_to_nothing("2 DIFF sections")
            })
            .collect();
        let pauses = verdicts.iter().enumerate().filter_map(|(at, verdict)| match verdict {
            Verdict::Pauses(_, pause) => Some((at + 1, pause.as_secs())),
            _ => None,
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [(5, 15), (10, 30), (15, 60)]);
        let Verdict::Ends(error) = &verdicts[19] else { panic!("{verdicts:?}") };
        assert_eq!(error.to_string(), "20 attempts in a row led to no candidate, the latest: 2 DIFF sections");
        assert!(verdicts[..19].iter().all(|verdict| !matches!(verdict, Verdict::Ends(_))));
        standing.led_to_candidate();
        assert_eq!(standing.led_to_nothing("again"), Verdict::Stays);
    }

    #[test]
    fn the_same_refusal_of_two_prompts_ends_it_and_that_of_one_prompt_does_not() {
        let mut standing = Standing::default();
        assert_eq!(standing.failed(refused("no top_k, id req_011CSHoEeqs5"), &prompt("a")), Verdict::Stays);
        assert_eq!(standing.failed(refused("no top_k, id req_099XYZoEeqs7"), &prompt("a")), Verdict::Stays);
        let error = refused("no top_k, id req_4711abcdefg");
        assert_eq!(standing.failed(error.clone(), &prompt("b")), Verdict::Ends(error));
    }

    #[test]
    fn redirections_and_replies_without_choices_end_it_as_refusals_do() {
        let redirected = |status: u16, number: usize| LlmError::Redirected {
            status,
            location: format!("/login?next={number}"),
            url: String::new(),
        };
        let no_choices = |number: usize| LlmError::NoChoices { said: number.to_string(), url: String::new() };
        assert_eq!(ends_at(&mut Standing::default(), |number| redirected(302, number)), Some(2));
        assert_eq!(ends_at(&mut Standing::default(), no_choices), Some(2));
        let answered = || Standing { has_answered: true, ..Standing::default() };
        assert_eq!(ends_at(&mut answered(), |number| redirected(302, number)), Some(3));
        assert_eq!(ends_at(&mut answered(), no_choices), Some(3));
        let mut standing = Standing::default();
        let alternating = |number: usize| redirected(if number.is_multiple_of(2) { 302 } else { 307 }, number);
        assert_eq!(ends_at(&mut standing, alternating), Some(20), "they differ, but none led to a candidate");
    }

    #[test]
    fn refusals_that_differ_or_have_an_answer_between_them_do_not_end_it() {
        let mut standing = Standing::default();
        assert_eq!(standing.failed(refused("9000 tokens of 4096"), &prompt("a")), Verdict::Stays);
        assert_eq!(standing.failed(refused("9100 tokens of 4096"), &prompt("b")), Verdict::Stays);
        standing.answered();
        assert_eq!(standing.failed(refused("9100 tokens of 4096"), &prompt("c")), Verdict::Stays);
        assert_eq!(
            standing.failed(LlmError::Empty, &prompt("d")),
            Verdict::Pauses(LlmError::Empty, LlmError::Empty.pause(1))
        );
        assert_eq!(standing.failed(refused("9100 tokens of 4096"), &prompt("e")), Verdict::Stays);
    }

    #[test]
    fn a_key_that_has_worked_is_refused_three_times_before_it_counts_as_wrong() {
        assert_eq!(Standing::default().failed(forbidden(), &prompt("a")), Verdict::Ends(forbidden()));
        let mut standing = Standing::default();
        standing.answered();
        assert_eq!(standing.failed(forbidden(), &prompt("a")), Verdict::Stays);
        assert_eq!(standing.failed(forbidden(), &prompt("b")), Verdict::Stays);
        assert_eq!(standing.failed(forbidden(), &prompt("c")), Verdict::Ends(forbidden()));
        let mut other = Standing::default();
        other.key_works();
        assert_eq!(other.failed(forbidden(), &prompt("a")), Verdict::Stays);
        assert_eq!(other.failed(forbidden(), &prompt("b")), Verdict::Ends(forbidden()));
        let broke = LlmError::NoCredit { status: 402, said: "pay".to_owned() };
        assert_eq!(standing.failed(broke.clone(), &prompt("d")), Verdict::Ends(broke));
    }

    #[test]
    fn a_body_that_stays_unreadable_ends_it_as_does_an_error_in_each_success() {
        let page = || LlmError::NotJson { detail: "a page".to_owned(), said: "<html>".to_owned(), url: String::new() };
        let mut standing = Standing::default();
        assert!(matches!(standing.failed(page(), &prompt("a")), Verdict::Pauses(..)));
        assert_eq!(standing.failed(page(), &prompt("b")), Verdict::Ends(page()));
        let failed = || LlmError::Failed { said: "unexpected endpoint".to_owned(), url: String::new() };
        let mut standing = Standing::default();
        assert!(matches!(standing.failed(failed(), &prompt("a")), Verdict::Pauses(..)));
        assert_eq!(standing.failed(failed(), &prompt("b")), Verdict::Ends(failed()));
        standing.answered();
        assert!(matches!(standing.failed(failed(), &prompt("a")), Verdict::Pauses(..)));
        assert!(matches!(standing.failed(failed(), &prompt("b")), Verdict::Pauses(..)));
    }

    fn broken(status: u16, said: &str) -> LlmError {
        LlmError::Server { status, retry_after_ms: None, said: said.to_owned() }
    }

    /// The number of the prompt at which it is switched off, of 20 that end so.
    fn ends_at(standing: &mut Standing, error: impl Fn(usize) -> LlmError) -> Option<usize> {
        let ends = |number: &usize| {
            let verdict = standing.failed(error(*number), &prompt(&number.to_string()));
            matches!(verdict, Verdict::Ends(_))
        };
        (1..=20).find(ends)
    }

    #[test]
    fn a_template_that_fails_for_each_prompt_ends_it_and_a_server_that_starts_does_not() {
        let template = |_| broken(500, "conversation roles must alternate, id req_011CSHoEeqs5");
        assert_eq!(ends_at(&mut Standing::default(), template), Some(5));
        assert_eq!(ends_at(&mut Standing::default(), |number| broken(500, &format!("lost {number}"))), None);
        for status in [502, 503, 504, 529] {
            assert_eq!(ends_at(&mut Standing::default(), |_| broken(status, "loading")), None, "{status}");
        }
        let mut standing = Standing::default();
        standing.answered();
        assert_eq!(ends_at(&mut standing, template), None, "it has worked");
        let mut standing = Standing::default();
        let once = |standing: &mut Standing| standing.failed(template(0), &prompt("the same"));
        assert!((0..20).all(|_| matches!(once(&mut standing), Verdict::Pauses(..))), "one prompt");
    }

    #[test]
    fn replies_that_stay_empty_end_it_after_more_prompts_than_a_refusal() {
        let mut standing = Standing::default();
        assert_eq!(ends_at(&mut standing, |_| LlmError::Empty), Some(5));
        let mut standing = Standing::default();
        standing.answered();
        assert!(
            (0..4).all(|number| standing.failed(LlmError::Empty, &prompt(&number.to_string()))
                != Verdict::Ends(LlmError::Empty))
        );
        standing.answered();
        assert_eq!(ends_at(&mut standing, |_| LlmError::Empty), Some(5), "an answer in between is a new beginning");
    }

    #[test]
    fn the_role_of_the_system_is_left_out_once() {
        let mut standing = Standing::default();
        let without = prompt("a").without_system();
        let template = LlmError::Server { status: 500, retry_after_ms: None, said: "Roles must alternate".to_owned() };
        assert!(!standing.may_lack_system(&LlmError::Empty, &prompt("a")));
        assert!(!standing.may_lack_system(&refused("no"), &without));
        assert!(standing.may_lack_system(&refused("no"), &prompt("a")));
        assert!(standing.may_lack_system(&template, &prompt("b")), "one that was sent at the same time");
        assert!(standing.is_not_about_system(&refused("no")));
        assert!(
            !standing.is_not_about_system(&refused("no")) && !standing.may_lack_system(&refused("no"), &prompt("c"))
        );
        let mut answered = Standing::default();
        answered.answered();
        assert!(!answered.may_lack_system(&refused("no"), &prompt("a")), "it has that role");
    }
}
