//! Plot: figures as SVG that follow the page: light or dark by style sheet, wide or narrow by how they are drawn; and
//! figures of characters for a terminal. Knows numbers and names, not what they mean.

mod ink;
mod chart;
mod ticks;
mod labels;
mod svg;
mod draw;
mod text;

pub use chart::{Axis, Chart, Layer, Mark, Name, Path, Scale, Size};
pub use ink::{Ink, style};
pub use svg::Svg;
pub use text::ByLayer;
pub use ticks::number;
