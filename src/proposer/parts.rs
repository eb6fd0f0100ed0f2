//! Parts: a composed program without one of its building blocks, which shows what that block is worth.

use crate::edit::merge::merged;
use crate::proposer::catalogue::Catalogue;
use crate::proposer::compose::{composed_of, own_text, region_text, said, with_region};
use crate::proposer::recipe::{Part, Recipe, region_with_entry};
use crate::proposer::syntax::is_sound;

/// A program in which one block is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Without {
    /// The name of the block.
    pub block: String,
    /// What the block does.
    pub says: String,
    pub program: String,
}

/// The program without each of its blocks, in the order of its recipe: without its call, or with the plain block of its kind
/// if every program has one. Other changes to the program stay, unless they are in the same lines. `None` if the program is
/// not composed of these catalogues.
pub fn without_parts(program: &str, catalogues: &[Catalogue]) -> Option<Vec<Without>> {
    let (catalogue, recipe) = composed_of(program, catalogues)?;
    let (region, functions) = region_with_entry(program, recipe.frame().entry())?;
    let own = |name: &str| own_text(program, &functions, name);
    let assembled = |recipe: &Recipe| with_region(program, &region, &region_text(catalogue, recipe, own));
    let whole = assembled(&recipe);
    let without = |(place, part): (usize, &Part)| {
        let less = assembled(&recipe.without(place, catalogue)?);
        let less = merged(&whole, program, &less).unwrap_or(less);
        let is_new = less != program && is_sound(&less);
        is_new.then(|| Without { block: part.block.clone(), says: said(part, catalogue), program: less })
    };
    Some(recipe.parts().iter().enumerate().filter_map(without).collect())
}

#[cfg(test)]
mod tests {
    use packevolve_contract::stream::{Purpose, stream};

    use super::*;
    use crate::proposer::compose;
    use crate::proposer::compose::tests::{POLICY, policies};

    #[test]
    fn a_program_without_a_part_differs_in_that_part_alone() {
        let mut rng = stream(3, 7, Purpose::Proposal);
        let (_, proposal) = compose::propose(POLICY, &policies(), None, &mut rng, &|_| false).unwrap();
        let composed = proposal.edit.apply(POLICY).unwrap();
        // A change beside the parts, which stays.
        let program = composed.replace("Plan a rebalance:", "Plan one:");
        assert_ne!(program, composed);
        let recipe = Recipe::of(&program, &policies()[0]).unwrap();
        let parts = without_parts(&program, &policies()).unwrap();
        let can_go = |part: &&Part| !["forecast_last", "fresh_greedy"].contains(&part.block.as_str());
        let blocks: Vec<&str> = recipe.parts().iter().filter(can_go).map(|part| part.block.as_str()).collect();
        assert_eq!(parts.iter().map(|without| without.block.as_str()).collect::<Vec<_>>(), blocks);
        for Without { block, says, program: less } in &parts {
            let calls = |program: &str| program.matches(&format!(" _{block}(")).count();
            assert!(calls(less) < calls(&program) && less.contains("Plan one:"), "{block}:\n{less}");
            assert!(!says.is_empty() && !says.contains('{'), "{says}");
            let left = Recipe::of(less, &policies()[0]).unwrap();
            assert!(recipe.parts().len() - left.parts().len() <= 1, "{block}");
        }
        assert_eq!(without_parts(POLICY, &policies()), None, "it is not composed");
    }
}
