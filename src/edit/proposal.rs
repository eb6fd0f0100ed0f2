//! Proposal: a named and described edit, as the document in which it arrives. The
//! [module's documentation](crate::edit) shows one.
//!
//! Tags are whole lines; trailing blanks and a carriage return after them are allowed. Each of the three sections
//! stands once, in any order. Text outside them is ignored, even if it looks like a block. No other tag may stand
//! inside a section, so that a missing end is an error. NAME and DESCRIPTION become an author and a commit message:
//! blanks around them are dropped, and characters that would break a git header or steer a terminal are refused.

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::edit::apply::{Edit, EditError};
use crate::edit::line::{bare, lines, number};

/// The most characters of a NAME.
pub const NAME_LENGTH: usize = 100;
/// The most bytes of a DESCRIPTION.
pub const DESCRIPTION_LENGTH: usize = 16 * 1024;

/// A section of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Tag {
    Name,
    Description,
    Diff,
}

impl Tag {
    pub(crate) fn open(self) -> String {
        format!("<{self}>")
    }

    pub(crate) fn close(self) -> String {
        format!("</{self}>")
    }

    /// The tag that `line` is, and whether it opens its section.
    fn of(line: &str) -> Option<(Self, bool)> {
        let inside = bare(line).strip_prefix('<')?.strip_suffix('>')?;
        let name = inside.strip_prefix('/');
        Some((name.unwrap_or(inside).parse().ok()?, name.is_none()))
    }
}

/// Why a document is not a proposal. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ProposalError {
    /// A section is missing.
    #[error("no {tag} section: its tags must stand on lines of their own")]
    Missing { tag: Tag },
    /// A section stands in it twice.
    #[error("line {line}: a second {tag} section")]
    Twice {
        tag: Tag,
        /// Line of the second opening tag.
        line: usize,
    },
    /// A section does not end.
    #[error("line {line}: the {tag} section that begins here does not end")]
    Unclosed {
        tag: Tag,
        /// Line of its opening tag.
        line: usize,
    },
    /// A tag inside a section, or one that ends a section which did not begin.
    #[error("line {line}: {text:?} cannot stand here")]
    Misplaced {
        line: usize,
        /// The tag as written.
        text: String,
    },
    #[error("NAME {problem}")]
    Name { problem: String },
    #[error("DESCRIPTION {problem}")]
    Description { problem: String },
    #[error("DIFF: {error}")]
    Edit {
        /// Its lines are those of the document.
        error: EditError,
    },
}

/// A named and described edit. [`Proposal::new`] and [`Proposal::parse`] ensure that it can be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// One printable line; it becomes the author of the lines that the edit writes.
    pub name: String,
    /// One line or several, without blanks around it.
    pub description: String,
    pub edit: Edit,
}

impl Proposal {
    /// Drops blanks around name and description, and makes line ends in the description `\n`. Refuses a part with a line
    /// that would be read as a tag.
    pub fn new(name: &str, description: &str, edit: Edit) -> Result<Self, ProposalError> {
        let proposal = Self { name: checked_name(name)?, description: checked_description(description)?, edit };
        let printed = proposal.to_string();
        let parsed = Self::parse(&printed)?;
        assert!(parsed == proposal, "BUG: a proposal does not read back as it was printed:\n{printed}");
        Ok(proposal)
    }

    pub fn parse(text: &str) -> Result<Self, ProposalError> {
        let sections = sections(text)?;
        let section = |wanted: Tag| {
            let section = sections.iter().find(|(tag, _)| *tag == wanted);
            section.map(|(_, span)| span.clone()).ok_or(ProposalError::Missing { tag: wanted })
        };
        let (name, description, diff) = (section(Tag::Name)?, section(Tag::Description)?, section(Tag::Diff)?);
        let first = number(text, diff.start);
        Ok(Self {
            name: checked_name(&text[name])?,
            description: checked_description(&text[description])?,
            edit: Edit::parse_at(&text[diff], first).map_err(|error| ProposalError::Edit { error })?,
        })
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "<NAME>\n{}\n</NAME>\n", self.name)?;
        writeln!(f, "<DESCRIPTION>\n{}\n</DESCRIPTION>\n", self.description)?;
        writeln!(f, "<DIFF>\n{}</DIFF>", self.edit)
    }
}

/// The sections of a document: the bytes between the tags of each. An editor may have put a byte order mark before the
/// first.
fn sections(text: &str) -> Result<Vec<(Tag, Range<usize>)>, ProposalError> {
    let mut sections: Vec<(Tag, Range<usize>)> = Vec::new();
    let mut open: Option<(Tag, usize, usize)> = None;
    let mut offset = 0;
    for (line, content) in (1..).zip(lines(text)) {
        let start = offset;
        offset += content.len();
        let Some((tag, opens)) = Tag::of(content.trim_start_matches('\u{feff}')) else { continue };
        open = match open {
            None if opens && sections.iter().any(|(found, _)| *found == tag) => {
                return Err(ProposalError::Twice { tag, line });
            }
            None if opens => Some((tag, line, offset)),
            Some((current, _, from)) if tag == current && !opens => {
                sections.push((tag, from..start));
                None
            }
            _ => return Err(ProposalError::Misplaced { line, text: bare(content).to_owned() }),
        };
    }
    match open {
        Some((tag, line, _)) => Err(ProposalError::Unclosed { tag, line }),
        None => Ok(sections),
    }
}

fn checked_name(name: &str) -> Result<String, ProposalError> {
    let name = name.trim();
    let problem = |problem: String| Err(ProposalError::Name { problem });
    if name.is_empty() {
        return problem("is empty".to_owned());
    }
    if name.contains(['\n', '\r']) {
        return problem("has more than one line".to_owned());
    }
    if name.chars().count() > NAME_LENGTH {
        return problem(format!("is longer than {NAME_LENGTH} characters"));
    }
    // Letters and digits of every script, but no format characters: a name must not reorder or hide what is around it.
    let allowed = |char: char| char == ' ' || char.is_alphanumeric() || char.is_ascii_graphic() && !"<>".contains(char);
    if let Some(char) = name.chars().find(|&char| !allowed(char)) {
        return problem(format!("holds {char:?}"));
    }
    // git drops these from both ends of an author: the name in `git blame` would be another one.
    let ends = [name.chars().next(), name.chars().last()];
    match ends.into_iter().flatten().find(|&char| ".,:;\"'\\".contains(char)) {
        Some(char) => problem(format!("begins or ends with {char:?}")),
        None => Ok(name.to_owned()),
    }
}

fn checked_description(description: &str) -> Result<String, ProposalError> {
    let description = lines(description).map(str::trim_end).collect::<Vec<_>>().join("\n");
    let description = description.trim_matches('\n');
    let problem = |problem: String| Err(ProposalError::Description { problem });
    if description.is_empty() {
        return problem("is empty".to_owned());
    }
    if description.len() > DESCRIPTION_LENGTH {
        return problem(format!("is longer than {DESCRIPTION_LENGTH} bytes"));
    }
    match description.chars().find(|char| char.is_control() && !['\n', '\t'].contains(char)) {
        Some(char) => problem(format!("holds {char:?}")),
        None => Ok(description.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::edit::apply::Block;

    fn edit() -> Edit {
        Edit::new(vec![Block::new("a\n", "b\n").unwrap()]).unwrap()
    }

    fn document(name: &str, description: &str, diff: &str) -> String {
        format!("<NAME>{name}</NAME>\n<DESCRIPTION>{description}</DESCRIPTION>\n\n<DIFF>{diff}</DIFF>")
    }

    const DIFF: &str = "\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n\n";

    #[test]
    fn a_document_may_begin_with_a_byte_order_mark() {
        let text = "<NAME>\nn\n</NAME>\n<DESCRIPTION>\nd\n</DESCRIPTION>\n<DIFF>\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n</DIFF>\n";
        assert_eq!(Proposal::parse(&format!("\u{feff}{text}")), Proposal::parse(text));
        assert_eq!(Proposal::parse(text).unwrap().name, "n");
    }

    #[test]
    fn a_proposal_is_printed_as_a_document() {
        let proposal = Proposal::new("faster", "Two lines,\nthis one too.", edit()).unwrap();
        let text = "<NAME>\nfaster\n</NAME>\n\n<DESCRIPTION>\nTwo lines,\nthis one too.\n</DESCRIPTION>\n\n\
            <DIFF>\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n</DIFF>\n";
        assert_eq!(proposal.to_string(), text);
        assert_eq!(Proposal::parse(text), Ok(proposal));
    }

    #[test]
    fn blanks_around_name_and_description_are_dropped() {
        let text = document("\r\n  faster \r\n", "\n\n  one \r\n\r\n two\t\n\n", DIFF);
        let proposal = Proposal::parse(&text).unwrap();
        assert_eq!((proposal.name.as_str(), proposal.description.as_str()), ("faster", "  one\n\n two"));
        assert_eq!(proposal.edit, edit());
    }

    #[test]
    fn text_outside_the_sections_is_ignored() {
        let text = format!("Sure! Here it is:{DIFF}\n{}\n{DIFF}", document("\nn\n", &format!("\nas in{DIFF}"), DIFF));
        assert_eq!(Proposal::parse(&text).unwrap().edit, edit());
    }

    #[test]
    fn sections_stand_once_closed_and_in_any_order() {
        let (name, description) = ("<NAME>\nn\n</NAME>\n", "<DESCRIPTION>\nd\n</DESCRIPTION>\n");
        let diff = format!("<DIFF>{DIFF}</DIFF>\n");
        let parse = |parts: &[&str]| Proposal::parse(&parts.concat());
        assert!(parse(&[&diff, description, name]).is_ok());
        assert_eq!(parse(&[name, &diff]), Err(ProposalError::Missing { tag: Tag::Description }));
        assert_eq!(parse(&[name, description]), Err(ProposalError::Missing { tag: Tag::Diff }));
        assert_eq!(parse(&[name, description, name]), Err(ProposalError::Twice { tag: Tag::Name, line: 7 }));
        let unclosed = diff.replace("</DIFF>\n", "");
        let error = ProposalError::Unclosed { tag: Tag::Diff, line: 7 };
        assert_eq!(parse(&[name, description, &unclosed]), Err(error));
        let error = ProposalError::Misplaced { line: 2, text: "<DESCRIPTION>".to_owned() };
        assert_eq!(parse(&["<NAME>\n", description, &diff]), Err(error));
        assert!(matches!(parse(&["</DIFF>\n"]), Err(ProposalError::Misplaced { .. })));
        let inline = parse(&["<NAME>n</NAME>\n", description, &diff]).unwrap_err();
        assert_eq!(inline.to_string(), "no NAME section: its tags must stand on lines of their own");
    }

    #[test]
    fn lines_of_an_error_in_the_diff_are_those_of_the_document() {
        let error = Proposal::parse(&document("\nn\n", "\nd\n", "\n\n```\n")).unwrap_err();
        let expected = EditError::Stray { line: 10, text: "```".to_owned() };
        assert_eq!(error, ProposalError::Edit { error: expected });
        assert_eq!(error.to_string(), "DIFF: line 10: only blocks and blank lines may stand here, not \"```\"");
        assert!(matches!(error, ProposalError::Edit { error: EditError::Stray { .. } }));
    }

    #[test]
    fn a_name_is_one_printable_line_that_git_keeps_unchanged() {
        for name in ["x", "lpt + swaps (v2)", "größer_als_vorher", "v1.5"] {
            assert_eq!(Proposal::new(name, "d", edit()).unwrap().name, name);
        }
        let long = "n".repeat(NAME_LENGTH + 1);
        for name in
            ["", " \n", "a\nb", "a\rb", "a\tb", "a <b@c>", "\u{202e}a", "a\u{200b}", "\u{1b}[31m", ".a", "a:", &long]
        {
            assert!(matches!(Proposal::new(name, "d", edit()), Err(ProposalError::Name { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_description_is_bounded_text_without_control_characters() {
        for description in ["", " \n\n", "a\u{1b}[2J", "a\0", &"d".repeat(DESCRIPTION_LENGTH + 1)] {
            let error = Proposal::new("n", description, edit()).unwrap_err();
            assert!(matches!(error, ProposalError::Description { .. }), "{description:?}");
        }
    }

    #[test]
    fn a_part_that_holds_a_tag_line_is_refused() {
        let edit = Edit::new(vec![Block::new("a\n", "</DIFF>\n").unwrap()]).unwrap();
        assert!(matches!(Proposal::new("n", "d", edit), Err(ProposalError::Misplaced { .. })));
        let error = Proposal::new("n", "d\n<DIFF>", self::edit()).unwrap_err();
        assert_eq!(error, ProposalError::Misplaced { line: 7, text: "<DIFF>".to_owned() });
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same_proposal(
            name in "\\PC{1,20}|[a-z_]{1,8}", description in "(\\PC{0,20}\r?\n|</?(NAME|DIFF)> ?\n){1,4}",
            search in "(\\PC{0,8}\r?\n|</?(DESCRIPTION|DIFF)>\n){1,4}",
        ) {
            let edit = Block::new(search, "x\n").and_then(|block| Edit::new(vec![block]));
            if let Some(proposal) = edit.ok().and_then(|edit| Proposal::new(&name, &description, edit).ok()) {
                prop_assert_eq!(Proposal::parse(&proposal.to_string()), Ok(proposal));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Proposal::parse(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn any_order_of_lines_is_read_or_refused_and_never_panics(lines in prop::collection::vec(
            prop::sample::select(vec![
                "<NAME>\n", "</NAME>\n", "<DESCRIPTION>\n", "</DESCRIPTION>\n", "<DIFF>\n", "</DIFF>", "</DIFF>\r\n",
                "<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE \n", "a\n", "\n", "\u{2028}", "\r",
            ]), 0..40,
        )) {
            if let Ok(proposal) = Proposal::parse(&lines.concat()) {
                prop_assert_eq!(Proposal::parse(&proposal.to_string()), Ok(proposal));
            }
        }
    }
}
