//! Plan: whether the outputs of `rebalance_experts` agree, the loads of its GPUs, and the replicas that must be moved.
//!
//! Loads follow from `phy2log` alone, with replicas counted here; the other two maps are only checked. So no claim of a
//! program can lighten a GPU: a count that is too high, or a replica that is listed twice or for two experts.

use packevolve_contract::rebalance::PlanLoads;
use packevolve_contract::topology::Topology;
use thiserror::Error;

use crate::window::Window;

/// Fills the rest of a row of `log2phy`.
const PADDING: i64 = -1;

/// The three outputs, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maps {
    /// `[layers, replicas]`, the expert of each replica.
    pub phy2log: Vec<i64>,
    /// `[layers, experts, columns]`, the replicas of each expert, padded.
    pub log2phy: Vec<i64>,
    pub columns: usize,
    /// `[layers, experts]`, the number of replicas of each expert.
    pub logcnt: Vec<i64>,
}

/// How a plan breaks the contract. Layers, experts and replicas count from 0, as the candidate's own indices do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    #[error("phy2log, layer {layer}, replica {replica}: expert {expert} is not among experts 0 to {last}")]
    NoSuchExpert { layer: usize, replica: usize, expert: i64, last: usize },
    #[error("phy2log, layer {layer}: expert {expert} has no replica")]
    NoReplica { layer: usize, expert: usize },
    #[error("logcnt, layer {layer}, expert {expert}: {claimed} replicas claimed, but phy2log has {found}")]
    Count { layer: usize, expert: usize, claimed: i64, found: usize },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} is not among replicas 0 to {last}")]
    NoSuchReplica { layer: usize, expert: usize, replica: i64, last: usize },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} belongs to expert {of}")]
    OtherExpert { layer: usize, expert: usize, replica: i64, of: usize },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} is listed twice")]
    Twice { layer: usize, expert: usize, replica: i64 },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} follows the padding")]
    BehindPadding { layer: usize, expert: usize, replica: i64 },
    #[error("log2phy, layer {layer}, expert {expert}: {listed} of its {found} replicas are listed")]
    Unlisted { layer: usize, expert: usize, listed: usize, found: usize },
}

/// A verified plan: each replica belongs to an expert, and each expert has a replica. Replica `r` of a layer is on GPU
/// `r / (replicas / gpus)`, so the shape alone gives each GPU equally many.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Replicas on a GPU.
    per_gpu: usize,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, PartialEq)]
struct Layer {
    layer: usize,
    /// The expert of each replica.
    expert_of: Vec<usize>,
    /// The number of replicas of each expert.
    counts: Vec<usize>,
}

impl Plan {
    /// The most replicas of an expert, and so the most columns of `log2phy`: every other expert has one.
    pub fn most_columns(topology: &Topology) -> usize {
        topology.replicas - topology.experts + 1
    }

    /// Checks the maps of a plan for `topology`, with any groups and nodes. Returns the first error of the first invalid
    /// layer.
    pub fn verify(maps: &Maps, topology: &Topology) -> Result<Self, PlanError> {
        let &Topology { layers, experts, replicas, gpus, .. } = topology;
        assert_eq!(maps.phy2log.len(), layers * replicas, "BUG: phy2log of another shape");
        assert_eq!(maps.logcnt.len(), layers * experts, "BUG: logcnt of another shape");
        assert_eq!(maps.log2phy.len(), layers * experts * maps.columns, "BUG: log2phy of another shape");
        let maps_of_layers = maps
            .phy2log
            .chunks(replicas)
            .zip(maps.logcnt.chunks(experts))
            .zip(maps.log2phy.chunks(experts * maps.columns));
        let verified = |(layer, ((phy2log, logcnt), log2phy))| {
            let verified = Layer::new(layer, phy2log, experts)?;
            verified.check_counts(logcnt)?;
            verified.check_lists(log2phy, maps.columns)?;
            Ok(verified)
        };
        let layers = maps_of_layers.enumerate().map(verified).collect::<Result<_, _>>()?;
        Ok(Self { per_gpu: replicas / gpus, layers })
    }

    /// The loads of the plan on `window`, in float64 of the float32 loads that a program receives.
    pub fn loads(&self, window: &Window) -> PlanLoads {
        let mut sums = PlanLoads::default();
        for Layer { layer, expert_of, counts } in &self.layers {
            let loads = window.layer(*layer);
            let replicas: Vec<f64> =
                expert_of.iter().map(|&expert| f64::from(loads[expert] as f32) / counts[expert] as f64).collect();
            let gpus = replicas.chunks(self.per_gpu).map(|gpu| gpu.iter().sum::<f64>());
            let total: f64 = replicas.iter().sum();
            sums.mean_gpu += total / gpus.len() as f64;
            sums.max_gpu += gpus.fold(0.0, f64::max);
            sums.mean_replica += total / replicas.len() as f64;
            sums.max_replica += replicas.iter().copied().fold(0.0, f64::max);
        }
        sums
    }

    /// The number of replicas that GPUs must load after `before`, beyond those that they hold.
    pub fn moved_since(&self, before: &Self) -> u64 {
        assert_eq!((self.replicas(), self.per_gpu), (before.replicas(), before.per_gpu), "BUG: another topology");
        let gpus = self.gpus().zip(before.gpus());
        let mut moved = 0;
        for (now, then) in gpus {
            let mut held = vec![0usize; self.layers[0].counts.len()];
            then.iter().for_each(|&expert| held[expert] += 1);
            for &expert in now {
                match held[expert].checked_sub(1) {
                    Some(left) => held[expert] = left,
                    None => moved += 1,
                }
            }
        }
        moved
    }

    /// The number of replicas of all layers.
    pub fn replicas(&self) -> u64 {
        self.layers.iter().map(|layer| layer.expert_of.len() as u64).sum()
    }

    /// The experts on each GPU, layer by layer.
    fn gpus(&self) -> impl Iterator<Item = &[usize]> {
        self.layers.iter().flat_map(|layer| layer.expert_of.chunks(self.per_gpu))
    }
}

impl Layer {
    fn new(layer: usize, phy2log: &[i64], experts: usize) -> Result<Self, PlanError> {
        let (mut expert_of, mut counts) = (Vec::new(), vec![0; experts]);
        for (replica, &expert) in phy2log.iter().enumerate() {
            let Some(number) = below(expert, experts) else {
                return Err(PlanError::NoSuchExpert { layer, replica, expert, last: experts - 1 });
            };
            expert_of.push(number);
            counts[number] += 1;
        }
        match counts.iter().position(|count| *count == 0) {
            Some(expert) => Err(PlanError::NoReplica { layer, expert }),
            None => Ok(Self { layer, expert_of, counts }),
        }
    }

    fn check_counts(&self, logcnt: &[i64]) -> Result<(), PlanError> {
        let layer = self.layer;
        for (expert, (&claimed, &found)) in logcnt.iter().zip(&self.counts).enumerate() {
            if claimed != found as i64 {
                return Err(PlanError::Count { layer, expert, claimed, found });
            }
        }
        Ok(())
    }

    /// Checks that each row lists the replicas of its expert, each once and in any order, and then only padding.
    fn check_lists(&self, log2phy: &[i64], columns: usize) -> Result<(), PlanError> {
        let layer = self.layer;
        let mut is_listed = vec![false; self.expert_of.len()];
        for (expert, row) in log2phy.chunks(columns).enumerate() {
            let listed = row.iter().position(|&replica| replica == PADDING).unwrap_or(columns);
            if let Some(&replica) = row[listed..].iter().find(|&&replica| replica != PADDING) {
                return Err(PlanError::BehindPadding { layer, expert, replica });
            }
            for &replica in &row[..listed] {
                let Some(number) = below(replica, is_listed.len()) else {
                    return Err(PlanError::NoSuchReplica { layer, expert, replica, last: is_listed.len() - 1 });
                };
                if self.expert_of[number] != expert {
                    return Err(PlanError::OtherExpert { layer, expert, replica, of: self.expert_of[number] });
                }
                if std::mem::replace(&mut is_listed[number], true) {
                    return Err(PlanError::Twice { layer, expert, replica });
                }
            }
            if listed != self.counts[expert] {
                return Err(PlanError::Unlisted { layer, expert, listed, found: self.counts[expert] });
            }
        }
        Ok(())
    }
}

/// `number` as an index, if it is less than `count`.
fn below(number: i64, count: usize) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers, three experts, four replicas on two GPUs.
    fn topology() -> Topology {
        Topology { layers: 2, experts: 3, groups: 1, nodes: 1, gpus: 2, replicas: 4 }
    }

    /// Layer 0: GPUs (0, 1) and (2, 0). Layer 1: GPUs (1, 1) and (0, 2); the order of a list is free.
    fn maps() -> Maps {
        Maps {
            phy2log: vec![0, 1, 2, 0, 1, 1, 0, 2],
            log2phy: vec![3, 0, 1, -1, 2, -1, 2, -1, 0, 1, 3, -1],
            columns: 2,
            logcnt: vec![2, 1, 1, 1, 2, 1],
        }
    }

    fn plan(phy2log: [i64; 8]) -> Plan {
        let layer = |number: usize| Layer::new(number, &phy2log[4 * number..][..4], 3).unwrap();
        Plan { per_gpu: 2, layers: vec![layer(0), layer(1)] }
    }

    #[track_caller]
    fn error(change: impl Fn(&mut Maps)) -> String {
        let mut maps = maps();
        change(&mut maps);
        Plan::verify(&maps, &topology()).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_whose_maps_agree_is_valid_however_wide_its_lists_are() {
        assert_eq!(Plan::verify(&maps(), &topology()).unwrap(), plan([0, 1, 2, 0, 1, 1, 0, 2]));
        let wide = maps().log2phy.chunks(2).flat_map(|row| [row[0], row[1], -1]).collect();
        let wide = Maps { log2phy: wide, columns: 3, ..maps() };
        assert!(Plan::verify(&wide, &topology()).is_ok());
        assert_eq!(Plan::most_columns(&topology()), 2);
    }

    #[test]
    fn every_expert_has_a_replica_and_every_replica_an_expert() {
        assert_eq!(
            error(|maps| maps.phy2log[5] = 3),
            "phy2log, layer 1, replica 1: expert 3 is not among experts 0 to 2"
        );
        assert_eq!(
            error(|maps| maps.phy2log[0] = -1),
            "phy2log, layer 0, replica 0: expert -1 is not among experts 0 to 2"
        );
        assert_eq!(error(|maps| maps.phy2log[7] = 0), "phy2log, layer 1: expert 2 has no replica");
    }

    #[test]
    fn over_claimed_counts_are_reported() {
        let over = "logcnt, layer 0, expert 0: 3 replicas claimed, but phy2log has 2";
        assert_eq!(error(|maps| maps.logcnt[0] = 3), over);
        assert_eq!(
            error(|maps| maps.logcnt[5] = 0),
            "logcnt, layer 1, expert 2: 0 replicas claimed, but phy2log has 1"
        );
    }

    #[test]
    fn lists_hold_the_replicas_of_their_expert_each_once() {
        let at = "log2phy, layer 0, expert 0: ";
        assert_eq!(error(|maps| maps.log2phy[1] = 3), format!("{at}replica 3 is listed twice"));
        assert_eq!(error(|maps| maps.log2phy[1] = 2), format!("{at}replica 2 belongs to expert 2"));
        assert_eq!(error(|maps| maps.log2phy[1] = 4), format!("{at}replica 4 is not among replicas 0 to 3"));
        assert_eq!(error(|maps| maps.log2phy[1] = -2), format!("{at}replica -2 is not among replicas 0 to 3"));
        assert_eq!(error(|maps| maps.log2phy[1] = -1), format!("{at}1 of its 2 replicas are listed"));
        assert_eq!(error(|maps| maps.log2phy[0] = -1), format!("{at}replica 0 follows the padding"));
        // A second expert on a GPU that is full already: it can only be listed, because it has no replica there.
        assert_eq!(error(|maps| maps.log2phy[3] = 0), "log2phy, layer 0, expert 1: replica 0 belongs to expert 0");
    }

    #[test]
    fn loads_are_those_of_the_replicas_that_there_are() {
        let window = Window::new(3, vec![8.0, 1.0, 5.0, 3.0, 4.0, 2.0]);
        // Layer 0: replicas 4, 1, 5, 4; GPUs 5 and 9. Layer 1: 2, 2, 3, 2; 4 and 5.
        let loads = plan([0, 1, 2, 0, 1, 1, 0, 2]).loads(&window);
        assert_eq!(
            loads,
            PlanLoads { mean_gpu: 7.0 + 4.5, max_gpu: 9.0 + 5.0, mean_replica: 3.5 + 2.25, max_replica: 5.0 + 3.0 }
        );
        assert_eq!(plan([0, 1, 2, 0, 1, 1, 0, 2]).loads(&Window::new(3, vec![0.0; 6])), PlanLoads::default());
    }

    #[test]
    fn only_what_a_gpu_lacks_is_moved() {
        let before = plan([0, 1, 2, 0, 1, 1, 0, 2]);
        assert_eq!(before.moved_since(&before), 0);
        // Within a GPU order is free.
        assert_eq!(plan([1, 0, 0, 2, 1, 1, 2, 0]).moved_since(&before), 0);
        // Layer 0: the GPUs change places; each has its 0 already. Layer 1: one of two 1s is replaced.
        assert_eq!(plan([2, 0, 0, 1, 1, 0, 0, 2]).moved_since(&before), 2 + 1);
        // A second replica of an expert that is there once is moved, too.
        assert_eq!(plan([0, 0, 2, 1, 1, 1, 0, 2]).moved_since(&before), 2);
    }
}
