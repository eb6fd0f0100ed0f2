//! Chart: what a figure shows. Knows numbers and names, not what they mean.

use crate::view::plot::ink::Ink;

/// One figure: two axes, and layers from the hindmost to the foremost.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub x: Axis,
    pub y: Axis,
    pub layers: Vec<Layer>,
}

/// An axis. It reaches as far as what is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub title: String,
    pub scale: Scale,
    /// A part of the axis that is always visible.
    pub reaches: Option<(f64, f64)>,
    /// Names of places along it; if there are none, the numbers of the scale stand there.
    pub names: Vec<(f64, String)>,
}

impl Axis {
    pub fn new(title: impl Into<String>, scale: Scale) -> Self {
        Self { title: title.into(), scale, reaches: None, names: Vec::new() }
    }

    /// Names of rows, the first at 0 and each of the others 1 below the one before.
    pub fn rows(names: impl Iterator<Item = String>) -> Self {
        let names: Vec<(f64, String)> = names.enumerate().map(|(row, name)| (-(row as f64), name)).collect();
        let reaches = Some((0.4 - names.len() as f64, 0.6));
        Self { reaches, names, ..Self::new("", Scale::Rows) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// By their ratio; numbers that are not above 0 are left out.
    Log,
    /// By the ratio of their distances to 1, which they do not exceed.
    TowardsOne,
    /// Linear, for rows with names: there are no numbers along it.
    Rows,
}

/// Something that is drawn, in the colour of its ink.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Points without names.
    Points { ink: Ink, mark: Mark, at: Vec<(f64, f64)> },
    /// Points with names, each put where it covers least.
    Named { ink: Ink, mark: Mark, at: Vec<((f64, f64), Name)> },
    /// A line from left to right, with its name at the right end.
    Line { ink: Ink, path: Path, at: Vec<(f64, f64)>, name: Option<Name> },
    /// The area between two lines, drawn faint: place, lower and upper edge, from left to right.
    Band { ink: Ink, path: Path, at: Vec<(f64, f64, f64)> },
    /// Thin lines between two points each.
    Links { ink: Ink, at: Vec<[(f64, f64); 2]> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Straight,
    /// It keeps its height until the next point, and jumps there.
    Steps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A small dot that others may cover.
    Speck,
    Dot,
    Ring,
    Diamond,
    Triangle,
    /// An upright line, such as that of a median.
    Tick,
}

/// A name for wide figures, and one for narrow figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub long: String,
    pub short: String,
}

impl Name {
    pub fn new(name: impl Into<String>) -> Self {
        let long = name.into();
        Self { short: long.clone(), long }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    pub fn wide(height: u32) -> Self {
        Self { width: 760, height }
    }

    pub fn narrow(height: u32) -> Self {
        Self { width: 360, height }
    }

    pub(super) fn is_narrow(self) -> bool {
        self.width < 500
    }
}
