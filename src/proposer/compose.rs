//! Compose: assembles a whole `balanced_packing` from the building blocks of a catalogue: eager NumPy, or functions that
//! Numba compiles.
//!
//! If the parent is a composed program or descends from one, compose mostly takes a step or two: another value of a
//! parameter, another block, the same blocks of another catalogue. Other changes to the parent's functions stay, except in
//! most steps from a policy. It replaces any other parent. It draws only from the caller's stream and never proposes a
//! program that the caller has seen.

use std::ops::Range;

use packevolve_contract::stream::Stream;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::edit::proposal::Proposal;
use crate::edit::region::Region;
use crate::proposer::catalogue::{CALLS, Catalogue};
use crate::proposer::change::proposal;
use crate::proposer::frame::{BlockKind, Frame, FrameBlocks};
use crate::proposer::recipe::{Part, Recipe, Variation, region_with_entry};
use crate::proposer::syntax::{Function, functions_in, is_sound};
use crate::values::operator::Operator;
use crate::values::settings::EvaluationSettings;

/// Draws before it gives up.
const DRAWS: usize = 64;
/// Draws of one operator before it tries the others.
const DRAWS_OF_ONE: usize = 16;
/// The name of a program leaves these out.
const UNNAMED: [BlockKind; 3] = [BlockKind::Bound, BlockKind::Select, BlockKind::Fresh];
/// Percentage of new draws where the parent could be varied.
const AFRESH: u32 = 15;
/// Percentage of variations that take one more step; applies again after each step.
const FURTHER: u32 = 30;
/// Percentage of the variations of a policy that leave out other changes to its functions. No other program may use what
/// Numba compiled for a changed function, so each child takes several times as long as one of blocks alone, for a change
/// that often does next to nothing.
const OF_BLOCKS: u32 = 75;
const LEAVES_OUT: &str = "\nLeaves out what else was changed in the functions of the parent.";
/// How often a new draw takes a catalogue: compiled blocks are several times as fast.
const EAGER: u32 = 1;
const COMPILED: u32 = 4;

/// Proposes a program that replaces the editable region of `parent` and is not `seen`: by the operator `asked` for, or
/// by any other if that finds none. `None` if a bounded number of draws finds none, or if not exactly one region holds
/// the function that the judge calls, or without catalogues; all of them have one frame.
pub fn propose(
    parent: &str,
    catalogues: &[Catalogue],
    asked: Option<Operator>,
    rng: &mut Stream,
    seen: &dyn Fn(&str) -> bool,
) -> Option<(Operator, Proposal)> {
    let entry = catalogues.first()?.frame().entry();
    let (region, functions) = region_with_entry(parent, entry)?;
    let composed = composed_of(parent, catalogues);
    let asked = asked.into_iter().flat_map(|operator| std::iter::repeat_n(Some(operator), DRAWS_OF_ONE));
    asked.chain(std::iter::repeat_n(None, DRAWS)).find_map(|operator| {
        let afresh = operator.map_or_else(|| rng.random_ratio(AFRESH, 100), |operator| operator == Operator::Assemble);
        let varied = composed.as_ref().filter(|_| !afresh);
        let plan = varied.and_then(|(catalogue, recipe)| match operator {
            Some(Operator::Translate) => Plan::translated((catalogue, recipe), catalogues, rng),
            _ => Plan::varied(recipe, catalogue, operator, rng),
        });
        let plan = plan.or_else(|| Plan::drawn(catalogues, rng))?;
        plan.proposal(parent, (&region, &functions), seen)
    })
}

/// Proposes a program between a composed `parent` and its composed `neighbour` on a front that is not `seen`. `None` if there
/// is none one step away.
pub fn between(
    parent: &str,
    neighbour: &str,
    catalogues: &[Catalogue],
    rng: &mut Stream,
    seen: &dyn Fn(&str) -> bool,
) -> Option<(Operator, Proposal)> {
    let (region, functions) = region_with_entry(parent, catalogues.first()?.frame().entry())?;
    let (catalogue, recipe) = composed_of(parent, catalogues)?;
    let other = Recipe::of(neighbour, catalogue)?;
    let mut steps = recipe.steps_towards(&other, catalogue);
    steps.shuffle(rng);
    steps.into_iter().find_map(|(recipe, step)| {
        let plan = Plan { catalogue, recipe, variations: vec![step], keeps: keeps(catalogue, rng) };
        plan.proposal(parent, (&region, &functions), seen)
    })
}

fn keeps(catalogue: &Catalogue, rng: &mut Stream) -> bool {
    catalogue.frame() == Frame::Packing || !rng.random_ratio(OF_BLOCKS, 100)
}

/// The text of a function of the region, as blocks have theirs.
pub(super) fn own_text(program: &str, functions: &[Function], name: &str) -> Option<String> {
    let function = functions.iter().find(|function| function.name == name)?;
    Some(program[function.span.clone()].trim_end().to_owned() + "\n")
}

/// Whether edits of this program can change the function that the judge calls. Markers that do not pair are reported
/// elsewhere.
pub fn is_editable(program: &str, settings: &EvaluationSettings) -> bool {
    let entry = Frame::of(settings).entry();
    let holds = |span: &Range<usize>| functions_in(program, span).iter().any(|function| function.name == entry);
    Region::of(program).map_or(true, |region| region.spans().iter().any(holds))
}

/// The catalogue and the recipe of a composed program. Blocks of several catalogues may have the same names: the imports
/// tell them apart.
pub(super) fn composed_of<'a>(program: &str, catalogues: &'a [Catalogue]) -> Option<(&'a Catalogue, Recipe)> {
    let imported =
        |catalogue: &Catalogue| catalogue.imports().iter().all(|import| program.lines().any(|line| line == *import));
    let mut fitting: Vec<&Catalogue> = catalogues.iter().filter(|catalogue| imported(catalogue)).collect();
    fitting.sort_by_key(|catalogue| std::cmp::Reverse(catalogue.imports().len()));
    fitting.into_iter().find_map(|catalogue| Some((catalogue, Recipe::of(program, catalogue)?)))
}

/// Whether the region of a program is what these blocks make of its recipe, with nothing added or changed, and with values
/// that the blocks list: another one may write beyond an array.
pub fn is_of_blocks(program: &str, catalogues: &[Catalogue]) -> bool {
    let Some((catalogue, recipe)) = composed_of(program, catalogues) else { return false };
    let region = region_with_entry(program, catalogue.frame().entry());
    let assembled = |region| with_region(program, &region, &region_text(catalogue, &recipe, |_| None));
    recipe.has_listed_values(catalogue) && region.is_some_and(|(region, _)| assembled(region) == program)
}

/// A recipe and the variations that led to it; a new draw has none.
struct Plan<'a> {
    catalogue: &'a Catalogue,
    recipe: Recipe,
    variations: Vec<Variation>,
    /// Whether the parent's functions stay as they are, with what else was done to them.
    keeps: bool,
}

impl<'a> Plan<'a> {
    fn drawn(catalogues: &'a [Catalogue], rng: &mut Stream) -> Option<Self> {
        let weight = |catalogue: &Catalogue| if catalogue.needs_numba() { COMPILED } else { EAGER };
        let catalogue = catalogues.choose_weighted(rng, weight).ok()?;
        Some(Self { catalogue, recipe: Recipe::drawn(catalogue, rng), variations: Vec::new(), keeps: false })
    }

    fn varied(recipe: &Recipe, catalogue: &'a Catalogue, operator: Option<Operator>, rng: &mut Stream) -> Option<Self> {
        let (recipe, first) = recipe.varied(catalogue, operator, rng)?;
        let mut plan = Self { catalogue, recipe, variations: vec![first], keeps: keeps(catalogue, rng) };
        while rng.random_ratio(FURTHER, 100) {
            let (recipe, next) = plan.recipe.varied(catalogue, None, rng)?;
            plan.recipe = recipe;
            plan.variations.push(next);
        }
        Some(plan)
    }

    /// The recipe in the blocks of one of the other catalogues.
    fn translated(
        (from, recipe): (&Catalogue, &Recipe),
        catalogues: &'a [Catalogue],
        rng: &mut Stream,
    ) -> Option<Self> {
        let others: Vec<&Catalogue> = catalogues.iter().filter(|catalogue| catalogue.name() != from.name()).collect();
        let catalogue = *others.choose(rng)?;
        let recipe = recipe.translated(catalogue, rng)?;
        let variation = Variation {
            operator: Operator::Translate,
            name: format!("{}_for_{}", catalogue.name(), from.name()),
            description: format!("Exchanges the blocks of {} for those of {}.", from.name(), catalogue.name()),
        };
        Some(Self { catalogue, recipe, variations: vec![variation], keeps: false })
    }

    /// The edit of `parent`, whose `region` has these `functions`; `None` if the program is `seen` or not sound.
    fn proposal(
        &self,
        parent: &str,
        (region, functions): (&Range<usize>, &[Function]),
        seen: &dyn Fn(&str) -> bool,
    ) -> Option<(Operator, Proposal)> {
        let kept = |name: &str| if self.keeps { own_text(parent, functions, name) } else { None };
        let child = with_region(parent, region, &region_text(self.catalogue, &self.recipe, kept));
        if child == parent || seen(&child) || !is_sound(&child) {
            return None;
        }
        let whole = |name: &str| own_text(parent, functions, name);
        let leaves_out = !self.keeps
            && !self.variations.is_empty()
            && region_text(self.catalogue, &self.recipe, whole) != region_text(self.catalogue, &self.recipe, kept);
        let mut description = self.description();
        if leaves_out {
            description.push_str(LEAVES_OUT);
        }
        Some((self.operator(), proposal(parent, &child, &self.name(), &description)?))
    }

    /// Its operator; for a variation that of the first step.
    fn operator(&self) -> Operator {
        self.variations.first().map_or(Operator::Assemble, |first| first.operator)
    }

    /// `compose_numpy_chunked4_opposite8x4`, or the first step of a variation.
    fn name(&self) -> String {
        let Some(first) = self.variations.first() else {
            let named = self.recipe.parts().iter().filter(|part| !UNNAMED.contains(&part.kind));
            return format!("compose_{}_{}", self.catalogue.name(), named.map(part_name).collect::<Vec<_>>().join("_"));
        };
        let more = match self.variations.len() {
            1 => String::new(),
            several => format!("_and_{}_more", several - 1),
        };
        format!("compose_{}{more}", first.name)
    }

    fn description(&self) -> String {
        let mut lines: Vec<String> = self.variations.iter().map(|step| step.description.clone()).collect();
        lines.push(format!("Assembled of the building blocks of {}", self.catalogue.name()));
        let parts = self.recipe.parts().iter();
        lines.extend(parts.map(|part| format!("* {}: {}", part.block, said(part, self.catalogue))));
        lines.join("\n")
    }
}

/// The imports and the functions of a program; `kept` may override the text of a block's function.
pub(super) fn region_text(catalogue: &Catalogue, recipe: &Recipe, kept: impl Fn(&str) -> Option<String>) -> String {
    let FrameBlocks { first, last, caller } = recipe.frame().blocks();
    let parts = recipe.parts().iter().map(|part| part.block.as_str());
    let block = |name: &str| catalogue.get(name).expect("BUG: a recipe names a block that the catalogue lacks");
    let text = |name: &str| {
        let block = block(name);
        kept(&block.function()).unwrap_or_else(|| block.text.clone())
    };
    let blocks = catalogue.with_needs(std::iter::once(first).chain(parts).chain([last]));
    let mut texts: Vec<String> = blocks.into_iter().map(text).collect();
    texts.push(block(caller).text.replace(CALLS, &calls(recipe)));
    texts.push(entry_text(recipe));
    let imports: String = catalogue.imports().into_iter().map(|import| format!("{import}\n")).collect();
    format!("{imports}\n\n{}", texts.join("\n\n"))
}

fn part_name(part: &Part) -> String {
    let values: Vec<&str> = part.values.iter().map(|(_, value)| value.as_str()).collect();
    format!("{}{}", part.short(), values.join("x"))
}

/// The description of a block, with parameter values filled in.
pub(super) fn said(part: &Part, catalogue: &Catalogue) -> String {
    let says = catalogue.get(&part.block).map_or("", |block| block.says.as_str()).to_owned();
    part.values.iter().fold(says, |says, (name, value)| says.replace(&format!("{{{name}}}"), value))
}

/// `parent` with its region replaced by one that needs NumPy and torch.
pub(super) fn with_region(parent: &str, region: &Range<usize>, text: &str) -> String {
    let (before, after) = (&parent[..region.start], &parent[region.end..]);
    let torch = if before.lines().any(|line| line == "import torch") { "" } else { "import torch\n" };
    format!("{before}import numpy as np\n{torch}{text}{after}")
}

fn call(part: &Part, arguments: &str) -> String {
    let values: String = part.values.iter().map(|(name, value)| format!(", {name}={value}")).collect();
    format!("_{}({arguments}{values})", part.block)
}

/// The calls that the frame has its place for.
fn calls(recipe: &Recipe) -> String {
    match recipe.frame() {
        Frame::Packing => calls_of_pack(recipe),
        Frame::Policy => {
            let line = |part| format!("    {}\n", call(part, "plan, old, loads, gpus, nodes"));
            recipe.of_kind(BlockKind::Move).map(line).collect()
        }
    }
}

/// The calls of one attempt, as the lines of `_pack`.
fn calls_of_pack(recipe: &Recipe) -> String {
    let order =
        recipe.of_kind(BlockKind::Order).map(|part| format!("    items = {}\n", call(part, "items, num_packs")));
    let mut lines: Vec<String> = order.collect();
    let mut assignments = recipe.of_kind(BlockKind::Assign);
    lines.extend(assignments.next().map(|part| format!("    packs, loads = {}\n", call(part, "items, num_packs"))));
    for (select, second) in recipe.of_kind(BlockKind::Select).zip(assignments) {
        let second = call(second, "items, num_packs");
        lines.push(format!("    {}\n", call(select, &format!("packs, loads, *{second}"))));
    }
    lines.extend(recipe.of_kind(BlockKind::Refine).map(|part| format!("    {}\n", call(part, "packs, loads, bound"))));
    lines.concat()
}

fn entry_text(recipe: &Recipe) -> String {
    match recipe.frame() {
        Frame::Packing => packing_text(recipe),
        Frame::Policy => policy_text(recipe),
    }
}

fn policy_text(recipe: &Recipe) -> String {
    let one = |kind, arguments: &str| recipe.of_kind(kind).map(|part| call(part, arguments)).collect::<String>();
    let forecast = one(BlockKind::Forecast, "weight, history");
    let fresh = |loads| one(BlockKind::Fresh, &format!("{loads}, num_replicas, num_groups, num_nodes, num_gpus"));
    let kept = "_planned(loads, old, num_gpus, num_nodes)";
    // One call of each block, so that the recipe can be read back.
    let plan = match recipe.of_kind(BlockKind::Renew).next() {
        None => format!("    plan = {} if old is None else {kept}\n", fresh("loads")),
        Some(part) => {
            let renewed = call(part, "plan, fresh, old, loads, num_gpus, num_nodes");
            let function = format!("\n    def fresh(some):\n        return {}\n\n", fresh("some"));
            let changed = format!("        plan = {kept}\n        plan = {renewed}\n");
            format!("{function}    if old is None:\n        plan = fresh(loads)\n    else:\n{changed}")
        }
    };
    format!(
        r#"def {}(weight: torch.Tensor, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int, *,
                      old_phy2log: torch.Tensor | None = None,
                      history: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Plan a rebalance: how many replicas each expert gets, and where each of them lives. Starts from the plan in force.

    Parameters:
        weight: [L, E], the load of each expert of each layer
        num_replicas: R, replicas of a layer
        num_groups: expert groups of a layer
        num_nodes: server nodes
        num_gpus: GPUs of all nodes together
        old_phy2log: [L, R] int64, the plan in force; it may be any, such as the one that an engine starts with
        history: [S, L, E], the loads of earlier windows, oldest first

    Returns, as int64:
        phy2log: [L, R], the expert of each replica; replicas are numbered by node, within it by GPU
        log2phy: [L, E, max], the replicas of each expert, padded with -1
        logcnt: [L, E], the number of replicas of each expert
    """
    if num_groups % num_nodes != 0:
        num_groups = num_nodes = 1
    loads = {forecast}
    old = _in_force(old_phy2log, loads, num_replicas, num_groups, num_nodes)
{plan}    return _maps(plan, weight.shape[1], weight.device)
"#,
        Frame::Policy.entry(),
    )
}

fn packing_text(recipe: &Recipe) -> String {
    let bound = recipe.of_kind(BlockKind::Bound).map(|part| call(part, "items, num_packs")).collect::<String>();
    let arguments = "items, packs, loads, bound, num_packs";
    let restart: String =
        recipe.of_kind(BlockKind::Restart).map(|part| format!("    {}\n", call(part, arguments))).collect();
    format!(
        r#"def balanced_packing(weight: torch.Tensor, num_packs: int) -> tuple[torch.Tensor, torch.Tensor]:
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
    packs, loads = _pack(items, bound, num_packs)
{restart}    return _placement(packs, weight, num_packs)
"#
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use packevolve_contract::stream::{Purpose, stream};
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Asset;
    use crate::edit::proposal::NAME_LENGTH;
    use crate::proposer::catalogue::gather;
    use crate::proposer::syntax::functions;

    const PARENT: &str = "import torch\n\n\n# EVOLVE-BLOCK-START\ndef balanced_packing(weight, num_packs):\n    \
        return 5\n# EVOLVE-BLOCK-END\n\n\ndef outside():\n    return 6\n";

    fn catalogues() -> Vec<Catalogue> {
        let texts = gather(&Asset::Shipped("candidates/blocks")).unwrap();
        let all = texts.iter().map(|text| Catalogue::parse(text).unwrap());
        all.filter(|catalogue| catalogue.frame() == Frame::Packing).collect()
    }

    fn proposed(parent: &str, number: u64) -> (Proposal, String) {
        let (_, proposal) =
            propose(parent, &catalogues(), None, &mut stream(3, number, Purpose::Proposal), &|_| false).unwrap();
        let child = proposal.edit.apply(parent).unwrap();
        (proposal, child)
    }

    #[test]
    fn a_composed_program_holds_the_functions_that_it_mentions_and_no_other() {
        for number in 0..100 {
            let (proposal, child) = proposed(PARENT, number);
            let functions = functions(&child);
            let region = functions.iter().filter(|function| function.name != "outside");
            for function in region.clone().filter(|function| function.name != "balanced_packing") {
                let mentioned = region.clone().any(|other| other.mentions.contains(&function.name));
                assert!(mentioned, "nothing calls {} in\n{child}", function.name);
                let earlier = &child[..function.span.start];
                let late = function.mentions.iter().find(|name| {
                    let defined = functions.iter().any(|function| function.name == **name);
                    // Restarts call a function that is assembled last.
                    defined && *name != "_pack" && !earlier.contains(&format!("def {name}("))
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

    pub(crate) const POLICY: &str = include_str!("../../candidates/policy.py");

    pub(crate) fn policies() -> Vec<Catalogue> {
        let all = gather(&Asset::Shipped("candidates/blocks")).unwrap();
        let all = all.iter().map(|text| Catalogue::parse(text).unwrap());
        all.filter(|catalogue| catalogue.frame() == Frame::Policy).collect()
    }

    #[test]
    fn a_policy_is_composed_and_varied_like_a_packer() {
        let mut varied = 0;
        for number in 0..100 {
            let draw = |parent: &str, number| {
                let mut rng = stream(3, number, Purpose::Proposal);
                let (operator, proposal) = propose(parent, &policies(), None, &mut rng, &|_| false).unwrap();
                (operator, proposal.edit.apply(parent).unwrap(), proposal)
            };
            let (operator, child, proposal) = draw(POLICY, number);
            assert_eq!(operator, Operator::Assemble);
            assert!(proposal.name.starts_with("compose_policy_") && proposal.name.len() <= NAME_LENGTH, "{proposal}");
            let recipe = Recipe::of(&child, &policies()[0]).expect("it is read back");
            assert!(recipe.of_kind(BlockKind::Move).count() >= 1 && child.contains("def rebalance_experts("));
            assert!(!child.contains("def balanced_packing(") && child.contains("def _check("), "{child}");
            let (operator, grandchild, _) = draw(&child, number + 1000);
            varied += usize::from(operator != Operator::Assemble);
            assert!(Recipe::of(&grandchild, &policies()[0]).is_some(), "{grandchild}");
        }
        assert!(varied >= 60, "{varied}");
        assert!(propose(PARENT, &policies(), None, &mut stream(3, 1, Purpose::Proposal), &|_| false).is_none());
    }

    #[test]
    fn most_steps_from_a_policy_leave_out_what_was_changed_in_its_functions_and_some_keep_it() {
        let mut rng = stream(3, 1, Purpose::Proposal);
        let (_, proposal) = propose(POLICY, &policies(), None, &mut rng, &|_| false).unwrap();
        let composed = proposal.edit.apply(POLICY).unwrap();
        let parent = composed.replace("if held.min() == 0:", "if held.min() < 1:");
        assert_ne!(parent, composed);
        let keeps = |number: &u64| {
            let mut rng = stream(4, *number, Purpose::Proposal);
            let asked = Some(Operator::Tune);
            let (operator, proposal) = propose(&parent, &policies(), asked, &mut rng, &|_| false).unwrap();
            assert_eq!(operator, Operator::Tune);
            let keeps = proposal.edit.apply(&parent).unwrap().contains("held.min() < 1");
            assert_eq!(keeps, !proposal.description.ends_with(LEAVES_OUT), "{proposal}");
            keeps
        };
        let kept = (0..200).filter(keeps).count();
        assert!((30..70).contains(&kept), "{kept}");
    }

    #[test]
    fn a_program_between_two_has_a_value_between_theirs_or_that_of_the_other() {
        let drawn = (0..2000).find_map(|number| {
            let mut rng = stream(3, number, Purpose::Proposal);
            let (_, proposal) = propose(POLICY, &policies(), None, &mut rng, &|_| false)?;
            proposal.edit.apply(POLICY).ok().filter(|child| child.contains("steps=64, price=0.1, among=4"))
        });
        let parent = drawn.unwrap();
        let neighbour = parent.replace("price=0.1,", "price=0.02,");
        let mut found = BTreeSet::new();
        for number in 0..50 {
            let mut rng = stream(3, number, Purpose::Proposal);
            let (operator, proposal) = between(&parent, &neighbour, &policies(), &mut rng, &|_| false).unwrap();
            assert_eq!(operator, Operator::Tune);
            found.insert(proposal.name);
        }
        let prices = ["0.02", "0.03", "0.05", "0.07"].map(|price| format!("compose_heaviest_price_0.1_to_{price}"));
        assert_eq!(found, BTreeSet::from(prices));
        let rng = &mut stream(3, 1, Purpose::Proposal);
        assert!(between(&parent, &parent, &policies(), rng, &|_| false).is_none());
        assert!(between(&parent, POLICY, &policies(), rng, &|_| false).is_none());
        assert!(between(&parent, &neighbour, &policies(), rng, &|_| true).is_none());
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
            propose(parent, &catalogues(), Some(operator), &mut rng, &|_| false).unwrap()
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
    fn both_catalogues_are_drawn_and_a_program_goes_from_one_to_the_other() {
        let compiled = |program: &str| program.lines().filter(|line| *line == "from numba import njit").count();
        let drawn: Vec<String> = (0..40).map(|number| proposed(PARENT, number).1).collect();
        let of_numba: Vec<&String> = drawn.iter().filter(|program| compiled(program) == 1).collect();
        assert!((20..40).contains(&of_numba.len()), "{}", of_numba.len());
        for program in &drawn {
            let asked = Some(Operator::Translate);
            let mut rng = stream(6, 1, Purpose::Proposal);
            let (operator, proposal) = propose(program, &catalogues(), asked, &mut rng, &|_| false).unwrap();
            let child = proposal.edit.apply(program).unwrap();
            if operator == Operator::Translate {
                assert_eq!(compiled(&child), 1 - compiled(program), "{}", proposal.name);
                assert!(proposal.description.starts_with("Exchanges the blocks of num"), "{proposal}");
            }
            // A catalogue that the machine cannot run is not drawn from.
            let eager: Vec<Catalogue> = catalogues().into_iter().filter(|own| !own.needs_numba()).collect();
            let (_, proposal) = propose(PARENT, &eager, None, &mut rng, &|_| false).unwrap();
            assert_eq!(compiled(&proposal.to_string()), 0);
        }
    }

    #[test]
    fn a_region_that_names_no_torch_gets_it() {
        let (_, child) = proposed("def balanced_packing(weight, num_packs):\n    return 1\n", 1);
        assert!(child.starts_with("import numpy as np\nimport torch\n"));
    }

    #[test]
    fn equal_streams_make_equal_proposals_and_nothing_seen_is_proposed_again() {
        assert_eq!(proposed(PARENT, 5), proposed(PARENT, 5));
        let seen = RefCell::new(BTreeSet::new());
        let (catalogues, mut rng) = (catalogues(), stream(3, 1, Purpose::Proposal));
        let mut parent = PARENT.to_owned();
        for _ in 0..50 {
            let seen_before = |text: &str| seen.borrow().contains(text);
            let (_, proposal) = propose(&parent, &catalogues, None, &mut rng, &seen_before).unwrap();
            parent = proposal.edit.apply(&parent).unwrap();
            assert!(seen.borrow_mut().insert(parent.clone()));
        }
        assert_eq!(propose(&parent, &catalogues, None, &mut rng, &|_| true), None);
    }

    #[test]
    fn a_program_of_blocks_is_nothing_but_blocks() {
        let composed = proposed(PARENT, 1).1;
        let catalogues = catalogues();
        assert!(is_of_blocks(&composed, &catalogues) && !is_of_blocks(PARENT, &catalogues));
        let (mut varied, mut all) = (composed.clone(), BTreeSet::new());
        for number in 0..20 {
            varied = proposed(&varied, number).1;
            assert!(is_of_blocks(&varied, &catalogues) && !is_of_blocks(&varied, &[]), "{varied}");
            all.insert(varied.clone());
        }
        assert!(all.len() > 10);
        let region_end = "# EVOLVE-BLOCK-END";
        for (from, to) in [
            ("    size = count // num_packs\n", "    size = count // num_packs + 0\n"),
            (region_end, &format!("other = 1\n{region_end}")),
        ] {
            let changed = composed.replacen(from, to, 1);
            assert!(changed != composed && !is_of_blocks(&changed, &catalogues), "{from}");
        }
        let (catalogue, recipe) = composed_of(&composed, &catalogues).unwrap();
        let (part, (name, value)) =
            recipe.parts().iter().find_map(|part| Some((part, part.values.first()?.clone()))).unwrap();
        let call = format!("_{}(", part.block);
        let at = composed.rfind(&call).unwrap();
        let unlisted = composed[at..].replacen(&format!("{name}={value}"), &format!("{name}=-7"), 1);
        let unlisted = composed[..at].to_owned() + &unlisted;
        assert!(unlisted != composed && Recipe::of(&unlisted, catalogue).is_some());
        assert!(!is_of_blocks(&unlisted, &catalogues), "{unlisted}");
    }

    #[test]
    fn a_program_without_one_region_that_holds_the_function_is_left_alone() {
        let two = format!("{PARENT}# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n");
        for parent in ["", "x = 1\n", "# EVOLVE-BLOCK-START\n", two.as_str(), &PARENT.replace("balanced", "even")] {
            assert_eq!(
                propose(parent, &catalogues(), None, &mut stream(3, 1, Purpose::Proposal), &|_| false),
                None,
                "{parent}"
            );
        }
    }
}
