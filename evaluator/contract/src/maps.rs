//! Maps: the three outputs of `rebalance_experts`, and whether they agree.
//!
//! Loads follow from `phy2log` alone, with replicas counted here; the other two maps are only checked. So no claim of a
//! program can lighten a GPU: a count that is too high, or a replica that is listed twice or for two experts.

use crate::plan::{Plan, PlanError, below};
use crate::topology::Topology;

/// Fills the rest of a row of `log2phy`.
const PADDING: i64 = -1;

/// The three outputs, row-major.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    /// `[layers, replicas]`, the expert of each replica.
    pub phy2log: Vec<i64>,
    /// `[layers, experts, columns]`, the replicas of each expert, padded.
    pub log2phy: Vec<i64>,
    pub columns: usize,
    /// `[layers, experts]`, the number of replicas of each expert.
    pub logcnt: Vec<i64>,
}

impl Maps {
    /// The most replicas of an expert, and so the most columns of `log2phy`: every other expert has one.
    pub fn most_columns(topology: &Topology) -> usize {
        topology.replicas - topology.experts + 1
    }

    /// Checks that the maps make a plan for `topology`, with any groups and nodes.
    ///
    /// # Errors
    /// The first error of the first invalid layer.
    pub fn verify(&self, topology: &Topology) -> Result<Plan, PlanError> {
        let &Topology { layers, experts, .. } = topology;
        assert_eq!(self.logcnt.len(), layers * experts, "BUG: logcnt of another shape");
        assert_eq!(self.log2phy.len(), layers * experts * self.columns, "BUG: log2phy of another shape");
        let plan = Plan::new(&self.phy2log, topology)?;
        let rows = self.logcnt.chunks(experts).zip(self.log2phy.chunks(experts * self.columns));
        for (layer, (logcnt, log2phy)) in rows.enumerate() {
            check_counts(&plan, layer, logcnt)?;
            check_lists(&plan, layer, log2phy, self.columns)?;
        }
        Ok(plan)
    }
}

fn check_counts(plan: &Plan, layer: usize, logcnt: &[i64]) -> Result<(), PlanError> {
    for (expert, (&claimed, &found)) in logcnt.iter().zip(plan.counts(layer)).enumerate() {
        if claimed != found as i64 {
            return Err(PlanError::Count { layer, expert, claimed, found });
        }
    }
    Ok(())
}

/// Checks that each row lists the replicas of its expert, each once and in any order, and then only padding.
fn check_lists(plan: &Plan, layer: usize, log2phy: &[i64], columns: usize) -> Result<(), PlanError> {
    let (slots, counts) = (plan.layer(layer), plan.counts(layer));
    let mut is_listed = vec![false; slots.len()];
    for (expert, row) in log2phy.chunks(columns).enumerate() {
        let listed = row.iter().position(|&replica| replica == PADDING).unwrap_or(columns);
        if let Some(&replica) = row[listed..].iter().find(|&&replica| replica != PADDING) {
            return Err(PlanError::BehindPadding { layer, expert, replica });
        }
        for &replica in &row[..listed] {
            let Some(number) = below(replica, slots.len()) else {
                return Err(PlanError::NoSuchReplica { layer, expert, replica, last: slots.len() - 1 });
            };
            if slots[number] != expert {
                return Err(PlanError::OtherExpert { layer, expert, replica, of: slots[number] });
            }
            if std::mem::replace(&mut is_listed[number], true) {
                return Err(PlanError::Twice { layer, expert, replica });
            }
        }
        if listed != counts[expert] {
            return Err(PlanError::Unlisted { layer, expert, listed, found: counts[expert] });
        }
    }
    Ok(())
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

    #[track_caller]
    fn error(change: impl Fn(&mut Maps)) -> String {
        let mut maps = maps();
        change(&mut maps);
        maps.verify(&topology()).unwrap_err().to_string()
    }

    #[test]
    fn maps_that_agree_make_a_plan_however_wide_their_lists_are() {
        assert_eq!(maps().verify(&topology()).unwrap(), Plan::new(&maps().phy2log, &topology()).unwrap());
        let wide = maps().log2phy.chunks(2).flat_map(|row| [row[0], row[1], -1]).collect();
        let wide = Maps { log2phy: wide, columns: 3, ..maps() };
        assert!(wide.verify(&topology()).is_ok());
        assert_eq!(Maps::most_columns(&topology()), 2);
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
}
