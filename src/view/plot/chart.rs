//! Chart: what a figure shows. Knows numbers and names, not what they mean.

use crate::view::plot::ink::Ink;

/// Parts of a pixel that a figure is drawn in.
pub(super) const FINE: f64 = 10.0;

/// One figure: two axes, and layers from the hindmost to the foremost.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn.
    pub layers: Vec<Layer>,
}

/// An axis. It reaches as far as what is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is shown along it, with its unit.
    pub title: String,
    /// How far apart numbers stand.
    pub scale: Scale,
    /// A part of the axis that is always seen.
    pub reaches: Option<(f64, f64)>,
    /// Names of places along it; the numbers of the scale, if there are none.
    pub names: Vec<(f64, String)>,
}

impl Axis {
    /// With numbers along it.
    pub fn new(title: impl Into<String>, scale: Scale) -> Self {
        Self { title: title.into(), scale, reaches: None, names: Vec::new() }
    }

    /// With these places in it, too.
    #[must_use]
    pub fn reaching(self, low: f64, high: f64) -> Self {
        Self { reaches: Some((low, high)), ..self }
    }
}

/// How far apart numbers stand on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their difference.
    Linear,
    /// By their ratio; what is not above 0 is not shown.
    Log,
    /// By the ratio of what is left to 1, which they do not exceed.
    TowardsOne,
    /// By their difference, without numbers along the axis: rows with names.
    Rows,
}

/// Something that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Points that nobody asks the names of.
    Points {
        /// Their colour.
        ink: Ink,
        /// Their shape.
        mark: Mark,
        /// Where they are.
        at: Vec<(f64, f64)>,
    },
    /// Points with names, which are put where they cover least.
    Named {
        /// Their colour.
        ink: Ink,
        /// Their shape.
        mark: Mark,
        /// Who is where.
        at: Vec<((f64, f64), Name)>,
    },
    /// A line, with its name at the right end.
    Line {
        /// Its colour.
        ink: Ink,
        /// From point to point.
        path: Path,
        /// Its points, from left to right.
        at: Vec<(f64, f64)>,
        /// Its name, if it has one.
        name: Option<Name>,
    },
    /// What lies between two lines.
    Band {
        /// Its colour, shown thin.
        ink: Ink,
        /// From point to point.
        path: Path,
        /// Place, lower and upper edge, from left to right.
        at: Vec<(f64, f64, f64)>,
    },
    /// Thin lines from one place to another.
    Links {
        /// Their colour.
        ink: Ink,
        /// Both ends of each.
        at: Vec<[(f64, f64); 2]>,
    },
    /// Words that begin at a place.
    Notes {
        /// Their colour.
        ink: Ink,
        /// Where they begin, half way up, and what they say.
        at: Vec<((f64, f64), Name)>,
    },
}

/// How a line goes from point to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Straight.
    Straight,
    /// It stays where it is until the next point, and jumps.
    Steps,
}

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A small dot, that others may cover.
    Speck,
    /// A dot.
    Dot,
    /// A circle.
    Ring,
    /// A square on its corner.
    Diamond,
    /// A triangle.
    Triangle,
    /// An upright line, such as that of a median.
    Tick,
}

/// A name, and what stands for it where there is little room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// In a wide figure.
    pub long: String,
    /// In a narrow one.
    pub short: String,
}

impl Name {
    /// The same everywhere.
    pub fn new(name: impl Into<String>) -> Self {
        let long = name.into();
        Self { short: long.clone(), long }
    }
}

/// How large a figure is, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    /// For a screen or a page.
    pub fn wide(height: u32) -> Self {
        Self { width: 760, height }
    }

    /// For a phone.
    pub fn narrow(height: u32) -> Self {
        Self { width: 360, height }
    }

    pub(super) fn is_narrow(self) -> bool {
        self.width < 500
    }
}
