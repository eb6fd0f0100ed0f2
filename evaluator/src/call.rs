//! Call: the calls of a candidate's functions, and the failures that a child reports.

use std::time::Duration;

use packevolve_contract::maps::Maps;
use packevolve_contract::planning::InForce;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;
use serde_json::{Value, json};

use crate::error::Halt;
use crate::message::Message;
use crate::shared::{Layout, Outputs, as_floats};

/// The arguments of a `balanced_packing` call except its weights.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub rows: usize,
    pub items: usize,
    pub packs: usize,
    /// Seeds torch, numpy and random.
    pub seed: u64,
}

impl Call {
    /// The request, in the byte order of the machine. Not JSON: the child would be timed while it reads that.
    pub fn packet(self) -> Vec<u8> {
        let Self { rows, items, packs, seed } = self;
        let layout = self.layout();
        let numbers = [rows as u64, items as u64, packs as u64, seed, layout.offset(0), layout.offset(1)];
        std::iter::once(b'C').chain(numbers.into_iter().flat_map(u64::to_ne_bytes)).collect()
    }

    /// Of `weight`, and of `pack_index` and `rank_in_pack`, all `[rows, items]`.
    pub fn layout(&self) -> Layout<2> {
        let count = self.rows * self.items;
        Layout { input: count, outputs: [count, count] }
    }
}

/// The arguments of a `rebalance_experts` call except its loads. Groups and nodes may differ from the topology's.
#[derive(Clone, Copy, Debug)]
pub struct PlanCall<'a> {
    pub topology: &'a Topology,
    pub groups: usize,
    pub nodes: usize,
    /// Seeds torch, numpy and random.
    pub seed: u64,
    /// The number of earlier windows, if there is a plan in force.
    pub history: Option<usize>,
}

/// The input of a rebalance as the child receives it: the loads of the window and of earlier ones in float32, and then the
/// plan in force, if there is one, whose int64 take the place of two float32 each and begin at an even one.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanInput(pub Vec<f32>);

impl PlanInput {
    /// The loads of one window, and what a planner may start from.
    pub fn new(loads: &[f64], in_force: Option<&InForce>) -> Self {
        let history = in_force.into_iter().flat_map(|in_force| &in_force.history);
        let mut values: Vec<f32> = loads.iter().chain(history).map(|&load| load as f32).collect();
        if let Some(InForce { old_phy2log, .. }) = in_force {
            values.resize(values.len().next_multiple_of(2), 0.0);
            values.extend_from_slice(as_floats(old_phy2log));
        }
        Self(values)
    }
}

impl PlanCall<'_> {
    pub fn request(self) -> Value {
        let Self { topology, groups, nodes, seed, history } = self;
        let old_at = history.map(|windows| 4 * self.loads(windows).next_multiple_of(2));
        let most_columns = Maps::most_columns(topology);
        let layout = self.layout(most_columns);
        json!({"op": "rebalance", "layers": topology.layers, "experts": topology.experts,
               "replicas": topology.replicas, "groups": groups, "nodes": nodes, "gpus": topology.gpus, "seed": seed,
               "history": history.unwrap_or(0), "old_at": old_at, "most_columns": most_columns, "phy2log_at": layout.offset(0), "logcnt_at": layout.offset(1),
               "log2phy_at": layout.offset(2)})
    }

    /// The loads of a window and of that many earlier ones.
    fn loads(self, history: usize) -> usize {
        self.topology.layers * self.topology.experts * (1 + history)
    }

    /// Of the [`PlanInput`], and of `phy2log` `[layers, replicas]`, `logcnt` `[layers, experts]` and
    /// `log2phy` `[layers, experts, columns]`.
    pub fn layout(&self, columns: usize) -> Layout<3> {
        let (layers, count) = (self.topology.layers, self.topology.layers * self.topology.experts);
        let input = match self.history {
            Some(windows) => self.loads(windows).next_multiple_of(2) + 2 * layers * self.topology.replicas,
            None => count,
        };
        Layout { input, outputs: [layers * self.topology.replicas, count, count * columns] }
    }
}

/// The outputs and times of one call.
#[derive(Debug)]
pub struct Returned<T = Outputs<2>> {
    /// The judge's copy.
    pub outputs: T,
    /// By the device's clock, from the end of the previous call (or of loading) to the end of this one.
    pub time: Duration,
    pub wall: Duration,
    /// GPU time as the child reports it, seconds. Not trusted.
    pub reported_seconds: Option<f64>,
    /// How many functions Numba compiled during the call, as the child reports it. Not trusted.
    pub compiled: u32,
}

/// The failure that `reply` reports; `raised` makes the rejection for an exception.
pub fn failure(reply: Message, out_of_memory: Rejection, raised: fn(String) -> Rejection) -> Halt {
    match reply {
        Message::Raised { traceback, memory: true, .. } => Halt::Rejected { rejection: out_of_memory, traceback },
        Message::Raised { message, traceback, .. } => Halt::Rejected { rejection: raised(message), traceback },
        Message::WrongResult { message } => Rejection::WrongResult { message }.into(),
        other => protocol(format!("unexpected reply {}", shortened(&format!("{other:?}")))),
    }
}

pub fn protocol(message: String) -> Halt {
    Rejection::Protocol { message }.into()
}

pub fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
