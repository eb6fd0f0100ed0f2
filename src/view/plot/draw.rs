//! Draw: the elements of a chart. All lengths are in pixels.

use crate::view::output::harmless;
use crate::view::plot::chart::{Axis, Chart, Layer, Mark, Name, Path, Scale, Size};
use crate::view::plot::ink::Ink;
use crate::view::plot::labels::{Label, Rect, places, spread};
use crate::view::plot::svg::{Align, Canvas, Paint, Svg};
use crate::view::plot::ticks::{number, ticks};

pub(super) const TEXT: f64 = 12.0;
/// Mean width of a letter, in heights of a text.
const LETTER: f64 = 0.6;
const ABOVE: f64 = 26.0;
const BELOW: f64 = 44.0;
const BESIDE: f64 = 14.0;
/// [`Scale::TowardsOne`] draws what is nearer to 1 at this distance.
const LEAST_LEFT: f64 = 1e-4;

type Point = (f64, f64);

impl Chart {
    pub fn draw(&self, size: Size) -> Svg {
        let frame = Frame::of(self, size);
        let mut canvas = Canvas::default();
        frame.axes(&mut canvas);
        for layer in &self.layers {
            frame.layer(&mut canvas, layer);
        }
        frame.point_names(&mut canvas);
        frame.line_names(&mut canvas);
        Svg { size, content: canvas.0 }
    }
}

struct Frame<'c> {
    chart: &'c Chart,
    size: Size,
    x: Span,
    y: Span,
    room: Rect,
}

/// An axis as far as it reaches, on its scale.
struct Span {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Span {
    fn of(axis: &Axis, values: impl Iterator<Item = f64>, count: usize) -> Self {
        let reaches = axis.reaches.into_iter().flat_map(|(low, high)| [low, high]);
        let values = values.chain(reaches).map(|value| axis.scale.of(value)).filter(|value| value.is_finite());
        let (mut low, mut high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let margin = if high > low { 0.04 * (high - low) } else { 0.5 };
        let (low, high) = (low - margin, high + margin);
        let ticks = match &axis.names[..] {
            [] => numbers(axis.scale, &ticks(axis.scale, axis.scale.back(low), axis.scale.back(high), count)),
            names => names.to_vec(),
        };
        let ticks = ticks.into_iter().map(|(tick, name)| (axis.scale.of(tick), name)).collect();
        Self { low, high, ticks }
    }

    /// How far along the axis a place on its scale is: 0 at the low end, 1 at the high one.
    fn share(&self, place: f64) -> f64 {
        (place - self.low) / (self.high - self.low)
    }
}

/// The names of ticks that are numbers; on a linear axis all have as many digits as one of them needs.
fn numbers(scale: Scale, ticks: &[f64]) -> Vec<(f64, String)> {
    let digits = |tick: &f64| number(*tick).split_once('.').map_or(0, |(_, digits)| digits.len());
    let digits = ticks.iter().map(digits).max().filter(|digits| *digits > 0 && scale == Scale::Linear);
    let text = |tick: f64| digits.map_or_else(|| number(tick), |digits| format!("{tick:.digits$}"));
    ticks.iter().map(|tick| (*tick, text(*tick).replace('-', "\u{2212}"))).collect()
}

impl Scale {
    pub(super) fn of(self, value: f64) -> f64 {
        match self {
            Self::Log => value.log10(),
            Self::TowardsOne => -(1.0 - value).max(LEAST_LEFT).log10(),
            Self::Linear | Self::Rows => value,
        }
    }

    pub(super) fn back(self, place: f64) -> f64 {
        match self {
            Self::Log => 10f64.powf(place),
            Self::TowardsOne => 1.0 - 10f64.powf(-place),
            Self::Linear | Self::Rows => place,
        }
    }
}

impl<'c> Frame<'c> {
    fn of(chart: &'c Chart, size: Size) -> Self {
        let points = || chart.layers.iter().flat_map(Layer::points);
        let (across, up) = if size.is_narrow() { (4, 5) } else { (8, 6) };
        let x = Span::of(&chart.x, points().map(|(x, _)| x), across);
        let y = Span::of(&chart.y, points().map(|(_, y)| y), up);
        let mut frame = Self { chart, size, x, y, room: Rect { left: 0.0, top: 0.0, width: 0.0, height: 0.0 } };
        frame.room = frame.room_between_axes();
        frame
    }

    fn room_between_axes(&self) -> Rect {
        let (width, height) = (f64::from(self.size.width), f64::from(self.size.height));
        let numbers = self.y.ticks.iter().map(|(_, name)| text_width(name)).fold(0.0, f64::max);
        let names = self.ends_of_lines().map(|(_, _, name)| text_width(self.shown(name)) + 8.0).fold(0.0, f64::max);
        let left = numbers + 12.0;
        let top = if self.chart.y.title.is_empty() { 4.0 } else { ABOVE };
        // A long name must leave room for what it names.
        let right = BESIDE + names.min(width * 0.35);
        Rect { left, top, width: width - left - right, height: height - top - BELOW }
    }

    fn at(&self, x: f64, y: f64) -> Point {
        let Rect { left, top, width, height } = self.room;
        (left + width * self.x.share(x), top + height * (1.0 - self.y.share(y)))
    }

    /// Where a point is in the figure; `None` if the scales cannot show it.
    fn point(&self, (x, y): Point) -> Option<Point> {
        let (x, y) = (self.chart.x.scale.of(x), self.chart.y.scale.of(y));
        (x.is_finite() && y.is_finite()).then(|| self.at(x, y))
    }

    fn points(&self, all: impl Iterator<Item = Point>) -> Vec<Point> {
        all.filter_map(|at| self.point(at)).collect()
    }

    fn axes(&self, canvas: &mut Canvas) {
        let grid = Paint::Line(Ink::GRID, 1.0);
        let (x, y) = (&self.x, &self.y);
        for (tick, name) in &x.ticks {
            let low = self.at(*tick, y.low);
            canvas.path("polyline", &[low, self.at(*tick, y.high)], grid);
            canvas.text((low.0, low.1 + 6.0), Align::Below, Ink::MUTED, name);
        }
        for (tick, name) in &y.ticks {
            let low = self.at(x.low, *tick);
            canvas.path("polyline", &[low, self.at(x.high, *tick)], grid);
            canvas.text((low.0 - 6.0, low.1), Align::Before, Ink::MUTED, name);
        }
        let corner = (self.room.left + self.room.width, f64::from(self.size.height) - 5.0);
        canvas.text((2.0, 2.0 + TEXT / 2.0), Align::After, Ink::MUTED, &self.chart.y.title);
        canvas.text((corner.0, corner.1 - TEXT / 2.0), Align::Before, Ink::MUTED, &self.chart.x.title);
    }

    fn layer(&self, canvas: &mut Canvas, layer: &Layer) {
        match layer {
            Layer::Points { ink, mark, .. } | Layer::Named { ink, mark, .. } => {
                self.points(layer.points()).into_iter().for_each(|at| draw_mark(canvas, at, *mark, *ink));
            }
            Layer::Line { ink, path, at, .. } => {
                canvas.path("polyline", &walked(&self.points(at.iter().copied()), *path), Paint::Line(*ink, 2.0));
            }
            Layer::Band { ink, path, at } => {
                let lower = walked(&self.points(at.iter().map(|(x, low, _)| (*x, *low))), *path);
                let upper = walked(&self.points(at.iter().map(|(x, _, high)| (*x, *high))), *path);
                let around: Vec<Point> = lower.into_iter().chain(upper.into_iter().rev()).collect();
                canvas.path("polygon", &around, Paint::Faint(*ink, 0.18));
            }
            Layer::Links { ink, at } => {
                for ends in at.iter().map(|ends| self.points(ends.iter().copied())).filter(|ends| ends.len() == 2) {
                    canvas.path("polyline", &ends, Paint::Line(*ink, 1.2));
                }
            }
        }
    }

    /// Names of points, and a thin line to those that stand far from theirs.
    fn point_names(&self, canvas: &mut Canvas) {
        let all = self.points(self.chart.layers.iter().flat_map(Layer::points));
        let named = self.chart.layers.iter().flat_map(Layer::named);
        let label = |(at, name): &'c (Point, Name)| {
            let text = self.shown(name);
            Some((text, Label { at: self.point(*at)?, width: text_width(text), height: TEXT }))
        };
        let (texts, labels): (Vec<&str>, Vec<Label>) = named.filter_map(label).unzip();
        for ((text, label), place) in texts.iter().zip(&labels).zip(places(&labels, &all, &self.room)) {
            let Some(place) = place else { continue };
            let near = place.nearest(label.at);
            if (near.0 - label.at.0).hypot(near.1 - label.at.1) > 1.5 * TEXT {
                canvas.path("polyline", &[near, label.at], Paint::Line(Ink::MUTED, 0.8));
            }
            canvas.text((place.left, place.top + place.height / 2.0), Align::After, Ink::TEXT, text);
        }
    }

    fn line_names(&self, canvas: &mut Canvas) {
        let ends: Vec<(Ink, Point, &Name)> =
            self.ends_of_lines().filter_map(|(ink, at, name)| Some((ink, self.point(at)?, name))).collect();
        let heights: Vec<f64> = ends.iter().map(|(_, (_, y), _)| *y).collect();
        let heights = spread(&heights, TEXT + 2.0, self.room.top + self.room.height);
        for ((ink, (x, _), name), height) in ends.into_iter().zip(heights) {
            canvas.text((x + 6.0, height), Align::After, ink, self.shown(name));
        }
    }

    fn ends_of_lines(&self) -> impl Iterator<Item = (Ink, Point, &'c Name)> {
        self.chart.layers.iter().filter_map(|layer| match layer {
            Layer::Line { ink, at, name: Some(name), .. } => Some((*ink, *at.last()?, name)),
            _ => None,
        })
    }

    fn shown<'n>(&self, name: &'n Name) -> &'n str {
        if self.size.is_narrow() { &name.short } else { &name.long }
    }
}

fn draw_mark(canvas: &mut Canvas, (x, y): Point, mark: Mark, ink: Ink) {
    let corners = |corners: &[Point]| corners.iter().map(|(right, down)| (x + right, y + down)).collect::<Vec<_>>();
    match mark {
        Mark::Speck => canvas.circle((x, y), 2.2, Paint::Faint(ink, 0.55)),
        Mark::Dot => canvas.circle((x, y), 3.6, Paint::Fill(ink)),
        Mark::Ring => canvas.circle((x, y), 4.0, Paint::Line(ink, 1.5)),
        Mark::Triangle => canvas.path("polygon", &corners(&[(0.0, -5.2), (4.5, 2.6), (-4.5, 2.6)]), Paint::Fill(ink)),
        Mark::Diamond => {
            canvas.path("polygon", &corners(&[(0.0, -6.0), (6.0, 0.0), (0.0, 6.0), (-6.0, 0.0)]), Paint::Fill(ink));
        }
        Mark::Tick => canvas.path("polyline", &corners(&[(0.0, -8.0), (0.0, 8.0)]), Paint::Line(ink, 2.5)),
    }
}

impl Layer {
    fn points(&self) -> Box<dyn Iterator<Item = Point> + '_> {
        match self {
            Self::Points { at, .. } | Self::Line { at, .. } => Box::new(at.iter().copied()),
            Self::Named { at, .. } => Box::new(at.iter().map(|(at, _)| *at)),
            Self::Band { at, .. } => Box::new(at.iter().flat_map(|(x, low, high)| [(*x, *low), (*x, *high)])),
            Self::Links { at, .. } => Box::new(at.iter().flatten().copied()),
        }
    }

    fn named(&self) -> &[(Point, Name)] {
        if let Self::Named { at, .. } = self { at } else { &[] }
    }
}

fn walked(points: &[Point], path: Path) -> Vec<Point> {
    let corner = |pair: &[Point]| [(pair[1].0, pair[0].1), pair[1]];
    match path {
        Path::Straight => points.to_vec(),
        Path::Steps => points.first().copied().into_iter().chain(points.windows(2).flat_map(corner)).collect(),
    }
}

fn text_width(text: &str) -> f64 {
    harmless(text).chars().count() as f64 * LETTER * TEXT
}
