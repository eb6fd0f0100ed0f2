//! Select: draws members of a population.

use packevolve_contract::stream::Stream;
use rand::seq::IndexedRandom;

use crate::search::population::Member;
use crate::values::candidate::CandidateId;

/// Draws a parent from `members` (best first): the better its rank and the less often it was chosen, the likelier.
/// `None` without members.
pub fn parent(members: &[Member], times_chosen: impl Fn(CandidateId) -> u64, rng: &mut Stream) -> Option<CandidateId> {
    let weight = |(rank, candidate): &(usize, CandidateId)| {
        let chosen = times_chosen(*candidate) as f64;
        1.0 / ((rank + 1) as f64 * (1.0 + chosen).sqrt())
    };
    let ranked: Vec<(usize, CandidateId)> = members.iter().map(|member| member.candidate).enumerate().collect();
    ranked.choose_weighted(rng, weight).ok().map(|(_, candidate)| *candidate)
}

/// Draws one of `members`, the less often it was chosen, the likelier; its rank does not count. `None` without members.
pub fn least_chosen(
    members: &[Member],
    times_chosen: impl Fn(CandidateId) -> u64,
    rng: &mut Stream,
) -> Option<CandidateId> {
    let weight = |member: &Member| 1.0 / (1.0 + times_chosen(member.candidate) as f64);
    members.choose_weighted(rng, weight).ok().map(|member| member.candidate)
}

pub fn anyone(members: &[Member], rng: &mut Stream) -> Option<Member> {
    members.choose(rng).copied()
}

/// Draws up to `count` different `members` other than `parent`, the better ranks likelier.
pub fn inspirations(members: &[Member], parent: CandidateId, count: usize, rng: &mut Stream) -> Vec<CandidateId> {
    let mut left: Vec<Member> = members.iter().filter(|member| member.candidate != parent).copied().collect();
    let mut drawn = Vec::new();
    while drawn.len() < count
        && let Some(candidate) = self::parent(&left, |_| 0, rng)
    {
        left.retain(|member| member.candidate != candidate);
        drawn.push(candidate);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use packevolve_contract::stream::{Purpose, stream};

    fn draws(draw: impl Fn(&[Member], &mut Stream) -> Option<CandidateId>) -> [usize; 3] {
        let member = |(candidate, score)| Member::at(CandidateId(candidate), score, score);
        let members = [(0, 0.9), (1, 0.5), (2, 0.1)].map(member);
        let mut counts = [0; 3];
        for number in 0..1000 {
            let mut rng = stream(1, number, Purpose::Selection);
            counts[draw(&members, &mut rng).unwrap().index()] += 1;
        }
        counts
    }

    fn first_is_worn(candidate: CandidateId) -> u64 {
        if candidate.0 == 0 { 99 } else { 0 }
    }

    #[test]
    fn the_better_and_the_less_often_chosen_are_likelier() {
        let fresh = draws(|members, rng| parent(members, |_| 0, rng));
        assert!(fresh[0] > fresh[1] && fresh[1] > fresh[2] && fresh[2] > 0, "{fresh:?}");
        let worn = draws(|members, rng| parent(members, first_is_worn, rng));
        assert!(worn[0] < worn[1], "{worn:?}");
    }

    #[test]
    fn the_less_often_chosen_are_likelier_and_ranks_do_not_count() {
        let worn = draws(|members, rng| least_chosen(members, first_is_worn, rng));
        assert!(worn[0] < 40 && worn[1].abs_diff(worn[2]) < 100, "{worn:?}");
    }

    #[test]
    fn inspirations_are_different_members_other_than_the_parent() {
        let members = [0, 1, 2, 3].map(|number| Member::at(CandidateId(number), 0.5, 0.1 * number as f64));
        for number in 0..50 {
            let mut rng = stream(1, number, Purpose::Selection);
            let mut drawn = inspirations(&members, CandidateId(2), 5, &mut rng);
            drawn.sort();
            assert_eq!(drawn, [CandidateId(0), CandidateId(1), CandidateId(3)]);
        }
        assert_eq!(inspirations(&members[..1], CandidateId(0), 2, &mut stream(1, 1, Purpose::Selection)), []);
    }

    #[test]
    fn without_members_no_parent_is_chosen() {
        assert_eq!(parent(&[], |_| 0, &mut stream(1, 1, Purpose::Selection)), None);
    }
}
