//! Site: the one place of a program that a SEARCH text names.
//!
//! A SEARCH text matches whole lines, byte for byte, inside one editable region, exactly once. The newline that ends it
//! is part of the document's format, so it also matches the last line of a program that has none there; every other
//! difference counts. Time is linear in the program. Never changes a text.

use std::ops::Range;

use crate::edit::line::{content, number};
use crate::edit::mismatch::Mismatch;
use crate::edit::nearest::nearest;
use crate::edit::region::Region;

const LISTED: usize = 20;

/// Where a SEARCH text stands in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// The bytes that it matches: whole lines.
    pub(crate) span: Range<usize>,
    /// Whether the newline at the end of the SEARCH text stands for the end of a program that has none.
    pub(crate) ends_without_newline: bool,
}

/// The only site of `search` in the editable `region`; messages name it as number `block`.
pub(crate) fn only_site(program: &str, region: &Region, block: usize, search: &str) -> Result<Site, Mismatch> {
    let mut inside: Vec<Site> = editable_sites(program, region, search).take(LISTED + 1).collect();
    match inside.len() {
        1 => Ok(inside.remove(0)),
        0 => Err(nowhere_editable(program, region, block, search)),
        _ => {
            let (lines, more) = listed(program, &inside);
            Err(Mismatch::SeveralMatches { block, lines, more })
        }
    }
}

pub(crate) fn is_only(program: &str, region: &Region, search: &str) -> bool {
    editable_sites(program, region, search).take(2).count() == 1
}

fn nowhere_editable(program: &str, region: &Region, block: usize, search: &str) -> Mismatch {
    let outside: Vec<Site> = sites(program, 0..program.len(), search).take(LISTED + 1).collect();
    if outside.is_empty() {
        return Mismatch::NoMatch { block, nearest: nearest(program, region, search) };
    }
    let (lines, more) = listed(program, &outside);
    Mismatch::OutsideRegion { block, lines, more }
}

fn listed(program: &str, sites: &[Site]) -> (Vec<usize>, bool) {
    let lines = sites.iter().take(LISTED).map(|site| number(program, site.span.start)).collect();
    (lines, sites.len() > LISTED)
}

fn editable_sites<'a>(program: &'a str, region: &'a Region, search: &'a str) -> impl Iterator<Item = Site> + 'a {
    region.spans().iter().flat_map(move |span| sites(program, span.clone(), search))
}

/// Every site of `search` in the whole lines `within` a program, overlapping ones too, in order.
fn sites<'a>(program: &'a str, within: Range<usize>, search: &'a str) -> impl Iterator<Item = Site> + 'a {
    let text = &program[within.clone()];
    let in_lines = starts_of_lines(text, search).map(move |start| {
        let start = within.start + start;
        Site { span: start..start + search.len(), ends_without_newline: false }
    });
    let start = within.start;
    let at_end = last_line_without_newline(text, search)
        .map(move |(from, ends_without_newline)| Site { span: start + from..start + text.len(), ends_without_newline });
    in_lines.chain(at_end)
}

/// Where `search`, which must end with a newline, stands at the start of a line of `text`.
fn starts_of_lines<'a>(text: &'a str, search: &'a str) -> impl Iterator<Item = usize> + 'a {
    // With the newline before it, every hit is at the start of a line; overlapping hits share at most newlines.
    let needle = format!("\n{search}");
    let mut from = 0;
    let mut at_start = search.ends_with('\n') && text.starts_with(search);
    std::iter::from_fn(move || {
        if std::mem::take(&mut at_start) {
            return Some(0);
        }
        if !search.ends_with('\n') {
            return None;
        }
        let found = from + text[from..].find(&needle)?;
        from = found + 1;
        Some(from)
    })
}

/// Where `search` stands at the end of a `text` without a newline there, and whether its own newline is left over.
fn last_line_without_newline(text: &str, search: &str) -> Option<(usize, bool)> {
    if text.ends_with('\n') {
        return None;
    }
    let wanted = content(search);
    let from = text.len().checked_sub(wanted.len()).filter(|_| !wanted.is_empty())?;
    let whole_lines = from == 0 || text.as_bytes()[from - 1] == b'\n';
    (whole_lines && text.ends_with(wanted)).then_some((from, search.ends_with('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(program: &str, search: &str) -> Vec<(usize, usize)> {
        let region = Region::of(program).unwrap();
        editable_sites(program, &region, search).map(|site| (site.span.start, site.span.end)).collect()
    }

    #[test]
    fn only_whole_lines_match() {
        assert_eq!(spans("xa\na\nax\n a\na \n", "a\n"), [(3, 5)]);
        assert_eq!(spans("a\nb\n", "a\nb\n"), [(0, 4)]);
        assert_eq!(spans("a\n\nb\n", "\n"), [(2, 3)]);
    }

    #[test]
    fn overlapping_matches_all_count() {
        assert_eq!(spans("a\na\na\n", "a\na\n"), [(0, 4), (2, 6)]);
        assert_eq!(spans("\n\n\n", "\n"), [(0, 1), (1, 2), (2, 3)]);
    }

    #[test]
    fn the_last_line_matches_without_its_newline_but_no_other_does() {
        assert_eq!(spans("a\nb", "b\n"), [(2, 3)]);
        assert_eq!(spans("a\nb", "b\r\n"), [(2, 3)]);
        assert_eq!(spans("a\nb", "b"), [(2, 3)]);
        assert_eq!(spans("b\nb", "b\n"), [(0, 2), (2, 3)]);
        assert_eq!(spans("b\na", "b"), []);
        assert_eq!(spans("b\n", "b"), []);
        assert_eq!(spans("ab", "b\n"), []);
        assert_eq!(spans("a", "\n"), []);
        assert_eq!(spans("a\n", "a\n\n"), []);
        assert_eq!(spans("", "\n"), []);
    }

    #[test]
    fn line_ends_must_agree() {
        assert_eq!(spans("a\r\nb\r\n", "a\n"), []);
        assert_eq!(spans("a\nb\n", "a\r\n"), []);
        assert_eq!(spans("a\r\nb\r\n", "a\r\n"), [(0, 3)]);
    }

    #[test]
    fn a_match_outside_the_region_does_not_count_and_is_named_when_it_is_the_only_one() {
        let program = "a\n# EVOLVE-BLOCK-START\na\nb\n# EVOLVE-BLOCK-END\nb\nc\n";
        let region = Region::of(program).unwrap();
        assert_eq!(only_site(program, &region, 1, "a\n").unwrap().span, 23..25);
        let error = only_site(program, &region, 3, "c\n").unwrap_err();
        assert_eq!(error, Mismatch::OutsideRegion { block: 3, lines: vec![7], more: false });
        let error = only_site(program, &region, 3, "# EVOLVE-BLOCK-END\nb\n").unwrap_err();
        assert_eq!(error, Mismatch::OutsideRegion { block: 3, lines: vec![5], more: false });
    }

    #[test]
    fn the_matches_listed_are_bounded() {
        let program = "a\n".repeat(100);
        let error = only_site(&program, &Region::of(&program).unwrap(), 1, "a\n").unwrap_err();
        assert_eq!(error, Mismatch::SeveralMatches { block: 1, lines: (1..=20).collect(), more: true });
    }
}
