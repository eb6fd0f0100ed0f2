//! Merge: a program with the changes that two others made to their common ancestor, line by line. It never guesses: if
//! both changed the same lines, or adjacent ones, in different ways, there is no merge.

use thiserror::Error;

use crate::edit::line::lines;
use crate::edit::rewrite::{Hunk, hunks};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("line {line} of the ancestor was changed in both programs")]
pub(crate) struct Conflict {
    /// The first line of the ancestor that both changed, from 1.
    pub(crate) line: usize,
}

/// The ancestor with the changes of `ours` and of `theirs`.
pub(crate) fn merged(ancestor: &str, ours: &str, theirs: &str) -> Result<String, Conflict> {
    let base: Vec<&str> = lines(ancestor).collect();
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (lines(ours).collect(), lines(theirs).collect());
    // Lines of the ancestor, and those that one program has in their place.
    let change = |hunk: Hunk, child: &[&str]| (hunk.old, child[hunk.new].concat());
    let mut changes: Vec<_> = hunks(&base, &ours).into_iter().map(|hunk| change(hunk, &ours)).collect();
    changes.extend(hunks(&base, &theirs).into_iter().map(|hunk| change(hunk, &theirs)));
    changes.sort_by_key(|(old, _)| (old.start, old.end));
    // The same change made by both counts once.
    changes.dedup();
    let mut merged = String::new();
    let mut copied = 0;
    for (index, (old, text)) in changes.iter().enumerate() {
        if index > 0 && old.start <= copied {
            return Err(Conflict { line: old.start + 1 });
        }
        merged += &base[copied..old.start].concat();
        merged += text;
        copied = old.end;
    }
    Ok(merged + &base[copied..].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn changes_of_different_places_are_both_made() {
        assert_eq!(merged("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n").unwrap(), "A\nb\nC\n");
        assert_eq!(merged("a\nb\nc\nd\n", "x\na\nb\nc\nd\n", "a\nb\nd\n").unwrap(), "x\na\nb\nd\n");
        assert_eq!(merged("a\nb", "A\nb", "a\nb").unwrap(), "A\nb");
    }

    #[test]
    fn changes_of_the_same_place_or_of_lines_that_touch_are_a_conflict_unless_they_are_the_same() {
        assert_eq!(merged("a\nb\n", "a\nx\n", "a\ny\n"), Err(Conflict { line: 2 }));
        assert_eq!(merged("a\nb\nc\n", "A\nb\nc\n", "a\nB\nc\n"), Err(Conflict { line: 2 }));
        assert_eq!(merged("a\n", "a\nx\n", "a\ny\n"), Err(Conflict { line: 2 }));
        assert_eq!(merged("a\nb\n", "x\nb\n", "x\nb\n").unwrap(), "x\nb\n");
        assert_eq!(merged("a\nb\nc\nd\n", "x\nb\nc\nd\n", "x\nb\nc\ny\n").unwrap(), "x\nb\nc\ny\n");
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof![Just("a\n"), Just("b\n"), Just("c\n"), Just("d\n")], 0..12)
            .prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn who_comes_first_does_not_matter(base in text(), ours in text(), theirs in text()) {
            let conflict = |result: Result<String, Conflict>| result.map_err(drop);
            prop_assert_eq!(conflict(merged(&base, &ours, &theirs)), conflict(merged(&base, &theirs, &ours)));
        }

        #[test]
        fn with_one_program_unchanged_the_other_one_is_the_merge(base in text(), other in text()) {
            prop_assert_eq!(merged(&base, &base, &other), Ok(other.clone()));
            prop_assert_eq!(merged(&base, &other, &base), Ok(other.clone()));
            prop_assert_eq!(merged(&base, &other, &other), Ok(other));
        }
    }
}
