//! Chains: windows in order of time, on which whole policies are measured.
//!
//! Windows that were read keep their order. Where they are too few, a chain continues by chance: it stays at a window or
//! goes to one beside it, so that the history that a program gets does not tell which window is next. A window that comes
//! again is resampled with drift. Made-up windows drift step by step: most of the time the workload stays the same, now and
//! then it becomes a nearby one, and at least once in a chain it changes. Layers, groups, and experts within their group get
//! new names for each chain and program, so that none can know one again.

use packevolve_contract::stream::{Purpose, Stream, stream};
use packevolve_contract::topology::Topology;
use packevolve_loads::window::Window;
use rand::RngExt;
use rand::seq::SliceRandom;

use crate::made_up::{Series, derived};
use crate::workload::{Pool, Split};

/// Keys chains apart from windows.
const CHAINS: u64 = 1 << 40;

/// Windows in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    pub windows: Vec<Window>,
}

/// Where chains come from.
#[derive(Debug)]
pub struct Chains<'p> {
    pub pool: &'p Pool,
    /// If windows are made up.
    pub series: Option<&'p Series>,
    pub windows: usize,
    pub loads_seed: u64,
}

impl Chains<'_> {
    /// Chain `number` of those that the search sees.
    pub fn of_search(&self, number: usize) -> Chain {
        let rng = stream(self.loads_seed, CHAINS + number as u64, Purpose::Loads);
        self.chain(&self.pool.search, number * self.windows, rng)
    }

    /// Chain `number` of the duel with this `seed`, of windows that the search does not see, if any are held out.
    pub fn of_duel(&self, seed: u64, number: usize) -> Chain {
        let rng = stream(seed, CHAINS + number as u64, Purpose::DuelLoads);
        let split = if self.pool.held_out.windows.is_empty() { &self.pool.search } else { &self.pool.held_out };
        // Its windows were read, but may be in another duel, too: they are resampled.
        self.chain(split, split.windows.len(), rng)
    }

    /// From window `start` of a split. Beyond the windows that were read it continues by chance.
    fn chain(&self, split: &Split, start: usize, mut rng: Stream) -> Chain {
        if let Some(series) = self.series {
            return Chain { windows: series.chain(self.windows, &mut rng) };
        }
        let read = if split.real > 0 { &split.windows[..split.real] } else { &split.windows[..] };
        let mut place = rng.random_range(0..read.len());
        let window = |at: usize| {
            if at < split.real {
                place = at;
                return read[at].clone();
            }
            place = beside(place, read.len(), &mut rng);
            derived(&read[place], &mut rng)
        };
        Chain { windows: (start..start + self.windows).map(window).collect() }
    }
}

impl Chain {
    /// The same chain with other names of layers, of groups, and of experts within their group.
    pub fn renamed(&self, topology: &Topology, rng: &mut Stream) -> Self {
        let (layers, experts) = (topology.layers, topology.experts);
        let mut order: Vec<usize> = (0..layers).collect();
        order.shuffle(rng);
        let places: Vec<usize> = order
            .iter()
            .flat_map(|layer| experts_renamed(topology, rng).into_iter().map(move |e| layer * experts + e))
            .collect();
        let renamed = |window: &Window| Window::new(experts, places.iter().map(|&at| window.counts[at]).collect());
        Self { windows: self.windows.iter().map(renamed).collect() }
    }
}

/// The old names of the experts of a layer.
fn experts_renamed(topology: &Topology, rng: &mut Stream) -> Vec<usize> {
    let (groups, of_group) = (topology.even_groups(), topology.experts / topology.even_groups());
    let mut order: Vec<usize> = (0..groups).collect();
    order.shuffle(rng);
    let mut names = Vec::with_capacity(topology.experts);
    for group in order {
        names.extend(group * of_group..(group + 1) * of_group);
        let from = names.len() - of_group;
        names[from..].shuffle(rng);
    }
    names
}

/// One of the places up to one away from `place`.
fn beside(place: usize, count: usize, rng: &mut Stream) -> usize {
    rng.random_range(place.saturating_sub(1)..=(place + 1).min(count - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workload::PoolSize;

    fn topology() -> Topology {
        Topology { layers: 3, experts: 8, groups: 2, nodes: 2, gpus: 4, replicas: 8 }
    }

    fn pool(loads_seed: u64) -> Pool {
        let size = PoolSize { search: Some(1), held_out: 1, cases: 4, in_order: true };
        Pool::open(None, &topology(), size, loads_seed).unwrap()
    }

    fn chains<'p>(pool: &'p Pool, series: Option<&'p Series>) -> Chains<'p> {
        Chains { pool, series, windows: 6, loads_seed: 1 }
    }

    #[test]
    fn windows_that_were_read_come_in_order_and_then_resampled() {
        let pool = pool(1);
        let chains = chains(&pool, None);
        let first = chains.of_search(0);
        assert_eq!(first.windows[..4], pool.search.windows[..]);
        let resampled = &first.windows[4..];
        assert!(resampled.iter().all(|window| !pool.search.windows.contains(window)));
        assert_eq!(first, chains.of_search(0));
        assert!(chains.of_search(1).windows.iter().all(|window| !first.windows.contains(window)));
    }

    #[test]
    fn a_duel_sees_no_window_of_the_search_and_none_twice() {
        let (pool, series) = (pool(1), Series::new(&topology(), 1));
        for series in [None, Some(&series)] {
            let chains = chains(&pool, series);
            let (one, other, elsewhere) = (chains.of_duel(5, 0), chains.of_duel(5, 1), chains.of_duel(6, 0));
            let known = [&chains.of_search(0), &other, &elsewhere];
            let is_known = |window: &Window| known.iter().any(|chain| chain.windows.contains(window));
            assert!(!one.windows.iter().any(is_known));
            assert_eq!(one, chains.of_duel(5, 0));
        }
    }

    #[test]
    fn new_names_keep_groups_and_what_happens_to_each_expert() {
        let pool = pool(2);
        let chain = chains(&pool, None).of_search(0);
        let renamed = chain.renamed(&topology(), &mut stream(1, 0, Purpose::Permutation));
        assert_ne!(renamed, chain);
        let fates = |chain: &Chain| -> Vec<Vec<u64>> {
            let fate = |at: usize| chain.windows.iter().map(|window| window.counts[at] as u64).collect();
            (0..24).map(fate).collect()
        };
        let groups = |chain: &Chain| {
            let mut groups: Vec<Vec<Vec<u64>>> = fates(chain).chunks(4).map(<[_]>::to_vec).collect();
            groups.iter_mut().for_each(|group| group.sort());
            groups.sort();
            groups
        };
        assert_eq!(groups(&renamed), groups(&chain));
    }

    /// A program that looks up what came after, or before, a window like this one would know the loads that it serves.
    #[test]
    fn the_windows_before_do_not_tell_which_one_is_next() {
        let mut rng = stream(1, 0, Purpose::Loads);
        let mut walk = vec![0];
        for at in 0..300 {
            walk.push(beside(walk[at], 3, &mut rng));
        }
        let seen: BTreeSet<[usize; 3]> = walk.windows(3).map(|three| [three[0], three[1], three[2]]).collect();
        // From the middle one to each, whichever came before it.
        let after = |before| (0..3).all(|next| seen.contains(&[before, 1, next]));
        assert!((0..3).all(after), "{seen:?}");
        assert!(walk.windows(2).all(|two| two[0].abs_diff(two[1]) <= 1));
        assert_eq!(beside(0, 1, &mut rng), 0);
    }
}
