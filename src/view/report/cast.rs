//! Cast: the candidates that a report names.

use packevolve_contract::objective::Scores;

use crate::journal::Entry;
use crate::run::fold::Run;
use crate::search::{Candidate, Search};
use crate::values::candidate::CandidateId;
use crate::values::event::{Event, Proposer};
use crate::view::inspect::model_name;
use crate::view::plot::Name;

/// Figures cut longer names.
const LONGEST: usize = 34;

pub struct NamedCandidates<'a> {
    /// The run.
    pub run: &'a Run,
    /// All that happened, in order.
    pub entries: &'a [Entry<Event>],
    /// Its state after all that happened.
    pub search: &'a Search,
    /// The candidates of the corpus that were measured in full.
    pub corpus: Vec<CandidateId>,
    /// The best, if it is not the seed program.
    pub best: Option<CandidateId>,
    /// The Pareto front of quality and speed, the fastest first.
    pub front: Vec<CandidateId>,
    /// The cases in which the baseline leaves something to gain.
    pub counting: Vec<String>,
}

impl<'a> NamedCandidates<'a> {
    /// Of a run.
    pub fn of(run: &'a Run, entries: &'a [Entry<Event>]) -> Self {
        let search = &run.search;
        let is_given = |known: &Candidate| matches!(known.proposer, Some(Proposer::Corpus(_)));
        let given = search.candidates().filter(|(_, known)| is_given(known)).map(|(id, _)| id);
        let baseline = search.baseline().and_then(|baseline| search.scores(baseline));
        let cases = baseline.into_iter().flat_map(|scores| scores.cases);
        Self {
            run,
            entries,
            search,
            corpus: given.filter(|id| search.scores_of(*id).is_some()).collect(),
            best: search.best().map(|best| best.candidate).filter(|best| *best != CandidateId::SEED),
            front: search.elites().front().map(|member| member.candidate).collect(),
            counting: cases.filter(|case| case.quality.is_some()).map(|case| case.case).collect(),
        }
    }

    pub fn known(&self, id: CandidateId) -> &'a Candidate {
        self.search.candidate(id).expect("BUG: a candidate of the run")
    }

    /// Its scores on the windows of the search, if it was measured in full.
    pub fn scores(&self, id: CandidateId) -> Option<&'a Scores> {
        self.search.scores_of(id)
    }

    /// NAME of its proposal; its number where there is little room.
    pub fn name(&self, id: CandidateId) -> Name {
        let name = &self.known(id).name;
        let is_long = name.chars().count() > LONGEST;
        let long =
            if is_long { format!("{}…", name.chars().take(LONGEST - 1).collect::<String>()) } else { name.clone() };
        Name { long, short: if id == CandidateId::SEED { "seed".to_owned() } else { format!("#{id}") } }
    }

    /// Its proposer, in words.
    pub fn proposer(&self, id: CandidateId) -> String {
        match self.known(id).proposer {
            None => "the program that the search started from".to_owned(),
            Some(Proposer::Corpus(_)) => "given".to_owned(),
            Some(Proposer::Model(model)) => model_name(model, self.search).to_owned(),
            Some(proposer) => proposer.to_string(),
        }
    }

    /// All candidates that were measured in full, by number.
    pub fn measured(&self) -> impl Iterator<Item = (CandidateId, &'a Scores)> {
        self.search.candidates().filter_map(|(id, _)| Some((id, self.scores(id)?)))
    }

    /// Whether figures show a candidate by name.
    pub fn is_named(&self, id: CandidateId) -> bool {
        id == CandidateId::SEED || Some(id) == self.best || self.corpus.contains(&id)
    }

    /// The seed program, the corpus, the front and the best, each once, the highest score first.
    pub fn leading(&self) -> Vec<CandidateId> {
        let all = self.front.iter().chain(&self.corpus).copied().chain(self.best).chain([CandidateId::SEED]);
        let mut ranked: Vec<(CandidateId, f64)> =
            all.filter_map(|id| Some((id, self.scores(id)?.combined_score))).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.dedup_by_key(|(id, _)| *id);
        ranked.into_iter().map(|(id, _)| id).collect()
    }

    /// The line from the seed program to the best.
    pub fn winning_line(&self) -> Vec<CandidateId> {
        let mut line: Vec<CandidateId> = self.best.into_iter().collect();
        while let Some(parent) = line.last().and_then(|last| self.known(*last).parents.first()) {
            line.push(*parent);
        }
        line.reverse();
        line
    }

    /// The number of edits between the seed program and a candidate.
    pub fn generation(&self, id: CandidateId) -> usize {
        std::iter::successors(self.known(id).parents.first(), |id| self.known(**id).parents.first()).count()
    }

    /// The mean gap over the cases in which there is something to gain; `None` where there is none.
    pub fn mean_gap(&self, scores: &Scores) -> Option<f64> {
        let counting = scores.cases.iter().filter(|case| self.counting.contains(&case.case));
        packevolve_contract::statistic::mean(counting.map(|case| case.gap))
    }
}
