//! Steps: recorded steps become windows, one each while they fit into memory; beyond that neighbours are summed. Rows
//! without any load were never filled by the recorder and are dropped.

use crate::recording::Timed;
use crate::window::Window;

/// The most loads that a part holds, half a gigabyte of them.
const MOST_HELD: usize = 1 << 26;

#[derive(Debug)]
pub struct Steps {
    /// Windows before and after the first gap of rows without load.
    lanes: [Vec<Timed>; 2],
    lane: usize,
    rows: usize,
    empty: usize,
    /// The first row was empty.
    begins_empty: bool,
    /// The last row was empty.
    ends_empty: bool,
    /// There are more gaps than a ring that was filled once has.
    is_broken: bool,
    per_window: usize,
    held: usize,
    most: usize,
}

/// Whether rows are those of a ring, which begins anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ring,
    /// As in the file.
    AsWritten,
}

impl Default for Steps {
    fn default() -> Self {
        Self::holding(MOST_HELD)
    }
}

impl Steps {
    fn holding(most: usize) -> Self {
        Self {
            lanes: [Vec::new(), Vec::new()],
            lane: 0,
            rows: 0,
            empty: 0,
            begins_empty: false,
            ends_empty: false,
            is_broken: false,
            per_window: 1,
            held: 0,
            most,
        }
    }

    /// Adds a row `[layers, experts]`; all rows have the same shape.
    pub fn add(&mut self, row: Window, pass: Option<i64>) {
        let is_empty = row.counts.iter().all(|load| *load == 0.0);
        self.begins_empty |= self.rows == 0 && is_empty;
        self.rows += 1;
        if is_empty {
            self.empty += 1;
            self.ends_empty = true;
            return;
        }
        if self.ends_empty && !self.lanes[self.lane].is_empty() {
            if self.lane == 1 {
                self.is_broken = true;
            }
            self.lane = 1;
        }
        self.ends_empty = false;
        self.put(Timed { window: row, steps: 1, passes: pass.map(|pass| (pass, pass)) });
        while self.held > self.most && self.lanes.iter().any(|lane| lane.len() > 1) {
            self.sum_neighbours();
        }
    }

    fn put(&mut self, row: Timed) {
        match self.lanes[self.lane].last_mut() {
            Some(last) if last.steps < self.per_window => join(last, &row),
            _ => {
                self.held += row.window.counts.len();
                self.lanes[self.lane].push(row);
            }
        }
    }

    fn sum_neighbours(&mut self) {
        self.per_window *= 2;
        self.held = 0;
        for lane in &mut self.lanes {
            let mut summed: Vec<Timed> = Vec::with_capacity(lane.len().div_ceil(2));
            for row in std::mem::take(lane) {
                match summed.last_mut() {
                    Some(last) if last.steps + row.steps <= self.per_window => join(last, &row),
                    _ => summed.push(row),
                }
            }
            self.held += summed.iter().map(|row| row.window.counts.len()).sum::<usize>();
            *lane = summed;
        }
    }

    /// The windows, and notes on what became of the rows.
    pub fn finish(self, order: Order) -> (Vec<Timed>, Vec<String>) {
        let Self {
            rows, empty, per_window, begins_empty, ends_empty, is_broken, lanes: [mut first, mut second], ..
        } = self;
        let mut notes = Vec::new();
        if empty > 0 {
            notes.push(format!("{empty} of {rows} rows have no load and are dropped"));
        }
        if per_window > 1 {
            notes.push(format!("{rows} rows are too many to hold: up to {per_window} of them are summed in a window"));
        }
        let has_gap = !second.is_empty();
        match order {
            Order::Ring if has_gap && !is_broken && !begins_empty && !ends_empty => {
                notes.push("the recorder's ring ends inside the file: its rows are put in the order of recording".into());
                second.append(&mut first);
                return (second, notes);
            }
            Order::Ring if rows > 1 && empty == 0 => notes.push(
                "every row of the recorder's ring is filled: the file does not tell which is the first, and the order of \
                 windows may be another"
                    .into(),
            ),
            _ if has_gap => notes.push(
                "rows without load stand between others: the file does not tell the order of rows, and that of windows \
                 may be another"
                    .into(),
            ),
            _ => {}
        }
        first.append(&mut second);
        (first, notes)
    }
}

fn join(sum: &mut Timed, row: &Timed) {
    sum.window.counts.iter_mut().zip(&row.window.counts).for_each(|(sum, load)| *sum += load);
    sum.steps += row.steps;
    sum.passes = sum.passes.zip(row.passes).map(|((first, _), (_, last))| (first, last));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(rows: &[i64], most: usize) -> Steps {
        let mut steps = Steps::holding(most);
        rows.iter().for_each(|load| steps.add(Window::new(1, vec![*load as f64]), Some(*load)));
        steps
    }

    fn loads(windows: &[Timed]) -> Vec<f64> {
        windows.iter().map(|timed| timed.window.counts[0]).collect()
    }

    #[test]
    fn rows_that_were_never_filled_are_dropped_wherever_they_stand() {
        for (rows, wanted, has_order) in [
            (&[1, 2, 3, 0, 0][..], &[1.0, 2.0, 3.0][..], true),
            (&[0, 0, 1, 2], &[1.0, 2.0], true),
            (&[0, 1, 2, 0], &[1.0, 2.0], true),
            (&[3, 0, 0, 1, 2], &[1.0, 2.0, 3.0], true),
            (&[1, 2], &[1.0, 2.0], false),
            (&[1, 0, 2, 0], &[1.0, 2.0], false),
            (&[1, 0, 2, 0, 3], &[1.0, 2.0, 3.0], false),
            (&[1], &[1.0], true),
            (&[0, 0], &[], true),
        ] {
            let (windows, notes) = steps(rows, 100).finish(Order::Ring);
            assert_eq!(loads(&windows), wanted, "{rows:?}");
            assert_eq!(!notes.iter().any(|note| note.contains("does not tell")), has_order, "{rows:?}: {notes:?}");
            assert_eq!(notes.iter().any(|note| note.contains("dropped")), rows.contains(&0), "{rows:?}: {notes:?}");
        }
    }

    #[test]
    fn rows_that_are_no_ring_stay_in_order() {
        let (windows, notes) = steps(&[3, 0, 1], 100).finish(Order::AsWritten);
        assert_eq!(loads(&windows), [3.0, 1.0]);
        assert!(notes[1].contains("does not tell the order"), "{notes:?}");
        assert_eq!(steps(&[3, 1], 100).finish(Order::AsWritten).1, Vec::<String>::new());
    }

    #[test]
    fn neighbours_are_summed_where_there_are_too_many_and_nothing_is_lost() {
        let rows: Vec<i64> = (1..=11).collect();
        let (windows, notes) = steps(&rows, 3).finish(Order::AsWritten);
        assert_eq!(loads(&windows), [10.0, 26.0, 30.0]);
        assert_eq!(windows[1].passes, Some((5, 8)));
        assert_eq!((windows[1].steps, windows[2].steps), (4, 3));
        assert_eq!(notes, ["11 rows are too many to hold: up to 4 of them are summed in a window"]);
        // Not even where each row stands alone.
        let rows: Vec<i64> = (1..=12).flat_map(|load| [load, 0]).collect();
        let (windows, _) = steps(&rows, 3).finish(Order::Ring);
        assert!(windows.len() <= 4 && loads(&windows).iter().sum::<f64>() == 78.0, "{windows:?}");
    }
}
