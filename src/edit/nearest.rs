//! Nearest: the places of a program that a SEARCH text comes closest to, shown so that the next proposal gets it right.
//!
//! Every line of the editable region that also stands in the SEARCH text votes for where the text would begin; the
//! places with most votes are aligned with it and shown as a diff. Time grows with the size of the program and of the
//! text, not with their product, and what is shown is bounded. Never reads a clock: the same failure gives the same
//! evidence on every machine.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffTag, capture_diff_slices};
use thiserror::Error;

use crate::edit::line::{content, lines, number};
use crate::edit::region::Region;

/// How many places are shown.
const PLACES: usize = 3;
/// How many rows of diff are shown of one place.
const ROWS: usize = 40;
/// How many lines of either side are shown of a run that differs.
const RUN: usize = 12;
/// How many characters are shown of a row.
const ROW_LENGTH: usize = 160;
/// How many equal lines are shown around a difference.
const CONTEXT: usize = 3;
/// How many lines of a SEARCH text are aligned; what follows is not shown anyway.
const ALIGNED_LINES: usize = 1_000;
/// How many lines before and after the voted place may turn out to belong to it.
const SLACK: usize = 20;
/// Where less than one in this many bytes of a SEARCH text agrees, it is not near.
const AGREEING: u64 = 5;
/// A line that shares fewer of its pairs of bytes with another is not like it.
const ALIKE: f64 = 0.6;
/// A line that stands more often in a SEARCH text votes for its first this many places only.
const VOTES_OF_A_LINE: usize = 8;

/// A place of the program that is close to a SEARCH text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Line of the program, from 1, at which the place begins.
    pub line: usize,
    /// What sets it apart from the SEARCH text, as far as its first thousand lines say.
    pub difference: Difference,
    /// From the SEARCH text (`-`) to the program (`+`), with the program's line numbers; bounded.
    pub diff: String,
}

/// What sets a place apart from a SEARCH text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
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
    /// Something else.
    #[error("its text")]
    Text,
}

/// The places of the editable region that come closest to `search`, best first; none if nothing is similar.
pub(crate) fn nearest(program: &str, region: &Region, search: &str) -> Vec<Place> {
    let wanted: Vec<&str> = lines(search).take(ALIGNED_LINES).collect();
    let stretches: Vec<Stretch<'_>> = region.spans().iter().map(|span| Stretch::of(program, span)).collect();
    let mut starts = voted_starts(&stretches, &wanted);
    // A text of one or two lines may have none that agrees as it is.
    if starts.is_empty() {
        starts.extend(most_similar_line(&stretches, &wanted));
    }
    starts.into_iter().map(|(stretch, start)| stretches[stretch].place(start, &wanted)).collect()
}

/// One editable span as lines.
struct Stretch<'a> {
    /// Number of its first line in the program.
    first: usize,
    lines: Vec<&'a str>,
}

impl<'a> Stretch<'a> {
    fn of(program: &'a str, span: &Range<usize>) -> Self {
        Self { first: number(program, span.start), lines: lines(&program[span.clone()]).collect() }
    }

    /// The place whose first line is `start` (it may lie before the stretch), aligned with the wanted lines.
    fn place(&self, start: isize, wanted: &[&str]) -> Place {
        let rows = self.rows(start, wanted);
        Place {
            line: rows.iter().find_map(|row| row.program).map_or(self.first, |(line, _)| line),
            difference: difference(&rows),
            diff: diff(&rows),
        }
    }

    /// The wanted lines opposite those from `start` on. Where lines were left out or put in, more lines agree when some
    /// before and after are looked at too; where they do not, a place nearby would only be mixed in.
    fn rows<'b>(&'b self, start: isize, wanted: &[&'b str]) -> Vec<Row<'b>> {
        let slack = SLACK.min(wanted.len());
        let exact = self.window(start, wanted.len());
        let wide = self.window(start - slack as isize, wanted.len() + 2 * slack);
        let close = align(wanted, &self.lines[exact.clone()]);
        let loose = align(wanted, &self.lines[wide.clone()]);
        let (pairs, from) = match (close, loose) {
            (Some((close, agree)), Some((_, more))) if more <= agree => (close, exact.start),
            (_, Some((loose, _))) => (loose, wide.start),
            _ => (opposite(0..wanted.len(), 0..exact.len()), exact.start),
        };
        let row = |(search, program): (Option<usize>, Option<usize>)| Row {
            search: search.map(|index| wanted[index]),
            program: program.map(|index| (self.first + from + index, self.lines[from + index])),
        };
        pairs.into_iter().map(row).collect()
    }

    /// The `length` lines from `start` on, as far as there are any.
    fn window(&self, start: isize, length: usize) -> Range<usize> {
        let bounded = |index: isize| index.clamp(0, self.lines.len() as isize) as usize;
        bounded(start)..bounded(start + length as isize)
    }
}

/// Where the wanted text would begin, as (stretch, index of its first line), by the weight of the lines that agree.
///
/// A line weighs as much as it has bytes, so that `)` says little and a long expression much.
fn voted_starts(stretches: &[Stretch<'_>], wanted: &[&str]) -> Vec<(usize, isize)> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in wanted.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let places = places.entry(line.trim()).or_default();
        if places.len() < VOTES_OF_A_LINE {
            places.push(index);
        }
    }
    let mut best: Vec<(u64, usize, isize)> = Vec::new();
    for (number, stretch) in stretches.iter().enumerate() {
        // votes[i] is for a start at line i - wanted.len() of the stretch.
        let mut votes = vec![0u64; stretch.lines.len() + wanted.len()];
        for (index, line) in stretch.lines.iter().enumerate() {
            let line = line.trim();
            for place in places.get(line).into_iter().flatten() {
                votes[index + wanted.len() - place] += line.len() as u64;
            }
        }
        for (weight, start) in peaks(votes, wanted.len()) {
            best.push((weight, number, start as isize - wanted.len() as isize));
        }
    }
    best.sort_by_key(|&(weight, stretch, start)| (std::cmp::Reverse(weight), stretch, start));
    let most = best.first().map_or(0, |&(weight, ..)| weight);
    let all: u64 = wanted.iter().map(|line| line.trim().len() as u64).sum();
    let near = |weight: u64| weight * AGREEING >= all && weight * 2 >= most;
    best.into_iter().take(PLACES).filter(|&(weight, ..)| near(weight)).map(|(_, place, start)| (place, start)).collect()
}

/// The highest votes, best first, each far enough from the ones before to be another place.
fn peaks(mut votes: Vec<u64>, apart: usize) -> Vec<(u64, usize)> {
    let mut peaks = Vec::new();
    while peaks.len() < PLACES {
        let best = votes.iter().enumerate().max_by_key(|&(index, &weight)| (weight, std::cmp::Reverse(index)));
        match best {
            Some((index, &weight)) if weight > 0 => {
                peaks.push((weight, index));
                let end = (index + apart).min(votes.len());
                votes[index.saturating_sub(apart - 1)..end].fill(0);
            }
            _ => break,
        }
    }
    peaks
}

/// For a text of which hardly a line agrees: where its longest line finds the line that shares most pairs of bytes with it.
fn most_similar_line(stretches: &[Stretch<'_>], wanted: &[&str]) -> Option<(usize, isize)> {
    let (place, longest) =
        wanted.iter().enumerate().max_by_key(|&(index, line)| (line.trim().len(), usize::MAX - index))?;
    let longest = longest.trim();
    let mut pairs = BytePairs::of(longest);
    let mut best: Option<(f64, (usize, isize))> = None;
    for (number, stretch) in stretches.iter().enumerate() {
        for (index, line) in stretch.lines.iter().enumerate() {
            // A part of a line is a usual mistake, however long the rest of the line is.
            let is_part = longest.len() > 2 && line.contains(longest);
            let alike = if is_part { 1.0 } else { pairs.alike(line.trim()) };
            if alike >= ALIKE && best.is_none_or(|(most, _)| alike > most) {
                best = Some((alike, (number, index as isize - place as isize)));
            }
        }
    }
    best.map(|(_, start)| start)
}

/// The pairs of neighbouring bytes of a line, to compare many lines with.
struct BytePairs {
    left: Vec<u16>,
    total: usize,
}

impl BytePairs {
    fn of(line: &str) -> Self {
        let mut left = vec![0u16; 1 << 16];
        for pair in line.as_bytes().windows(2) {
            let count = &mut left[Self::index(pair)];
            *count = count.saturating_add(1);
        }
        Self { left, total: line.len().saturating_sub(1) }
    }

    fn index(pair: &[u8]) -> usize {
        usize::from(pair[0]) << 8 | usize::from(pair[1])
    }

    /// The share of pairs that `line` has in common: 1 for equal lines, 0 when nothing agrees (Dice's coefficient).
    fn alike(&mut self, line: &str) -> f64 {
        let pairs = line.len().saturating_sub(1);
        // Lengths that differ this much cannot come out alike; skipping them keeps huge lines cheap.
        if pairs == 0 || self.total == 0 || pairs > 3 * self.total || self.total > 3 * pairs {
            return 0.0;
        }
        let mut taken = Vec::new();
        for pair in line.as_bytes().windows(2) {
            let index = Self::index(pair);
            if self.left[index] > 0 {
                self.left[index] -= 1;
                taken.push(index);
            }
        }
        for &index in &taken {
            self.left[index] += 1;
        }
        2.0 * taken.len() as f64 / (pairs + self.total) as f64
    }
}

/// Lines of the SEARCH text and of a window of the program that stand opposite each other, as indices.
type Pairs = Vec<(Option<usize>, Option<usize>)>;

/// Pairs the wanted lines with those of `window`, lines that differ in blanks only counting as the same, and leaves out
/// what the window has before and after. Also says how many lines agree; `None` when none does.
fn align(wanted: &[&str], window: &[&str]) -> Option<(Pairs, usize)> {
    let key = |lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| line.chars().filter(|char| !char.is_whitespace()).collect()).collect()
    };
    let ops = capture_diff_slices(Algorithm::Myers, &key(wanted), &key(window));
    let first_equal = ops.iter().position(|op| op.tag() == DiffTag::Equal)?;
    let last_equal = ops.iter().rposition(|op| op.tag() == DiffTag::Equal)?;
    let (first, last) = (&ops[first_equal], &ops[last_equal]);
    // The lines of the window that stand opposite the wanted lines before the first and after the last agreement.
    let (head, tail) = (first.old_range().start, wanted.len() - last.old_range().end);
    let from = first.new_range().start.saturating_sub(head);
    let to = (last.new_range().end + tail).min(window.len());
    let mut rows = opposite(0..head, from..first.new_range().start);
    for op in &ops[first_equal..=last_equal] {
        match op.tag() {
            DiffTag::Equal => rows.extend(op.old_range().zip(op.new_range()).map(|(old, new)| (Some(old), Some(new)))),
            _ => rows.extend(opposite(op.old_range(), op.new_range())),
        }
    }
    rows.extend(opposite(last.old_range().end..wanted.len(), last.new_range().end..to));
    let agree = ops.iter().filter(|op| op.tag() == DiffTag::Equal).map(|op| op.old_range().len()).sum();
    Some((rows, agree))
}

/// Rows for lines that do not agree: opposite each other as far as they go.
fn opposite(search: Range<usize>, program: Range<usize>) -> Pairs {
    let length = search.len().max(program.len());
    (0..length)
        .map(|row| {
            let within = |range: &Range<usize>| Some(range.start + row).filter(|index| range.contains(index));
            (within(&search), within(&program))
        })
        .collect()
}

/// A line of the SEARCH text and the one of the program opposite it, with its number.
struct Row<'a> {
    search: Option<&'a str>,
    program: Option<(usize, &'a str)>,
}

impl Row<'_> {
    fn equal(&self) -> bool {
        self.program.is_some() && self.search == self.program.map(|(_, line)| line)
    }
}

fn difference(rows: &[Row<'_>]) -> Difference {
    let agree = |same: &dyn Fn(&str, &str) -> bool| {
        rows.iter().all(|row| match (row.search, row.program) {
            (Some(search), Some((_, program))) => same(search, program),
            _ => false,
        })
    };
    let solid = |line: &str| -> String { line.chars().filter(|char| !char.is_whitespace()).collect() };
    if agree(&|search, program| content(search) == content(program)) {
        Difference::LineEnds
    } else if agree(&|search, program| search.trim_end() == program.trim_end()) {
        Difference::TrailingBlanks
    } else if agree(&|search, program| search.trim() == program.trim()) {
        Difference::Indentation
    } else if agree(&|search, program| solid(search) == solid(program)) {
        Difference::Blanks
    } else {
        Difference::Text
    }
}

/// The rows as a diff: runs of rows that differ, SEARCH lines before program lines, with a few equal ones around.
fn diff(rows: &[Row<'_>]) -> String {
    let mut shown = vec![false; rows.len()];
    for (index, _) in rows.iter().enumerate().filter(|(_, row)| !row.equal()) {
        shown[index.saturating_sub(CONTEXT)..(index + CONTEXT + 1).min(rows.len())].fill(true);
    }
    let mut text = Vec::new();
    let mut index = 0;
    while index < rows.len() {
        if !shown[index] {
            if text.last().is_some_and(|row| row != "...") {
                text.push("...".to_owned());
            }
            index += 1;
        } else if rows[index].equal() {
            text.extend(rows[index].program.map(|(number, line)| format!("{number:>5}   {}", printed(line))));
            index += 1;
        } else {
            let end = index + rows[index..].iter().take_while(|row| !row.equal()).count();
            let run = &rows[index..end];
            let search = run.iter().filter_map(|row| row.search);
            text.extend(shortened(search.map(|line| format!("      - {}", printed(line))).collect()));
            let program = run.iter().filter_map(|row| row.program);
            text.extend(shortened(program.map(|(number, line)| format!("{number:>5} + {}", printed(line))).collect()));
            index = end;
        }
    }
    if text.last().is_some_and(|row| row == "...") {
        text.pop();
    }
    if text.len() > ROWS {
        text.truncate(ROWS);
        text.push("...".to_owned());
    }
    text.iter().map(|row| format!("{}\n", row.trim_end())).collect()
}

/// The first lines of one side of a run.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > RUN {
        let sign = if lines[0].starts_with("      -") { '-' } else { '+' };
        lines.truncate(RUN);
        lines.push(format!("      {sign} ..."));
    }
    lines
}

/// A line cut to a bounded length, with its control characters written out: it may reach a terminal.
fn printed(line: &str) -> String {
    let mut text = String::new();
    let line = line.strip_suffix('\n').unwrap_or(line);
    for (count, char) in line.chars().enumerate() {
        match char {
            _ if count == ROW_LENGTH => return text + "...",
            '\t' => text.push('\t'),
            char if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') => text.extend(char.escape_default()),
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(program: &str, search: &str) -> Vec<Place> {
        nearest(program, &Region::of(program).unwrap(), search)
    }

    #[test]
    fn a_text_that_differs_in_blanks_is_told_so() {
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
