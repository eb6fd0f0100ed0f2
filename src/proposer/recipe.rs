//! A recipe: the building blocks of a composed program and their parameters. Recipes are drawn, varied by one step, and
//! read back from the calls in a program, not from its comments.

use std::ops::Range;

use packevolve_contract::stream::Stream;
use rand::RngExt;
use rand::seq::IndexedRandom;
use strum::IntoEnumIterator;

use crate::edit::region::Region;
use crate::proposer::catalogue::{Block, Catalogue};
use crate::proposer::frame::{BlockKind, Frame};
use crate::proposer::syntax::{Function, functions, functions_in};
use crate::values::operator::Operator;

/// Numbers of refinements with their weights.
const REFINEMENTS: [(usize, u32); 4] = [(0, 5), (1, 35), (2, 45), (3, 15)];
/// Percentage of drawn recipes with an unusual order.
const REORDERED: u32 = 15;
/// Percentage with two assignments.
const SELECTED: u32 = 10;
/// Percentage with a restart.
const RESTARTED: u32 = 15;
/// Numbers of moves of a policy with their weights.
const MOVES: [(usize, u32); 3] = [(1, 60), (2, 35), (3, 5)];
/// Percentage of policies that may make a layer's plan afresh.
const RENEWED: u32 = 20;
/// Operators of variations with their weights.
const STEPS: [(Operator, u32); 4] =
    [(Operator::Tune, 50), (Operator::Swap, 25), (Operator::Add, 12), (Operator::Drop, 13)];
/// The largest distance that a parameter moves, in values.
const REACH: usize = 2;
/// Draws before it gives up.
const DRAWS: usize = 64;

/// The blocks of a program, sorted by kind; refinements in the order in which they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    frame: Frame,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) block: String,
    pub(crate) kind: BlockKind,
    /// Values in the order of the block's header.
    pub(crate) values: Vec<(String, String)>,
}

/// A step from one recipe to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variation {
    pub(crate) operator: Operator,
    /// Part of the name of a proposal.
    pub(crate) name: String,
    /// The step, as a sentence.
    pub(crate) description: String,
}

/// The editable region of a program and its functions; `None` unless exactly one region holds the function `entry`.
pub(crate) fn region_with_entry(program: &str, entry: &str) -> Option<(Range<usize>, Vec<Function>)> {
    let region = Region::of(program).ok()?;
    let [span] = region.spans() else { return None };
    let functions = functions_in(program, span);
    functions.iter().any(|function| function.name == entry).then(|| (span.clone(), functions))
}

impl Part {
    /// One of these blocks with values of its parameters.
    fn drawn<'a>(blocks: impl Iterator<Item = &'a Block>, rng: &mut Stream) -> Option<Self> {
        let blocks: Vec<&Block> = blocks.collect();
        let block = blocks.choose_weighted(rng, |block| block.weight).ok()?;
        let value = |(name, values): &(String, Vec<String>)| {
            let value = values.choose(rng).cloned().unwrap_or_default();
            (name.clone(), value)
        };
        let values = block.parameters.iter().map(value).collect();
        Some(Self { block: block.name.clone(), kind: block.kind, values })
    }

    /// The block's name without its kind, for names of proposals.
    pub(crate) fn short(&self) -> &str {
        self.block.split_once('_').map_or(&self.block, |(_, short)| short)
    }
}

impl Recipe {
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn of_kind(&self, kind: BlockKind) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.kind == kind)
    }

    pub(crate) fn frame(&self) -> Frame {
        self.frame
    }

    pub(crate) fn drawn(catalogue: &Catalogue, rng: &mut Stream) -> Self {
        let frame = catalogue.frame();
        let kinds = match frame {
            Frame::Packing => Self::drawn_packing(catalogue, rng),
            Frame::Policy => Self::drawn_policy(rng),
        };
        let mut parts = Vec::new();
        for (kind, number) in kinds {
            for _ in 0..number {
                parts.extend(Part::drawn(catalogue.of_kind(kind), rng));
            }
        }
        Self { frame, parts }
    }

    fn drawn_policy(rng: &mut Stream) -> Vec<(BlockKind, usize)> {
        let moves = MOVES.choose_weighted(rng, |(_, weight)| *weight).map_or(0, |(number, _)| *number);
        vec![
            (BlockKind::Forecast, 1),
            (BlockKind::Fresh, 1),
            (BlockKind::Move, moves),
            (BlockKind::Renew, usize::from(rng.random_ratio(RENEWED, 100))),
        ]
    }

    fn drawn_packing(catalogue: &Catalogue, rng: &mut Stream) -> Vec<(BlockKind, usize)> {
        let refinements = REFINEMENTS.choose_weighted(rng, |(_, weight)| *weight).map_or(0, |(number, _)| *number);
        let selected = catalogue.of_kind(BlockKind::Select).next().is_some() && rng.random_ratio(SELECTED, 100);
        vec![
            (BlockKind::Order, usize::from(rng.random_ratio(REORDERED, 100))),
            (BlockKind::Assign, 1 + usize::from(selected)),
            (BlockKind::Select, usize::from(selected)),
            (BlockKind::Refine, refinements),
            (BlockKind::Bound, 1),
            (BlockKind::Restart, usize::from(rng.random_ratio(RESTARTED, 100))),
        ]
    }

    /// The recipe of a composed program, even if its functions and numbers were changed since; `None` if the program is
    /// not composed.
    pub(crate) fn of(program: &str, catalogue: &Catalogue) -> Option<Self> {
        let functions = functions(program);
        let function = |name: &str| functions.iter().find(|function| function.name == name);
        let frame = catalogue.frame();
        let caller = format!("_{}", frame.blocks().caller);
        let calls = [caller.as_str(), frame.entry()];
        let calls = calls.iter().map(|name| function(name).map(|function| &function.calls));
        let calls = calls.collect::<Option<Vec<_>>>()?;
        let mut parts = Vec::new();
        for call in calls.into_iter().flatten() {
            let block = call.function.strip_prefix('_').and_then(|name| catalogue.get(name));
            let Some(block) = block.filter(|block| frame.allowed(block.kind).1 > 0) else { continue };
            let value = |(parameter, _): &(String, _)| {
                let given = call.keywords.iter().find(|(name, _)| name == parameter)?;
                given.1.parse::<f64>().is_ok().then(|| given.clone())
            };
            let values = block.parameters.iter().map(value).collect::<Option<Vec<_>>>()?;
            parts.push(Part { block: block.name.clone(), kind: block.kind, values });
        }
        parts.sort_by_key(|part| part.kind);
        let recipe = Self { frame, parts };
        recipe.is_whole().then_some(recipe)
    }

    fn number_of(&self, kind: BlockKind) -> usize {
        self.of_kind(kind).count()
    }

    /// Whether the recipe has the right number of blocks of each kind, and a select block if there are two assignments.
    fn is_whole(&self) -> bool {
        let fits = |kind| {
            let (least, most) = self.frame.allowed(kind);
            (least..=most).contains(&self.number_of(kind))
        };
        let selects = self.number_of(BlockKind::Select);
        BlockKind::iter().all(fits)
            && (selects == 0 || self.number_of(BlockKind::Assign) == 1 + selects)
            && (selects == 1 || self.number_of(BlockKind::Assign) < 2)
    }

    /// Whether every value is one of those that its block lists.
    pub(crate) fn has_listed_values(&self, catalogue: &Catalogue) -> bool {
        self.parts.iter().all(|part| {
            let listed = catalogue.get(&part.block).map_or(&[][..], |block| &block.parameters);
            let mut values = part.values.iter().zip(listed);
            values.all(|((_, value), (_, listed))| listed.contains(value))
        })
    }

    /// This recipe in the blocks of another catalogue: blocks of the same name and values of the same parameters stay, as far
    /// as there are any; the others are drawn. `None` if that makes no whole recipe.
    pub(crate) fn translated(&self, to: &Catalogue, rng: &mut Stream) -> Option<Self> {
        let mut parts = Vec::new();
        for part in &self.parts {
            let same = to.get(&part.block).filter(|block| block.kind == part.kind);
            let mut new = match same {
                Some(block) => Part::drawn(std::iter::once(block), rng),
                None => Part::drawn(to.of_kind(part.kind), rng),
            }?;
            for ((name, value), (_, values)) in
                new.values.iter_mut().zip(same.map_or(&[][..], |block| &block.parameters))
            {
                let known = part.values.iter().find(|(known, value)| known == name && values.contains(value));
                known.into_iter().for_each(|(_, known)| value.clone_from(known));
            }
            parts.push(new);
        }
        let recipe = Self { frame: to.frame(), parts };
        recipe.is_whole().then_some(recipe)
    }

    /// This recipe without the part at a place, or with the plain block of its kind there if every program has one of that
    /// kind. `None` if nothing can be left out there.
    pub(crate) fn without(&self, place: usize, catalogue: &Catalogue) -> Option<Self> {
        let mut recipe = self.clone();
        let Part { block, kind, .. } = recipe.parts.remove(place);
        if let Some(plain) = self.frame.plain(kind).filter(|plain| *plain != block) {
            let plain = catalogue.get(plain)?;
            let first = |(name, values): &(String, Vec<String>)| Some((name.clone(), values.first()?.clone()));
            let values = plain.parameters.iter().filter_map(first).collect();
            recipe.parts.insert(place, Part { block: plain.name.clone(), kind, values });
        }
        recipe.is_whole().then_some(recipe)
    }

    /// This recipe after one step, and the step; `None` if a bounded number of draws finds none.
    pub(crate) fn varied(
        &self,
        catalogue: &Catalogue,
        operator: Option<Operator>,
        rng: &mut Stream,
    ) -> Option<(Self, Variation)> {
        (0..DRAWS).find_map(|_| {
            let mut recipe = self.clone();
            let any = |rng: &mut Stream| Some(STEPS.choose_weighted(rng, |(_, weight)| *weight).ok()?.0);
            let operator = operator.or_else(|| any(rng))?;
            let (name, description) = match operator {
                Operator::Tune => recipe.tune(catalogue, rng),
                Operator::Swap => recipe.swap(catalogue, rng),
                Operator::Add => recipe.add(catalogue, rng),
                Operator::Drop => recipe.drop_one(rng),
                _ => None,
            }?;
            let is_new = recipe != *self && recipe.is_whole();
            is_new.then_some((recipe, Variation { operator, name, description }))
        })
    }

    /// Every step from this recipe towards another one: a listed value between their values of a parameter, or the other's
    /// value or block. Blocks of one name are taken for each other in the order in which they run.
    pub(crate) fn steps_towards(&self, other: &Self, catalogue: &Catalogue) -> Vec<(Self, Variation)> {
        let (mut steps, mut own, mut theirs) = (Vec::new(), Vec::new(), other.parts.clone());
        for (place, part) in self.parts.iter().enumerate() {
            let Some(at) = theirs.iter().position(|their| their.block == part.block) else {
                own.push(place);
                continue;
            };
            let their = theirs.remove(at);
            let listed = catalogue.get(&part.block).map_or(&[][..], |block| &block.parameters);
            for (knob, (_, to)) in their.values.iter().enumerate() {
                for value in on_the_way(&listed[knob].1, &part.values[knob].1, to) {
                    let mut recipe = self.clone();
                    let (name, description) = recipe.set(place, knob, &value);
                    steps.push((recipe, Variation { operator: Operator::Tune, name, description }));
                }
            }
        }
        let exchanges = own.iter().flat_map(|place| theirs.iter().map(move |their| (*place, their)));
        for (place, their) in exchanges.filter(|(place, their)| self.parts[*place].kind == their.kind) {
            let mut recipe = self.clone();
            let (name, description) = recipe.exchange(place, their);
            steps.push((recipe, Variation { operator: Operator::Swap, name, description }));
        }
        steps.retain(|(recipe, _)| recipe.is_whole());
        steps
    }

    /// Like the other steps, this one returns the name and the description of the variation.
    fn tune(&mut self, catalogue: &Catalogue, rng: &mut Stream) -> Option<(String, String)> {
        let knob = |(place, part): (usize, &Part)| (0..part.values.len()).map(move |value| (place, value));
        let knobs: Vec<(usize, usize)> =
            self.parts.iter().enumerate().flat_map(|part| knob(part).collect::<Vec<_>>()).collect();
        let &(place, at) = match self.frame {
            Frame::Packing => knobs.choose(rng)?,
            // The price of a move has the most values: each is another place on the front.
            Frame::Policy => {
                let values = |&(place, at): &(usize, usize)| {
                    let block = catalogue.get(&self.parts[place].block);
                    block.map_or(0, |block| block.parameters[at].1.len() as u32)
                };
                knobs.choose_weighted(rng, values).ok()?
            }
        };
        let part = &self.parts[place];
        let (parameter, from) = &part.values[at];
        let (_, values) = catalogue.get(&part.block)?.parameters.iter().find(|(name, _)| name == parameter)?;
        let to = neighbours(values, from).choose(rng)?.clone();
        Some(self.set(place, at, &to))
    }

    /// Gives a parameter of a part another value.
    fn set(&mut self, place: usize, at: usize, to: &str) -> (String, String) {
        let part = &mut self.parts[place];
        let (parameter, from) = part.values[at].clone();
        to.clone_into(&mut part.values[at].1);
        let description = format!("Changes `{parameter}` of {} from {from} to {to}.", part.block);
        (format!("{}_{parameter}_{from}_to_{to}", part.short()), description)
    }

    fn swap(&mut self, catalogue: &Catalogue, rng: &mut Stream) -> Option<(String, String)> {
        let place = rng.random_range(0..self.parts.len().max(1));
        let part = self.parts.get(place)?;
        let new = Part::drawn(catalogue.of_kind(part.kind).filter(|block| block.name != part.block), rng)?;
        Some(self.exchange(place, &new))
    }

    fn exchange(&mut self, place: usize, new: &Part) -> (String, String) {
        let old = std::mem::replace(&mut self.parts[place], new.clone());
        let description = format!("Exchanges {} for {}.", old.block, new.block);
        (format!("{}_for_{}", new.short(), old.short()), description)
    }

    fn add(&mut self, catalogue: &Catalogue, rng: &mut Stream) -> Option<(String, String)> {
        let kind = *self.frame.optional().choose(rng)?;
        if self.number_of(kind) >= self.frame.allowed(kind).1 {
            return None;
        }
        let mut new = Part::drawn(catalogue.of_kind(kind), rng)?;
        if kind == BlockKind::Select {
            // The choice of assignments matters more than the select block.
            self.parts.push(new);
            new = Part::drawn(catalogue.of_kind(BlockKind::Assign), rng)?;
        }
        // At any position: the order of refinements matters.
        let first = self.parts.iter().take_while(|part| part.kind < new.kind).count();
        let place = first + rng.random_range(0..=self.number_of(new.kind));
        let (name, description) = (format!("with_{}", new.short()), format!("Adds {}.", new.block));
        self.parts.insert(place, new);
        self.parts.sort_by_key(|part| part.kind);
        Some((name, description))
    }

    fn drop_one(&mut self, rng: &mut Stream) -> Option<(String, String)> {
        let place = rng.random_range(0..self.parts.len().max(1));
        let part = self.parts.get(place).filter(|part| part.kind != BlockKind::Select)?.clone();
        self.parts.remove(place);
        if part.kind == BlockKind::Assign {
            self.parts.retain(|part| part.kind != BlockKind::Select);
        }
        Some((format!("without_{}", part.short()), format!("Leaves out {}.", part.block)))
    }
}

/// The listed `values` between two that need not be among them, and the second of these; none if they are equal.
fn on_the_way(values: &[String], from: &str, to: &str) -> Vec<String> {
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let (least, most) = (number(from).min(number(to)), number(from).max(number(to)));
    let between = values.iter().filter(|value| least < number(value) && number(value) < most).cloned();
    between.chain((least < most).then(|| to.to_owned())).collect()
}

/// The values around `value`, which need not be one of them.
fn neighbours(values: &[String], value: &str) -> Vec<String> {
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let here = number(value);
    let mut sorted: Vec<&String> = values.iter().collect();
    sorted.sort_by(|a, b| number(a).total_cmp(&number(b)));
    let below = sorted.iter().rev().filter(|other| number(other) < here).take(REACH);
    let above = sorted.iter().filter(|other| number(other) > here).take(REACH);
    below.chain(above).map(|other| (*other).clone()).collect()
}

#[cfg(test)]
mod tests {
    use packevolve_contract::stream::{Purpose, stream};

    use super::*;
    use crate::proposer::catalogue::joined;

    pub(crate) fn catalogue() -> Catalogue {
        let block = |name: &str, header: &str| format!("# block: {name}\n# kind: {header}\ndef _{name}():\n    pass\n");
        let text = [
            block("sorted", "frame"),
            block("placement", "frame"),
            "# block: pack\n# kind: frame\ndef _pack():\n    ...\n    return packs\n".to_owned(),
            block("order_snake", "order"),
            block("assign_dealt", "assign"),
            block("assign_chunked", "assign\n# parts: 1 2 4 8 16"),
            block("select_lowest", "select"),
            block("refine_top", "refine\n# steps: 1 2 4\n# share: 2 3"),
            block("refine_all", "refine"),
            block("bound_mean", "bound"),
            block("restart_noisy", "restart\n# noise: 0.1 0.2"),
        ];
        Catalogue::parse(&joined("own", text.iter().map(String::as_str))).unwrap()
    }

    fn rng(number: u64) -> Stream {
        stream(5, number, Purpose::Proposal)
    }

    fn short_names(recipe: &Recipe) -> Vec<&str> {
        recipe.parts().iter().map(Part::short).collect()
    }

    #[test]
    fn every_drawn_recipe_is_whole_and_every_block_is_drawn() {
        let catalogue = catalogue();
        let recipes: Vec<Recipe> = (0..300).map(|number| Recipe::drawn(&catalogue, &mut rng(number))).collect();
        assert!(recipes.iter().all(|recipe| recipe.is_whole() && recipe.parts().is_sorted_by_key(|part| part.kind)));
        for name in catalogue.names().filter(|name| name.contains('_')) {
            let drawn = recipes.iter().filter(|recipe| recipe.parts().iter().any(|part| part.block == name)).count();
            assert!(drawn >= 15, "{name} was drawn {drawn} times");
        }
    }

    #[test]
    fn a_variation_is_one_step_away_and_still_whole() {
        let catalogue = catalogue();
        let mut seen = [0; 4];
        for number in 0..400 {
            let mut rng = rng(number);
            let recipe = Recipe::drawn(&catalogue, &mut rng);
            let (varied, variation) = recipe.varied(&catalogue, None, &mut rng).unwrap();
            assert!(varied.is_whole() && varied != recipe);
            let (before, after) = (recipe.parts().len(), varied.parts().len());
            match variation.operator {
                Operator::Tune | Operator::Swap => assert_eq!(before, after),
                Operator::Add => assert!(after > before),
                _ => assert!(after < before),
            }
            seen[STEPS.iter().position(|(operator, _)| *operator == variation.operator).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&times| times > 20), "{seen:?}");
    }

    #[test]
    fn parameters_move_to_near_values_even_from_one_that_is_not_in_the_header() {
        let values = ["1", "2", "4", "8", "16"].map(str::to_owned);
        assert_eq!(neighbours(&values, "4"), ["2", "1", "8", "16"]);
        assert_eq!(neighbours(&values, "16.0"), ["8", "4"]);
        assert_eq!(neighbours(&values, "5"), ["4", "2", "8", "16"]);
    }

    #[test]
    fn a_step_towards_another_recipe_takes_a_value_between_or_one_of_its_values_or_blocks() {
        let recipe = |calls: &str| {
            let program = format!("def _pack():\n    {calls}\n\ndef balanced_packing():\n    _bound_mean()\n");
            Recipe::of(&program, &catalogue()).unwrap()
        };
        let one = recipe("_assign_chunked(parts=2); _refine_all(); _refine_top(steps=1, share=2)");
        let names = |other: &Recipe| {
            let steps = one.steps_towards(other, &catalogue());
            assert!(steps.iter().all(|(step, _)| step.is_whole() && *step != one));
            steps.into_iter().map(|(_, variation)| variation.name).collect::<Vec<_>>()
        };
        let more = recipe("_assign_chunked(parts=16); _refine_top(steps=1, share=3)");
        let values = ["chunked_parts_2_to_4", "chunked_parts_2_to_8", "chunked_parts_2_to_16", "top_share_2_to_3"];
        assert_eq!(names(&more), values);
        assert_eq!(
            names(&recipe("_assign_dealt(); _refine_top(steps=1.5, share=2)")),
            ["top_steps_1_to_1.5", "dealt_for_chunked"]
        );
        assert_eq!(names(&one), [""; 0]);
    }

    #[test]
    fn a_recipe_is_read_off_the_calls_of_a_program() {
        let program = "def _refine_top(p, steps, share):\n    steps = 3\n\ndef _pack(items, bound, n):\n    \
            # _refine_all()\n    items = _order_snake(items, n)\n    packs = _assign_chunked(items, n, parts=5)\n    \
            _select_lowest(packs, *_assign_dealt(items, n))\n    _refine_top(packs, share=2, steps=9)\n    \
            _refine_all(packs)\n    return packs\n\ndef balanced_packing(weight, n):\n    items = _sorted(weight)\n    \
            return _placement(_pack(items, _bound_mean(items), n))\n";
        let recipe = Recipe::of(program, &catalogue()).unwrap();
        assert_eq!(short_names(&recipe), ["snake", "chunked", "dealt", "lowest", "top", "all", "mean"]);
        let values = |place: usize| recipe.parts()[place].values.clone();
        assert_eq!(values(1), [("parts".to_owned(), "5".to_owned())]);
        assert_eq!(values(4), [("steps".to_owned(), "9".to_owned()), ("share".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_recipe_in_other_blocks_keeps_what_they_have_too() {
        let block = |name: &str, header: &str| format!("# block: {name}\n# kind: {header}\ndef _{name}():\n    pass\n");
        let text = [
            block("sorted", "frame"),
            block("placement", "frame"),
            "# block: pack\n# kind: frame\ndef _pack():\n    ...\n".to_owned(),
            block("assign_heap", "assign"),
            block("assign_chunked", "assign\n# width: 16\n# parts: 4 8"),
            block("refine_top", "refine\n# steps: 8"),
            block("bound_mean", "bound"),
        ];
        let other = Catalogue::parse(&joined("other", text.iter().map(String::as_str))).unwrap();
        let program = "def _pack():\n    _assign_chunked(items, parts=8)\n    _refine_all()\n\ndef balanced_packing():\n    \
            _bound_mean()\n";
        let recipe = Recipe::of(program, &catalogue()).unwrap();
        let translated = recipe.translated(&other, &mut rng(1)).unwrap();
        assert_eq!(short_names(&translated), ["chunked", "top", "mean"]);
        let given = [("width", "16"), ("parts", "8")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(translated.parts()[0].values, given);
        let restarted = program.replace("_bound_mean()", "_bound_mean()\n    _restart_noisy(noise=0.1)");
        let restarted = Recipe::of(&restarted, &catalogue()).unwrap();
        assert_eq!(restarted.translated(&other, &mut rng(1)), None, "it has no block of that kind");
    }

    #[test]
    fn what_is_not_composed_has_no_recipe() {
        let composed =
            "def _pack(i):\n    return _assign_dealt(i)\n\ndef balanced_packing(i):\n    _pack(_bound_mean(i))\n";
        assert!(Recipe::of(composed, &catalogue()).is_some());
        for broken in [
            composed.replace("_bound_mean", "_bound_best"),
            composed.replace("_assign_dealt(i)", "_assign_chunked(i)"),
            composed.replace("_assign_dealt(i)", "_assign_chunked(i, parts=n)"),
            composed.replace("_assign_dealt(i)", "_assign_dealt(_assign_dealt(i))"),
            composed.replace("def _pack", "def _unpack"),
            String::new(),
        ] {
            assert_eq!(Recipe::of(&broken, &catalogue()), None, "{broken}");
        }
    }
}
