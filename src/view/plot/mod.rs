//! Plot: figures as SVG that follow the page: light or dark by style sheet, wide or narrow by how they are drawn. The
//! only door to the plotting library. Knows numbers and names, not what they mean.
//!
//! The library counts in whole pixels, so everything is drawn `FINE` times as large and shown in a smaller box.

mod ink;
mod chart;
mod ticks;
mod labels;
mod draw;
mod svg;

pub use chart::{Axis, Chart, Layer, Mark, Name, Path, Scale, Size};
pub use ink::{Ink, style};
pub use svg::Svg;
pub use ticks::number;
