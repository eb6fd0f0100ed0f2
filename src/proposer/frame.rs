//! Frame: what stands around the blocks of a composed program, for each target: the function that the judge calls, the blocks
//! that every program has, and how many it may have of each kind.

use strum::{Display, EnumIter, EnumString};

use crate::values::settings::EvaluationSettings;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumIter, EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum BlockKind {
    Frame,
    Helper,
    // of packing
    Order,
    Assign,
    Select,
    Refine,
    Bound,
    Restart,
    // of policies
    Forecast,
    Fresh,
    Move,
    Renew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Packing,
    Policy,
}

/// The blocks that every program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameBlocks {
    /// It makes the loads ready for the others, and stands before them.
    pub(crate) first: &'static str,
    /// It makes the answer, and stands behind them.
    pub(crate) last: &'static str,
    /// It has a line that calls of the others replace.
    pub(crate) caller: &'static str,
}

impl Frame {
    /// The frame of a run's programs.
    pub(crate) fn of(settings: &EvaluationSettings) -> Self {
        if settings.policy.is_some() { Self::Policy } else { Self::Packing }
    }

    /// The function that the judge calls.
    pub(crate) fn entry(self) -> &'static str {
        match self {
            Self::Packing => "balanced_packing",
            Self::Policy => "rebalance_experts",
        }
    }

    pub(crate) fn blocks(self) -> FrameBlocks {
        match self {
            Self::Packing => FrameBlocks { first: "sorted", last: "placement", caller: "pack" },
            Self::Policy => FrameBlocks { first: "in_force", last: "maps", caller: "planned" },
        }
    }

    /// The least and the greatest number of blocks of a kind.
    pub(crate) fn allowed(self, kind: BlockKind) -> (usize, usize) {
        match (self, kind) {
            (Self::Packing, BlockKind::Order | BlockKind::Restart | BlockKind::Select) => (0, 1),
            (Self::Packing, BlockKind::Assign) => (1, 2),
            (Self::Packing, BlockKind::Refine) => (0, 4),
            (Self::Packing, BlockKind::Bound) => (1, 1),
            (Self::Policy, BlockKind::Forecast | BlockKind::Fresh) => (1, 1),
            (Self::Policy, BlockKind::Move) => (0, 3),
            (Self::Policy, BlockKind::Renew) => (0, 1),
            _ => (0, 0),
        }
    }

    /// The kinds of which a program may have more or fewer blocks.
    pub(crate) fn optional(self) -> &'static [BlockKind] {
        match self {
            Self::Packing => &[BlockKind::Order, BlockKind::Refine, BlockKind::Restart, BlockKind::Select],
            Self::Policy => &[BlockKind::Move, BlockKind::Renew],
        }
    }

    /// The kinds of which every program has a block.
    pub(crate) fn required(self) -> &'static [BlockKind] {
        match self {
            Self::Packing => &[BlockKind::Assign, BlockKind::Bound],
            Self::Policy => &[BlockKind::Forecast, BlockKind::Fresh],
        }
    }

    /// The block of a required kind that does least. It stands in for one that is left out.
    pub(crate) fn plain(self, kind: BlockKind) -> Option<&'static str> {
        match (self, kind) {
            (Self::Policy, BlockKind::Forecast) => Some("forecast_last"),
            (Self::Policy, BlockKind::Fresh) => Some("fresh_greedy"),
            _ => None,
        }
    }
}
