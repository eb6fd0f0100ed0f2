//! Edit: one or more SEARCH/REPLACE blocks, read, printed and applied byte for byte. The
//! [module's documentation](crate::edit) shows one.
//!
//! * Markers are whole lines; trailing blanks and a carriage return after them are allowed, leading blanks are not.
//! * In SEARCH the first `=======` ends the text; in REPLACE only `>>>>>>> REPLACE` does. Any other marker inside a text
//!   is an error, never a guess; so is anything but blank lines between blocks.
//! * A text ends with its last line's newline. A last line of a program that has none can be written: the line
//!   `\ No newline at end of file` below a text takes its last newline away. It is seldom needed, since a SEARCH text
//!   also matches the last line of a program that has no newline there, and the program's end then stays as it was.
//! * Line ends belong to the lines: text in LF does not match a program in CRLF.
//!
//! An edit that exists can be printed, and what is printed reads back as the same edit. Applying one changes the matched
//! lines and no other byte; all blocks are matched against the parent and apply together or not at all.

use std::fmt;

pub use crate::edit::block::{Block, EditError, Section};
use crate::edit::block::{Marker, section_text};
use crate::edit::line::{bare, content, lines, number};
use crate::edit::mismatch::Mismatch;
use crate::edit::region::Region;
use crate::edit::site::Site;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    blocks: Vec<Block>,
}

impl Edit {
    pub fn new(blocks: Vec<Block>) -> Result<Self, EditError> {
        if blocks.is_empty() { Err(EditError::NoBlock) } else { Ok(Self { blocks }) }
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Reads blocks with nothing but blank lines between them.
    pub fn parse(diff: &str) -> Result<Self, EditError> {
        Self::parse_at(diff, 1)
    }

    /// As [`Edit::parse`], for a `diff` whose first line is line `first` of its document.
    pub(crate) fn parse_at(diff: &str, first: usize) -> Result<Self, EditError> {
        let mut blocks = Vec::new();
        let mut lines = (first..).zip(lines(diff));
        while let Some((line, text)) = lines.next() {
            match Marker::of(text) {
                Some(Marker::Search) => {
                    let (search, divider) = read_section(&mut lines, Section::Search, line)?;
                    let (replace, end) = read_section(&mut lines, Section::Replace, line)?;
                    let search = section_text(&search, Section::Search, divider)?;
                    let replace = section_text(&replace, Section::Replace, end)?;
                    blocks.push(Block::checked(search.to_owned(), replace.to_owned(), line)?);
                }
                None if text.trim().is_empty() => {}
                _ => return Err(EditError::Stray { line, text: bare(text).chars().take(80).collect() }),
            }
        }
        Self::new(blocks)
    }

    /// The program that this edit makes of `program`.
    ///
    /// # Errors
    /// When a block does not match exactly once inside the editable region, blocks overlap, or nothing would change.
    pub fn apply(&self, program: &str) -> Result<String, Mismatch> {
        let region = Region::of(program).map_err(|error| Mismatch::Region { error })?;
        let mut child = String::with_capacity(program.len());
        let mut copied = 0;
        for (site, block) in self.sites(program, &region)? {
            child += &program[copied..site.span.start];
            child += if site.ends_without_newline { content(block.replace()) } else { block.replace() };
            copied = site.span.end;
        }
        child += &program[copied..];
        if child == program { Err(Mismatch::NoChange) } else { Ok(child) }
    }

    /// The site of each block in the order of the program, disjoint.
    fn sites(&self, program: &str, region: &Region) -> Result<Vec<(Site, &Block)>, Mismatch> {
        let mut sites = Vec::with_capacity(self.blocks.len());
        for (number, block) in (1..).zip(&self.blocks) {
            sites.push((number, block.site(program, region, number)?, block));
        }
        sites.sort_by_key(|(number, site, _)| (site.span.start, *number));
        for pair in sites.windows(2) {
            let ((first, before, _), (second, after, _)) = (&pair[0], &pair[1]);
            if after.span.start < before.span.end {
                let line = number(program, after.span.start);
                return Err(Mismatch::Overlap { first: *first, second: *second, line });
            }
        }
        Ok(sites.into_iter().map(|(_, site, block)| (site, block)).collect())
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blocks.iter().try_for_each(|block| block.fmt(f))
    }
}

/// The lines up to the marker that ends a section, and the number of that marker's line. `opened` is the line of the
/// block's first marker.
fn read_section<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    section: Section,
    opened: usize,
) -> Result<(String, usize), EditError> {
    let end = if section == Section::Search { Marker::Divider } else { Marker::Replace };
    let mut text = String::new();
    for (line, content) in lines {
        if Marker::of(content) == Some(end) {
            return Ok((text, line));
        }
        if section.reserves(content) {
            return Err(EditError::Reserved { line, section, text: bare(content).to_owned() });
        }
        text += content;
    }
    Err(EditError::Unterminated { line: opened, missing: end.to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: &str = "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n";

    fn edit(blocks: &[(&str, &str)]) -> Edit {
        Edit::new(blocks.iter().map(|(search, replace)| Block::new(*search, *replace).unwrap()).collect()).unwrap()
    }

    #[test]
    fn blocks_are_read_with_blank_lines_around_them() {
        let text = format!("\n \n{BLOCK}\t\n<<<<<<< SEARCH\nc\n=======\n>>>>>>> REPLACE");
        assert_eq!(Edit::parse(&text).unwrap(), edit(&[("a\n", "b\n"), ("c\n", "")]));
    }

    #[test]
    fn anything_else_between_blocks_is_an_error_with_its_line() {
        let parse = |text: String| Edit::parse(&text).unwrap_err();
        assert_eq!(parse(format!("{BLOCK}```\n")), EditError::Stray { line: 6, text: "```".to_owned() });
        let misspelt = BLOCK.replace("<<<<<<< SEARCH", "<<<<<< SEARCH");
        assert_eq!(parse(misspelt), EditError::Stray { line: 1, text: "<<<<<< SEARCH".to_owned() });
        let indented = BLOCK.replace("<<<<<<< SEARCH", "  <<<<<<< SEARCH");
        assert!(matches!(parse(indented), EditError::Stray { .. }));
        assert_eq!(parse("\n\n".to_owned()), EditError::NoBlock);
    }

    #[test]
    fn a_block_that_does_not_end_is_named_by_its_first_line() {
        let missing = |text: &str| match Edit::parse(text).unwrap_err() {
            EditError::Unterminated { line, missing } => (line, missing),
            other => panic!("{other}"),
        };
        assert_eq!(missing("\n<<<<<<< SEARCH\na\n"), (2, "=======".to_owned()));
        assert_eq!(missing("<<<<<<< SEARCH\na\n=======\nb\n"), (1, ">>>>>>> REPLACE".to_owned()));
    }

    #[test]
    fn markers_inside_texts_are_errors_but_a_divider_in_replace_is_text() {
        let line = |text: &str| match Edit::parse(text).unwrap_err() {
            EditError::Reserved { line, section, .. } => (line, section),
            other => panic!("{other}"),
        };
        assert_eq!(line("<<<<<<< SEARCH\na\n<<<<<<< SEARCH\n"), (3, Section::Search));
        assert_eq!(line("<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n"), (3, Section::Search));
        assert_eq!(line("<<<<<<< SEARCH\na\n=======\nb\n<<<<<<< SEARCH\n"), (5, Section::Replace));
        let text = "<<<<<<< SEARCH\na\n=======\nb\n=======\nc\n>>>>>>> REPLACE\n";
        assert_eq!(Edit::parse(text).unwrap(), edit(&[("a\n", "b\n=======\nc\n")]));
    }

    #[test]
    fn all_blocks_are_matched_against_the_parent_and_apply_in_any_order() {
        let swap = edit(&[("b\n", "a\n"), ("a\n", "b\n")]);
        assert_eq!(swap.apply("a\nb\n").unwrap(), "b\na\n");
        let touching = edit(&[("a\n", ""), ("b\n", "c\n")]);
        assert_eq!(touching.apply("a\nb\n").unwrap(), "c\n");
    }

    #[test]
    fn one_block_that_does_not_match_leaves_the_whole_edit_out() {
        let error = edit(&[("a\n", "b\n"), ("q\n", "r\n")]).apply("a\nb\n").unwrap_err();
        assert_eq!(error, Mismatch::NoMatch { block: 2, nearest: vec![] });
    }

    #[test]
    fn blocks_that_share_a_line_overlap() {
        let error = edit(&[("b\nc\n", ""), ("a\nb\n", "")]).apply("a\nb\nc\n").unwrap_err();
        assert_eq!(error, Mismatch::Overlap { first: 2, second: 1, line: 2 });
        let error = edit(&[("a\n", "b\n"), ("a\n", "b\n")]).apply("a\n").unwrap_err();
        assert_eq!(error, Mismatch::Overlap { first: 1, second: 2, line: 1 });
    }

    #[test]
    fn the_end_of_a_program_without_a_newline_stays_as_it_was_unless_the_edit_says_otherwise() {
        assert_eq!(edit(&[("b\n", "c\n")]).apply("a\nb").unwrap(), "a\nc");
        assert_eq!(edit(&[("b\r\n", "c\r\n")]).apply("a\r\nb").unwrap(), "a\r\nc");
        assert_eq!(edit(&[("b\n", "")]).apply("a\nb").unwrap(), "a\n");
        assert_eq!(edit(&[("b", "c\n")]).apply("a\nb").unwrap(), "a\nc\n");
        assert_eq!(edit(&[("b\n", "c")]).apply("a\nb\n").unwrap(), "a\nc");
        assert_eq!(edit(&[("a\n", "c")]).apply("a\nb\n").unwrap_err(), Mismatch::NotLast { block: 1, line: 1 });
    }

    #[test]
    fn a_line_without_its_newline_is_written_as_diff_does() {
        let text = "<<<<<<< SEARCH\na\n\\ No newline at end of file\n=======\nb\n>>>>>>> REPLACE\n";
        let read = Edit::parse(text).unwrap();
        assert_eq!(read, edit(&[("a", "b\n")]));
        assert_eq!(read.to_string(), text);
        assert_eq!(Edit::parse(&text.replace('\n', "\r\n")).unwrap(), edit(&[("a", "b\r\n")]));
        let nothing = Edit::parse(&text.replace("\nb\n", "\n\\ No newline at end of file\n")).unwrap_err();
        assert_eq!(nothing, EditError::NothingBefore { line: 5, section: Section::Replace });
    }

    #[test]
    fn an_edit_that_changes_nothing_is_a_mismatch() {
        assert_eq!(edit(&[("a\n", "a\n")]).apply("a\n").unwrap_err(), Mismatch::NoChange);
    }

    #[test]
    fn a_program_whose_markers_do_not_pair_cannot_be_edited() {
        let error = edit(&[("a\n", "b\n")]).apply("# EVOLVE-BLOCK-START\na\n").unwrap_err();
        assert!(matches!(error, Mismatch::Region { .. }));
    }

    /// Lines that are dangerous to a reader of edits, and a few that are not.
    fn line() -> impl Strategy<Value = String> {
        let content = prop_oneof![
            6 => "[ab]{0,2}",
            1 => "[<=>]{6,8}( SEARCH| REPLACE)?[ \t]{0,2}",
            1 => Just("=======".to_owned()),
            1 => Just("<<<<<<< SEARCH".to_owned()),
            1 => Just(">>>>>>> REPLACE".to_owned()),
            1 => Just(r"\ No newline at end of file".to_owned()),
            1 => Just("</DIFF>".to_owned()),
            1 => Just("# EVOLVE-BLOCK-START".to_owned()),
            1 => "\\PC{0,4}[\u{2028}\r\t\u{b}\u{c}]\\PC{0,4}",
        ];
        (content, prop_oneof![4 => Just("\n"), 1 => Just("\r\n")]).prop_map(|(content, end)| content + end)
    }

    /// A few lines, the last one perhaps without its newline.
    fn text() -> impl Strategy<Value = String> {
        (prop::collection::vec(line(), 0..6), any::<bool>()).prop_map(|(lines, whole)| {
            let text = lines.concat();
            if whole { text } else { text.strip_suffix('\n').unwrap_or(&text).to_owned() }
        })
    }

    fn any_edit() -> impl Strategy<Value = Edit> {
        let block = (text(), text()).prop_filter_map("not writable", |(s, r)| Block::new(s, r).ok());
        prop::collection::vec(block, 1..4).prop_map(|blocks| Edit::new(blocks).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same_edit(edit in any_edit()) {
            prop_assert_eq!(Edit::parse(&edit.to_string()), Ok(edit));
        }

        #[test]
        fn what_can_be_read_can_be_printed(text in prop::collection::vec(line(), 0..30)) {
            if let Ok(edit) = Edit::parse(&text.concat()) {
                prop_assert_eq!(Edit::parse(&edit.to_string()), Ok(edit));
            }
        }

        #[test]
        fn any_text_is_read_or_refused_and_never_panics(text in "\\PC*|[<=>\\\\ SEARCHPL\r\n]*", program in text()) {
            if let Ok(edit) = Edit::parse(&text) {
                let _ = edit.apply(&program);
            }
        }

        #[test]
        fn an_applied_edit_changes_the_matched_lines_and_no_other_byte(
            before in text(), search in text(), replace in text(), after in text(),
        ) {
            let before = if before.is_empty() || before.ends_with('\n') { before } else { before + "\n" };
            let program = format!("{before}{search}{after}");
            let Ok(block) = Block::new(search.clone(), replace.clone()) else { return Ok(()) };
            let Ok(child) = Edit::new(vec![block]).unwrap().apply(&program) else { return Ok(()) };
            let spliced = |wanted: &str, put: &str| {
                program.char_indices().any(|(start, _)| {
                    program[start..].starts_with(wanted)
                        && child == format!("{}{put}{}", &program[..start], &program[start + wanted.len()..])
                })
            };
            prop_assert!(spliced(&search, &replace) || spliced(content(&search), content(&replace)));
        }

        #[test]
        fn two_programs_have_an_edit_between_them_or_an_error(parent in text(), child in text()) {
            // Edit::between checks by itself that its edit leads from one to the other.
            if let Ok(edit) = Edit::between(&parent, &child) {
                prop_assert_eq!(Edit::parse(&edit.to_string()), Ok(edit));
            }
        }

        #[test]
        fn plain_programs_always_have_an_edit_between_them(
            parent in "([abc]{0,2}\n){1,30}[abc]?", child in "([abc]{0,2}\n){0,30}[abc]?",
        ) {
            prop_assume!(parent != child);
            let edit = Edit::between(&parent, &child);
            prop_assert_eq!(edit.unwrap().apply(&parent), Ok(child));
        }
    }
}
