//! Markdown: as much of it as the help topics use, drawn for a terminal and typeset as a man page.

use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::view::terminal::{Terminal, Tone, columns};

/// Longer lines are hard to read.
const WIDEST: usize = 100;

/// The first column of a table wraps beyond this.
const WIDEST_TERM: usize = 26;

#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// With its level from 1.
    Heading(usize, String),
    Paragraph(String),
    /// An item of a list, with its marker.
    Item(String, String),
    Code(Vec<String>),
    /// The cells of a table with a heading row and two columns.
    Table(Vec<[String; 2]>),
}

pub fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            blocks.push(Block::Code(lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect()));
        } else if let Some(title) = line.strip_prefix('#') {
            let level = 1 + title.len() - title.trim_start_matches('#').len();
            blocks.push(Block::Heading(level, plain(title.trim_start_matches('#').trim())));
        } else if line.starts_with("|--") {
        } else if let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            let (term, meaning) = cells.split_once(" | ").unwrap_or((cells, ""));
            let row = [plain(term), plain(meaning)];
            match blocks.last_mut() {
                Some(Block::Table(rows)) => rows.push(row),
                _ => blocks.push(Block::Table(vec![row])),
            }
        } else if let Some((marker, rest)) = marker(line) {
            blocks.push(Block::Item(marker.to_owned(), plain(rest)));
        } else {
            extend(&mut blocks, &plain(line.trim()));
        }
    }
    blocks.retain(|block| *block != Block::Paragraph(String::new()));
    blocks
}

/// The marker of a list item, and what follows it.
fn marker(line: &str) -> Option<(&str, &str)> {
    let (marker, rest) = line.split_once(' ')?;
    let number = marker.strip_suffix('.').is_some_and(|number| number.parse::<u8>().is_ok());
    (marker == "*" || number).then_some((marker, rest))
}

/// A line continues the paragraph or item before it; a blank line begins a paragraph.
fn extend(blocks: &mut Vec<Block>, line: &str) {
    match blocks.last_mut() {
        Some(Block::Paragraph(text) | Block::Item(_, text)) if !line.is_empty() => {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(line);
        }
        _ => blocks.push(Block::Paragraph(line.to_owned())),
    }
}

/// Without emphasis, and with the address of a link behind its text.
fn plain(text: &str) -> String {
    let text = text.replace("**", "");
    let Some((before, rest)) = text.split_once('[') else { return text };
    match rest.split_once("](").and_then(|(link, rest)| Some((link, rest.split_once(')')?))) {
        Some((link, (address, after))) => format!("{before}{link} ({address}){}", plain(after)),
        None => text,
    }
}

pub fn draw(blocks: &[Block], terminal: &Terminal) -> String {
    let width = terminal.width.unwrap_or(WIDEST).min(WIDEST);
    let mut text = String::new();
    for (at, block) in blocks.iter().enumerate() {
        let is_next_item = matches!(block, Block::Item(..)) && at > 0 && matches!(blocks[at - 1], Block::Item(..));
        if at > 0 && !is_next_item {
            text.push('\n');
        }
        for line in lines(block, width, terminal) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

fn lines(block: &Block, width: usize, terminal: &Terminal) -> Vec<String> {
    match block {
        Block::Heading(_, title) => vec![terminal.paint(Tone::Heading, title)],
        Block::Paragraph(text) => wrap(text, width),
        Block::Item(marker, text) => beside(&[format!("{marker} ")], &wrap(text, width - marker.len() - 1)),
        Block::Code(code) => code.iter().map(|line| format!("    {line}")).collect(),
        Block::Table(rows) => {
            let term = rows.iter().map(|[term, _]| columns(term)).max().unwrap_or_default().min(WIDEST_TERM);
            let row = |[left, right]: &[String; 2]| {
                let left: Vec<String> = wrap(left, term).iter().map(|line| pad(line, term + 2)).collect();
                beside(&left, &wrap(right, width.saturating_sub(term + 2).max(1)))
            };
            rows.iter().flat_map(row).collect()
        }
    }
}

/// Two columns of lines; the left one is as wide as its first line.
fn beside(left: &[String], right: &[String]) -> Vec<String> {
    let blank = pad("", left.first().map_or(0, |line| columns(line)));
    let line = |at: usize| left.get(at).unwrap_or(&blank).clone() + right.get(at).map_or("", String::as_str);
    (0..left.len().max(right.len())).map(line).collect()
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// A word that is wider than `width` gets a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("BUG: there is a line from the start");
        if last.is_empty() {
            last.push_str(word);
        } else if columns(last) + 1 + columns(word) <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

pub fn typeset(blocks: &[Block], page: &mut Roff) {
    for block in blocks {
        match block {
            Block::Heading(_, title) => page.control("SH", [title.to_uppercase().as_str()]),
            Block::Paragraph(text) => page.control("PP", []).text([roman(text)]),
            Block::Item(marker, text) => page.control("IP", [marker.as_str(), "4"]).text([roman(text)]),
            Block::Code(code) => {
                let lines: Vec<Inline> = code.iter().map(|line| roman(format!("{line}\n"))).collect();
                page.control("PP", []).control("nf", []).text(lines).control("fi", [])
            }
            Block::Table(rows) => rows.iter().fold(&mut *page, |page, [term, meaning]| {
                page.control("TP", []).text([bold(term)]).text([roman(meaning)])
            }),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\nOne line\nand [another](there).\n\n* an item over\n  two lines\n* two\n\n\
                        | a | b |\n|---|---|\n| `x` | **y** z |\n\n```text\n  code  stays\n```\n";

    #[test]
    fn a_page_is_drawn_within_the_width() {
        let narrow = Terminal { width: Some(12), ..Terminal::default() };
        let expected = "Title\n\nOne line and\nanother\n(there).\n\n* an item\n  over two\n  lines\n* two\n\n\
                        a    b\n`x`  y z\n\n      code  stays\n";
        assert_eq!(draw(&parse(TEXT), &narrow), expected);
    }

    #[test]
    fn a_page_is_typeset() {
        let mut page = Roff::new();
        typeset(&parse(TEXT), &mut page);
        let text = page.render();
        for part in
            [".SH TITLE\n", "One line and another (there).", ".IP * 4\n", ".TP\n\\fBa\\fR\n", ".nf\n  code  stays\n"]
        {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
