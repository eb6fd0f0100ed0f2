//! Policy: the scores of a whole rebalancing policy, measured over chains of windows: lost time against that of DeepSeek's
//! planner on the same chains.
//!
//! Chains differ more than programs do, so each program is compared with the planner on its own windows. A score of 0 is
//! the planner's, even if the baseline is another program: of that only the time counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chain::{ChainMeasurement, GpuLoads, Step};
use crate::clock::Clock;
use crate::serving::{Lost, Serving};
use crate::statistic::{mean, median};

/// Less lost time than this share of a window leaves nothing to win.
const NOTHING: f64 = 1e-9;

/// The figures of a policy, means over the windows of all its chains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyScore {
    /// Those at which time is lost.
    pub prices: Serving,
    /// `1 - lost / baseline_lost`.
    pub combined_score: f64,
    /// The same without planning time on either side.
    pub without_planning: f64,
    /// The number of windows served.
    pub windows: usize,
    /// Lost time a window.
    pub lost: Lost,
    /// Lost time of DeepSeek's planner a window, on the same windows, if it takes the mean time of the baseline program.
    pub baseline_lost: Lost,
    /// What a plan would lose that is made for the window that it serves, and moved free of charge, seconds. Loads drift,
    /// so no policy reaches it.
    pub floor_seconds: f64,
    /// Share of what can be won, which is the planner's lost time above the floor, that was won.
    pub won: f64,
    /// The same of the imbalance alone; `None` if the planner's is at the floor.
    pub balance_won: Option<f64>,
    /// `1 - bytes moved / bytes moved by the planner`, on the busiest GPU; 0 if the planner moves nothing.
    pub stayed: f64,
    /// Σ mean / Σ heaviest GPU on the windows that plans are made from.
    pub balancedness: f64,
    /// The same on the windows that they serve.
    pub served_balancedness: f64,
    /// Balancedness of the layer that is served worst.
    pub worst_layer: f64,
    /// Mean of the balancedness that nine of ten layers reach on the window served.
    pub p90_layer: f64,
    /// Share of the replicas that a plan moves.
    pub moved: f64,
    /// Bytes that a GPU receives for a plan, the mean over the GPUs.
    pub mean_bytes: f64,
    /// Bytes that the GPU receives that receives most.
    pub busiest_bytes: f64,
    /// Bytes that come from another node, of all GPUs together.
    pub cross_node_bytes: f64,
    /// Slots that hold an expert that another slot of their GPU holds.
    pub doubles: f64,
    /// Median time of a call as it was measured, seconds.
    pub seconds: f64,
    /// Mean time of a call, normalised by the reference program, seconds.
    pub normalised_seconds: f64,
}

/// The figures of `ours` at the prices of `serving`. Of the `baseline` only the time counts; `None` without a step of both.
pub fn policy_score(
    ours: &[ChainMeasurement],
    baseline: &[ChainMeasurement],
    serving: &Serving,
    clock: Clock,
) -> Option<PolicyScore> {
    let steps = steps_of(ours);
    let planning = clock.normalised(mean(steps_of(baseline).into_iter().map(Step::relative_time))?);
    if steps.is_empty() {
        return None;
    }
    let lost = mean_lost(&steps, |step| {
        let planning = clock.normalised(step.relative_time());
        serving.lost(step.served.balancedness(), busiest(step), planning)
    });
    let baseline_lost =
        mean_lost(&steps, |step| serving.lost(step.planner.served.balancedness(), planners_busiest(step), planning));
    let floor_seconds = mean_of(&steps, |step| {
        let floor = GpuLoads { max: step.floor, ..step.served };
        // Below 0 by rounding alone.
        serving.lost(floor.balancedness(), 0.0, 0.0).imbalance.max(0.0)
    });
    let (total, of_baseline) = (lost.total(), baseline_lost.total());
    let share_won = |ours: f64, theirs: f64| {
        let to_win = theirs - floor_seconds;
        (to_win > NOTHING * serving.window).then(|| (theirs - ours) / to_win)
    };
    let bytes = |figure: fn(&Step) -> f64| mean_of(&steps, figure) * serving.expert_bytes;
    let loads = |loads: fn(&Step) -> GpuLoads| GpuLoads::sum(steps.iter().map(|step| loads(step))).balancedness();
    Some(PolicyScore {
        prices: *serving,
        combined_score: gain(total, of_baseline),
        without_planning: gain(total - lost.planning, of_baseline - baseline_lost.planning),
        windows: steps.len(),
        floor_seconds,
        won: share_won(total, of_baseline).unwrap_or(0.0),
        balance_won: share_won(lost.imbalance, baseline_lost.imbalance),
        stayed: gain(mean_of(&steps, busiest), mean_of(&steps, planners_busiest)),
        balancedness: loads(|step| step.now),
        served_balancedness: loads(|step| step.served),
        worst_layer: steps.iter().map(|step| step.worst_layer).fold(1.0, f64::min),
        p90_layer: mean_of(&steps, |step| step.p90_layer),
        moved: mean_of(&steps, |step| step.moved as f64 / step.replicas as f64),
        mean_bytes: bytes(|step| step.moved as f64 / step.gpus as f64),
        busiest_bytes: bytes(busiest),
        cross_node_bytes: bytes(|step| step.cross_node as f64),
        doubles: mean_of(&steps, |step| step.doubles as f64),
        seconds: median(steps.iter().map(|step| step.seconds)),
        normalised_seconds: clock.normalised(mean_of(&steps, Step::relative_time)),
        lost,
        baseline_lost,
    })
}

fn steps_of(chains: &[ChainMeasurement]) -> Vec<&Step> {
    chains.iter().flat_map(|chain| &chain.steps).collect()
}

fn busiest(step: &Step) -> f64 {
    step.busiest_gpu as f64
}

fn planners_busiest(step: &Step) -> f64 {
    step.planner.busiest_gpu as f64
}

fn mean_of(steps: &[&Step], figure: impl Fn(&Step) -> f64) -> f64 {
    mean(steps.iter().map(|step| figure(step))).unwrap_or(0.0)
}

fn mean_lost(steps: &[&Step], of_step: impl Fn(&Step) -> Lost) -> Lost {
    Lost::mean(&steps.iter().map(|step| of_step(step)).collect::<Vec<_>>())
}

/// `1 - ours / theirs`; 0 if there is nothing to gain.
fn gain(ours: f64, theirs: f64) -> f64 {
    if theirs > 0.0 { 1.0 - ours / theirs } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::PlannerStep;

    const CLOCK: Clock = Clock { reference_seconds: 0.5 };

    fn loads(balancedness: f64) -> GpuLoads {
        GpuLoads { mean: 1.0, max: 1.0 / balancedness }
    }

    /// A step in which the planner serves half in balance and moves 40 replicas to the busiest GPU.
    fn step(served: f64, busiest_gpu: u64, seconds: f64) -> Step {
        Step {
            now: loads(1.0),
            served: loads(served),
            floor: 1.0,
            planner: PlannerStep { served: loads(0.5), busiest_gpu: 40 },
            worst_layer: served / 2.0,
            p90_layer: served,
            moved: 2 * busiest_gpu,
            busiest_gpu,
            replicas: 100,
            gpus: 4,
            seconds,
            reference_seconds: 0.5,
            ..Step::default()
        }
    }

    fn chain(steps: Vec<Step>) -> Vec<ChainMeasurement> {
        vec![ChainMeasurement { chain: 0, steps }]
    }

    fn serving() -> Serving {
        Serving { window: 100.0, moe_share: 0.5, expert_bytes: 1.0, bandwidth: 10.0, exposed: 1.0 }
    }

    #[test]
    fn lost_time_is_compared_with_the_planners() {
        let baseline = chain(vec![step(0.5, 40, 5.0), step(0.9, 1, 7.0)]);
        // The planner loses 50 + 4 + 6, this one 12.5 + 1 + 1.5 and 12.5 + 1 + 0.5.
        let score = policy_score(&chain(vec![step(0.8, 10, 1.5), step(0.8, 10, 0.5)]), &baseline, &serving(), CLOCK);
        let score = score.unwrap();
        assert!((score.baseline_lost.total() - 60.0).abs() < 1e-9 && (score.lost.total() - 14.5).abs() < 1e-9);
        assert!((score.combined_score - (1.0 - 14.5 / 60.0)).abs() < 1e-9);
        assert!((score.without_planning - (1.0 - 13.5 / 54.0)).abs() < 1e-9);
        assert!((score.balance_won.unwrap() - 0.75).abs() < 1e-9 && (score.stayed - 0.75).abs() < 1e-9);
        assert_eq!((score.floor_seconds, score.moved, score.mean_bytes, score.windows), (0.0, 0.2, 5.0, 2));
        assert!((score.worst_layer - 0.4).abs() < 1e-12 && score.seconds == 1.0);
    }

    /// A step that is the planner's own.
    fn own(served: f64, busiest_gpu: u64, seconds: f64) -> Step {
        let planner = PlannerStep { served: loads(served), busiest_gpu };
        Step { planner, ..step(served, busiest_gpu, seconds) }
    }

    #[test]
    fn the_planner_has_0_at_any_prices() {
        let planner = chain(vec![own(0.7, 40, 6.0), own(0.9, 4, 1.0)]);
        for prices in [serving(), Serving { exposed: 0.0, ..serving() }, Serving::default()] {
            let score = policy_score(&planner, &planner, &prices, CLOCK).unwrap();
            assert!(score.combined_score.abs() < 1e-12 && score.won.abs() < 1e-12 && score.stayed == 0.0, "{score:?}");
        }
        let perfect = chain(vec![own(1.0, 0, 0.0)]);
        let score = policy_score(&perfect, &perfect, &serving(), CLOCK).unwrap();
        assert_eq!((score.combined_score, score.balance_won), (0.0, None));
        assert_eq!(policy_score(&[], &perfect, &serving(), CLOCK), None);
        assert_eq!(policy_score(&perfect, &[], &serving(), CLOCK), None);
    }

    #[test]
    fn a_chain_on_which_the_planner_loses_more_flatters_no_program() {
        let baseline = chain(vec![step(0.5, 40, 1.0)]);
        let score = |served, planner: f64| {
            let planner = PlannerStep { served: loads(planner), busiest_gpu: 0 };
            let steps = chain(vec![Step { planner, ..step(served, 0, 0.0) }]);
            let prices = Serving { exposed: 0.0, ..serving() };
            policy_score(&steps, &baseline, &prices, CLOCK).unwrap().combined_score
        };
        // Half of the planner's imbalance on an easy chain and on a hard one.
        assert!((score(1.0 / 1.1, 1.0 / 1.2) - 0.5).abs() < 1e-9 && (score(1.0 / 1.5, 0.5) - 0.5).abs() < 1e-9);
    }
}
