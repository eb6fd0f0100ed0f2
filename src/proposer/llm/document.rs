//! Turns a model's reply into a proposal document. Pure.
//!
//! Tolerates prose around the proposal, fences around or in it, tags that share a line with their text, and thoughts
//! before the answer, because none of these changes the proposal. Never guesses: an edit that does not apply, or an
//! ambiguous reply, is an error whose [`diagnosis`](ReplyError::diagnosis) can go back to the model.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use thiserror::Error;

use crate::edit::apply::{Edit, EditError};
use crate::edit::line::{bare, lines, number};
use crate::edit::mismatch::Mismatch;
use crate::edit::proposal::{DESCRIPTION_LENGTH, NAME_LENGTH, Proposal, ProposalError, Tag};
use crate::edit::region::{Region, RegionError, RegionMarker};
use crate::proposer::llm::fence::{Fenced, fenced, is_fence};
use crate::values::event::RequestForm;

/// A reply without a usable proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error, IntoStaticStr, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ReplyError {
    /// A section is missing.
    #[error("no {tag} section in the reply")]
    Missing { tag: Tag },
    /// A section does not end.
    #[error("the {tag} section does not end")]
    Unclosed { tag: Tag },
    /// More than one proposal.
    #[error("{count} {tag} sections in the reply: answer with one proposal")]
    Several { tag: Tag, count: usize },
    /// The proposal is not well formed.
    #[error("{error}")]
    Malformed {
        /// Line numbers count within the section.
        error: ProposalError,
    },
    /// The edit does not apply to the parent.
    #[error("the edit does not apply: {mismatch}")]
    DoesNotApply { mismatch: Mismatch },
    /// The reply holds no program, nor an edit where one is allowed.
    #[error("no program in the reply: it must stand in a fenced block and define balanced_packing")]
    NoProgram,
    /// The closing fence of the program is missing.
    #[error("the fenced block of the program does not end")]
    UnclosedProgram,
    /// More than one program.
    #[error("{count} programs in the reply: answer with one")]
    SeveralPrograms { count: usize },
    /// The region markers of the program do not pair up, or their number differs from the parent's.
    #[error("the region markers of the program: {}", problem.as_ref().map_or_else(
        || "their number differs from the parent's".to_owned(), ToString::to_string))]
    Markers {
        /// Set if they do not pair up.
        problem: Option<RegionError>,
    },
    /// New code outside the editable region.
    #[error("{line:?} stands outside the editable region, which cannot change")]
    Outside { line: String },
    /// The program cannot be written as an edit of its parent.
    #[error("the program cannot be written as an edit of its parent: {error}")]
    NoEdit { error: EditError },
}

impl ReplyError {
    /// The problem, explained to the author of the reply, with places of the parent where they help.
    pub fn diagnosis(&self) -> String {
        match self {
            Self::DoesNotApply { mismatch } => format!("The edit does not apply. {}", mismatch.evidence()),
            _ => format!("{self}\n"),
        }
    }
}

/// The proposal in a reply, as a document that applies to `parent`.
pub fn document(form: RequestForm, parent: &str, reply: &str) -> Result<Vec<u8>, ReplyError> {
    let reply = answer(reply);
    // Replies may use either line end; the prompt showed an LF parent in LF.
    let reply = if parent.contains('\r') { Cow::Borrowed(reply) } else { Cow::Owned(reply.replace("\r\n", "\n")) };
    let has_diff = openings(&reply, Tag::Diff).next().is_some();
    let proposal = match form {
        RequestForm::Rewrite => of_program(parent, &reply)?,
        RequestForm::Crossover if !has_diff => of_program(parent, &reply)?,
        RequestForm::Edit | RequestForm::Crossover => of_edit(parent, &reply)?,
    };
    Ok(proposal.to_string().into_bytes())
}

/// Removes the thoughts that some models put before their reply.
fn answer(reply: &str) -> &str {
    let thoughts = reply.trim_start().strip_prefix("<think>").and_then(|thoughts| thoughts.split_once("</think>"));
    thoughts.map_or(reply, |(_, answer)| answer)
}

fn of_edit(parent: &str, reply: &str) -> Result<Proposal, ReplyError> {
    let diff = section(reply, Tag::Diff)?;
    let edit = Edit::parse(without_fence(diff))
        .map_err(|error| ReplyError::Malformed { error: ProposalError::Edit { error } })?;
    edit.apply(parent).map_err(|mismatch| ReplyError::DoesNotApply { mismatch })?;
    // A tag inside the code of an edit is not a section.
    let around = reply.replacen(diff, "\n", 1);
    proposal(&around, edit)
}

fn of_program(parent: &str, reply: &str) -> Result<Proposal, ReplyError> {
    let program = program(reply)?;
    let child = grafted(parent, program)?;
    let edit = Edit::between(parent, &child).map_err(|error| ReplyError::NoEdit { error })?;
    proposal(&reply.replacen(program, "\n", 1), edit)
}

fn proposal(around: &str, edit: Edit) -> Result<Proposal, ReplyError> {
    let name = tidy_name(section(around, Tag::Name)?);
    let description = tidy_description(section(around, Tag::Description)?);
    Proposal::new(&name, &description, edit).map_err(|error| ReplyError::Malformed { error })
}

/// The text of the only section with this tag. A tag begins a line, and its text may follow on that line.
fn section(text: &str, tag: Tag) -> Result<&str, ReplyError> {
    let opened: Vec<usize> = openings(text, tag).collect();
    let [from] = opened[..] else {
        return Err(match opened.len() {
            0 => ReplyError::Missing { tag },
            count => ReplyError::Several { tag, count },
        });
    };
    let after = &text[from..];
    // The end tag of a DIFF needs a line of its own, so that it is not found in code.
    let end = match tag {
        Tag::Diff => lines_with_starts(after).find(|(_, line)| bare(line) == tag.close()).map(|(at, _)| at),
        Tag::Name | Tag::Description => after.find(&tag.close()),
    };
    end.map(|end| &after[..end]).ok_or(ReplyError::Unclosed { tag })
}

/// The offsets where sections with this tag begin.
fn openings(text: &str, tag: Tag) -> impl Iterator<Item = usize> + '_ {
    lines_with_starts(text).filter_map(move |(at, line)| {
        let rest = match tag {
            Tag::Diff => (bare(line) == tag.open()).then_some("")?,
            Tag::Name | Tag::Description => line.trim_start_matches([' ', '\t']).strip_prefix(&tag.open())?,
        };
        Some(at + line.len() - rest.len())
    })
}

fn lines_with_starts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    lines(text).scan(0, |offset, line| {
        let start = *offset;
        *offset += line.len();
        Some((start, line))
    })
}

/// Removes the fence around the blocks of a DIFF.
fn without_fence(diff: &str) -> &str {
    let all: Vec<(usize, &str)> = lines_with_starts(diff).filter(|(_, line)| !line.trim().is_empty()).collect();
    match (all.first(), all.last()) {
        (Some((first, opens)), Some((last, closes))) if first < last && is_fence(opens) && is_fence(closes) => {
            &diff[first + opens.len()..*last]
        }
        _ => diff.trim_start_matches([' ', '\t']),
    }
}

/// Makes a NAME valid: models use arrows and dashes, which an author cannot contain.
fn tidy_name(name: &str) -> String {
    let letter = |char: char| match char {
        '\u{2010}'..='\u{2015}' => '-',
        char if char.is_whitespace() => ' ',
        '<' | '>' => '_',
        char if char.is_alphanumeric() || char.is_ascii_graphic() => char,
        _ => '_',
    };
    let name: String = name.trim().chars().map(letter).take(NAME_LENGTH).collect();
    name.trim_matches(|char: char| " .,:;\"'\\`*".contains(char)).to_owned()
}

/// Makes a DESCRIPTION valid: shortens it and removes control characters.
fn tidy_description(description: &str) -> String {
    let printable = |char: &char| !char.is_control() || ['\n', '\t'].contains(char);
    let mut text: String = description.trim_matches(['\r', '\n']).chars().filter(printable).collect();
    text.truncate(text.floor_char_boundary(DESCRIPTION_LENGTH));
    text
}

/// The only fenced block with a program.
fn program(reply: &str) -> Result<&str, ReplyError> {
    let defines = |fenced: &Fenced<'_>| {
        lines(fenced.content).any(|line| line.starts_with("def balanced_packing(") || RegionMarker::of(line).is_some())
    };
    let programs: Vec<Fenced<'_>> = fenced(reply).into_iter().filter(defines).collect();
    match programs[..] {
        [] => Err(ReplyError::NoProgram),
        [Fenced { closed: false, .. }] => Err(ReplyError::UnclosedProgram),
        [Fenced { content, .. }] => Ok(content),
        _ => Err(ReplyError::SeveralPrograms { count: programs.len() }),
    }
}

/// The parent with its editable regions replaced by those of `program`. A program without markers is the region itself.
fn grafted(parent: &str, program: &str) -> Result<String, ReplyError> {
    let of = |text: &str| Region::of(text).map_err(|problem| ReplyError::Markers { problem: Some(problem) });
    let (theirs, ours) = (of(parent)?, of(program)?);
    let is_marked = |text: &str| lines(text).any(|line| RegionMarker::of(line).is_some());
    if theirs.spans().len() != 1 && !is_marked(program)
        || ours.spans().len() != theirs.spans().len() && is_marked(program)
    {
        return Err(ReplyError::Markers { problem: None });
    }
    let outside = outside(parent, &theirs);
    let news = match is_marked(program) {
        true => new_line_outside(&self::outside(program, &ours), &outside),
        false => is_marked(parent).then(|| repeated_definition(program, &outside)).flatten(),
    };
    if let Some(line) = news {
        return Err(ReplyError::Outside { line: bare(line).to_owned() });
    }
    let mut child = String::with_capacity(parent.len() + program.len());
    let mut copied = 0;
    for (their, our) in theirs.spans().iter().zip(ours.spans()) {
        child += &parent[copied..their.start];
        child += &program[our.clone()];
        // The next marker needs a line of its own.
        if their.end < parent.len() && !child.ends_with('\n') {
            child.push('\n');
        }
        copied = their.end;
    }
    child += &parent[copied..];
    Ok(child)
}

/// The lines outside of all regions.
fn outside<'a>(text: &'a str, region: &Region) -> Vec<&'a str> {
    let inside = |at: usize| region.spans().iter().any(|span| span.contains(&at));
    lines_with_starts(text).filter(|(at, _)| !inside(*at)).map(|(_, line)| line).collect()
}

/// An import or definition outside the regions that the parent lacks: the program would not run without it, and it
/// cannot stay there. Changes to comments do not matter.
fn new_line_outside<'a>(program: &[&'a str], parent: &[&str]) -> Option<&'a str> {
    let binds = |line: &str| ["import ", "from ", "def ", "class ", "@"].iter().any(|word| line.starts_with(word));
    let known = |line: &str| parent.iter().any(|theirs| bare(theirs) == bare(line));
    program.iter().copied().find(|line| binds(line) && !known(line))
}

/// A definition in a program without markers that the parent has outside its region. Then the program is more than the
/// region, and its boundaries would be a guess.
fn repeated_definition<'a>(program: &'a str, parent: &[&str]) -> Option<&'a str> {
    let defines = |line: &str| line.starts_with("def ") || line.starts_with("class ");
    lines(program).find(|line| defines(line) && parent.iter().any(|theirs| bare(theirs) == bare(line)))
}

/// The lines of the editable regions, from 1, inclusive.
pub(crate) fn editable_lines(program: &str) -> Vec<(usize, usize)> {
    let spans = Region::of(program).map(|region| region.spans().to_vec()).unwrap_or_default();
    let lines =
        |span: std::ops::Range<usize>| (number(program, span.start), number(program, span.end.saturating_sub(1)));
    spans.into_iter().filter(|span| !span.is_empty()).map(lines).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "import torch\n\n# EVOLVE-BLOCK-START\ndef balanced_packing(weight, num_packs):\n    n = 1\n    \
                          return n\n# EVOLVE-BLOCK-END\n\n\ndef other():\n    pass\n";
    const EDIT: &str = "<NAME>\nfaster\n</NAME>\n<DESCRIPTION>\nWhy.\n</DESCRIPTION>\n<DIFF>\n<<<<<<< SEARCH\n    n = 1\n\
                        =======\n    n = 2\n>>>>>>> REPLACE\n</DIFF>\n";
    const HEAD: &str = "<NAME>new</NAME>\n<DESCRIPTION>All new.</DESCRIPTION>\n";
    const REGION: &str = "def balanced_packing(weight, num_packs):\n    return 3\n";

    /// Parses a document as `derive` does.
    #[track_caller]
    fn applied(parent: &str, document: &[u8]) -> (Proposal, String) {
        let proposal = Proposal::parse(std::str::from_utf8(document).unwrap()).unwrap();
        let program = proposal.edit.apply(parent).unwrap();
        (proposal, program)
    }

    #[track_caller]
    fn child(form: RequestForm, reply: &str) -> (Proposal, String) {
        let document = document(form, PARENT, reply).unwrap_or_else(|error| panic!("{error}:\n{reply}"));
        applied(PARENT, &document)
    }

    #[track_caller]
    fn error(form: RequestForm, reply: &str) -> ReplyError {
        let error = document(form, PARENT, reply).expect_err(reply);
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(json["kind"], <&str>::from(&error));
        assert_eq!(serde_json::from_value::<ReplyError>(json).unwrap(), error);
        error
    }

    #[test]
    fn an_edit_is_found_in_any_surroundings() {
        let wanted = PARENT.replace("n = 1", "n = 2");
        let inline = EDIT.replace("<NAME>\nfaster\n</NAME>", "<NAME> faster </NAME>").replace("\nWhy.\n", "Why.");
        for reply in [
            EDIT.to_owned(),
            format!("Sure! I use <NAME>, <DESCRIPTION> and <DIFF>.\n\n{EDIT}\nThis helps because `n` is 2."),
            format!("```text\n{EDIT}```\n"),
            EDIT.replace("<DIFF>\n", "<DIFF>\n```diff\n").replace("</DIFF>", "```\n</DIFF>"),
            EDIT.replace('\n', "\r\n"),
            format!("<think>\nFirst idea:\n{EDIT}\nNo.\n</think>\n{EDIT}"),
            format!("  \n{}", EDIT.trim_end()),
            inline,
        ] {
            let (proposal, program) = child(RequestForm::Edit, &reply);
            assert_eq!((proposal.name.as_str(), proposal.description.as_str()), ("faster", "Why."), "{reply}");
            assert_eq!(program, wanted, "{reply}");
        }
    }

    #[test]
    fn the_code_of_an_edit_is_never_read_as_a_tag_or_a_fence() {
        let code = "    s = '''\n    <NAME>\n    ```\n    '''\n    n = \"</DIFF>\"";
        let (_, program) = child(RequestForm::Edit, &EDIT.replace("    n = 2", code));
        assert_eq!(program, PARENT.replace("    n = 1", code));
    }

    #[test]
    fn an_edit_that_cannot_be_tried_says_why() {
        for (reply, kind, wanted) in [
            ("", "missing", "no DIFF section in the reply"),
            ("I cannot do that.", "missing", "no DIFF section in the reply"),
            (&EDIT.replace("<NAME>\nfaster\n</NAME>\n", ""), "missing", "no NAME section in the reply"),
            (&EDIT.replace("</DIFF>\n", ""), "unclosed", "the DIFF section does not end"),
            (&format!("{EDIT}{EDIT}"), "several", "2 DIFF sections in the reply: answer with one proposal"),
            (&EDIT.replace("=======\n", ""), "malformed", "DIFF: line "),
            (&EDIT.replace("<<<<<<< SEARCH", "@@ -1 +1 @@"), "malformed", "DIFF: line "),
            (&EDIT.replace("n = 1", "n  = 1"), "does-not-apply", "nearest is line 5, which differs in blanks only"),
            (&EDIT.replace("    n = 1", "import torch"), "does-not-apply", "outside the editable region"),
            (&EDIT.replace("n = 2", "n = 1"), "does-not-apply", "the edit changes nothing"),
        ] {
            let error = error(RequestForm::Edit, reply);
            assert_eq!(<&str>::from(&error), kind, "{reply}");
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_diagnosis_shows_the_nearest_place() {
        let diagnosis = error(RequestForm::Edit, &EDIT.replace("n = 1", "n  = 1")).diagnosis();
        assert!(diagnosis.contains("      -     n  = 1\n    5 +     n = 1\n"), "{diagnosis}");
    }

    #[test]
    fn a_name_that_no_author_can_have_is_made_one() {
        let name = |name: &str| child(RequestForm::Edit, &EDIT.replace("faster", name)).0.name;
        assert_eq!(name("**LPT \u{2192} swaps \u{2013} 2\u{d7}.**"), "LPT _ swaps - 2_");
        assert_eq!(name(&"x".repeat(300)).len(), NAME_LENGTH);
        assert_eq!(<&str>::from(error(RequestForm::Edit, &EDIT.replace("faster", "..."))), "malformed");
        let description = child(RequestForm::Edit, &EDIT.replace("Why.", &"\u{e9}\u{7}".repeat(10_000))).0.description;
        assert_eq!(description, "\u{e9}".repeat(DESCRIPTION_LENGTH / 2));
    }

    #[test]
    fn a_rewrite_becomes_an_edit_of_the_region() {
        let wanted = PARENT.replace("    n = 1\n    return n\n", "    return 3\n");
        let marked = PARENT.replace("    n = 1\n    return n\n", "    return 3\n");
        for program in [
            REGION.to_owned(),
            format!("# EVOLVE-BLOCK-START\n{REGION}# EVOLVE-BLOCK-END\n"),
            marked.clone(),
            marked.replace("import torch\n", "# as before\nimport torch\n"),
        ] {
            let reply = format!("Here it is.\n\n{HEAD}\n```python\n{program}```\nA usage:\n```\nx = other()\n```\n");
            let (proposal, made) = child(RequestForm::Rewrite, &reply);
            assert_eq!((proposal.name.as_str(), proposal.edit.blocks().len()), ("new", 1));
            assert_eq!(made, wanted, "{program}");
        }
        let unended = format!("{HEAD}```\n{}\n```", REGION.trim_end());
        assert_eq!(child(RequestForm::Rewrite, &unended).1, wanted);
    }

    #[test]
    fn a_rewrite_that_cannot_be_tried_says_why() {
        let fence = |program: &str| format!("{HEAD}```python\n{program}```\n");
        let unpaired = fence(&format!("# EVOLVE-BLOCK-START\n{REGION}"));
        let imports = fence(&format!("import numpy\n# EVOLVE-BLOCK-START\n{REGION}# EVOLVE-BLOCK-END\n"));
        let twice = fence(&format!("{REGION}# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n"));
        let whole = PARENT.replace("# EVOLVE-BLOCK-START\n", "").replace("# EVOLVE-BLOCK-END\n", "");
        for (reply, kind, wanted) in [
            (HEAD.to_owned() + REGION, "no-program", "must stand in a fenced block"),
            (fence("def something():\n    pass\n"), "no-program", "define balanced_packing"),
            (format!("{HEAD}```\n{REGION}"), "unclosed-program", "does not end"),
            (fence(REGION) + &fence(REGION), "several-programs", "2 programs"),
            (unpaired, "markers", "EVOLVE-BLOCK-START without"),
            (imports, "outside", "\"import numpy\" stands outside"),
            (twice, "outside", "\"def balanced_packing(weight, num_packs):\" stands outside"),
            (fence(&whole), "outside", "\"def other():\" stands outside"),
            (fence(PARENT), "no-edit", "edit of its parent: "),
            (fence(REGION).replace(HEAD, ""), "missing", "no NAME"),
        ] {
            let error = error(RequestForm::Rewrite, &reply);
            assert_eq!(<&str>::from(&error), kind, "{reply}");
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_crossover_may_be_an_edit_or_a_program() {
        assert_eq!(child(RequestForm::Crossover, EDIT).1, PARENT.replace("n = 1", "n = 2"));
        let rewrite = format!("{HEAD}```python\n{REGION}```\n");
        assert!(child(RequestForm::Crossover, &rewrite).1.contains("return 3"));
        assert_eq!(<&str>::from(error(RequestForm::Crossover, "Both are fine.")), "no-program");
    }

    #[test]
    fn a_parent_without_markers_is_replaced_as_a_whole() {
        let parent = "import torch\n\ndef balanced_packing(weight, num_packs):\n    return 1\n";
        let child = "import numpy\n\ndef balanced_packing(weight, num_packs):\n    return 2\n";
        let document = document(RequestForm::Rewrite, parent, &format!("{HEAD}```\n{child}```\n")).unwrap();
        assert_eq!(applied(parent, &document).1, child);
    }

    #[test]
    fn the_editable_lines_are_those_between_the_markers() {
        assert_eq!(editable_lines(PARENT), [(4, 6)]);
        assert_eq!(editable_lines("a\nb"), [(1, 2)]);
    }

    proptest! {
        #[test]
        fn no_reply_breaks_the_reader(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<NAME>", "</NAME>", "<DESCRIPTION>", "</DESCRIPTION>", "<DIFF>", "</DIFF>", "<<<<<<< SEARCH", "=======",
                ">>>>>>> REPLACE", "```", "```python", "    n = 1", "    n = 2", "# EVOLVE-BLOCK-START",
                "# EVOLVE-BLOCK-END", "def balanced_packing(weight, num_packs):", "<think>", "</think>", "\u{e9}", "", "\r",
            ]), 0..40),
            glue in prop::sample::select(vec!["\n", "\r\n", " "]),
        ) {
            let reply = parts.join(glue);
            for form in [RequestForm::Edit, RequestForm::Rewrite, RequestForm::Crossover] {
                match document(form, PARENT, &reply) {
                    Ok(document) => prop_assert!(applied(PARENT, &document).1 != PARENT),
                    Err(error) => prop_assert!(!error.diagnosis().trim().is_empty()),
                }
            }
        }
    }
}
