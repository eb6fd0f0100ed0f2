//! Rewrite: the edit between two whole programs, so that every candidate is recorded as an edit.
//!
//! The edit replaces the lines that differ and no more, except for the context that a SEARCH text needs to match only
//! once; changes whose context meets become one block. The result does not depend on a clock or on chance.

use std::ops::Range;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices};

use crate::edit::apply::{Block, Edit, EditError, Section};
use crate::edit::line::lines;
use crate::edit::region::Region;
use crate::edit::site::is_only;

impl Edit {
    /// The edit that turns `parent` into `child`.
    ///
    /// # Errors
    /// When the programs are equal, differ outside the parent's editable region, or when the change cannot be written
    /// as blocks: its lines read as markers, or every text around it stands in the parent more than once (an empty region
    /// has no text at all).
    pub fn between(parent: &str, child: &str) -> Result<Self, EditError> {
        let region = Region::of(parent).map_err(|error| EditError::Region { error })?;
        let parent_lines = Parent::of(parent, &region);
        let child_lines: Vec<&str> = lines(child).collect();
        let hunks = hunks(&parent_lines.lines, &child_lines);
        if hunks.is_empty() {
            return Err(EditError::NoChange);
        }
        let spans = hunks.iter().map(|hunk| parent_lines.span(hunk)).collect::<Result<Vec<_>, _>>()?;
        let blocks = merged(&spans).into_iter().map(|(part, old)| {
            let (first, last) = (&hunks[part.start], &hunks[part.end - 1]);
            let new = first.new.start - (first.old.start - old.start)..last.new.end + (old.end - last.old.end);
            Block::new(parent_lines.lines[old].concat(), child_lines[new].concat())
        });
        let edit = Self::new(blocks.collect::<Result<_, _>>()?)?;
        assert!(edit.apply(parent).as_deref() == Ok(child), "BUG: the edit between two programs does not lead there");
        Ok(edit)
    }
}

/// Lines of the parent that the child replaces; one of the two ranges may be empty.
#[derive(Debug)]
pub(crate) struct Hunk {
    pub(crate) old: Range<usize>,
    pub(crate) new: Range<usize>,
}

/// The differences of two programs, in order; at least one equal line lies between two hunks.
pub(crate) fn hunks(parent: &[&str], child: &[&str]) -> Vec<Hunk> {
    let equal = |op: &DiffOp| op.tag() == DiffTag::Equal;
    let ops = capture_diff_slices(Algorithm::Myers, parent, child);
    ops.chunk_by(|one, next| !equal(one) && !equal(next))
        .filter(|run| !equal(&run[0]))
        .map(|run| {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            Hunk {
                old: first.old_range().start..last.old_range().end,
                new: first.new_range().start..last.new_range().end,
            }
        })
        .collect()
}

/// Runs of hunks whose spans overlap, each with the lines that all of them span: they share a block.
fn merged(spans: &[Range<usize>]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut parts: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        match parts.last_mut() {
            Some((hunks, lines)) if span.start < lines.end => {
                hunks.end = index + 1;
                *lines = lines.start.min(span.start)..lines.end.max(span.end);
            }
            _ => parts.push((index..index + 1, span.clone())),
        }
    }
    parts
}

/// The parent as lines, and which of them a SEARCH text can hold.
struct Parent<'a> {
    text: &'a str,
    region: &'a Region,
    lines: Vec<&'a str>,
    /// Where each line begins, and the end of the text.
    starts: Vec<usize>,
    /// The lines that no SEARCH text can hold, in order.
    barred: Vec<usize>,
}

impl<'a> Parent<'a> {
    fn of(text: &'a str, region: &'a Region) -> Self {
        let lines: Vec<&str> = lines(text).collect();
        let mut starts = vec![0];
        starts.extend(lines.iter().scan(0, |end, line| {
            *end += line.len();
            Some(*end)
        }));
        let barred = |line: &str| Block::new(line, "").is_err() || Section::Replace.reserves(line);
        let barred = lines.iter().enumerate().filter(|(_, line)| barred(line)).map(|(index, _)| index).collect();
        Self { text, region, lines, starts, barred }
    }

    /// The lines that a block for `hunk` searches for: its own, and as few around them as make the text unique.
    fn span(&self, hunk: &Hunk) -> Result<Range<usize>, EditError> {
        let limits = self.limits(hunk)?;
        let with_context = |context: usize| {
            hunk.old.start.saturating_sub(context).max(limits.start)..(hunk.old.end + context).min(limits.end)
        };
        let enough = |context: usize| self.is_unique(&with_context(context));
        let mut context = 0;
        let mut too_little = None;
        while !enough(context) {
            if with_context(context) == limits {
                return Err(EditError::Ambiguous { line: hunk.old.start + 1 });
            }
            too_little = Some(context);
            context = (2 * context).max(1);
        }
        // More context never matches more often, so the least that is enough lies between the last two.
        let mut least = too_little.map_or(0, |context| context + 1);
        while least < context {
            let middle = least.midpoint(context);
            if enough(middle) { context = middle } else { least = middle + 1 }
        }
        Ok(with_context(context))
    }

    /// How far the context of `hunk` may reach: to the borders of its region, or a line that cannot be written.
    fn limits(&self, hunk: &Hunk) -> Result<Range<usize>, EditError> {
        let bytes = self.starts[hunk.old.start]..self.starts[hunk.old.end];
        let editable = self.region.around(&bytes).ok_or(EditError::OutsideRegion { line: hunk.old.start + 1 })?;
        let line_at = |offset| self.starts.partition_point(|&start| start < offset);
        let before = self.barred.partition_point(|&line| line < hunk.old.start);
        let after = self.barred.partition_point(|&line| line < hunk.old.end);
        let start = before.checked_sub(1).map_or(0, |index| self.barred[index] + 1);
        let end = self.barred.get(after).copied().unwrap_or(self.lines.len());
        Ok(start.max(line_at(editable.start))..end.min(line_at(editable.end)))
    }

    fn is_unique(&self, span: &Range<usize>) -> bool {
        !span.is_empty() && is_only(self.text, self.region, &self.text[self.starts[span.start]..self.starts[span.end]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(parent: &str, child: &str) -> String {
        let edit = Edit::between(parent, child).unwrap();
        assert_eq!(edit.apply(parent).unwrap(), child);
        edit.to_string()
    }

    #[test]
    fn a_line_that_stands_once_needs_no_context() {
        let edit = between("a\nb\nc\n", "a\nB\nc\n");
        assert_eq!(edit, "<<<<<<< SEARCH\nb\n=======\nB\n>>>>>>> REPLACE\n");
    }

    #[test]
    fn a_line_that_stands_twice_gets_as_much_context_as_it_needs() {
        let edit = between("x\nb\ny\nz\nx\nb\nw\n", "x\nb\ny\nz\nx\nB\nw\n");
        assert_eq!(edit, "<<<<<<< SEARCH\nx\nb\nw\n=======\nx\nB\nw\n>>>>>>> REPLACE\n");
    }

    #[test]
    fn an_insertion_repeats_its_neighbours_and_a_deletion_nothing() {
        let edit = between("a\nb\n", "a\nn\nb\n");
        assert_eq!(edit, "<<<<<<< SEARCH\na\nb\n=======\na\nn\nb\n>>>>>>> REPLACE\n");
        let edit = between("a\nb\nc\n", "a\nc\n");
        assert_eq!(edit, "<<<<<<< SEARCH\nb\n=======\n>>>>>>> REPLACE\n");
    }

    #[test]
    fn distant_changes_are_blocks_of_their_own_and_meeting_ones_share_one() {
        let parent = "a\nb\nc\nd\ne\nf\n";
        assert_eq!(Edit::between(parent, "A\nb\nc\nd\ne\nF\n").unwrap().blocks().len(), 2);
        assert_eq!(Edit::between(parent, "a\nn\nb\nm\nc\nd\ne\nf\n").unwrap().blocks().len(), 1);
    }

    #[test]
    fn the_newline_at_the_end_can_come_and_go() {
        for (parent, child) in
            [("a\nb", "a\nb\n"), ("a\nb\n", "a\nb"), ("a", "b"), ("a\r\nb", "a\r\nc"), ("a\n", "a\nb")]
        {
            let text = between(parent, child);
            assert_eq!(Edit::parse(&text).unwrap(), Edit::between(parent, child).unwrap());
        }
    }

    #[test]
    fn changes_stay_inside_the_region_and_context_does_too() {
        let program = |inner: &str| format!("b\n# EVOLVE-BLOCK-START\n{inner}# EVOLVE-BLOCK-END\nb\n");
        let edit = between(&program("a\nb\n"), &program("a\nB\n"));
        assert_eq!(edit, "<<<<<<< SEARCH\nb\n=======\nB\n>>>>>>> REPLACE\n");
        between(&program("a\n"), &program("n\na\n"));
        between(&program("a\n"), &program("a\nn\n"));
        between(&program("a\n"), &program(""));
        let outside = Edit::between(&program("a\n"), &program("a\n").replacen('b', "c", 1)).unwrap_err();
        assert_eq!(outside, EditError::OutsideRegion { line: 1 });
        assert_eq!(Edit::between(&program(""), &program("a\n")), Err(EditError::Ambiguous { line: 3 }));
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        assert_eq!(Edit::between("a\n", "a\n"), Err(EditError::NoChange));
        assert_eq!(Edit::between("", "a\n"), Err(EditError::Ambiguous { line: 1 }));
        let is_reserved = |old, new| matches!(Edit::between(old, new), Err(EditError::Reserved { .. }));
        assert!(is_reserved("a\n=======\n", "a\n"));
        assert!(is_reserved("a\n", "a\n>>>>>>> REPLACE\n"));
        let marker = Edit::between("a\n", "a\n# EVOLVE-BLOCK-START\n");
        assert!(matches!(marker, Err(EditError::HoldsRegionMarker { .. })));
        between("a\n=======\nb\n", "A\n=======\nB\n");
        between("a\n", "a\n=======\nb\n");
    }

    #[test]
    fn a_program_of_one_repeated_line_still_has_its_edit() {
        let parent = "x\n".repeat(1_000);
        between(&parent, &format!("{}y\n{}", "x\n".repeat(500), "x\n".repeat(499)));
        between(&parent, "x\n");
    }
}
