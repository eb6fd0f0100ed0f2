//! Draw: a chart by means of the plotting library. Everything in parts of a pixel, see `FINE`.

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, EmptyElement, PathElement, Polygon, Text, TriangleMarker};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, ShapeStyle, TextStyle};

use crate::view::output::harmless;
use crate::view::plot::chart::{Axis, Chart, FINE, Layer, Mark, Name, Path, Scale, Size};
use crate::view::plot::ink::Ink;
use crate::view::plot::labels::{Rect, Wanted, places, spread};
use crate::view::plot::ticks::{number, ticks};

/// Height of words, pixels.
const WORDS: f64 = 12.0;
/// The library divides the size of a font by this.
const FONT: f64 = 1.24;
/// Mean width of a letter, in heights of words.
const LETTER: f64 = 0.6;
/// Space around the axes, pixels.
const ABOVE: f64 = 26.0;
const BELOW: f64 = 44.0;
const BESIDE: f64 = 14.0;
/// Nearer to 1 than this is all the same.
const LEAST_LEFT: f64 = 1e-4;
/// How much thinner a band is than its line.
const THIN: f64 = 0.18;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Context<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A place on both axes as the library has it: of a logarithmic axis the power of ten.
type Place = (f64, f64);

/// The elements of the figure. Writing into a text cannot fail.
pub fn content(chart: &Chart, size: Size) -> String {
    let mut svg = String::new();
    let fine = |pixels: u32| (f64::from(pixels) * FINE) as u32;
    {
        let root = SVGBackend::with_string(&mut svg, (fine(size.width), fine(size.height))).into_drawing_area();
        Drawing::new(chart, size).draw(&root);
        root.present().expect("BUG: a text takes everything");
    }
    let inside = svg.split_once('>').map_or("", |(_, rest)| rest);
    inside.trim_start().trim_end().trim_end_matches("</svg>").to_owned()
}

struct Drawing<'c> {
    chart: &'c Chart,
    size: Size,
    x: Span,
    y: Span,
}

/// An axis as far as it reaches, on its scale.
struct Span {
    low: f64,
    high: f64,
    /// Where lines are, and what stands there.
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
}

/// The names of ticks that are numbers; on a linear axis all have as many digits as one of them needs.
fn numbers(scale: Scale, ticks: &[f64]) -> Vec<(f64, String)> {
    let digits = |tick: &f64| number(*tick).split_once('.').map_or(0, |(_, digits)| digits.len());
    let digits = ticks.iter().map(digits).max().filter(|digits| *digits > 0 && scale == Scale::Linear);
    let text = |tick: f64| digits.map_or_else(|| number(tick), |digits| format!("{tick:.digits$}"));
    ticks.iter().map(|tick| (*tick, text(*tick).replace('-', "\u{2212}"))).collect()
}

impl Scale {
    /// Where a number stands on it.
    pub(super) fn of(self, value: f64) -> f64 {
        match self {
            Self::Log => value.log10(),
            Self::TowardsOne => -(1.0 - value).max(LEAST_LEFT).log10(),
            Self::Linear | Self::Rows => value,
        }
    }

    /// The number that stands there.
    pub(super) fn back(self, place: f64) -> f64 {
        match self {
            Self::Log => 10f64.powf(place),
            Self::TowardsOne => 1.0 - 10f64.powf(-place),
            Self::Linear | Self::Rows => place,
        }
    }
}

impl<'c> Drawing<'c> {
    fn new(chart: &'c Chart, size: Size) -> Self {
        let places = || chart.layers.iter().flat_map(Layer::places);
        let (across, up) = if size.is_narrow() { (4, 5) } else { (8, 6) };
        let x = Span::of(&chart.x, places().map(|(x, _)| x), across);
        let y = Span::of(&chart.y, places().map(|(_, y)| y), up);
        Self { chart, size, x, y }
    }

    /// Where a point is, if it can be shown.
    fn place(&self, (x, y): (f64, f64)) -> Option<Place> {
        let place = (self.chart.x.scale.of(x), self.chart.y.scale.of(y));
        (place.0.is_finite() && place.1.is_finite()).then_some(place)
    }

    fn draw(&self, root: &Area<'_>) {
        let mut context = self.context(root);
        self.axes(root, &mut context);
        for layer in &self.chart.layers {
            self.layer(&mut context, layer);
        }
        self.point_names(root, &context);
        self.line_names(root, &context);
        self.notes(root, &context);
    }

    fn context<'a>(&self, root: &Area<'a>) -> Context<'a> {
        let pixels = |pixels: f64| (pixels * FINE) as u32;
        let numbers = self.y.ticks.iter().map(|(_, name)| width(name)).fold(0.0, f64::max);
        let names = self.ends_of_lines().map(|(_, _, name)| width(self.shown(name)) + 8.0).fold(0.0, f64::max);
        // A long name must leave room for what it names.
        let names = names.min(f64::from(self.size.width) * 0.35);
        ChartBuilder::on(root)
            .margin_top(pixels(if self.chart.y.title.is_empty() { 4.0 } else { ABOVE }))
            .margin_right(pixels(BESIDE + names))
            .margin_left(pixels(4.0))
            .margin_bottom(pixels(BELOW - 24.0))
            .x_label_area_size(pixels(24.0))
            .y_label_area_size(pixels(numbers + 8.0))
            .build_cartesian_2d(self.x.low..self.x.high, self.y.low..self.y.high)
            .expect("BUG: the margins are smaller than the figure")
    }

    /// A line for each number, the numbers, and what they are numbers of.
    fn axes(&self, root: &Area<'_>, context: &mut Context<'_>) {
        let line = |ends| PathElement::new(ends, Ink::Grid.colour().stroke_width(FINE as u32));
        let (x, y) = (&self.x, &self.y);
        drawn(context, x.ticks.iter().map(|(tick, _)| line(vec![(*tick, y.low), (*tick, y.high)])));
        drawn(context, y.ticks.iter().map(|(tick, _)| line(vec![(x.low, *tick), (x.high, *tick)])));
        let room = self.room(context);
        for (tick, name) in &x.ticks {
            let at = (self.on_screen(context, (*tick, y.low)).0, room.top + room.height + 6.0);
            write(root, at, name, Ink::Muted, (HPos::Center, VPos::Top));
        }
        for (tick, name) in &y.ticks {
            let at = (room.left - 6.0, self.on_screen(context, (x.low, *tick)).1);
            write(root, at, name, Ink::Muted, (HPos::Right, VPos::Center));
        }
        let below = (room.left + room.width, f64::from(self.size.height) - 2.0);
        write(root, (2.0, 2.0), &self.chart.y.title, Ink::Muted, (HPos::Left, VPos::Top));
        write(root, below, &self.chart.x.title, Ink::Muted, (HPos::Right, VPos::Bottom));
    }

    fn layer(&self, context: &mut Context<'_>, layer: &Layer) {
        match layer {
            Layer::Points { ink, mark, at } => self.marks(context, *ink, *mark, at.iter().copied()),
            Layer::Named { ink, mark, at } => self.marks(context, *ink, *mark, at.iter().map(|(at, _)| *at)),
            Layer::Line { ink, path, at, .. } => {
                let line: Vec<Place> = at.iter().filter_map(|at| self.place(*at)).collect();
                let element = PathElement::new(walked(&line, *path), ink.colour().stroke_width((2.0 * FINE) as u32));
                drawn(context, [element]);
            }
            Layer::Band { ink, path, at } => {
                let edge = |edge: fn(&(f64, f64, f64)) -> (f64, f64)| {
                    let places: Vec<Place> = at.iter().map(edge).filter_map(|at| self.place(at)).collect();
                    walked(&places, *path)
                };
                let (mut around, upper) = (edge(|(x, low, _)| (*x, *low)), edge(|(x, _, high)| (*x, *high)));
                around.extend(upper.into_iter().rev());
                drawn(context, [Polygon::new(around, ink.colour().mix(THIN))]);
            }
            Layer::Links { ink, at } => {
                let line = ink.colour().stroke_width((1.2 * FINE) as u32);
                let ends = at.iter().filter_map(|[from, to]| Some(vec![self.place(*from)?, self.place(*to)?]));
                drawn(context, ends.map(|ends| PathElement::new(ends, line)));
            }
            Layer::Notes { .. } => {}
        }
    }

    fn marks(&self, context: &mut Context<'_>, ink: Ink, mark: Mark, at: impl Iterator<Item = (f64, f64)>) {
        let places = at.filter_map(|at| self.place(at));
        let (full, ring) = (ink.colour().filled(), ink.colour().stroke_width((1.5 * FINE) as u32));
        let pixels = |pixels: f64| (pixels * FINE) as i32;
        match mark {
            Mark::Speck => {
                let style = ShapeStyle::from(ink.colour().mix(0.55)).filled();
                drawn(context, places.map(|at| Circle::new(at, pixels(2.2), style)));
            }
            Mark::Dot => drawn(context, places.map(|at| Circle::new(at, pixels(3.6), full))),
            Mark::Ring => drawn(context, places.map(|at| Circle::new(at, pixels(4.0), ring))),
            Mark::Triangle => drawn(context, places.map(|at| TriangleMarker::new(at, pixels(5.2), full))),
            Mark::Diamond => {
                let (near, far) = (0, pixels(6.0));
                let corners = vec![(near, -far), (far, near), (near, far), (-far, near)];
                drawn(context, places.map(|at| EmptyElement::at(at) + Polygon::new(corners.clone(), full)));
            }
            Mark::Tick => {
                let line = ink.colour().stroke_width((2.5 * FINE) as u32);
                let ends = vec![(0, -pixels(8.0)), (0, pixels(8.0))];
                drawn(context, places.map(|at| EmptyElement::at(at) + PathElement::new(ends.clone(), line)));
            }
        }
    }

    /// Names of points, and a thin line to those that stand far from theirs.
    fn point_names(&self, root: &Area<'_>, context: &Context<'_>) {
        let named = || self.chart.layers.iter().flat_map(Layer::named);
        let all: Vec<(f64, f64)> = self.chart.layers.iter().flat_map(Layer::places).collect();
        let points: Vec<(f64, f64)> = all.iter().filter_map(|at| self.pixel(context, *at)).collect();
        let (names, wanted): (Vec<&Name>, Vec<Wanted>) = named()
            .filter_map(|(at, name)| {
                let wanted = Wanted { at: self.pixel(context, at)?, width: width(self.shown(name)), height: WORDS };
                Some((name, wanted))
            })
            .unzip();
        for ((name, wanted), place) in names.iter().zip(&wanted).zip(places(&wanted, &points, &self.room(context))) {
            let Some(place) = place else { continue };
            let near = place.nearest(wanted.at);
            if (near.0 - wanted.at.0).hypot(near.1 - wanted.at.1) > 1.5 * WORDS {
                let line = Ink::Muted.colour().stroke_width((0.8 * FINE) as u32);
                let ends = [near, wanted.at].map(|(x, y)| ((x * FINE) as i32, (y * FINE) as i32));
                root.draw(&PathElement::new(ends.to_vec(), line)).expect("BUG: a text takes everything");
            }
            let middle = (place.left, place.top + place.height / 2.0);
            write(root, middle, self.shown(name), Ink::Text, (HPos::Left, VPos::Center));
        }
    }

    /// Names of lines, at their right ends, one below the other.
    fn line_names(&self, root: &Area<'_>, context: &Context<'_>) {
        let ends: Vec<(Ink, (f64, f64), &Name)> =
            self.ends_of_lines().filter_map(|(ink, at, name)| Some((ink, self.pixel(context, at)?, name))).collect();
        let heights: Vec<f64> = ends.iter().map(|(_, (_, y), _)| *y).collect();
        let room = self.room(context);
        let heights = spread(&heights, WORDS + 2.0, room.top + room.height);
        for ((ink, (x, _), name), height) in ends.into_iter().zip(heights) {
            write(root, (x + 6.0, height), self.shown(name), ink, (HPos::Left, VPos::Center));
        }
    }

    fn notes(&self, root: &Area<'_>, context: &Context<'_>) {
        for layer in &self.chart.layers {
            let Layer::Notes { ink, at } = layer else { continue };
            for (at, name) in at.iter().filter_map(|(at, name)| Some((self.pixel(context, *at)?, name))) {
                write(root, at, self.shown(name), *ink, (HPos::Left, VPos::Center));
            }
        }
    }

    fn ends_of_lines(&self) -> impl Iterator<Item = (Ink, (f64, f64), &'c Name)> {
        self.chart.layers.iter().filter_map(|layer| match layer {
            Layer::Line { ink, at, name: Some(name), .. } => Some((*ink, *at.last()?, name)),
            _ => None,
        })
    }

    fn shown<'n>(&self, name: &'n Name) -> &'n str {
        if self.size.is_narrow() { &name.short } else { &name.long }
    }

    /// Where a point is in the figure, pixels.
    fn pixel(&self, context: &Context<'_>, at: (f64, f64)) -> Option<(f64, f64)> {
        Some(self.on_screen(context, self.place(at)?))
    }

    fn on_screen(&self, context: &Context<'_>, place: Place) -> (f64, f64) {
        let (x, y) = context.plotting_area().map_coordinate(&place);
        (f64::from(x) / FINE, f64::from(y) / FINE)
    }

    /// Where names of points may be, pixels.
    fn room(&self, context: &Context<'_>) -> Rect {
        let (x, y) = context.plotting_area().get_pixel_range();
        let (left, top) = (f64::from(x.start) / FINE, f64::from(y.start) / FINE);
        Rect { left, top, width: f64::from(x.end) / FINE - left, height: f64::from(y.end) / FINE - top }
    }
}

impl Layer {
    /// All places that must be in the figure.
    fn places(&self) -> Box<dyn Iterator<Item = (f64, f64)> + '_> {
        match self {
            Self::Points { at, .. } | Self::Line { at, .. } => Box::new(at.iter().copied()),
            Self::Named { at, .. } => Box::new(at.iter().map(|(at, _)| *at)),
            Self::Band { at, .. } => Box::new(at.iter().flat_map(|(x, low, high)| [(*x, *low), (*x, *high)])),
            Self::Links { at, .. } => Box::new(at.iter().flatten().copied()),
            Self::Notes { .. } => Box::new(std::iter::empty()),
        }
    }

    fn named(&self) -> impl Iterator<Item = ((f64, f64), &Name)> {
        let named = if let Self::Named { at, .. } = self { at.as_slice() } else { &[] };
        named.iter().map(|(at, name)| (*at, name))
    }
}

/// The corners of a line.
fn walked(places: &[Place], path: Path) -> Vec<Place> {
    let corner = |pair: &[Place]| [(pair[1].0, pair[0].1), pair[1]];
    match path {
        Path::Straight => places.to_vec(),
        Path::Steps => {
            let first = places.first().copied();
            first.into_iter().chain(places.windows(2).flat_map(corner)).collect()
        }
    }
}

fn drawn<'a, E>(context: &mut Context<'a>, elements: impl IntoIterator<Item = E>)
where
    for<'b> &'b E: plotters::element::PointCollection<'b, Place>,
    E: plotters::element::Drawable<SVGBackend<'a>>,
{
    for element in elements {
        context.plotting_area().draw(&element).expect("BUG: a text takes everything");
    }
}

/// Writes at a place in pixels.
fn write(root: &Area<'_>, (x, y): (f64, f64), text: &str, ink: Ink, (across, up): (HPos, VPos)) {
    let at = ((x * FINE) as i32, (y * FINE) as i32);
    let colour = ink.colour();
    let style =
        TextStyle::from(("sans-serif", WORDS * FINE * FONT).into_font()).color(&colour).pos(Pos::new(across, up));
    let text = Text::new(harmless(text), at, style);
    root.draw(&text).expect("BUG: a text takes everything");
}

/// About how wide a text is, pixels.
fn width(text: &str) -> f64 {
    harmless(text).chars().count() as f64 * LETTER * WORDS
}
