//! Inconsistency: the ways in which the answers of a program depend on what they must not depend on.
//!
//! Every rank of an inference engine plans for itself. Ranks whose plans differ corrupt the output of the model, so a
//! program must answer alike in every process, and pack each row alike beside any other rows.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

/// What differs between two processes that ask for the same packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Switch {
    /// Nothing: the same call is answered differently in a process with the same settings.
    #[strum(to_string = "nothing but the process")]
    Process,
    /// The seed of the generators of torch, numpy and random.
    #[strum(to_string = "the seed of the random generators")]
    Seed,
    /// The number of threads of torch.
    #[strum(to_string = "the number of threads of torch")]
    Threads,
    /// `PYTHONHASHSEED`.
    #[strum(to_string = "PYTHONHASHSEED")]
    HashSeed,
    /// `ATEN_CPU_CAPABILITY`: the vector instructions that torch uses.
    #[strum(to_string = "ATEN_CPU_CAPABILITY")]
    TorchVectors,
    /// `NPY_DISABLE_CPU_FEATURES`: the vector instructions that NumPy uses.
    #[strum(to_string = "NPY_DISABLE_CPU_FEATURES")]
    NumpyVectors,
    /// `NUMBA_BOUNDSCHECK`: whether Numba checks that an index is within its array.
    #[strum(to_string = "NUMBA_BOUNDSCHECK, so it reads or writes beyond an array")]
    NumbaBounds,
    /// `NUMBA_CPU_NAME`: the processor that Numba compiles for.
    #[strum(to_string = "NUMBA_CPU_NAME")]
    NumbaCpu,
    /// Several of these together, or one that could not be tried alone.
    #[strum(to_string = "one of the settings of the process, or several together")]
    Several,
}

/// A dependence of the answers on the process or on other rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Inconsistency {
    /// Another process answers the same call differently, or raises.
    Elsewhere {
        /// Name of the case.
        case: String,
        switch: Switch,
        /// How many rows are packed differently.
        rows: usize,
        /// The number of rows that were compared.
        of: usize,
    },
    /// The packing of a row depends on the rows that are packed with it, or on their order.
    Rows {
        /// Name of the case.
        case: String,
        /// How many rows are packed differently.
        rows: usize,
        /// The number of rows that were compared.
        of: usize,
    },
    /// Another process plans the same rebalance differently, or raises.
    PlansElsewhere {
        /// The rebalance: its policy and shape.
        plan: String,
        switch: Switch,
        /// How many layers are planned differently.
        layers: usize,
        /// The number of layers that were compared.
        of: usize,
    },
    /// The plan of a layer depends on the layers that are planned with it, or on their order.
    Layers {
        /// The rebalance: its policy and shape.
        plan: String,
        /// How many layers are planned differently.
        layers: usize,
        /// The number of layers that were compared.
        of: usize,
    },
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere { case, switch, rows, of } => {
                write!(f, "another process packs {rows} of {of} rows of {case} differently; what differs is {switch}")
            }
            Self::Rows { case, rows, of } => {
                write!(f, "{rows} of {of} rows of {case} are packed differently if other rows are packed with them")
            }
            Self::PlansElsewhere { plan, switch, layers, of } => {
                write!(
                    f,
                    "another process plans {layers} of {of} layers differently ({plan}); what differs is {switch}"
                )
            }
            Self::Layers { plan, layers, of } => {
                write!(
                    f,
                    "{layers} of {of} layers are planned differently if other layers are planned with them ({plan})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inconsistency_names_its_case_and_its_cause() {
        let elsewhere =
            Inconsistency::Elsewhere { case: "288->32".to_owned(), switch: Switch::NumpyVectors, rows: 3, of: 58 };
        let text =
            "another process packs 3 of 58 rows of 288->32 differently; what differs is NPY_DISABLE_CPU_FEATURES";
        assert_eq!(elsewhere.to_string(), text);
        let json = serde_json::to_value(&elsewhere).unwrap();
        assert_eq!((json["kind"].as_str(), json["switch"].as_str()), (Some("elsewhere"), Some("numpy-vectors")));
    }
}
