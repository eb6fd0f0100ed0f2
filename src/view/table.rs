//! Table: rows for people. The only file that knows the table library.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, presets};
use serde::Serialize;

use crate::view::terminal::{Terminal, Tone, columns, cut};

/// A column. Numbers align on the right.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) is_number: bool,
}

impl Column {
    /// Reads names separated by `|`. A `#` at the end of a name marks a column of numbers.
    pub(crate) fn list(header: &str) -> Vec<Self> {
        let column = |name: &str| match name.strip_suffix('#') {
            Some(name) => Self { name: name.to_owned(), is_number: true },
            None => Self { name: name.to_owned(), is_number: false },
        };
        header.split('|').map(column).collect()
    }
}

/// The width that the last column keeps for its words when there is little room.
const ENOUGH_WORDS: usize = 24;
/// The blanks that the library puts around a cell.
const PADDING: usize = 2;

/// A table without frames.
///
/// In a file or a pipe a line is as long as its cells: a cell that is broken in two cannot be searched for. A narrow
/// terminal loses expendable columns, which a line below counts; then words in the last column are cut.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<Column>,
    rows: Vec<Vec<String>>,
    tones: Vec<Option<Tone>>,
    /// Indices of columns, the first to go first.
    expendable: Vec<usize>,
}

impl Table {
    /// `header` lists the columns: names separated by `|`, with a `#` at the end of the name of a column of numbers.
    pub fn new(header: &str, rows: Vec<Vec<String>>) -> Self {
        Self { header: Column::list(header), rows, tones: Vec::new(), expendable: Vec::new() }
    }

    /// Columns that a narrow terminal loses, the first to go first.
    #[must_use]
    pub fn expendable(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.expendable = columns.into_iter().collect();
        self
    }

    #[must_use]
    pub fn tones(mut self, tones: impl IntoIterator<Item = Option<Tone>>) -> Self {
        self.tones = tones.into_iter().collect();
        self
    }

    /// The text has no line end after its last line.
    pub fn draw(&self, terminal: &Terminal) -> String {
        let shown = self.columns_for(terminal.width);
        let drawn = self.drawn(&shown, terminal.width);
        let heading = shown.iter().map(|place| self.header[*place].name.split('\n').count()).max().unwrap_or(0);
        let tone = |line: usize| match line.checked_sub(heading) {
            None => Some(Tone::Heading),
            Some(row) => self.tones.get(row).copied().flatten(),
        };
        let paint = |(at, line): (usize, String)| tone(at).map_or(line.clone(), |tone| terminal.paint(tone, &line));
        let mut lines: Vec<String> = drawn.into_iter().enumerate().map(paint).collect();
        let left_out = self.header.len() - shown.len();
        if left_out > 0 {
            let columns = if left_out == 1 { "1 column does" } else { &format!("{left_out} columns do") };
            lines.push(terminal.paint(Tone::Faint, &format!(" ({columns} not fit here: widen the terminal, or pipe)")));
        }
        lines.join("\n")
    }

    fn drawn(&self, shown: &[usize], width: Option<usize>) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.header.iter().map(|column| &column.name));
        let words = width.map(|width| self.room_for_words(shown, width));
        for row in &self.rows {
            let cut = |(place, text): (usize, &String)| match words {
                Some(words) if self.is_cuttable(place) => cut(text, words),
                _ => text.clone(),
            };
            table.add_row(row.iter().enumerate().map(cut));
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            if self.header[place].is_number {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if !shown.contains(&place) {
                column.set_constraint(ColumnConstraint::Hidden);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The columns that the words of the last one may take beside the others.
    fn room_for_words(&self, shown: &[usize], width: usize) -> usize {
        let others = shown.iter().filter(|place| !self.is_cuttable(**place));
        let taken: usize = others.map(|place| self.column_width(*place) + PADDING).sum();
        width.saturating_sub(taken + PADDING).max(ENOUGH_WORDS / 2)
    }

    fn columns_for(&self, width: Option<usize>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.header.len()).collect();
        for column in &self.expendable {
            if width.is_none_or(|width| self.width_of(&shown) <= width) {
                break;
            }
            shown.retain(|other| other != column);
        }
        shown
    }

    fn width_of(&self, shown: &[usize]) -> usize {
        let width = |place: &usize| match self.is_cuttable(*place) {
            true => self.column_width(*place).min(ENOUGH_WORDS),
            false => self.column_width(*place),
        };
        shown.iter().map(|place| width(place) + PADDING).sum()
    }

    fn is_cuttable(&self, place: usize) -> bool {
        place + 1 == self.header.len() && !self.header[place].is_number
    }

    fn column_width(&self, place: usize) -> usize {
        let header = self.header[place].name.split('\n').map(columns);
        let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| columns(cell));
        header.chain(cells).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row = |name: &str, score: &str| {
            vec![name.to_owned(), "0.123456".to_owned(), score.to_owned(), "many words ".repeat(9).trim().to_owned()]
        };
        Table::new("name\nof it|gap#|score#|words", vec![row("a", "1.5"), row("long name", "10.5")]).expendable([1])
    }

    #[test]
    fn numbers_stand_under_each_other_and_no_line_ends_in_blanks() {
        let drawn = table().draw(&Terminal::default());
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].contains("   1.5  many") && lines[3].contains("  10.5  many"), "{drawn}");
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
        assert!(drawn.contains(&"many words ".repeat(9)[..98]), "{drawn}");
    }

    #[test]
    fn on_a_narrow_terminal_columns_go_then_words_are_cut_and_no_line_is_too_long() {
        for width in [44, 60, 80, 200] {
            let drawn = table().draw(&Terminal { width: Some(width), ..Terminal::default() });
            assert!(drawn.lines().take(4).all(|line| columns(line) <= width), "{width}:\n{drawn}");
            assert_eq!(drawn.contains("0.123456"), width > 44, "{width}:\n{drawn}");
            assert_eq!(drawn.contains("(1 column does not fit here"), width == 44, "{width}:\n{drawn}");
            assert_eq!(drawn.contains('…'), width < 120, "{width}:\n{drawn}");
        }
    }

    #[test]
    fn a_row_has_the_colour_of_its_tone() {
        let terminal = Terminal { width: None, is_coloured: true, is_terminal: true };
        let drawn = table().tones([None, Some(Tone::Good)]).draw(&terminal);
        let coloured: Vec<bool> = drawn.lines().map(|line| line.contains('\u{1b}')).collect();
        assert_eq!(coloured, [true, true, false, true]);
    }
}
