//! Whether a run is live: a process holds the lock of its journal.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub fn is_live(path: &Path) -> bool {
    holder(path).is_some()
}

/// The process that holds the lock, from the system's list of locks. Trying the lock instead could stop a harness that
/// is just starting.
pub fn holder(path: &Path) -> Option<u32> {
    let inode = path.metadata().ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| held_by(line, inode))
}

/// A line is `1: FLOCK  ADVISORY  WRITE 4711 08:01:131073 0 EOF`: number, kind, process, device and inode, range.
fn held_by(line: &str, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, "WRITE", process, file, ..] if file.ends_with(&format!(":{inode}")) => process.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_a_process_and_not_one_that_waits_or_reads() {
        assert_eq!(held_by("1: FLOCK  ADVISORY  WRITE 4711 08:01:131073 0 EOF", 131_073), Some(4711));
        assert_eq!(held_by("1: FLOCK  ADVISORY  WRITE 4711 08:01:131073 0 EOF", 31_073), None);
        assert_eq!(held_by("1: -> FLOCK  ADVISORY  WRITE 4711 08:01:131073 0 EOF", 131_073), None);
        assert_eq!(held_by("1: FLOCK  ADVISORY  READ 4711 08:01:131073 0 EOF", 131_073), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_live(file.path()));
        file.as_file().try_lock().unwrap();
        assert_eq!(holder(file.path()), Some(std::process::id()));
    }
}
