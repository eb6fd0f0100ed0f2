//! Text: two values of each layer, as a figure of characters for a terminal.

use crate::view::terminal::{Terminal, Tone};

/// Lines of a figure, without its foot.
const HEIGHT: usize = 10;
/// The columns of the numbers on the left.
const NUMBERS: usize = 6;
/// The columns of a figure in a terminal of unknown width.
const USUAL_WIDTH: usize = 80;

const BEFORE: char = '○';
const AFTER: char = '●';
const BOTH: char = '◉';
const BETWEEN: char = '│';

/// A value of each layer before and after a change, at most 1 and at least 0.
pub struct ByLayer<'a> {
    /// What the values are, such as `balancedness`.
    pub title: &'a str,
    /// The names of the two values.
    pub names: [&'a str; 2],
    /// The number of each layer.
    pub layers: &'a [usize],
    pub before: &'a [f64],
    pub after: &'a [f64],
}

/// A column: its layers, and the lowest of their values.
struct Column {
    first: usize,
    before: f64,
    after: f64,
}

impl ByLayer<'_> {
    /// The figure, without a line end after its last line. Where there are more layers than columns, neighbours share a
    /// column, which shows the lowest of their values.
    pub fn draw(&self, terminal: &Terminal) -> String {
        let width = terminal.width.unwrap_or(USUAL_WIDTH).max(NUMBERS + 8) - NUMBERS - 1;
        let shared = self.layers.len().div_ceil(width).max(1);
        let columns: Vec<Column> =
            (0..self.layers.len()).step_by(shared).map(|first| self.column(first, shared)).collect();
        let low = columns.iter().map(|column| column.before.min(column.after)).fold(1.0, f64::min);
        let low = ((low * 10.0).floor() / 10.0).clamp(0.0, 0.9);
        let level = |value: f64| ((value.clamp(low, 1.0) - low) / (1.0 - low) * (HEIGHT - 1) as f64).round() as usize;
        let [before, after] = self.names;
        let heading = format!("{} by layer: {BEFORE} {before}, {AFTER} {after}, {BOTH} both", self.title);
        let mut lines = vec![terminal.paint(Tone::Heading, &terminal.cut(&heading))];
        for at in (0..HEIGHT).rev() {
            let number = format!("{:5.3} ", low + (1.0 - low) * at as f64 / (HEIGHT - 1) as f64);
            let cells = columns.iter().map(|column| cell(at, level(column.before), level(column.after)));
            lines.push(format!("{}{}", terminal.paint(Tone::Faint, &number), cells.collect::<String>().trim_end()));
        }
        lines.push(terminal.paint(Tone::Faint, &self.foot(&columns)));
        if shared > 1 {
            lines.push(terminal.paint(Tone::Faint, &format!(" (a column shows the lowest of {shared} layers)")));
        }
        lines.join("\n")
    }

    fn column(&self, first: usize, shared: usize) -> Column {
        let lowest = |values: &[f64]| values[first..].iter().take(shared).copied().fold(1.0, f64::min);
        Column { first, before: lowest(self.before), after: lowest(self.after) }
    }

    /// The numbers of layers, below their columns as far as there is room.
    fn foot(&self, columns: &[Column]) -> String {
        let mut foot = " ".repeat(NUMBERS);
        for (at, column) in columns.iter().enumerate() {
            let name = self.layers[column.first].to_string();
            let room = at + NUMBERS >= foot.len() + usize::from(at > 0);
            if room && at % 5 == 0 && at + name.len() <= columns.len().max(name.len()) {
                foot += &" ".repeat(at + NUMBERS - foot.len());
                foot += &name;
            }
        }
        foot
    }
}

fn cell(at: usize, before: usize, after: usize) -> char {
    match (before == at, after == at) {
        (true, true) => BOTH,
        (true, false) => BEFORE,
        (false, true) => AFTER,
        _ if (before.min(after)..before.max(after)).contains(&at) => BETWEEN,
        _ => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::terminal::columns;

    fn drawn(layers: usize, width: usize) -> String {
        let ids: Vec<usize> = (3..3 + layers).collect();
        let before: Vec<f64> = (0..layers).map(|layer| 0.5 + layer as f64 / layers as f64 / 4.0).collect();
        let after = vec![1.0; layers];
        let figure =
            ByLayer { title: "balancedness", names: ["old", "new"], layers: &ids, before: &before, after: &after };
        figure.draw(&Terminal { width: Some(width), ..Terminal::default() })
    }

    #[test]
    fn every_layer_has_its_column_from_one_value_to_the_other() {
        let figure = drawn(10, 80);
        let lines: Vec<&str> = figure.lines().collect();
        assert_eq!(lines.len(), 1 + HEIGHT + 1);
        assert_eq!(lines[0], "balancedness by layer: ○ old, ● new, ◉ both");
        assert_eq!(lines[1], format!("1.000 {}", "●".repeat(10)));
        assert_eq!(lines[10], "0.500 ○○");
        assert_eq!(lines[9], "0.556 ││○○");
        assert_eq!(lines[11], "      3    8");
    }

    #[test]
    fn more_layers_than_columns_share_them_and_no_line_is_too_long() {
        for width in [20, 40, 80, 200] {
            let figure = drawn(94, width);
            assert!(figure.lines().skip(1).all(|line| columns(line) <= width.max(44)), "{width}:\n{figure}");
            assert_eq!(figure.contains("the lowest of"), width < 101, "{width}:\n{figure}");
        }
    }

    #[test]
    fn equal_and_perfect_values_are_drawn_too() {
        let one = [1.0];
        let figure = ByLayer { title: "t", names: ["a", "b"], layers: &[0], before: &one, after: &one };
        assert!(figure.draw(&Terminal::default()).contains("1.000 ◉\n0.989"), "{}", figure.draw(&Terminal::default()));
    }
}
