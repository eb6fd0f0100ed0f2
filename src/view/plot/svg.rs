//! Svg: elements as text, and a figure as part of a page or as a file of its own.

use std::fmt;

use crate::view::output::harmless;
use crate::view::plot::chart::Size;
use crate::view::plot::ink::{Ink, style};

/// The elements of a figure, the hindmost first, one a line.
#[derive(Debug, Default)]
pub struct Canvas(pub(super) String);

#[derive(Clone, Copy, Debug)]
pub enum Paint {
    Fill(Ink),
    Faint(Ink, f64),
    Line(Ink, f64),
}

/// Where a text stands, seen from its point.
#[derive(Clone, Copy, Debug)]
pub enum Align {
    Before,
    After,
    Below,
}

impl Canvas {
    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, paint: Paint) {
        self.element(format_args!("circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\""), paint);
    }

    /// `element`: `polyline` or `polygon`.
    pub fn path(&mut self, element: &str, points: &[(f64, f64)], paint: Paint) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.element(format_args!("{element} points=\"{}\"", points.join(" ")), paint);
    }

    pub fn text(&mut self, (x, y): (f64, f64), align: Align, ink: Ink, text: &str) {
        let (anchor, down) = match align {
            Align::Before => ("end", 0.32),
            Align::After => ("start", 0.32),
            Align::Below => ("middle", 0.76),
        };
        let at = format!("x=\"{x:.1}\" y=\"{y:.1}\" dy=\"{down}em\" text-anchor=\"{anchor}\"");
        self.0 += &format!("<text {at} fill=\"{}\">{}</text>\n", ink.colour(), escaped(text));
    }

    fn element(&mut self, shape: fmt::Arguments<'_>, paint: Paint) {
        let paint = match paint {
            Paint::Fill(ink) => format!("fill=\"{}\"", ink.colour()),
            Paint::Faint(ink, opacity) => format!("fill=\"{}\" fill-opacity=\"{opacity}\"", ink.colour()),
            Paint::Line(ink, width) => format!("fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"", ink.colour()),
        };
        self.0 += &format!("<{shape} {paint}/>\n");
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svg {
    pub(super) size: Size,
    pub(super) content: String,
}

impl Svg {
    /// As part of a page whose style sheet holds [`style`]; `label` describes the figure to those who cannot see it.
    pub fn inline(&self, class: &str, label: &str) -> String {
        let (Size { width, height }, label) = (self.size, escaped(label));
        format!(
            "<svg class=\"plot {class}\" role=\"img\" aria-label=\"{label}\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\" \
             xmlns=\"http://www.w3.org/2000/svg\">\n{}</svg>\n",
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
    let text = harmless(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::plot::chart::{Axis, Chart, Layer, Mark, Name, Path, Scale};

    fn chart(layers: Vec<Layer>) -> Chart {
        Chart { x: Axis::new("time, ms", Scale::Log), y: Axis::new("score", Scale::Linear), layers }
    }

    fn everything() -> Chart {
        let at = vec![(1.0, 0.1), (10.0, 0.5), (200.0, 0.9)];
        let band = at.iter().map(|(x, y)| (*x, y - 0.1, y + 0.1)).collect();
        let named = |name: &str| at.iter().map(|at| (*at, Name::new(name))).collect::<Vec<_>>();
        let marks = [Mark::Speck, Mark::Dot, Mark::Ring, Mark::Diamond, Mark::Triangle, Mark::Tick];
        let points = Ink::ALL.into_iter().zip(marks.into_iter().cycle());
        let mut layers: Vec<Layer> = points.map(|(ink, mark)| Layer::Points { ink, mark, at: at.clone() }).collect();
        layers.push(Layer::Band { ink: Ink::FIRST, path: Path::Steps, at: band });
        let name = Some(Name::new("compose"));
        layers.push(Layer::Line { ink: Ink::FIRST, path: Path::Steps, at: at.clone(), name });
        layers.push(Layer::Named { ink: Ink::BEST, mark: Mark::Diamond, at: named("a name") });
        layers.push(Layer::Links { ink: Ink::MANY, at: vec![[at[0], at[2]]] });
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
                    assert!((0.0..=f64::from(end)).contains(&value), "{attribute} {value} of {end}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_text_even_if_it_looks_like_markup() {
        let name = Name::new("</svg><script>alert('1')</script>\u{1b}[31m\0&\"");
        let named = vec![((1.0, 1.0), name.clone())];
        let layers = vec![
            Layer::Named { ink: Ink::BEST, mark: Mark::Dot, at: named },
            Layer::Line { ink: Ink::FIRST, path: Path::Straight, at: vec![(1.0, 1.0)], name: Some(name.clone()) },
        ];
        let mut chart = chart(layers);
        chart.x.title = name.long.clone();
        chart.y.title = name.long.clone();
        let svg = chart.draw(Size::wide(400)).file(&name.long);
        assert_eq!(svg.matches("&lt;script").count(), 5, "{svg}");
        assert!(!svg.contains("<script") && svg.matches("</svg>").count() == 1, "{svg}");
        assert!(!svg.chars().any(|c| c.is_control() && c != '\n'), "{svg}");
    }

    #[test]
    fn what_has_no_place_is_left_out_and_nothing_at_all_is_an_empty_figure() {
        let at = vec![(0.0, 1.0), (-1.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0), (2.0, 0.5)];
        let svg = chart(vec![Layer::Points { ink: Ink::FIRST, mark: Mark::Dot, at }]).draw(Size::wide(400));
        assert_eq!(svg.content.matches("<circle").count(), 1, "{}", svg.content);
        assert!(chart(Vec::new()).draw(Size::narrow(300)).content.contains("time, ms"));
    }

    #[test]
    fn a_line_of_steps_stays_until_it_jumps() {
        let line = |path| {
            let layer = Layer::Line { ink: Ink::FIRST, path, at: vec![(1.0, 0.0), (10.0, 1.0)], name: None };
            let svg = chart(vec![layer]).draw(Size::wide(400)).content;
            let line = svg.lines().find(|line| line.contains("<polyline") && line.contains("stroke-width=\"2\""));
            values(line.unwrap(), "points")[0].trim().split(' ').count()
        };
        assert_eq!([Path::Straight, Path::Steps].map(line), [2, 3]);
    }
}
