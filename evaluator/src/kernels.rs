//! Kernels: what the first child of an evaluation has compiled with Numba before it saw a scored load, for its siblings.
//!
//! It lies in a memory file that the first child writes. Then the judge seals it, so that no child can tell another one
//! what it saw later. What is in it comes from the program and only its children read it, in their jail. What programs of
//! building blocks alone have compiled cannot be forged: it serves all programs of the session.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use crate::shared::{memory_file, seal_content, sealed_copy};

/// A program without this word compiles nothing.
const NUMBA: &str = "numba";

#[derive(Debug)]
pub struct Kernels {
    file: File,
    /// Whether children of the program may compile.
    pub may_compile: bool,
    /// Whether a child may still write.
    is_open: bool,
}

impl Kernels {
    /// Of a program that compiles nothing.
    pub fn none() -> io::Result<Self> {
        Ok(Self { file: sealed_copy(&[])?, may_compile: false, is_open: false })
    }

    /// Of `program`, whose next child may write them; they start with what is `known`.
    pub fn of(program: &str, known: &[u8]) -> io::Result<Self> {
        if !program.contains(NUMBA) {
            return Self::none();
        }
        let file = memory_file("packevolve-kernels")?;
        file.write_all_at(known, 0)?;
        Ok(Self { file, may_compile: true, is_open: true })
    }

    /// The size of all that was compiled so far, bytes.
    pub fn bytes(&self) -> io::Result<usize> {
        Ok(self.file.metadata()?.len() as usize)
    }

    /// All that was compiled so far.
    pub fn content(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.bytes()?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Whether a warm child has to be asked for them.
    pub fn are_wanted(&self) -> bool {
        self.is_open
    }

    /// Makes what was written so far final. If the child can still write, because it has mapped the file, its siblings
    /// get nothing and compile by themselves.
    pub fn seal(&mut self) -> io::Result<()> {
        self.is_open = false;
        if seal_content(&self.file).is_err() {
            self.file = sealed_copy(&[])?;
        }
        Ok(())
    }
}

impl AsFd for Kernels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_the_first_child_wrote_is_final_once_it_is_sealed() {
        let mut kernels = Kernels::of("import numba", b"known ").unwrap();
        let mut child = kernels.file.try_clone().unwrap();
        child.write_all(b"known, compiled").unwrap();
        assert!(kernels.are_wanted());
        kernels.seal().unwrap();
        assert!(!kernels.are_wanted() && kernels.may_compile);
        assert!(child.write_all(b"more").is_err() && child.set_len(0).is_err());
        assert_eq!(kernels.content().unwrap(), b"known, compiled");
    }

    #[test]
    fn a_program_without_numba_has_nothing_to_write_to() {
        let kernels = Kernels::of("import torch", b"known").unwrap();
        assert!(!kernels.are_wanted() && !kernels.may_compile);
        assert!(kernels.file.try_clone().unwrap().write_all(b"x").is_err());
    }
}
