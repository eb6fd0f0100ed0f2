//! The fenced code blocks of a Markdown text.

use crate::edit::line::{bare, lines};

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
}
