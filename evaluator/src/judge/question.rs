//! Question: a call of the check of consistency, with the answers of the child that is measured and of another one.

use std::time::Duration;

use packevolve_contract::case::Case;

use crate::call::{Call, Returned};
use crate::child::Child;
use crate::error::Halt;
use crate::rows::Rows;

/// All calls of one kind together should take no longer than this. Each kind gets what the kinds before it left.
pub(super) const PASS: Duration = Duration::from_millis(60);
/// How many rows of a case are packed alone.
const SINGLE_ROWS: usize = 4;

/// `pack_index` and `rank_in_pack`.
pub(super) type Answer = [Vec<i64>; 2];

/// A call of a case, and how it was answered.
pub(super) struct Question {
    pub case: usize,
    /// Of the case.
    pub name: String,
    pub rows: Rows,
    pub packs: usize,
    /// The seed of the call in the first child, and another one.
    pub seeds: [u32; 2],
    /// The answer of the first child, once it was asked.
    pub here: Answer,
    /// The answer of the other child, if it was asked.
    pub there: Option<Answer>,
    /// For each row whether the other child packs it in another way than the first one; `None` if it was not asked.
    pub elsewhere: Vec<Option<bool>>,
    /// For each row whether it is packed in another way than `there` if other rows are packed with it; `None` if that was
    /// not asked.
    pub among_others: Vec<Option<bool>>,
}

/// The wall time of the calls so far.
#[derive(Default)]
pub(super) struct Spent(pub Duration);

impl Spent {
    /// Whether the time of that many passes is used up.
    pub fn exceeds(&self, passes: u32) -> bool {
        self.0 >= PASS * passes
    }
}

impl Question {
    /// Not answered yet.
    pub fn new((case, of_case): (usize, &Case), rows: Rows, seeds: [u32; 2]) -> Self {
        Self {
            case,
            name: of_case.to_string(),
            packs: of_case.packs,
            seeds,
            here: Answer::default(),
            there: None,
            elsewhere: vec![None; rows.rows],
            among_others: vec![None; rows.rows],
            rows,
        }
    }

    pub fn call(&self) -> Call {
        Call { rows: self.rows.rows, items: self.rows.items, packs: self.packs, seed: self.seeds[0].into() }
    }

    pub fn in_order(&self) -> Vec<usize> {
        (0..self.rows.rows).collect()
    }

    /// Has a child pack some of the rows, in that order.
    pub fn ask(&self, child: &mut Child, rows: &[usize], seed: u32) -> Result<Returned, Halt> {
        let weights: Vec<f32> = rows.iter().flat_map(|&row| self.rows.row(row)).map(|&weight| weight as f32).collect();
        child.call(Call { rows: rows.len(), seed: seed.into(), ..self.call() }, &weights)
    }

    /// Whether two answers differ, the one in one row, the other in another.
    pub fn differs(&self, [one, other]: [&Answer; 2], [at, row]: [usize; 2]) -> bool {
        let items = self.rows.items;
        one.iter().zip(other).any(|(one, other)| one[at * items..][..items] != other[row * items..][..items])
    }

    /// Has a child pack some of the rows, which were packed `there` with others or in another order.
    fn ask_again(&mut self, child: &mut Child, rows: &[usize], spent: &mut Spent) -> Result<(), Halt> {
        let Some(known) = &self.there else { return Ok(()) };
        let answer = match self.ask(child, rows, self.seeds[1]) {
            Ok(returned) => {
                spent.0 += returned.wall;
                returned.outputs.arrays
            }
            Err(halt) => {
                rows.iter().for_each(|&row| self.among_others[row] = Some(true));
                return Err(halt);
            }
        };
        for (at, &row) in rows.iter().enumerate() {
            let differs = self.differs([&answer, known], [at, row]);
            self.among_others[row] = Some(self.among_others[row] == Some(true) || differs);
        }
        Ok(())
    }
}

/// Asks the other child what the first one was asked.
pub(super) fn ask_elsewhere(child: &mut Child, questions: &mut [Question], spent: &mut Spent) -> Result<(), Halt> {
    for (place, question) in questions.iter_mut().enumerate() {
        if place > 0 && spent.exceeds(2) {
            break;
        }
        let order = question.in_order();
        // If the call fails, this stays.
        question.elsewhere.fill(Some(true));
        let returned = question.ask(child, &order, question.seeds[1])?;
        spent.0 += returned.wall;
        let answer = returned.outputs.arrays;
        question.elsewhere =
            order.iter().map(|&row| Some(question.differs([&question.here, &answer], [row; 2]))).collect();
        question.there = Some(answer);
    }
    Ok(())
}

/// Has a child pack the rows in reversed order: at once if calls must keep their shape, or in two halves.
pub(super) fn ask_in_reverse(
    child: &mut Child,
    questions: &mut [Question],
    spent: &mut Spent,
    keeps_shape: bool,
) -> Result<(), Halt> {
    for (place, question) in questions.iter_mut().enumerate().filter(|(_, question)| question.rows.rows > 1) {
        let reversed: Vec<usize> = question.in_order().into_iter().rev().collect();
        let parts = if keeps_shape { 1 } else { 2 };
        for (number, part) in reversed.chunks(reversed.len().div_ceil(parts)).enumerate() {
            if (place, number) != (0, 0) && spent.exceeds(3) {
                return Ok(());
            }
            question.ask_again(child, part, spent)?;
        }
    }
    Ok(())
}

/// Has a child pack some rows alone. A half of two rows is already one.
pub(super) fn ask_alone(child: &mut Child, questions: &mut [Question], spent: &mut Spent) -> Result<(), Halt> {
    for question in questions.iter_mut().filter(|question| question.rows.rows > 2) {
        let rows = question.rows.rows;
        let singles = SINGLE_ROWS.min(rows);
        for row in (0..singles).map(|single| (2 * single + 1) * rows / (2 * singles)) {
            if spent.exceeds(4) {
                return Ok(());
            }
            question.ask_again(child, &[row], spent)?;
        }
    }
    Ok(())
}

/// How many rows differ, of how many that were compared; `None` if none differs.
pub(super) fn figures(rows: &[Option<bool>]) -> Option<(usize, usize)> {
    let differing = rows.iter().filter(|row| **row == Some(true)).count();
    (differing > 0).then(|| (differing, rows.iter().flatten().count()))
}
