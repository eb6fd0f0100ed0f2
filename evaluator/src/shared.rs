//! Shared memory between judge and child: the input and the outputs of the current call.
//!
//! The judge never maps it. It reads and writes by system calls, so a child that writes at any moment can change what is
//! copied, but not the judge's copy.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The arrays of a call: a float32 input at byte 0, and `N` int64 outputs after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout<const N: usize> {
    /// The number of values of the input.
    pub input: usize,
    /// The number of values of each output.
    pub outputs: [usize; N],
}

impl<const N: usize> Layout<N> {
    /// The byte offset of an output.
    pub fn offset(&self, output: usize) -> u64 {
        let before = self.outputs[..output].iter().sum::<usize>() as u64 * 8;
        (self.input as u64 * 4).next_multiple_of(64) + before
    }

    /// The size of the arrays, bytes.
    pub fn end(&self) -> u64 {
        self.offset(N)
    }
}

/// A memory file of sealed size, so a child that tries to shrink it cannot make the judge fail.
#[derive(Debug)]
pub struct SharedMemory {
    pub file: File,
    /// Bytes that no valid output holds, as many as the file.
    blank: Vec<u8>,
}

/// The judge's copy of a call's outputs and input, row-major.
#[derive(Debug, PartialEq)]
pub struct Outputs<const N: usize> {
    pub arrays: [Vec<i64>; N],
    /// The input as the candidate left it.
    pub input: Vec<f32>,
}

impl SharedMemory {
    pub fn new(bytes: u64) -> io::Result<Self> {
        let file = memory_file("packevolve-call")?;
        file.set_len(bytes)?;
        seal(&file, SealFlag::empty())?;
        Ok(Self { file, blank: vec![0xff; bytes as usize] })
    }

    pub fn write_input(&self, values: &[f32]) -> io::Result<()> {
        self.file.write_all_at(bytemuck::cast_slice(values), 0)
    }

    /// Sets all outputs to -1, which is not a valid pack or expert, so that the answer of an earlier call cannot pass for
    /// one that the child does not write.
    pub fn blank_outputs<const N: usize>(&self, layout: &Layout<N>) -> io::Result<()> {
        let (from, end) = (layout.offset(0), layout.end());
        self.file.write_all_at(&self.blank[..(end - from) as usize], from)
    }

    pub fn copy<const N: usize>(&self, layout: &Layout<N>) -> io::Result<Outputs<N>> {
        let mut arrays = [const { Vec::new() }; N];
        for (output, array) in arrays.iter_mut().enumerate() {
            *array = self.values(layout.outputs[output], layout.offset(output))?;
        }
        Ok(Outputs { arrays, input: self.values(layout.input, 0)? })
    }

    fn values<T: bytemuck::Pod>(&self, count: usize, at: u64) -> io::Result<Vec<T>> {
        let mut values = vec![T::zeroed(); count];
        self.file.read_exact_at(bytemuck::cast_slice_mut(&mut values), at)?;
        Ok(values)
    }
}

/// The bits of int64 values as pairs of float32, to put both into one input.
pub fn as_floats(values: &[i64]) -> &[f32] {
    bytemuck::cast_slice(values)
}

/// A read-only memory file with these bytes, which hands a program to a child without a path.
pub fn sealed_copy(bytes: &[u8]) -> io::Result<File> {
    let file = memory_file("packevolve-program")?;
    file.write_all_at(bytes, 0)?;
    seal_content(&file)?;
    Ok(file)
}

/// Makes the content of a memory file final. Fails while a process has it mapped for writing.
pub fn seal_content(file: &File) -> io::Result<()> {
    seal(file, SealFlag::F_SEAL_WRITE)
}

/// An empty memory file that can be sealed.
pub fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?))
}

/// Fixes the size of a memory file, and `more`.
fn seal(file: &File, more: SealFlag) -> io::Result<()> {
    let seals = more | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_a_child_does_not_write_is_minus_one() {
        let layout = Layout { input: 4, outputs: [4, 2, 6] };
        let memory = SharedMemory::new(layout.end()).unwrap();
        memory.file.write_all_at(&[1; 160], 0).unwrap();
        memory.write_input(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        memory.blank_outputs(&layout).unwrap();
        let outputs = memory.copy(&layout).unwrap();
        assert_eq!(outputs.arrays, [vec![-1; 4], vec![-1; 2], vec![-1; 6]]);
        assert_eq!(outputs.input, [1.0, 2.0, 3.0, 4.0]);
        let shorter = Layout { outputs: [4, 2, 3], ..layout };
        assert_eq!(memory.copy(&shorter).unwrap().arrays[2], [-1; 3]);
    }

    #[test]
    fn a_child_cannot_change_the_size_of_the_memory_nor_its_program() {
        let memory = SharedMemory::new(144).unwrap();
        assert!(memory.file.set_len(0).is_err());
        assert!(sealed_copy(b"text").unwrap().write_all_at(b"x", 0).is_err());
    }
}
