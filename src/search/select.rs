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

/// Draws a member of a `front` (the fastest first), and its neighbour on the side where the gap is wider: the wider the gaps
/// on both sides, and the less was spent on it, the likelier. Beyond an end there is no neighbour, and the gap is as wide as the
/// widest, so that the front grows there, too. `None` without members.
///
/// What is spent on a member counts in judge seconds of its children. No other program may use what Numba compiled for a
/// function that was changed, so each child of a program with one takes several times as long as others do.
///
/// The distance is that of NSGA-II (Deb et al. 2002), of speed and of the logarithm of what quality lacks of 1. Of policies
/// that move little this is a hundred times as much as of the best ones: on a linear scale nearly all distance was there.
pub fn lonely(
    front: &[Member],
    spent: impl Fn(CandidateId) -> f64,
    rng: &mut Stream,
) -> Option<(CandidateId, Option<CandidateId>)> {
    let (first, last) = (front.first()?, front.last()?);
    let share = |one: f64, other: f64, whole: f64| if whole > 0.0 { (one - other).abs() / whole } else { 1.0 };
    let lack = |member: &Member| member.lack().ln();
    let (speeds, lacks) = (first.speed - last.speed, lack(first) - lack(last));
    let apart =
        |one: &Member, other: &Member| share(one.speed, other.speed, speeds) + share(lack(one), lack(other), lacks);
    let gaps: Vec<f64> = front.windows(2).map(|pair| apart(&pair[0], &pair[1])).collect();
    let widest = gaps.iter().copied().fold(f64::EPSILON, f64::max);
    let gap = |gap: Option<usize>| gap.and_then(|gap| gaps.get(gap)).copied().unwrap_or(widest);
    let around = |at: usize| [at.checked_sub(1), Some(at)].map(gap);
    let weight = |at: &usize| around(*at).iter().sum::<f64>() / (1.0 + spent(front[*at].candidate));
    let places: Vec<usize> = (0..front.len()).collect();
    let at = *places.choose_weighted(rng, weight).ok()?;
    let [before, after] = around(at);
    let neighbour = if before > after { at.checked_sub(1) } else { Some(at + 1) };
    Some((front[at].candidate, neighbour.and_then(|at| front.get(at)).map(|member| member.candidate)))
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
    fn of_a_front_those_on_which_less_was_spent_and_those_with_distant_neighbours_are_likelier() {
        let worn = draws(|front, rng| Some(lonely(front, |candidate| first_is_worn(candidate) as f64, rng)?.0));
        assert!(worn[0] < 40 && worn[1] > 300 && worn[2] > 300, "{worn:?}");
        let front = |members: [(f64, f64); 4]| {
            let member = |(number, (quality, speed))| Member::at(CandidateId(number as u64), quality, speed);
            members.into_iter().enumerate().map(member).collect::<Vec<_>>()
        };
        let counted = |front: &[Member], candidate| {
            let drawn = |number| lonely(front, |_| 0.0, &mut stream(1, number, Purpose::Selection)).unwrap();
            (0..1000).filter(|number| drawn(*number).0 == CandidateId(candidate)).count()
        };
        let near = front([(0.0, 1.0), (0.1, 0.9), (0.2, 0.8), (0.9, 0.0)]);
        assert!(counted(&near, 2) > 3 * counted(&near, 1), "{} {}", counted(&near, 2), counted(&near, 1));
        let steep = front([(-26.0, 1.0), (-9.0, 0.95), (0.8, 0.85), (0.98, 0.7)]);
        assert!(4 * counted(&steep, 2) > 5 * counted(&steep, 1), "{} {}", counted(&steep, 2), counted(&steep, 1));
        let even = front([(0.0, 1.0), (0.2, 0.9), (0.36, 0.8), (0.488, 0.7)]);
        assert!(counted(&even, 0).abs_diff(counted(&even, 1)) < 80, "{} {}", counted(&even, 0), counted(&even, 1));
        let farther = |place: u64| {
            let drawn =
                (0..1000).map(|number| lonely(&near, |_| 0.0, &mut stream(1, number, Purpose::Selection)).unwrap());
            drawn.filter(|(drawn, _)| *drawn == CandidateId(place)).find_map(|(_, neighbour)| Some(neighbour?.0))
        };
        assert_eq!([0, 1, 2, 3].map(farther), [None, Some(2), Some(3), None]);
        let alone = lonely(&near[..1], |_| 0.0, &mut stream(1, 1, Purpose::Selection));
        assert_eq!(alone, Some((CandidateId(0), None)));
        assert_eq!(lonely(&[], |_| 0.0, &mut stream(1, 1, Purpose::Selection)), None);
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
