//! Score: one call's placement on one window in numbers, the fields of a
//! [`Sample`](packevolve_contract::evaluation::Sample) that say how balanced it is.

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::NextLoads;
use packevolve_contract::stream::Stream;
use packevolve_contract::topology::Topology;

use crate::placement::{self, RowLoads};
use crate::rows::{Items, Order, Rows};
use crate::tensor;
use crate::window::Window;

/// What a call of a case is given, and what no answer to it can beat. Bounds do not depend on the order of rows and
/// items, so they are computed once a window and follow a permutation.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseInput {
    rows: Rows,
    /// What the same items weigh on the window after.
    next: Option<Rows>,
    packs: usize,
    bounds: Vec<f64>,
}

/// How balanced one placement is; loads in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Σ over rows of the mean pack load.
    pub mean_load: f64,
    /// Σ over rows of the heaviest pack's load.
    pub max_load: f64,
    /// Σ over rows of the lower bound on the heaviest pack.
    pub bound: f64,
    /// Largest `heaviest / bound - 1` of a row; 0 for a row without load.
    pub worst_row_gap: f64,
}

impl CaseInput {
    /// The input of a call of `rows` with `packs` packs.
    pub fn new(rows: Rows, packs: usize) -> Self {
        let bounds = tensor::bounds(&rows, packs);
        Self { rows, next: None, packs, bounds }
    }

    /// The input of `case` on window `number` of the pool, in its original order (see [`Items::of_case`]); `next` is the
    /// window after it.
    pub fn of_case(
        case: &Case,
        topology: &Topology,
        window: &Window,
        next: Option<&Window>,
        number: usize,
        rng_seed: u64,
    ) -> Self {
        let items = Items::of_case(case, topology, window, number, rng_seed);
        Self { next: next.map(|next| items.weigh(next)), ..Self::new(items.weigh(window), case.packs) }
    }

    /// The weights.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// m, the packs.
    pub fn packs(&self) -> usize {
        self.packs
    }

    /// Lower bound on the heaviest pack of each row.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// The same with rows and items in another order, drawn from `rng`.
    pub fn permuted(&self, rng: &mut Stream) -> Self {
        let order = Order::draw(self.rows.rows(), self.rows.items(), rng);
        Self {
            rows: self.rows.reordered(&order),
            next: self.next.as_ref().map(|next| next.reordered(&order)),
            packs: self.packs,
            bounds: order.rows().iter().map(|&row| self.bounds[row]).collect(),
        }
    }

    /// Scores a `pack_index` that [`verify`](crate::placement::verify) found valid.
    pub fn score(&self, pack_index: &[i64]) -> Scores {
        Scores::new(&placement::row_loads(&self.rows, pack_index, self.packs), &self.bounds)
    }

    /// What the packs of such a `pack_index` carry on the window after, if there is one.
    pub fn next_loads(&self, pack_index: &[i64]) -> Option<NextLoads> {
        let loads = placement::row_loads(self.next.as_ref()?, pack_index, self.packs);
        Some(NextLoads { mean_load: loads.mean.iter().sum(), max_load: loads.max.iter().sum() })
    }
}

impl Scores {
    /// Combines the loads of rows with the bounds of the same rows.
    pub fn new(loads: &RowLoads, bounds: &[f64]) -> Self {
        assert_eq!(loads.max.len(), bounds.len(), "BUG: bounds of other rows");
        let gaps = loads.max.iter().zip(bounds).map(|(max, bound)| row_gap(*max, *bound));
        Self {
            mean_load: loads.mean.iter().sum(),
            max_load: loads.max.iter().sum(),
            bound: bounds.iter().sum(),
            worst_row_gap: gaps.fold(0.0, f64::max),
        }
    }
}

/// A gap below 0 can only be rounding; it is cut by the fold above.
fn row_gap(max: f64, bound: f64) -> f64 {
    if bound > 0.0 { max / bound - 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::case::Source;
    use packevolve_contract::stream::{Purpose, stream};

    use super::*;

    #[test]
    fn sums_and_the_worst_row_follow_from_the_rows() {
        let input = CaseInput::new(Rows::new(4, &[4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 9.0, 1.0, 1.0, 1.0]), 2);
        assert_eq!(input.bounds(), [5.0, 0.0, 10.0]);
        let scores = input.score(&[0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!(scores, Scores { mean_load: 11.0, max_load: 17.0, bound: 15.0, worst_row_gap: 7.0 / 5.0 - 1.0 });
        let best = input.score(&[0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!((best.max_load, best.worst_row_gap), (15.0, 0.0));
    }

    #[test]
    fn bounds_follow_their_rows_through_a_permutation() {
        let weights: Vec<f64> = (0..60).map(|item| f64::from(item * item)).collect();
        let input = CaseInput::new(Rows::new(6, &weights), 2);
        let other = input.permuted(&mut stream(1, 0, Purpose::Permutation));
        assert_ne!(other.bounds(), input.bounds());
        assert_eq!(other, CaseInput::new(other.rows().clone(), 2));
    }

    #[test]
    fn packs_are_weighed_on_the_window_after_in_the_order_in_which_they_were_given() {
        let topology = Topology { layers: 1, experts: 4, groups: 1, nodes: 1, gpus: 2, replicas: 4 };
        let case = Case { source: Source::GlobalReplicas, rows: 1, items: 4, packs: 2 };
        let (window, next) = (Window::new(4, vec![1.0, 2.0, 3.0, 4.0]), Window::new(4, vec![10.0, 30.0, 50.0, 70.0]));
        let input = CaseInput::of_case(&case, &topology, &window, Some(&next), 0, 1);
        assert_eq!(input.next_loads(&[0, 1, 1, 0]), Some(NextLoads { mean_load: 80.0, max_load: 80.0 }));
        assert_eq!(input.next_loads(&[0, 0, 1, 1]), Some(NextLoads { mean_load: 80.0, max_load: 120.0 }));
        let other = input.permuted(&mut stream(1, 0, Purpose::Permutation));
        assert_ne!(other.rows(), input.rows());
        // The items that weigh 1 and 2 together, wherever they stand.
        let light: Vec<i64> = other.rows().weights().iter().map(|&weight| i64::from(weight > 2.0)).collect();
        assert_eq!(other.next_loads(&light), Some(NextLoads { mean_load: 80.0, max_load: 120.0 }));
        assert_eq!(CaseInput::of_case(&case, &topology, &window, None, 0, 1).next_loads(&light), None);
    }
}
