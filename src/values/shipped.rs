//! Shipped: the files that the binary brings along, so that it works in any folder: the commented settings, the seed
//! program and others, proposals, building blocks and prompts.

use std::collections::BTreeMap;

/// Paths as in the repository, sorted, with their bytes. `build.rs` lists them.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// All files, by their paths in the repository.
pub fn all() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().copied()
}

/// The file at a path in the repository.
pub fn file(path: &str) -> Option<&'static [u8]> {
    let at = FILES.binary_search_by_key(&path, |(path, _)| *path).ok()?;
    Some(FILES[at].1)
}

/// The files right in a folder of the repository, by their names, sorted.
pub fn folder(path: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    all().filter_map(move |(file, bytes)| {
        let name = file.strip_prefix(path)?.strip_prefix('/')?;
        (!name.contains('/')).then_some((name, bytes))
    })
}

/// The folders in a folder of the repository that hold files: their names, sorted, and their paths.
pub fn folders(path: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let folder = |(file, _): (&'static str, &'static [u8])| {
        let rest = file.strip_prefix(path)?.strip_prefix('/')?;
        let (name, _) = rest.split_once('/')?;
        Some((name, &file[..path.len() + 1 + name.len()]))
    };
    all().filter_map(folder).collect::<BTreeMap<_, _>>().into_iter()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_files_are_those_of_the_repository_to_the_byte() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, bytes) in all() {
            assert_eq!(fs::read(root.join(path)).unwrap(), bytes, "{path}");
            assert_eq!(file(path), Some(bytes));
        }
        assert_eq!(file("candidates"), None);
        let names: BTreeSet<String> = folder("candidates/proposals").map(|(name, _)| name.to_owned()).collect();
        let there = fs::read_dir(root.join("candidates/proposals")).unwrap();
        let there: BTreeSet<String> =
            there.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(names, there);
        assert!(folder("candidates").all(|(name, _)| name.ends_with(".py")), "nothing of the folders in it");
    }
}
