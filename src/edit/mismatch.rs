//! Mismatch: why an edit does not apply to a program, with evidence for the journal and for the next proposal. It is
//! data, never a failure of the harness.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::edit::nearest::NearMatch;
use crate::edit::region::RegionError;

/// Why an edit does not apply. Blocks and lines count from 1; lines are those of the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Mismatch {
    /// A SEARCH text stands nowhere in the program.
    #[error("block {block}: SEARCH matches nothing{}", nearest_in_words(nearest))]
    NoMatch {
        block: usize,
        /// The most similar places, best first.
        nearest: Vec<NearMatch>,
    },
    /// A SEARCH text stands more than once in the editable region.
    #[error("block {block}: SEARCH matches several places, at lines {}", listed(lines, *more))]
    SeveralMatches {
        block: usize,
        /// The first line of each match, as far as they are listed.
        lines: Vec<usize>,
        /// Whether the list is incomplete.
        more: bool,
    },
    /// A SEARCH text stands in the program, but not wholly inside its editable region.
    #[error(
        "block {block}: SEARCH matches outside the editable region only, at {} {}",
        if lines.len() == 1 { "line" } else { "lines" }, listed(lines, *more)
    )]
    OutsideRegion {
        block: usize,
        /// The first line of each match, as far as they are listed.
        lines: Vec<usize>,
        /// Whether the list is incomplete.
        more: bool,
    },
    /// Two blocks match the same lines.
    #[error("blocks {first} and {second} overlap at line {line}")]
    Overlap {
        /// The block that matches first in the program.
        first: usize,
        second: usize,
        /// The first line that both match.
        line: usize,
    },
    /// A REPLACE text without a newline at its end, for lines that are not the last of the program.
    #[error("block {block}: REPLACE ends without a newline, but line {line} is not the last of the program")]
    NotLast {
        block: usize,
        /// The last line that its SEARCH text matches.
        line: usize,
    },
    /// The edit changes nothing.
    #[error("the edit changes nothing")]
    NoChange,
    /// The program's own region markers are broken.
    #[error("the program's region markers: {error}")]
    Region { error: RegionError },
}

impl Mismatch {
    /// The message, and below it the nearest places as diffs, for people and for proposers.
    pub fn evidence(&self) -> String {
        let mut text = format!("{self}\n");
        if let Self::NoMatch { nearest, .. } = self {
            for place in nearest {
                text += &format!("\nline {}, differs in {} (- SEARCH, + program):\n", place.line, place.difference);
                text += &place.diff;
            }
        }
        text
    }
}

fn nearest_in_words(nearest: &[NearMatch]) -> String {
    match nearest.first() {
        Some(place) => format!("; nearest is line {}, which differs in {}", place.line, place.difference),
        None => ", nor anything like it".to_owned(),
    }
}

fn listed(lines: &[usize], more: bool) -> String {
    let mut words: Vec<String> = lines.iter().map(usize::to_string).collect();
    words.extend(more.then(|| "...".to_owned()));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::nearest::Difference;

    #[test]
    fn a_mismatch_survives_the_journal_with_its_evidence() {
        let place =
            NearMatch { line: 7, difference: Difference::LineEnds, diff: "      - a\\r\n    7 + a\n".to_owned() };
        for mismatch in [
            Mismatch::NoMatch { block: 2, nearest: vec![place] },
            Mismatch::SeveralMatches { block: 1, lines: vec![3, 9], more: true },
            Mismatch::OutsideRegion { block: 1, lines: vec![3], more: false },
            Mismatch::Overlap { first: 2, second: 1, line: 4 },
            Mismatch::NotLast { block: 1, line: 4 },
            Mismatch::NoChange,
            Mismatch::Region { error: RegionError::Unclosed { line: 1 } },
        ] {
            let json = serde_json::to_value(&mismatch).unwrap();
            assert_eq!(serde_json::from_value::<Mismatch>(json).unwrap(), mismatch);
        }
    }

    #[test]
    fn messages_are_one_line_and_the_evidence_adds_the_diffs() {
        let place =
            NearMatch { line: 7, difference: Difference::LineEnds, diff: "      - a\\r\n    7 + a\n".to_owned() };
        let mismatch = Mismatch::NoMatch { block: 2, nearest: vec![place] };
        let message = "block 2: SEARCH matches nothing; nearest is line 7, which differs in line ends only";
        assert_eq!(mismatch.to_string(), message);
        assert_eq!(
            mismatch.evidence(),
            format!("{message}\n\nline 7, differs in line ends only (- SEARCH, + program):\n      - a\\r\n    7 + a\n")
        );
        let several = Mismatch::SeveralMatches { block: 1, lines: vec![3, 9], more: true };
        assert_eq!(several.to_string(), "block 1: SEARCH matches several places, at lines 3, 9, ...");
    }
}
