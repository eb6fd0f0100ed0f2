//! Beside: programs measured beside the best policy of a run, on chains that its search never saw: serving engines'
//! planners, the rest of the front, the best without one of its parts.

use std::fmt;

use packevolve_contract::duel::Verdict;
use packevolve_contract::policy::PolicyScore;
use packevolve_contract::serving::Serving;
use packevolve_contract::stream::{Purpose, stream};
use packevolve_contract::topology::Topology;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::search::Search;
use crate::values::candidate::BlobId;
use crate::view::format::{count, milliseconds, or_none, percent, score, signed, with_interval};
use crate::view::output::harmless;
use crate::view::table::Table;
use crate::view::terminal::Terminal;

/// The columns of [`Beside::rows`].
pub(crate) const COLUMNS: &str = "program|lost,\ns#|more than\nthe best, s#|score#|score less\nthe best's#|served#|\
                                  moved\n%#|plan,\nms#";

/// The result of `packevolve compare`. The shape of its JSON is part of the interface, and `packevolve report --beside`
/// reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    pub format: u32,
    /// The name of the run.
    pub run: String,
    /// The program of its best, which all others are compared with.
    pub best_program: BlobId,
    /// What all programs were measured on.
    pub chains: Chains,
    /// The best of the run, and then the others as they were asked for.
    pub programs: Vec<Measured>,
}

/// Chains of windows that the search of a run never saw, and the prices of lost time. Figures on others do not compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chains {
    pub loads_digest: String,
    pub topology: Topology,
    /// Windows of a chain.
    pub windows: usize,
    /// The number of chains.
    pub count: usize,
    /// Keys them.
    pub seed: u64,
    /// How many chains the run holds out, of which these are made. 0: they are made of those of the search, if those were
    /// read.
    pub held_out: usize,
    pub prices: Serving,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    pub name: String,
    pub kind: Kind,
    /// What the part does that is left out; else empty.
    pub about: String,
    /// Why it has no figures.
    pub rejection: Option<String>,
    /// `None` if it was rejected.
    pub policy: Option<PolicyScore>,
    /// Its score minus that of the best, chain by chain; `None` for the best itself.
    pub verdict: Option<Verdict>,
}

/// What a program is to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The best of the run.
    Best,
    /// A candidate on its front.
    Front,
    /// The best without one of its building blocks.
    Without,
    /// A file that was named.
    File,
}

/// Why figures do not belong to a run or to those of another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlike {
    Loads,
    Topology,
    Windows,
    Seed,
    Count,
    Prices,
    Best,
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loads => "other loads",
            Self::Topology => "another topology",
            Self::Windows => "chains of another length",
            Self::Seed => "other chains",
            Self::Count => "another number of chains",
            Self::Prices => "the prices of another deployment",
            Self::Best => "another best program",
        })
    }
}

impl Chains {
    /// The first chains of a run; `None` if its target is packing.
    pub fn of(search: &Search, count: usize) -> Option<Self> {
        let settings = search.settings();
        let policy = settings.evaluation.policy?;
        Some(Self {
            loads_digest: search.origin().judge.loads_digest.clone(),
            topology: settings.evaluation.topology.clone(),
            windows: policy.chain_windows,
            count,
            held_out: settings.evaluation.held_out_windows,
            seed: stream(settings.rng_seed, 0, Purpose::Beside).random(),
            prices: policy.deployment,
        })
    }

    /// The first difference, if figures on both do not compare.
    fn unlike(&self, other: &Self) -> Option<Unlike> {
        let differences = [
            (Unlike::Loads, self.loads_digest != other.loads_digest),
            (Unlike::Topology, self.topology != other.topology),
            (Unlike::Windows, self.windows != other.windows),
            (Unlike::Seed, (self.seed, self.held_out) != (other.seed, other.held_out)),
            (Unlike::Count, self.count != other.count),
            (Unlike::Prices, self.prices != other.prices),
        ];
        differences.into_iter().find(|(_, differs)| *differs).map(|(unlike, _)| unlike)
    }
}

impl Measured {
    /// Its name, and what it is to the run.
    pub fn label(&self) -> String {
        match self.kind {
            Kind::Best => format!("the best: {}", self.name),
            Kind::Without => format!("without {}", self.name),
            Kind::Front => format!("candidate {}", self.name),
            Kind::File => self.name.clone(),
        }
    }
}

impl Beside {
    /// Why the figures do not go with a run that has these chains and this best, if they do not. Runs with the same settings
    /// have the same chains.
    pub fn unlike(&self, chains: &Chains, best: Option<BlobId>) -> Option<Unlike> {
        let has_other_best = best != Some(self.best_program);
        self.chains.unlike(chains).or(has_other_best.then_some(Unlike::Best))
    }

    fn best(&self) -> Option<&PolicyScore> {
        self.programs.iter().find(|program| program.kind == Kind::Best)?.policy.as_ref()
    }

    /// A row for each program, the first losing least.
    pub(crate) fn rows(&self) -> Vec<(&Measured, Vec<String>)> {
        let lost = |program: &Measured| program.policy.as_ref().map_or(f64::INFINITY, |policy| policy.lost.total());
        let mut sorted: Vec<&Measured> = self.programs.iter().collect();
        sorted.sort_by(|a, b| lost(a).total_cmp(&lost(b)));
        sorted.into_iter().map(|program| (program, self.cells(program))).collect()
    }

    fn cells(&self, program: &Measured) -> Vec<String> {
        let Some(policy) = &program.policy else {
            let why = program.rejection.as_deref().unwrap_or("was not measured");
            return vec![format!("{} (rejected: it {why})", program.label())];
        };
        let more =
            self.best().filter(|_| program.kind != Kind::Best).map(|best| policy.lost.total() - best.lost.total());
        vec![
            program.label(),
            format!("{:.3}", policy.lost.total()),
            or_none(more.map(|more| signed(more, 3))),
            score(policy.combined_score),
            or_none(program.verdict.map(|verdict| with_interval(verdict.difference, Some(verdict.uncertainty)))),
            format!("{:.4}", policy.served_balancedness),
            percent(policy.moved),
            milliseconds(policy.normalised_seconds),
        ]
    }

    /// What DeepSeek's planner loses on these chains, and on what they are.
    pub(crate) fn lead(&self) -> String {
        let Chains { windows, prices, .. } = &self.chains;
        let chains = count(self.chains.count, "chain", "chains");
        let planner = self.best().map_or(String::new(), |best| {
            format!(" DeepSeek's planner loses {:.3} s of a window there: score 0.", best.baseline_lost.total())
        });
        let whence = match self.chains.held_out {
            0 => "none of them held out from the search",
            _ => "which the search never saw",
        };
        format!(
            "On {chains} of {windows} windows of {} s, {whence}.{planner} A difference of scores within its uncertainty (±) \
             is none.",
            prices.window
        )
    }

    /// What the blocks do that are left out, and whether that costs anything.
    pub(crate) fn parts(&self) -> Vec<String> {
        let without = self.programs.iter().filter(|program| program.kind == Kind::Without);
        let line = |program: &Measured| {
            let worth = match program.verdict {
                Some(verdict) if verdict.is_lost() => "it helps",
                Some(verdict) if verdict.is_won() => "it does harm",
                Some(_) => "no difference can be seen",
                None if program.rejection.is_some() => "the program without it is rejected",
                None => "the best is rejected here",
            };
            format!("{}: {worth} ({})", program.name, program.about)
        };
        without.map(line).collect()
    }

    pub fn text(&self, terminal: &Terminal) -> String {
        let rows =
            self.rows().into_iter().map(|(_, cells)| cells.iter().map(|cell| harmless(cell).to_string()).collect());
        let parts: String = self.parts().iter().map(|line| format!("{}\n", harmless(line))).collect();
        let table = Table::new(COLUMNS, rows.collect()).expendable([7, 2]).draw(terminal);
        format!("{}\n\n{table}\n{}{parts}", self.lead(), if parts.is_empty() { "" } else { "\n" })
    }
}
