//! TensorRT-LLM: a folder of statistics: a file of tensors for each rank, `{iteration}_{layer}` by expert, and
//! `meta_info.json`. An iteration is held at a time.
//!
//! The only file that names the safetensors crate.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use crate::error::LoadsError;
use crate::number::{Bytes, Number};
use crate::recording::Part;
use crate::source::{ReadSeek, Source};
use crate::steps::{Order, Steps};
use crate::window::{MOST_LOADS, Window, checked, quoted, too_many_loads};

/// The name of the file that describes the others.
pub const META: &str = "meta_info.json";

/// The longest header, bytes: about 80 for each layer of each iteration.
const LONGEST_HEADER: u64 = 1 << 26;

#[derive(Debug, Deserialize)]
pub struct Meta {
    num_experts: usize,
    ep_size: Option<usize>,
}

/// The file of a rank.
struct Rank {
    path: PathBuf,
    file: Box<dyn ReadSeek>,
    /// Where tensors lie, and their type, by iteration and layer.
    tensors: BTreeMap<(i64, usize), (u64, Number)>,
    experts: usize,
}

pub fn meta(source: &Source) -> Result<Meta, LoadsError> {
    let text = source.all_text()?;
    serde_json::from_slice(&text).map_err(|error| {
        let spot = format!("line {}, column {}", error.line(), error.column());
        LoadsError::invalid(&source.name, spot, quoted(&error.to_string()))
    })
}

/// Sums the loads of all ranks, iteration by iteration. There is at least one rank.
pub fn ranks(sources: &[Source], meta: Option<(&Path, Meta)>) -> Result<Part, LoadsError> {
    let mut ranks: Vec<Rank> = sources.iter().map(Rank::open).collect::<Result<_, _>>()?;
    let experts = ranks[0].experts;
    let layers: Vec<usize> =
        ranks[0].tensors.keys().map(|(_, layer)| *layer).collect::<BTreeSet<_>>().into_iter().collect();
    let iterations: BTreeSet<i64> = ranks[0].tensors.keys().map(|(iteration, _)| *iteration).collect();
    if layers.len().checked_mul(experts).is_none_or(|loads| loads > MOST_LOADS) {
        return Err(LoadsError::invalid(&ranks[0].path, "header", too_many_loads()));
    }
    for rank in &ranks {
        rank.check(&layers, &iterations, experts, &ranks[0].path)?;
    }
    if let Some((path, meta)) = meta.as_ref().filter(|(_, meta)| meta.num_experts != experts) {
        let problem = format!("{} experts, but the tensors have {experts}", meta.num_experts);
        return Err(LoadsError::invalid(path, "num_experts", problem));
    }
    let mut steps = Steps::default();
    for iteration in iterations {
        let mut sum = vec![0.0; layers.len() * experts];
        for rank in &mut ranks {
            for (layer, sum) in layers.iter().zip(sum.chunks_mut(experts)) {
                rank.add(iteration, *layer, sum)?;
            }
        }
        steps.add(Window::new(experts, sum), Some(iteration));
    }
    let (windows, notes) = steps.finish(Order::AsWritten);
    let mut part = Part::new(&ranks[0].path, windows)?;
    notes.into_iter().for_each(|note| part.note(note));
    let ep_size = meta.and_then(|(_, meta)| meta.ep_size);
    if let Some(ep_size) = ep_size.filter(|ep_size| *ep_size != ranks.len()) {
        part.note(format!("{META} says {ep_size} ranks, there are files of {}", ranks.len()));
    }
    part.gpus = ep_size.or(Some(ranks.len()));
    part.layer_ids = Some(layers);
    Ok(part)
}

impl Rank {
    fn open(source: &Source) -> Result<Self, LoadsError> {
        let path = source.name.clone();
        let mut file = source.seekable()?;
        let failed = |error| LoadsError::at(&path, "header", error);
        let invalid = |problem: String| LoadsError::invalid(&path, "header", problem);
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(failed)?;
        let size = u64::from_le_bytes(size);
        if size > LONGEST_HEADER || size > length {
            return Err(invalid(format!("a header of {size} bytes in a file of {length}")));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(failed)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| invalid(quoted(&error.to_string())))?;
        let begin = 8 + size;
        let (mut tensors, mut experts) = (BTreeMap::new(), None);
        for (name, info) in header.tensors() {
            let (key, name) = (key(&name), quoted(&name));
            let key = key.ok_or_else(|| invalid(format!("{name:?} is not {{iteration}}_{{layer}}")))?;
            let number =
                number(info.dtype).ok_or_else(|| invalid(format!("{name}: numbers of type {:?}", info.dtype)))?;
            let [own] = info.shape[..] else {
                return Err(invalid(format!("{name}: {} dimensions, not [experts]", info.shape.len())));
            };
            if *experts.get_or_insert(own) != own {
                return Err(invalid(format!("{name}: {own} experts, other tensors have another number")));
            }
            let (from, end) = info.data_offsets;
            if own.checked_mul(number.size()) != end.checked_sub(from)
                || begin.checked_add(end as u64).is_none_or(|end| end > length)
            {
                return Err(invalid(format!(
                    "{name}: {own} numbers of {} bytes do not fit into the file",
                    number.size()
                )));
            }
            tensors.insert(key, (begin + from as u64, number));
        }
        if header.data_len() as u64 + begin != length {
            return Err(invalid(format!(
                "{} bytes of numbers are promised, {} follow",
                header.data_len(),
                length - begin
            )));
        }
        match experts {
            Some(experts) if experts > 0 => Ok(Self { path, file, tensors, experts }),
            _ => Err(LoadsError::Empty { path }),
        }
    }

    /// Refuses a file that is not like the `first` one.
    fn check(
        &self,
        layers: &[usize],
        iterations: &BTreeSet<i64>,
        experts: usize,
        first: &Path,
    ) -> Result<(), LoadsError> {
        let invalid = |problem: String| Err(LoadsError::invalid(&self.path, "header", problem));
        if self.experts != experts {
            return invalid(format!("{} experts, but {} has {experts}", self.experts, first.display()));
        }
        for iteration in iterations {
            if let Some(layer) = layers.iter().find(|layer| !self.tensors.contains_key(&(*iteration, **layer))) {
                return invalid(format!("no layer {layer} in iteration {iteration}"));
            }
        }
        if self.tensors.len() != layers.len() * iterations.len() {
            return invalid(format!("iterations or layers that {} does not have", first.display()));
        }
        Ok(())
    }

    fn add(&mut self, iteration: i64, layer: usize, sum: &mut [f64]) -> Result<(), LoadsError> {
        let (place, number) = self.tensors[&(iteration, layer)];
        let spot = || format!("iteration {iteration}, layer {layer}");
        let mut bytes = vec![0; sum.len() * number.size()];
        let read = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| LoadsError::at(&self.path, spot(), error))?;
        for (expert, (bytes, sum)) in bytes.chunks_exact(number.size()).zip(sum).enumerate() {
            let load = number.value(bytes, Bytes::LittleFirst);
            *sum += checked(load, format_args!("{load:?}"))
                .map_err(|problem| LoadsError::invalid(&self.path, format!("{}, expert {expert}", spot()), problem))?;
        }
        Ok(())
    }
}

/// Iteration and layer of a tensor.
fn key(name: &str) -> Option<(i64, usize)> {
    let (iteration, layer) = name.split_once('_')?;
    Some((iteration.parse().ok()?, layer.parse().ok()?))
}

fn number(of: Dtype) -> Option<Number> {
    Some(match of {
        Dtype::I8 => Number::I8,
        Dtype::I16 => Number::I16,
        Dtype::I32 => Number::I32,
        Dtype::I64 => Number::I64,
        Dtype::U8 => Number::U8,
        Dtype::U16 => Number::U16,
        Dtype::U32 => Number::U32,
        Dtype::U64 => Number::U64,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        _ => return None,
    })
}
