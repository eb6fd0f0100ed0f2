//! Candidate: what the commit of a candidate is, to the byte. Pure, so that replay can say what an id must be.

use crate::archive::error::RepositoryError;
use crate::archive::id::{BlobId, CommitId, GitId, TreeId};
use crate::archive::object::{CommitFacts, Object, Signature};

/// The file of a candidate's commit that holds the proposal as it was received.
pub const PROPOSAL_FILE: &str = "proposal.txt";

/// What a name that leaves nothing to show becomes.
const UNNAMED: &str = "unnamed";

/// The longest author, in characters: `git blame` prints it before every line.
const MAX_AUTHOR: usize = 120;

/// A candidate to be archived.
#[derive(Clone, Copy, Debug)]
pub struct NewCandidate<'a> {
    /// Its sequential number.
    pub number: u64,
    /// What its program's file is called.
    pub file_name: &'a str,
    /// The program.
    pub program: &'a str,
    /// The proposal that made it, byte for byte as received; none for the program that a run starts from.
    pub proposal: Option<&'a [u8]>,
    /// The proposal's NAME; the author.
    pub name: &'a str,
    /// The proposal's DESCRIPTION.
    pub description: &'a str,
    /// The commits of its parents, the one it was edited from first. One named twice counts once.
    pub parents: &'a [CommitId],
    /// Ends the message, as in `("Candidate", "12")`.
    pub trailers: &'a [(&'a str, String)],
    /// The run's recorded epoch; the commit's time is that plus `number` seconds.
    pub epoch: i64,
}

/// The ids of an archived candidate. Its commit is named by nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an archived candidate is lost unless the journal names its commit"]
pub struct Written {
    /// The candidate's commit.
    pub commit: CommitId,
    /// Its files.
    pub tree: TreeId,
    /// Its program.
    pub program: BlobId,
    /// Its proposal.
    pub proposal: Option<BlobId>,
}

/// The objects of a candidate, each after those it names.
pub(super) struct Draft {
    pub objects: Vec<Object>,
    pub written: Written,
}

impl RepositoryError {
    /// Every commit but that of the seed program holds a proposal.
    pub fn no_proposal(commit: CommitId) -> Self {
        Self::NoSuchFile { commit, file: PROPOSAL_FILE.to_owned() }
    }
}

impl NewCandidate<'_> {
    /// The ids that archiving this candidate gives, without archiving it.
    pub fn ids(&self) -> Result<Written, RepositoryError> {
        Ok(self.draft()?.written)
    }

    /// What its commit says about itself.
    pub fn facts(&self) -> Result<CommitFacts, RepositoryError> {
        let Draft { objects, .. } = self.draft()?;
        let commit = objects.last().and_then(|commit| CommitFacts::parse(&commit.bytes));
        Ok(commit.expect("BUG: the last object of a draft is a commit as we write it"))
    }

    pub(super) fn draft(&self) -> Result<Draft, RepositoryError> {
        check_file_name(self.file_name)?;
        let program = Object::blob(self.program.as_bytes().to_vec());
        let proposal = self.proposal.map(|bytes| Object::blob(bytes.to_vec()));
        let mut files = vec![(self.file_name, BlobId::from_oid(program.id))];
        files.extend(proposal.iter().map(|object| (PROPOSAL_FILE, BlobId::from_oid(object.id))));
        let tree = Object::tree(files);
        let commit = self.commit(TreeId::from_oid(tree.id))?;
        let written = Written {
            commit: CommitId::from_oid(commit.id),
            tree: TreeId::from_oid(tree.id),
            program: BlobId::from_oid(program.id),
            proposal: proposal.as_ref().map(|object| BlobId::from_oid(object.id)),
        };
        let objects = [Some(program), proposal, Some(tree), Some(commit)].into_iter().flatten().collect();
        Ok(Draft { objects, written })
    }

    fn commit(&self, tree: TreeId) -> Result<Object, RepositoryError> {
        let time = u64::try_from(self.epoch).ok().and_then(|epoch| epoch.checked_add(self.number));
        let time = time.filter(|time| i64::try_from(*time).is_ok());
        let time = time.ok_or(RepositoryError::CommitTime { epoch: self.epoch, number: self.number })?;
        let mut parents: Vec<CommitId> = Vec::new();
        for parent in self.parents {
            if !parents.contains(parent) {
                parents.push(*parent);
            }
        }
        let name = author(self.name);
        let by = Signature { name: &name, email: &email(&name), time };
        Ok(Object::commit(tree, &parents, &by, &self.message()))
    }

    fn message(&self) -> String {
        let subject = match one_line(self.name) {
            empty if empty.is_empty() => UNNAMED.to_owned(),
            subject => subject,
        };
        let description = self.description.replace('\0', "\u{fffd}");
        let trailers: String =
            self.trailers.iter().map(|(key, value)| format!("{key}: {}\n", one_line(value))).collect();
        let parts = [subject.as_str(), description.trim(), trailers.trim_end()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("\n\n") + "\n"
    }
}

/// Git refuses some names in a tree, and checks none that it is handed as bytes.
fn check_file_name(name: &str) -> Result<(), RepositoryError> {
    let lower = name.to_lowercase();
    let reserved = name == PROPOSAL_FILE || lower.starts_with(".git") || lower.starts_with("git~");
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+~ ".contains(c));
    if reserved || !plain || ["", ".", ".."].contains(&name) {
        return Err(RepositoryError::FileName { name: name.to_owned() });
    }
    Ok(())
}

/// Runs of white space and control characters become one space each.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A proposal's name as git can hold it: no `<`, `>` or line break, and none of what git itself strips at the ends.
fn author(name: &str) -> String {
    let stripped = |c: char| c <= ' ' || ".,:;<>\"\\'".contains(c);
    let line = one_line(&name.replace(['<', '>'], " "));
    let short: String = line.trim_matches(stripped).chars().take(MAX_AUTHOR).collect();
    match short.trim_end_matches(stripped) {
        "" => UNNAMED.to_owned(),
        name => name.to_owned(),
    }
}

fn email(author: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '-' };
    let local: String = author.chars().map(plain).collect();
    match local.trim_matches(['.', '-']) {
        "" => format!("{UNNAMED}@packevolve"),
        local => format!("{local}@packevolve"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: NewCandidate<'_> = NewCandidate {
        number: 12,
        file_name: "eplb.py",
        program: "pass\n",
        proposal: Some(b"<NAME>\nrefine packing\n</NAME>\n"),
        name: "refine packing",
        description: "Swap items\nuntil none helps.\n",
        parents: &[],
        trailers: &[],
        epoch: 1_700_000_000,
    };

    fn text_of(new: &NewCandidate<'_>) -> String {
        let draft = new.draft().unwrap();
        String::from_utf8(draft.objects.last().unwrap().bytes.clone()).unwrap()
    }

    #[test]
    fn a_commit_is_these_bytes() {
        let parent: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let trailers = [("Candidate", "12".to_owned()), ("Parent", "7".to_owned())];
        let new = NewCandidate { parents: &[parent, parent], trailers: &trailers, ..PLAIN };
        assert_eq!(
            text_of(&new),
            "tree 8b541d6fffb639a9283d4868a084a9c9938ed835\n\
             parent 0123456789abcdef0123456789abcdef01234567\n\
             author refine packing <refine-packing@packevolve> 1700000012 +0000\n\
             committer refine packing <refine-packing@packevolve> 1700000012 +0000\n\
             \n\
             refine packing\n\nSwap items\nuntil none helps.\n\nCandidate: 12\nParent: 7\n"
        );
        assert_eq!(new.ids().unwrap().commit.to_string(), "617b98f1bf44407839f3f7562dd347be235a0fa9");
    }

    #[test]
    fn every_input_but_the_epoch_of_another_run_changes_the_id() {
        let id = |new: NewCandidate<'_>| new.ids().unwrap().commit;
        let variants = [
            PLAIN,
            NewCandidate { number: 13, ..PLAIN },
            NewCandidate { file_name: "other.py", ..PLAIN },
            NewCandidate { program: "pass", ..PLAIN },
            NewCandidate { proposal: None, ..PLAIN },
            NewCandidate { name: "refine", ..PLAIN },
            NewCandidate { description: "", ..PLAIN },
        ];
        let ids: std::collections::BTreeSet<_> = variants.map(id).into_iter().collect();
        assert_eq!(ids.len(), 7);
    }

    #[test]
    fn the_start_program_has_no_proposal() {
        let written = NewCandidate { proposal: None, ..PLAIN }.ids().unwrap();
        assert_eq!(written.proposal, None);
    }

    #[test]
    fn nasty_names_become_authors_that_git_accepts() {
        for (name, expected, address) in [
            ("vectorized_greedy", "vectorized_greedy", "vectorized_greedy@packevolve"),
            ("a <b@c> d", "a b@c d", "a-b-c-d@packevolve"),
            ("two\nlines\r\n\tand tabs", "two lines and tabs", "two-lines-and-tabs@packevolve"),
            ("..., \"dots\"; and commas,.", "dots\"; and commas", "dots---and-commas@packevolve"),
            ("nul\0 inside\u{85}\u{2028}", "nul inside", "nul-inside@packevolve"),
            ("größer", "größer", "gr--er@packevolve"),
            ("日本", "日本", "unnamed@packevolve"),
            ("", "unnamed", "unnamed@packevolve"),
            ("<>.,\n", "unnamed", "unnamed@packevolve"),
        ] {
            assert_eq!(author(name), expected, "{name:?}");
            assert_eq!(email(&author(name)), address, "{name:?}");
        }
        let long = format!("{}. {}", "x".repeat(MAX_AUTHOR - 1), "y".repeat(MAX_AUTHOR));
        assert_eq!(author(&long), "x".repeat(MAX_AUTHOR - 1));
    }

    #[test]
    fn a_message_has_no_empty_parts_and_no_nul() {
        let trailers = [("Candidate", "1\nForged: yes".to_owned())];
        let new = NewCandidate { name: " \n", description: "\n a\0b \n", trailers: &trailers, ..PLAIN };
        assert_eq!(new.message(), "unnamed\n\na\u{fffd}b\n\nCandidate: 1 Forged: yes\n");
        assert_eq!(NewCandidate { description: " ", ..PLAIN }.message(), "refine packing\n");
    }

    #[test]
    fn file_names_that_git_or_the_archive_reserves_are_refused() {
        for name in ["", ".", "..", "a/b", ".git", ".GitModules", "git~1", "a\nb", "a\0", "proposal.txt", "ü.py"] {
            let refused = NewCandidate { file_name: name, ..PLAIN }.ids();
            assert!(matches!(refused, Err(RepositoryError::FileName { .. })), "{name:?}");
        }
    }

    #[test]
    fn times_that_git_cannot_hold_are_refused() {
        for (epoch, number) in [(-1, 5), (i64::MAX, 1), (0, u64::MAX)] {
            let refused = NewCandidate { epoch, number, ..PLAIN }.ids();
            assert!(matches!(refused, Err(RepositoryError::CommitTime { .. })), "{epoch} {number}");
        }
    }
}
