//! Plan files of every engine: one is written by the engine's name, and read by its content.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use packevolve_contract::plan::Plan;
use packevolve_contract::topology::Topology;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::values::raw_text::text_of;
use crate::view::plans::error::PlanFileError;
use crate::view::plans::layers::ModelLayers;
use crate::view::plans::own::Origin;
use crate::view::plans::{ascend, own, sglang, tensorrt, vllm};

/// Far more than the plan of any model.
const MOST_BYTES: u64 = 1 << 28;

/// Who takes a plan file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sglang,
    /// JSON Lines if the file's name ends in `.jsonl`, otherwise JSON.
    Vllm,
    TensorrtLlm,
    Ascend,
    /// PackEvolve's own file.
    Json,
}

impl Engine {
    /// Checks that a plan with these layers can be written for this engine.
    ///
    /// # Errors
    /// As for [`text`](Self::text).
    pub fn check(self, layers: &ModelLayers) -> Result<(), PlanFileError> {
        match self {
            Self::Sglang if layers.ids().is_none() => Err(PlanFileError::NoLayers { engine: "SGLang" }),
            Self::TensorrtLlm if layers.ids().is_none() => Err(PlanFileError::NoLayers { engine: "TensorRT-LLM" }),
            _ => Ok(()),
        }
    }

    /// The content of a file at `path` for this engine.
    ///
    /// # Errors
    /// The engine numbers the layers of the model, and `layers` does not say which ones the rows are.
    pub fn text(
        self,
        path: &Path,
        plan: &Plan,
        layers: &ModelLayers,
        (topology, origin): (&Topology, &Origin),
    ) -> Result<String, PlanFileError> {
        self.check(layers)?;
        let is_jsonl = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
        Ok(match self {
            Self::Sglang => sglang::text(plan, layers),
            Self::Vllm if is_jsonl => vllm::line(plan),
            Self::Vllm => vllm::list(plan),
            Self::TensorrtLlm => tensorrt::text(plan, layers),
            Self::Ascend => ascend::text(plan),
            Self::Json => own::text(plan, layers, topology, origin),
        })
    }
}

/// What a plan file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFile {
    path: PathBuf,
    pub engine: Engine,
    /// GPUs, if the file tells.
    pub gpus: Option<usize>,
    rows: Rows,
}

/// The experts in the slots of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rows {
    /// Of all hidden layers, dense ones too.
    Hidden(Vec<Vec<i64>>),
    /// Of the layers that have experts.
    InOrder(Vec<Vec<i64>>),
    /// One for all layers.
    Shared(Vec<i64>),
    /// By layer of the model.
    ById(Vec<(usize, Vec<i64>)>),
}

impl PlanFile {
    /// Reads a plan file of any engine.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or holds something else.
    pub fn read(path: &Path) -> Result<Self, PlanFileError> {
        let read = |source| PlanFileError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(read)?;
        let not_a_plan = |seen: String| PlanFileError::NotAPlan { path: path.to_owned(), seen };
        if bytes.len() as u64 > MOST_BYTES {
            return Err(not_a_plan(format!("more than {} MiB long", MOST_BYTES >> 20)));
        }
        if bytes.starts_with(b"PK") {
            return Err(not_a_plan("a zip archive, such as a .pt file".to_owned()));
        }
        let text = text_of(&bytes).map_err(|problem| not_a_plan(problem.to_string()))?;
        let text = text.trim_start_matches('\u{feff}');
        match text.trim_start().chars().next() {
            None => Err(not_a_plan("empty".to_owned())),
            Some('{' | '[') => Reader { path, text }.json(),
            Some(_) => Reader { path, text }.yaml(),
        }
    }

    /// The number of slots of a layer.
    pub fn slots(&self) -> usize {
        let rows = match &self.rows {
            Rows::Hidden(rows) | Rows::InOrder(rows) => rows.first(),
            Rows::Shared(row) => Some(row),
            Rows::ById(rows) => rows.first().map(|(_, row)| row),
        };
        rows.map_or(0, Vec::len)
    }

    /// The plan for the rows of `layers` on `topology`.
    ///
    /// # Errors
    /// The plan is of another model or deployment, or breaks the contract of plans.
    pub fn plan(&self, layers: &ModelLayers, topology: &Topology) -> Result<Plan, PlanFileError> {
        let rows = self.rows_of(layers, topology)?;
        let other = |found: String, wanted: String| Err(self.other_shape(found, wanted));
        for (row, slots) in rows.iter().enumerate() {
            if slots.len() != topology.replicas {
                let found = format!("layer {} has {} slots", layers.id(row), slots.len());
                return other(found, format!("there are {} replicas", topology.replicas));
            }
        }
        if let Some(gpus) = self.gpus.filter(|gpus| *gpus != topology.gpus) {
            return other(format!("it is for {gpus} GPUs"), format!("there are {}", topology.gpus));
        }
        Plan::new(&rows.concat(), topology).map_err(|source| PlanFileError::Invalid { path: self.path.clone(), source })
    }

    fn rows_of(&self, layers: &ModelLayers, topology: &Topology) -> Result<Vec<&[i64]>, PlanFileError> {
        let wanted = format!("the loads have {} layers with experts", topology.layers);
        let all = |rows: &'_ [Vec<i64>]| rows.len() == topology.layers;
        let counted = |count: usize, what: &str| self.other_shape(format!("it has {count} {what}"), wanted.clone());
        match (&self.rows, layers.ids()) {
            (Rows::Shared(row), _) => Ok(vec![row.as_slice(); topology.layers]),
            (Rows::Hidden(rows), Some(ids)) if rows.len() >= layers.hidden() => {
                Ok(ids.iter().map(|&id| &rows[id][..]).collect())
            }
            (Rows::Hidden(rows), None) | (Rows::InOrder(rows), _) if all(rows) => {
                Ok(rows.iter().map(Vec::as_slice).collect())
            }
            (Rows::Hidden(rows), _) => Err(counted(rows.len(), "hidden layers")),
            (Rows::InOrder(rows), _) => Err(counted(rows.len(), "layers")),
            (Rows::ById(rows), None) if rows.len() == topology.layers => {
                Ok(rows.iter().map(|(_, row)| row.as_slice()).collect())
            }
            (Rows::ById(rows), None) => Err(counted(rows.len(), "layers")),
            (Rows::ById(rows), Some(ids)) => {
                let of_layer = |&id: &usize| {
                    let known = rows.iter().find(|(layer, _)| *layer == id).map(|(_, row)| row.as_slice());
                    known.ok_or_else(|| self.other_shape(format!("it has no layer {id}"), wanted.clone()))
                };
                ids.iter().map(of_layer).collect()
            }
        }
    }

    fn other_shape(&self, found: String, wanted: String) -> PlanFileError {
        PlanFileError::OtherShape { path: self.path.clone(), found, wanted }
    }
}

/// A file that is being read.
struct Reader<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Reader<'_> {
    fn json(&self) -> Result<PlanFile, PlanFileError> {
        let mut documents = serde_json::Deserializer::from_str(self.text).into_iter::<Value>();
        let first = documents.next().transpose().map_err(|error| self.damaged(&error))?;
        let Some(first) = first else { return Err(self.not_a_plan("empty")) };
        if documents.next().is_some() {
            return self.lines();
        }
        let file = |engine, gpus, rows| Ok(PlanFile { path: self.path.to_owned(), engine, gpus, rows });
        let has = |key: &str| first.get(key).is_some();
        match &first {
            Value::Array(rows) if rows.iter().any(Value::is_array) => {
                file(Engine::Vllm, None, Rows::InOrder(self.parsed()?))
            }
            Value::Array(_) => file(Engine::Vllm, None, Rows::Shared(self.parsed()?)),
            _ if has("packevolve_plan") => self.own(),
            _ if has("physical_to_logical_map") => {
                let sglang::Written { physical_to_logical_map } = self.parsed()?;
                file(Engine::Sglang, None, Rows::Hidden(physical_to_logical_map))
            }
            _ if has("record_type") => self.lines(),
            _ if has("layer_list") => self.ascend(),
            _ if has("initial_global_assignments") => self.tensorrt(self.parsed()?),
            _ if has("logical_count") => Err(self.not_a_plan("SGLang's record of loads")),
            _ => Err(self.not_a_plan(&format!("JSON with {}", keys(&first)))),
        }
    }

    fn own(&self) -> Result<PlanFile, PlanFileError> {
        let own::Written { packevolve_plan, topology, layer_ids, physical_to_logical_map: rows } = self.parsed()?;
        if packevolve_plan != own::FORMAT {
            return Err(self.not_a_plan(&format!("a plan of another PackEvolve, format {packevolve_plan}")));
        }
        let rows = match layer_ids {
            Some(ids) if ids.len() != rows.len() => {
                return Err(self.invalid(format!("{} layer_ids, but {} rows", ids.len(), rows.len())));
            }
            Some(ids) => Rows::ById(ids.into_iter().zip(rows).collect()),
            None => Rows::InOrder(rows),
        };
        Ok(PlanFile { path: self.path.to_owned(), engine: Engine::Json, gpus: Some(topology.gpus), rows })
    }

    fn ascend(&self) -> Result<PlanFile, PlanFileError> {
        let ascend::Written { moe_layer_count, layer_list } = self.parsed()?;
        if layer_list.len() != moe_layer_count {
            let found = layer_list.len();
            return Err(self.invalid(format!("moe_layer_count is {moe_layer_count}, but {found} layers are listed")));
        }
        let gpus = layer_list.first().map(|layer| layer.device_count);
        let mut rows = Vec::new();
        for (at, ascend::Layer { device_list, device_count, .. }) in layer_list.into_iter().enumerate() {
            let slots = device_list.first().map_or(0, |device| device.device_expert.len());
            if device_list.len() != device_count || Some(device_count) != gpus {
                let found = device_list.len();
                return Err(
                    self.invalid(format!("layer {at} lists {found} devices, its device_count is {device_count}"))
                );
            }
            if device_list.iter().any(|device| device.device_expert.len() != slots) {
                return Err(self.invalid(format!("the devices of layer {at} have different numbers of experts")));
            }
            rows.push(device_list.into_iter().flat_map(|device| device.device_expert).collect());
        }
        Ok(PlanFile { path: self.path.to_owned(), engine: Engine::Ascend, gpus, rows: Rows::InOrder(rows) })
    }

    /// The line of vLLM's JSON Lines that holds a plan; lines of other kinds may stand beside it.
    fn lines(&self) -> Result<PlanFile, PlanFileError> {
        let mut found = None;
        for value in serde_json::Deserializer::from_str(self.text).into_iter::<Value>() {
            let value = value.map_err(|error| self.damaged(&error))?;
            if value.get("record_type").and_then(Value::as_str) == Some(vllm::MAPPING) && found.replace(value).is_some()
            {
                return Err(self.invalid("several plans".to_owned()));
            }
        }
        let Some(value) = found else { return Err(self.not_a_plan("JSON Lines without an eplb_initial_mapping")) };
        let line: vllm::Line = serde_json::from_value(value).map_err(|error| self.damaged(&error))?;
        let of_layer = |(at, (layer, row)): (usize, (usize, Vec<i64>))| (at == layer).then_some(row);
        let count = line.initial_global_assignments.len();
        let rows: Option<Vec<_>> = line.initial_global_assignments.into_iter().enumerate().map(of_layer).collect();
        let rows =
            rows.ok_or_else(|| self.invalid(format!("its layers are not numbered 0 to {}", count.max(1) - 1)))?;
        self.check_slots(rows.iter(), line.num_slots)?;
        Ok(PlanFile { path: self.path.to_owned(), engine: Engine::Vllm, gpus: None, rows: Rows::InOrder(rows) })
    }

    fn yaml(&self) -> Result<PlanFile, PlanFileError> {
        if !self.text.contains("initial_global_assignments") {
            let first = self.text.trim_start().lines().next().unwrap_or_default();
            let first: String = first.chars().take(60).collect();
            return Err(self.not_a_plan(&format!("text that begins with {first:?}")));
        }
        self.tensorrt(tensorrt::read(self.text).map_err(|problem| self.invalid(problem))?)
    }

    fn tensorrt(&self, written: tensorrt::Written) -> Result<PlanFile, PlanFileError> {
        self.check_slots(written.initial_global_assignments.values(), written.num_slots)?;
        let rows = Rows::ById(written.initial_global_assignments.into_iter().collect());
        Ok(PlanFile { path: self.path.to_owned(), engine: Engine::TensorrtLlm, gpus: None, rows })
    }

    fn check_slots<'r>(&self, mut rows: impl Iterator<Item = &'r Vec<i64>>, slots: usize) -> Result<(), PlanFileError> {
        match rows.find(|row| row.len() != slots) {
            Some(row) => Err(self.invalid(format!("num_slots is {slots}, but a layer has {}", row.len()))),
            None => Ok(()),
        }
    }

    fn parsed<T: DeserializeOwned>(&self) -> Result<T, PlanFileError> {
        serde_json::from_str(self.text).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &serde_json::Error) -> PlanFileError {
        self.invalid(if error.is_eof() { format!("the file ends too early: {error}") } else { error.to_string() })
    }

    fn invalid(&self, problem: String) -> PlanFileError {
        PlanFileError::Damaged { path: self.path.to_owned(), problem }
    }

    fn not_a_plan(&self, seen: &str) -> PlanFileError {
        PlanFileError::NotAPlan { path: self.path.to_owned(), seen: seen.to_owned() }
    }
}

/// The first keys of an object, for a message.
fn keys(value: &Value) -> String {
    let keys = value.as_object().into_iter().flat_map(|object| object.keys()).take(5);
    let keys: Vec<String> = keys.map(|key| format!("{:?}", key.chars().take(40).collect::<String>())).collect();
    if keys.is_empty() { "no key".to_owned() } else { format!("the keys {}", keys.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use packevolve_contract::plan::Doubles;
    use packevolve_contract::rebalance::Policy;

    use super::*;
    use crate::values::digest::Digest;

    const ENGINES: [(Engine, &str); 6] = [
        (Engine::Sglang, "p.json"),
        (Engine::Vllm, "p.json"),
        (Engine::Vllm, "p.jsonl"),
        (Engine::TensorrtLlm, "p.yaml"),
        (Engine::Ascend, "expert_map.json"),
        (Engine::Json, "p.json"),
    ];

    fn topology() -> Topology {
        Topology { layers: 2, experts: 3, groups: 1, nodes: 1, gpus: 2, replicas: 4 }
    }

    fn plan() -> Plan {
        Plan::new(&[2, 1, 0, 2, 1, 1, 2, 0], &topology()).unwrap()
    }

    /// Layers 1 and 3 of 4.
    fn layers() -> ModelLayers {
        ModelLayers::new(Some(&[1, 3]), &[0, 2])
    }

    fn origin() -> Origin {
        Origin {
            packevolve: "0.0.0".to_owned(),
            program: "a program".to_owned(),
            program_digest: Digest::of(b"a program"),
            candidate: Some(7),
            run: Some("a run".to_owned()),
            commit: None,
            loads: vec!["loads.pt".to_owned()],
            loads_digest: Digest::of(b"loads"),
            policy: Policy::Global,
            balancedness: 0.5,
            doubles: Doubles { layers: 1, slots: 1 },
        }
    }

    fn text(engine: Engine, name: &str) -> String {
        engine.text(Path::new(name), &plan(), &layers(), (&topology(), &origin())).unwrap()
    }

    fn read(name: &str, text: &[u8]) -> Result<PlanFile, PlanFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        PlanFile::read(&path)
    }

    /// Without the folder.
    #[track_caller]
    fn error(name: &str, text: &[u8]) -> String {
        let error = read(name, text).unwrap_err().to_string();
        error[error.find(name).unwrap()..].to_owned()
    }

    #[test]
    fn a_plan_that_was_written_for_an_engine_is_read_back_equal() {
        for (engine, name) in ENGINES {
            let file = read(name, text(engine, name).as_bytes()).unwrap();
            assert_eq!((file.engine, file.slots()), (engine, 4), "{name}");
            assert_eq!(file.plan(&layers(), &topology()).unwrap(), plan(), "{engine:?}");
        }
    }

    #[test]
    fn files_have_the_forms_that_the_loaders_of_the_engines_take() {
        let json = |engine, name| serde_json::from_str::<Value>(&text(engine, name)).unwrap();
        // Dense layers 0 and 2 have what the engine starts with.
        let sglang = serde_json::json!({"physical_to_logical_map":
            [[0, 1, 2, 0], [2, 1, 0, 2], [0, 1, 2, 0], [1, 1, 2, 0]]});
        assert_eq!(json(Engine::Sglang, "p.json"), sglang);
        assert_eq!(json(Engine::Vllm, "p.json"), serde_json::json!([[2, 1, 0, 2], [1, 1, 2, 0]]));
        let line = text(Engine::Vllm, "p.JSONL");
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        let vllm = serde_json::json!({"record_type": "eplb_initial_mapping", "version": 1,
            "num_redundant_experts": 1, "num_slots": 4,
            "initial_global_assignments": {"0": [2, 1, 0, 2], "1": [1, 1, 2, 0]}});
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), vllm);
        let tensorrt = "initial_global_assignments:\n  1: [2, 1, 0, 2]\n  3: [1, 1, 2, 0]\n\
                        layer_updates_per_iter: 0\nnum_slots: 4\n";
        assert_eq!(text(Engine::TensorrtLlm, "p.yaml"), tensorrt);
        let device = |device_id, device_expert: [i64; 2]| serde_json::json!({"device_id": device_id, "device_expert": device_expert});
        let layer = |layer_id, devices: [Value; 2]| serde_json::json!({"layer_id": layer_id, "device_count": 2, "device_list": devices});
        let ascend = serde_json::json!({"moe_layer_count": 2, "layer_list": [
            layer(0, [device(0, [2, 1]), device(1, [0, 2])]), layer(1, [device(0, [1, 1]), device(1, [2, 0])])]});
        assert_eq!(json(Engine::Ascend, "p.json"), ascend);
        assert_eq!(json(Engine::Json, "p.json")["origin"]["run"], "a run");
    }

    #[test]
    fn an_engine_that_numbers_the_layers_of_the_model_asks_which_they_are() {
        let unknown = ModelLayers::new(None, &[]);
        for (engine, name) in ENGINES {
            let text = engine.text(Path::new(name), &plan(), &unknown, (&topology(), &origin()));
            let asks = [Engine::Sglang, Engine::TensorrtLlm].contains(&engine);
            assert_eq!(text.is_err(), asks, "{engine:?}");
            let Ok(text) = text else { continue };
            assert_eq!(read(name, text.as_bytes()).unwrap().plan(&unknown, &topology()).unwrap(), plan());
        }
    }

    #[test]
    fn half_a_file_and_a_changed_one_are_errors_with_their_place() {
        for (engine, name) in ENGINES {
            let whole = text(engine, name);
            let whole = whole.trim_end();
            for end in 0..whole.len() {
                let cut = read(name, &whole.as_bytes()[..end]);
                // What is left of a number in the last line of YAML is another number.
                let file = cut.map(|file| file.plan(&layers(), &topology()));
                assert!(!matches!(file, Ok(Ok(_))), "{engine:?}: {}", &whole[..end]);
            }
        }
        let cut = |engine, name: &str, end| error(name, &text(engine, name).as_bytes()[..end]);
        let message = cut(Engine::Sglang, "p.json", 50);
        assert!(
            message.starts_with("p.json: the file ends too early: EOF while parsing a list at line 3"),
            "{message}"
        );
        let message = cut(Engine::TensorrtLlm, "p.yaml", 48);
        assert!(message.starts_with("p.yaml: missing field `num_slots`"), "{message}");
        assert_eq!(
            error("p.json", b"[[0, 1], [0, \"x\"]]"),
            "p.json: invalid type: string \"x\", expected i64 at line 1 column 16"
        );
    }

    #[test]
    fn what_is_not_a_plan_is_named() {
        let cases: [(&[u8], &str); 8] = [
            (b"", "empty, not a plan"),
            (b" \n", "empty, not a plan"),
            (b"PK\x03\x04", "a zip archive, such as a .pt file, not a plan"),
            (b"layer,expert\n0,1\n", "text that begins with \"layer,expert\", not a plan"),
            (b"{\"logical_count\": [[1, 2]]}", "SGLang's record of loads, not a plan"),
            (b"{\"a\": 1, \"b\": 2}", "JSON with the keys \"a\", \"b\", not a plan"),
            (b"{\"record_type\": \"eplb_load_stats\"}\n{}\n", "JSON Lines without an eplb_initial_mapping, not a plan"),
            (b"{\"packevolve_plan\": 9}", "missing field `topology`"),
        ];
        for (text, seen) in cases {
            let message = error("p.json", text);
            assert!(message.contains(seen), "{message}");
        }
        assert!(
            PlanFile::read(Path::new("none.json")).unwrap_err().to_string().contains("cannot read the plan none.json")
        );
    }

    #[test]
    fn a_plan_of_another_model_or_deployment_is_refused_with_both_numbers() {
        let refused = |text: &str, layers: &ModelLayers, topology: &Topology| {
            let message = read("p.json", text.as_bytes()).unwrap().plan(layers, topology).unwrap_err().to_string();
            message[message.find("p.json").unwrap()..].to_owned()
        };
        let sglang = text(Engine::Sglang, "p.json");
        let more = Topology { replicas: 6, ..topology() };
        assert_eq!(refused(&sglang, &layers(), &more), "p.json: layer 1 has 4 slots, but there are 6 replicas");
        let deeper = ModelLayers::new(Some(&[1, 5]), &[]);
        let message = "p.json: it has 4 hidden layers, but the loads have 2 layers with experts";
        assert_eq!(refused(&sglang, &deeper, &topology()), message);
        assert_eq!(refused(&sglang, &ModelLayers::default(), &topology()), message);
        let tensorrt = text(Engine::TensorrtLlm, "p.yaml");
        let message = "p.json: it has no layer 5, but the loads have 2 layers with experts";
        assert_eq!(refused(&tensorrt, &deeper, &topology()), message);
        let other = Topology { gpus: 4, ..topology() };
        let message = "p.json: it is for 2 GPUs, but there are 4";
        assert_eq!(refused(&text(Engine::Ascend, "p.json"), &layers(), &other), message);
        let fewer = Topology { experts: 2, ..topology() };
        let message = "p.json: phy2log, layer 0, replica 0: expert 2 is not among experts 0 to 1";
        assert_eq!(refused(&sglang, &layers(), &fewer), message);
        assert_eq!(
            refused("[0, 1, 2, 0, 1]", &layers(), &topology()),
            "p.json: layer 1 has 5 slots, but there are 4 replicas"
        );
    }

    #[test]
    fn one_row_may_stand_for_all_layers_and_a_byte_order_mark_before_them() {
        let file = read("p.json", "\u{feff}[0, 1, 2, 0]".as_bytes()).unwrap();
        assert_eq!(file.plan(&layers(), &topology()).unwrap(), Plan::identity(&topology()));
    }
}
