//! Workload: the pool of windows that a run is judged on, prepared once at its start.
//!
//! The measured (or made-up) windows come first, in order; then fresh ones are derived from them until there are
//! enough that no child sees the same loads twice. Window numbers mean the same for every candidate of a run.

use packevolve_contract::loads::Loads;
use packevolve_contract::stream::{Purpose, stream};
use packevolve_contract::topology::Topology;
use sha2::{Digest, Sha256};

use crate::made_up::{Series, derived};
use crate::trace;
use crate::window::{LoadsError, Window};

/// Windows of a made-up pool whose size was left open.
const MADE_UP_WINDOWS: usize = 8;

/// The windows of a run.
#[derive(Clone, Debug)]
pub struct Pool {
    windows: Vec<Window>,
    real: usize,
    digest: String,
}

impl Pool {
    /// Opens `loads` and brings them to exactly `wanted` windows: only the first of them if there are more, derived
    /// ones (keyed by `rng_seed` and the window's number) if there are fewer. Without `wanted`, the loads as they are,
    /// or 8 made-up windows.
    ///
    /// A made-up series never runs out, so nothing is derived from it. `topology` has passed its
    /// [`check`](Topology::check).
    ///
    /// # Errors
    /// What is wrong with the files, see [`LoadsError`].
    pub fn open(loads: &Loads, topology: &Topology, wanted: Option<usize>, rng_seed: u64) -> Result<Self, LoadsError> {
        if wanted == Some(0) {
            return Err(LoadsError::NoneWanted);
        }
        let mut windows = match loads {
            Loads::Path(path) => trace::read(path, topology)?,
            Loads::MadeUp { rng_seed } => made_up(topology, *rng_seed, wanted.unwrap_or(MADE_UP_WINDOWS)),
        };
        let real = windows.len();
        let wanted = wanted.unwrap_or(real);
        for number in real..wanted {
            let fresh = derived(&windows[number % real], &mut stream(rng_seed, number as u64, Purpose::Loads));
            windows.push(fresh);
        }
        windows.truncate(wanted);
        let digest = digest(&windows);
        Ok(Self { real: real.min(wanted), windows, digest })
    }

    /// How many windows there are, at least 1.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// How many of them, the first, were read or made up; the others are derived from those.
    pub fn real(&self) -> usize {
        self.real
    }

    /// Window `number`, from 0.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn window(&self, number: usize) -> &Window {
        &self.windows[number]
    }

    /// SHA-256 over shapes and loads, in hex: two runs with the same digest were judged on the same loads. It also
    /// shows where another machine's `exp` or `ln` made a derived window differ.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn made_up(topology: &Topology, rng_seed: u64, windows: usize) -> Vec<Window> {
    let series = Series::new(topology, rng_seed);
    (0..windows).map(|number| series.window(number)).collect()
}

fn digest(windows: &[Window]) -> String {
    let mut hash = Sha256::new();
    hash.update((windows.len() as u64).to_le_bytes());
    for window in windows {
        hash.update((window.layers() as u64).to_le_bytes());
        hash.update((window.experts() as u64).to_le_bytes());
        for load in window.counts() {
            hash.update(load.to_le_bytes());
        }
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn small() -> Topology {
        Topology { layers: 2, experts: 4, groups: 2, nodes: 1, gpus: 2, replicas: 4 }
    }

    fn two_files() -> (tempfile::TempDir, Loads) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.csv"), "100,200,300,400\n0,0,0,0\n").unwrap();
        fs::write(folder.path().join("2.csv"), "1000,1000,1000,1000\n5,6,7,8\n").unwrap();
        let loads = Loads::Path(folder.path().to_owned());
        (folder, loads)
    }

    #[test]
    fn loads_stay_as_they_are_unless_more_are_wanted() {
        let (_folder, loads) = two_files();
        let pool = Pool::open(&loads, &small(), None, 1).unwrap();
        assert_eq!((pool.len(), pool.real()), (2, 2));
        assert_eq!(pool.window(0).layer(0), [100.0, 200.0, 300.0, 400.0]);
        let first = Pool::open(&loads, &small(), Some(1), 1).unwrap();
        assert_eq!((first.len(), first.real()), (1, 1));
        assert_eq!(first.window(0), pool.window(0));
        assert!(matches!(Pool::open(&loads, &small(), Some(0), 1), Err(LoadsError::NoneWanted)));
    }

    #[test]
    fn derived_windows_follow_the_real_ones_and_are_all_different() {
        let (_folder, loads) = two_files();
        let pool = Pool::open(&loads, &small(), Some(7), 1).unwrap();
        assert_eq!((pool.len(), pool.real()), (7, 2));
        for number in 2..7 {
            assert!((0..number).all(|earlier| pool.window(earlier) != pool.window(number)));
            let total: f64 = pool.window(number).layer(0).iter().sum();
            assert_eq!(total, pool.window(number % 2).layer(0).iter().sum::<f64>());
        }
        // A longer pool begins like a shorter one.
        let longer = Pool::open(&loads, &small(), Some(9), 1).unwrap();
        assert!((0..7).all(|number| pool.window(number) == longer.window(number)));
    }

    #[test]
    fn the_digest_tells_loads_and_seeds_apart() {
        let (_folder, loads) = two_files();
        let digest = |loads: &Loads, wanted, rng_seed| {
            Pool::open(loads, &small(), wanted, rng_seed).unwrap().digest().to_owned()
        };
        assert_eq!(digest(&loads, None, 1), digest(&loads, None, 2));
        assert_eq!(digest(&loads, Some(4), 1), digest(&loads, Some(4), 1));
        assert_ne!(digest(&loads, Some(4), 1), digest(&loads, Some(4), 2));
        assert_ne!(digest(&loads, None, 1), digest(&loads, Some(4), 1));
        assert_ne!(digest(&Loads::MadeUp { rng_seed: 1 }, None, 1), digest(&Loads::MadeUp { rng_seed: 2 }, None, 1));
        assert_eq!(digest(&loads, None, 1).len(), 64);
    }

    #[test]
    fn a_made_up_pool_has_any_number_of_windows_of_its_own() {
        let loads = Loads::MadeUp { rng_seed: 1 };
        assert_eq!(Pool::open(&loads, &small(), None, 1).unwrap().len(), MADE_UP_WINDOWS);
        let pool = Pool::open(&loads, &small(), Some(11), 1).unwrap();
        assert_eq!((pool.len(), pool.real()), (11, 11));
    }
}
