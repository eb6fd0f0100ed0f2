//! Mutate: changes numeric constants of the parent, usually one, sometimes two or three, and now and then its
//! structure: a statement, an operator, an early exit, the type of a tensor, how a function is compiled.
//!
//! Most programs have a few untuned numbers: rounds, attempts, thresholds. Mutate tries defaults of parameters and
//! bounds of loops first; 0, 1, -1 and shapes of tensors last. It draws only from the caller's stream, so a proposal
//! can be repeated. It never proposes a program that the caller has seen or that does not parse.

use std::cmp::Reverse;

use packevolve_contract::stream::Stream;
use rand::seq::IndexedRandom;

use crate::edit::proposal::Proposal;
use crate::edit::region::Region;
use crate::proposer::change::{proposal, replaced};
use crate::proposer::compiled;
use crate::proposer::dead_code::without_dead_code;
use crate::proposer::structural::{Alteration, alterations};
use crate::proposer::syntax::{Number, Role, is_sound, numbers};
use crate::values::operator::Operator;

/// Draws before it gives up.
const DRAWS: usize = 256;
/// Draws of one operator before it tries the others.
const DRAWS_OF_ONE: usize = 64;
/// Weights of changing two or three constants together.
const TOGETHER: [(usize, u32); 2] = [(2, 2), (3, 1)];
/// Characters of a constant's name in the proposal's name.
const NAME_PART: usize = 20;

/// The weight of a role when a constant is drawn; constants of equal weight are equally likely.
fn weight(role: Role) -> u32 {
    match role {
        Role::Default | Role::Bound => 74,
        Role::Other => 24,
        Role::Structural => 2,
    }
}

/// Proposes a change of the editable region of `parent` that leads to a program not yet `seen`: by the operator `asked`
/// for, or by any other if that finds none. `None` if a bounded number of draws finds none.
pub fn propose(
    parent: &str,
    asked: Option<Operator>,
    rng: &mut Stream,
    seen: &dyn Fn(&str) -> bool,
) -> Option<(Operator, Proposal)> {
    // A measured parent may use newer Python than the grammar.
    let readable = is_sound(parent);
    let mut ground = Ground { parent, constants: constants(parent), found: Vec::new() };
    let asked = asked.into_iter().flat_map(|operator| std::iter::repeat_n(Some(operator), DRAWS_OF_ONE));
    asked.chain(std::iter::repeat_n(None, DRAWS)).find_map(|operator| {
        let operator = operator.or_else(|| Operator::MUTATE.choose(rng).copied())?;
        let (child, name, description) = ground.changed(operator, rng)?;
        if child == parent || seen(&child) || readable && !is_sound(&child) {
            return None;
        }
        Some((operator, proposal(parent, &child, &name, &description)?))
    })
}

struct Ground<'a> {
    parent: &'a str,
    constants: Vec<Number>,
    /// Found on first use: most proposals need none.
    found: Vec<(Operator, Vec<Alteration>)>,
}

impl Ground<'_> {
    /// The parent with a drawn change, its name and its description; `None` if the operator finds nothing to change.
    fn changed(&mut self, operator: Operator, rng: &mut Stream) -> Option<(String, String, String)> {
        if matches!(operator, Operator::Constant | Operator::Constants | Operator::LoopBound) {
            return self.with_constants(operator, rng);
        }
        let parent = self.parent;
        if !self.found.iter().any(|(known, _)| *known == operator) {
            let alterations = match operator {
                Operator::JitOption | Operator::LoopOrder => compiled::alterations(parent, operator),
                _ => alterations(parent, operator),
            };
            self.found.push((operator, alterations));
        }
        let (_, all) = self.found.iter().find(|(known, _)| *known == operator)?;
        let Alteration { replacements, name, description, .. } = all.choose(rng)?;
        let child = without_dead_code(parent, &replaced(parent, replacements));
        Some((child, format!("mutate_{name}"), description.clone()))
    }

    fn with_constants(&self, operator: Operator, rng: &mut Stream) -> Option<(String, String, String)> {
        let mut constants: Vec<&Number> = self.constants.iter().collect();
        let together = match operator {
            Operator::Constants => TOGETHER.choose_weighted(rng, |(_, weight)| *weight).ok()?.0,
            _ => 1,
        };
        if together == 1 {
            constants.retain(|number| (number.role == Role::Bound) == (operator == Operator::LoopBound));
        }
        let mut changes = draw(&constants, together, rng)?;
        changes.sort_by_key(|change| change.number.span.start);
        let parent = self.parent;
        let replacement = |change: &Change<'_>| (change.number.span.clone(), change.literal.clone());
        let replacements: Vec<_> = changes.iter().map(replacement).collect();
        Some((replaced(parent, &replacements), name(parent, &changes), description(parent, &changes)))
    }
}

/// A constant and its replacement.
struct Change<'a> {
    number: &'a Number,
    literal: String,
}

/// The constants of the editable region that have a step, the most promising first.
fn constants(parent: &str) -> Vec<Number> {
    let Ok(region) = Region::of(parent) else { return Vec::new() };
    let mut constants = numbers(parent);
    constants.retain(|number| region.around(&number.span).is_some() && !steps(number).is_empty());
    constants.sort_by_key(|number| (number.role, number.span.start));
    constants
}

fn steps(number: &Number) -> Vec<String> {
    number.literal.steps(matches!(number.role, Role::Default | Role::Bound))
}

/// `count` different constants with a step each; `None` if there are fewer.
fn draw<'a>(constants: &[&'a Number], together: usize, rng: &mut Stream) -> Option<Vec<Change<'a>>> {
    let mut left = constants.to_vec();
    let mut changes = Vec::new();
    while changes.len() < together {
        let number = draw_constant(&left, rng)?;
        left.retain(|other| other.span != number.span);
        changes.push(Change { number, literal: steps(number).choose(rng)?.clone() });
    }
    Some(changes)
}

/// Draws a weight, then one of the constants that have it.
fn draw_constant<'a>(constants: &[&'a Number], rng: &mut Stream) -> Option<&'a Number> {
    let mut weights: Vec<u32> = constants.iter().map(|number| weight(number.role)).collect();
    weights.sort_unstable_by_key(|weight| Reverse(*weight));
    weights.dedup();
    let drawn = *weights.choose_weighted(rng, |weight| *weight).ok()?;
    let of_weight: Vec<&Number> = constants.iter().copied().filter(|number| weight(number.role) == drawn).collect();
    of_weight.choose(rng).copied()
}

/// `mutate_num_attempts_5_to_2`, with `_and_1_more` for further constants, in ASCII.
fn name(parent: &str, changes: &[Change<'_>]) -> String {
    let part = |change: &Change<'_>| {
        let number = change.number;
        let what = match number.role {
            Role::Bound => "range",
            _ => number.name.as_deref().or(number.function.as_deref()).unwrap_or("constant"),
        };
        let what = what.trim_start_matches('_').chars().take(NAME_PART);
        let what: String = what.map(|char| if char.is_ascii() { char } else { '_' }).collect();
        format!("{what}_{}_to_{}", solid(&parent[number.span.clone()]), change.literal)
    };
    // Names only the first, because `git blame` prints the name before every line.
    let more = match changes.len() {
        0 | 1 => String::new(),
        several => format!("_and_{}_more", several - 1),
    };
    format!("mutate_{}{more}", changes.first().map(part).unwrap_or_default())
}

fn solid(number: &str) -> String {
    number.split_whitespace().collect()
}

fn description(parent: &str, changes: &[Change<'_>]) -> String {
    let sentence = |change: &Change<'_>| {
        let number = change.number;
        let name = number.name.as_deref().map(|name| format!(" `{name}`")).unwrap_or_default();
        let what = match number.role {
            Role::Default => format!("the default of{name}"),
            Role::Bound => "a bound of a loop".to_owned(),
            Role::Other | Role::Structural => format!("the constant{name}"),
        };
        let place = number.function.as_deref().map(|function| format!(" in `{function}`")).unwrap_or_default();
        let old = solid(&parent[number.span.clone()]);
        format!("Changes {what}{place}, line {}, from {old} to {}.", number.line, change.literal)
    };
    changes.iter().map(sentence).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    use packevolve_contract::stream::{Purpose, stream};

    use super::*;
    use crate::edit::proposal::NAME_LENGTH;

    const PARENT: &str = "LIMIT = 4\n\n# EVOLVE-BLOCK-START\n\
        def pack(weight, packs, num_attempts: int = 5):\n    \"\"\"Pack 7 things.\"\"\"\n    best = weight.sum(1)[0]  # 9\n    \
        for _ in range(20):\n        best = best * 1.05\n    return best\n# EVOLVE-BLOCK-END\nTAIL = 6\n";

    fn draw_many(parent: &str, times: u64) -> Vec<Proposal> {
        let rng = |number| stream(7, number, Purpose::Proposal);
        // All operators are equally likely.
        let asked = |number| Some(Operator::MUTATE[number as usize % Operator::MUTATE.len()]);
        let one = |number| Some(propose(parent, asked(number), &mut rng(number), &|_| false)?.1);
        (0..times).filter_map(one).collect()
    }

    #[test]
    fn proposals_apply_to_the_parent_and_read_back() {
        for proposal in draw_many(PARENT, 200) {
            let child = proposal.edit.apply(PARENT).unwrap();
            assert_ne!(child, PARENT);
            assert_eq!(Proposal::parse(&proposal.to_string()), Ok(proposal));
        }
    }

    #[test]
    fn structure_changes_too_and_the_result_parses() {
        let parent = "# EVOLVE-BLOCK-START\nimport math\n\n\ndef _root(x):\n    return math.sqrt(x)\n\n\ndef pack(w, n=3):\n    \
            w = w.cpu().float()\n    for i in range(n):\n        better = w > i\n        w = w + 1\n        \
            w = _root(w)\n    return w\n# EVOLVE-BLOCK-END\n";
        let proposals = draw_many(parent, 400);
        let names: BTreeSet<&str> = proposals.iter().map(|proposal| proposal.name.as_str()).collect();
        for name in [
            "mutate_drop_pack_13",
            "mutate_repeat_pack_14",
            "mutate_exchange_pack_12",
            "mutate_pack_13_plus_to_minus",
            "mutate_pack_12_exit",
            "mutate_pack_10_float_to_double",
            "mutate_n_3_to_6",
        ] {
            assert!(names.contains(name), "{name} is not among {names:?}");
        }
        let dropped = proposals.iter().find(|proposal| proposal.name == "mutate_drop_pack_14").unwrap();
        let child = dropped.edit.apply(parent).unwrap();
        assert!(
            !child.contains("_root") && !child.contains("import"),
            "what has lost its use is still there:\n{child}"
        );
        assert!(proposals.iter().all(|proposal| is_sound(&proposal.edit.apply(parent).unwrap())));
    }

    #[test]
    fn a_proposal_says_what_it_changes() {
        let proposals = draw_many(PARENT, 1000);
        let find = |name: &str| proposals.iter().find(|proposal| proposal.name == name);
        let proposal = find("mutate_num_attempts_5_to_2").expect("never drawn");
        let description = "Changes the default of `num_attempts` in `pack`, line 4, from 5 to 2.";
        assert_eq!(proposal.description, description);
        let proposal = find("mutate_range_20_to_40").expect("never drawn");
        assert_eq!(proposal.description, "Changes a bound of a loop in `pack`, line 7, from 20 to 40.");
        let proposal = find("mutate_pack_1.05_to_1.1").expect("never drawn");
        assert_eq!(proposal.description, "Changes the constant in `pack`, line 8, from 1.05 to 1.1.");
    }

    #[test]
    fn only_the_region_changes_and_never_strings_or_comments() {
        // Deleting a statement deletes the comment on its line.
        let kept = |proposal: &Proposal| !proposal.name.starts_with("mutate_drop");
        for proposal in draw_many(PARENT, 300).into_iter().filter(kept) {
            let child = proposal.edit.apply(PARENT).unwrap();
            for kept in ["LIMIT = 4\n", "Pack 7 things", "# 9\n", "TAIL = 6\n"] {
                assert!(child.contains(kept), "{kept} is gone:\n{proposal}");
            }
        }
    }

    #[test]
    fn knobs_are_drawn_most_and_structure_least() {
        let mut times: BTreeMap<u32, usize> = BTreeMap::new();
        let constants = constants(PARENT);
        let roles: Vec<Role> = constants.iter().map(|number| number.role).collect();
        assert_eq!(roles, [Role::Default, Role::Bound, Role::Other, Role::Structural, Role::Structural]);
        for number in 0..500 {
            let all: Vec<&Number> = constants.iter().collect();
            let changes = draw(&all, 1, &mut stream(1, number, Purpose::Proposal)).unwrap();
            *times.entry(weight(changes[0].number.role)).or_default() += 1;
        }
        let times = [Role::Default, Role::Other, Role::Structural].map(|role| times[&weight(role)]);
        assert!(times[0] > 2 * times[1], "{times:?}");
        assert!(times[1] > 4 * times[2], "{times:?}");
    }

    #[test]
    fn an_operator_does_its_own_and_where_it_has_nothing_to_do_another_one_does() {
        let rng = |number| stream(7, number, Purpose::Proposal);
        for number in 0..20 {
            let asked = |operator| propose(PARENT, Some(operator), &mut rng(number), &|_| false).unwrap();
            let (operator, proposal) = asked(Operator::LoopBound);
            assert!(operator == Operator::LoopBound && proposal.name.starts_with("mutate_range_20_to_"), "{proposal}");
            let (operator, proposal) = asked(Operator::Constants);
            assert!(operator == Operator::Constants && proposal.name.ends_with("_more"), "{proposal}");
            assert_ne!(asked(Operator::EarlyExit).0, Operator::EarlyExit);
        }
    }

    #[test]
    fn equal_streams_make_equal_proposals() {
        assert_eq!(draw_many(PARENT, 50), draw_many(PARENT, 50));
        let names: BTreeSet<String> = draw_many(PARENT, 50).into_iter().map(|proposal| proposal.name).collect();
        assert!(names.len() > 10);
    }

    #[test]
    fn nothing_seen_is_proposed_again_and_it_ends() {
        let parent = "def f(tries=3):\n    return tries\n";
        let seen = RefCell::new(BTreeSet::from([parent.to_owned()]));
        let mut rng = stream(1, 1, Purpose::Proposal);
        while let Some((_, proposal)) = propose(parent, None, &mut rng, &|text| seen.borrow().contains(text)) {
            assert!(seen.borrow_mut().insert(proposal.edit.apply(parent).unwrap()));
        }
        let default = |text: &String| text.split(['=', ')']).nth(1).unwrap().to_owned();
        let tries: BTreeSet<String> = seen.into_inner().iter().map(default).collect();
        assert_eq!(tries, ["1", "15", "2", "3", "4", "6"].map(str::to_owned).into());
    }

    #[test]
    fn a_program_without_constants_or_with_broken_markers_has_no_mutation() {
        for parent in ["", "def f(x):\n    return x\n", "# EVOLVE-BLOCK-START\nx = 5\n"] {
            assert_eq!(propose(parent, None, &mut stream(1, 1, Purpose::Proposal), &|_| false), None, "{parent}");
        }
    }

    #[test]
    fn names_are_bounded_and_ascii() {
        let parent = "größe_der_größten_Packung_überhaupt = 9223372036854775\n".repeat(3).replace("9223", "12345");
        for proposal in draw_many(&format!("{parent}x = 2.\ny = - 3\n"), 200) {
            assert!(proposal.name.is_ascii() && proposal.name.len() <= NAME_LENGTH, "{}", proposal.name);
        }
    }
}
