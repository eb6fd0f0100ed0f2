//! Serving: what a rebalance costs a deployment, and what it is worth there, in seconds.
//!
//! One physical figure instead of weights, which one would have to choose: the time that a window of serving loses to unevenly
//! loaded GPUs, to the transfer of replicas and to planning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The prices of a deployment. The defaults are those of DeepSeek-V3.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serving {
    /// How long a plan serves, at perfect balance, seconds.
    pub window: f64,
    /// The share of a step, at perfect balance, that waits for the GPU with the heaviest load.
    pub moe_share: f64,
    /// Bytes of the weights of an expert of one layer.
    pub expert_bytes: f64,
    /// At which a GPU receives replicas, bytes a second.
    pub bandwidth: f64,
    /// The share of transfer and planning that serving waits for.
    pub exposed: f64,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            // vLLM's step_interval of 3000 steps, of 50 ms each: DeepSeek's inference of V3 writes 20 to 22 tokens a second
            // for a user (deepseek-ai/open-infra-index, day 6).
            window: 150.0,
            // There is no public figure; a third is a guess.
            moe_share: 0.33,
            // Three matrices of 7168 x 2048 in 8 bits (config.json of DeepSeek-V3).
            expert_bytes: 44_040_192.0,
            // A port of 400 Gbit/s for each GPU (arXiv 2412.19437, section 3.1).
            bandwidth: 50e9,
            // SGLang rebalances between two steps. vLLM moves replicas beside them.
            exposed: 1.0,
        }
    }
}

/// What one window loses, or the mean of several, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Waiting for the heaviest GPU, beyond perfect balance.
    pub imbalance: f64,
    /// Receiving replicas, on the GPU that receives most; as far as serving waits for it.
    pub transfer: f64,
    /// Calling the planner; as far as serving waits for it.
    pub planning: f64,
}

impl Serving {
    /// Why these are no prices: the name of the field, its value, and what it must be.
    pub fn problem(&self) -> Option<(&'static str, f64, &'static str)> {
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        let is_share = |value: f64| (0.0..=1.0).contains(&value);
        let checked = [
            ("window", self.window, is_positive(self.window), "a time above 0, in seconds"),
            ("moe_share", self.moe_share, is_share(self.moe_share) && self.moe_share > 0.0, "above 0, at most 1"),
            ("expert_bytes", self.expert_bytes, is_positive(self.expert_bytes), "a number of bytes above 0"),
            ("bandwidth", self.bandwidth, is_positive(self.bandwidth), "above 0, in bytes a second"),
            ("exposed", self.exposed, is_share(self.exposed), "from 0 to 1"),
        ];
        checked.into_iter().find(|(.., is_fit, _)| !is_fit).map(|(name, value, _, wanted)| (name, value, wanted))
    }

    /// What a window loses that is served with this balancedness, above 0, after the busiest GPU has received
    /// `busiest_replicas` for it, and its planner has taken `planning_seconds`.
    pub fn lost(&self, balancedness: f64, busiest_replicas: f64, planning_seconds: f64) -> Lost {
        Lost {
            imbalance: self.window * self.moe_share * (1.0 / balancedness - 1.0),
            transfer: self.exposed * busiest_replicas * self.expert_bytes / self.bandwidth,
            planning: self.exposed * planning_seconds,
        }
    }

    /// Lost seconds as a share of the time that a window takes with them.
    pub fn share_of_throughput(&self, lost_seconds: f64) -> f64 {
        lost_seconds / (self.window + lost_seconds)
    }
}

impl Lost {
    pub fn total(&self) -> f64 {
        self.imbalance + self.transfer + self.planning
    }

    /// The mean of several; nothing for none.
    pub fn mean(all: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| all.iter().map(part).sum::<f64>() / all.len().max(1) as f64;
        Self {
            imbalance: of(|lost| lost.imbalance),
            transfer: of(|lost| lost.transfer),
            planning: of(|lost| lost.planning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_add_up_to_what_is_lost() {
        let serving = Serving { window: 100.0, moe_share: 0.5, expert_bytes: 10.0, bandwidth: 5.0, exposed: 0.5 };
        let lost = serving.lost(0.8, 4.0, 3.0);
        assert_eq!(lost, Lost { imbalance: 12.5, transfer: 4.0, planning: 1.5 });
        assert_eq!(lost.total(), 18.0);
        assert_eq!(serving.share_of_throughput(25.0), 0.2);
        assert_eq!(Lost::mean(&[lost, Lost::default()]).total(), 9.0);
        assert_eq!(serving.lost(1.0, 0.0, 0.0), Lost::default());
    }

    #[test]
    fn a_price_that_cannot_be_one_is_named() {
        assert_eq!(Serving::default().problem(), None);
        assert_eq!(Serving { moe_share: 0.0, ..Serving::default() }.problem().unwrap().0, "moe_share");
        assert_eq!(Serving { bandwidth: f64::NAN, ..Serving::default() }.problem().unwrap().0, "bandwidth");
        assert_eq!(Serving { exposed: 1.5, ..Serving::default() }.problem().unwrap().0, "exposed");
    }
}
