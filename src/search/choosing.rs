//! Choosing: what to measure and what to try next.

use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::search::best::Best;
use crate::search::candidate::Candidate;
use crate::search::population::Member;
use crate::search::select;
use crate::search::state::{Attempt, Search};
use crate::values::candidate::CandidateId;
use crate::values::event::{Proposer, RequestForm, Selection, StopReason};
use crate::values::operator::Operator;
use crate::values::settings::Parts;
use crate::values::task::Task;

/// The proposers other than language models are given up after this many of their attempts in a row made no candidate.
pub(super) const EXHAUSTED_AFTER: u64 = 100;

/// How many other candidates a language model sees at most.
const MAX_INSPIRATIONS: usize = 3;
/// The share of requests to a language model that ask for a whole program, and that for a crossover; the rest asks for
/// an edit.
const REWRITES: f64 = 0.2;
const CROSSOVERS: f64 = 0.2;

/// The share of policies' parents that come from the front instead of an island. Islands keep what scores best at the prices
/// of the run, and the front is also for those who have others.
const FROM_FRONT: f64 = 0.5;
/// The share of those that `compose` changes by one of these operators, with their weights. Credit is for what enters an
/// island: it leads to other proposers, whose children hardly ever widen the front.
const COMPOSED: f64 = 0.7;
const ALONG_FRONT: [(Operator, u32); 3] = [(Operator::Tune, 70), (Operator::Add, 20), (Operator::Swap, 10)];
/// The share of the latter that takes a step towards the neighbour on the front instead, into the gap.
const BETWEEN: f64 = 0.5;

#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Attempt(Attempt),
    /// Nothing until a running evaluation or request has ended.
    Wait,
    Stop(StopReason),
}

impl Search {
    /// What to do next. It depends on the state alone: asking twice gives the same answer.
    ///
    /// While every slot has something to measure, only language models are selected: their answers take time.
    pub fn next(&self) -> Next {
        match self.decided() {
            Next::Stop(_) if self.next_partial().is_some() => Next::Wait,
            decided => decided,
        }
    }

    /// What to do next, apart from completing partial verdicts at the end.
    fn decided(&self) -> Next {
        if self.baseline.is_none() {
            return Next::Wait;
        }
        if let Some(selection) = self.next_given() {
            return Next::Attempt(Attempt { number: self.attempts, selection });
        }
        if self.searched() >= self.candidate_limit {
            return self.prune_or(|| self.stop_or_wait(StopReason::Candidates));
        }
        if self.has_reached_target() {
            // The end does not wait for models that have not answered yet.
            let is_settled =
                self.usual_tasks().next().is_none() && self.open.iter().all(|open| open.selection.form.is_some());
            return self.prune_or(|| if is_settled { Next::Stop(StopReason::Target) } else { Next::Wait });
        }
        if self.searched() + self.open.len() as u64 >= self.candidate_limit {
            return Next::Wait;
        }
        if self.is_exhausted() && self.models.ready().next().is_none() {
            return self.prune_or(|| self.stop_or_wait(StopReason::Exhausted));
        }
        let number = self.attempts;
        let selection = self.next_of_corpus().or_else(|| self.next_repair());
        match selection.or_else(|| self.next_cut(false)).or_else(|| self.drawn(number)) {
            Some(selection) => Next::Attempt(Attempt { number, selection }),
            // A paused model comes back.
            None if self.models.is_any_paused() => Next::Wait,
            None if self.has_no_proposer() => self.stop_or_wait(StopReason::NoProposer),
            None => self.stop_or_wait(StopReason::Exhausted),
        }
    }

    /// Whether the proposers other than language models find nothing new.
    fn is_exhausted(&self) -> bool {
        self.declined_in_a_row >= EXHAUSTED_AFTER
    }

    /// Whether there were only language models, and none of them can be asked.
    fn has_no_proposer(&self) -> bool {
        let Parts { compose, cross, mutate } = self.settings().search.proposers;
        self.models.count() > 0 && self.models.ready().next().is_none() && !(compose || cross || mutate)
    }

    /// The measurements to make, the most important first. A running one stays in the list until its event.
    pub fn tasks(&self) -> impl Iterator<Item = Task> {
        let is_end = !self.partial.is_empty() && matches!(self.decided(), Next::Stop(_));
        let last = self.next_partial().filter(|_| is_end && !self.is_completing());
        self.usual_tasks().chain(last.map(Task::Complete))
    }

    /// The same without what is measured only because nothing else is left. Verdicts are completed one at a time: the
    /// other slots search.
    fn usual_tasks(&self) -> impl Iterator<Item = Task> {
        let baseline = self.baseline.is_none().then_some(Task::Baseline);
        let partial = self.next_partial().filter(|_| self.is_completing()).map(Task::Complete);
        let (first, second) = if self.limit_near { (partial, None) } else { (None, partial) };
        let waiting = self.waiting.iter().filter(|_| self.baseline.is_some()).map(|id| Task::Evaluate(*id));
        let duel = self.next_duel().map(Task::Duel);
        baseline.into_iter().chain(first).chain(duel).chain(second).chain(waiting)
    }

    fn next_partial(&self) -> Option<CandidateId> {
        self.partial.keys().next().copied()
    }

    /// Whether partial verdicts are completed now: when half of the candidates are judged, or a limit is near.
    fn is_completing(&self) -> bool {
        self.limit_near || 2 * self.tally.ended() as u64 >= self.candidate_limit
    }

    fn stop_or_wait(&self, reason: StopReason) -> Next {
        if self.is_settled() { Next::Stop(reason) } else { Next::Wait }
    }

    fn is_settled(&self) -> bool {
        self.open.is_empty() && self.usual_tasks().next().is_none()
    }

    /// Candidates that count against the limit of the run: all but the pruned ones.
    fn searched(&self) -> u64 {
        self.candidates.len() as u64 - self.pruning.made()
    }

    /// Prunes the best before the run ends.
    fn prune_or(&self, end: impl FnOnce() -> Next) -> Next {
        match self.next_cut(true) {
            Some(selection) => Next::Attempt(Attempt { number: self.attempts, selection }),
            None => end(),
        }
    }

    /// Whether the best has its final score or won a duel. That of the baseline is final: it was not chosen by it.
    fn is_settled_on(&self, best: &Best) -> bool {
        !self.holds_out() || best.held_out.is_some() || self.is_baseline(best.candidate)
    }

    /// The next cut from the best. A pass begins when the best has stood for long, or when the search is at its end.
    fn next_cut(&self, is_at_end: bool) -> Option<Selection> {
        let best = self.best.as_ref().filter(|best| self.is_settled_on(best))?;
        let known = self.known(best.candidate);
        if self.is_busy() || known.proposer.is_none() {
            return None;
        }
        let may_begin = if is_at_end { self.is_settled() } else { self.pruning.has_stood(self.attempts) };
        let cut = Some(self.pruning.next(best.candidate, may_begin)?);
        let outclassed_below = Some(self.pruning.lowest(best));
        Some(Selection { cut, outclassed_below, ..Selection::of(Proposer::Prune, known.island, best.candidate) })
    }

    /// The first proposal of a person that was not tried. It comes before everything else, even if the run has its number
    /// of candidates, and is measured in full.
    fn next_given(&self) -> Option<Selection> {
        let given = self.given.get(self.given_tried)?;
        let island = self.known(given.parent).island;
        Some(Selection::of(Proposer::Person(self.given_tried), island, given.parent))
    }

    /// The first document of the corpus without an attempt. If the document that it builds on made no program, it goes
    /// to the seed program, where its mismatch is reported.
    fn next_of_corpus(&self) -> Option<Selection> {
        let before = self.attempts - self.given_tried as u64;
        let place = usize::try_from(before).ok().filter(|place| *place < self.corpus.len())?;
        let parent = self.origin.corpus[place].parent.and_then(|parent| *self.corpus.get(parent)?);
        let island = place % self.islands.count();
        Some(Selection::of(Proposer::Corpus(place), island, parent.unwrap_or(CandidateId::SEED)))
    }

    /// The first rejected candidate whose language model is free to repair it.
    fn next_repair(&self) -> Option<Selection> {
        let is_free =
            |candidate: &&CandidateId| self.known(**candidate).proposer.is_some_and(|by| self.can_request(by));
        let candidate = *self.models.rejected().iter().find(is_free)?;
        let Candidate { proposer, island, form, parents, .. } = self.known(candidate);
        let (parent, others) = parents.split_first().expect("BUG: a language model edits a program");
        let proposer = proposer.expect("BUG: a candidate of a language model");
        Some(Selection {
            inspirations: others.to_vec(),
            outclassed_below: self.islands.admission_score(*island),
            form: *form,
            repairs: Some(candidate),
            ..Selection::of(proposer, *island, *parent)
        })
    }

    /// Whether a proposer is a language model that can take a request now. None can while more candidates wait for a
    /// slot than there are slots.
    fn can_request(&self, proposer: Proposer) -> bool {
        let Proposer::Model(model) = proposer else { return false };
        let slots = self.slots();
        let open = self.open.iter().filter(|open| open.selection.proposer == proposer).count();
        let is_backed_up = self.waiting.len().saturating_sub(slots) > slots;
        self.models.is_ready(model) && open < self.settings().llm.models[model].max_concurrent && !is_backed_up
    }

    fn is_busy(&self) -> bool {
        self.usual_tasks().count() >= self.slots()
    }

    /// The slots to find work for. While there is none, something should be ready for the first that opens.
    fn slots(&self) -> usize {
        self.places.open().max(1)
    }

    /// A selection by chance: the islands take turns, the bandit chooses the proposer, the parent is drawn.
    pub(super) fn drawn(&self, attempt: u64) -> Option<Selection> {
        let mut rng = stream(self.settings().rng_seed, attempt, Purpose::Selection);
        let count = self.islands.count();
        let turn = usize::try_from(attempt % count as u64).expect("BUG: fewer islands than a usize holds");
        let island = (0..count).map(|on| (turn + on) % count).find(|at| !self.islands.members(*at).is_empty())?;
        let times_chosen = |id: CandidateId| self.known(id).times_chosen;
        let from_front = self.settings().evaluation.policy.is_some() && rng.random_bool(FROM_FRONT);
        let (parent, neighbour) = if from_front {
            let front: Vec<Member> = self.elites.front().copied().collect();
            // An attempt costs something before its candidate has been judged, and even if it makes none.
            let spent = |id: CandidateId| times_chosen(id) as f64 + self.known(id).child_seconds;
            select::lonely(&front, spent, &mut rng)?
        } else {
            (select::parent(self.islands.members(island), times_chosen, &mut rng)?, None)
        };
        let others = select::inspirations(&self.ranked(), parent, MAX_INSPIRATIONS, &mut rng);
        let is_busy = self.is_busy() || self.is_exhausted();
        let can = |proposer| match proposer {
            Proposer::Model(_) => self.can_request(proposer),
            Proposer::Cross => !is_busy && !others.is_empty(),
            _ => !is_busy,
        };
        let composes = from_front && self.settings().search.proposers.compose && can(Proposer::Compose);
        let is_along_front = composes && rng.random_bool(COMPOSED);
        let (proposer, operator) = if is_along_front {
            let drawn = ALONG_FRONT.choose_weighted(&mut rng, |(_, weight)| *weight).ok();
            (Proposer::Compose, drawn.map(|(operator, _)| *operator))
        } else {
            self.credit.choose(can)?
        };
        let neighbour = neighbour.filter(|_| is_along_front && rng.random_bool(BETWEEN));
        let form = matches!(proposer, Proposer::Model(_)).then(|| self.form(attempt, !others.is_empty()));
        let others = others.into_iter().take(shown(proposer));
        let inspirations = neighbour.map_or_else(|| others.collect(), |neighbour| vec![neighbour]);
        // A low score does not keep a policy off the front.
        let outclassed_below = self.islands.admission_score(island).filter(|_| !from_front);
        let of = Selection::of(proposer, island, parent);
        Some(Selection { inspirations, outclassed_below, operator, form, ..of })
    }

    fn form(&self, attempt: u64, has_others: bool) -> RequestForm {
        let draw: f64 = stream(self.settings().rng_seed, attempt, Purpose::Proposal).random();
        match draw {
            draw if draw < REWRITES => RequestForm::Rewrite,
            draw if draw < REWRITES + CROSSOVERS && has_others => RequestForm::Crossover,
            _ => RequestForm::Edit,
        }
    }

    fn ranked(&self) -> Vec<Member> {
        let mut members = self.elites.members();
        members.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.candidate.cmp(&b.candidate)));
        members
    }

    fn has_reached_target(&self) -> bool {
        let target = self.settings().search.target_score;
        let best = self.best.as_ref().filter(|best| self.is_settled_on(best));
        target.zip(best).is_some_and(|(target, best)| best.reported_score() >= target)
    }
}

fn shown(proposer: Proposer) -> usize {
    match proposer {
        Proposer::Cross => 1,
        Proposer::Model(_) => MAX_INSPIRATIONS,
        Proposer::Corpus(_) | Proposer::Person(_) | Proposer::Mutate | Proposer::Compose | Proposer::Prune => 0,
    }
}
