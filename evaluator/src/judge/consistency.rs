//! Consistency: whether a program answers alike in every process, and packs each row alike beside any other rows.
//!
//! Every rank of an inference engine plans for itself, and ranks that differ corrupt the model's output. So after the
//! first round the program answers one more call of each case, on loads that are in no window of the run and have many
//! ties. Then another child answers the same call, and the first one that was scored, with everything different that must
//! make no difference: the hash seed of Python, the vector instructions of torch and NumPy, the number of threads and the
//! seed of the generators. A third child packs the rows in reversed order in two halves, and some of them alone. A row is
//! packed differently if the pack of an item differs, or its place in the pack: engines number their slots by both.
//!
//! If the answers differ elsewhere, [`switches`](crate::judge::switches) finds the setting that matters.
//!
//! The number of rows follows from the times of the first round: a fast program is checked on all rows of all cases, a
//! slow one on a few rows of the cases that cost least. One that is slow on any two rows is asked three calls at least.
//! Where programs may compile, a call of another shape may need a compiler, so the other child answers the smallest case
//! only, once in order and once reversed.

use std::collections::BTreeSet;

use packevolve_contract::case::Case;
use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;

use crate::call::Call;
use crate::child::Child;
use crate::error::{Halt, JudgeError};
use crate::judge::progress::{Progress, Scored};
use crate::judge::question::{PASS, Question, Spent, ask_alone, ask_elsewhere, ask_in_reverse, figures};
use crate::judge::session::Judge;
use crate::judge::warm_up::{COMPILING_CALLS, first_weights};
use crate::kernels::Kernels;
use crate::nursery::Nursery;
use crate::rows::{Items, Permutation, Rows};
use crate::window::PoolWindow;

/// How many items of a row in which ties are made weigh as much as the item before them: about as many as replication
/// gives.
const TIES: f64 = 0.25;

/// What a call of a case costs.
#[derive(Clone, Copy)]
struct Cost {
    case: usize,
    rows: usize,
    row_seconds: f64,
}

impl Judge {
    /// The ways in which the program is inconsistent. What fails in another child is one, what fails in its own a
    /// rejection.
    pub(super) fn inconsistencies(
        &mut self,
        progress: &mut Progress<'_>,
        candidate: u64,
    ) -> Result<Vec<Inconsistency>, Halt> {
        let mut questions = self.questions(progress, candidate);
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let mut spent = Spent::default();
        self.ask_here(progress, &mut questions, &mut spent)?;
        let calls: Vec<Call> = questions.iter().map(Question::call).collect();
        let keeps_shape = self.session.allow_compile;
        let bytes = bytes_of(&calls);
        // What the first of these children compiles, before it is asked, serves the second one.
        let mut kernels = self.kernels_of(progress.program.text)?;
        let asked = self.in_another_child(progress, &mut kernels, bytes, self.switches(), |child, nursery, kernels| {
            warm_up(child, nursery, kernels, &calls)?;
            ask_elsewhere(child, &mut questions, &mut spent)?;
            if keeps_shape { ask_in_reverse(child, &mut questions, &mut spent, true) } else { Ok(()) }
        });
        if asked.is_ok() {
            self.keep_kernels(progress.program.is_of_blocks, &kernels)?;
        }
        match asked {
            Err(Halt::Broken(error)) => return Err(error.into()),
            // It did not get as far as its first call.
            Err(Halt::Rejected { .. }) if questions.iter().all(|question| question.elsewhere[0].is_none()) => {
                questions[0].elsewhere.fill(Some(true));
            }
            _ => {}
        }
        if !keeps_shape {
            // A third child, which has not packed the rows together and so cannot repeat what it answered then.
            let asked =
                self.in_another_child(progress, &mut kernels, bytes, self.switches(), |child, nursery, kernels| {
                    warm_up(child, nursery, kernels, &calls)?;
                    ask_in_reverse(child, &mut questions, &mut spent, false)?;
                    ask_alone(child, &mut questions, &mut spent)
                });
            if let Err(Halt::Broken(error)) = asked {
                return Err(error.into());
            }
        }
        self.slot.interrupt();
        questions.sort_by_key(|question| question.case);
        self.report(progress, &questions)
    }

    fn report(&mut self, progress: &mut Progress<'_>, questions: &[Question]) -> Result<Vec<Inconsistency>, Halt> {
        let differing: Vec<&Question> =
            questions.iter().filter(|question| figures(&question.elsewhere).is_some()).collect();
        let mut differs_by =
            |judge: &mut Self, progress: &mut Progress<'_>, switch| judge.differs_by(progress, &differing, switch);
        let mut switches = self.find_switches(progress, differing.len(), &mut differs_by)?.into_iter();
        let (mut found, mut known) = (Vec::new(), BTreeSet::new());
        for question in questions {
            let case = || question.name.clone();
            if let Some((rows, of)) = figures(&question.elsewhere) {
                let switch = switches.next().expect("BUG: a switch for each case that differs");
                let is_new = known.insert((question.case, "elsewhere"));
                found.extend(is_new.then(|| Inconsistency::Elsewhere { case: case(), switch, rows, of }));
            }
            if let Some((rows, of)) = figures(&question.among_others) {
                let is_new = known.insert((question.case, "rows"));
                found.extend(is_new.then(|| Inconsistency::Rows { case: case(), rows, of }));
            }
        }
        Ok(found)
    }

    /// The calls of the check, the cheapest first.
    fn questions(&self, progress: &Progress<'_>, candidate: u64) -> Vec<Question> {
        let cases = &self.session.cases;
        let seconds = progress.measurement.cases.iter().map(|case| case.samples[0].wall_seconds);
        let costs = cases.iter().zip(seconds).enumerate().map(|(case, (Case { rows, .. }, seconds))| Cost {
            case,
            rows: *rows,
            row_seconds: seconds / *rows as f64,
        });
        let chosen = if self.session.allow_compile {
            let smallest = cases.iter().enumerate().min_by_key(|(_, case)| case.rows * case.items);
            smallest.map(|(case, of_case)| (case, of_case.rows)).into_iter().collect()
        } else {
            affordable(costs.collect(), PASS.as_secs_f64())
        };
        let of_own = chosen.iter().map(|&(case, rows)| self.question(case, rows, candidate));
        let scored = chosen.iter().filter_map(|&(case, rows)| self.scored_question(progress, case, rows));
        scored.chain(of_own).collect()
    }

    /// The first scored call of a case, if all its rows can be asked. A program can recognise the calls that only the check
    /// makes, but not these.
    fn scored_question(&self, progress: &Progress<'_>, case: usize, rows: usize) -> Option<Question> {
        let of_case = &self.session.cases[case];
        let Scored { rows: known, seed, answer } = progress.scored[case].as_ref().filter(|_| rows == of_case.rows)?;
        let question = Question::new((case, of_case), known.clone(), [*seed, !*seed]);
        Some(Question { here: answer.clone(), ..question })
    }

    fn question(&self, case: usize, rows: usize, candidate: u64) -> Question {
        let mut rng = stream(self.session.loads_seed, candidate << 16 | case as u64, Purpose::Consistency);
        let of_case = &self.session.cases[case];
        let window = self.pool.unscored_window(&mut rng);
        let window = PoolWindow { number: 0, now: &window, next: None };
        let all = Items::of_case(of_case, &self.session.topology, window, rng.random()).weigh(window.now);
        let mut all = all.permuted(&Permutation::draw(all.rows, all.items, &mut rng));
        make_ties(&mut all, &mut rng);
        all.weights.truncate(rows * all.items);
        Question::new((case, of_case), Rows { rows, ..all }, [rng.random(), rng.random()])
    }

    /// Asks the children that are measured. Leaves only the questions that they answer in time.
    fn ask_here(
        &mut self,
        progress: &mut Progress<'_>,
        questions: &mut Vec<Question>,
        spent: &mut Spent,
    ) -> Result<(), Halt> {
        let mut answered = 0;
        for question in questions.iter_mut() {
            if !question.here[0].is_empty() {
                answered += 1;
                continue;
            }
            if answered > 0 && spent.exceeds(1) {
                break;
            }
            progress.during = format!("{}, a call to be repeated elsewhere", question.name);
            progress.current = progress.schedule.child(question.case);
            progress.child().unpause();
            let returned = progress.unscored_call(question.call(), &question.rows.to_f32())?;
            progress.child().pause()?;
            spent.0 += returned.wall;
            question.here = returned.outputs.arrays;
            answered += 1;
        }
        questions.truncate(answered);
        Ok(())
    }

    /// Whether the answers to these cases differ in a process that differs by one switch.
    fn differs_by(
        &mut self,
        progress: &mut Progress<'_>,
        cases: &[&Question],
        switch: Switch,
    ) -> Result<Vec<bool>, JudgeError> {
        // What a failure leaves unanswered differs.
        let mut differs = vec![true; cases.len()];
        let calls: Vec<Call> = cases.iter().map(|question| question.call()).collect();
        // It compiles by itself: what the compiler saw may be what differs.
        let mut kernels = Kernels::of(progress.program.text, &[])?;
        let bytes = bytes_of(&calls);
        let asked = self.in_another_child(progress, &mut kernels, bytes, &[switch], |child, nursery, kernels| {
            warm_up(child, nursery, kernels, &calls)?;
            for (question, differs) in cases.iter().zip(&mut differs) {
                let seed = question.seeds[usize::from(switch == Switch::Seed)];
                let answer = question.ask(child, &question.in_order(), seed)?.outputs.arrays;
                *differs =
                    question.in_order().into_iter().any(|row| question.differs([&question.here, &answer], [row; 2]));
            }
            Ok(())
        });
        match asked {
            Err(Halt::Broken(error)) => Err(error),
            _ => Ok(differs),
        }
    }
}

/// The memory that the largest of these calls needs.
fn bytes_of(calls: &[Call]) -> u64 {
    calls.iter().map(|call| call.layout().end()).max().unwrap_or(0)
}

/// Where programs may run compilers, lets the child do so for these calls; one call has Numba compile. Then ends that.
fn warm_up(child: &mut Child, nursery: &mut Nursery, kernels: &mut Kernels, calls: &[Call]) -> Result<(), Halt> {
    let first_calls = if child.may_compile() {
        calls.iter().flat_map(|call| (0..COMPILING_CALLS).map(|seed| Call { seed, ..*call })).collect()
    } else if kernels.may_compile {
        calls.first().map(|call| Call { seed: 0, ..*call }).into_iter().collect()
    } else {
        Vec::new()
    };
    for call in first_calls {
        child.call(call, &first_weights(call.rows * call.items, call.seed))?;
    }
    child.finish_compiling(kernels)?;
    child.seal(nursery)
}

/// In every second row lets some items weigh as much as the one before.
fn make_ties(rows: &mut Rows, rng: &mut Stream) {
    for row in rows.weights.chunks_exact_mut(rows.items).step_by(2) {
        for item in 1..row.len() {
            if rng.random_bool(TIES) {
                row[item] = row[item - 1];
            }
        }
    }
}

/// How many rows of which cases can be packed in this time, in the order of the cost of two rows: two rows at least of as
/// many cases as possible, and of the cheapest one in any case; then equal shares of what is left.
fn affordable(mut costs: Vec<Cost>, seconds: f64) -> Vec<(usize, usize)> {
    let least = |cost: &Cost| cost.rows.min(2) as f64 * cost.row_seconds;
    costs.sort_by(|a, b| least(a).total_cmp(&least(b)));
    let mut of_others = 0.0;
    let fitting = costs.iter().take_while(|cost| {
        of_others += least(cost);
        of_others <= seconds
    });
    let count = fitting.count().max(1).min(costs.len());
    costs.truncate(count);
    of_others = costs.iter().map(least).sum();
    let mut left = seconds;
    let mut chosen = Vec::new();
    for (place, cost) in costs.iter().enumerate() {
        of_others -= least(cost);
        let share = (left / (count - place) as f64).min(left - of_others);
        let rows = ((share / cost.row_seconds) as usize).clamp(cost.rows.min(2), cost.rows);
        left -= rows as f64 * cost.row_seconds;
        chosen.push((cost.case, rows));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(case: usize, rows: usize, row_seconds: f64) -> Cost {
        Cost { case, rows, row_seconds }
    }

    #[test]
    fn a_fast_program_is_checked_on_all_rows_and_a_slow_one_on_two_rows_of_the_cheapest_case() {
        let fast = vec![cost(0, 58, 1e-5), cost(1, 232, 1e-5)];
        assert_eq!(affordable(fast, 0.06), [(0, 58), (1, 232)]);
        let slow = vec![cost(0, 58, 9.0), cost(1, 232, 5.0), cost(2, 1, 11.0)];
        assert_eq!(affordable(slow, 0.06), [(1, 2)]);
        assert!(affordable(Vec::new(), 0.06).is_empty());
    }

    #[test]
    fn what_two_rows_of_every_case_leave_is_shared() {
        let costs = vec![cost(0, 58, 0.02), cost(1, 58, 0.0001), cost(2, 232, 0.0005), cost(3, 58, 0.03)];
        let chosen = affordable(costs.clone(), 0.06);
        assert_eq!(chosen, [(1, 58), (2, 28), (0, 2)]);
        let seconds = |(case, rows): &(usize, usize)| costs[*case].row_seconds * *rows as f64;
        assert!(chosen.iter().map(seconds).sum::<f64>() <= 0.06);
    }

    #[test]
    fn every_second_row_has_ties() {
        let weights: Vec<f64> = (0..400).map(f64::from).collect();
        let mut rows = Rows::new(100, &weights);
        make_ties(&mut rows, &mut stream(1, 0, Purpose::Consistency));
        let ties = |row: usize| rows.row(row).windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(ties(0) > 10 && ties(2) > 10 && ties(1) + ties(3) == 0);
    }
}
