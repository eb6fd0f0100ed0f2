//! Workload: the pool of windows that a run is judged on, prepared once at its start, and split once into those that a
//! search sees and those that are held out from it.
//!
//! On each side the measured (or made-up) windows come first, in order; then fresh ones are derived from them until
//! there are enough to call a case on. Nothing held out is derived from what the search sees, nor
//! the other way round. Window numbers mean the same for every candidate of a run.

use std::ops::Range;

use packevolve_contract::loads::Loads;
use packevolve_contract::stream::{Purpose, stream};
use packevolve_contract::topology::Topology;
use rand::seq::index;
use sha2::{Digest, Sha256};

use crate::made_up::{Series, derived};
use crate::trace;
use crate::window::{LoadsError, Window};

/// Windows that a case is called on where they are made up and their number was left open.
const MADE_UP_WINDOWS: usize = 8;

/// The number from which held-out windows are drawn: far from those of the search, so that the windows of one side do
/// not depend on how many the other has.
const HELD_OUT_FROM: usize = 1 << 32;

/// The number of the stream that splits the windows; no window has it.
const SPLIT: u64 = u64::MAX;

/// How many windows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// For each case of the search; `None`: as many as were read and are not held out.
    pub search: Option<usize>,
    /// For each case, held out.
    pub held_out: usize,
    /// How many cases could do with windows of their own.
    pub cases: usize,
}

/// The windows of a run: first those of the search, then those that are held out.
#[derive(Clone, Debug)]
pub struct Pool {
    windows: Vec<Window>,
    /// How many of them the search sees.
    search: usize,
    search_rounds: usize,
    held_out_rounds: usize,
    real: usize,
    held_out_real: usize,
    digest: String,
}

/// Windows of one side; the first `real` of them were read or made up. Each case is called on so many as `rounds`.
struct Side {
    windows: Vec<Window>,
    rounds: usize,
    real: usize,
}

impl Pool {
    /// Opens `loads` and brings them to what is `wanted`: for each case windows of its own as far as there are so many,
    /// and enough for one case at least.
    ///
    /// Which of the windows that were read are held out is drawn for `rng_seed`: as many as are wanted if there are
    /// enough for both sides, otherwise a share like theirs in all windows, at least one and never the last one. Of the
    /// others the search gets the first ones. Where one case could not be called on so many, derived windows, keyed by
    /// `rng_seed` and the window's number, are added. If no number is wanted, the search gets all that are not held
    /// out, which is at least half of them, or 8 made-up ones a case.
    ///
    /// A single window that was read cannot be split: the search gets it, and what is held out is derived from it; then
    /// [`held_out_real`](Self::held_out_real) is 0. A made-up series never runs out, so nothing is derived from it.
    /// `topology` has passed its [`check`](Topology::check).
    ///
    /// # Errors
    /// What is wrong with the files, see [`LoadsError`].
    pub fn open(loads: &Loads, topology: &Topology, wanted: Wanted, rng_seed: u64) -> Result<Self, LoadsError> {
        if wanted.search == Some(0) {
            return Err(LoadsError::NoneWanted);
        }
        let (search, held_out) = match loads {
            Loads::Path(path) => split(trace::read(path, topology)?, wanted, rng_seed),
            Loads::MadeUp { rng_seed } => made_up(topology, *rng_seed, wanted),
        };
        let digest = digest(&search.windows, &held_out.windows);
        Ok(Self {
            search: search.windows.len(),
            search_rounds: search.rounds,
            held_out_rounds: held_out.rounds,
            real: search.real,
            held_out_real: held_out.real,
            windows: [search.windows, held_out.windows].concat(),
            digest,
        })
    }

    /// How many windows the search has, at least 1: those below this number.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.search
    }

    /// How many of them, the first, were read or made up; the others are derived from those.
    pub fn real(&self) -> usize {
        self.real
    }

    /// Each case is called on so many windows of the search.
    pub fn search_rounds(&self) -> usize {
        self.search_rounds
    }

    /// And on so many of those that are held out.
    pub fn held_out_rounds(&self) -> usize {
        self.held_out_rounds
    }

    /// The numbers of the windows that are held out from the search.
    pub fn held_out(&self) -> Range<usize> {
        self.search..self.windows.len()
    }

    /// How many of them, the first, were read or made up.
    pub fn held_out_real(&self) -> usize {
        self.held_out_real
    }

    /// Window `number`, from 0, of the search or held out.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn window(&self, number: usize) -> &Window {
        &self.windows[number]
    }

    /// The window after `number` on its side.
    pub fn after(&self, number: usize) -> Option<&Window> {
        (number + 1 != self.search).then(|| self.windows.get(number + 1)).flatten()
    }

    /// SHA-256 over shapes and loads, in hex: two runs with the same digest were judged on the same loads. It also
    /// shows where another machine's `exp` or `ln` made a derived window differ.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn made_up(topology: &Topology, rng_seed: u64, wanted: Wanted) -> (Side, Side) {
    let series = Series::new(topology, rng_seed);
    let side = |first: usize, rounds: usize| {
        let windows: Vec<_> = (first..first + rounds * wanted.cases).map(|number| series.window(number)).collect();
        Side { real: windows.len(), rounds, windows }
    };
    (side(0, wanted.search.unwrap_or(MADE_UP_WINDOWS)), side(HELD_OUT_FROM, wanted.held_out))
}

/// Splits the windows that were `read`, of which there is one at least, and fills both sides.
fn split(read: Vec<Window>, wanted: Wanted, rng_seed: u64) -> (Side, Side) {
    let share = read_held_out(read.len(), wanted);
    let drawn = index::sample(&mut stream(rng_seed, SPLIT, Purpose::Loads), read.len(), share).into_vec();
    let (kept, seen): (Vec<_>, Vec<_>) = (0..).zip(read).partition(|(number, _)| drawn.contains(number));
    let windows = |side: Vec<(usize, Window)>| side.into_iter().map(|(_, window)| window).collect::<Vec<_>>();
    let (kept, seen) = (windows(kept), windows(seen));
    let fill = Fill { cases: wanted.cases, rng_seed };
    let held_out = fill.side(kept, &seen, wanted.held_out, HELD_OUT_FROM);
    let rounds = wanted.search.unwrap_or(seen.len());
    (fill.side(seen, &[], rounds, 0), held_out)
}

/// How many of `read` windows are held out.
fn read_held_out(read: usize, Wanted { search, held_out, cases }: Wanted) -> usize {
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

/// How sides are filled.
struct Fill {
    cases: usize,
    rng_seed: u64,
}

impl Fill {
    /// As many of the `real` windows as all cases can do with, filled up with ones derived from them until there are
    /// enough for `rounds` of one case; if there are none, derived from `others`.
    fn side(&self, real: Vec<Window>, others: &[Window], rounds: usize, first_number: usize) -> Side {
        let bases = if real.is_empty() { others } else { &real };
        let fresh = |number: usize| {
            let mut rng = stream(self.rng_seed, (first_number + number) as u64, Purpose::Loads);
            derived(&bases[number % bases.len()], &mut rng)
        };
        let fresh: Vec<_> = (real.len()..rounds).map(fresh).collect();
        let kept = real.len().min(rounds * self.cases);
        Side { rounds, real: kept, windows: real.into_iter().take(kept).chain(fresh).collect() }
    }
}

fn digest(search: &[Window], held_out: &[Window]) -> String {
    let mut hash = Sha256::new();
    add(&mut hash, search);
    if !held_out.is_empty() {
        add(&mut hash, held_out);
    }
    hex::encode(hash.finalize())
}

fn add(hash: &mut Sha256, windows: &[Window]) {
    hash.update((windows.len() as u64).to_le_bytes());
    for window in windows {
        hash.update((window.layers() as u64).to_le_bytes());
        hash.update((window.experts() as u64).to_le_bytes());
        for load in window.counts() {
            hash.update(load.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Of one case.
    fn wanted(search: Option<usize>, held_out: usize) -> Wanted {
        Wanted { search, held_out, cases: 1 }
    }

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
        let pool = Pool::open(&loads, &small(), wanted(None, 0), 1).unwrap();
        assert_eq!((pool.len(), pool.real()), (2, 2));
        assert_eq!(pool.window(0).layer(0), [100.0, 200.0, 300.0, 400.0]);
        let first = Pool::open(&loads, &small(), wanted(Some(1), 0), 1).unwrap();
        assert_eq!((first.len(), first.real()), (1, 1));
        assert_eq!(first.window(0), pool.window(0));
        assert!(matches!(Pool::open(&loads, &small(), wanted(Some(0), 0), 1), Err(LoadsError::NoneWanted)));
    }

    #[test]
    fn derived_windows_follow_the_real_ones_and_are_all_different() {
        let (_folder, loads) = two_files();
        let pool = Pool::open(&loads, &small(), wanted(Some(7), 0), 1).unwrap();
        assert_eq!((pool.len(), pool.real()), (7, 2));
        for number in 2..7 {
            assert!((0..number).all(|earlier| pool.window(earlier) != pool.window(number)));
            let total: f64 = pool.window(number).layer(0).iter().sum();
            assert_eq!(total, pool.window(number % 2).layer(0).iter().sum::<f64>());
        }
        // A longer pool begins like a shorter one.
        let longer = Pool::open(&loads, &small(), wanted(Some(9), 0), 1).unwrap();
        assert!((0..7).all(|number| pool.window(number) == longer.window(number)));
    }

    #[test]
    fn the_digest_tells_loads_and_seeds_apart() {
        let (_folder, loads) = two_files();
        let digest = |loads: &Loads, search, rng_seed| {
            Pool::open(loads, &small(), wanted(search, 0), rng_seed).unwrap().digest().to_owned()
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
        assert_eq!(Pool::open(&loads, &small(), wanted(None, 0), 1).unwrap().len(), MADE_UP_WINDOWS);
        let pool = Pool::open(&loads, &small(), wanted(Some(11), 0), 1).unwrap();
        assert_eq!((pool.len(), pool.real()), (11, 11));
    }

    #[test]
    fn no_window_comes_after_the_last_of_a_side() {
        let pool = Pool::open(&Loads::MadeUp { rng_seed: 1 }, &small(), wanted(Some(2), 2), 1).unwrap();
        assert_eq!((pool.after(0), pool.after(1)), (Some(pool.window(1)), None));
        assert_eq!((pool.after(2), pool.after(3)), (Some(pool.window(3)), None));
    }

    #[test]
    fn the_digest_of_a_pool_without_hold_out_is_what_it_was_before_there_was_one() {
        let (_folder, loads) = two_files();
        let pool = Pool::open(&loads, &small(), wanted(None, 0), 1).unwrap();
        assert_eq!(pool.digest(), "43afe3e86c6326192ec3681b87feec32b793ab84039ed0d6f79c1381d215d854");
        assert_eq!((pool.held_out(), pool.held_out_real()), (2..2, 0));
    }

    fn files(files: usize) -> (tempfile::TempDir, Loads) {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..files {
            let text = format!("{0},{0},{0},{0}\n0,0,0,0\n", 1000 + number);
            fs::write(folder.path().join(format!("{number:02}.csv")), text).unwrap();
        }
        let loads = Loads::Path(folder.path().to_owned());
        (folder, loads)
    }

    #[test]
    fn no_window_of_a_side_is_derived_from_one_of_the_other() {
        let windows: Vec<_> = (0..7).map(|number| Window::new(2, vec![f64::from(1000 + number); 4])).collect();
        let bases = |side: &Side| -> Vec<usize> {
            side.windows.iter().map(|window| window.layer(0).iter().sum::<f64>() as usize / 2 - 1000).collect()
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
        let kept = |rng_seed| {
            let pool = Pool::open(&loads, &small(), wanted(None, 6), rng_seed).unwrap();
            assert_eq!((pool.len(), pool.real(), pool.held_out_real()), (4, 4, 4));
            let read = pool.held_out().take(pool.held_out_real());
            read.map(|number| pool.window(number).layer(0)[0]).collect::<Vec<_>>()
        };
        assert_eq!(kept(1), kept(1));
        assert!((2..9).any(|rng_seed| kept(rng_seed) != kept(1)));
    }

    #[test]
    fn a_single_window_is_the_search_s_and_only_what_is_derived_from_it_is_held_out() {
        let (_folder, loads) = files(1);
        let pool = Pool::open(&loads, &small(), wanted(Some(3), 2), 1).unwrap();
        assert_eq!((pool.real(), pool.held_out_real(), pool.held_out()), (1, 0, 3..5));
        let without = Pool::open(&loads, &small(), wanted(Some(3), 0), 1).unwrap();
        assert!((0..3).all(|number| pool.window(number) == without.window(number)));
        assert_ne!(pool.digest(), without.digest());
    }

    #[test]
    fn made_up_windows_that_are_held_out_change_nothing_for_the_search() {
        let loads = Loads::MadeUp { rng_seed: 1 };
        let without = Pool::open(&loads, &small(), wanted(None, 0), 1).unwrap();
        let pool = Pool::open(&loads, &small(), wanted(None, 3), 1).unwrap();
        assert_eq!((pool.len(), pool.held_out(), pool.held_out_real()), (8, 8..11, 3));
        assert!((0..8).all(|number| pool.window(number) == without.window(number)));
        let shorter = Pool::open(&loads, &small(), wanted(Some(2), 3), 1).unwrap();
        assert!((0..3).all(|number| pool.window(8 + number) == shorter.window(2 + number)));
    }

    #[test]
    fn cases_get_windows_of_their_own_as_far_as_there_are_so_many() {
        let three = |search, held_out| Wanted { search, held_out, cases: 3 };
        let pool = Pool::open(&Loads::MadeUp { rng_seed: 1 }, &small(), three(Some(2), 1), 1).unwrap();
        assert_eq!((pool.len(), pool.search_rounds(), pool.real()), (6, 2, 6));
        assert_eq!((pool.held_out().len(), pool.held_out_rounds()), (3, 1));
        let (_folder, loads) = files(8);
        for (search, held_out, windows, kept, kept_real) in
            [(1, 1, 3, 3, 3), (2, 2, 4, 4, 4), (2, 1, 6, 2, 2), (6, 2, 6, 2, 2), (7, 2, 7, 2, 1)]
        {
            let pool = Pool::open(&loads, &small(), three(Some(search), held_out), 1).unwrap();
            assert_eq!((pool.len(), pool.held_out().len()), (windows, kept), "{search} and {held_out} a case");
            assert_eq!((pool.search_rounds(), pool.held_out_rounds()), (search, held_out));
            assert_eq!((pool.real(), pool.held_out_real()), (windows, kept_real), "{search} and {held_out} a case");
        }
        let all = Pool::open(&loads, &small(), three(None, 0), 1).unwrap();
        assert_eq!((all.len(), all.search_rounds()), (8, 8));
    }
}
