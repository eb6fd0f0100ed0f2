//! Table: rows for people. The only file that knows the table library.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table as Drawn, presets};

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Draws a table without frames. A line is as long as it has to be: a cell that is broken in two cannot be searched for.
pub fn draw(header: &[(&str, Column)], rows: &[Vec<String>]) -> String {
    let mut table = Drawn::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let alignment = |column: Column| match column {
        Column::Left => CellAlignment::Left,
        Column::Right => CellAlignment::Right,
    };
    table.set_header(header.iter().map(|(name, column)| Cell::new(name).set_alignment(alignment(*column))));
    for row in rows {
        let cells = row.iter().zip(header);
        table.add_row(cells.map(|(text, (_, column))| Cell::new(text).set_alignment(alignment(*column))));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_each_other_and_no_line_ends_in_blanks() {
        let header = [("name", Column::Left), ("score", Column::Right)];
        let drawn = draw(&header, &[vec!["a".into(), "1.5".into()], vec!["long name".into(), "10.5".into()]]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with(" 1.5") && lines[2].ends_with("10.5"), "{drawn}");
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }
}
