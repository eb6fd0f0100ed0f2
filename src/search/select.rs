//! Select: which member of the population is edited next.

use packevolve_contract::stream::Stream;
use rand::RngExt;

use crate::candidate::CandidateId;
use crate::search::population::Member;

/// Draws a parent from `members` (best first): the better its rank and the less often it was chosen, the likelier.
/// `None` of nobody.
pub fn parent(members: &[Member], times_chosen: impl Fn(CandidateId) -> u64, rng: &mut Stream) -> Option<CandidateId> {
    let weight = |(rank, member): (usize, &Member)| {
        let chosen = times_chosen(member.candidate) as f64;
        1.0 / ((rank + 1) as f64 * (1.0 + chosen).sqrt())
    };
    let weights: Vec<f64> = members.iter().enumerate().map(weight).collect();
    let mut draw = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (member, weight) in members.iter().zip(&weights) {
        draw -= weight;
        if draw < 0.0 {
            return Some(member.candidate);
        }
    }
    members.last().map(|member| member.candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packevolve_contract::objective::Scores;
    use packevolve_contract::stream::{Purpose, stream};

    fn draws(times_chosen: impl Fn(CandidateId) -> u64 + Copy) -> [usize; 3] {
        let scores = |combined_score| Scores {
            combined_score,
            quality: None,
            speed_score: combined_score,
            balancedness_score: 0.0,
            unit_seconds: None,
            ..Scores::default()
        };
        let member = |(candidate, score)| Member::new(CandidateId(candidate), &scores(score));
        let members = [(0, 0.9), (1, 0.5), (2, 0.1)].map(member);
        let mut counts = [0; 3];
        for number in 0..1000 {
            let mut rng = stream(1, number, Purpose::Selection);
            counts[parent(&members, times_chosen, &mut rng).unwrap().index()] += 1;
        }
        counts
    }

    #[test]
    fn the_better_and_the_less_often_chosen_are_likelier() {
        let fresh = draws(|_| 0);
        assert!(fresh[0] > fresh[1] && fresh[1] > fresh[2] && fresh[2] > 0, "{fresh:?}");
        let worn = draws(|candidate| if candidate.0 == 0 { 99 } else { 0 });
        assert!(worn[0] < worn[1], "{worn:?}");
    }

    #[test]
    fn of_nobody_nobody_is_chosen() {
        assert_eq!(parent(&[], |_| 0, &mut stream(1, 1, Purpose::Selection)), None);
    }
}
