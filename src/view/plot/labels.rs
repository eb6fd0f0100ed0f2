//! Labels: where names go so that none lies on another and little is covered. Decides by numbers alone, and always alike.

/// A rectangle, with `y` downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.left + other.width
            && other.left < self.left + self.width
            && self.top < other.top + other.height
            && other.top < self.top + self.height
    }

    fn holds(&self, (x, y): (f64, f64)) -> bool {
        (self.left..self.left + self.width).contains(&x) && (self.top..self.top + self.height).contains(&y)
    }

    fn is_inside(&self, other: &Self) -> bool {
        self.left >= other.left
            && self.top >= other.top
            && self.left + self.width <= other.left + other.width
            && self.top + self.height <= other.top + other.height
    }

    pub fn nearest(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x.clamp(self.left, self.left + self.width), y.clamp(self.top, self.top + self.height))
    }
}

/// The size of a name, and the point that it names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    pub at: (f64, f64),
    pub width: f64,
    pub height: f64,
}

/// Directions that are tried, the most natural first.
const DIRECTIONS: [(f64, f64); 12] = [
    (1.0, 0.0),
    (-1.0, 0.0),
    (1.0, -1.0),
    (-1.0, -1.0),
    (0.0, -1.0),
    (1.0, 1.0),
    (-1.0, 1.0),
    (0.0, 1.0),
    (0.5, -1.0),
    (-0.5, -1.0),
    (0.5, 1.0),
    (-0.5, 1.0),
];
/// How far away, in heights of a name.
const DISTANCES: [f64; 7] = [0.7, 1.3, 2.1, 3.1, 4.3, 6.0, 8.0];
/// What a height of distance costs, in covered points.
const DISTANCE_COST: f64 = 4.0;

/// Where each name goes inside `room`, given all points of the figure; `None` for one that fits nowhere.
pub fn places(wanted: &[Label], points: &[(f64, f64)], room: &Rect) -> Vec<Option<Rect>> {
    let own = |wanted: &Label| {
        let side = wanted.height * 0.8;
        Rect { left: wanted.at.0 - side / 2.0, top: wanted.at.1 - side / 2.0, width: side, height: side }
    };
    let marks: Vec<Rect> = wanted.iter().map(own).collect();
    let mut taken: Vec<Option<Rect>> = Vec::new();
    for wanted in wanted {
        let is_free = |place: &Rect| {
            let clear = |other: &Rect| !place.overlaps(other);
            place.is_inside(room) && taken.iter().flatten().all(clear) && marks.iter().all(clear)
        };
        let cost = |(order, (distance, place)): (usize, (f64, Rect))| {
            let covered = points.iter().filter(|point| place.holds(**point)).count() as f64;
            is_free(&place).then_some((covered + DISTANCE_COST * distance + order as f64 * 1e-3, place))
        };
        let free = around(wanted).into_iter().enumerate().filter_map(cost);
        let best = free.min_by(|(one, _), (other, _)| one.total_cmp(other));
        taken.push(best.map(|(_, place)| place));
    }
    taken
}

fn around(wanted: &Label) -> Vec<(f64, Rect)> {
    let Label { at: (x, y), width, height } = *wanted;
    let place = |distance: f64, (right, down): (f64, f64)| {
        let (x, y) = (x + right * distance * height, y + down * distance * height);
        // The side that faces the point is where the distance is counted to.
        let left = x - width * (1.0 - right) / 2.0;
        let top = y - height * (1.0 - down) / 2.0;
        (distance, Rect { left, top, width, height })
    };
    DISTANCES.iter().flat_map(|distance| DIRECTIONS.map(|direction| place(*distance, direction))).collect()
}

/// Heights for names at the ends of lines, in the order given: each as near to its line as the others allow.
pub fn spread(wanted: &[f64], apart: f64, lowest: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut heights = wanted.to_vec();
    let mut free = f64::NEG_INFINITY;
    for at in &order {
        heights[*at] = wanted[*at].max(free);
        free = heights[*at] + apart;
    }
    let mut free = lowest;
    for at in order.iter().rev() {
        heights[*at] = heights[*at].min(free);
        free = heights[*at] - apart;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: Rect = Rect { left: 0.0, top: 0.0, width: 700.0, height: 400.0 };

    proptest! {
        #[test]
        fn no_name_lies_on_another_or_on_a_named_point(
            at in prop::collection::vec((0.0f64..700.0, 0.0f64..400.0, 10.0f64..250.0), 0..14),
        ) {
            let wanted: Vec<Label> =
                at.iter().map(|(x, y, width)| Label { at: (*x, *y), width: *width, height: 14.0 }).collect();
            let points: Vec<(f64, f64)> = wanted.iter().map(|wanted| wanted.at).collect();
            let places: Vec<Rect> = places(&wanted, &points, &ROOM).into_iter().flatten().collect();
            for (number, place) in places.iter().enumerate() {
                prop_assert!(place.is_inside(&ROOM));
                prop_assert!(places[..number].iter().all(|other| !place.overlaps(other)));
                prop_assert!(points.iter().all(|point| !place.holds(*point)));
            }
        }

        #[test]
        fn names_at_the_ends_of_lines_keep_apart_and_in_order(wanted in prop::collection::vec(0.0f64..300.0, 0..8)) {
            let heights = spread(&wanted, 14.0, 300.0);
            for (one, other) in (0..wanted.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
                prop_assert!((heights[one] - heights[other]).abs() >= 14.0 - 1e-6, "{heights:?}");
                let kept = (wanted[one] < wanted[other]) == (heights[one] < heights[other]);
                prop_assert!(kept || wanted[one] == wanted[other]);
            }
        }
    }

    #[test]
    fn a_lone_name_stands_to_the_right_and_one_at_the_edge_to_the_left() {
        let at = |x| Label { at: (x, 200.0), width: 100.0, height: 14.0 };
        let left = |x| places(&[at(x)], &[], &ROOM)[0].unwrap().left;
        assert!(left(100.0) > 100.0 && left(690.0) + 100.0 < 690.0);
    }
}
