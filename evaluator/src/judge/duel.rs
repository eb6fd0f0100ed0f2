//! Duel: measures contender and best in turns, in fresh children in one slot, on windows that are made for the duel.
//!
//! Both programs get the same windows, each with rows and items in an order of its own: the difference of two programs on
//! one window varies a third as much as on two windows. The contender is always the first that sees a window, so that it
//! gains nothing from the best's child, even if something joins the two.

use std::time::Instant;

use packevolve_contract::duel::{Duel, Verdict};
use packevolve_contract::evaluation::{Evaluation, Sample};
use packevolve_contract::objective::{Pairing, SOLVED_GAP, Yardstick, gap};
use packevolve_contract::protocol::DuelRequest;
use packevolve_contract::stream::{Purpose, stream};

use crate::error::{Halt, JudgeError};
use crate::judge::evaluate::{Ended, Streams};
use crate::judge::progress::{Program, Progress};
use crate::judge::sample::{MOST_VOIDS, Wanted};
use crate::judge::session::Judge;
use crate::schedule::Schedule;
use crate::score::CaseInput;
use crate::window::PoolWindow;

/// The number of a duel's first window: no window of the run has it.
const FIRST_WINDOW: usize = 1 << 20;
const CONTENDER: usize = 0;
const BEST: usize = 1;

/// One program of a duel.
struct Side<'a> {
    progress: Progress<'a>,
    /// Why it takes no further part.
    failure: Option<Halt>,
}

impl Judge {
    /// Lets two programs meet.
    ///
    /// # Errors
    /// The nursery or the reference program broke. The duel needs another seed now, because its windows were seen.
    pub fn duel(&mut self, request: &DuelRequest) -> Result<Duel, JudgeError> {
        let _held = self.place.lock.hold()?;
        let met = self.meet(request);
        if let Err(JudgeError::Nursery(_) | JudgeError::Reference(_)) = met {
            self.replace_nursery()?;
        }
        met
    }

    fn meet(&mut self, request: &DuelRequest) -> Result<Duel, JudgeError> {
        let started = Instant::now();
        let before = self.slot.settle()?;
        let mut sides = [self.side(request, CONTENDER, &before)?, self.side(request, BEST, &before)?];
        self.rounds(request, &mut sides, started)?;
        self.rebalance_contender(request, &mut sides)?;
        let [contender, best] = sides;
        let (mut contender, mut best) = (self.leave(contender)?, self.leave(best)?);
        self.close(&mut [&mut contender, &mut best], started)?;
        Ok(Duel { contender, best })
    }

    /// The contender or the best; `place` keys its orders and seeds.
    fn side<'a>(&self, request: &'a DuelRequest, place: usize, before: &[f64]) -> Result<Side<'a>, JudgeError> {
        let duelist = if place == CONTENDER { &request.contender } else { &request.best };
        let key = |number: usize| stream(request.seed, (2 * number + place) as u64, Purpose::DuelCalls);
        let streams = Streams { order: key(0), seeds: key(1), repeats: key(2) };
        let cases = self.session.cases.len();
        // Without cases there are chains, and no window has a number.
        let schedule = Schedule::new(0..request.most_rounds * cases.max(1), request.most_rounds, cases);
        let program = Program { text: &duelist.program, file_name: &request.file_name, is_of_blocks: false };
        let mut progress = self.start(program, Some(request.limits), schedule, streams)?;
        progress.measurement.calibration.before = before.to_vec();
        Ok(Side { progress, failure: None })
    }

    /// Measures both programs round by round, until one is better, fails, or the time is used up.
    fn rounds(&mut self, request: &DuelRequest, sides: &mut [Side<'_>; 2], started: Instant) -> Result<(), JudgeError> {
        for round in 0..request.most_rounds {
            if round > 0 && is_over(request, sides, round) {
                break;
            }
            if self.session.chain_windows.is_some() {
                self.round_of_chains(request, sides, round, started)?;
                continue;
            }
            for case in 0..self.session.cases.len() {
                for place in [CONTENDER, BEST] {
                    let began = Instant::now();
                    self.turn(request, &mut sides[place], [round, case], started)?;
                    // A program that waits uses up no time of the other one.
                    sides[1 - place].progress.aside += began.elapsed();
                }
            }
        }
        Ok(())
    }

    /// A chain of both programs, one after the other.
    fn round_of_chains(
        &mut self,
        request: &DuelRequest,
        sides: &mut [Side<'_>; 2],
        round: usize,
        started: Instant,
    ) -> Result<(), JudgeError> {
        let course = self.duel_course(request.seed, round);
        for place in [CONTENDER, BEST] {
            let began = Instant::now();
            let side = &mut sides[place];
            if side.failure.is_none() {
                match self.walk(&mut side.progress, round, &course, started) {
                    Err(Halt::Broken(error)) => return Err(error),
                    walked => side.failure = walked.err(),
                }
            }
            sides[1 - place].progress.aside += began.elapsed();
        }
        Ok(())
    }

    /// A call of one program, unless it has failed.
    fn turn(
        &mut self,
        request: &DuelRequest,
        side: &mut Side<'_>,
        [round, case]: [usize; 2],
        started: Instant,
    ) -> Result<(), JudgeError> {
        if side.failure.is_some() {
            return Ok(());
        }
        match self.duel_sample(request, side, [round, case], started) {
            Ok(sample) => side.progress.measurement.cases[case].samples.push(sample),
            Err(Halt::Broken(error)) => return Err(error),
            Err(halt) => side.failure = Some(halt),
        }
        Ok(())
    }

    /// A void pair is repeated on another window.
    fn duel_sample(
        &mut self,
        request: &DuelRequest,
        side: &mut Side<'_>,
        [round, case]: [usize; 2],
        started: Instant,
    ) -> Result<Sample, Halt> {
        side.progress.check_time(started)?;
        self.ensure_child(&mut side.progress, case)?;
        for attempt in 0..=MOST_VOIDS {
            let call = (round * self.session.cases.len() + case) * (MOST_VOIDS + 1) + attempt;
            let window = FIRST_WINDOW + call;
            let input = self.duel_input(request.seed, case, window);
            let wanted = Wanted { case, window, input: &input, attempt: attempt as u32, around: 1 };
            if let Some(sample) = self.valid_sample(&mut side.progress, wanted)? {
                return Ok(sample);
            }
        }
        unreachable!("BUG: the number of void pairs is limited")
    }

    fn duel_input(&self, seed: u64, case: usize, number: usize) -> CaseInput {
        let window = self.pool.duel_window(seed, number);
        let window = PoolWindow { number, now: &window, next: None };
        CaseInput::of_case(&self.session.cases[case], &self.session.topology, window, seed)
    }

    /// Measures the rebalances of a contender that has not lost.
    fn rebalance_contender(&mut self, request: &DuelRequest, sides: &mut [Side<'_>; 2]) -> Result<(), JudgeError> {
        let is_lost = verdict(request, sides).is_lost();
        let side = &mut sides[CONTENDER];
        let has_chains = self.session.chain_windows.is_some();
        if !request.rebalance || has_chains || is_lost || side.failure.is_some() {
            return Ok(());
        }
        match self.rebalance(&mut side.progress, request.budget_seconds) {
            Err(Halt::Broken(error)) => return Err(error),
            rebalanced => side.failure = rebalanced.err(),
        }
        Ok(())
    }

    fn leave(&mut self, Side { progress, failure, .. }: Side<'_>) -> Result<Evaluation, JudgeError> {
        self.end(progress, failure.map_or(Ok(Ended::Completed), Err))
    }
}

/// Whether no round follows the first `rounds`. A pair that has no time for the least number of rounds ends once it is
/// decided.
fn is_over(request: &DuelRequest, sides: &[Side<'_>; 2], rounds: usize) -> bool {
    let verdict = verdict(request, sides);
    let is_decided = verdict.is_won() || verdict.is_lost();
    // Cases that no score counts would let a program end the duel at no cost.
    let counts = |case: &str| gap(request.baseline.samples(case)) >= SOLVED_GAP;
    let charged: f64 = sides.iter().map(|side| side.progress.charged_seconds(counts)).sum();
    let budget = request.budget_seconds.unwrap_or(f64::INFINITY);
    let is_slow = charged / rounds as f64 * request.least_rounds as f64 > budget;
    let has_failed = sides.iter().any(|side| side.failure.is_some());
    has_failed || charged > budget || is_decided && (is_slow || rounds >= request.least_rounds)
}

fn verdict(request: &DuelRequest, [contender, best]: &[Side<'_>; 2]) -> Verdict {
    let yardstick = Yardstick { baseline: &request.baseline, objective: request.objective, pairing: Pairing::Pooled };
    Verdict::new(&contender.progress.measurement, &best.progress.measurement, yardstick)
}
