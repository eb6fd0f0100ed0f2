//! Turns a model's reply into a proposal document. Pure.
//!
//! Tolerates prose around the proposal, fences around or in it, a path above a block, and tags that share a line with their
//! text, because none of these changes the proposal. Never guesses: an edit that does not apply, or an ambiguous reply, is
//! an error whose [`diagnosis`](ReplyError::diagnosis) can go back to the model.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use thiserror::Error;

use crate::edit::apply::{Edit, EditError};
use crate::edit::block::Marker;
use crate::edit::line::{bare, line_end, lines, lines_with_starts, number};
use crate::edit::mismatch::Mismatch;
use crate::edit::proposal::{DESCRIPTION_LENGTH, NAME_LENGTH, Proposal, ProposalError, Tag};
use crate::edit::region::{Region, RegionError, RegionMarker};
use crate::proposer::llm::fence::{Fenced, before_fence, fenced, is_fence, last_line_readings, readings};
use crate::proposer::syntax::is_sound;
use crate::values::event::RequestForm;

/// How many fences are tried as the end of one block.
const MOST_ENDS: usize = 20;

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
    #[error("{count} {tag} sections in the reply, one perhaps in its thoughts: answer with one proposal")]
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
    #[error("{count} programs in the reply, one perhaps in its thoughts: answer with one")]
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

fn of_edit(parent: &str, reply: &str) -> Result<Proposal, ReplyError> {
    let diff = section(reply, Tag::Diff)?;
    let edit = Edit::parse(&without_fences(diff))
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
        Tag::Diff => lines_with_starts(after).find(|(_, line)| before_fence(line) == tag.close()).map(|(at, _)| at),
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

/// A DIFF with blank lines in place of the fences around its blocks and of the paths above them, so that every other
/// line keeps its number. Inside a block only a fence behind its last marker goes.
fn without_fences(diff: &str) -> String {
    let diff = diff.trim_start_matches([' ', '\t']);
    let mut text = String::with_capacity(diff.len());
    let mut is_in_block = false;
    for (at, line) in lines_with_starts(diff) {
        let is_end = Marker::of(before_fence(line)) == Some(Marker::Replace);
        if is_in_block && is_end {
            text += before_fence(line);
            text += line_end(line);
        } else if is_in_block || !is_wrapping(line, &diff[at + line.len()..]) {
            text += line;
        } else {
            text += line_end(line);
        }
        is_in_block = if is_in_block { !is_end } else { Marker::of(line) == Some(Marker::Search) };
    }
    text
}

/// Whether a line between blocks is a fence, or the path of the program above a block that `follows`.
fn is_wrapping(line: &str, follows: &str) -> bool {
    let next = lines(follows).find(|line| !line.trim().is_empty());
    let leads_to_block = next.is_some_and(|next| is_fence(next) || Marker::of(next) == Some(Marker::Search));
    is_fence(line) || leads_to_block && is_path(line)
}

/// Whether a line names a Python file and says nothing else.
fn is_path(line: &str) -> bool {
    let decoration = |char: char| char.is_whitespace() || "`*#:\"'".contains(char);
    let path = line.trim_matches(decoration);
    let path = path.strip_prefix("File:").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
    let path = path.trim_matches(decoration);
    path.ends_with(".py") && !path.contains(char::is_whitespace)
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
    let programs: Vec<Fenced<'_>> = fenced(reply).into_iter().filter(|fenced| is_program(fenced.content)).collect();
    match programs[..] {
        [Fenced { closed: true, content }] if is_sound(content) => return Ok(content),
        _ => {}
    }
    // A fence in a string of the program, or on its last line, hides where it ends.
    let wholes = whole_programs(reply);
    if let Some(whole) = wholes.first() {
        let span = whole.as_bytes().as_ptr_range();
        let lies_within = |text: &str| span.contains(&text.as_ptr());
        if !wholes.iter().all(|other| lies_within(other)) {
            return Err(ReplyError::SeveralPrograms { count: wholes.len() });
        }
        // Then these are its parts, and not programs of their own.
        if programs.iter().all(|piece| lies_within(piece.content)) {
            return Ok(whole);
        }
    }
    match programs[..] {
        [] => Err(ReplyError::NoProgram),
        [Fenced { closed: false, .. }] => Err(ReplyError::UnclosedProgram),
        [Fenced { content, .. }] => Ok(content),
        _ => Err(ReplyError::SeveralPrograms { count: programs.len() }),
    }
}

fn is_program(text: &str) -> bool {
    lines(text).any(|line| line.starts_with("def balanced_packing(") || RegionMarker::of(line).is_some())
}

/// For each fence the shortest text up to another one that is a sound program, or up to a fence on its last line.
fn whole_programs(reply: &str) -> Vec<&str> {
    let is_whole = |text: &&str| is_program(text) && is_sound(text);
    let between: Vec<&str> =
        readings(reply).into_iter().filter_map(|ends| ends.take(MOST_ENDS).find(is_whole)).collect();
    if between.is_empty() { last_line_readings(reply).filter(is_whole).collect() } else { between }
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
            (
                &format!("{EDIT}{EDIT}"),
                "several",
                "2 DIFF sections in the reply, one perhaps in its thoughts: answer with one proposal",
            ),
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
    fn a_block_may_have_a_fence_and_a_path_of_its_own() {
        let second = "<<<<<<< SEARCH\n    return n\n=======\n    return 2\n>>>>>>> REPLACE\n";
        let wanted = PARENT.replace("n = 1", "n = 2").replace("return n", "return 2");
        let block = EDIT.split_once("<DIFF>\n").unwrap().1.strip_suffix("</DIFF>\n").unwrap();
        let diff = |text: &str| EDIT.replace(block, text);
        for text in [
            format!("```\n{block}```\n```\n{second}```\n"),
            format!("```python\n{block}```\n\n~~~diff\n{second}~~~\n"),
            format!("eplb.py\n```python\n{block}```\n\n`candidates/eplb.py`\n\n```python\n{second}```\n"),
            format!("### File: eplb.py\n{block}\n**eplb.py:**\n{second}"),
            format!("```python eplb.py\neplb.py\n{block}\n{second}```\n"),
            format!("```\n{block}{}```\n", second.trim_end()),
            format!("```\n{block}{second}"),
        ] {
            assert_eq!(child(RequestForm::Edit, &diff(&text)).1, wanted, "{text}");
        }
        for ending in ["</DIFF>```\n", "</DIFF> ```"] {
            let reply = format!("```\n{}", EDIT.replace("</DIFF>\n", ending));
            assert_eq!(child(RequestForm::Edit, &reply).1, PARENT.replace("n = 1", "n = 2"));
        }
    }

    #[test]
    fn what_is_neither_fence_nor_path_is_named_with_its_line_of_the_section() {
        let line = |text: &str| match error(RequestForm::Edit, &EDIT.replace("<DIFF>\n", &format!("<DIFF>\n{text}"))) {
            ReplyError::Malformed { error: ProposalError::Edit { error: EditError::Stray { line, text } } } => {
                (line, text)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(line("```diff\n@@ -1 +1 @@\n"), (2, "@@ -1 +1 @@".to_owned()));
        assert_eq!(line("In eplb.py:\n"), (1, "In eplb.py:".to_owned()));
        assert_eq!(line("eplb.py\nx = 1\n"), (1, "eplb.py".to_owned()));
        assert_eq!(line("```\n```\n\nx = 1\n"), (4, "x = 1".to_owned()));
        // Lines of a block count as they did before its fence was taken off.
        let unended =
            EDIT.replace("<DIFF>\n", "<DIFF>\n\n```\n").replace("=======\n", "").replace("</DIFF>", "```\n</DIFF>");
        assert!(error(RequestForm::Edit, &unended).to_string().starts_with("DIFF: line 6: \">>>>>>> REPLACE\""));
    }

    #[test]
    fn fences_in_a_program_and_on_its_last_line_do_not_end_it_early() {
        let docs = "\"\"\"Example:\n```\npacks = balanced_packing(weight, 8)\n```\n\"\"\"\n";
        let odd = "\"\"\"\n```\n\"\"\"\n";
        let inside = "def balanced_packing(weight, num_packs):\n    \"\"\"Packs.\n```\ndef balanced_packing(w, p):\n```\n    \
                      \"\"\"\n    return 3\n";
        for program in [format!("{docs}{REGION}"), format!("{odd}{REGION}"), inside.to_owned()] {
            let wanted =
                PARENT.replace("def balanced_packing(weight, num_packs):\n    n = 1\n    return n\n", &program);
            for fenced in [
                format!("```python\n{program}```\n"),
                format!("A check:\n```\nx = other()\n```\n\n```python\n{program}```\nDone.\n"),
                format!("```python\n{}```\n", program.trim_end()),
                format!("```python\n# EVOLVE-BLOCK-START\n{program}# EVOLVE-BLOCK-END\n```\n"),
            ] {
                assert_eq!(child(RequestForm::Rewrite, &format!("{HEAD}{fenced}")).1, wanted, "{fenced}");
            }
        }
    }

    #[test]
    fn two_programs_stay_two_with_fences_in_their_strings() {
        let docs = "\"\"\"\n```\n\"\"\"\n";
        for [one, other] in [
            [format!("{docs}{REGION}"), format!("{docs}{REGION}")],
            [format!("{docs}{REGION}"), REGION.to_owned()],
            ["def balanced_packing(weight, num_packs):\n    # as before\n".to_owned(), REGION.to_owned()],
        ] {
            let reply = format!("{HEAD}```python\n{one}```\nOr:\n```python\n{other}```\n");
            let error = error(RequestForm::Rewrite, &reply);
            assert!(["several-programs", "no-program", "unclosed-program"].contains(&<&str>::from(&error)), "{error}");
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
                "# EVOLVE-BLOCK-END", "def balanced_packing(weight, num_packs):", "\u{e9}", "", "\r",
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
