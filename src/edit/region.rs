//! Region: the parts of a program that edits may change, between `EVOLVE-BLOCK-START` and `EVOLVE-BLOCK-END` lines.
//!
//! A marker is a comment line whose first word is the marker's; it belongs to no region, so no edit can change it. A
//! program without markers is editable throughout. Markers that do not pair are an error, never a guess.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::edit::line::lines;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegionMarker {
    Start,
    End,
}

impl RegionMarker {
    /// Reads `line` as a marker: blanks, a comment sign (`#` or `//`), blanks, then the word.
    ///
    /// Text after the word is allowed: `# EVOLVE-BLOCK-START: packing` taken for code would open the whole program.
    pub(crate) fn of(line: &str) -> Option<Self> {
        // Python takes a byte order mark for no part of the first line.
        let line = line.strip_prefix('\u{feff}').unwrap_or(line).trim_start();
        let comment = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
        let words = comment.trim_start_matches(['#', '/', ' ', '\t']).strip_prefix("EVOLVE-BLOCK-")?;
        let (marker, rest) = match words.strip_prefix("START") {
            Some(rest) => (Self::Start, rest),
            None => (Self::End, words.strip_prefix("END")?),
        };
        (!rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '-')).then_some(marker)
    }
}

/// Why the markers of a program do not pair. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RegionError {
    /// A second START before the END of the first.
    #[error("line {line}: EVOLVE-BLOCK-START inside the region that line {opened} opened")]
    Nested {
        /// Line of the second START.
        line: usize,
        /// Line of the first.
        opened: usize,
    },
    /// An END without a START.
    #[error("line {line}: EVOLVE-BLOCK-END without EVOLVE-BLOCK-START before it")]
    Unopened { line: usize },
    /// A START without an END.
    #[error("line {line}: EVOLVE-BLOCK-START without EVOLVE-BLOCK-END after it")]
    Unclosed { line: usize },
}

/// The editable parts of one program: byte ranges of whole lines, in order, disjoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    spans: Vec<Range<usize>>,
}

impl Region {
    /// Reads the markers of `program`, which pair up: START, END, START, END ...
    pub fn of(program: &str) -> Result<Self, RegionError> {
        let mut spans = Vec::new();
        let mut opened: Option<(usize, usize)> = None;
        let mut offset = 0;
        for (line, text) in (1..).zip(lines(program)) {
            let start = offset;
            offset += text.len();
            match (RegionMarker::of(text), opened) {
                (None, _) => {}
                (Some(RegionMarker::Start), None) => opened = Some((line, offset)),
                (Some(RegionMarker::Start), Some((opened, _))) => return Err(RegionError::Nested { line, opened }),
                (Some(RegionMarker::End), None) => return Err(RegionError::Unopened { line }),
                (Some(RegionMarker::End), Some((_, from))) => {
                    spans.push(from..start);
                    opened = None;
                }
            }
        }
        match opened {
            Some((line, _)) => Err(RegionError::Unclosed { line }),
            None if spans.is_empty() => Ok(Self { spans: std::iter::once(0..program.len()).collect() }),
            None => Ok(Self { spans }),
        }
    }

    pub fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }

    /// The one editable range that holds all of `span`; an empty span may lie at either end of it.
    pub fn around(&self, span: &Range<usize>) -> Option<&Range<usize>> {
        let next = self.spans.partition_point(|editable| editable.end < span.end);
        self.spans.get(next).filter(|editable| editable.start <= span.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(program: &str) -> Vec<&str> {
        Region::of(program).unwrap().spans().iter().map(|span| &program[span.clone()]).collect()
    }

    #[test]
    fn a_program_without_markers_is_editable_throughout() {
        assert_eq!(texts("a\nb"), ["a\nb"]);
        assert_eq!(texts(""), [""]);
    }

    #[test]
    fn a_marker_may_follow_the_byte_order_mark_of_the_program() {
        assert_eq!(texts("\u{feff}# EVOLVE-BLOCK-START\na\n# EVOLVE-BLOCK-END\n"), ["a\n"]);
    }

    #[test]
    fn regions_lie_between_their_markers_and_do_not_hold_them() {
        let program =
            "a\n# EVOLVE-BLOCK-START\nb\r\nc\n  # EVOLVE-BLOCK-END\r\nd\n#EVOLVE-BLOCK-START\n// EVOLVE-BLOCK-END";
        assert_eq!(texts(program), ["b\r\nc\n", ""]);
    }

    #[test]
    fn a_marker_may_carry_a_remark_but_must_be_a_comment_and_the_whole_word() {
        for line in ["# EVOLVE-BLOCK-START", "#EVOLVE-BLOCK-START: packing\n", "\t## EVOLVE-BLOCK-START\r\n"] {
            assert_eq!(RegionMarker::of(line), Some(RegionMarker::Start), "{line:?}");
        }
        for line in
            ["EVOLVE-BLOCK-START", "x = '# EVOLVE-BLOCK-START'", "# EVOLVE-BLOCK-STARTED", "# see EVOLVE-BLOCK-END"]
        {
            assert_eq!(RegionMarker::of(line), None, "{line:?}");
        }
    }

    #[test]
    fn markers_that_do_not_pair_are_errors_with_their_lines() {
        let (start, end) = ("# EVOLVE-BLOCK-START\n", "# EVOLVE-BLOCK-END\n");
        let error = |program: String| Region::of(&program).unwrap_err();
        assert_eq!(error(format!("a\n{end}")), RegionError::Unopened { line: 2 });
        assert_eq!(error(format!("{start}a\n")), RegionError::Unclosed { line: 1 });
        assert_eq!(error(format!("{start}a\n{start}{end}")), RegionError::Nested { line: 3, opened: 1 });
        assert_eq!(error(format!("{start}{end}{end}")), RegionError::Unopened { line: 3 });
    }

    #[test]
    fn a_span_lies_in_one_region_or_in_none() {
        let program = "a\n# EVOLVE-BLOCK-START\nb\n# EVOLVE-BLOCK-END\n# EVOLVE-BLOCK-START\nc\n# EVOLVE-BLOCK-END\n";
        let region = Region::of(program).unwrap();
        let b = program.find('b').unwrap();
        let c = program.find('c').unwrap();
        assert_eq!(region.around(&(b..b + 2)), Some(&(b..b + 2)));
        assert_eq!(region.around(&(b + 2..b + 2)), Some(&(b..b + 2)));
        assert_eq!(region.around(&(c..c)), Some(&(c..c + 2)));
        for outside in [0..2, b..c + 2, b..b + 3, c - 1..c] {
            assert_eq!(region.around(&outside), None, "{outside:?}");
        }
    }
}
