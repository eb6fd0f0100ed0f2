//! Data: the run that a report shows, and the candidates that it names.

use packevolve_contract::objective::Scores;

use crate::journal::Entry;
use crate::run::fold::Run;
use crate::search::{Candidate, Search};
use crate::values::candidate::CandidateId;
use crate::values::event::{Event, Proposer};
use crate::view::beside::Beside;
use crate::view::inspect::{device_name, proposer_name};
use crate::view::plot::Name;
use crate::view::terminal::cut;

/// Figures cut longer names.
pub const LONGEST: usize = 34;

pub struct ReportData<'a> {
    pub run: &'a Run,
    pub entries: &'a [Entry<Event>],
    /// The state after the last entry.
    pub search: &'a Search,
    /// The candidates of the corpus that were measured in full.
    pub corpus: Vec<CandidateId>,
    /// The best, if it is not the seed program.
    pub best: Option<CandidateId>,
    /// The Pareto front of quality and speed, the fastest first.
    pub front: Vec<CandidateId>,
    /// The cases in which the baseline leaves something to gain.
    pub counting: Vec<String>,
    /// Programs measured beside the best; none unless they were given.
    pub beside: &'a [Beside],
}

impl<'a> ReportData<'a> {
    pub fn of(run: &'a Run, entries: &'a [Entry<Event>]) -> Self {
        let search = &run.search;
        let is_given = |known: &Candidate| matches!(known.proposer, Some(Proposer::Corpus(_) | Proposer::Person(_)));
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
            beside: &[],
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
        let short = if id == CandidateId::SEED { "seed".to_owned() } else { format!("#{id}") };
        Name { long: cut(&self.known(id).name, LONGEST), short }
    }

    /// NAME of its proposal with the marks of its measurement.
    pub fn marked_name(&self, id: CandidateId) -> String {
        let known = self.known(id);
        let marks = [("inconsistent", known.inconsistencies.is_empty()), ("doubtful times", known.doubtful.is_empty())];
        let marks = marks.into_iter().filter(|(_, is_not)| !is_not).map(|(mark, _)| mark);
        let marks: Vec<&str> = marks.chain(device_name(self.search, known.device)).collect();
        if marks.is_empty() { known.name.clone() } else { format!("{} ({})", known.name, marks.join(", ")) }
    }

    pub fn proposer(&self, id: CandidateId) -> String {
        match self.known(id).proposer {
            None => "the program that the search started from".to_owned(),
            Some(Proposer::Corpus(_)) => "given".to_owned(),
            Some(Proposer::Person(_)) => "given while the run went".to_owned(),
            Some(proposer) => proposer_name(proposer, self.search),
        }
    }

    pub fn is_named(&self, id: CandidateId) -> bool {
        id == CandidateId::SEED || Some(id) == self.best || self.corpus.contains(&id)
    }

    /// The seed program, the corpus, the front and the best, each once, the highest score first.
    pub fn leading(&self) -> Vec<CandidateId> {
        let all = self.front.iter().chain(&self.corpus).copied().chain(self.best).chain([CandidateId::SEED]);
        let mut leading: Vec<CandidateId> = all.filter(|id| self.scores(*id).is_some()).collect();
        self.rank(&mut leading);
        leading.dedup();
        leading
    }

    pub fn rank(&self, candidates: &mut [CandidateId]) {
        let score = |id: CandidateId| self.scores(id).map_or(0.0, |scores| scores.combined_score);
        candidates.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
    }

    pub fn winning_line(&self) -> Vec<CandidateId> {
        self.best.map_or(Vec::new(), |best| self.search.line_to(best))
    }

    pub fn generation(&self, id: CandidateId) -> usize {
        self.search.line_to(id).len() - 1
    }

    /// Whether the target is a whole policy.
    pub fn is_policy(&self) -> bool {
        self.search.settings().evaluation.policy.is_some()
    }

    /// The mean gap over the cases in which there is something to gain; `None` where there is none.
    pub fn mean_gap(&self, scores: &Scores) -> Option<f64> {
        let counting = scores.cases.iter().filter(|case| self.counting.contains(&case.case));
        packevolve_contract::statistic::mean(counting.map(|case| case.gap))
    }
}

/// The seconds that a judge spent on the measurement that an event records; 0 for other events.
pub fn judge_seconds(event: &Event) -> f64 {
    match event {
        Event::BaselineEvaluated { measurement, .. } => measurement.evaluation_seconds,
        Event::CandidateEvaluated { evaluation, .. } => evaluation.seconds(),
        // Each side has the time of the whole duel.
        Event::DuelEnded { duel, .. } => duel.contender.seconds().max(duel.best.seconds()),
        _ => 0.0,
    }
}
