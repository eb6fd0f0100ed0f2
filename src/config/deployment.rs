//! `deployment`: what a rebalance costs, for the target `policy`.

use std::time::Duration;

use bytesize::ByteSize;
use packevolve_contract::serving::Serving;
use serde::{Deserialize, Serialize};

use crate::config::wrong::{Wrong, demand, time};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeploymentConfig {
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    pub moe_share: f64,
    pub expert_bytes: ByteSize,
    pub bandwidth: ByteSize,
    pub exposed: f64,
}

impl Default for DeploymentConfig {
    fn default() -> Self {
        let Serving { window, moe_share, expert_bytes, bandwidth, exposed } = Serving::default();
        Self {
            window: Duration::from_secs_f64(window),
            moe_share,
            expert_bytes: ByteSize::b(expert_bytes as u64),
            bandwidth: ByteSize::b(bandwidth as u64),
            exposed,
        }
    }
}

impl DeploymentConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        time("deployment.window", self.window, Duration::from_millis(1))?;
        match self.serving().problem() {
            Some((name, value, wanted)) => demand(false, &format!("deployment.{name}"), value, wanted),
            None => Ok(()),
        }
    }

    /// The prices of a second of serving.
    pub fn serving(&self) -> Serving {
        Serving {
            window: self.window.as_secs_f64(),
            moe_share: self.moe_share,
            expert_bytes: self.expert_bytes.as_u64() as f64,
            bandwidth: self.bandwidth.as_u64() as f64,
            exposed: self.exposed,
        }
    }
}
