//! Interpreter: the Python that runs programs where the settings name none, and the torch of the judge itself.

use std::env;
use std::path::{Path, PathBuf};

/// The version of torch that the judge is linked with.
pub const TORCH: &str = env!("PACKEVOLVE_TORCH");

/// The interpreter of the environment that the judge is installed into, if torch is in it, as after `pip install`;
/// otherwise the one of the checkout that the judge was built in.
pub fn own() -> Option<PathBuf> {
    let judge = env::current_exe().ok();
    let installed = judge.and_then(|judge| beside(judge.parent()?));
    installed.or_else(|| Some(PathBuf::from(env!("PACKEVOLVE_PYTHON"))).filter(|python| python.exists()))
}

/// The interpreter in a folder of programs, if torch lies where `build.rs` makes the judge look for it.
fn beside(folder: &Path) -> Option<PathBuf> {
    let python = folder.join("python");
    let libraries = folder.parent()?.join("lib").read_dir().ok()?.flatten();
    let has_torch = |path: PathBuf| path.join("site-packages/torch/lib").is_dir();
    (python.exists() && libraries.map(|entry| entry.path()).any(has_torch)).then_some(python)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_environment_without_torch_is_none_of_the_judge() {
        let environment = tempfile::tempdir().unwrap();
        let folder = environment.path().join("bin");
        assert_eq!(beside(&folder), None);
        fs::create_dir_all(environment.path().join("lib/python3.12/site-packages")).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("python"), "").unwrap();
        assert_eq!(beside(&folder), None);
        fs::create_dir_all(environment.path().join("lib/python3.12/site-packages/torch/lib")).unwrap();
        assert_eq!(beside(&folder), Some(folder.join("python")));
    }

    #[test]
    fn the_judge_knows_its_torch_and_its_python() {
        assert!(TORCH.starts_with("2."), "{TORCH:?}");
        assert!(own().is_some_and(|python| python.exists()));
    }
}
