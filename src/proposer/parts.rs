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
/// if every program has one. What else was done to the program stays, as far as it is not in the same lines. `None` if the
/// program is not composed of these catalogues.
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
