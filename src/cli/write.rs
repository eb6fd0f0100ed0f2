//! Write: a file that was asked for on the command line.

use std::fs;
use std::io;
use std::path::Path;

/// Writes whole or not at all, through links, and leaves the permissions of a file that is there.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        // A device or a pipe takes the text as it comes; a folder says so.
        return fs::write(path, text);
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".packevolve-partial");
    let partial = path.with_file_name(name);
    let written = fs::write(&partial, text)
        .and_then(|()| there.map_or(Ok(()), |there| fs::set_permissions(&partial, there.permissions())))
        .and_then(|()| fs::rename(&partial, &path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}
