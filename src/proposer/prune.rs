//! Prune: removes something from the best program: an edit of its lineage or a part of one, unused functions, a
//! statement, digits of a number. The judge decides whether the score needed it.
//!
//! The cuts are in a fixed order, larger ones first, and each is proposed once. Prune keeps guards (asserts, early
//! returns and raises), because no score shows what they are for, and definitions of names that are used elsewhere. A
//! comment goes with the statement below it.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::edit::apply::Edit;
use crate::edit::line::lines;
use crate::edit::merge::merged;
use crate::edit::proposal::Proposal;
use crate::edit::region::Region;
use crate::edit::rewrite::{Hunk, hunks};
use crate::proposer::change::{proposal, replaced};
use crate::proposer::dead_code::without_dead_code;
use crate::proposer::literal::Literal;
use crate::proposer::structural::{Places, shown};
use crate::proposer::syntax::{Number, Role, Statement, is_sound, normalised, numbers, size, statements, unbound};
use crate::values::operator::Operator;

/// The newest edits that prune tries to undo; later edits mostly overwrote older ones.
pub const MOST_EDITS: usize = 20;
/// An edit with more parts is undone as a whole or not at all.
const MOST_PARTS: usize = 8;

/// A program in the lineage of the best, or the best itself.
#[derive(Clone, Debug)]
pub struct Ancestor {
    pub label: String,
    /// NAME of its proposal.
    pub name: String,
    pub program: String,
}

/// All cuts of a program, in order.
#[derive(Debug)]
pub struct Cuts {
    best: String,
    cuts: Vec<Cut>,
}

impl Cuts {
    /// Finds the cuts of the first program of `line`, a lineage with the newest program first.
    pub fn of(line: &[Ancestor]) -> Self {
        let best = line.first().map_or_else(String::new, |best| best.program.clone());
        Self { cuts: cuts(&best, line), best }
    }

    /// Proposes the cut at an index; `None` past the last.
    pub fn propose(&self, place: u64) -> Option<(Operator, Proposal)> {
        let cut = self.cuts.get(usize::try_from(place).ok()?)?;
        let child = without_dead_code(&self.best, &cut.child);
        Some((cut.operator, proposal(&self.best, &child, &format!("prune_{}", cut.name), &cut.description)?))
    }
}

#[derive(Debug)]
struct Cut {
    operator: Operator,
    child: String,
    /// The removed part, for a name.
    name: String,
    /// The removed part, as a sentence.
    description: String,
}

fn cuts(best: &str, line: &[Ancestor]) -> Vec<Cut> {
    let Ok(region) = Region::of(best) else { return Vec::new() };
    let mut cuts = of_edits(best, line);
    cuts.extend(of_dead(best));
    cuts.extend(of_statements(best, &region));
    cuts.extend(of_numbers(best, &region));
    let mut known: BTreeSet<String> = line.iter().map(|one| one.program.clone()).collect();
    cuts.retain(|cut| known.insert(cut.child.clone()));
    let unbound_before = unbound(best);
    cuts.retain(|cut| unbound(&cut.child).is_subset(&unbound_before));
    cuts
}

/// The edits of the lineage, newest first, each followed by its parts and its numbers.
fn of_edits(best: &str, line: &[Ancestor]) -> Vec<Cut> {
    let longest = size(&normalised(best));
    let mut cuts = Vec::new();
    for pair in line.windows(2).take(MOST_EDITS) {
        let [child, parent] = pair else { unreachable!("BUG: windows of two") };
        let Ancestor { label, name, .. } = child;
        for Undone { suffix, part, text } in undone(&parent.program, &child.program) {
            let Ok(left) = merged(&child.program, best, &text) else { continue };
            // Undoing must not bring back what the edit removed.
            if left == best
                || size(&normalised(&left)) > longest
                || !is_sound(&left)
                || Edit::between(best, &left).is_err()
            {
                continue;
            }
            cuts.push(Cut {
                operator: Operator::Edit,
                child: left,
                name: format!("edit_{label}{suffix}"),
                description: format!("Undoes the edit that made candidate {label} ({name}).{part}"),
            });
        }
    }
    cuts
}

/// The text of a program after an edit or a part of it was undone.
struct Undone {
    /// The part, for a name; empty for the whole edit.
    suffix: String,
    /// The part, as a sentence.
    part: String,
    text: String,
}

/// Undoes the edit between two programs: all of it, each of its parts, each of its numbers.
fn undone(parent: &str, child: &str) -> Vec<Undone> {
    let mut all = vec![Undone { suffix: String::new(), part: String::new(), text: parent.to_owned() }];
    let (old, new): (Vec<&str>, Vec<&str>) = (lines(parent).collect(), lines(child).collect());
    let parts = hunks(&old, &new);
    if (2..=MOST_PARTS).contains(&parts.len()) {
        let part = |(number, hunk): (usize, &Hunk)| {
            let text = [&new[..hunk.new.start], &old[hunk.old.clone()], &new[hunk.new.end..]].concat().concat();
            Undone { suffix: format!("_part_{number}"), part: format!(" Part {number} of it alone."), text }
        };
        all.extend((1..).zip(&parts).map(part));
    }
    let (theirs, ours) = (numbers(parent), numbers(child));
    all.extend(parts.iter().flat_map(|hunk| {
        let (from, to) = (bytes(&new, &hunk.new), bytes(&old, &hunk.old));
        numbers_undone((child, &within(&ours, &from), &from), (parent, &within(&theirs, &to), &to))
    }));
    all
}

/// The byte range of lines.
fn bytes(lines: &[&str], part: &Range<usize>) -> Range<usize> {
    let length = |lines: &[&str]| lines.iter().map(|line| line.len()).sum::<usize>();
    let start = length(&lines[..part.start]);
    start..start + length(&lines[part.clone()])
}

fn within<'a>(numbers: &'a [Number], span: &Range<usize>) -> Vec<&'a Number> {
    numbers.iter().filter(|number| span.contains(&number.span.start)).collect()
}

/// A part of a program: its text, its numbers, and its byte range.
type Part<'a> = (&'a str, &'a [&'a Number], &'a Range<usize>);

/// If two parts differ only in several numbers: the first part with one number replaced from the second, for each of
/// them.
fn numbers_undone((child, ours, from): Part<'_>, (parent, theirs, to): Part<'_>) -> Vec<Undone> {
    let around = |text: &str, numbers: &[&Number], part: &Range<usize>| {
        let ends = std::iter::once(part.start).chain(numbers.iter().map(|number| number.span.end));
        let starts = numbers.iter().map(|number| number.span.start).chain([part.end]);
        ends.zip(starts).map(|(end, start)| text[end..start].to_owned()).collect::<Vec<_>>()
    };
    if around(child, ours, from) != around(parent, theirs, to) {
        return Vec::new();
    }
    let texts = |(own, other): (&&Number, &&Number)| (own.span.clone(), parent[other.span.clone()].to_owned());
    let mut changed: Vec<(Range<usize>, String)> = ours.iter().zip(theirs).map(texts).collect();
    changed.retain(|(span, other)| child[span.clone()] != *other);
    if changed.len() < 2 {
        return Vec::new();
    }
    let undo = |(span, other): (Range<usize>, String)| Undone {
        suffix: format!("_{}_to_{other}", &child[span.clone()]),
        part: format!(" Only its {}, which was {other}.", &child[span.clone()]),
        text: replaced(child, &[(span, other)]),
    };
    changed.into_iter().map(undo).collect()
}

/// Removes everything unused at once.
fn of_dead(best: &str) -> Option<Cut> {
    let child = without_dead_code("", best);
    (child != best).then(|| Cut {
        operator: Operator::Dead,
        child,
        name: "dead".to_owned(),
        description: "Leaves out the functions and imports that nothing mentions.".to_owned(),
    })
}

fn of_statements(best: &str, region: &Region) -> Vec<Cut> {
    let places = Places::of(best);
    let can_go = |one: &Statement| one.computes && !one.alone && !one.guards && region.around(&one.span).is_some();
    let cut = |one: Statement| {
        let with_comment = above(best, &one.span, region)..one.span.end;
        Cut {
            operator: Operator::Statement,
            child: replaced(best, &[(with_comment, String::new())]),
            name: places.name_at(one.line),
            description: format!("Leaves out {}: {}", places.place(one.span.start), shown(best, one.span.start)),
        }
    };
    statements(best).into_iter().filter(can_go).map(cut).collect()
}

/// The start of the comment above some lines, or of the lines if there is none.
fn above(best: &str, span: &Range<usize>, region: &Region) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(&best[span.clone()]);
    let mut start = span.start;
    for line in best[..span.start].split_inclusive('\n').rev() {
        let is_comment = line.trim_start().starts_with('#') && indent(line) == own;
        if !is_comment || region.around(&(start - line.len()..span.end)).is_none() {
            break;
        }
        start -= line.len();
    }
    start
}

fn of_numbers(best: &str, region: &Region) -> Vec<Cut> {
    let places = Places::of(best);
    let cut = |number: Number| {
        let old = best[number.span.clone()].to_owned();
        let new = rounded(&old).filter(|new| new.len() < old.len())?;
        let Number { span, line, name, .. } = number;
        let name = name.map_or_else(|| places.name_at(line), |name| name.trim_start_matches('_').to_owned());
        Some(Cut {
            operator: Operator::Round,
            name: format!("{name}_{old}_to_{new}"),
            description: format!("Rounds {old} to {new} in {}.", places.place(span.start)),
            child: replaced(best, &[(span, new)]),
        })
    };
    let in_region = |number: &Number| number.role != Role::Structural && region.around(&number.span).is_some();
    numbers(best).into_iter().filter(in_region).filter_map(cut).collect()
}

/// A decimal number rounded to one significant digit, in the same style.
fn rounded(number: &str) -> Option<String> {
    let value: f64 = number.parse().ok()?;
    // Exponents and whole numbers do not get shorter.
    if !number.contains('.') || number.contains(['e', 'E']) || value == 0.0 {
        return None;
    }
    let short: f64 = format!("{value:.0e}").parse().ok()?;
    let text = if short.fract() == 0.0 { format!("{short:.1}") } else { short.to_string() };
    Literal::parse(&text).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ancestor(label: &str, program: &str) -> Ancestor {
        Ancestor { label: label.to_owned(), name: format!("edit_{label}"), program: program.to_owned() }
    }

    const SEED: &str = "import torch\n\n\n# EVOLVE-BLOCK-START\ndef _swap(x, tries=5):\n    return x * tries\n\n\n\
        def balanced_packing(weight, num_packs):\n    assert num_packs > 0\n    x = _swap(weight, tries=2) + 0.5\n    \
        # Once more.\n    x = x + 1\n    if x is None:\n        return weight\n    return x\n# EVOLVE-BLOCK-END\n";

    fn all(line: &[Ancestor]) -> Vec<(Operator, Proposal, String)> {
        let best = &line[0].program;
        let cuts = Cuts::of(line);
        let proposed = (0..).map_while(|place| cuts.propose(place));
        proposed.map(|(operator, one)| (operator, one.clone(), one.edit.apply(best).unwrap())).collect()
    }

    #[test]
    fn statements_go_one_by_one_with_their_comments_and_what_guards_stays() {
        let found = all(&[ancestor("0", SEED)]);
        let names: Vec<&str> = found.iter().map(|(_, proposal, _)| proposal.name.as_str()).collect();
        assert_eq!(names, ["prune_balanced_packing_11", "prune_balanced_packing_13"]);
        assert_eq!(found[1].2, SEED.replace("    # Once more.\n    x = x + 1\n", ""));
        let first = found[0].2.clone();
        assert!(!first.contains("_swap") && first.contains("assert"), "what has lost its use is still there:\n{first}");
    }

    #[test]
    fn edits_of_the_lineage_are_undone_whole_in_parts_and_number_by_number() {
        let second = SEED.replace("+ 0.5", "+ 0.25").replace("x + 1\n", "x + 1 + 2\n");
        let third = second.replace("tries=5", "tries=7");
        let line = [ancestor("3", &third), ancestor("2", &second), ancestor("0", SEED)];
        let edits: Vec<(String, String)> = all(&line)
            .into_iter()
            .filter(|(operator, ..)| *operator == Operator::Edit)
            .map(|(_, proposal, child)| (proposal.name, child))
            .collect();
        // Undoing the newest edit would only restore its parent.
        let expected = [
            ("prune_edit_2", SEED.replace("tries=5", "tries=7")),
            ("prune_edit_2_part_1", third.replace("+ 0.25", "+ 0.5")),
            ("prune_edit_2_part_2", third.replace("x + 1 + 2", "x + 1")),
        ];
        assert_eq!(edits, expected.map(|(name, child)| (name.to_owned(), child)));
        let both = SEED.replace("tries=2) + 0.5", "tries=3) + 0.7");
        let line = [ancestor("4", &both.replace("tries=5", "tries=7")), ancestor("2", &both), ancestor("0", SEED)];
        let names: Vec<String> = all(&line).into_iter().map(|(_, proposal, _)| proposal.name).take(3).collect();
        assert_eq!(names, ["prune_edit_2", "prune_edit_2_3_to_2", "prune_edit_2_0.7_to_0.5"]);
    }

    #[test]
    fn what_nothing_mentions_goes_and_long_numbers_are_rounded() {
        let program =
            SEED.replace("+ 0.5", "+ 0.125").replace("def balanced", "def _idle():\n    return 1\n\n\ndef balanced");
        let found = all(&[ancestor("0", &program)]);
        let (operator, _, child) = &found[0];
        assert_eq!((*operator, child), (Operator::Dead, &SEED.replace("+ 0.5", "+ 0.125")));
        let (operator, proposal, child) = found.last().unwrap();
        assert_eq!((*operator, child.clone()), (Operator::Round, program.replace("0.125", "0.1")));
        assert_eq!(proposal.name, "prune_balanced_packing_15_0.125_to_0.1");
    }

    #[test]
    fn nothing_is_proposed_twice_or_longer_and_it_ends() {
        let longer = SEED.replace("    x = x + 1\n", "");
        let line = [ancestor("1", &longer), ancestor("0", SEED)];
        let found = all(&line);
        assert!(found.iter().all(|(_, _, child)| size(&normalised(child)) <= size(&normalised(&longer))));
        let mut children: Vec<&String> = found.iter().map(|(_, _, child)| child).collect();
        children.sort();
        children.dedup();
        assert_eq!(children.len(), found.len());
        assert_eq!(Cuts::of(&line).propose(found.len() as u64), None);
        assert_eq!(Cuts::of(&[]).propose(0), None);
    }

    #[test]
    fn numbers_keep_their_kind_when_they_are_rounded() {
        for (number, expected) in
            [("0.00125", Some("0.001")), ("1.05", Some("1.0")), ("0.5", Some("0.5")), ("48", None), ("1e-5", None)]
        {
            assert_eq!(rounded(number).as_deref(), expected, "{number}");
        }
    }
}
