//! The files of a run's loads, as a session names them and as judges receive them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use packevolve_contract::loads::{Loads, LoadsFile};
use packevolve_contract::protocol::{CHUNK, Chunk};
use packevolve_loads::read::list;

use crate::values::digest::Digest;

/// A file or folder of loads that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    pub path: PathBuf,
    pub source: io::Error,
}

/// The file, or the files of the folder that hold loads; `None` if the loads are made up.
///
/// # Errors
/// A file cannot be read, or the folder has none.
pub fn files(loads: &Loads) -> Result<Option<Vec<LoadsFile>>, Unreadable> {
    let Loads::Path(path) = loads else { return Ok(None) };
    let listing = list(path).map_err(|error| unreadable(path)(io::Error::other(error)))?;
    let paths = listing.files.into_iter().map(|file| file.name);
    let file = |path: PathBuf| match File::open(&path).and_then(Digest::of_all) {
        Ok((digest, bytes)) => Ok(LoadsFile { path, bytes, digest: digest.to_string() }),
        Err(source) => Err(Unreadable { path, source }),
    };
    paths.map(file).collect::<Result<_, _>>().map(Some)
}

/// The chunk of a file that begins at `offset`.
///
/// # Errors
/// The file cannot be read, or is shorter by now.
pub fn chunk(file: &LoadsFile, offset: u64) -> Result<Chunk, Unreadable> {
    let read = || {
        let mut open = File::open(&file.path)?;
        open.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        open.take(CHUNK as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    };
    let bytes = read().map_err(unreadable(&file.path))?;
    Ok(Chunk { digest: file.digest.clone(), offset, bytes: hex::encode(bytes) })
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> Unreadable {
    |source| Unreadable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_gives_its_files_of_loads_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let loads = Loads::Path(folder.path().to_owned());
        let error = files(&loads).unwrap_err();
        assert_eq!(error.path, folder.path());
        assert!(error.source.to_string().starts_with("no file with loads in "), "{}", error.source);
        for name in ["b.csv", "a.CSV", "bb.json", "c.npy", "c.txt", ".d.csv"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("e.csv")).unwrap();
        let files = files(&loads).unwrap().unwrap();
        let names: Vec<_> = files.iter().map(|file| file.path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, ["a.CSV", "b.csv", "bb.json", "c.npy"].map(Path::new));
        assert_eq!((files[0].bytes, files[0].digest.clone()), (5, Digest::of(b"a.CSV").to_string()));
    }

    #[test]
    fn a_file_is_sent_in_chunks_that_make_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.csv");
        let content: Vec<u8> = (0..CHUNK + 3).map(|at| at as u8).collect();
        fs::write(&path, &content).unwrap();
        let file = files(&Loads::Path(path)).unwrap().unwrap().remove(0);
        let chunks = [0, CHUNK].map(|offset| hex::decode(chunk(&file, offset as u64).unwrap().bytes).unwrap());
        assert!(chunks.concat() == content && chunks[0].len() == CHUNK);
        assert!(chunk(&file, content.len() as u64).is_err());
        assert!(files(&Loads::MadeUp).unwrap().is_none());
    }
}
