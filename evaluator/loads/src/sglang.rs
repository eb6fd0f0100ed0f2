//! SGLang: what its recorder saves with torch: the ring of a whole recording (`stat`), or the passes of each rank
//! (`per_pass`); and any tensor of loads that is saved alone, as vllm-ascend's users do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::LoadsError;
use crate::pickle::{Tensor, Value};
use crate::recording::{Part, Timed, listed};
use crate::slots::Slots;
use crate::steps::{Order, Steps};
use crate::torch::TorchFile;
use crate::window::{MOST_LOADS, checked, quoted, too_many_loads};

/// How the recorder begins the names of its files; the time follows, and for a rank its number.
const NAME: &str = "expert_distribution_recorder_";

/// The gatherer whose records are read; others count the same tokens again.
const GATHERER: &str = "primary";

/// The most members of a dictionary that an error names.
const MOST_NAMED: usize = 5;

pub enum Contents {
    /// The windows of one file.
    Windows(Part),
    /// The passes of a rank, one file of several.
    Rank(Box<Rank>),
}

/// The file of a rank.
pub struct Rank {
    path: PathBuf,
    file: TorchFile,
    pub rank: i64,
    /// Loads by slot, by forward pass.
    passes: BTreeMap<i64, Vec<Tensor>>,
    map: Tensor,
}

const COUNTS: &str = "logical_count";
const RECORDS: &str = "records";
const PHYSICAL: &str = "global_physical_count";
const MAP: &str = "last_physical_to_logical_map";

pub fn contents(path: &Path, file: TorchFile) -> Result<Contents, LoadsError> {
    let invalid = |spot: &str, problem: String| Err(LoadsError::invalid(path, spot, problem));
    let root = file.pickle.root();
    if let Value::Tensor(tensor) = root {
        let tensor = tensor.clone();
        return counts(path, file, &tensor, "the tensor", Order::AsWritten).map(Contents::Windows);
    }
    match (file.pickle.member(root, COUNTS), file.pickle.member(root, RECORDS)) {
        (Some(Value::Tensor(tensor)), _) => {
            let tensor = tensor.clone();
            counts(path, file, &tensor, COUNTS, Order::Ring).map(Contents::Windows)
        }
        (Some(_), _) => invalid(COUNTS, "not a tensor".to_owned()),
        (None, Some(Value::List(records))) => {
            let records = records.clone();
            rank(path, file, &records).map(Contents::Rank)
        }
        (None, Some(_)) => invalid(RECORDS, "not a list".to_owned()),
        (None, None) => {
            let names: Vec<String> = file.pickle.names(root).into_iter().take(MOST_NAMED).map(quoted).collect();
            let found = if names.is_empty() { "no dictionary".to_owned() } else { format!("{names:?}") };
            let hint = if names.iter().any(|name| name.contains("physical_to_logical_map")) {
                ": a plan, no loads"
            } else {
                ""
            };
            invalid("data.pkl", format!("no {COUNTS:?} or {RECORDS:?} among the members {found}{hint}"))
        }
    }
}

fn counts(path: &Path, mut file: TorchFile, tensor: &Tensor, what: &str, order: Order) -> Result<Part, LoadsError> {
    let array = file.array(tensor, what)?;
    if array.is_empty() {
        return Err(LoadsError::Empty { path: path.to_owned() });
    }
    let mut steps = Steps::default();
    file.read(tensor, &array, what, &mut steps)?;
    let (windows, notes) = steps.finish(order);
    let mut part = Part::new(path, windows)?;
    // The recorder writes a row for every layer of the model.
    part.layer_ids = (order == Order::Ring).then(|| (0..array.layers).collect());
    part.written = written(path);
    notes.into_iter().for_each(|note| part.note(note));
    Ok(part)
}

/// The time in a name, and what follows it.
fn written(path: &Path) -> Option<f64> {
    let stem = path.file_name()?.to_str()?.strip_prefix(NAME)?;
    let digits = stem.find(|c: char| !c.is_ascii_digit() && c != '.').map_or(stem, |end| &stem[..end]);
    digits.trim_end_matches('.').parse().ok()
}

fn rank(path: &Path, file: TorchFile, records: &[usize]) -> Result<Box<Rank>, LoadsError> {
    let pickle = &file.pickle;
    let map = match pickle.member(pickle.root(), MAP) {
        Some(Value::Tensor(map)) => map.clone(),
        _ => return Err(LoadsError::invalid(path, MAP, "not there, or not a tensor")),
    };
    let (mut passes, mut rank) = (BTreeMap::<i64, Vec<Tensor>>::new(), None);
    for (number, record) in records.iter().enumerate() {
        let record = pickle.value(*record);
        let invalid = |problem: String| LoadsError::invalid(path, format!("record {number}"), problem);
        let int = |name: &str| match pickle.member(record, name) {
            Some(Value::Int(value)) => Ok(*value),
            _ => Err(invalid(format!("{name:?} is not there, or not a number"))),
        };
        match pickle.member(record, "gatherer_key") {
            Some(Value::Text(gatherer)) if gatherer != GATHERER => continue,
            _ => {}
        }
        let (pass, own) = (int("forward_pass_id")?, int("rank")?);
        if *rank.get_or_insert(own) != own {
            return Err(invalid(format!("of rank {own}, others of this file are of rank {}", rank.unwrap_or(own))));
        }
        let Some(Value::Tensor(loads)) = pickle.member(record, PHYSICAL) else {
            return Err(invalid(format!("{PHYSICAL:?} is not there, or not a tensor")));
        };
        if loads.shape != map.shape || map.shape.len() != 2 {
            let shape = |tensor: &Tensor| quoted(&format!("{:?}", tensor.shape));
            return Err(invalid(format!("{PHYSICAL:?} has the shape {}, the map {}", shape(loads), shape(&map))));
        }
        passes.entry(pass).or_default().push(loads.clone());
    }
    let Some(rank) = rank else { return Err(LoadsError::Empty { path: path.to_owned() }) };
    Ok(Box::new(Rank { path: path.to_owned(), file, rank, passes, map }))
}

/// Sums the loads of all ranks, pass by pass. There is at least one rank.
pub fn ranks(mut ranks: Vec<Rank>) -> Result<Part, LoadsError> {
    let path = ranks[0].path.clone();
    let slots = shared_map(&mut ranks)?;
    let everywhere = |pass: &i64| ranks.iter().all(|rank| rank.passes.contains_key(pass));
    let all: BTreeSet<i64> = ranks.iter().flat_map(|rank| rank.passes.keys().copied()).collect();
    let (passes, partial): (Vec<i64>, Vec<i64>) = all.into_iter().partition(everywhere);
    let mut steps = Steps::default();
    for pass in passes {
        let mut sum = vec![0.0; slots.layers * slots.slots];
        for rank in &mut ranks {
            rank.add(pass, slots.slots, &mut sum)?;
        }
        steps.add(slots.logical(&sum), Some(pass));
    }
    let (windows, notes) = steps.finish(Order::AsWritten);
    part(&path, windows, notes, &ranks, &slots, &partial)
}

fn part(
    path: &Path,
    windows: Vec<Timed>,
    notes: Vec<String>,
    ranks: &[Rank],
    slots: &Slots,
    partial: &[i64],
) -> Result<Part, LoadsError> {
    let mut part = Part::new(path, windows)?;
    notes.into_iter().for_each(|note| part.note(note));
    if !partial.is_empty() {
        part.note(format!("{} forward passes are not in the files of all ranks and are left out", partial.len()));
    }
    let mut numbers: Vec<i64> = ranks.iter().map(|rank| rank.rank).collect();
    numbers.sort_unstable();
    if numbers.iter().zip(0..).any(|(number, wanted)| *number != wanted) {
        let found: Vec<usize> = numbers.iter().filter_map(|number| usize::try_from(*number).ok()).collect();
        part.note(format!("there are only files of the ranks {}: tokens of the others are missing", listed(&found)));
    } else {
        part.gpus = Some(ranks.len());
    }
    part.layer_ids = Some((0..slots.layers).collect());
    part.replicas = Some(slots.slots);
    part.written = written(path);
    Ok(part)
}

/// The map from slots to experts, which all ranks share.
fn shared_map(ranks: &mut [Rank]) -> Result<Slots, LoadsError> {
    let mut shared: Option<(Slots, PathBuf)> = None;
    for rank in ranks {
        let map = rank.file.numbers(&rank.map, MAP)?;
        let slots = *rank.map.shape.last().unwrap_or(&0);
        let slots = Slots::new(slots, &map).map_err(|problem| LoadsError::invalid(&rank.path, MAP, problem))?;
        match &shared {
            None => shared = Some((slots, rank.path.clone())),
            Some((known, _)) if *known == slots => {}
            Some((_, other)) => {
                let problem = format!("another map than in {}", other.display());
                return Err(LoadsError::invalid(&rank.path, MAP, problem));
            }
        }
    }
    let (slots, path) = shared.expect("BUG: a recording without ranks");
    if slots.layers * slots.slots > MOST_LOADS {
        return Err(LoadsError::invalid(&path, MAP, too_many_loads()));
    }
    Ok(slots)
}

impl Rank {
    fn add(&mut self, pass: i64, slots: usize, sum: &mut [f64]) -> Result<(), LoadsError> {
        for tensor in self.passes.get(&pass).cloned().unwrap_or_default() {
            let what = format!("{PHYSICAL} of forward pass {pass}");
            let loads = self.file.numbers(&tensor, &what)?;
            for (at, (load, sum)) in loads.into_iter().zip(&mut *sum).enumerate() {
                let load = checked(load, format_args!("{load:?}")).map_err(|problem| {
                    let spot = format!("{what}, layer {}, slot {}", at / slots, at % slots);
                    LoadsError::invalid(&self.path, spot, problem)
                })?;
                *sum += load;
            }
        }
        Ok(())
    }
}

/// The ranks of one recording end where a rank comes for the second time.
pub fn grouped(all: Vec<Rank>) -> Vec<Vec<Rank>> {
    let mut groups: Vec<Vec<Rank>> = Vec::new();
    for rank in all {
        match groups.last_mut() {
            Some(group) if group.iter().all(|other| other.rank != rank.rank) => group.push(rank),
            _ => groups.push(vec![rank]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_in_the_name() {
        let time = |name: &str| written(Path::new(name));
        assert_eq!(time("a/expert_distribution_recorder_1795878762.737382.pt"), Some(1_795_878_762.737_382));
        assert_eq!(time("expert_distribution_recorder_1795878762.5_3.pt"), Some(1_795_878_762.5));
        assert_eq!(time("expert_distribution_recorder_x.pt"), None);
        assert_eq!(time("other.pt"), None);
    }
}
