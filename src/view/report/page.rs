//! Page: the parts of a report, and the one HTML file that they become.
//!
//! Every text passes one formatter, which makes control characters visible and escapes markup: programs and proposals
//! cannot be more than text. The file runs no script and loads nothing; its own policy forbids both.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context, escape_formatter};
use serde::Serialize;

use crate::view::output::harmless;
use crate::view::plot::{self, Chart, Size};
use crate::view::table::Column;

const TEMPLATE: &str = include_str!("page.jinja");
const STYLE: &str = include_str!("page.css");

#[derive(Debug, Serialize)]
pub struct Page {
    pub title: String,
    /// Whether the run is under way, or why it stopped.
    pub state: String,
    pub sections: Vec<Section>,
    pub made_by: String,
}

/// What a page of a server has that a file has not.
#[derive(Debug, Serialize)]
pub struct Site {
    /// The address that tells when the page has changed.
    pub events: String,
    /// What the page shows, as that address counts it.
    pub version: String,
    /// The pages above this one.
    pub above: Vec<Link>,
    /// The beginning of the addresses of candidates; empty without any.
    pub candidates: String,
}

#[derive(Debug, Serialize)]
pub struct Link {
    pub text: String,
    pub href: String,
}

#[derive(Debug, Serialize)]
pub struct Section {
    pub id: &'static str,
    pub title: &'static str,
    pub parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", content = "shown", rename_all = "kebab-case")]
pub enum Part {
    Paragraph(String),
    Tiles(Vec<Tile>),
    Table(Table),
    /// A table behind a heading that opens it.
    Folded(Table),
    Figure(Figure),
    Edits(Vec<EditShown>),
    /// A program, or what one has written.
    Text(String),
    Links(Vec<Link>),
}

/// An important number, before and after.
#[derive(Debug, Serialize)]
pub struct Tile {
    pub name: &'static str,
    pub before: String,
    pub after: String,
    pub note: String,
}

#[derive(Debug, Serialize)]
pub struct Table {
    pub caption: String,
    pub columns: Vec<Column>,
    pub rows: Vec<TableRow>,
}

#[derive(Debug, Serialize)]
pub struct TableRow {
    pub is_best: bool,
    pub cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
pub struct Cell {
    pub text: String,
    pub class: &'static str,
    /// The page that it leads to; empty: none.
    pub href: String,
}

/// A figure, wide and narrow, with the numbers that it shows.
#[derive(Debug, Serialize)]
pub struct Figure {
    wide: String,
    narrow: String,
    pub keys: Vec<Key>,
    pub caption: String,
    pub table: Table,
}

#[derive(Debug, Serialize)]
pub struct Key {
    pub mark: &'static str,
    pub class: &'static str,
    pub means: String,
}

/// One of the edits that lead to the best program.
#[derive(Debug, Serialize)]
pub struct EditShown {
    pub candidate: u64,
    pub name: String,
    pub gain: String,
    pub proposer: String,
    /// The beginning of its DESCRIPTION.
    pub lead: String,
    pub description: String,
    pub lines: Vec<DiffLine>,
}

#[derive(Debug, Serialize)]
pub struct DiffLine {
    /// `add`, `del`, `same`, or `gap` where lines are left out.
    pub class: &'static str,
    /// `+`, `-` or a blank, and the line.
    pub text: String,
}

impl Table {
    /// `header` lists the columns, as for tables on terminals.
    pub fn new(caption: impl Into<String>, header: &str) -> Self {
        Self { caption: caption.into(), columns: Column::list(header), rows: Vec::new() }
    }

    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut TableRow {
        let cell = |(column, text): (&Column, C)| {
            let text = if column.is_number { typeset(text.into()) } else { text.into() };
            Cell { text, class: "", href: String::new() }
        };
        self.rows.push(TableRow { is_best: false, cells: self.columns.iter().zip(cells).map(cell).collect() });
        self.rows.last_mut().expect("BUG: pushed right before")
    }

    /// Lets a cell of the last row lead to a page.
    pub fn link(&mut self, column: usize, href: impl Into<String>) {
        let row = self.rows.last_mut().expect("BUG: a row is linked after it was added");
        row.cells[column].href = href.into();
    }

    #[must_use]
    pub fn with_class(mut self, column: usize, class: &'static str) -> Self {
        self.rows.iter_mut().for_each(|row| row.cells[column].class = class);
        self
    }
}

/// The style sheet of all pages.
pub fn style() -> String {
    format!("{}{STYLE}", plot::style())
}

/// A number with a minus sign in place of a hyphen; `-`, a missing value, becomes a dash.
fn typeset(number: String) -> String {
    match number.strip_prefix('-') {
        Some("") => "–".to_owned(),
        Some(digits) if digits.parse::<f64>().is_ok() => format!("\u{2212}{digits}"),
        _ => number,
    }
}

/// The name of a case, such as `72->8`, in print.
pub fn arrow(case: &str) -> String {
    case.replace("->", "→")
}

impl Figure {
    /// Draws a chart wide and narrow, of these heights in pixels; `label` describes the figure to those who cannot see it.
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
    /// A file of its own.
    pub fn html(&self) -> String {
        self.rendered(None)
    }

    /// A page that a server hands out.
    pub fn html_on(&self, site: &Site) -> String {
        self.rendered(Some(site))
    }

    fn rendered(&self, site: Option<&Site>) -> String {
        let mut pages = Environment::new();
        pages.set_auto_escape_callback(|_| AutoEscape::Html);
        // Tags that have a line to themselves leave no blank line behind.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        pages.set_syntax(syntax.expect("BUG: the usual delimiters are no conflict"));
        pages.set_formatter(|out, state, value| match value.as_str() {
            Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(harmless(text))),
            _ => escape_formatter(out, state, value),
        });
        let context = context! { page => Serde(self), site => Serde(site), style => style() };
        let rendered = pages.render_named_str("page", TEMPLATE, context);
        rendered.unwrap_or_else(|error| panic!("BUG: the template is fixed, and so are its parts: {error:#}"))
    }
}
