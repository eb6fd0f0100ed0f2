//! Branch: what git shows of a population beside `best`. A view of the search, like the notes; nothing reads it back.

use std::collections::BTreeMap;

use crate::candidate::{CandidateId, CommitId};
use crate::search::Search;

/// The branches of a run: `front/NUMBER` for every member of the front, `islands/NUMBER` for the best of every island.
pub fn branches(search: &Search) -> BTreeMap<String, CommitId> {
    let commit = |id: CandidateId| search.candidate(id).expect("BUG: a member is a candidate").commit;
    let front = search.archive().front().map(|member| (format!("front/{}", member.candidate), member.candidate));
    let islands = search.islands();
    let leaders = (0..islands.count()).filter_map(|island| {
        // Of equals the older, as with the best of a run.
        let older = |id: CandidateId| std::cmp::Reverse(id);
        let by_score = islands
            .members(island)
            .iter()
            .max_by(|a, b| a.score.total_cmp(&b.score).then(older(a.candidate).cmp(&older(b.candidate))));
        Some((format!("islands/{island}"), by_score?.candidate))
    });
    front.chain(leaders).map(|(name, id)| (name, commit(id))).collect()
}
