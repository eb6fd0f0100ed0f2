//! Shared memory between judge and child: the input and the outputs of the current call and nothing else.
//!
//! The judge never maps it: it writes and copies with system calls, so that a child which writes at any moment can
//! change what is copied but not what the judge holds.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Where a call's outputs lie in the memory, in bytes; the input lies at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `pack_index`, int64 `[X, n]`.
    pub pack_at: u64,
    /// `rank_in_pack`, int64 `[X, n]`.
    pub rank_at: u64,
    /// End of the outputs.
    pub end: u64,
}

impl Layout {
    /// For a call with `count = X * n` items.
    pub fn of(count: usize) -> Self {
        let input = (count as u64 * 4).next_multiple_of(64);
        let output = count as u64 * 8;
        Self { pack_at: input, rank_at: input + output, end: input + 2 * output }
    }
}

/// A file in memory whose size is sealed: a child that shrinks it cannot make the judge fail.
#[derive(Debug)]
pub struct SharedMemory(File);

/// The judge's own copy of a call's outputs and of what then stood at its input.
#[derive(Debug, PartialEq)]
pub struct Outputs {
    /// `pack_index`, row-major.
    pub pack_index: Vec<i64>,
    /// `rank_in_pack`, row-major.
    pub rank_in_pack: Vec<i64>,
    /// The input as the candidate left it.
    pub input: Vec<f32>,
}

impl SharedMemory {
    /// Memory for calls of up to `count` items.
    pub fn new(count: usize) -> io::Result<Self> {
        let file = File::from(memfd_create("packevolve-call", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.set_len(Layout::of(count).end)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self(file))
    }

    /// Puts the input of a call there, and over its outputs a value that no valid output has: what a child does not
    /// write is not an old answer.
    pub fn write_input(&self, weights: &[f32]) -> io::Result<()> {
        let layout = Layout::of(weights.len());
        let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        self.0.write_all_at(&bytes, 0)?;
        self.0.write_all_at(&vec![0xff; (layout.end - layout.pack_at) as usize], layout.pack_at)
    }

    /// Copies the outputs of a call with `count` items.
    pub fn copy_outputs(&self, count: usize) -> io::Result<Outputs> {
        let layout = Layout::of(count);
        Ok(Outputs {
            pack_index: self.integers(count, layout.pack_at)?,
            rank_in_pack: self.integers(count, layout.rank_at)?,
            input: self.bytes(count * 4, 0)?.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        })
    }

    fn integers(&self, count: usize, at: u64) -> io::Result<Vec<i64>> {
        Ok(self.bytes(count * 8, at)?.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
    }

    fn bytes(&self, length: usize, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A read-only copy of `bytes` in memory, to hand a program to a child without a file.
pub fn sealed_copy(bytes: &[u8]) -> io::Result<File> {
    let file = File::from(memfd_create("packevolve-program", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all_at(bytes, 0)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_does_not_write_is_no_answer() {
        let memory = SharedMemory::new(4).unwrap();
        memory.write_input(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        let outputs = memory.copy_outputs(4).unwrap();
        assert_eq!(outputs.pack_index, [-1; 4]);
        assert_eq!(outputs.rank_in_pack, [-1; 4]);
        assert_eq!(outputs.input, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_child_cannot_change_the_size_of_the_memory_nor_its_program() {
        let memory = SharedMemory::new(4).unwrap();
        assert!(memory.0.set_len(0).is_err());
        assert!(sealed_copy(b"text").unwrap().write_all_at(b"x", 0).is_err());
    }
}
