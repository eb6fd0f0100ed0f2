//! Inbox: proposals that a person hands to a run under way. A letter is written beside its place and moved there, so that
//! the driver never sees a part of one, and any number of writers need not know of each other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::run::folder::RunFolder;
use crate::values::candidate::CandidateId;
use crate::values::event::GivenProposal;
use crate::values::raw_text::RawText;

/// What a letter in its place ends with; everything else in the folder is ignored.
const ENDING: &str = "json";
/// A letter that cannot be taken keeps its name before this.
const REFUSED: &str = "refused";

#[derive(Clone, Debug)]
pub struct Inbox(PathBuf);

/// A proposal on its way to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The name of the file that it was in.
    pub file: String,
    /// The program that it edits.
    pub parent: CandidateId,
    pub document: RawText,
}

impl Inbox {
    pub fn of(folder: &RunFolder) -> Self {
        Self(folder.path().join("inbox"))
    }

    /// Puts a letter behind those that are there, on the disk, and returns its name.
    ///
    /// # Errors
    /// The operating system fails; then nothing was put there.
    pub fn put(&self, letter: &Letter) -> io::Result<String> {
        fs::create_dir_all(&self.0)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{:020}-{:08x}", now.as_nanos(), rand::random::<u32>());
        let partial = self.0.join(format!(".{name}"));
        let bytes = serde_json::to_vec(letter).expect("BUG: a letter is always JSON");
        let written = File::create_new(&partial).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&partial, self.path(&name))
        });
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written.map(|()| name)
    }

    /// The letters in their places, the oldest first. One that cannot be read is set aside, with a line in the log.
    pub fn letters(&self) -> Vec<GivenProposal> {
        let mut names: Vec<String> = fs::read_dir(&self.0).into_iter().flatten().filter_map(name_of).collect();
        names.sort();
        names.into_iter().filter_map(|name| self.read(name)).collect()
    }

    fn read(&self, name: String) -> Option<GivenProposal> {
        let bytes = fs::read(self.path(&name)).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(Letter { file, parent, document }) => Some(GivenProposal { letter: name, file, parent, document }),
            Err(error) => {
                self.refuse(&name, &error.to_string());
                None
            }
        }
    }

    /// Sets a letter aside, so that it is not taken again and a person finds it.
    pub fn refuse(&self, name: &str, reason: &str) {
        tracing::warn!(letter = name, reason, "set a letter of the inbox aside");
        let _ = fs::rename(self.path(name), self.0.join(name).with_added_extension(REFUSED));
    }

    /// Removes a letter that the journal holds.
    pub fn taken(&self, name: &str) {
        // One that stays is recognised by its name.
        let _ = fs::remove_file(self.path(name));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.{ENDING}"))
    }
}

/// The name of a letter in its place.
fn name_of(entry: io::Result<fs::DirEntry>) -> Option<String> {
    let name = entry.ok()?.file_name().into_string().ok()?;
    let name = name.strip_suffix(ENDING)?.strip_suffix('.')?;
    (!name.starts_with('.')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn letter(number: usize) -> Letter {
        Letter { file: format!("{number}.txt"), parent: CandidateId(1), document: RawText(vec![b'x'; 1 << 16]) }
    }

    fn inbox() -> (tempfile::TempDir, Inbox) {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(&RunFolder::new(folder.path().to_owned()));
        (folder, inbox)
    }

    #[test]
    fn letters_of_many_writers_all_arrive_whole_and_each_once() {
        let (_folder, inbox) = inbox();
        assert_eq!(inbox.letters(), [], "no one has written yet");
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let inbox = inbox.clone();
                thread::spawn(move || (0..20).for_each(|nth| drop(inbox.put(&letter(writer * 20 + nth)).unwrap())))
            })
            .collect();
        let mut files = Vec::new();
        while files.len() < 160 {
            for given in inbox.letters() {
                assert_eq!(given.document.0.len(), 1 << 16, "a part of a letter");
                inbox.taken(&given.letter);
                files.push(given.file);
            }
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        files.sort();
        files.dedup();
        assert_eq!((files.len(), inbox.letters().len()), (160, 0));
    }

    #[test]
    fn a_letter_is_after_those_before_it_and_stays_until_it_is_taken() {
        let (_folder, inbox) = inbox();
        let names: Vec<String> = (0..3).map(|number| inbox.put(&letter(number)).unwrap()).collect();
        let found: Vec<String> = inbox.letters().into_iter().map(|given| given.letter).collect();
        assert_eq!(found, names);
        inbox.taken(&names[1]);
        inbox.taken("none");
        assert_eq!(inbox.letters().len(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_what_is_half_written_is_not_seen() {
        let (_folder, inbox) = inbox();
        fs::create_dir(&inbox.0).unwrap();
        for name in [".half.json", "notes.txt", "json"] {
            fs::write(inbox.0.join(name), "{").unwrap();
        }
        fs::write(inbox.path("1"), "{\"file\":\"a\"").unwrap();
        assert_eq!(inbox.letters(), []);
        assert!(!inbox.path("1").exists() && inbox.0.join("1.refused").exists());
        assert!(inbox.0.join(".half.json").exists() && inbox.0.join("notes.txt").exists());
    }
}
