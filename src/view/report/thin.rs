//! Thin: fewer points for a figure that looks the same. Of points in one place the first stays, so that a run always gives
//! the same figure.

use std::collections::BTreeSet;

/// The number of points up to which all are drawn.
const ENOUGH: usize = 1500;
/// Above that, one point is drawn for each cell of a grid of this many columns and rows.
const GRID: (f64, f64) = (64.0, 36.0);

pub fn thinned(places: &[(f64, f64)]) -> Vec<usize> {
    if places.len() <= ENOUGH {
        return (0..places.len()).collect();
    }
    let (x, y) = (extent(places.iter().map(|place| place.0)), extent(places.iter().map(|place| place.1)));
    let mut seen = BTreeSet::new();
    let cell = |value: f64, (low, high): (f64, f64), count: f64| {
        if high > low { ((value - low) / (high - low) * count) as i64 } else { 0 }
    };
    let mut is_first = |place: &(f64, f64)| seen.insert((cell(place.0, x, GRID.0), cell(place.1, y, GRID.1)));
    (0..places.len()).filter(|at| is_first(&places[*at])).collect()
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_stay_and_of_many_those_that_look_distinct() {
        let spiral = |count: usize| -> Vec<(f64, f64)> {
            let turn = |at: usize| (at as f64 * 0.7, (at as f64 / count as f64).sqrt());
            (0..count).map(turn).map(|(angle, radius)| (radius * angle.cos(), radius * angle.sin())).collect()
        };
        assert_eq!(thinned(&spiral(ENOUGH)).len(), ENOUGH);
        let many = spiral(100_000);
        let kept = thinned(&many);
        assert!((500..=((GRID.0 + 1.0) * (GRID.1 + 1.0)) as usize).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept, thinned(&many));
        let reach = |places: &[usize]| extent(places.iter().map(|at| many[*at].0));
        let (all, shown) = (extent(many.iter().map(|place| place.0)), reach(&kept));
        assert!((all.0 - shown.0).abs() < 0.05 && (all.1 - shown.1).abs() < 0.05);
    }

    #[test]
    fn points_on_one_another_are_one() {
        assert_eq!(thinned(&vec![(1.0, 2.0); 5000]), [0]);
    }
}
