//! `packevolve fsck`.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::run::fsck::{self, Finding, Report};
use crate::view::inspect::FORMAT;
use crate::view::output::harmless;

/// Check that the journal and the archive of a run are intact and agree
///
/// Checks digests, objects, commits, refs and leftovers of crashes. `packevolve replay` checks more: that each event
/// follows from the events before it.
#[derive(Debug, Args)]
pub struct Fsck {
    #[command(flatten)]
    run: RunArgs,
    /// Repair what can be repaired without losing anything, then check again
    #[arg(long)]
    repair: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve fsck --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct FsckJson<'a> {
    format: u32,
    #[serde(flatten)]
    report: &'a Report,
    /// Findings that `--repair` has cured.
    repaired: &'a [Finding],
}

impl Fsck {
    pub fn run(&self) -> Result<Exit, CommandError> {
        let folder = self.run.folder()?;
        let mut report = fsck::check(&folder)?;
        let mut repaired = Vec::new();
        if self.repair && report.findings.iter().any(|finding| finding.repairable) {
            fsck::repair(&folder)?;
            let after = fsck::check(&folder)?;
            repaired = report.findings.into_iter().filter(|finding| !after.findings.contains(finding)).collect();
            report = after;
        }
        let json = FsckJson { format: FORMAT, report: &report, repaired: &repaired };
        self.format.print(&json, |_| text(&report, &repaired, &folder.path().display().to_string()))?;
        Ok(if report.findings.is_empty() { Exit::Success } else { Exit::Damaged })
    }
}

fn text(report: &Report, repaired: &[Finding], run: &str) -> String {
    let Report { events, candidates, objects, under_way, findings } = report;
    let mut text = String::new();
    for finding in repaired {
        text += &format!("repaired: {}\n", line(finding));
    }
    for finding in findings {
        text += &format!("{}\n    {}\n", line(finding), finding.cure);
    }
    text += &format!("{run}: {events} events, {candidates} candidates, {objects} objects: ");
    text += &match findings.len() {
        0 => "journal and archive are whole and agree\n".to_owned(),
        1 => "1 thing is wrong\n".to_owned(),
        several => format!("{several} things are wrong\n"),
    };
    if *under_way {
        text += "a harness is at work on this run: its refs and what it has not settled were not looked at\n";
    }
    text
}

fn line(finding: &Finding) -> String {
    let place = match (finding.line, finding.candidate) {
        (Some(line), Some(candidate)) => format!("line {line}, candidate {candidate}: "),
        (Some(line), None) => format!("line {line}: "),
        (None, Some(candidate)) => format!("candidate {candidate}: "),
        (None, None) => String::new(),
    };
    harmless(&format!("{}: {place}{}", finding.kind, finding.what))
}
