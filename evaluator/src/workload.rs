//! Workload: the pool of windows of a run, prepared once at its start and split once into those that the search sees and
//! those that are held out.
//!
//! Each split begins with the measured (or made-up) windows, in order; windows derived from them follow until there are
//! enough for each case. No window of one split is derived from one of the other. Window numbers mean the same for every
//! candidate of a run.

use std::ops::Range;

use packevolve_contract::stream::{Purpose, Stream, stream};
use packevolve_contract::topology::Topology;
use packevolve_loads::error::LoadsError;
use packevolve_loads::read::read;
use packevolve_loads::recording::Recording;
use packevolve_loads::source::LoadsAt;
use packevolve_loads::window::Window;
use rand::RngExt;
use rand::seq::index;
use sha2::{Digest, Sha256};

use crate::made_up::{Series, derived};
use crate::window::PoolWindow;

/// The number of made-up windows of a case, if none is configured.
const MADE_UP_WINDOWS: usize = 8;

/// The first number that keys held-out windows. It is far from the numbers of the search, so that the windows of one
/// split do not depend on the size of the other.
const HELD_OUT_FROM: usize = 1 << 32;

/// The number that keys the split; no window has it.
const SPLIT: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// For each case of the search; `None`: all windows that were read and are not held out.
    pub search: Option<usize>,
    /// For each case, held out.
    pub held_out: usize,
    /// The number of cases that can use windows of their own, or that of the windows of a chain.
    pub cases: usize,
    /// Whether the windows that are held out are the last ones, and not drawn: chains keep the order of time.
    pub in_order: bool,
}

/// The windows of a run. Numbers count through the search's windows first, then through the held-out ones.
#[derive(Clone, Debug)]
pub struct Pool {
    pub search: Split,
    pub held_out: Split,
    /// SHA-256 over shapes and loads, in hex. Runs with the same digest used the same loads. The digest also reveals
    /// that another machine's `exp` or `ln` made a derived window differ.
    pub digest: String,
    /// What the reader left out or assumed.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Split {
    pub windows: Vec<Window>,
    /// The number of windows on which each case is called.
    pub rounds: usize,
    /// How many of the windows, the first ones, were read or made up; the others are derived.
    pub real: usize,
}

impl Pool {
    /// Reads the windows of the files, or makes up windows if there are none, splits them, and fills each split to the wanted size. Each case gets windows of
    /// its own as far as there are enough.
    ///
    /// `loads_seed` draws which of the windows that were read are held out: the wanted number if there are enough for both
    /// splits; otherwise a proportional share, at least one and never the last one. A split with fewer windows than
    /// rounds is filled with derived windows. If `size.search` is `None`, the search gets all windows that are not held
    /// out, at least half of them, or [`MADE_UP_WINDOWS`] for each case.
    ///
    /// A single window cannot be split: the search gets it, and the held-out windows are derived from it (`real` is 0).
    /// `topology` has passed its [`check`](Topology::check).
    pub fn open(
        loads: Option<&[LoadsAt]>,
        topology: &Topology,
        size: PoolSize,
        loads_seed: u64,
    ) -> Result<Self, LoadsError> {
        if size.search == Some(0) {
            return Err(LoadsError::NoWindows);
        }
        let ((search, held_out), notes) = match loads {
            Some(files) => {
                let Recording { windows, notes, .. } = read(files, Some(topology))?;
                (split(windows, size, loads_seed), notes.iter().map(ToString::to_string).collect())
            }
            None => (made_up(topology, loads_seed, size), Vec::new()),
        };
        let digest = digest(&search.windows, &held_out.windows);
        Ok(Self { search, held_out, digest, notes })
    }

    #[allow(clippy::len_without_is_empty)] // it is never empty
    pub fn len(&self) -> usize {
        self.search.windows.len() + self.held_out.windows.len()
    }

    /// The numbers of the search's windows.
    pub fn of_search(&self) -> Range<usize> {
        0..self.search.windows.len()
    }

    /// The numbers of the held-out windows.
    pub fn of_held_out(&self) -> Range<usize> {
        self.search.windows.len()..self.len()
    }

    /// The numbers of the windows on which whole rebalances are measured, one after the other.
    pub fn of_rebalances(&self) -> Range<usize> {
        let (windows, rounds) = if self.held_out.windows.is_empty() {
            (self.of_search(), self.search.rounds)
        } else {
            (self.of_held_out(), self.held_out.rounds)
        };
        windows.start..windows.start + rounds
    }

    /// Window `number`, and the window after it in its split.
    pub fn window(&self, number: usize) -> PoolWindow<'_> {
        let first = self.search.windows.len();
        let (split, at) = if number < first { (&self.search, number) } else { (&self.held_out, number - first) };
        PoolWindow { number, now: &split.windows[at], next: split.windows.get(at + 1) }
    }

    /// A window that is none of the run, derived from one of the search, for calls that are not scored.
    pub fn unscored_window(&self, rng: &mut Stream) -> Window {
        one_derived_from(&self.search.windows, rng)
    }

    /// Window `number` of the duel with this `seed`, derived from a held-out window, or from one of the search if there are
    /// none. It depends on both alone.
    pub fn duel_window(&self, seed: u64, number: usize) -> Window {
        let bases = if self.held_out.windows.is_empty() { &self.search.windows } else { &self.held_out.windows };
        one_derived_from(bases, &mut stream(seed, number as u64, Purpose::DuelLoads))
    }
}

fn one_derived_from(bases: &[Window], rng: &mut Stream) -> Window {
    derived(&bases[rng.random_range(0..bases.len())], rng)
}

fn made_up(topology: &Topology, loads_seed: u64, size: PoolSize) -> (Split, Split) {
    let series = Series::new(topology, loads_seed);
    let split = |first: usize, rounds: usize| {
        let windows: Vec<_> = (first..first + rounds * size.cases).map(|number| series.window(number)).collect();
        Split { real: windows.len(), rounds, windows }
    };
    (split(0, size.search.unwrap_or(MADE_UP_WINDOWS)), split(HELD_OUT_FROM, size.held_out))
}

/// Splits the windows that were `read`, at least one, and fills both splits.
fn split(read: Vec<Window>, size: PoolSize, loads_seed: u64) -> (Split, Split) {
    let share = read_held_out(read.len(), size);
    let drawn = match size.in_order {
        true => (read.len() - share..read.len()).collect(),
        false => index::sample(&mut stream(loads_seed, SPLIT, Purpose::Loads), read.len(), share).into_vec(),
    };
    let (kept, seen): (Vec<_>, Vec<_>) = (0..).zip(read).partition(|(number, _)| drawn.contains(number));
    let windows = |split: Vec<(usize, Window)>| split.into_iter().map(|(_, window)| window).collect::<Vec<_>>();
    let (kept, seen) = (windows(kept), windows(seen));
    // Fills a split with windows derived from its own, or from `others` if it has none.
    let fill = |mut windows: Vec<Window>, others: &[Window], rounds: usize, first_number: usize| {
        let bases = if windows.is_empty() { others } else { &windows };
        let fresh = |number: usize| {
            let mut rng = stream(loads_seed, (first_number + number) as u64, Purpose::Loads);
            derived(&bases[number % bases.len()], &mut rng)
        };
        let fresh: Vec<_> = (windows.len()..rounds).map(fresh).collect();
        windows.truncate(rounds * size.cases);
        let real = windows.len();
        windows.extend(fresh);
        Split { windows, rounds, real }
    };
    let held_out = fill(kept, &seen, size.held_out, HELD_OUT_FROM);
    let rounds = size.search.unwrap_or(if size.in_order { seen.len().div_ceil(size.cases) } else { seen.len() });
    (fill(seen, &[], rounds, 0), held_out)
}

/// How many of `read` windows are held out.
fn read_held_out(read: usize, PoolSize { search, held_out, cases, .. }: PoolSize) -> usize {
    let (search, held_out) = (search.map(|rounds| rounds * cases), held_out * cases);
    if held_out == 0 || read < 2 {
        return 0;
    }
    match search {
        Some(search) if search + held_out <= read => held_out,
        Some(search) => (read * held_out / (search + held_out)).clamp(1, read - 1),
        None => held_out.min(read / 2),
    }
}

fn digest(search: &[Window], held_out: &[Window]) -> String {
    let mut hash = Sha256::new();
    for windows in [search, held_out].into_iter().filter(|windows| !windows.is_empty()) {
        hash.update((windows.len() as u64).to_le_bytes());
        for window in windows {
            hash.update((window.layers as u64).to_le_bytes());
            hash.update((window.experts as u64).to_le_bytes());
            window.counts.iter().for_each(|load| hash.update(load.to_le_bytes()));
        }
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// For one case.
    fn wanted(search: Option<usize>, held_out: usize) -> PoolSize {
        PoolSize { search, held_out, cases: 1, in_order: false }
    }

    fn small() -> Topology {
        Topology { layers: 2, experts: 4, groups: 2, nodes: 1, gpus: 2, replicas: 4 }
    }

    /// The files of a folder.
    fn listed(folder: &tempfile::TempDir) -> Vec<LoadsAt> {
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<LoadsAt> = entries.map(|path| LoadsAt { name: path.clone(), at: path }).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    fn two_files() -> (tempfile::TempDir, Vec<LoadsAt>) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.csv"), "100,200,300,400\n0,0,0,0\n").unwrap();
        fs::write(folder.path().join("2.csv"), "1000,1000,1000,1000\n5,6,7,8\n").unwrap();
        let loads = listed(&folder);
        (folder, loads)
    }

    #[test]
    fn loads_stay_as_they_are_unless_more_are_wanted() {
        let (_folder, loads) = two_files();
        let pool = Pool::open(Some(&loads), &small(), wanted(None, 0), 1).unwrap();
        assert_eq!((pool.search.windows.len(), pool.search.real), (2, 2));
        assert_eq!(pool.window(0).now.layer(0), [100.0, 200.0, 300.0, 400.0]);
        let first = Pool::open(Some(&loads), &small(), wanted(Some(1), 0), 1).unwrap();
        assert_eq!((first.search.windows.len(), first.search.real), (1, 1));
        assert_eq!(first.window(0).now, pool.window(0).now);
        assert!(matches!(Pool::open(Some(&loads), &small(), wanted(Some(0), 0), 1), Err(LoadsError::NoWindows)));
    }

    #[test]
    fn derived_windows_follow_the_real_ones_and_are_all_different() {
        let (_folder, loads) = two_files();
        let pool = Pool::open(Some(&loads), &small(), wanted(Some(7), 0), 1).unwrap();
        assert_eq!((pool.search.windows.len(), pool.search.real), (7, 2));
        for number in 2..7 {
            assert!((0..number).all(|earlier| pool.window(earlier).now != pool.window(number).now));
            let total: f64 = pool.window(number).now.layer(0).iter().sum();
            assert_eq!(total, pool.window(number % 2).now.layer(0).iter().sum::<f64>());
        }
        // A longer pool begins like a shorter one.
        let longer = Pool::open(Some(&loads), &small(), wanted(Some(9), 0), 1).unwrap();
        assert!((0..7).all(|number| pool.window(number).now == longer.window(number).now));
    }

    #[test]
    fn the_digest_tells_loads_and_seeds_apart() {
        let (_folder, loads) = two_files();
        let digest = |loads: Option<&[LoadsAt]>, search, loads_seed| {
            Pool::open(loads, &small(), wanted(search, 0), loads_seed).unwrap().digest
        };
        assert_eq!(digest(Some(&loads), None, 1), digest(Some(&loads), None, 2));
        assert_eq!(digest(Some(&loads), Some(4), 1), digest(Some(&loads), Some(4), 1));
        assert_ne!(digest(Some(&loads), Some(4), 1), digest(Some(&loads), Some(4), 2));
        assert_ne!(digest(Some(&loads), None, 1), digest(Some(&loads), Some(4), 1));
        assert_ne!(digest(None, None, 1), digest(None, None, 2));
        assert_eq!(digest(Some(&loads), None, 1).len(), 64);
    }

    #[test]
    fn a_made_up_pool_has_any_number_of_windows_of_its_own() {
        assert_eq!(Pool::open(None, &small(), wanted(None, 0), 1).unwrap().search.windows.len(), MADE_UP_WINDOWS);
        let pool = Pool::open(None, &small(), wanted(Some(11), 0), 1).unwrap();
        assert_eq!((pool.search.windows.len(), pool.search.real), (11, 11));
    }

    #[test]
    fn no_window_comes_after_the_last_of_a_split() {
        let pool = Pool::open(None, &small(), wanted(Some(2), 2), 1).unwrap();
        assert_eq!((pool.window(0).next, pool.window(1).next), (Some(pool.window(1).now), None));
        assert_eq!((pool.window(2).next, pool.window(3).next), (Some(pool.window(3).now), None));
    }

    #[test]
    fn the_digest_of_a_pool_without_hold_out_is_what_it_was_before_there_was_one() {
        let (_folder, loads) = two_files();
        let pool = Pool::open(Some(&loads), &small(), wanted(None, 0), 1).unwrap();
        assert_eq!(pool.digest, "43afe3e86c6326192ec3681b87feec32b793ab84039ed0d6f79c1381d215d854");
        assert_eq!((pool.of_held_out(), pool.held_out.real), (2..2, 0));
    }

    fn files(files: usize) -> (tempfile::TempDir, Vec<LoadsAt>) {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..files {
            let text = format!("{0},{0},{0},{0}\n0,0,0,0\n", 1000 + number);
            fs::write(folder.path().join(format!("{number:02}.csv")), text).unwrap();
        }
        let loads = listed(&folder);
        (folder, loads)
    }

    #[test]
    fn no_window_of_a_split_is_derived_from_one_of_the_other() {
        let windows: Vec<_> = (0..7).map(|number| Window::new(2, vec![f64::from(1000 + number); 4])).collect();
        let bases = |split: &Split| -> Vec<usize> {
            split.windows.iter().map(|window| window.layer(0).iter().sum::<f64>() as usize / 2 - 1000).collect()
        };
        let searches = (0..9).map(|search| (search > 0).then_some(search));
        for (read, search, held_out) in (2..8)
            .flat_map(|read| searches.clone().map(move |search| (read, search)))
            .flat_map(|(read, search)| (1..9).map(move |held_out| (read, search, held_out)))
        {
            let asked = format!("{read} read, {search:?} and {held_out} wanted");
            let (seen, kept) = split(windows[..read].to_vec(), wanted(search, held_out), 1);
            assert_eq!(seen.windows.len(), search.unwrap_or(seen.real), "{asked}");
            assert_eq!(kept.windows.len(), held_out, "{asked}");
            assert!(seen.real >= 1 && kept.real >= 1, "{asked}");
            if let Some(search) = search {
                assert_eq!(seen.real + kept.real, read.min(search + held_out), "{asked}");
            }
            let (of_seen, of_kept) = (bases(&seen), bases(&kept));
            assert!(of_seen.iter().all(|base| !of_kept.contains(base)), "{asked}: {of_seen:?} and {of_kept:?}");
            assert!(of_seen[..seen.real].is_sorted() && of_kept[..kept.real].is_sorted(), "{asked}");
            assert!((0..seen.real).all(|number| seen.windows[number] == windows[of_seen[number]]), "{asked}");
            assert!((0..kept.real).all(|number| kept.windows[number] == windows[of_kept[number]]), "{asked}");
            let all = [seen.windows, kept.windows].concat();
            assert!((0..all.len()).all(|one| !all[..one].contains(&all[one])), "{asked}");
        }
    }

    #[test]
    fn the_split_follows_the_seed_and_half_of_the_windows_stay_if_no_number_is_wanted() {
        let (_folder, loads) = files(8);
        let kept = |loads_seed| {
            let pool = Pool::open(Some(&loads), &small(), wanted(None, 6), loads_seed).unwrap();
            assert_eq!((pool.search.windows.len(), pool.search.real, pool.held_out.real), (4, 4, 4));
            let read = pool.of_held_out().take(pool.held_out.real);
            read.map(|number| pool.window(number).now.layer(0)[0]).collect::<Vec<_>>()
        };
        assert_eq!(kept(1), kept(1));
        assert!((2..9).any(|loads_seed| kept(loads_seed) != kept(1)));
    }

    #[test]
    fn a_single_window_is_the_search_s_and_only_what_is_derived_from_it_is_held_out() {
        let (_folder, loads) = files(1);
        let pool = Pool::open(Some(&loads), &small(), wanted(Some(3), 2), 1).unwrap();
        assert_eq!((pool.search.real, pool.held_out.real, pool.of_held_out()), (1, 0, 3..5));
        let without = Pool::open(Some(&loads), &small(), wanted(Some(3), 0), 1).unwrap();
        assert!((0..3).all(|number| pool.window(number).now == without.window(number).now));
        assert_ne!(pool.digest, without.digest);
    }

    #[test]
    fn made_up_windows_that_are_held_out_change_nothing_for_the_search() {
        let without = Pool::open(None, &small(), wanted(None, 0), 1).unwrap();
        let pool = Pool::open(None, &small(), wanted(None, 3), 1).unwrap();
        assert_eq!((pool.search.windows.len(), pool.of_held_out(), pool.held_out.real), (8, 8..11, 3));
        assert!((0..8).all(|number| pool.window(number).now == without.window(number).now));
        let shorter = Pool::open(None, &small(), wanted(Some(2), 3), 1).unwrap();
        assert!((0..3).all(|number| pool.window(8 + number).now == shorter.window(2 + number).now));
    }

    #[test]
    fn the_windows_of_a_duel_follow_its_seed_and_come_from_the_held_out_ones() {
        let (_folder, loads) = files(8);
        let pool = Pool::open(Some(&loads), &small(), wanted(Some(2), 2), 1).unwrap();
        let window = |seed, number| pool.duel_window(seed, number);
        assert_eq!(window(7, 0), window(7, 0));
        assert!(window(7, 0) != window(7, 1) && window(7, 0) != window(8, 0));
        assert!((0..pool.len()).all(|known| *pool.window(known).now != window(7, 0)));
        // A derived window keeps the totals of its layers.
        let totals = |window: &Window| (0..2).map(|layer| window.layer(layer).iter().sum::<f64>()).collect::<Vec<_>>();
        let held_out: Vec<_> = pool.of_held_out().map(|known| totals(pool.window(known).now)).collect();
        assert!((0..20).all(|number| held_out.contains(&totals(&window(7, number)))));
    }

    #[test]
    fn cases_get_windows_of_their_own_while_there_are_enough() {
        let three = |search, held_out| PoolSize { search, held_out, cases: 3, in_order: false };
        let pool = Pool::open(None, &small(), three(Some(2), 1), 1).unwrap();
        assert_eq!((pool.search.windows.len(), pool.search.rounds, pool.search.real), (6, 2, 6));
        assert_eq!((pool.held_out.windows.len(), pool.held_out.rounds), (3, 1));
        let (_folder, loads) = files(8);
        for (search, held_out, windows, kept, kept_real) in
            [(1, 1, 3, 3, 3), (2, 2, 4, 4, 4), (2, 1, 6, 2, 2), (6, 2, 6, 2, 2), (7, 2, 7, 2, 1)]
        {
            let pool = Pool::open(Some(&loads), &small(), three(Some(search), held_out), 1).unwrap();
            assert_eq!(
                (pool.search.windows.len(), pool.held_out.windows.len()),
                (windows, kept),
                "{search} and {held_out} a case"
            );
            assert_eq!((pool.search.rounds, pool.held_out.rounds), (search, held_out));
            assert_eq!((pool.search.real, pool.held_out.real), (windows, kept_real), "{search} and {held_out} a case");
        }
        let all = Pool::open(Some(&loads), &small(), three(None, 0), 1).unwrap();
        assert_eq!((all.search.windows.len(), all.search.rounds), (8, 8));
    }
}
