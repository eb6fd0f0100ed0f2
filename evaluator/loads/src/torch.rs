//! Torch: what `torch.save` writes: an archive with a pickle and the numbers of its tensors. Numbers are read as a stream.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::archive::{Archive, at_end, spot};
use crate::array::Array;
use crate::error::LoadsError;
use crate::number::{Bytes, Number};
use crate::pickle::{Pickle, StorageType, Tensor};
use crate::steps::Steps;
use crate::window::MOST_LOADS;

/// The longest pickle, bytes. That of a recording has about 100 for each forward pass.
const LONGEST_PICKLE: u64 = 1 << 25;

const PICKLE: &str = "data.pkl";

pub struct TorchFile {
    path: PathBuf,
    archive: Archive,
    /// Before the names of all members.
    prefix: String,
    order: Bytes,
    pub pickle: Pickle,
}

impl TorchFile {
    /// Whether an archive with these members was written by torch.
    pub fn is_one(names: &[String]) -> bool {
        names.iter().any(|name| prefix(name).is_some())
    }

    pub fn open(path: &Path, mut archive: Archive) -> Result<Self, LoadsError> {
        let names = archive.names();
        let prefix = names.iter().find_map(|name| prefix(name)).unwrap_or_default().to_owned();
        let order = format!("{prefix}byteorder");
        let order = if names.contains(&order) { archive.bytes(&order, 16)? } else { b"little".to_vec() };
        let order = match &order[..] {
            b"little" => Bytes::LittleFirst,
            b"big" => Bytes::BigFirst,
            other => {
                let problem = format!("{:?} is not an order of bytes", String::from_utf8_lossy(other));
                return Err(LoadsError::invalid(path, spot("byteorder"), problem));
            }
        };
        let pickle = archive.bytes(&format!("{prefix}{PICKLE}"), LONGEST_PICKLE)?;
        let pickle = Pickle::parse(&pickle);
        let pickle = pickle
            .map_err(|refused| LoadsError::invalid(path, format!("{PICKLE}, byte {}", refused.at), refused.problem))?;
        Ok(Self { path: path.to_owned(), archive, prefix, order, pickle })
    }

    /// A tensor `[layers, experts]` or `[rows, layers, experts]` as an array. `what` names it in messages.
    pub fn array(&self, tensor: &Tensor, what: &str) -> Result<Array, LoadsError> {
        let invalid = |problem: String| LoadsError::invalid(&self.path, what, problem);
        let number = number(tensor).map_err(invalid)?;
        Array::new(number, self.order, &tensor.shape, false).map_err(invalid)
    }

    /// Reads the rows of a tensor into `steps`.
    pub fn read(&mut self, tensor: &Tensor, array: &Array, what: &str, steps: &mut Steps) -> Result<(), LoadsError> {
        if !is_contiguous(tensor) {
            let numbers = self.numbers(tensor, what)?;
            let mut bytes: &[u8] = &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
            let array = Array { number: Number::F64, order: Bytes::LittleFirst, ..*array };
            return array.read(&self.path, &mut bytes, steps);
        }
        let (path, key) = (self.path.clone(), self.key(tensor));
        let mut member = self.storage(tensor, what)?;
        skip(&mut member, tensor.offset as u64 * array.number.size() as u64)
            .map_err(|error| LoadsError::at(&path, spot(&key), error))?;
        array.read(&path, &mut member, steps)?;
        // The rest belongs to other tensors; the checksum covers it, too.
        io::copy(&mut member, &mut io::sink()).map_err(|error| LoadsError::at(&path, spot(&key), error))?;
        Ok(())
    }

    /// All numbers of a small tensor, row-major.
    pub fn numbers(&mut self, tensor: &Tensor, what: &str) -> Result<Vec<f64>, LoadsError> {
        let (path, order) = (self.path.clone(), self.order);
        let invalid = |problem: String| LoadsError::invalid(&path, what, problem);
        let number = number(tensor).map_err(invalid)?;
        let count = count(tensor).filter(|count| *count <= MOST_LOADS && tensor.storage.numbers <= MOST_LOADS);
        let Some(count) = count else {
            return Err(invalid(format!(
                "a tensor that is not contiguous, or a map, of more than {MOST_LOADS} numbers"
            )));
        };
        let key = self.key(tensor);
        let mut member = self.storage(tensor, what)?;
        let mut bytes = Vec::new();
        let promised = tensor.storage.numbers * number.size();
        (&mut member)
            .take(promised as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| LoadsError::at(&path, spot(&key), error))?;
        at_end(&path, &key, member)?;
        let numbers: Vec<f64> = bytes.chunks_exact(number.size()).map(|bytes| number.value(bytes, order)).collect();
        let place = |at: usize| {
            let (mut rest, mut place) = (at, tensor.offset);
            for (size, stride) in tensor.shape.iter().zip(&tensor.strides).rev() {
                place += rest % size * stride;
                rest /= size;
            }
            place
        };
        if numbers.len() < tensor.storage.numbers {
            return Err(LoadsError::invalid(&path, spot(&key), "the file ends too early"));
        }
        Ok((0..count).map(|at| numbers[place(at)]).collect())
    }

    fn key(&self, tensor: &Tensor) -> String {
        format!("{}data/{}", self.prefix, tensor.storage.key)
    }

    /// The member with the numbers of a tensor, which are all there.
    fn storage<'a>(&'a mut self, tensor: &Tensor, what: &str) -> Result<impl Read + use<'a>, LoadsError> {
        let (path, key) = (self.path.clone(), self.key(tensor));
        let invalid = |problem: String| LoadsError::invalid(&path, what, problem);
        let number = number(tensor).map_err(invalid)?;
        if last(tensor).is_none_or(|last| last >= tensor.storage.numbers) {
            return Err(invalid("a tensor that is larger than its storage".to_owned()));
        }
        let promised = tensor.storage.numbers as u128 * number.size() as u128;
        let (member, length) = self.archive.stored_member(&key)?;
        if u128::from(length) != promised {
            let problem = format!("{promised} bytes of numbers are promised, {} has {length}", spot(&key));
            return Err(LoadsError::invalid(&path, what, problem));
        }
        Ok(member)
    }
}

/// What stands before the name of the pickle, if this is its name.
fn prefix(name: &str) -> Option<&str> {
    name.strip_suffix(PICKLE)
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/') && prefix.matches('/').count() == 1)
}

fn number(tensor: &Tensor) -> Result<Number, String> {
    match tensor.storage.of {
        StorageType::Numbers(number) => Ok(number),
        StorageType::Other(what) => Err(format!("a tensor of {what}")),
    }
}

fn count(tensor: &Tensor) -> Option<usize> {
    tensor.shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))
}

/// The place of the last number in the storage; `None` if there is none.
fn last(tensor: &Tensor) -> Option<usize> {
    let dimensions = tensor.shape.iter().zip(&tensor.strides);
    dimensions
        .into_iter()
        .try_fold(tensor.offset, |last, (size, stride)| last.checked_add(size.checked_sub(1)?.checked_mul(*stride)?))
}

fn is_contiguous(tensor: &Tensor) -> bool {
    let mut wanted = 1_usize;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == wanted;
        wanted = wanted.saturating_mul(*size);
        fits
    })
}

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<()> {
    match io::copy(&mut reader.take(bytes), &mut io::sink())? {
        skipped if skipped == bytes => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
