//! JSON Lines: vLLM's load statistics, a record a line: loads of physical experts and the map to logical ones.
//!
//! ```json
//! {"record_type": "eplb_load_stats", "step": 7, "num_ranks": 2, "expert_load": [[1, 2, 3]], "p2l_map": [[0, 1, 0]]}
//! ```
//!
//! The format is that of vLLM's pull request 41141. A line is held at a time.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::LoadsError;
use crate::recording::Part;
use crate::slots::Slots;
use crate::steps::{Order, Steps};
use crate::window::{Window, checked, quoted};

/// The longest line, bytes.
const LONGEST: u64 = 1 << 24;

const LOADS: &str = "eplb_load_stats";

#[derive(Deserialize)]
struct Record {
    record_type: Option<String>,
    step: Option<i64>,
    num_ranks: Option<usize>,
    expert_load: Option<Vec<Vec<f64>>>,
    p2l_map: Option<Vec<Vec<f64>>>,
    tokens: Option<IgnoredAny>,
}

/// Reads the `text` of the file at `path`.
pub fn part(path: &Path, text: impl Read) -> Result<Part, LoadsError> {
    let mut text = BufReader::new(text);
    let (mut steps, mut line, mut first) = (Steps::default(), Vec::new(), None);
    let (mut last_step, mut is_in_order) = (None, true);
    for number in 1_usize.. {
        line.clear();
        let invalid = |problem: String| LoadsError::invalid(path, format!("line {number}"), problem);
        let read = (&mut text).take(LONGEST + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| LoadsError::at(path, format!("line {number}"), error))? == 0 {
            break;
        }
        if line.len() as u64 > LONGEST {
            return Err(invalid(format!("longer than {LONGEST} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record: Record = serde_json::from_slice(&line).map_err(|error| unreadable(path, number, &error))?;
        let (slots, window) = logical(&record).map_err(invalid)?;
        let shape = (window.layers, window.experts);
        let (known, ..) = *first.get_or_insert((shape, slots, record.num_ranks));
        if known != shape {
            let (layers, experts) = known;
            let problem =
                format!("{} layers of {} experts, but the first record has {layers} of {experts}", shape.0, shape.1);
            return Err(invalid(problem));
        }
        is_in_order &= last_step.is_none_or(|last| record.step.is_none_or(|step| step > last));
        last_step = record.step.or(last_step);
        steps.add(window, record.step);
    }
    let (windows, notes) = steps.finish(Order::AsWritten);
    let mut part = Part::new(path, windows)?;
    notes.into_iter().for_each(|note| part.note(note));
    if !is_in_order {
        part.note("the steps of its records do not always rise: windows are in the order of lines");
    }
    if let Some((_, slots, ranks)) = first {
        (part.replicas, part.gpus) = (Some(slots), ranks);
    }
    Ok(part)
}

/// The slots of a layer, and the loads of a record's logical experts.
fn logical(record: &Record) -> Result<(usize, Window), String> {
    if let Some(other) = record.record_type.as_deref().filter(|record_type| *record_type != LOADS) {
        return Err(format!("a record of type {:?}, not {LOADS:?}", quoted(other)));
    }
    let (Some(loads), Some(map)) = (&record.expert_load, &record.p2l_map) else {
        let hint = if record.tokens.is_some() { ": loads of ranks, not of experts" } else { "" };
        let missing = if record.expert_load.is_none() { "expert_load" } else { "p2l_map" };
        return Err(format!("no {missing:?}{hint}"));
    };
    let slots = loads.first().map_or(0, Vec::len);
    if loads.len() != map.len() || loads.iter().chain(map).any(|layer| layer.len() != slots) {
        return Err("expert_load and p2l_map are not of the same shape, [layers, slots]".to_owned());
    }
    for (layer, row) in loads.iter().enumerate() {
        for (slot, load) in row.iter().enumerate() {
            checked(*load, format_args!("{load:?}"))
                .map_err(|problem| format!("layer {layer}, slot {slot}: {problem}"))?;
        }
    }
    let window =
        Slots::new(slots, &map.concat()).map_err(|problem| format!("p2l_map, {problem}"))?.logical(&loads.concat());
    Ok((slots, window))
}

fn unreadable(path: &Path, line: usize, error: &serde_json::Error) -> LoadsError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = quoted(text.strip_suffix(&place).unwrap_or(&text));
    let problem = if error.is_data() { text } else { format!("this is not JSON: {text}") };
    LoadsError::invalid(path, format!("line {line}, column {}", error.column()), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"record_type": "eplb_load_stats", "version": 1, "step": 7, "num_ranks": 2, "expert_load": [[1, 2, 3, 0]], "p2l_map": [[0, 1, 0, 1]]}"#;

    fn read(text: &str) -> Result<Part, String> {
        part(Path::new("w.jsonl"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_record_is_a_window_of_logical_experts() {
        let part = read(&format!("{RECORD}\n\n{}\n", RECORD.replace("7", "8"))).unwrap();
        assert_eq!(part.windows.len(), 2);
        assert_eq!(part.windows[1].window, Window::new(2, vec![4.0, 2.0]));
        assert_eq!(part.windows[1].passes, Some((8, 8)));
        assert_eq!((part.replicas, part.gpus, part.notes.len()), (Some(4), Some(2), 0));
        assert_eq!(read(&format!("{RECORD}\n{RECORD}")).unwrap().notes.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            (RECORD.replace("[1,", "[-1,"), "line 1: layer 0, slot 0: -1.0 is negative"),
            (
                RECORD.replace("3, 0]", "3]"),
                "line 1: expert_load and p2l_map are not of the same shape, [layers, slots]",
            ),
            (
                RECORD.replace("0, 1, 0, 1", "0, 1, 0, 7"),
                "line 1: p2l_map, layer 0, slot 3: 7 is not an expert that 4 slots could hold",
            ),
            (RECORD.replace("expert_load", "tokens"), "line 1: no \"expert_load\": loads of ranks, not of experts"),
            (RECORD.replace("p2l_map", "map"), "line 1: no \"p2l_map\""),
            (
                RECORD.replace("eplb_load_stats", "eplb_initial_mapping"),
                "line 1: a record of type \"eplb_initial_mapping\", not \"eplb_load_stats\"",
            ),
            (
                format!("{RECORD}\n{}", RECORD.replace("0, 1, 0, 1", "0, 1, 2, 3")),
                "line 2: 1 layers of 4 experts, but the first record has 1 of 2",
            ),
            (format!("{RECORD}\n{}", &RECORD[..50]), "line 2, column 50: this is not JSON: EOF while parsing a string"),
        ];
        for (text, message) in cases {
            assert_eq!(read(&text).unwrap_err(), format!("w.jsonl, {message}"));
        }
        assert_eq!(read("\n").unwrap_err(), "w.jsonl holds no loads");
    }
}
