//! Recording: the windows that were read, what each of them spans, and what the files say about the deployment.

use std::fmt;
use std::path::{Path, PathBuf};

use packevolve_contract::topology::Topology;

use crate::error::LoadsError;
use crate::window::Window;

/// All that files of loads hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// In the order of the files and of the rows in them; at least one, all of one shape.
    pub windows: Vec<Window>,
    /// One for each window.
    pub spans: Vec<Span>,
    /// The layers of the model that the rows of a window stand for, if the files tell.
    pub layer_ids: Option<Vec<usize>>,
    /// The layers of the model that have no experts and were dropped.
    pub dense_layers: Vec<usize>,
    /// Physical experts of a layer, if the files tell.
    pub replicas: Option<usize>,
    /// If the files tell.
    pub gpus: Option<usize>,
    /// What the reader left out or assumed, and what contradicts the topology.
    pub notes: Vec<Note>,
}

/// What a window spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub file: PathBuf,
    /// Recorded steps that are summed in the window; 1 also where the file does not tell.
    pub steps: usize,
    /// The first and the last forward pass, iteration or step, as the engine numbers them.
    pub passes: Option<(i64, i64)>,
    /// When the file was written, seconds since 1970.
    pub written: Option<f64>,
}

/// Something about a file that the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub file: PathBuf,
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.text)
    }
}

/// A window and the steps in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timed {
    pub window: Window,
    pub steps: usize,
    pub passes: Option<(i64, i64)>,
}

impl Timed {
    pub fn whole(window: Window) -> Self {
        Self { window, steps: 1, passes: None }
    }
}

/// What a file, or files that belong together, hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    /// The (first) file.
    pub file: PathBuf,
    /// At least one, all of one shape.
    pub windows: Vec<Timed>,
    pub layer_ids: Option<Vec<usize>>,
    pub replicas: Option<usize>,
    pub gpus: Option<usize>,
    pub written: Option<f64>,
    pub notes: Vec<Note>,
}

impl Part {
    pub fn new(file: &Path, windows: Vec<Timed>) -> Result<Self, LoadsError> {
        if windows.is_empty() {
            return Err(LoadsError::Empty { path: file.to_owned() });
        }
        let file = file.to_owned();
        Ok(Self { file, windows, layer_ids: None, replicas: None, gpus: None, written: None, notes: Vec::new() })
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(Note { file: self.file.clone(), text: text.into() });
    }

    fn shape(&self) -> (usize, usize) {
        let Window { layers, experts, .. } = self.windows[0].window;
        (layers, experts)
    }
}

impl Recording {
    /// Puts the parts, at least one, together.
    ///
    /// Recorders also write rows for dense layers, which have no experts. If parts of one shape have more layers than the
    /// wanted topology, and exactly the excess number of layers are zero in all their windows, these are dropped;
    /// otherwise a layer without load is like any other. Without a topology, all layers that are zero in all windows of
    /// several layers are taken for dense.
    pub(crate) fn of(parts: Vec<Part>, wanted: Option<&Topology>) -> Result<Self, LoadsError> {
        let mut all = Self {
            windows: Vec::new(),
            spans: Vec::new(),
            layer_ids: None,
            dense_layers: Vec::new(),
            replicas: None,
            gpus: None,
            notes: Vec::new(),
        };
        let drops: Vec<Vec<usize>> = parts.iter().map(|part| dense(part, &parts, wanted)).collect::<Result<_, _>>()?;
        let first = (parts[0].file.clone(), parts[0].shape(), drops[0].len());
        for (part, dropped) in parts.into_iter().zip(drops) {
            let (layers, experts) = part.shape();
            let (first, (first_layers, first_experts), first_dropped) = &first;
            let kept = layers - dropped.len();
            if (kept, experts) != (first_layers - first_dropped, *first_experts) {
                let (first_layers, first_experts) = (*first_layers, *first_experts);
                let (path, first) = (part.file, first.clone());
                return Err(LoadsError::Mixed { path, layers, experts, first, first_layers, first_experts });
            }
            all.add(part, &dropped);
        }
        if let Some(wanted) = wanted {
            all.compare(wanted, &first.0);
        }
        Ok(all)
    }

    fn add(&mut self, part: Part, dropped: &[usize]) {
        let (layers, _) = part.shape();
        self.notes.extend(part.notes.iter().cloned());
        let ids = part.layer_ids.clone().or_else(|| (!dropped.is_empty()).then(|| (0..layers).collect()));
        if let Some(ids) = ids {
            let (dense, kept): (Vec<_>, Vec<_>) = (0..layers).partition(|layer| dropped.contains(layer));
            let of = |layers: Vec<usize>| layers.into_iter().map(|layer| ids[layer]).collect::<Vec<_>>();
            let (dense, kept) = (of(dense), of(kept));
            match &self.layer_ids {
                None => (self.layer_ids, self.dense_layers) = (Some(kept), dense),
                Some(known) if *known != kept => self.notes.push(Note {
                    file: part.file.clone(),
                    text: format!("its layers are {}, those of the files before it {}", listed(&kept), listed(known)),
                }),
                Some(_) => {}
            }
        }
        agree(&mut self.replicas, part.replicas, "replicas", &part.file, &mut self.notes);
        agree(&mut self.gpus, part.gpus, "GPUs", &part.file, &mut self.notes);
        for Timed { window, steps, passes } in part.windows {
            let kept = if dropped.is_empty() { window } else { window.without(|layer| dropped.contains(&layer)) };
            self.windows.push(kept);
            self.spans.push(Span { file: part.file.clone(), steps, passes, written: part.written });
        }
    }

    /// Names what contradicts the topology and does not keep the loads from being used.
    fn compare(&mut self, wanted: &Topology, file: &Path) {
        let figures = [("replicas", self.replicas, wanted.replicas), ("GPUs", self.gpus, wanted.gpus)];
        for (what, found, wanted) in figures {
            if let Some(found) = found.filter(|found| *found != wanted) {
                let text = format!("recorded with {found} {what}, but the topology has {wanted}");
                self.notes.push(Note { file: file.to_owned(), text });
            }
        }
    }
}

/// The layers of a part that are dense.
fn dense(part: &Part, parts: &[Part], wanted: Option<&Topology>) -> Result<Vec<usize>, LoadsError> {
    let (layers, experts) = part.shape();
    if wanted.is_some_and(|wanted| (layers, experts) == (wanted.layers, wanted.experts)) {
        return Ok(Vec::new());
    }
    let alike: Vec<&Part> = parts.iter().filter(|other| other.shape() == (layers, experts)).collect();
    let is_zero = |layer: usize| alike.iter().all(|part| part.windows.iter().all(|timed| timed.window.is_zero(layer)));
    let zero: Vec<usize> = (0..layers).filter(|layer| is_zero(*layer)).collect();
    match wanted {
        // A recording of nothing says nothing about its layers.
        None if zero.len() == layers => Ok(Vec::new()),
        None => Ok(zero),
        Some(wanted) if experts == wanted.experts && layers == wanted.layers + zero.len() => Ok(zero),
        Some(Topology { layers: wanted_layers, experts: wanted_experts, .. }) => Err(LoadsError::Shape {
            path: part.file.clone(),
            layers,
            zero: zero.len(),
            experts,
            wanted_layers: *wanted_layers,
            wanted_experts: *wanted_experts,
        }),
    }
}

fn agree(known: &mut Option<usize>, found: Option<usize>, what: &str, file: &Path, notes: &mut Vec<Note>) {
    match (*known, found) {
        (None, found) => *known = found,
        (Some(known), Some(found)) if known != found => {
            notes.push(Note {
                file: file.to_owned(),
                text: format!("{found} {what}, the files before it have {known}"),
            });
        }
        _ => {}
    }
}

/// Numbers in short: `3-60`, or `1, 2, 5`.
pub fn listed(numbers: &[usize]) -> String {
    match numbers {
        [first, .., last] if numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) => format!("{first}-{last}"),
        _ => numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(file: &str, experts: usize, windows: &[&[f64]]) -> Part {
        let windows = windows.iter().map(|counts| Timed::whole(Window::new(experts, counts.to_vec())));
        Part::new(Path::new(file), windows.collect()).unwrap()
    }

    fn topology(layers: usize, experts: usize) -> Topology {
        Topology { layers, experts, ..Topology::deepseek_v3() }
    }

    #[test]
    fn a_layer_that_has_load_in_another_window_is_not_dense() {
        let dense = || vec![part("w.npy", 1, &[&[0.0, 0.0, 5.0]]), part("x.npy", 1, &[&[0.0, 7.0, 0.0]])];
        let recording = Recording::of(dense(), Some(&topology(2, 1))).unwrap();
        assert_eq!(recording.windows, [Window::new(1, vec![0.0, 5.0]), Window::new(1, vec![7.0, 0.0])]);
        assert_eq!((recording.layer_ids, recording.dense_layers), (Some(vec![1, 2]), vec![0]));
        assert!(Recording::of(dense(), Some(&topology(1, 1))).is_err());
        assert_eq!(Recording::of(dense(), None).unwrap().windows, recording.windows);
    }

    #[test]
    fn files_of_different_shapes_are_refused_unless_dense_layers_are_the_difference() {
        let with_dense = part("a.json", 2, &[&[0.0, 0.0, 1.0, 2.0]]);
        let without = part("b.csv", 2, &[&[3.0, 4.0]]);
        let recording = Recording::of(vec![with_dense.clone(), without.clone()], None).unwrap();
        assert_eq!(recording.windows, [Window::new(2, vec![1.0, 2.0]), Window::new(2, vec![3.0, 4.0])]);
        assert_eq!((recording.layer_ids, recording.dense_layers), (Some(vec![1]), vec![0]));
        let other = part("c.csv", 3, &[&[3.0, 4.0, 5.0]]);
        let error = Recording::of(vec![without, other], None).unwrap_err().to_string();
        assert_eq!(error, "c.csv: 1 layers of 3 loads, but b.csv has 1 layers of 2");
    }

    #[test]
    fn what_contradicts_the_topology_or_other_files_is_noted() {
        let mut one = part("a.pt", 2, &[&[1.0, 2.0]]);
        (one.replicas, one.gpus) = (Some(4), Some(2));
        let other = Part { file: "b.pt".into(), gpus: Some(4), ..one.clone() };
        let wanted = Topology { replicas: 4, gpus: 8, ..topology(1, 2) };
        let recording = Recording::of(vec![one, other], Some(&wanted)).unwrap();
        let notes: Vec<String> = recording.notes.iter().map(Note::to_string).collect();
        assert_eq!(
            notes,
            ["b.pt: 4 GPUs, the files before it have 2", "a.pt: recorded with 2 GPUs, but the topology has 8"]
        );
        assert_eq!((recording.replicas, recording.gpus), (Some(4), Some(2)));
    }

    #[test]
    fn layers_are_listed_in_short() {
        assert_eq!([listed(&[3, 4, 5]), listed(&[1]), listed(&[1, 3]), listed(&[])], ["3-5", "1", "1, 3", ""]);
    }
}
