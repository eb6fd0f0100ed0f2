//! Figures: what the plans of each choice do, beside each other.

use packevolve_contract::model::Model;
use packevolve_contract::plan::Plan;
use packevolve_contract::rebalance::{PlanLoads, Policy};
use packevolve_contract::topology::Topology;
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::worth::option::{Choice, Effect, MeanMoves, Planner};
use crate::view::worth::traffic::{Steps, Traffic};

/// Everything but the plans.
#[derive(Debug)]
pub struct Compared<'a> {
    pub traffic: &'a Traffic,
    pub topology: Topology,
    /// Where the program comes from.
    pub program: String,
    /// The ways in which its plans are inconsistent.
    pub inconsistencies: Vec<String>,
    pub model: Option<&'static Model>,
    /// Bytes of an expert of one layer, if they are known.
    pub expert_bytes: Option<u64>,
    /// The layers of the model that the rows of a window stand for, if the files tell.
    pub layer_ids: Option<Vec<usize>>,
    pub notes: Vec<String>,
}

/// The plans of a choice.
#[derive(Clone, Debug)]
pub struct Tried {
    pub choice: Choice,
    /// One for each planned window.
    pub plans: Vec<Plan>,
    /// The median time of a plan.
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Figures {
    /// The program that is compared with the engine's planner.
    pub program: String,
    /// The ways in which its plans depend on the process or on other layers; engines must not run it if there are any.
    pub inconsistencies: Vec<String>,
    /// The configured deployment.
    pub topology: Topology,
    /// The model that has these layers and experts.
    pub model: Option<&'static str>,
    /// Bytes of the weights of an expert of one layer.
    pub expert_bytes: Option<u64>,
    /// Recorded windows.
    pub windows: usize,
    /// Windows that plans were made on.
    pub planned: usize,
    /// Windows that these plans served.
    pub served: usize,
    /// What a window sums. The imbalance of a sum of steps is lower than the mean imbalance of the steps.
    pub steps: Steps,
    pub options: Vec<OptionJson>,
    pub layers: Vec<LayerJson>,
    pub notes: Vec<String>,
}

/// A way to place the experts, and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct OptionJson {
    pub planner: Planner,
    /// `None` without a planner.
    pub policy: Option<Policy>,
    /// Redundant experts of a layer.
    pub redundant: usize,
    /// Σ mean / Σ heaviest GPU on the windows that were planned on; 1 is perfect.
    pub balancedness: f64,
    /// The same on the windows that the plans served; `None` if there is no next window.
    pub next_balancedness: Option<f64>,
    /// Mean of (max - mean) / mean over layers and windows, TensorRT-LLM's measure; on the next windows if there are any.
    pub imbalance: f64,
    /// Σ of the heaviest GPU, over that without balancing and with the configured redundancy: the time of the MoE layers,
    /// as far as the heaviest GPU sets it. On the next windows if there are any.
    pub moe_time: f64,
    /// What makes it up: each layer of each window.
    #[serde(skip)]
    pub parts: Vec<f64>,
    /// The share of layers whose heaviest GPU is lighter than without balancing, at the same redundancy.
    pub better_layers: f64,
    /// The share of replicas that a rebalance moves.
    pub moved: f64,
    /// What it moves to a GPU, bytes: the mean over the GPUs.
    pub moved_bytes: Option<f64>,
    /// What it moves to the GPU to which it moves most, bytes.
    pub busiest_moved_bytes: Option<f64>,
    /// Median time of a plan; `None` without a planner.
    pub seconds: Option<f64>,
}

/// Balancedness of a layer with the configured policy and redundancy, on the windows that were served.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LayerJson {
    /// The layer of the model, or else the row of the window.
    pub layer: usize,
    /// Without balancing.
    pub none: f64,
    pub engine: f64,
    pub program: f64,
}

impl Figures {
    /// The figures of a choice, if it was tried.
    pub fn option(&self, planner: Planner, policy: Option<Policy>, redundant: usize) -> Option<&OptionJson> {
        let is =
            |option: &&OptionJson| (option.planner, option.policy, option.redundant) == (planner, policy, redundant);
        self.options.iter().find(is)
    }

    /// Those of a planner with the configured policy and redundancy, and those without balancing.
    pub fn configured(&self, planner: Planner) -> &OptionJson {
        let policy = (planner != Planner::None).then(|| configured_policy(&self.topology));
        self.option(planner, policy, self.topology.redundant()).expect("BUG: what is configured was tried")
    }
}

/// The policy that an engine uses with a topology.
pub(super) fn configured_policy(topology: &Topology) -> Policy {
    Policy::of(topology)[0]
}

impl Compared<'_> {
    /// The figures of all choices, and of the placement without balancing.
    pub(super) fn figures(&self, tried: &[Tried]) -> Figures {
        let mut redundancies: Vec<usize> = tried.iter().map(|tried| tried.choice.redundant).collect();
        redundancies.sort_unstable();
        redundancies.dedup();
        let unbalanced: Vec<(usize, Effect)> =
            redundancies.into_iter().map(|redundant| (redundant, self.without_balancing(redundant))).collect();
        let of = |redundant: usize| {
            let found = unbalanced.iter().find(|(other, _)| *other == redundant);
            &found.expect("BUG: the placement without balancing, for each redundancy").1
        };
        let configured = of(self.topology.redundant());
        let mut options = Vec::new();
        let mut layers = vec![(Planner::None, configured.layers().to_vec())];
        for (redundant, before) in &unbalanced {
            let choice = Choice { planner: Planner::None, policy: None, redundant: *redundant };
            options.push(self.option(choice, before, [before, configured], None));
            for tried in tried.iter().filter(|tried| tried.choice.redundant == *redundant) {
                let start = Plan::identity(&self.with(*redundant));
                let effect = Effect::of(&tried.plans, self.traffic, &start);
                options.push(self.option(tried.choice, &effect, [before, configured], Some(tried.seconds)));
                if self.is_configured(tried.choice) {
                    layers.push((tried.choice.planner, effect.layers().to_vec()));
                }
            }
        }
        self.all(options, &layers)
    }

    fn all(&self, options: Vec<OptionJson>, layers: &[(Planner, Vec<PlanLoads>)]) -> Figures {
        let of = |planner: Planner| {
            let found = layers.iter().find(|(other, _)| *other == planner);
            &found.expect("BUG: each planner was tried with what is configured").1
        };
        let [none, engine, program] = [Planner::None, Planner::Engine, Planner::Program].map(of);
        let id = |layer: usize| self.layer_ids.as_ref().map_or(layer, |ids| ids[layer]);
        let layer = |at: usize| LayerJson {
            layer: id(at),
            none: none[at].balancedness(),
            engine: engine[at].balancedness(),
            program: program[at].balancedness(),
        };
        Figures {
            program: self.program.clone(),
            inconsistencies: self.inconsistencies.clone(),
            topology: self.topology.clone(),
            model: self.model.map(Model::name),
            expert_bytes: self.expert_bytes,
            windows: self.traffic.windows,
            planned: self.traffic.planned.len(),
            served: self.traffic.pairs(),
            steps: self.traffic.steps,
            layers: (0..none.len()).map(layer).collect(),
            options,
            notes: self.notes.clone(),
        }
    }

    fn is_configured(&self, choice: Choice) -> bool {
        choice.redundant == self.topology.redundant() && choice.policy == Some(configured_policy(&self.topology))
    }

    fn with(&self, redundant: usize) -> Topology {
        Topology { replicas: self.topology.experts + redundant, ..self.topology.clone() }
    }

    fn without_balancing(&self, redundant: usize) -> Effect {
        let start = Plan::identity(&self.with(redundant));
        Effect::of(&vec![start.clone(); self.traffic.planned.len()], self.traffic, &start)
    }

    fn option(
        &self,
        Choice { planner, policy, redundant }: Choice,
        effect: &Effect,
        [before, configured]: [&Effect; 2],
        seconds: Option<f64>,
    ) -> OptionJson {
        let MeanMoves { share, mean_gpu, busiest_gpu } = effect.moves;
        let bytes = |slots: f64| self.expert_bytes.map(|bytes| slots * bytes as f64);
        // Without any load all times are 0.
        let unit = if configured.peak() > 0.0 { configured.peak() } else { 1.0 };
        let pairs = effect.layers().iter().zip(before.layers());
        let better = pairs.filter(|(after, before)| after.max_gpu < before.max_gpu).count();
        OptionJson {
            planner,
            policy,
            redundant,
            balancedness: effect.balancedness_now(),
            next_balancedness: effect.balancedness_next(),
            imbalance: effect.imbalance,
            moe_time: effect.peak() / unit,
            parts: effect.heaviest.iter().map(|load| load / unit).collect(),
            better_layers: better as f64 / effect.layers().len() as f64,
            moved: share,
            moved_bytes: bytes(mean_gpu),
            busiest_moved_bytes: bytes(busiest_gpu),
            seconds,
        }
    }
}
