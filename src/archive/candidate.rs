//! The commit of a candidate, to the byte. Pure, so that replay can compute ids.

use git2::{ObjectType, Oid};

use crate::archive::error::ArchiveError;
use crate::archive::id::{BlobId, CommitId, GitId, TreeId};
use crate::archive::object::{Object, Signature};

/// The file of a commit that holds the proposal as received.
pub const PROPOSAL_FILE: &str = "proposal.txt";

/// Replaces a name without visible characters.
const UNNAMED: &str = "unnamed";

/// The longest author in characters, because `git blame` prints it before every line.
const MAX_AUTHOR: usize = 120;

/// A candidate to be archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCandidate {
    pub number: u64,
    /// File name of its program.
    pub file_name: String,
    pub program: String,
    /// The proposal as received; none for the seed program.
    pub proposal: Option<Vec<u8>>,
    /// The proposal's NAME; the author.
    pub name: String,
    pub description: String,
    /// The commits of its parents, the edited one first. Duplicates count once.
    pub parents: Vec<CommitId>,
    /// Trailers of the message, such as `("Candidate", "12")`.
    pub trailers: Vec<(&'static str, String)>,
    /// The recorded epoch of the run; the commit's time is `epoch + number` seconds.
    pub epoch: i64,
}

/// The ids of a candidate's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateIds {
    pub commit: CommitId,
    pub tree: TreeId,
    pub program: BlobId,
    pub proposal: Option<BlobId>,
}

impl CandidateIds {
    /// From the known ids of commit and program.
    pub fn of(commit: CommitId, program: BlobId, file_name: &str, proposal: Option<&[u8]>) -> Self {
        let proposal = proposal.map(blob_id);
        let tree = TreeId::from_oid(files(file_name, program, proposal).id);
        Self { commit, tree, program, proposal }
    }

    /// All of them, as git knows them.
    pub(super) fn oids(&self) -> impl Iterator<Item = Oid> {
        let proposal = self.proposal.map(GitId::oid);
        [self.commit.oid(), self.tree.oid(), self.program.oid()].into_iter().chain(proposal)
    }
}

/// The id of a text as a blob.
pub fn blob_id(bytes: &[u8]) -> BlobId {
    let id = Oid::hash_object(ObjectType::Blob, bytes);
    BlobId::from_oid(id.expect("BUG: hashing bytes in memory cannot fail"))
}

/// The tree of a candidate's files.
fn files(file_name: &str, program: BlobId, proposal: Option<BlobId>) -> Object {
    Object::tree([(file_name, program)].into_iter().chain(proposal.map(|proposal| (PROPOSAL_FILE, proposal))))
}

impl NewCandidate {
    /// The ids of this candidate.
    ///
    /// # Errors
    /// Git cannot store the file name or the time.
    pub fn ids(&self) -> Result<CandidateIds, ArchiveError> {
        let program = blob_id(self.program.as_bytes());
        let proposal = self.proposal.as_deref().map(blob_id);
        let tree = TreeId::from_oid(self.tree(program, proposal)?.id);
        let commit = CommitId::from_oid(self.commit(tree)?.id);
        Ok(CandidateIds { commit, tree, program, proposal })
    }

    /// Its objects, each after those that it names.
    pub(super) fn objects(self) -> Result<Vec<Object>, ArchiveError> {
        let ids = self.ids()?;
        let (tree, commit) = (self.tree(ids.program, ids.proposal)?, self.commit(ids.tree)?);
        let program = Object::blob(self.program.into_bytes());
        let proposal = self.proposal.map(Object::blob);
        Ok(std::iter::once(program).chain(proposal).chain([tree, commit]).collect())
    }

    fn tree(&self, program: BlobId, proposal: Option<BlobId>) -> Result<Object, ArchiveError> {
        check_file_name(&self.file_name)?;
        Ok(files(&self.file_name, program, proposal))
    }

    fn commit(&self, tree: TreeId) -> Result<Object, ArchiveError> {
        let time = u64::try_from(self.epoch).ok().and_then(|epoch| epoch.checked_add(self.number));
        let time = time.filter(|time| i64::try_from(*time).is_ok());
        let time = time.ok_or(ArchiveError::CommitTime { epoch: self.epoch, number: self.number })?;
        let mut parents: Vec<CommitId> = Vec::new();
        for parent in &self.parents {
            if !parents.contains(parent) {
                parents.push(*parent);
            }
        }
        let name = author(&self.name);
        let by = Signature { name: &name, email: &email(&name), time };
        Ok(Object::commit(tree, &parents, &by, &self.message()))
    }

    fn message(&self) -> String {
        let subject = match one_line(&self.name) {
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

/// Git forbids some names in a tree, but does not check names in raw bytes.
fn check_file_name(name: &str) -> Result<(), ArchiveError> {
    let lower = name.to_lowercase();
    let reserved = name == PROPOSAL_FILE || lower.starts_with(".git") || lower.starts_with("git~");
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+~ ".contains(c));
    if reserved || !plain || ["", ".", ".."].contains(&name) {
        return Err(ArchiveError::FileName { name: name.to_owned() });
    }
    Ok(())
}

/// Runs of white space and control characters become one space each.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A proposal's name in a form that git accepts: without `<`, `>`, line breaks, and the characters that git strips from
/// the ends.
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

    fn plain() -> NewCandidate {
        NewCandidate {
            number: 12,
            file_name: "eplb.py".to_owned(),
            program: "pass\n".to_owned(),
            proposal: Some(b"<NAME>\nrefine packing\n</NAME>\n".to_vec()),
            name: "refine packing".to_owned(),
            description: "Swap items\nuntil none helps.\n".to_owned(),
            parents: Vec::new(),
            trailers: Vec::new(),
            epoch: 1_700_000_000,
        }
    }

    fn text_of(new: NewCandidate) -> String {
        String::from_utf8(new.objects().unwrap().pop().unwrap().bytes).unwrap()
    }

    #[test]
    fn a_commit_is_these_bytes() {
        let parent = CommitId::try_from("0123456789abcdef0123456789abcdef01234567".to_owned()).unwrap();
        let trailers = vec![("Candidate", "12".to_owned()), ("Parent", "7".to_owned())];
        let new = NewCandidate { parents: vec![parent, parent], trailers, ..plain() };
        assert_eq!(
            text_of(new.clone()),
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
        let id = |new: NewCandidate| new.ids().unwrap().commit;
        let variants = [
            plain(),
            NewCandidate { number: 13, ..plain() },
            NewCandidate { file_name: "other.py".to_owned(), ..plain() },
            NewCandidate { program: "pass".to_owned(), ..plain() },
            NewCandidate { proposal: None, ..plain() },
            NewCandidate { name: "refine".to_owned(), ..plain() },
            NewCandidate { description: String::new(), ..plain() },
        ];
        let ids: std::collections::BTreeSet<_> = variants.map(id).into_iter().collect();
        assert_eq!(ids.len(), 7);
    }

    #[test]
    fn the_ids_of_a_candidate_are_those_of_its_objects_and_of_what_is_known_of_it() {
        for proposal in [None, plain().proposal] {
            let new = NewCandidate { proposal: proposal.clone(), ..plain() };
            let ids = new.ids().unwrap();
            assert_eq!(CandidateIds::of(ids.commit, ids.program, "eplb.py", proposal.as_deref()), ids);
            let objects = new.objects().unwrap();
            let objects: std::collections::BTreeSet<_> = objects.iter().map(|object| object.id).collect();
            assert_eq!(objects, ids.oids().collect());
        }
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
        let new = NewCandidate {
            name: " \n".to_owned(),
            description: "\n a\0b \n".to_owned(),
            trailers: trailers.into(),
            ..plain()
        };
        assert_eq!(new.message(), "unnamed\n\na\u{fffd}b\n\nCandidate: 1 Forged: yes\n");
        assert_eq!(NewCandidate { description: " ".to_owned(), ..plain() }.message(), "refine packing\n");
    }

    #[test]
    fn file_names_that_git_or_the_archive_reserves_are_refused() {
        for name in ["", ".", "..", "a/b", ".git", ".GitModules", "git~1", "a\nb", "a\0", "proposal.txt", "ü.py"] {
            let refused = NewCandidate { file_name: name.to_owned(), ..plain() }.ids();
            assert!(matches!(refused, Err(ArchiveError::FileName { .. })), "{name:?}");
        }
    }

    #[test]
    fn times_that_git_cannot_hold_are_refused() {
        for (epoch, number) in [(-1, 5), (i64::MAX, 1), (0, u64::MAX)] {
            let refused = NewCandidate { epoch, number, ..plain() }.ids();
            assert!(matches!(refused, Err(ArchiveError::CommitTime { .. })), "{epoch} {number}");
        }
    }
}
