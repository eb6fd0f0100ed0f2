//! Cross: combines two programs. It takes a function of the second with its helpers, or merges the changes of both
//! since their common ancestor. It proposes nothing where both changed the same lines. It takes texts and knows no run.

use std::collections::BTreeSet;
use std::ops::Range;

use packevolve_contract::stream::Stream;
use rand::seq::SliceRandom;

use crate::edit::merge::merged;
use crate::edit::proposal::Proposal;
use crate::proposer::change::{self, replaced};
use crate::proposer::dead_code::without_dead_code;
use crate::proposer::recipe::region_with_entry;
use crate::proposer::syntax::{Function, assignments, holds, imports, is_sound};
use crate::values::operator::Operator;

#[derive(Clone, Copy, Debug)]
pub struct SecondParent<'a> {
    /// The number of its candidate.
    pub label: &'a str,
    pub program: &'a str,
    /// The program of the latest common ancestor.
    pub ancestor: Option<&'a str>,
    /// The function that the judge calls.
    pub entry: &'a str,
}

/// Proposes an edit of `parent` that takes code from `second` and leads to a program not yet `seen`: by the operator
/// `asked` for, or by the other one if that finds nothing. `None` if nothing fits.
pub fn propose(
    parent: &str,
    second: SecondParent<'_>,
    asked: Option<Operator>,
    rng: &mut Stream,
    seen: &dyn Fn(&str) -> bool,
) -> Option<(Operator, Proposal)> {
    let merge = |_: &mut Stream| Some((Operator::Merge, merge(parent, second, seen)?));
    let graft = |rng: &mut Stream| Some((Operator::Graft, graft(parent, second, rng, seen)?));
    match asked {
        Some(Operator::Merge) => merge(rng).or_else(|| graft(rng)),
        _ => graft(rng).or_else(|| merge(rng)),
    }
}

fn merge(parent: &str, second: SecondParent<'_>, seen: &dyn Fn(&str) -> bool) -> Option<Proposal> {
    let child = merged(second.ancestor?, parent, second.program).ok()?;
    // If the merge equals one of the two, that one already had all changes.
    let child = (child != second.program).then_some(child)?;
    let name = format!("cross_merge_with_{}", second.label);
    let description = format!("Makes the changes of candidate {} since the ancestor of both, too.", second.label);
    proposal(parent, &child, &name, &description, seen)
}

/// Replaces one function of the parent by the function of that name in the second parent, with its helpers.
fn graft(parent: &str, second: SecondParent<'_>, rng: &mut Stream, seen: &dyn Fn(&str) -> bool) -> Option<Proposal> {
    let (recipient, donor) = (Side::of(parent, second.entry)?, Side::of(second.program, second.entry)?);
    let mut names: Vec<&str> = donor.functions.iter().map(|function| function.name.as_str()).collect();
    names.retain(|name| recipient.text(name).is_some() && recipient.text(name) != donor.text(name));
    names.shuffle(rng);
    names.into_iter().find_map(|name| {
        let child = grafted(parent, &recipient, &donor, name)?;
        if child == second.program {
            return None;
        }
        let what = name.trim_start_matches('_');
        let description =
            format!("Takes `{name}` over from candidate {}, with the functions that it calls.", second.label);
        proposal(parent, &child, &format!("cross_{what}_of_{}", second.label), &description, seen)
    })
}

fn proposal(parent: &str, child: &str, name: &str, description: &str, seen: &dyn Fn(&str) -> bool) -> Option<Proposal> {
    let child = without_dead_code(parent, child);
    if child == parent || seen(&child) || !is_sound(&child) {
        return None;
    }
    change::proposal(parent, &child, name, description)
}

/// The parent with the donor's function `name` and its helpers.
fn grafted(parent: &str, recipient: &Side<'_>, donor: &Side<'_>, name: &str) -> Option<String> {
    let taken = donor.closure(name);
    // A top-level value would have to come along, and may mean something else here.
    let mut mentioned = taken.iter().flat_map(|function| &function.mentions);
    if mentioned.any(|name| donor.assigned.contains(name) && !recipient.assigned.contains(name)) {
        return None;
    }
    let at = recipient.functions.iter().find(|function| function.name == name)?.span.start;
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    let mut added = String::new();
    for function in taken {
        let text = &donor.program[function.span.clone()];
        match recipient.functions.iter().find(|own| own.name == function.name) {
            Some(own) if recipient.program[own.span.clone()] == *text => {}
            Some(own) => changes.push((own.span.clone(), text.to_owned())),
            None => added += &format!("{}\n\n\n", text.trim_end()),
        }
    }
    changes.push((at..at, added));
    let imports: String = donor.imports.difference(&recipient.imports).map(|line| format!("{line}\n")).collect();
    let start = recipient.span.start;
    let blank = if imports.is_empty() || parent[start..].starts_with("import ") { "" } else { "\n\n" };
    // Before what is added at the same place: a decorator needs its import.
    changes.insert(0, (start..start, imports + blank));
    changes.sort_by_key(|(span, _)| (span.start, span.end));
    Some(replaced(parent, &changes))
}

/// One of the two programs, with its editable region.
struct Side<'a> {
    program: &'a str,
    entry: &'a str,
    span: Range<usize>,
    functions: Vec<Function>,
    imports: BTreeSet<&'a str>,
    assigned: BTreeSet<String>,
}

impl<'a> Side<'a> {
    fn of(program: &'a str, entry: &'a str) -> Option<Self> {
        let (span, functions) = region_with_entry(program, entry)?;
        let imports = imports(program).into_iter().map(|import| import.span).filter(|import| holds(&span, import));
        let imports = imports.map(|import| program[import].trim_end()).collect();
        let assigned = assignments(program).into_iter().filter(|assignment| holds(&span, &assignment.span));
        let assigned = assigned.flat_map(|assignment| assignment.names).collect();
        Some(Self { program, entry, span, functions, imports, assigned })
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let function = self.functions.iter().find(|function| function.name == name)?;
        Some(&self.program[function.span.clone()])
    }

    /// A function and all its helpers, in program order.
    fn closure(&self, name: &str) -> Vec<&Function> {
        let mut names = BTreeSet::from([name]);
        loop {
            let taken = self.functions.iter().filter(|function| names.contains(function.name.as_str()));
            let taken: Vec<&Function> = taken.collect();
            let known = names.len();
            let mentioned = taken.iter().flat_map(|function| &function.mentions).map(String::as_str);
            // The entry is never a helper: in another function its name means something else.
            names.extend(mentioned.filter(|name| *name != self.entry && self.text(name).is_some()));
            if names.len() == known {
                return taken;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::stream::{Purpose, stream};

    use super::*;

    const ENTRY: &str = "balanced_packing";

    fn program(imports: &str, functions: &[(&str, &str)]) -> String {
        let function = |(name, body): &(&str, &str)| format!("def {name}(x):\n    return {body}\n");
        let functions: Vec<String> = functions.iter().map(function).collect();
        format!("import torch\n\n\n# EVOLVE-BLOCK-START\n{imports}{}# EVOLVE-BLOCK-END\n", functions.join("\n\n"))
    }

    fn crossed(parent: &str, other: &str, ancestor: Option<&str>, number: u64) -> Option<(Proposal, String)> {
        let second = SecondParent { label: "7", program: other, ancestor, entry: ENTRY };
        let asked = Some(Operator::CROSS[number as usize % 2]);
        let (_, proposal) = propose(parent, second, asked, &mut stream(2, number, Purpose::Proposal), &|_| false)?;
        let child = proposal.edit.apply(parent).unwrap();
        Some((proposal, child))
    }

    #[test]
    fn a_function_comes_with_what_it_needs_and_unused_code_is_removed() {
        let parent = program("", &[("_old", "x"), ("_pack", "_old(x)"), (ENTRY, "_pack(x) + 1")]);
        let other = program(
            "import numpy as np\n\n\n",
            &[("_new", "np.abs(x)"), ("_pack", "_new(x)"), (ENTRY, "_pack(x) + 2")],
        );
        let expected = program(
            "import numpy as np\n\n\n",
            &[("_new", "np.abs(x)"), ("_pack", "_new(x)"), (ENTRY, "_pack(x) + 1")],
        );
        let found: Vec<_> = (0..20).filter_map(|number| crossed(&parent, &other, None, number)).collect();
        let (proposal, _) = found.iter().find(|(_, child)| *child == expected).unwrap();
        assert_eq!(proposal.name, "cross_pack_of_7");
        assert!(found.iter().all(|(_, child)| *child != other && *child != parent));
    }

    #[test]
    fn imports_come_before_the_functions_that_they_decorate() {
        let parent = program("", &[(ENTRY, "x")]);
        let other = program("from numba import njit\n\n\n", &[("_new", "x"), (ENTRY, "_new(x)")]);
        let other = other.replace("def _new", "@njit\ndef _new");
        let (recipient, donor) = (Side::of(&parent, ENTRY).unwrap(), Side::of(&other, ENTRY).unwrap());
        let child = grafted(&parent, &recipient, &donor, ENTRY).unwrap();
        let at = |what: &str| child.find(what).unwrap_or_else(|| panic!("no {what} in\n{child}"));
        assert!(
            at("from numba import njit") < at("@njit\ndef _new") && at("@njit") < at(&format!("def {ENTRY}")),
            "{child}"
        );
    }

    #[test]
    fn the_changes_of_both_since_their_ancestor_are_merged() {
        let ancestor = program("", &[("_a", "1"), ("_b", "_a(2)"), (ENTRY, "_b(3)")]);
        let parent = ancestor.replace("return 1", "return 10");
        let other = ancestor.replace("_b(3)", "_b(30)");
        let both = parent.replace("_b(3)", "_b(30)");
        let merged = (0..20).filter_map(|number| crossed(&parent, &other, Some(&ancestor), number));
        let (proposal, _) = merged.into_iter().find(|(proposal, _)| proposal.name == "cross_merge_with_7").unwrap();
        assert_eq!(proposal.edit.apply(&parent).unwrap(), both);
        let conflict = SecondParent {
            label: "7",
            program: &ancestor.replace("return 1", "return 11"),
            ancestor: Some(&ancestor),
            entry: ENTRY,
        };
        assert_eq!(merge(&parent, conflict, &|_| false), None);
    }

    #[test]
    fn there_is_no_proposal_where_there_is_nothing_to_take() {
        let parent = program("", &[("_a", "1"), (ENTRY, "_a(3)")]);
        for other in [parent.as_str(), "", "x = 1\n", "# EVOLVE-BLOCK-START\n"] {
            for number in 0..4 {
                assert_eq!(crossed(&parent, other, None, number), None);
                assert_eq!(crossed(other, &parent, None, number), None);
            }
        }
        // The graft would turn the parent into the other program.
        let other = program("", &[("_a", "2"), (ENTRY, "_a(3)")]);
        assert_eq!(crossed(&parent, &other, None, 1), None);
        // The function needs a value that cannot come along.
        let other = program("SIZE = 5\n\n\n", &[("_a", "SIZE"), (ENTRY, "_a(4)")]);
        assert!(
            (0..20)
                .filter_map(|number| crossed(&parent, &other, None, number))
                .all(|(_, child)| !child.contains("SIZE"))
        );
    }
}
