//! Block: one SEARCH/REPLACE pair. A printed block always reads back as the same block.
//!
//! The constructor refuses a text that would not read back, such as one with a line that reads as a marker. It refuses
//! region markers too, so that no edit can move the borders of the editable region. It never normalises a text.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::edit::line::{bare, lines, number};
use crate::edit::mismatch::Mismatch;
use crate::edit::region::{Region, RegionError, RegionMarker};
use crate::edit::site::{Site, only_site};

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString)]
pub(crate) enum Marker {
    #[strum(serialize = "<<<<<<< SEARCH")]
    Search,
    #[strum(serialize = "=======")]
    Divider,
    #[strum(serialize = ">>>>>>> REPLACE")]
    Replace,
}

impl Marker {
    pub(crate) fn of(line: &str) -> Option<Self> {
        bare(line).parse().ok()
    }
}

/// The line below a text whose last line has no newline.
const NO_NEWLINE: &str = r"\ No newline at end of file";

/// One of the two texts of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Section {
    Search,
    Replace,
}

impl Section {
    /// Whether a line cannot stand in this text, because it would be read as a marker.
    pub(crate) fn reserves(self, line: &str) -> bool {
        Marker::of(line).is_some_and(|marker| marker != Marker::Divider || self == Self::Search)
    }
}

/// Why a text is not an edit, or why there is no edit between two programs.
///
/// Lines count from 1: in the document when one was read, in the printed block when a block was made, in the parent
/// when an edit between two programs was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EditError {
    /// No block at all.
    #[error("no `<<<<<<< SEARCH` block")]
    NoBlock,
    /// Something other than a blank line between blocks, such as a misspelt marker.
    #[error("line {line}: only blocks and blank lines may stand here, not {text:?}")]
    Stray {
        line: usize,
        /// Its text, cut to a bounded length.
        text: String,
    },
    /// A block without text to search for.
    #[error("line {line}: SEARCH is empty; to insert, search for a line beside the place and repeat it in REPLACE")]
    EmptySearch {
        /// Line of the block's first marker.
        line: usize,
    },
    /// A block that does not end.
    #[error("line {line}: the block that begins here has no {missing}")]
    Unterminated {
        /// Line of the block's first marker.
        line: usize,
        missing: String,
    },
    /// A line that would be read as a marker.
    #[error("line {line}: {text:?} cannot stand in {section}")]
    Reserved { line: usize, section: Section, text: String },
    /// A text that holds a region marker.
    #[error("line {line}: {section} holds a region marker")]
    HoldsRegionMarker { line: usize, section: Section },
    /// `\ No newline at end of file` with no line before it.
    #[error("line {line}: no line that could lack its newline stands before this one in {section}")]
    NothingBefore { line: usize, section: Section },
    /// Two programs that are equal.
    #[error("the programs are equal")]
    NoChange,
    /// Two programs that differ outside the region that may be edited.
    #[error("line {line}: the programs differ outside the editable region")]
    OutsideRegion { line: usize },
    /// A change that no SEARCH text can single out.
    #[error("line {line}: no text around this change stands in the program only once")]
    Ambiguous { line: usize },
    /// The parent's region markers are broken.
    #[error("the program's region markers: {error}")]
    Region { error: RegionError },
}

/// One SEARCH/REPLACE pair: whole lines, of which the last may lack its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    search: String,
    replace: String,
}

impl Block {
    /// A block that replaces `search` by `replace`; an empty `replace` deletes.
    pub fn new(search: impl Into<String>, replace: impl Into<String>) -> Result<Self, EditError> {
        Self::checked(search.into(), replace.into(), 1)
    }

    pub fn search(&self) -> &str {
        &self.search
    }

    pub fn replace(&self) -> &str {
        &self.replace
    }

    /// As [`Block::new`], for a block whose first marker is on `line`.
    pub(crate) fn checked(search: String, replace: String, line: usize) -> Result<Self, EditError> {
        if search.is_empty() {
            return Err(EditError::EmptySearch { line });
        }
        let divider = check(&search, Section::Search, line + 1)?;
        check(&replace, Section::Replace, divider + 1)?;
        Ok(Self { search, replace })
    }

    /// The only site of this block, which is number `block` of its edit.
    pub(crate) fn site(&self, program: &str, region: &Region, block: usize) -> Result<Site, Mismatch> {
        let site = only_site(program, region, block, &self.search)?;
        let joins_lines = !self.replace.is_empty() && !self.replace.ends_with('\n') && site.span.end < program.len();
        if joins_lines {
            return Err(Mismatch::NotLast { block, line: number(program, site.span.end - 1) });
        }
        Ok(site)
    }
}

/// Checks that `text` reads back unchanged; returns the number of the line after it.
fn check(text: &str, section: Section, first: usize) -> Result<usize, EditError> {
    for (line, text) in (first..).zip(lines(text)) {
        if section.reserves(text) {
            return Err(EditError::Reserved { line, section, text: bare(text).to_owned() });
        }
        if RegionMarker::of(text).is_some() {
            return Err(EditError::HoldsRegionMarker { line, section });
        }
    }
    let after = first + lines(text).count();
    match lines(text).last() {
        Some(last) if bare(last) == NO_NEWLINE => {
            Err(EditError::Reserved { line: after - 1, section, text: NO_NEWLINE.to_owned() })
        }
        Some(last) if !last.ends_with('\n') => Ok(after + 1),
        _ => Ok(after),
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (marker, text) in [(Marker::Search, &self.search), (Marker::Divider, &self.replace)] {
            write!(f, "{marker}\n{text}")?;
            if !text.is_empty() && !text.ends_with('\n') {
                write!(f, "\n{NO_NEWLINE}\n")?;
            }
        }
        writeln!(f, "{}", Marker::Replace)
    }
}

/// The text of a section, without its last newline if the line before `after` is [`NO_NEWLINE`].
pub(crate) fn section_text(text: &str, section: Section, after: usize) -> Result<&str, EditError> {
    let Some(last) = lines(text).last().filter(|last| bare(last) == NO_NEWLINE) else { return Ok(text) };
    let text = &text[..text.len() - last.len()];
    // In a document in CRLF the line end to take away is CRLF; in one in LF a carriage return belongs to the line.
    let line_end = if last.ends_with("\r\n") && text.ends_with("\r\n") { "\r\n" } else { "\n" };
    let text = text.strip_suffix(line_end).unwrap_or(text);
    if text.is_empty() || text.ends_with('\n') {
        return Err(EditError::NothingBefore { line: after - 1, section });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_printed_with_its_markers() {
        let block = Block::new("a\r\n", "b\n").unwrap();
        assert_eq!(block.to_string(), "<<<<<<< SEARCH\na\r\n=======\nb\n>>>>>>> REPLACE\n");
        let deletion = Block::new("a", "").unwrap();
        let text = "<<<<<<< SEARCH\na\n\\ No newline at end of file\n=======\n>>>>>>> REPLACE\n";
        assert_eq!(deletion.to_string(), text);
    }

    #[test]
    fn a_text_that_would_not_read_back_is_refused() {
        let error = |search: &str, replace: &str| Block::new(search, replace).unwrap_err();
        let reserved = |line, section, text: &str| EditError::Reserved { line, section, text: text.to_owned() };
        assert_eq!(error("", "a\n"), EditError::EmptySearch { line: 1 });
        assert_eq!(error("a\n=======  \r\n", ""), reserved(3, Section::Search, "======="));
        assert_eq!(error("a\n", "b\n>>>>>>> REPLACE"), reserved(5, Section::Replace, ">>>>>>> REPLACE"));
        assert!(matches!(error("a\n", "<<<<<<< SEARCH\n"), EditError::Reserved { .. }));
        assert_eq!(error("a\n\\ No newline at end of file\n", ""), reserved(3, Section::Search, NO_NEWLINE));
        assert!(Block::new("\\ No newline at end of file\na\n", "=======\n").is_ok());
    }

    #[test]
    fn lines_of_an_error_are_those_of_the_printed_block() {
        let holds = |line, section| EditError::HoldsRegionMarker { line, section };
        let marker = "# EVOLVE-BLOCK-END\n";
        assert_eq!(Block::new(format!("a\n{marker}"), ""), Err(holds(3, Section::Search)));
        assert_eq!(Block::new("a", marker), Err(holds(5, Section::Replace)));
        let printed = Block::new("a", "end\n").unwrap().to_string();
        assert_eq!(lines(&printed).nth(4), Some("end\n"));
    }

    #[test]
    fn rulers_and_indented_markers_are_code() {
        let code = "# =======\n ======= \n========\n  >>>>>>> REPLACE\n<<<<<<< SEARCH me\n=======\u{2028}\n";
        assert!(Block::new(code, code).is_ok());
    }

    #[test]
    fn an_error_survives_the_journal() {
        for error in [
            EditError::NoBlock,
            EditError::Stray { line: 1, text: "x".to_owned() },
            EditError::Reserved { line: 1, section: Section::Search, text: "=======".to_owned() },
            EditError::HoldsRegionMarker { line: 1, section: Section::Replace },
            EditError::Region { error: RegionError::Unclosed { line: 1 } },
        ] {
            let json = serde_json::to_value(&error).unwrap();
            assert_eq!(serde_json::from_value::<EditError>(json).unwrap(), error);
        }
    }
}
