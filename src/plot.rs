//! Plot: figures as SVG that follow the page: light or dark by style sheet, wide or narrow by how they are drawn. The
//! only door to the plotting library. Knows numbers and names, not what they mean.
//!
//! The library counts in whole pixels, so everything is drawn [`FINE`] times as large and shown in a smaller box.

mod draw;
mod ink;
mod labels;
mod ticks;

pub use ink::{Ink, style};
pub use ticks::number;

/// Parts of a pixel that a figure is drawn in.
const FINE: f64 = 10.0;

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
}

/// How far apart numbers stand on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their difference.
    Linear,
    /// By their ratio; what is not above 0 is not shown.
    Log,
    /// By their difference, without numbers along the axis: rows whose names are in the figure.
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
    width: u32,
    height: u32,
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

    fn is_narrow(self) -> bool {
        self.width < 500
    }
}

/// A drawn figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svg {
    size: Size,
    /// The elements inside.
    content: String,
}

impl Chart {
    /// Draws it.
    pub fn draw(&self, size: Size) -> Svg {
        Svg { size, content: draw::content(self, size) }
    }
}

impl Svg {
    /// As part of a page whose style sheet holds [`style`]; `label` says what is to be seen to those who do not see it.
    pub fn inline(&self, class: &str, label: &str) -> String {
        let Size { width, height } = self.size;
        let (fine_width, fine_height) = (f64::from(width) * FINE, f64::from(height) * FINE);
        let label = escaped(label);
        format!(
            "<svg class=\"plot {class}\" role=\"img\" aria-label=\"{label}\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {fine_width} {fine_height}\" xmlns=\"http://www.w3.org/2000/svg\">\n{}</svg>\n",
            self.content
        )
    }

    /// As a file of its own, light or dark as its reader prefers.
    pub fn file(&self, label: &str) -> String {
        let whole = self.inline("alone", label);
        let (tag, rest) = whole.split_once('\n').expect("BUG: the tag has a line of its own");
        format!("{tag}\n<style>\n{}.plot{{background:var(--page)}}\n</style>\n{rest}", style())
    }
}

/// A text as it may stand in an attribute or an element, without control characters.
fn escaped(text: &str) -> String {
    let text = crate::output::harmless(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(title: &str, scale: Scale) -> Axis {
        Axis { title: title.to_owned(), scale, reaches: None }
    }

    fn chart(layers: Vec<Layer>) -> Chart {
        Chart { x: axis("time, ms", Scale::Log), y: axis("score", Scale::Linear), layers }
    }

    fn everything() -> Chart {
        let at = vec![(1.0, 0.1), (10.0, 0.5), (200.0, 0.9)];
        let band = at.iter().map(|(x, y)| (*x, y - 0.1, y + 0.1)).collect();
        let named = |name: &str| at.iter().map(|at| (*at, Name::new(name))).collect::<Vec<_>>();
        let marks = [Mark::Speck, Mark::Dot, Mark::Ring, Mark::Diamond, Mark::Triangle, Mark::Tick];
        let points = Ink::ALL.into_iter().zip(marks.into_iter().cycle());
        let mut layers: Vec<Layer> = points.map(|(ink, mark)| Layer::Points { ink, mark, at: at.clone() }).collect();
        layers.push(Layer::Band { ink: Ink::First, path: Path::Steps, at: band });
        let name = Some(Name::new("compose"));
        layers.push(Layer::Line { ink: Ink::First, path: Path::Steps, at: at.clone(), name });
        layers.push(Layer::Named { ink: Ink::Best, mark: Mark::Diamond, at: named("somebody") });
        layers.push(Layer::Notes { ink: Ink::Muted, at: named("a note") });
        chart(layers)
    }

    /// Values of an attribute, in order.
    fn values<'a>(svg: &'a str, attribute: &str) -> Vec<&'a str> {
        let begins = format!(" {attribute}=\"");
        svg.split(&begins).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_colour_follows_the_page() {
        let style = style();
        for size in [Size::wide(400), Size::narrow(300)] {
            let svg = everything().draw(size).inline("", "");
            for attribute in ["fill", "stroke"] {
                for colour in values(&svg, attribute).into_iter().filter(|colour| *colour != "none") {
                    assert!(style.contains(&format!("[{attribute}=\"{colour}\"]")), "{attribute} {colour}");
                }
            }
        }
    }

    #[test]
    fn nothing_lies_outside_of_the_figure() {
        for size in [Size::wide(400), Size::narrow(300)] {
            let svg = everything().draw(size).inline("", "");
            for (attribute, end) in [("cx", size.width), ("cy", size.height), ("x", size.width), ("y", size.height)] {
                for value in values(&svg, attribute) {
                    let value: f64 = value.parse().unwrap();
                    assert!((0.0..=f64::from(end) * FINE).contains(&value), "{attribute} {value} of {end}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_text_whatever_it_is() {
        let name = Name::new("</svg><script>alert('1')</script>\u{1b}[31m\0&\"");
        let named = vec![((1.0, 1.0), name.clone())];
        let layers = vec![
            Layer::Named { ink: Ink::Best, mark: Mark::Dot, at: named.clone() },
            Layer::Notes { ink: Ink::Muted, at: named },
            Layer::Line { ink: Ink::First, path: Path::Straight, at: vec![(1.0, 1.0)], name: Some(name.clone()) },
        ];
        let mut chart = chart(layers);
        chart.x.title = name.long.clone();
        chart.y.title = name.long.clone();
        let svg = chart.draw(Size::wide(400)).file(&name.long);
        assert_eq!(svg.matches("&lt;script").count(), 6, "{svg}");
        assert!(!svg.contains("<script") && svg.matches("</svg>").count() == 1, "{svg}");
        assert!(!svg.chars().any(|c| c.is_control() && c != '\n'), "{svg}");
    }

    #[test]
    fn what_has_no_place_is_left_out_and_nothing_at_all_is_an_empty_figure() {
        let at = vec![(0.0, 1.0), (-1.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0), (2.0, 0.5)];
        let svg = chart(vec![Layer::Points { ink: Ink::First, mark: Mark::Dot, at }]).draw(Size::wide(400));
        assert_eq!(svg.content.matches("<circle").count(), 1, "{}", svg.content);
        assert!(chart(Vec::new()).draw(Size::narrow(300)).content.contains("time, ms"));
    }

    #[test]
    fn a_line_of_steps_stays_until_it_jumps() {
        let line = |path| {
            let layer = Layer::Line { ink: Ink::First, path, at: vec![(1.0, 0.0), (10.0, 1.0)], name: None };
            let svg = chart(vec![layer]).draw(Size::wide(400)).content;
            let line = svg.lines().find(|line| line.contains("<polyline") && line.contains("stroke-width=\"20\""));
            values(line.unwrap(), "points")[0].trim().split(' ').count()
        };
        assert_eq!([Path::Straight, Path::Steps].map(line), [2, 3]);
    }
}
