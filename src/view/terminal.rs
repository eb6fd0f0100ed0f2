//! Terminal: the width of stdout and whether to colour it. The only file that uses `console`.
//!
//! Output that does not go to a terminal has unlimited width, and no colour unless `--color always` is given.

use std::io::{IsTerminal, stdout};
use std::sync::OnceLock;

use console::{Style, Term, measure_text_width, truncate_str};

/// What the colour of a text says; the text says it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Heading,
    Good,
    Bad,
    Faint,
    /// Where a part of a diff lies.
    Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

static COLOR: OnceLock<Color> = OnceLock::new();

/// For this process; the first call counts.
pub fn set_color(color: Color) {
    COLOR.get_or_init(|| color);
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Columns; `None`: unlimited.
    pub width: Option<usize>,
    pub is_coloured: bool,
    /// Whether text ends up on a terminal, where control characters act: also with `--color always` through a pager.
    pub is_terminal: bool,
}

impl Terminal {
    pub fn of_stdout() -> Self {
        let color = COLOR.get().copied().unwrap_or_default();
        if !stdout().is_terminal() {
            let is_always = color == Color::Always;
            return Self { width: None, is_coloured: is_always, is_terminal: is_always };
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_coloured = match color {
            Color::Auto => set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb"),
            color => color == Color::Always,
        };
        let width = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        // A terminal of unknown size reports 0.
        Self { width: width.filter(|columns| *columns > 0), is_coloured, is_terminal: true }
    }

    /// The text in the colour of its tone, if there are colours. Line ends stay outside.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.is_coloured || text.is_empty() {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Heading => Style::new().bold(),
            Tone::Good => Style::new().green(),
            Tone::Bad => Style::new().red(),
            Tone::Faint => Style::new().dim(),
            Tone::Place => Style::new().cyan(),
        };
        let style = style.force_styling(true);
        let painted = |line: &str| if line.is_empty() { String::new() } else { style.apply_to(line).to_string() };
        text.split('\n').map(painted).collect::<Vec<_>>().join("\n")
    }

    pub fn cut(&self, text: &str) -> String {
        self.width.map_or(text.to_owned(), |width| cut(text, width))
    }
}

/// The text, cut to this many columns, with a mark if it is longer.
pub fn cut(text: &str, columns: usize) -> String {
    truncate_str(text, columns, "…").into_owned()
}

pub fn columns(text: &str) -> usize {
    measure_text_width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_changes_the_text() {
        let piped = Terminal::default();
        assert_eq!(piped.paint(Tone::Bad, "a\nb"), "a\nb");
        assert_eq!(piped.cut(&"long ".repeat(100)), "long ".repeat(100));
    }

    #[test]
    fn colours_end_with_their_line_and_take_no_column() {
        let terminal = Terminal { width: Some(4), is_coloured: true, is_terminal: true };
        let painted = terminal.paint(Tone::Bad, "ab\n\ncd");
        let lines: Vec<&str> = painted.split('\n').collect();
        assert!(lines[0].starts_with('\u{1b}') && lines[0].ends_with("\u{1b}[0m"), "{painted:?}");
        assert_eq!((lines[1], columns(lines[0])), ("", 2));
        assert_eq!(terminal.cut("abcdef"), "abc…");
        assert_eq!(terminal.cut("abcd"), "abcd");
    }
}
