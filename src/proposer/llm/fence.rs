//! The fenced code blocks of a Markdown text.

use crate::edit::line::{bare, lines, lines_with_starts};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced<'a> {
    /// The text between its fences.
    pub(crate) content: &'a str,
    /// Whether it has a closing fence.
    pub(crate) closed: bool,
}

/// The fenced blocks of a text, in order; an inner block belongs to the outer one.
pub(crate) fn fenced(text: &str) -> Vec<Fenced<'_>> {
    let mut found = Vec::new();
    let mut open: Option<(Fence, usize)> = None;
    let mut offset = 0;
    for line in lines(text) {
        let start = offset;
        offset += line.len();
        open = match (open, Fence::of(line)) {
            (None, Some(fence)) => Some((fence, offset)),
            (Some((fence, from)), Some(end)) if end.closes(&fence) => {
                found.push(Fenced { content: &text[from..start], closed: true });
                None
            }
            (open, _) => open,
        };
    }
    found.extend(open.map(|(_, from)| Fenced { content: &text[from..], closed: false }));
    found
}

pub(crate) fn is_fence(line: &str) -> bool {
    Fence::of(line).is_some()
}

/// A line without its end, and without a fence that follows its text.
pub(crate) fn before_fence(line: &str) -> &str {
    if ends_in_fence(line) { bare(bare(line).trim_end_matches('`')) } else { bare(line) }
}

/// Whether a fence follows the text of a line.
fn ends_in_fence(line: &str) -> bool {
    let text = bare(line).trim_end_matches('`');
    bare(line).len() - text.len() >= 3 && !text.trim().is_empty()
}

/// For every line that may open a block: the texts from there to each line that may close it, shortest first. Only one
/// of them is a block to Markdown, but a program may have fences in its strings.
pub(crate) fn readings(text: &str) -> Vec<impl Iterator<Item = &str>> {
    openings(text).map(|(fence, inside)| ends(inside, fence)).collect()
}

/// For every line that may open a block: the text from there to the last line that ends in a fence of its own, without
/// that fence.
pub(crate) fn last_line_readings(text: &str) -> impl Iterator<Item = &str> {
    openings(text).filter_map(|(_, inside)| {
        let last = |(at, line): (usize, &str)| Some(at + before_fence(line).len()).filter(|_| ends_in_fence(line));
        lines_with_starts(inside).filter_map(last).last().map(|end| &inside[..end])
    })
}

/// The lines that may open a block, each with the text after it.
fn openings(text: &str) -> impl Iterator<Item = (Fence, &str)> {
    lines_with_starts(text).filter_map(|(at, line)| Some((Fence::of(line)?, &text[at + line.len()..])))
}

/// The beginnings of a text that end before a line which closes `opened`.
fn ends(text: &str, opened: Fence) -> impl Iterator<Item = &str> {
    let closes = move |line: &str| Fence::of(line).is_some_and(|fence| fence.closes(&opened));
    lines_with_starts(text).filter(move |(_, line)| closes(line)).map(|(at, _)| &text[..at])
}

/// A line of three or more fence characters.
#[derive(Clone, Copy, Debug)]
struct Fence {
    sign: u8,
    length: usize,
    /// Whether text follows, such as the name of a language.
    named: bool,
}

impl Fence {
    fn of(line: &str) -> Option<Self> {
        // Four or more spaces make it indented code.
        let line = bare(line);
        let inside = line.trim_start_matches(' ');
        let sign = *inside.as_bytes().first().filter(|sign| b"`~".contains(sign))?;
        let length = inside.bytes().take_while(|byte| *byte == sign).count();
        let rest = &inside[length..];
        let is_one = length >= 3 && line.len() - inside.len() <= 3 && !rest.contains('`');
        is_one.then(|| Self { sign, length, named: !rest.trim().is_empty() })
    }

    fn closes(self, opened: &Self) -> bool {
        self.sign == opened.sign && self.length >= opened.length && !self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(text: &str) -> Vec<&str> {
        fenced(text).into_iter().map(|fenced| fenced.content).collect()
    }

    #[test]
    fn blocks_are_found_between_prose_and_kept_to_the_byte() {
        assert_eq!(contents("a\n```python\n x\r\n\n```\nb\n~~~\ny\n~~~"), [" x\r\n\n", "y\n"]);
        assert_eq!(contents("no block, ``` here neither\n"), [""; 0]);
    }

    #[test]
    fn a_block_ends_only_with_its_own_fence() {
        assert_eq!(contents("````\n```\n~~~\n```\n````\n"), ["```\n~~~\n```\n"]);
        assert_eq!(contents("```\n    ```\n``` x\n```\n"), ["    ```\n``` x\n"]);
    }

    #[test]
    fn a_block_without_an_end_is_marked() {
        assert_eq!(fenced("```py\nx\n"), [Fenced { content: "x\n", closed: false }]);
        assert!(fenced("```py\nx\n```").iter().all(|fenced| fenced.closed));
    }

    #[test]
    fn every_fence_may_close_what_a_fence_opened() {
        let text = "```python\na\n```\nb\n~~~\nc```\nd\n";
        let all: Vec<Vec<&str>> = readings(text).into_iter().map(Iterator::collect).collect();
        assert_eq!(all, [vec!["a\n"], vec![], vec![]]);
        assert_eq!(readings("```\na\n```\nb\n```\n").remove(0).collect::<Vec<_>>(), ["a\n", "a\n```\nb\n"]);
        assert_eq!(last_line_readings(text).next(), Some("a\n```\nb\n~~~\nc"));
    }

    #[test]
    fn a_fence_behind_a_text_is_taken_off_and_backticks_of_the_text_stay() {
        for (line, wanted) in [
            ("</DIFF>```\n", "</DIFF>"),
            (">>>>>>> REPLACE ```\r\n", ">>>>>>> REPLACE"),
            ("x = `a`\n", "x = `a`"),
            ("```\n", "```"),
            ("a", "a"),
        ] {
            assert_eq!(before_fence(line), wanted, "{line}");
        }
    }
}
