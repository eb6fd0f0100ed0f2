//! Export: a program of a run as it leaves the run: with a header that says where it comes from, and as the series of
//! edits that make it from the seed program. Makes texts; writes nothing.

use packevolve_contract::loads::Loads;

use crate::archive::ProgramsError;
use crate::edit::diff;
use crate::run::fold::Run;
use crate::values::candidate::CandidateId;
use crate::view::format::{milliseconds, with_interval};
use crate::view::gain::Gain;
use crate::view::output::harmless;

/// The longest name of a file of a series, in characters, without its number and extension.
const NAME_LENGTH: usize = 80;

/// The program of a candidate with its header, which stands before its first line, or behind a line that has to be the
/// first. Everything else is the program to the byte, licence notices and all.
pub fn standalone(run: &Run, candidate: CandidateId) -> Result<String, ProgramsError> {
    let program = run.programs.program(candidate)?;
    let (head, rest) = program.split_at(header_place(&program));
    Ok(format!("{head}{}{rest}", header(run, candidate)))
}

/// The files of the series: the seed program, the proposals in order, all of them as one diff, and the program.
pub fn series(run: &Run, candidate: CandidateId) -> Result<Vec<(String, Vec<u8>)>, ProgramsError> {
    let file_name = &run.search.origin().file_name;
    let (seed, winner) = (&run.search.origin().program, run.programs.program(candidate)?);
    let mut files = vec![(format!("000_seed_{file_name}"), seed.clone().into_bytes())];
    for (at, step) in run.search.line_to(candidate).into_iter().enumerate().skip(1) {
        let known = run.search.candidate(step).expect("BUG: a parent is a candidate");
        let proposal = run.programs.proposal(step)?.ok_or(ProgramsError::Moved(step))?;
        files.push((format!("{at:03}_{}.txt", file_stem(&known.name)), proposal.0));
    }
    files.push(("all.patch".to_owned(), diff::unified(file_name, seed, &winner).into_bytes()));
    files.push((file_name.clone(), winner.as_bytes().to_vec()));
    Ok(files)
}

/// A NAME as a file can be called everywhere.
fn file_stem(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    name.chars().map(plain).take(NAME_LENGTH).collect()
}

/// Where a header may stand: behind a byte order mark, the line that names the interpreter and the one that names the
/// encoding, which Python takes in the first two lines only.
fn header_place(program: &str) -> usize {
    let mark = if program.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut place = mark;
    for (number, line) in program[mark..].split_inclusive('\n').take(2).enumerate() {
        let names_interpreter = number == 0 && line.starts_with("#!");
        let names_encoding = line.starts_with('#') && (line.contains("coding:") || line.contains("coding="));
        if !names_interpreter && !names_encoding {
            break;
        }
        place += line.len();
    }
    place
}

fn header(run: &Run, candidate: CandidateId) -> String {
    let known = run.search.candidate(candidate).expect("BUG: the candidate was found in the run");
    let started = run.search.origin();
    let folder = std::path::absolute(run.folder.path()).unwrap_or_else(|_| run.folder.path().to_owned());
    let run_name = folder.file_name().map_or("?".into(), |name| name.to_string_lossy().into_owned());
    let edits = match run.search.line_to(candidate).len() - 1 {
        1 => "1 edit".to_owned(),
        count => format!("{count} edits"),
    };
    let judge = &started.judge;
    let mut lines = vec![
        format!("This program was evolved by PackEvolve {}.", started.packevolve),
        String::new(),
        format!("run        {run_name}, rng_seed {}", started.settings.rng_seed),
        format!("candidate  {candidate}, {}: {edits} from the seed program", known.name),
        format!("commit     {}", known.commit),
    ];
    lines.extend(scores(run, candidate));
    lines.extend(known.inconsistencies.iter().map(|inconsistency| format!("NOT consistent: {inconsistency}")));
    lines
        .extend((!known.doubtful.is_empty()).then(|| format!("doubtful   its times of {}", known.doubtful.join(", "))));
    lines.push(format!("loads      {}", loads(run)));
    lines.push(format!("measured   on {} ({}), torch {}", judge.device, judge.device_name, judge.torch));
    lines.push(format!("replay     packevolve replay {candidate} --run {run_name}"));
    lines.push(String::new());
    lines.push("Without these lines it is the program of that commit to the byte.".to_owned());
    let comment = |line: &String| match harmless(line).replace(['\n', '\t'], " ") {
        empty if empty.is_empty() => "#\n".to_owned(),
        line => format!("# {line}\n"),
    };
    lines.iter().map(comment).collect::<String>() + "#\n"
}

/// What is known of it, on held-out windows where it is the best of the run.
fn scores(run: &Run, candidate: CandidateId) -> Vec<String> {
    let gain = Gain::of(&run.search).filter(|gain| gain.candidate == candidate);
    let (scores, windows) = match &gain {
        Some(gain) if gain.held_out_windows > 0 => (Some(&gain.best), "on windows that the search never saw"),
        _ => (run.search.scores_of(candidate), "on the windows of the search"),
    };
    let Some(scores) = scores else { return vec!["scores     none: it was not measured in full".to_owned()] };
    let quality = scores.quality.map_or(String::new(), |quality| format!("quality {quality:.4}, "));
    let mut lines = vec![
        format!(
            "scores     combined_score {}, {quality}speed_score {:.4}, balancedness_score {:.4}",
            with_interval(scores.combined_score, gain.as_ref().and_then(|gain| gain.half_width)),
            scores.speed_score,
            scores.balancedness_score
        ),
        format!("           {windows}"),
    ];
    lines.extend(gain.and_then(|gain| {
        let (before, after) = gain.unit()?;
        let (before, after) = (milliseconds(before), milliseconds(after));
        let balancedness = gain.baseline.balancedness_score;
        let baseline = format!("baseline   balancedness_score {balancedness:.4}; all packing calls of one rebalance");
        Some(format!("{baseline} {before} ms -> {after} ms"))
    }));
    lines
}

fn loads(run: &Run) -> String {
    let started = run.search.origin();
    let from = match &started.settings.evaluation.loads {
        Loads::MadeUp => "made up after the statistics of DeepSeek-V3's".to_owned(),
        Loads::Path(path) => path.display().to_string(),
    };
    let (judge, loads_seed) = (&started.judge, started.settings.evaluation.loads_seed);
    let count = judge.windows + judge.held_out_windows;
    format!("{from}; {count} windows, loads_seed {loads_seed}, digest {}", judge.loads_digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_stands_behind_the_lines_that_have_to_be_first() {
        for (head, rest) in [
            ("", "import torch\n"),
            ("", "\"\"\"Doc.\"\"\"\n# coding: utf-8\n"),
            ("#!/usr/bin/env python3\n", "# A licence.\n"),
            ("#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n", "import torch\n"),
            ("# vim: set fileencoding=utf-8 :\n", "x = 1"),
            ("\u{feff}", "# A licence.\n"),
            ("\u{feff}# coding: utf-8\n", "\n"),
            ("", ""),
        ] {
            assert_eq!(header_place(&format!("{head}{rest}")), head.len(), "{head:?} {rest:?}");
        }
    }

    #[test]
    fn a_name_becomes_a_file_name() {
        assert_eq!(file_stem("../a b/é\u{1b}.c"), ".._a_b___.c");
        assert_eq!(file_stem(&"x".repeat(100)).len(), NAME_LENGTH);
    }
}
