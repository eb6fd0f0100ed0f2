//! The series of edits that make a program from the seed program.

use crate::archive::ProgramsError;
use crate::edit::diff;
use crate::run::fold::Run;
use crate::values::candidate::CandidateId;

/// The longest name of a file of a series, in characters, without its number and extension.
const NAME_LENGTH: usize = 80;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_file_name() {
        assert_eq!(file_stem("../a b/é\u{1b}.c"), ".._a_b___.c");
        assert_eq!(file_stem(&"x".repeat(100)).len(), NAME_LENGTH);
    }
}
