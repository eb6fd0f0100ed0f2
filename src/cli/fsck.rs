//! `packevolve fsck`: is the record of a run whole, and if not, what can be done?

use clap::Args;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::format::{Format, print_json};
use crate::cli::named::{RunArguments, find_run};
use crate::run::fsck::{self, Finding, Report};
use crate::view::inspect::FORMAT;
use crate::view::output::{harmless, print};

/// Holds the journal of a run against its archive: digests, objects, commits, refs, and what crashes left.
///
/// Whether the events follow from each other is not asked; `packevolve replay` does that.
#[derive(Debug, Args)]
pub struct Fsck {
    #[command(flatten)]
    run: RunArguments,
    /// Do what can be done without losing anything, and check again.
    #[arg(long)]
    repair: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What was found. The shape of its JSON is part of the interface.
#[derive(Serialize)]
struct Told<'a> {
    format: u32,
    #[serde(flatten)]
    report: &'a Report,
    /// What was wrong before `--repair` and is right now.
    repaired: &'a [Finding],
}

impl Fsck {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let folder = find_run(self.run.config.as_deref(), self.run.run.as_deref())?;
        let mut report = fsck::check(&folder)?;
        let mut repaired = Vec::new();
        if self.repair && report.findings.iter().any(|finding| finding.repairable) {
            fsck::repair(&folder)?;
            let after = fsck::check(&folder)?;
            repaired = report.findings.into_iter().filter(|finding| !after.findings.contains(finding)).collect();
            report = after;
        }
        match self.format {
            Format::Json => print_json(&Told { format: FORMAT, report: &report, repaired: &repaired })?,
            Format::Table => print(text(&report, &repaired, &folder.path().display().to_string()))?,
        }
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
        (None, _) => String::new(),
    };
    harmless(&format!("{}: {place}{}", finding.kind, finding.what))
}
