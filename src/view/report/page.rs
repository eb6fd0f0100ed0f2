//! Page: the parts of a report, and the one HTML file that they become.
//!
//! Every text passes one formatter, which makes control characters visible and escapes markup: programs and proposals
//! cannot be more than text. The file runs no script and loads nothing; its own policy forbids both.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, escape_formatter};
use serde::Serialize;

use crate::view::output::harmless;
use crate::view::plot::{self, Chart, Size};
use crate::view::table;

const TEMPLATE: &str = include_str!("page.jinja");
const STYLE: &str = include_str!("page.css");

/// The whole page.
#[derive(Debug, Serialize)]
pub struct Page {
    pub title: String,
    /// Whether the run is under way, or why it stopped.
    pub state: String,
    pub sections: Vec<Section>,
    pub made_by: String,
}

/// A part of the page with a heading.
#[derive(Debug, Serialize)]
pub struct Section {
    /// The anchor of links to it.
    pub id: &'static str,
    pub title: &'static str,
    pub blocks: Vec<Block>,
}

/// Something that a section shows.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Block {
    /// A paragraph.
    Words {
        text: String,
    },
    /// A few important numbers.
    Tiles {
        tiles: Vec<Tile>,
    },
    Table(Table),
    /// A table behind a heading that opens it.
    Behind(Table),
    Figure(Figure),
    Edits {
        edits: Vec<EditShown>,
    },
}

/// An important number, before and after.
#[derive(Debug, Serialize)]
pub struct Tile {
    pub name: &'static str,
    /// May be empty.
    pub before: String,
    /// With its unit.
    pub after: String,
    pub note: String,
}

/// Rows under named columns.
#[derive(Debug, Default, Serialize)]
pub struct Table {
    pub caption: String,
    pub columns: Vec<Heading>,
    pub rows: Vec<TableRow>,
}

/// A column of a table.
#[derive(Debug, Serialize)]
pub struct Heading {
    pub name: String,
    /// Numbers align on the right.
    pub is_number: bool,
}

/// A row of a table.
#[derive(Debug, Serialize)]
pub struct TableRow {
    /// Whether it is the row of the best program.
    pub is_best: bool,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

/// A cell of a table.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub text: String,
    /// A class of the style sheet.
    pub class: String,
}

/// A figure, wide and narrow, with the numbers that it shows.
#[derive(Debug, Serialize)]
pub struct Figure {
    wide: String,
    narrow: String,
    pub keys: Vec<Key>,
    /// It also says which points are left out.
    pub caption: String,
    pub table: Table,
}

/// A shape in a figure and its meaning.
#[derive(Debug, Serialize)]
pub struct Key {
    /// The shape, as a character.
    pub mark: &'static str,
    /// A class of the style sheet, for its colour.
    pub class: &'static str,
    pub means: &'static str,
}

/// One of the edits that lead to a program.
#[derive(Debug, Serialize)]
pub struct EditShown {
    /// The candidate that it made.
    pub candidate: u64,
    pub name: String,
    /// In words.
    pub gain: String,
    pub proposer: String,
    /// The beginning of its DESCRIPTION.
    pub lead: String,
    pub description: String,
    pub lines: Vec<DiffLine>,
}

/// A line of an edit.
#[derive(Debug, Serialize)]
pub struct DiffLine {
    /// `add`, `del`, `same`, or `gap` where lines are left out.
    pub class: &'static str,
    /// `+`, `-` or a blank, and the line.
    pub text: String,
}

impl Block {
    pub fn words(text: impl Into<String>) -> Self {
        Self::Words { text: text.into() }
    }
}

impl Table {
    /// Without rows yet. A `#` at the end of a name marks a column of numbers.
    pub fn new<S: AsRef<str>>(caption: impl Into<String>, columns: impl IntoIterator<Item = S>) -> Self {
        let column = |name: S| {
            let name = name.as_ref();
            let is_number = name.ends_with('#');
            Heading { name: name.trim_end_matches('#').to_owned(), is_number }
        };
        Self { caption: caption.into(), columns: columns.into_iter().map(column).collect(), rows: Vec::new() }
    }

    /// With the columns of a table for terminals.
    pub fn of(caption: impl Into<String>, columns: &[(&str, table::Column)], rows: Vec<Vec<String>>) -> Self {
        let column = |(name, column): &(&str, table::Column)| Heading {
            name: (*name).to_owned(),
            is_number: *column == table::Column::Right,
        };
        let mut table =
            Self { caption: caption.into(), columns: columns.iter().map(column).collect(), rows: Vec::new() };
        for cells in rows {
            table.row(cells);
        }
        table
    }

    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut TableRow {
        self.rows.push(TableRow { is_best: false, cells: cells.into_iter().map(Into::into).collect() });
        self.rows.last_mut().expect("BUG: pushed right before")
    }

    /// Lets the last column break its lines.
    pub fn wrap_last(&mut self) {
        let cells = self.rows.iter_mut().filter_map(|row| row.cells.last_mut());
        cells.for_each(|cell| "wraps".clone_into(&mut cell.class));
    }
}

impl<S: Into<String>> From<S> for Cell {
    fn from(text: S) -> Self {
        let text = text.into();
        let text = match text.strip_prefix('-') {
            Some("") => "–".to_owned(),
            Some(number) if number.parse::<f64>().is_ok() => format!("\u{2212}{number}"),
            _ => text,
        };
        Self { text, class: String::new() }
    }
}

/// The name of a case, such as `72->8`, in print.
pub fn arrow(case: &str) -> String {
    case.replace("->", "→")
}

impl Cell {
    /// A name, which may be long.
    pub fn name(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: "name".to_owned() }
    }
}

impl Figure {
    /// Draws a chart for a page that is `heights` pixels high, wide and narrow; `label` describes the figure to those who cannot see it.
    pub fn new(chart: &Chart, heights: [u32; 2], label: &str, table: Table) -> Self {
        let [wide, narrow] = heights;
        Self {
            wide: chart.draw(Size::wide(wide)).inline("wide", label),
            narrow: chart.draw(Size::narrow(narrow)).inline("narrow", label),
            keys: Vec::new(),
            caption: String::new(),
            table,
        }
    }
}

impl Page {
    pub fn html(&self) -> String {
        let mut pages = Environment::new();
        pages.set_auto_escape_callback(|_| AutoEscape::Html);
        pages.set_syntax(tags_on_lines());
        pages.set_formatter(|out, state, value| match value.as_str() {
            Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(harmless(text))),
            _ => escape_formatter(out, state, value),
        });
        pages.add_template("page", TEMPLATE).expect("BUG: the template is fixed");
        let style = format!("{}{STYLE}", plot::style());
        let context = Whole { page: self, style };
        let rendered = pages.get_template("page").and_then(|page| page.render(Serde(context)));
        rendered.unwrap_or_else(|error| panic!("BUG: the template is fixed, and so are its parts: {error:#}"))
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    page: &'a Page,
    style: String,
}

/// Tags that have a line to themselves leave no blank line behind.
fn tags_on_lines() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    syntax.expect("BUG: the usual delimiters are no conflict")
}
