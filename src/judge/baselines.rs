//! Baselines: measurements of baselines that `evaluate` keeps in the user's cache folder, because one takes minutes. It
//! decides nothing about a run, and runs never use it: their programs must not know the windows.
//!
//! A file holds one measurement. Its name is the digest of what was asked for. Its first line is the digest of the
//! second, which is JSON: so a damaged one is noticed. What else decides the figures (versions, machine, jail, the
//! windows themselves) is in it, and compared before it is used.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::loads::LoadsFile;
use packevolve_contract::protocol::{Ready, Session};
use serde::{Deserialize, Serialize};

use crate::values::digest::{DIGITS, Digest};

/// Another one is foreign.
const FORMAT: u32 = 1;
/// The most files that are kept. A baseline takes some 100 KB.
const MOST_KEPT: usize = 100;
/// The names of files that are not finished begin with this.
const PARTIAL: &str = ".partial-";

/// What is asked of a baseline: all that a person chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    program: String,
    /// With file names in place of paths of loads, and without its `loads_seed`.
    session: Session,
    /// `None`: any.
    loads_seed: Option<u64>,
}

/// A measured baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    format: u32,
    asked: Asked,
    maker: Maker,
    /// Keys its windows.
    pub loads_seed: u64,
    ready: Ready,
    /// Unix time, seconds.
    pub time: u64,
    pub evaluation: Evaluation,
}

/// The programs that measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    packevolve: String,
    judge: Digest,
}

/// The folder of baselines.
#[derive(Clone, Debug)]
pub struct Baselines {
    folder: PathBuf,
}

/// Why a file that is there cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it is damaged")]
    Damaged,
    #[error("another version of PackEvolve measured it")]
    Foreign,
    #[error("it was measured with {0}")]
    Other(String),
}

impl Asked {
    /// `loads_seed`: the one that was asked for; `None` if it is drawn.
    pub fn new(program: &str, session: &Session, loads_seed: Option<u64>) -> Self {
        let named =
            |file: &LoadsFile| LoadsFile { path: file.path.file_name().unwrap_or_default().into(), ..file.clone() };
        let loads = session.loads.as_ref().map(|files| files.iter().map(named).collect());
        Self { program: program.to_owned(), session: Session { loads, loads_seed: 0, ..session.clone() }, loads_seed }
    }

    fn name(&self) -> String {
        Digest::of(&serde_json::to_vec(self).expect("BUG: what is asked is always JSON")).to_string()
    }
}

impl Maker {
    /// This program with the judge of that digest.
    pub fn new(judge: Digest) -> Self {
        Self { packevolve: env!("CARGO_PKG_VERSION").to_owned(), judge }
    }
}

impl Kept {
    /// A baseline that was measured just now, in a session with this `loads_seed`.
    pub fn new(asked: Asked, maker: Maker, loads_seed: u64, ready: &Ready, evaluation: Evaluation) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { format: FORMAT, asked, maker, loads_seed, ready: ready.clone(), time, evaluation }
    }

    /// Checks that this judge would measure the same.
    ///
    /// # Errors
    /// It is of another kind, on another machine, or has other windows.
    pub fn check(&self, now: &Ready) -> Result<(), Unusable> {
        let then = &self.ready;
        let numba = |ready: &Ready| ready.numba.clone().unwrap_or_else(|| "none".to_owned());
        let versions = [
            ("Python", then.python.clone(), now.python.clone()),
            ("torch", then.torch.clone(), now.torch.clone()),
            ("NumPy", then.numpy.clone(), now.numpy.clone()),
            ("Numba", numba(then), numba(now)),
            ("device", then.device.clone(), now.device.clone()),
            ("processor", then.device_name.clone(), now.device_name.clone()),
        ];
        if let Some((what, then, now)) = versions.iter().find(|(_, then, now)| then != now) {
            return Err(Unusable::Other(format!("{what} {then}, and now it is {now}")));
        }
        let others = [
            ("another jail", then.jail != now.jail),
            ("other windows", then.loads_digest != now.loads_digest),
            // Notes name files by their paths.
            ("another judge", Ready { loads_notes: now.loads_notes.clone(), ..then.clone() } != *now),
        ];
        others.iter().find(|(_, differs)| *differs).map_or(Ok(()), |(what, _)| Err(Unusable::Other((*what).to_owned())))
    }
}

impl Baselines {
    /// In the cache folder of the user of this environment, by the rules of freedesktop.org: `XDG_CACHE_HOME` if it is an
    /// absolute path, or else `.cache` in `HOME`. `None` if there is neither.
    pub fn of_user(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<Self> {
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self { folder: caches.join("packevolve/baselines") })
    }

    pub fn path(&self, asked: &Asked) -> PathBuf {
        self.folder.join(asked.name())
    }

    /// What this maker measured when it was asked for the same; `None` if there is nothing.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub fn find(&self, asked: &Asked, maker: &Maker) -> Result<Option<Kept>, Unusable> {
        let text = match fs::read(self.path(asked)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Unusable::Unreadable(error.to_string())),
        };
        let (digest, json) = text.split_first_chunk::<DIGITS>().ok_or(Unusable::Damaged)?;
        let json = json.strip_prefix(b"\n").ok_or(Unusable::Damaged)?;
        if Digest::parse(digest) != Some(Digest::of(json)) {
            return Err(Unusable::Damaged);
        }
        // It is whole, so what cannot be read was written by another version.
        let kept: Kept = serde_json::from_slice(json).map_err(|_| Unusable::Foreign)?;
        let is_ours = kept.format == FORMAT && kept.maker == *maker && kept.asked == *asked;
        if is_ours { Ok(Some(kept)) } else { Err(Unusable::Foreign) }
    }

    /// Writes a baseline in place of the one that was asked for alike. Others may do so at the same time: the last one
    /// stays, whole.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn keep(&self, kept: &Kept) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let json = serde_json::to_vec(kept)?;
        let partial = self.folder.join(format!("{PARTIAL}{:016x}", rand::random::<u64>()));
        let written = write_new(&partial, &[&Digest::of(&json).digits(), b"\n", &json]);
        let written = written.and_then(|()| fs::rename(&partial, self.path(&kept.asked)));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written?;
        self.remove_oldest();
        Ok(())
    }

    /// Leaves the newest ones. What cannot be removed stays: another process may have been faster.
    fn remove_oldest(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let with_time = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut files: Vec<_> = entries.filter_map(with_time).collect();
        files.sort();
        for (_, path) in files.iter().rev().skip(MOST_KEPT) {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    // Otherwise a power loss may leave a file with its name and without its content.
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use packevolve_contract::evaluation::Measurement;
    use packevolve_contract::protocol::Limits;
    use tempfile::TempDir;

    use super::*;
    use crate::judge::client;
    use crate::values::settings::Settings;

    fn session(loads_seed: u64) -> Session {
        let settings = Settings::example();
        Session { loads_seed, ..client::session(&settings.evaluation, &[], 1, None).unwrap() }
    }

    fn asked() -> Asked {
        Asked::new("pass\n", &session(5), None)
    }

    fn maker() -> Maker {
        Maker::new(Digest::of(b"judge"))
    }

    fn ready() -> Ready {
        Ready { torch: "2.11.0".to_owned(), numpy: "2.3".to_owned(), ..Ready::default() }
    }

    fn kept(seconds: f64) -> Kept {
        let measurement = Measurement { evaluation_seconds: seconds, ..Measurement::default() };
        Kept::new(asked(), maker(), 5, &ready(), Evaluation::Measured { measurement })
    }

    fn folder() -> (TempDir, Baselines) {
        let folder = tempfile::tempdir().unwrap();
        let baselines = Baselines { folder: folder.path().join("a/b") };
        (folder, baselines)
    }

    #[test]
    fn what_was_kept_is_found_again_and_replaced() {
        let (_folder, baselines) = folder();
        assert_eq!(baselines.find(&asked(), &maker()), Ok(None));
        for seconds in [0.1 + 0.2, 2.0] {
            baselines.keep(&kept(seconds)).unwrap();
            let found = baselines.find(&asked(), &maker()).unwrap().unwrap();
            assert_eq!((found.loads_seed, &found.evaluation), (5, &kept(seconds).evaluation));
        }
        assert_eq!(fs::read_dir(&baselines.folder).unwrap().count(), 1, "nothing unfinished stays");
    }

    #[test]
    fn another_program_setting_or_seed_is_asked_for_apart() {
        let limits = Limits { threads: 3, ..session(5).limits };
        let file = |path: &str, digest: &str| {
            let files = vec![LoadsFile { path: path.into(), bytes: 1, digest: digest.to_owned() }];
            Asked::new("pass\n", &Session { loads: Some(files), ..session(5) }, None)
        };
        let others = [
            Asked::new("pass\n\n", &session(5), None),
            Asked::new("pass\n", &session(5), Some(5)),
            Asked::new("pass\n", &Session { limits, ..session(5) }, None),
            file("/a/x.csv", "1"),
            file("/a/x.csv", "2"),
        ];
        let names: BTreeSet<String> = others.iter().map(Asked::name).collect();
        assert_eq!(names.len(), others.len());
        assert!(!names.contains(&asked().name()));
        // A drawn seed and the place of the loads decide nothing.
        assert_eq!(Asked::new("pass\n", &session(6), None), asked());
        assert_eq!(file("/a/x.csv", "1"), file("/b/x.csv", "1"));
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_off_is_damaged() {
        let (_folder, baselines) = folder();
        baselines.keep(&kept(1.0)).unwrap();
        let path = baselines.path(&asked());
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            for text in [&changed[..], &whole[..at]] {
                fs::write(&path, text).unwrap();
                assert_eq!(baselines.find(&asked(), &maker()), Err(Unusable::Damaged), "byte {at}");
            }
        }
        fs::write(&path, &whole).unwrap();
        assert!(baselines.find(&asked(), &maker()).unwrap().is_some());
    }

    #[test]
    fn what_another_version_or_judge_measured_is_foreign() {
        let (_folder, baselines) = folder();
        let other = Kept { maker: Maker::new(Digest::of(b"other")), ..kept(1.0) };
        for foreign in [other, Kept { format: FORMAT + 1, ..kept(1.0) }] {
            baselines.keep(&foreign).unwrap();
            assert_eq!(baselines.find(&asked(), &maker()), Err(Unusable::Foreign));
        }
        let json = b"{\"format\":9}";
        let text = [&Digest::of(json).digits()[..], b"\n", json].concat();
        fs::write(baselines.path(&asked()), text).unwrap();
        assert_eq!(baselines.find(&asked(), &maker()), Err(Unusable::Foreign));
        // A file of another name is not what was asked for.
        let path = baselines.path(&asked());
        baselines.keep(&Kept { asked: Asked::new("other\n", &session(5), None), ..kept(1.0) }).unwrap();
        fs::rename(baselines.path(&Asked::new("other\n", &session(5), None)), path).unwrap();
        assert_eq!(baselines.find(&asked(), &maker()), Err(Unusable::Foreign));
    }

    #[test]
    fn what_differs_of_the_machine_is_named() {
        let difference = |now: Ready| kept(1.0).check(&now).map_err(|other| other.to_string());
        assert_eq!(difference(ready()), Ok(()));
        assert_eq!(difference(Ready { loads_notes: vec!["/a: x".to_owned()], ..ready() }), Ok(()));
        let named = |text: &str| Err(format!("it was measured with {text}"));
        let numpy = Ready { numpy: "2.4".to_owned(), ..ready() };
        assert_eq!(difference(numpy), named("NumPy 2.3, and now it is 2.4"));
        assert_eq!(difference(Ready { loads_digest: "x".to_owned(), ..ready() }), named("other windows"));
        assert_eq!(difference(Ready { torch_threads: 2, ..ready() }), named("another judge"));
    }

    #[test]
    fn the_folder_follows_the_environment_and_only_absolute_paths_count() {
        let of = |xdg: &str, home: &str| {
            let path = |text: &str| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
            Baselines::of_user(|name| if name == "HOME" { path(home) } else { path(xdg) }).map(|of| of.folder)
        };
        assert_eq!(of("/x", "/h"), Some("/x/packevolve/baselines".into()));
        for xdg in ["", "x"] {
            assert_eq!(of(xdg, "/h"), Some("/h/.cache/packevolve/baselines".into()));
            assert_eq!(of(xdg, ""), None);
        }
    }

    #[test]
    fn the_oldest_are_removed_and_the_newest_stay() {
        let (_folder, baselines) = folder();
        fs::create_dir_all(&baselines.folder).unwrap();
        for number in 0..MOST_KEPT as u64 + 3 {
            let path = baselines.folder.join(format!("{number:03}"));
            let file = File::create(&path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(number)).unwrap();
        }
        baselines.keep(&kept(1.0)).unwrap();
        assert_eq!(fs::read_dir(&baselines.folder).unwrap().count(), MOST_KEPT);
        assert!(baselines.find(&asked(), &maker()).unwrap().is_some());
        assert!(!baselines.folder.join("003").exists() && baselines.folder.join("004").exists());
    }
}
