//! The log: tracing output for people, as JSON lines in a run's folder and, with `--verbose`, as text on stderr. Nothing
//! reads it back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// The file of the run at hand, once its folder exists.
static FILE: Mutex<Option<File>> = Mutex::new(None);

/// Starts logging. The file gets nothing until [`write_to`] names its folder; stderr gets messages up to `verbose`.
pub fn install(verbose: LevelFilter) {
    let filter = EnvFilter::try_from_env("PACKEVOLVE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let file = fmt::layer().json().with_writer(|| Writer).with_filter(filter);
    let stderr = fmt::layer().with_writer(io::stderr).with_ansi(false).with_filter(verbose);
    // Only a second call can fail, and then logging is installed.
    let _ = tracing_subscriber::registry().with(file).with(stderr).try_init();
}

/// Appends the log to a file in `folder`.
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
