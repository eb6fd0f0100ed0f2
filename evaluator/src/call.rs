//! Call: the calls of a candidate's functions, and the failures that a child reports.

use std::time::Duration;

use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;
use serde_json::{Value, json};

use crate::error::Halt;
use crate::message::Message;
use crate::plan::Plan;
use crate::shared::{Layout, Outputs};

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
}

impl PlanCall<'_> {
    pub fn request(self) -> Value {
        let Self { topology, groups, nodes, seed } = self;
        let most_columns = Plan::most_columns(topology);
        let layout = self.layout(most_columns);
        json!({"op": "rebalance", "layers": topology.layers, "experts": topology.experts,
               "replicas": topology.replicas, "groups": groups, "nodes": nodes, "gpus": topology.gpus, "seed": seed,
               "most_columns": most_columns, "phy2log_at": layout.offset(0), "logcnt_at": layout.offset(1),
               "log2phy_at": layout.offset(2)})
    }

    /// Of the loads `[layers, experts]`, and of `phy2log` `[layers, replicas]`, `logcnt` `[layers, experts]` and
    /// `log2phy` `[layers, experts, columns]`.
    pub fn layout(&self, columns: usize) -> Layout<3> {
        let (layers, count) = (self.topology.layers, self.topology.layers * self.topology.experts);
        Layout { input: count, outputs: [layers * self.topology.replicas, count, count * columns] }
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
