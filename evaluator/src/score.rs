//! Score: the balance of one call's placement on one window: the fields of a
//! [`Sample`](packevolve_contract::evaluation::Sample) that hold loads.

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::NextLoads;
use packevolve_contract::stream::Stream;
use packevolve_contract::topology::Topology;

use crate::placement::{self, RowLoads};
use crate::rows::{Items, Permutation, Rows};
use crate::tensor;
use crate::window::PoolWindow;

/// The input of a call, and the bounds that no answer can beat. Bounds do not depend on the order of rows and items, so
/// they are computed once for each window and follow a permutation.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseInput {
    pub rows: Rows,
    /// The weights of the same items on the next window.
    next: Option<Rows>,
    packs: usize,
    bounds: Vec<f64>,
}

/// The balance of one placement; loads in tokens.
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
    pub fn new(rows: Rows, packs: usize) -> Self {
        let bounds = tensor::bounds(&rows, packs);
        Self { rows, next: None, packs, bounds }
    }

    /// The input of `case` on `window`, not permuted (see [`Items::of_case`]).
    pub fn of_case(case: &Case, topology: &Topology, window: PoolWindow<'_>, rng_seed: u64) -> Self {
        let items = Items::of_case(case, topology, window, rng_seed);
        let next = window.next.map(|next| items.weigh(next));
        Self { next, ..Self::new(items.weigh(window.now), case.packs) }
    }

    /// The same input with rows and items permuted.
    pub fn permuted(&self, rng: &mut Stream) -> Self {
        let permutation = Permutation::draw(self.rows.rows, self.rows.items, rng);
        Self {
            rows: self.rows.permuted(&permutation),
            next: self.next.as_ref().map(|next| next.permuted(&permutation)),
            packs: self.packs,
            bounds: permutation.rows.iter().map(|&row| self.bounds[row]).collect(),
        }
    }

    /// Scores a valid `pack_index`.
    pub fn score(&self, pack_index: &[i64]) -> Scores {
        Scores::new(&placement::row_loads(&self.rows, pack_index, self.packs), &self.bounds)
    }

    /// The loads of the same packs on the next window, if there is one.
    pub fn next_loads(&self, pack_index: &[i64]) -> Option<NextLoads> {
        let loads = placement::row_loads(self.next.as_ref()?, pack_index, self.packs);
        Some(NextLoads { mean_load: loads.mean.iter().sum(), max_load: loads.max.iter().sum() })
    }
}

impl Scores {
    pub fn new(loads: &RowLoads, bounds: &[f64]) -> Self {
        assert_eq!(loads.max.len(), bounds.len(), "BUG: bounds of other rows");
        let gap = |(max, bound): (&f64, &f64)| if *bound > 0.0 { max / bound - 1.0 } else { 0.0 };
        Self {
            mean_load: loads.mean.iter().sum(),
            max_load: loads.max.iter().sum(),
            bound: bounds.iter().sum(),
            // A gap below 0 is a rounding error.
            worst_row_gap: loads.max.iter().zip(bounds).map(gap).fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::case::Source;
    use packevolve_contract::stream::{Purpose, stream};
    use packevolve_loads::window::Window;

    use super::*;

    #[test]
    fn sums_and_the_worst_row_follow_from_the_rows() {
        let input = CaseInput::new(Rows::new(4, &[4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 9.0, 1.0, 1.0, 1.0]), 2);
        assert_eq!(input.bounds, [5.0, 0.0, 10.0]);
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
        assert_ne!(other.bounds, input.bounds);
        assert_eq!(other, CaseInput::new(other.rows.clone(), 2));
    }

    #[test]
    fn packs_are_weighed_on_the_window_after_in_the_order_in_which_they_were_given() {
        let topology = Topology { layers: 1, experts: 4, groups: 1, nodes: 1, gpus: 2, replicas: 4 };
        let case = Case { source: Source::GlobalReplicas, rows: 1, items: 4, packs: 2 };
        let (window, next) = (Window::new(4, vec![1.0, 2.0, 3.0, 4.0]), Window::new(4, vec![10.0, 30.0, 50.0, 70.0]));
        let window = PoolWindow { number: 0, now: &window, next: Some(&next) };
        let input = CaseInput::of_case(&case, &topology, window, 1);
        assert_eq!(input.next_loads(&[0, 1, 1, 0]), Some(NextLoads { mean_load: 80.0, max_load: 80.0 }));
        assert_eq!(input.next_loads(&[0, 0, 1, 1]), Some(NextLoads { mean_load: 80.0, max_load: 120.0 }));
        let other = input.permuted(&mut stream(1, 0, Purpose::Permutation));
        assert_ne!(other.rows, input.rows);
        // The items that weigh 1 and 2 together, wherever they stand.
        let light: Vec<i64> = other.rows.weights.iter().map(|&weight| i64::from(weight > 2.0)).collect();
        assert_eq!(other.next_loads(&light), Some(NextLoads { mean_load: 80.0, max_load: 120.0 }));
        assert_eq!(
            CaseInput::of_case(&case, &topology, PoolWindow { next: None, ..window }, 1).next_loads(&light),
            None
        );
    }
}
