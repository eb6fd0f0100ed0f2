//! Nearest: the places of a program that are most similar to a SEARCH text, as evidence for the next proposal.
//!
//! Every line of the editable region that also stands in the SEARCH text votes for the line at which the text would
//! begin; the places with most votes are aligned with the text and shown as a diff. Time grows with the size of the
//! program and of the text, not with their product, and the output is bounded. Nothing here reads a clock: the same
//! failure gives the same evidence on every machine.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffTag, capture_diff_slices, group_diff_ops};
use strsim::sorensen_dice;
use thiserror::Error;

use crate::edit::line::{content, lines, number};
use crate::edit::region::Region;

const PLACES: usize = 3;
/// How many rows of diff are shown of one place.
const ROWS: usize = 40;
/// How many lines of either side are shown of a run that differs.
const RUN: usize = 12;
/// How many characters are shown of a row.
const ROW_LENGTH: usize = 160;
const CONTEXT: usize = 3;
/// How many lines of a SEARCH text are aligned; the output would not show more.
const ALIGNED_LINES: usize = 1_000;
/// How many lines of a program are compared with a line that stands nowhere in it.
const COMPARED_LINES: usize = 20_000;
/// How many lines before and after the voted place may belong to it.
const SLACK: usize = 20;
/// A place is near if at least one in this many bytes of the SEARCH text agrees.
const AGREEING: u64 = 5;
/// The least likeness of two lines that may be meant as the same.
const ALIKE: f64 = 0.5;
/// A line that stands more often in a SEARCH text votes for its first this many places only.
const VOTES_OF_A_LINE: usize = 8;

/// A place of the program that is close to a SEARCH text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NearMatch {
    /// Line of the program, from 1, at which the place begins.
    pub line: usize,
    /// How it differs from the SEARCH text, within the first thousand lines of that.
    pub difference: Difference,
    /// A bounded diff from the SEARCH text (`-`) to the program (`+`), with the program's line numbers.
    pub diff: String,
}

/// How a place differs from a SEARCH text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// CRLF against LF, or a newline at the end of the program.
    #[error("line ends only")]
    LineEnds,
    /// Blanks at the end of lines.
    #[error("trailing blanks only")]
    TrailingBlanks,
    /// Blanks at the start of lines, tabs against spaces among them.
    #[error("indentation only")]
    Indentation,
    /// Blanks anywhere.
    #[error("blanks only")]
    Blanks,
    #[error("its text")]
    Text,
}

/// The places of the editable region that come closest to `search`, best first; none if nothing is similar.
pub(crate) fn nearest(program: &str, region: &Region, search: &str) -> Vec<NearMatch> {
    let wanted: Vec<&str> = lines(search).take(ALIGNED_LINES).collect();
    let spans: Vec<EditableSpan<'_>> = region.spans().iter().map(|span| EditableSpan::of(program, span)).collect();
    let mut starts = voted_starts(&spans, &wanted);
    // In a text of one or two lines none may agree exactly.
    if starts.is_empty() {
        starts.extend(most_similar_line(&spans, &wanted));
    }
    // Two votes may be for the same place, with another line left out before it.
    let mut found: Vec<(usize, Range<usize>)> = Vec::new();
    for (span, start) in starts {
        let place = spans[span].found(start, &wanted);
        let overlaps = |other: &Range<usize>| place.start < other.end && other.start < place.end;
        if !found.iter().any(|(other, range)| *other == span && overlaps(range)) {
            found.push((span, place));
        }
    }
    found.into_iter().map(|(span, place)| spans[span].place(place, &wanted)).collect()
}

struct EditableSpan<'a> {
    /// Number of its first line in the program.
    first: usize,
    lines: Vec<&'a str>,
}

impl<'a> EditableSpan<'a> {
    fn of(program: &'a str, span: &Range<usize>) -> Self {
        Self { first: number(program, span.start), lines: lines(&program[span.clone()]).collect() }
    }

    fn place(&self, found: Range<usize>, wanted: &[&str]) -> NearMatch {
        let (line, lines) = (self.first + found.start, &self.lines[found]);
        NearMatch { line, difference: difference(wanted, lines), diff: diff(wanted, lines, line) }
    }

    /// The lines opposite the wanted ones, of which the first is about line `start`, which may lie before the span. Where
    /// lines were left out or put in, more lines agree when some before and after that are looked at too; where they do
    /// not, a place nearby would only be mixed in.
    fn found(&self, start: isize, wanted: &[&str]) -> Range<usize> {
        let slack = SLACK.min(wanted.len());
        let exact = self.window(start, wanted.len());
        let wide = self.window(start - slack as isize, wanted.len() + 2 * slack);
        match (self.aligned(wanted, &exact), self.aligned(wanted, &wide)) {
            (Some((close, agree)), Some((_, more))) if more <= agree => close,
            (_, Some((loose, _))) => loose,
            _ => exact,
        }
    }

    /// The part of `window` that stands opposite the wanted lines, lines that differ in blanks only counting as the
    /// same, and how many lines agree; `None` if none does.
    fn aligned(&self, wanted: &[&str], window: &Range<usize>) -> Option<(Range<usize>, usize)> {
        let keys = |lines: &[&str]| lines.iter().map(|line| without_blanks(line)).collect::<Vec<_>>();
        let ops = capture_diff_slices(Algorithm::Myers, &keys(wanted), &keys(&self.lines[window.clone()]));
        let equal = || ops.iter().filter(|op| op.tag() == DiffTag::Equal);
        let (first, last) = (equal().next()?, equal().next_back()?);
        // As many lines of the window as there are wanted ones before the first and after the last agreement.
        let (head, tail) = (first.old_range().start, wanted.len() - last.old_range().end);
        let from = first.new_range().start.saturating_sub(head);
        let to = (last.new_range().end + tail).min(window.len());
        Some((window.start + from..window.start + to, equal().map(|op| op.old_range().len()).sum()))
    }

    /// The `length` lines from `start` on, as far as there are any.
    fn window(&self, start: isize, length: usize) -> Range<usize> {
        let bounded = |index: isize| index.clamp(0, self.lines.len() as isize) as usize;
        bounded(start)..bounded(start + length as isize)
    }
}

/// Where the wanted text would begin, as (span, index of its first line), by the weight of the lines that agree.
///
/// A line weighs as much as it has bytes, so that `)` says little and a long expression much.
fn voted_starts(spans: &[EditableSpan<'_>], wanted: &[&str]) -> Vec<(usize, isize)> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in wanted.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let places = places.entry(line.trim()).or_default();
        if places.len() < VOTES_OF_A_LINE {
            places.push(index);
        }
    }
    let mut best: Vec<(u64, usize, isize)> = Vec::new();
    for (number, span) in spans.iter().enumerate() {
        // votes[i] is for a start at line i - wanted.len() of the span.
        let mut votes = vec![0u64; span.lines.len() + wanted.len()];
        for (index, line) in span.lines.iter().enumerate() {
            let line = line.trim();
            for place in places.get(line).into_iter().flatten() {
                votes[index + wanted.len() - place] += line.len() as u64;
            }
        }
        for (weight, start) in peaks(votes, wanted.len()) {
            best.push((weight, number, start as isize - wanted.len() as isize));
        }
    }
    best.sort_by_key(|&(weight, span, start)| (Reverse(weight), span, start));
    let most = best.first().map_or(0, |&(weight, ..)| weight);
    let all: u64 = wanted.iter().map(|line| line.trim().len() as u64).sum();
    let near = |weight: u64| weight * AGREEING >= all && weight * 2 >= most;
    best.into_iter().take(PLACES).filter(|&(weight, ..)| near(weight)).map(|(_, place, start)| (place, start)).collect()
}

/// The highest votes, best first, each so far from the ones before that it is another place.
fn peaks(mut votes: Vec<u64>, apart: usize) -> Vec<(u64, usize)> {
    let highest = || {
        let (index, &weight) = votes.iter().enumerate().max_by_key(|&(index, &weight)| (weight, Reverse(index)))?;
        let end = (index + apart).min(votes.len());
        votes[index.saturating_sub(apart - 1)..end].fill(0);
        (weight > 0).then_some((weight, index))
    };
    std::iter::from_fn(highest).take(PLACES).collect()
}

/// For a text of which hardly a line agrees: where it begins if its longest line is the most similar line.
fn most_similar_line(spans: &[EditableSpan<'_>], wanted: &[&str]) -> Option<(usize, isize)> {
    let (place, longest) =
        wanted.iter().enumerate().max_by_key(|&(index, line)| (line.trim().len(), usize::MAX - index))?;
    let longest = longest.trim();
    let mut best: Option<(f64, (usize, isize))> = None;
    let lines = spans
        .iter()
        .enumerate()
        .flat_map(|(number, span)| span.lines.iter().enumerate().map(move |(index, line)| (number, index, line)));
    for (number, index, line) in lines.take(COMPARED_LINES) {
        // A part of a line is a usual mistake, however long the rest of the line is.
        let is_part = longest.len() > 2 && line.contains(longest);
        let alike = if is_part { 1.0 } else { likeness(longest, line.trim()) };
        if alike >= ALIKE && best.is_none_or(|(most, _)| alike > most) {
            best = Some((alike, (number, index as isize - place as isize)));
        }
    }
    best.map(|(_, start)| start)
}

/// How alike two lines are, from 0 to 1. Lines of very different length are not compared: a huge line stays cheap.
fn likeness(line: &str, other: &str) -> f64 {
    let (shorter, longer) = (line.len().min(other.len()), line.len().max(other.len()));
    if shorter == 0 || longer > 3 * shorter { 0.0 } else { sorensen_dice(line, other) }
}

type Normalise = fn(&str) -> String;

/// How two lines differ if this makes them equal, the smallest difference first.
const DIFFERENCES: [(Difference, Normalise); 4] = [
    (Difference::LineEnds, |line| content(line).to_owned()),
    (Difference::TrailingBlanks, |line| line.trim_end().to_owned()),
    (Difference::Indentation, |line| line.trim().to_owned()),
    (Difference::Blanks, without_blanks),
];

fn difference(wanted: &[&str], lines: &[&str]) -> Difference {
    let is_all = |normalise: &Normalise| {
        let mut pairs = wanted.iter().zip(lines);
        wanted.len() == lines.len() && pairs.all(|(wanted, line)| normalise(wanted) == normalise(line))
    };
    let found = DIFFERENCES.iter().find(|(_, normalise)| is_all(normalise));
    found.map_or(Difference::Text, |(difference, _)| *difference)
}

fn without_blanks(line: &str) -> String {
    line.chars().filter(|char| !char.is_whitespace()).collect()
}

/// From the wanted lines to those of the program, the first of which has this number.
fn diff(wanted: &[&str], lines: &[&str], number: usize) -> String {
    let numbered = |index: usize, sign: char| format!("{:>5} {sign} {}", number + index, printed(lines[index]));
    let mut rows = Vec::new();
    for hunk in group_diff_ops(capture_diff_slices(Algorithm::Myers, wanted, lines), CONTEXT) {
        if !rows.is_empty() {
            rows.push("...".to_owned());
        }
        for op in hunk {
            if op.tag() == DiffTag::Equal {
                rows.extend(op.new_range().map(|index| numbered(index, ' ')));
                continue;
            }
            rows.extend(op.old_range().take(RUN).map(|index| format!("      - {}", printed(wanted[index]))));
            rows.extend((op.old_range().len() > RUN).then(|| "      - ...".to_owned()));
            rows.extend(op.new_range().take(RUN).map(|index| numbered(index, '+')));
            rows.extend((op.new_range().len() > RUN).then(|| "      + ...".to_owned()));
        }
    }
    if rows.len() > ROWS {
        rows.truncate(ROWS);
        rows.push("...".to_owned());
    }
    rows.iter().map(|row| format!("{}\n", row.trim_end())).collect()
}

/// A line cut to a bounded length, with control characters and invisible ones written out: it may reach a terminal, and
/// a difference must be seen.
fn printed(line: &str) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let shown = |char: char| match char {
        '\u{a0}'
        | '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => char.escape_unicode().to_string(),
        _ if char.is_control() && char != '\t' => char.escape_default().to_string(),
        _ => char.to_string(),
    };
    let end = if line.chars().nth(ROW_LENGTH).is_some() { "..." } else { "" };
    line.chars().take(ROW_LENGTH).map(shown).collect::<String>() + end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(program: &str, search: &str) -> Vec<NearMatch> {
        nearest(program, &Region::of(program).unwrap(), search)
    }

    #[test]
    fn a_difference_in_blanks_is_named() {
        let program = "def f(x):\n    y = x + 1\n    return y\n";
        for (search, difference) in [
            ("    y = x + 1\r\n    return y\r\n", Difference::LineEnds),
            ("    y = x + 1  \n    return y\n", Difference::TrailingBlanks),
            ("\ty = x + 1\n\treturn y\n", Difference::Indentation),
            ("    y = x+1\n    return y\n", Difference::Blanks),
            ("    y = x + 2\n    return y\n", Difference::Text),
        ] {
            let places = places(program, search);
            assert_eq!((places[0].line, places[0].difference), (2, difference), "{search:?}");
        }
    }

    #[test]
    fn the_diff_goes_from_search_to_program_with_the_programs_line_numbers() {
        let program = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\nf = 6\ng = 7\nh = 8\n";
        let search = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\nf = 66\ng = 7\n";
        assert_eq!(
            places(program, search)[0].diff,
            "    3   c = 3\n    4   d = 4\n    5   e = 5\n      - f = 66\n    6 + f = 6\n    7   g = 7\n"
        );
    }

    #[test]
    fn lines_left_out_of_the_search_text_are_found_inside_it_and_not_around_it() {
        let program = "zero\nfirst line\nsecond line\nthird line\nfourth line\nfifth line\nsixth\n";
        let search = "first line\nsecond line\nfourth line\nfifth line\n";
        let place = &places(program, search)[0];
        assert_eq!((place.line, place.difference), (2, Difference::Text));
        assert_eq!(place.diff.lines().filter(|row| row.contains(" + ")).collect::<Vec<_>>(), ["    4 + third line"]);
        assert!(!place.diff.contains("zero") && !place.diff.contains("sixth"), "{}", place.diff);
    }

    #[test]
    fn a_misspelt_line_finds_the_line_that_was_meant() {
        let program = "import torch\n\ndef balanced_packing(weight, num_packs):\n    return weight\n";
        let place = &places(program, "def balanced_paking(weights, num_packs):\n")[0];
        assert_eq!(place.line, 3);
        assert_eq!(places(program, "class Unrelated:\n"), []);
    }

    #[test]
    fn lines_left_out_in_the_middle_do_not_make_one_place_two() {
        let program = "zero\nalpha = first()\nx = 1\ny = 2\nz = 3\nw = 4\nomega = last()\nend\n";
        for search in ["alpha = first()\n...\nomega = last()\n", "alpha = first()\n    ...\n\nomega = last()\n"] {
            let places = places(program, search);
            assert_eq!(places.iter().map(|place| place.line).collect::<Vec<_>>(), [2], "{places:?}");
            assert!(places[0].diff.contains("    7   omega = last()"), "{}", places[0].diff);
        }
    }

    #[test]
    fn an_invisible_character_is_shown() {
        let place = &places("\u{feff}import torch\nx\u{a0}= 1\n", "import torch\nx = 1\n")[0];
        assert!(place.diff.contains("\\u{feff}import") && place.diff.contains("x\\u{a0}= 1"), "{}", place.diff);
    }

    #[test]
    fn several_places_are_shown_best_first_and_only_inside_the_region() {
        let step = |n: usize| format!("for i in range({n}):\n    total += weight[i]\n    count += {n}\n");
        let program = format!(
            "{}# EVOLVE-BLOCK-START\n{}\n{}\n{}# EVOLVE-BLOCK-END\n",
            step(3),
            step(1),
            step(2),
            "x\n".repeat(30)
        );
        let lines: Vec<usize> = places(&program, &step(3).replace("count", "number")).iter().map(|p| p.line).collect();
        assert_eq!(lines, [5, 9]);
    }

    #[test]
    fn what_is_shown_is_bounded_and_safe_to_print() {
        let program = "a\u{1b}[31m\u{2028}\n".to_owned() + &"long ".repeat(1_000) + "\n";
        let program = program + &(0..5_000).map(|n| format!("line {n}\n")).collect::<String>();
        let search = program.replace('\n', " \n");
        let place = &places(&program, &search)[0];
        assert!(place.diff.lines().count() <= ROWS + 1);
        assert!(place.diff.lines().all(|row| row.chars().count() <= ROW_LENGTH + 20));
        assert!(place.diff.starts_with("      - a\\u{1b}[31m\\u{2028}"), "{}", place.diff);
    }

    #[test]
    fn a_program_of_one_repeated_line_and_one_of_nothing_are_no_trouble() {
        assert!(!places(&"x = 1\n".repeat(1_000), &"x = 2\n".repeat(50)).is_empty());
        assert!(!places(&"x = 1\n".repeat(1_000), &"x = 1 \n".repeat(2_000)).is_empty());
        assert_eq!(places("", "x\n"), []);
        assert_eq!(places("\n\n\n", "\n\n"), []);
        assert_eq!(places("a\n# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n", "a\n"), []);
    }

    proptest! {
        #[test]
        fn any_search_in_any_program_gives_bounded_evidence(
            program in "([ab]{0,3} ?(# EVOLVE-BLOCK-(START|END))?\r?\n){0,40}[ab]?", search in "([ab]{0,3} ?\r?\n){1,40}",
        ) {
            let Ok(region) = Region::of(&program) else { return Ok(()) };
            let places = nearest(&program, &region, &search);
            prop_assert!(places.len() <= PLACES);
            prop_assert!(places.iter().all(|place| place.diff.lines().count() <= ROWS + 1 && place.line >= 1));
        }
    }
}
