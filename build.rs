//! Lists the files that PackEvolve brings along, with their bytes, for `src/values/shipped.rs`: the commented settings
//! and everything in `candidates`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const SETTINGS: &str = "config.yaml";
const FOLDER: &str = "candidates";

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut files = vec![SETTINGS.to_owned()];
    collect(&root, FOLDER, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
        let path = root.join(file);
        writeln!(list, "    ({file:?}, include_bytes!({:?})),", path.display().to_string())
            .map_err(io::Error::other)?;
    }
    list.push(']');
    fs::write(Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("shipped.rs"), list)
}

/// Adds the files below a folder, by their paths from the root. What tools leave there is no part of it.
fn collect(root: &Path, folder: &str, files: &mut Vec<String>) -> io::Result<()> {
    // A file that is added or removed changes its folder.
    println!("cargo:rerun-if-changed={folder}");
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        match entry.file_type()?.is_dir() {
            _ if name.starts_with('.') || name == "__pycache__" => {}
            true => collect(root, &path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
