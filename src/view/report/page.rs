//! Page: what a report is made of, and how it becomes one HTML file that needs nothing beside itself.
//!
//! Every text passes one place, where control characters become visible and markup becomes text: whatever a program or
//! a proposal says, it says as words. The file runs no script and asks for nothing; its own policy forbids both.

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
    /// What it is about.
    pub title: String,
    /// How it stands with that.
    pub state: String,
    /// What follows, in order.
    pub sections: Vec<Section>,
    /// Who made it.
    pub made_by: String,
}

/// A part of the page with a heading.
#[derive(Debug, Serialize)]
pub struct Section {
    /// Where links to it go.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What it shows, in order.
    pub blocks: Vec<Block>,
}

/// Something that a section shows.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Block {
    /// A paragraph.
    Words {
        /// What it says.
        text: String,
    },
    /// A few numbers that matter most.
    Tiles {
        /// Each of them.
        tiles: Vec<Tile>,
    },
    /// A table.
    Table(Table),
    /// A table that is closed at first.
    Behind(Table),
    /// A figure.
    Figure(Figure),
    /// Edits, one after another.
    Edits {
        /// Each of them.
        edits: Vec<EditShown>,
    },
}

/// A number that matters, before and after.
#[derive(Debug, Serialize)]
pub struct Tile {
    /// What it is.
    pub name: &'static str,
    /// What it was; empty if that does not matter.
    pub before: String,
    /// What it is now, with its unit.
    pub after: String,
    /// What that comes to.
    pub note: String,
}

/// Rows under named columns.
#[derive(Debug, Default, Serialize)]
pub struct Table {
    /// What is to be seen.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A column of a table.
#[derive(Debug, Serialize)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// Whether its cells stand under each other as numbers do.
    pub is_number: bool,
}

/// A row of a table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Whether it is the one that matters.
    pub is_best: bool,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

/// A cell of a table.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How it is shown, of the classes in the style sheet.
    pub class: String,
}

/// A figure, wide and narrow, with what it is drawn from.
#[derive(Debug, Serialize)]
pub struct Figure {
    wide: String,
    narrow: String,
    /// What the shapes in it mean.
    pub keys: Vec<Key>,
    /// What is to be seen, and what was left out.
    pub caption: String,
    /// The numbers behind it.
    pub table: Table,
}

/// A shape in a figure, and its meaning.
#[derive(Debug, Serialize)]
pub struct Key {
    /// The shape, as a character.
    pub mark: &'static str,
    /// Its colour, of the classes in the style sheet.
    pub class: &'static str,
    /// What it stands for.
    pub means: &'static str,
}

/// One of the edits that lead to a program.
#[derive(Debug, Serialize)]
pub struct EditShown {
    /// Number of the candidate that it made.
    pub candidate: u64,
    /// NAME of its proposal.
    pub name: String,
    /// What it brought, in a few words.
    pub brought: String,
    /// Who proposed it.
    pub proposer: String,
    /// The beginning of its DESCRIPTION.
    pub lead: String,
    /// DESCRIPTION of its proposal.
    pub description: String,
    /// The edit.
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
    /// A paragraph.
    pub fn words(text: impl Into<String>) -> Self {
        Self::Words { text: text.into() }
    }
}

impl Table {
    /// Without rows yet; a name that ends in `#` is that of a column of numbers, without the `#`.
    pub fn new<S: AsRef<str>>(caption: impl Into<String>, columns: impl IntoIterator<Item = S>) -> Self {
        let column = |name: S| {
            let name = name.as_ref();
            let is_number = name.ends_with('#');
            Column { name: name.trim_end_matches('#').to_owned(), is_number }
        };
        Self { caption: caption.into(), columns: columns.into_iter().map(column).collect(), rows: Vec::new() }
    }

    /// With the columns of a table on a terminal.
    pub fn of(caption: impl Into<String>, columns: &[(&str, table::Column)], rows: Vec<Vec<String>>) -> Self {
        let column = |(name, column): &(&str, table::Column)| Column {
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

    /// Adds a row.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Row {
        self.rows.push(Row { is_best: false, cells: cells.into_iter().map(Into::into).collect() });
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

/// The name of a case, `72->8`, as it is printed.
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
    /// Draws a chart for a page that is `heights` pixels high, wide and narrow; `label` is for those who do not see it.
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
    /// The file.
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
