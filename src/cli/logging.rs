//! Log: tracing output as JSON lines in a run's folder, for people. Nothing reads it back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::EnvFilter;

/// Where the log goes, once a run's folder is there.
static FILE: Mutex<Option<File>> = Mutex::new(None);

/// Makes this process log. Until [`write_to`] names a folder, and in commands that have none, nothing is written.
pub fn install() {
    let filter = EnvFilter::try_from_env("PACKEVOLVE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Only a second call can fail, and then logging is installed.
    let _ = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(|| Writer).try_init();
}

/// Appends the log to a file in `folder`.
///
/// # Errors
/// When the file cannot be opened.
pub fn write_to(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = OpenOptions::new().create(true).append(true).open(folder.join("packevolve.jsonl"))?;
    *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    Ok(())
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *FILE.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
