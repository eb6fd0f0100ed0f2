//! Shared memory between judge and child: the input and the outputs of the current call.
//!
//! The judge never maps it. It reads and writes by system calls, so a child that writes at any moment can change what is
//! copied, but not the judge's copy.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use packevolve_contract::topology::Topology;

use crate::plan::{Maps, Plan};

/// The byte offsets of a call's outputs; its input is at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `pack_index`, int64 `[X, n]`.
    pub pack_at: u64,
    /// `rank_in_pack`, int64 `[X, n]`.
    pub rank_at: u64,
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

/// The byte offsets of a rebalance's outputs; its loads are at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLayout {
    /// `phy2log`, int64 `[layers, replicas]`.
    pub phy2log_at: u64,
    /// `logcnt`, int64 `[layers, experts]`.
    pub logcnt_at: u64,
    /// `log2phy`, int64 `[layers, experts, columns]`.
    pub log2phy_at: u64,
    /// With the most columns.
    pub end: u64,
}

impl PlanLayout {
    pub fn of(topology: &Topology) -> Self {
        let (layers, experts) = (topology.layers as u64, topology.experts as u64);
        let phy2log_at = (layers * experts * 4).next_multiple_of(64);
        let logcnt_at = phy2log_at + layers * topology.replicas as u64 * 8;
        let log2phy_at = logcnt_at + layers * experts * 8;
        let end = log2phy_at + layers * experts * Plan::most_columns(topology) as u64 * 8;
        Self { phy2log_at, logcnt_at, log2phy_at, end }
    }

    /// The number of items of a packing call that takes as much memory.
    pub fn items(&self) -> usize {
        // An item takes a float32 and two int64; a multiple of 64 items leaves no gap between input and outputs.
        (self.end as usize).div_ceil(4 + 2 * 8).next_multiple_of(64)
    }
}

/// A memory file of sealed size, so a child that tries to shrink it cannot make the judge fail.
#[derive(Debug)]
pub struct SharedMemory {
    file: File,
    /// Bytes that no valid output holds, as many as the file.
    blank: Vec<u8>,
}

/// The judge's copy of a call's outputs and input.
#[derive(Debug, PartialEq)]
pub struct Outputs {
    /// Row-major.
    pub pack_index: Vec<i64>,
    /// Row-major.
    pub rank_in_pack: Vec<i64>,
    /// The input as the candidate left it.
    pub input: Vec<f32>,
}

/// The judge's copy of a rebalance's outputs and input.
#[derive(Debug, PartialEq)]
pub struct PlanOutputs {
    pub maps: Maps,
    /// The loads as the candidate left them.
    pub input: Vec<f32>,
}

impl SharedMemory {
    /// Memory for calls of up to `count` items.
    pub fn new(count: usize) -> io::Result<Self> {
        let file = memory_file("packevolve-call")?;
        let end = Layout::of(count).end;
        file.set_len(end)?;
        seal(&file, SealFlag::empty())?;
        Ok(Self { file, blank: vec![0xff; end as usize] })
    }

    /// Writes the input of a call and blanks its outputs, so that an output which the child does not write is not taken
    /// from an earlier call.
    pub fn write_input(&self, weights: &[f32]) -> io::Result<()> {
        let layout = Layout::of(weights.len());
        self.write_floats(weights)?;
        self.fill_blank(layout.pack_at, layout.end)
    }

    /// Blanks the outputs of a rebalance: -1 is no expert, and it pads lists.
    pub fn blank_plan(&self, layout: PlanLayout) -> io::Result<()> {
        self.fill_blank(layout.phy2log_at, layout.end)
    }

    /// Writes an input and leaves the outputs as they are.
    pub fn write_floats(&self, values: &[f32]) -> io::Result<()> {
        self.file.write_all_at(bytemuck::cast_slice(values), 0)
    }

    fn fill_blank(&self, from: u64, end: u64) -> io::Result<()> {
        self.file.write_all_at(&self.blank[..(end - from) as usize], from)
    }

    /// Copies the outputs of a call with `count` items.
    pub fn copy_outputs(&self, count: usize) -> io::Result<Outputs> {
        let layout = Layout::of(count);
        Ok(Outputs {
            pack_index: self.values(count, layout.pack_at)?,
            rank_in_pack: self.values(count, layout.rank_at)?,
            input: self.values(count, 0)?,
        })
    }

    /// Copies the outputs of a rebalance, `log2phy` with this many `columns`.
    pub fn copy_plan(&self, topology: &Topology, columns: usize) -> io::Result<PlanOutputs> {
        let (layout, count) = (PlanLayout::of(topology), topology.layers * topology.experts);
        let maps = Maps {
            phy2log: self.values(topology.layers * topology.replicas, layout.phy2log_at)?,
            log2phy: self.values(count * columns, layout.log2phy_at)?,
            columns,
            logcnt: self.values(count, layout.logcnt_at)?,
        };
        Ok(PlanOutputs { maps, input: self.values(count, 0)? })
    }

    fn values<T: bytemuck::Pod>(&self, count: usize, at: u64) -> io::Result<Vec<T>> {
        let mut values = vec![T::zeroed(); count];
        self.file.read_exact_at(bytemuck::cast_slice_mut(&mut values), at)?;
        Ok(values)
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A read-only memory file with these bytes, which hands a program to a child without a path.
pub fn sealed_copy(bytes: &[u8]) -> io::Result<File> {
    let file = memory_file("packevolve-program")?;
    file.write_all_at(bytes, 0)?;
    seal(&file, SealFlag::F_SEAL_WRITE)?;
    Ok(file)
}

fn memory_file(name: &str) -> io::Result<File> {
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
    fn what_a_child_does_not_write_is_no_answer() {
        let memory = SharedMemory::new(4).unwrap();
        memory.file.write_all_at(&[1; 128], 0).unwrap();
        memory.write_input(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        let outputs = memory.copy_outputs(4).unwrap();
        assert_eq!(outputs.pack_index, [-1; 4]);
        assert_eq!(outputs.rank_in_pack, [-1; 4]);
        assert_eq!(outputs.input, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_plan_that_a_child_does_not_write_is_none() {
        let topology = Topology { layers: 1, experts: 3, groups: 1, nodes: 1, gpus: 2, replicas: 4 };
        let layout = PlanLayout::of(&topology);
        let memory = SharedMemory::new(layout.items()).unwrap();
        assert!(Layout::of(layout.items()).end >= layout.end);
        memory.blank_plan(layout).unwrap();
        memory.write_floats(&[1.0, 2.0, 3.0]).unwrap();
        let PlanOutputs { maps, input } = memory.copy_plan(&topology, 2).unwrap();
        assert_eq!((maps.phy2log.len(), maps.log2phy.len(), maps.logcnt.len()), (4, 6, 3));
        assert!([maps.phy2log, maps.log2phy, maps.logcnt].concat().iter().all(|&value| value == -1));
        assert_eq!(input, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_child_cannot_change_the_size_of_the_memory_nor_its_program() {
        let memory = SharedMemory::new(4).unwrap();
        assert!(memory.file.set_len(0).is_err());
        assert!(sealed_copy(b"text").unwrap().write_all_at(b"x", 0).is_err());
    }
}
