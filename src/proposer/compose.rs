//! Compose: assembles a whole `balanced_packing` from the building blocks of a catalogue.
//!
//! If the parent is a composed program or descends from one, compose mostly takes a step or two: another value of a
//! parameter, another block. Other changes to the parent's functions stay. It replaces any other parent. It draws only
//! from the caller's stream and never proposes a program that the caller has seen.

use std::ops::Range;

use packevolve_contract::stream::Stream;
use rand::RngExt;

use crate::edit::proposal::Proposal;
use crate::proposer::catalogue::{BlockKind, Catalogue, FRAME};
use crate::proposer::change::proposal;
use crate::proposer::recipe::{ENTRY, PACK, Part, Recipe, Variation, region_with_entry};
use crate::proposer::syntax::is_sound;
use crate::values::operator::Operator;

/// Draws before it gives up.
const DRAWS: usize = 64;
/// Draws of one operator before it tries the others.
const DRAWS_OF_ONE: usize = 16;
/// Percentage of new draws where the parent could be varied.
const AFRESH: u32 = 15;
/// Percentage of variations that take one more step; applies again after each step.
const FURTHER: u32 = 30;

/// Proposes a program that replaces the editable region of `parent` and is not `seen`: by the operator `asked` for, or
/// by any other if that finds none. `None` if a bounded number of draws finds none, or if not exactly one region holds
/// `balanced_packing`.
pub fn propose(
    parent: &str,
    catalogue: &Catalogue,
    asked: Option<Operator>,
    rng: &mut Stream,
    seen: &dyn Fn(&str) -> bool,
) -> Option<(Operator, Proposal)> {
    let (region, functions) = region_with_entry(parent)?;
    let own = |name: &str| {
        let function = functions.iter().find(|function| function.name == name)?;
        Some(parent[function.span.clone()].trim_end().to_owned() + "\n")
    };
    let recipe = Recipe::of(parent, catalogue);
    let asked = asked.into_iter().flat_map(|operator| std::iter::repeat_n(Some(operator), DRAWS_OF_ONE));
    asked.chain(std::iter::repeat_n(None, DRAWS)).find_map(|operator| {
        let afresh = operator.map_or_else(|| rng.random_ratio(AFRESH, 100), |operator| operator == Operator::Assemble);
        let varied = recipe.as_ref().filter(|_| !afresh);
        let plan = varied.and_then(|recipe| Plan::varied(recipe, catalogue, operator, rng));
        let plan = plan.unwrap_or_else(|| Plan { recipe: Recipe::drawn(catalogue, rng), variations: Vec::new() });
        let kept = |name: &str| if plan.variations.is_empty() { None } else { own(name) };
        let child = with_region(parent, &region, &region_text(&plan.recipe, catalogue, kept));
        if child == parent || seen(&child) || !is_sound(&child) {
            return None;
        }
        Some((plan.operator(), proposal(parent, &child, &plan.name(), &plan.description(catalogue))?))
    })
}

/// A recipe and the variations that led to it; a new draw has none.
struct Plan {
    recipe: Recipe,
    variations: Vec<Variation>,
}

impl Plan {
    fn varied(recipe: &Recipe, catalogue: &Catalogue, operator: Option<Operator>, rng: &mut Stream) -> Option<Self> {
        let (recipe, first) = recipe.varied(catalogue, operator, rng)?;
        let mut plan = Self { recipe, variations: vec![first] };
        while rng.random_ratio(FURTHER, 100) {
            let (recipe, next) = plan.recipe.varied(catalogue, None, rng)?;
            plan.recipe = recipe;
            plan.variations.push(next);
        }
        Some(plan)
    }

    /// Its operator; for a variation that of the first step.
    fn operator(&self) -> Operator {
        self.variations.first().map_or(Operator::Assemble, |first| first.operator)
    }

    /// `compose_chunked4_opposite8x4`, or the first step of a variation.
    fn name(&self) -> String {
        let Some(first) = self.variations.first() else {
            let named =
                self.recipe.parts().iter().filter(|part| !matches!(part.kind, BlockKind::Bound | BlockKind::Select));
            return format!("compose_{}", named.map(part_name).collect::<Vec<_>>().join("_"));
        };
        let more = match self.variations.len() {
            1 => String::new(),
            several => format!("_and_{}_more", several - 1),
        };
        format!("compose_{}{more}", first.name)
    }

    fn description(&self, catalogue: &Catalogue) -> String {
        let mut lines: Vec<String> = self.variations.iter().map(|step| step.description.clone()).collect();
        lines.push("Assembled of the building blocks".to_owned());
        lines.extend(self.recipe.parts().iter().map(|part| format!("* {}: {}", part.block, said(part, catalogue))));
        lines.join("\n")
    }
}

fn part_name(part: &Part) -> String {
    let values: Vec<&str> = part.values.iter().map(|(_, value)| value.as_str()).collect();
    format!("{}{}", part.short(), values.join("x"))
}

/// The description of a block, with parameter values filled in.
fn said(part: &Part, catalogue: &Catalogue) -> String {
    let says = catalogue.get(&part.block).map_or("", |block| block.says.as_str()).to_owned();
    part.values.iter().fold(says, |says, (name, value)| says.replace(&format!("{{{name}}}"), value))
}

/// `parent` with its region replaced.
fn with_region(parent: &str, region: &Range<usize>, text: &str) -> String {
    let (before, after) = (&parent[..region.start], &parent[region.end..]);
    let torch = if before.lines().any(|line| line == "import torch") { "" } else { "import torch\n" };
    format!("{before}import numpy as np\n{torch}\n\n{text}{after}")
}

/// The functions of a composed program; `kept` may override the text of a block's function.
fn region_text(recipe: &Recipe, catalogue: &Catalogue, kept: impl Fn(&str) -> Option<String>) -> String {
    let [sorted, placement] = FRAME;
    let parts = recipe.parts().iter().map(|part| part.block.as_str());
    let block = |name: &str| {
        let block = catalogue.get(name).expect("BUG: a recipe names a block that the catalogue lacks");
        kept(&block.function()).unwrap_or_else(|| block.text.clone())
    };
    let blocks = catalogue.with_needs(std::iter::once(sorted).chain(parts).chain([placement]));
    let mut texts: Vec<String> = blocks.into_iter().map(block).collect();
    texts.extend([pack_text(recipe), entry_text(recipe)]);
    texts.join("\n\n")
}

fn call(part: &Part, arguments: &str) -> String {
    let values: String = part.values.iter().map(|(name, value)| format!(", {name}={value}")).collect();
    format!("_{}({arguments}{values})", part.block)
}

fn pack_text(recipe: &Recipe) -> String {
    let mut lines = vec![
        format!("def {PACK}(items, bound, num_packs):"),
        "    \"\"\"One attempt at all rows: `items` in order, into packs, and those refined.\"\"\"".to_owned(),
    ];
    let order = recipe.of_kind(BlockKind::Order).map(|part| format!("    items = {}", call(part, "items, num_packs")));
    lines.extend(order);
    let mut assignments = recipe.of_kind(BlockKind::Assign);
    lines.extend(assignments.next().map(|part| format!("    packs, loads = {}", call(part, "items, num_packs"))));
    for (select, second) in recipe.of_kind(BlockKind::Select).zip(assignments) {
        let second = call(second, "items, num_packs");
        lines.push(format!("    {}", call(select, &format!("packs, loads, *{second}"))));
    }
    lines.extend(recipe.of_kind(BlockKind::Refine).map(|part| format!("    {}", call(part, "packs, loads, bound"))));
    lines.push("    return packs, loads\n".to_owned());
    lines.join("\n")
}

fn entry_text(recipe: &Recipe) -> String {
    let bound = recipe.of_kind(BlockKind::Bound).map(|part| call(part, "items, num_packs")).collect::<String>();
    let arguments = "items, packs, loads, bound, num_packs";
    let restart: String =
        recipe.of_kind(BlockKind::Restart).map(|part| format!("    {}\n", call(part, arguments))).collect();
    format!(
        r#"def {ENTRY}(weight: torch.Tensor, num_packs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Pack the items of each row into `num_packs` packs of equally many, so that the heaviest pack is as light as possible.

    Parameters:
        weight: [X, n], the weight of each item
        num_packs: number of packs

    Returns:
        pack_index: [X, n], the pack index of each item
        rank_in_pack: [X, n], the rank of the item in the pack
    """
    rows, count = weight.shape
    assert count % num_packs == 0
    size = count // num_packs
    if rows == 0 or num_packs == 1 or size == 1:
        place = torch.arange(count, device=weight.device).expand(rows, count)
        return place // size, place % size
    items = _sorted(weight)
    bound = {bound}
    packs, loads = {PACK}(items, bound, num_packs)
{restart}    return _placement(packs, weight, num_packs)
"#
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::path::Path;

    use packevolve_contract::stream::{Purpose, stream};

    use super::*;
    use crate::edit::proposal::NAME_LENGTH;
    use crate::proposer::catalogue::gather;
    use crate::proposer::syntax::functions;

    const PARENT: &str = "import torch\n\n\n# EVOLVE-BLOCK-START\ndef balanced_packing(weight, num_packs):\n    \
        return 5\n# EVOLVE-BLOCK-END\n\n\ndef outside():\n    return 6\n";

    fn catalogue() -> Catalogue {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("candidates/blocks");
        Catalogue::parse(&gather(&folder).unwrap()).unwrap()
    }

    fn proposed(parent: &str, number: u64) -> (Proposal, String) {
        let (_, proposal) =
            propose(parent, &catalogue(), None, &mut stream(3, number, Purpose::Proposal), &|_| false).unwrap();
        let child = proposal.edit.apply(parent).unwrap();
        (proposal, child)
    }

    #[test]
    fn a_composed_program_holds_the_functions_that_it_mentions_and_no_other() {
        for number in 0..100 {
            let (proposal, child) = proposed(PARENT, number);
            let functions = functions(&child);
            let region = functions.iter().filter(|function| function.name != "outside");
            for function in region.clone().filter(|function| function.name != ENTRY) {
                let mentioned = region.clone().any(|other| other.mentions.contains(&function.name));
                assert!(mentioned, "nothing calls {} in\n{child}", function.name);
                let earlier = &child[..function.span.start];
                let late = function.mentions.iter().find(|name| {
                    let defined = functions.iter().any(|function| function.name == **name);
                    // Restarts call a function that is assembled last.
                    defined && *name != PACK && !earlier.contains(&format!("def {name}("))
                });
                assert_eq!(late, None, "{} mentions it before it is there:\n{child}", function.name);
            }
            assert!(child.starts_with("import torch\n") && child.ends_with("def outside():\n    return 6\n"));
            assert_eq!(Proposal::parse(&proposal.to_string()), Ok(proposal));
        }
    }

    #[test]
    fn what_was_composed_is_varied_by_small_edits_and_what_else_was_done_to_it_stays() {
        let (_, composed) = proposed(PARENT, 1);
        let parent = composed.replace("least = np.float32(1e-30)", "least = np.float32(2e-30)");
        assert_ne!(parent, composed);
        let (mut varied, mut sizes) = (0, Vec::new());
        for number in 0..100 {
            let (proposal, child) = proposed(&parent, number);
            if proposal.description.starts_with("Assembled") {
                continue;
            }
            varied += 1;
            assert!(child.contains("least = np.float32(2e-30)"), "{proposal}");
            sizes.push(proposal.edit.to_string().lines().count());
        }
        sizes.sort_unstable();
        assert!((70..100).contains(&varied), "{varied}");
        assert!(sizes[0] <= 7, "{sizes:?}");
    }

    #[test]
    fn a_proposal_says_what_it_changes() {
        let (proposal, composed) = proposed(PARENT, 1);
        assert!(proposal.name.starts_with("compose_"), "{}", proposal.name);
        assert!(proposal.description.contains("\n* assign_"), "{}", proposal.description);
        let proposals: Vec<Proposal> = (0..200).map(|number| proposed(&composed, number).0).collect();
        for (name, first) in
            [("_to_", "Changes `"), ("_for_", "Exchanges "), ("with_", "Adds "), ("without_", "Leaves out ")]
        {
            let one = proposals.iter().find(|proposal| proposal.description.starts_with(first)).unwrap();
            assert!(one.name.contains(name), "{}", one.name);
        }
        assert!(proposals.iter().all(|one| !one.description.contains(['{', '}']) && one.name.len() <= NAME_LENGTH));
    }

    #[test]
    fn an_operator_does_its_own_and_where_it_has_nothing_to_do_another_one_does() {
        let (_, composed) = proposed(PARENT, 1);
        let asked = |parent: &str, operator, number| {
            let mut rng = stream(4, number, Purpose::Proposal);
            propose(parent, &catalogue(), Some(operator), &mut rng, &|_| false).unwrap()
        };
        for (operator, first) in [
            (Operator::Assemble, "Assembled "),
            (Operator::Tune, "Changes "),
            (Operator::Swap, "Exchanges "),
            (Operator::Add, "Adds "),
        ] {
            for number in 0..10 {
                let (made, proposal) = asked(&composed, operator, number);
                assert!(made == operator && proposal.description.starts_with(first), "{proposal}");
                assert_eq!(asked(PARENT, operator, number).0, Operator::Assemble);
            }
        }
    }

    #[test]
    fn a_region_that_names_no_torch_gets_it() {
        let (_, child) = proposed("def balanced_packing(weight, num_packs):\n    return 1\n", 1);
        assert!(child.starts_with("import numpy as np\nimport torch\n\n\ndef _sorted("));
    }

    #[test]
    fn equal_streams_make_equal_proposals_and_nothing_seen_is_proposed_again() {
        assert_eq!(proposed(PARENT, 5), proposed(PARENT, 5));
        let seen = RefCell::new(BTreeSet::new());
        let (catalogue, mut rng) = (catalogue(), stream(3, 1, Purpose::Proposal));
        let mut parent = PARENT.to_owned();
        for _ in 0..50 {
            let seen_before = |text: &str| seen.borrow().contains(text);
            let (_, proposal) = propose(&parent, &catalogue, None, &mut rng, &seen_before).unwrap();
            parent = proposal.edit.apply(&parent).unwrap();
            assert!(seen.borrow_mut().insert(parent.clone()));
        }
        assert_eq!(propose(&parent, &catalogue, None, &mut rng, &|_| true), None);
    }

    #[test]
    fn a_program_without_one_region_that_holds_the_function_is_left_alone() {
        let two = format!("{PARENT}# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n");
        for parent in ["", "x = 1\n", "# EVOLVE-BLOCK-START\n", two.as_str(), &PARENT.replace("balanced", "even")] {
            assert_eq!(
                propose(parent, &catalogue(), None, &mut stream(3, 1, Purpose::Proposal), &|_| false),
                None,
                "{parent}"
            );
        }
    }
}
