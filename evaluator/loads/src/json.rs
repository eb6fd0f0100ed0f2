//! JSON: loads of steps, which are summed to windows (ADRS publishes these), or what SGLang's recorder dumps: sums, or the
//! rows of its ring; or a plain list of one of the two.
//!
//! ```json
//! {"load_history": [{"logical_expert_load": [[1, 2], [3, 4]]}, {"logical_expert_load": [[5, 6], [7, 8]]}]}
//! {"logical_count": [[1, 2], [3, 4]]}
//! {"logical_count": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}
//! [[1, 2], [3, 4]]
//! ```
//!
//! The reader streams: it needs memory for the windows only. It skips members with other names.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::mem;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::error::Category;

use crate::error::LoadsError;
use crate::recording::{Part, Timed};
use crate::steps::{Order, Steps};
use crate::window::{MOST_LOADS, Window, checked, quoted, too_many_loads};

/// The number of steps that are summed to a window, as in the published evaluators. The last window may have fewer.
const STEPS_OF_WINDOW: usize = 100;

/// Far longer than any name or number.
const LONGEST_ELEMENT: usize = 64 << 20;
/// The size of a read, bytes.
const CHUNK: usize = 1 << 16;

/// The most members of a document that an error names.
const MOST_NAMED: usize = 5;

/// Reads the `text` of the file at `path`.
pub fn part(path: &Path, text: impl Read) -> Result<Part, LoadsError> {
    let mut state = State::default();
    let text = Bounded { text, unbroken: 0 };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(CHUNK, text));
    let read = Node { state: &mut state, level: Level::Document }.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| state.explained(path, error))?;
    if state.has_rows == Some(true) {
        let order = if state.is_bare { Order::AsWritten } else { Order::Ring };
        let (windows, notes) = state.rows.finish(order);
        let mut part = Part::new(path, windows)?;
        notes.into_iter().for_each(|note| part.note(note));
        return Ok(part);
    }
    let is_history = state.is_history;
    state.end_window();
    let windows = state.windows.into_iter().map(|(window, steps)| Timed { window, steps, passes: None });
    let mut part = Part::new(path, windows.collect())?;
    if is_history {
        part.note(format!("{STEPS_OF_WINDOW} steps are summed in a window"));
    }
    Ok(part)
}

/// Fails at a text or number that is so long that the parser, which keeps it, could use up the memory.
struct Bounded<R> {
    text: R,
    /// Bytes since the last sign that stands between two elements.
    unbroken: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.text.read(buffer)?;
        let is_between = |byte: &u8| b",:[]{}".contains(byte);
        self.unbroken = match buffer[..length].iter().rposition(is_between) {
            Some(last) => length - last,
            None => self.unbroken + length,
        };
        if self.unbroken > LONGEST_ELEMENT {
            return Err(io::Error::other(format!("a text or number of more than {} MiB", LONGEST_ELEMENT >> 20)));
        }
        Ok(length)
    }
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Document,
    History,
    Step,
    /// A list of layers, or of rows of layers.
    Counts,
    /// An element of that.
    LayerOrRow,
    /// An element of that: a load or a layer.
    LoadOrLayer,
    Layers,
    Layer,
    Load,
}

#[derive(Debug, Default)]
struct State {
    /// With the number of their steps.
    windows: Vec<(Window, usize)>,
    /// Of counts by row.
    rows: Steps,
    /// Whether counts have rows; their first load decides.
    has_rows: Option<bool>,
    /// The document is a list.
    is_bare: bool,
    is_history: bool,
    /// The sums of the current window. The first layer and the first step determine its shape.
    sums: Vec<f64>,
    experts: usize,
    layers: Option<usize>,
    /// The number of steps in the sums.
    steps: usize,
    /// The current element: its lists, from the outermost, and the number of its element in each.
    path: Vec<(&'static str, usize)>,
    /// Why the reader stopped, unless serde_json rejected the text.
    problem: Option<String>,
}

impl State {
    fn add(&mut self, load: f64, text: impl fmt::Display) -> Result<(), String> {
        let load = checked(load, text)?;
        let [.., (_, layer), (_, expert)] = self.path[..] else { unreachable!("BUG: a load outside of a layer") };
        let determines_experts = self.layers.is_none() && layer == 0;
        if !determines_experts && expert >= self.experts || self.layers.is_some_and(|layers| layer >= layers) {
            return Ok(()); // in excess; the end of the layer or of the layers reports it
        }
        if self.layers.is_none() {
            if self.sums.len() == MOST_LOADS {
                return Err(too_many_loads());
            }
            self.sums.push(load);
            return Ok(());
        }
        let sum = &mut self.sums[layer * self.experts + expert];
        *sum = checked(*sum + load, format_args!("the sum {:?}", *sum + load))?;
        Ok(())
    }

    fn end_layer(&mut self, found: usize) -> Result<(), String> {
        if self.layers.is_none() && self.path.last() == Some(&("layer", 0)) {
            self.experts = found;
        }
        if found != self.experts {
            return Err(format!("{found} loads, but the first layer has {}", self.experts));
        }
        Ok(())
    }

    fn end_layers(&mut self, found: usize) -> Result<(), String> {
        let wanted = *self.layers.get_or_insert(found);
        if found != wanted {
            let first = if self.has_rows == Some(true) { "row" } else { "step" };
            return Err(format!("{found} layers, but the first {first} has {wanted}"));
        }
        if self.has_rows == Some(true) {
            let zeros = vec![0.0; self.sums.len()];
            if !self.sums.is_empty() {
                self.rows.add(Window::new(self.experts, mem::replace(&mut self.sums, zeros)), None);
            }
            return Ok(());
        }
        self.steps += 1;
        if self.steps == STEPS_OF_WINDOW {
            self.end_window();
        }
        Ok(())
    }

    fn end_window(&mut self) {
        let zeros = vec![0.0; self.sums.len()];
        let steps = mem::take(&mut self.steps);
        if steps > 0 && !self.sums.is_empty() {
            self.windows.push((Window::new(self.experts, mem::replace(&mut self.sums, zeros)), steps));
        }
    }

    /// Notes that counts have rows, or not, by one of their elements.
    fn has_rows(&mut self, has_rows: bool) -> Result<(), String> {
        match *self.has_rows.get_or_insert(has_rows) {
            known if known == has_rows => {}
            true => return Err("a load, but the first row has layers".to_owned()),
            false => return Err("a list, but the first layer has loads".to_owned()),
        }
        if let ([(outer, _), (inner, _)], true) = (&mut self.path[..], has_rows) {
            (*outer, *inner) = ("row", "layer");
        }
        Ok(())
    }

    fn explained(&mut self, path: &Path, error: serde_json::Error) -> LoadsError {
        let mut spot = format!("line {}, column {}", error.line(), error.column());
        if error.classify() == Category::Io {
            return LoadsError::at(path, spot, error.into());
        }
        if !self.path.is_empty() {
            let within: Vec<String> = self.path.iter().map(|(name, number)| format!("{name} {number}")).collect();
            spot = format!("{spot} ({})", within.join(", "));
        }
        LoadsError::invalid(path, spot, self.problem.take().unwrap_or_else(|| reason(&error)))
    }
}

/// serde_json's message without its location; ours has more detail.
fn reason(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = quoted(text.strip_suffix(&place).unwrap_or(&text));
    match error.classify() {
        Category::Syntax => format!("this is not JSON (which has no NaN or Infinity): {text}"),
        Category::Eof => format!("the file ends too early: {text}"),
        Category::Data | Category::Io => text,
    }
}

/// Reads an element of the document into the state.
struct Node<'a> {
    state: &'a mut State,
    level: Level,
}

impl Node<'_> {
    fn below(&mut self, level: Level) -> Node<'_> {
        Node { state: self.state, level }
    }

    fn stop<E: Error>(&mut self, problem: String) -> E {
        let error = E::custom(&problem);
        self.state.problem = Some(problem);
        error
    }

    fn number<E: Error>(mut self, load: f64, text: impl fmt::Display, what: Unexpected<'_>) -> Result<(), E> {
        match self.level {
            Level::Load => {}
            Level::LoadOrLayer => self.state.has_rows(false).map_err(|problem| self.stop(problem))?,
            _ => return Err(E::invalid_type(what, &self)),
        }
        self.state.add(load, text).map_err(|problem| self.stop(problem))
    }

    /// Reads an object with exactly one of the `wanted` members, and skips all others.
    fn object<'de, A: MapAccess<'de>>(mut self, wanted: &[(&str, Level)], mut members: A) -> Result<(), A::Error> {
        let (mut is_found, mut others) = (false, Vec::new());
        while let Some(name) = members.next_key::<String>()? {
            // pandas writes the columns before the data.
            let is_table = name == "data" && others.iter().any(|other| other == "columns");
            let known = wanted.iter().find(|(known, _)| *known == name).map(|(_, level)| *level);
            let Some(level) = known.or_else(|| is_table.then_some(Level::Counts)) else {
                others.push(quoted(&name));
                others.truncate(MOST_NAMED);
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if mem::replace(&mut is_found, true) {
                return Err(self.stop(format!("{name:?} is not the only member with loads")));
            }
            members.next_value_seed(self.below(level))?;
        }
        if is_found {
            return Ok(());
        }
        let names: Vec<String> = wanted.iter().map(|(name, _)| format!("{name:?}")).collect();
        Err(self.stop(format!("no {} among the members {others:?}", names.join(" or "))))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::Document => "an object or a list of layers",
            Level::Counts => "a list of layers, or of rows of layers",
            Level::LayerOrRow => "a list of loads",
            Level::LoadOrLayer => "a load",
            Level::History => "a list of steps",
            Level::Step => "a step, an object",
            Level::Layers => "a list of layers",
            Level::Layer => "a layer, a list of loads",
            Level::Load => "a load",
        })
    }

    fn visit_u64<E: Error>(self, load: u64) -> Result<(), E> {
        self.number(load as f64, load, Unexpected::Unsigned(load))
    }

    fn visit_i64<E: Error>(self, load: i64) -> Result<(), E> {
        self.number(load as f64, load, Unexpected::Signed(load))
    }

    fn visit_f64<E: Error>(self, load: f64) -> Result<(), E> {
        self.number(load, format_args!("{load:?}"), Unexpected::Float(load))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let (name, below) = match self.level {
            Level::Document => {
                self.state.is_bare = true;
                ("layer", Level::LayerOrRow)
            }
            Level::Counts => ("layer", Level::LayerOrRow),
            Level::LayerOrRow => ("expert", Level::LoadOrLayer),
            Level::LoadOrLayer => {
                self.state.has_rows(true).map_err(|problem| self.stop(problem))?;
                ("expert", Level::Load)
            }
            Level::History => {
                self.state.is_history = true;
                ("step", Level::Step)
            }
            Level::Layers => ("layer", Level::Layer),
            Level::Layer => ("expert", Level::Load),
            Level::Step | Level::Load => return Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        };
        self.state.path.push((name, 0));
        if self.state.has_rows == Some(true) && matches!(self.level, Level::LayerOrRow) {
            self.state.path.last_mut().expect("BUG: a list is left twice").0 = "layer";
        }
        let mut found = 0;
        while elements.next_element_seed(self.below(below))?.is_some() {
            found += 1;
            self.state.path.last_mut().expect("BUG: a list is left twice").1 = found;
        }
        // After an error, the path still names the element.
        self.state.path.pop();
        let has_rows = self.state.has_rows == Some(true);
        let ended = match self.level {
            Level::Layers => self.state.end_layers(found),
            Level::LayerOrRow if has_rows => self.state.end_layers(found),
            Level::Counts | Level::Document if !has_rows => self.state.end_layers(found),
            Level::Layer | Level::LayerOrRow | Level::LoadOrLayer => self.state.end_layer(found),
            _ => Ok(()),
        };
        ended.map_err(|problem| self.stop(problem))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        match self.level {
            Level::Document => {
                self.object(&[("load_history", Level::History), ("logical_count", Level::Counts)], members)
            }
            Level::Step => self.object(&[("logical_expert_load", Level::Layers)], members),
            _ => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::time::ClockId;

    use super::*;

    #[test]
    fn an_endless_name_or_number_is_refused_in_bounded_memory() {
        for start in ["{\"", "{\"logical_count\": [[1"] {
            let text = start.as_bytes().chain(io::repeat(b'1'));
            let error = part(Path::new("w.json"), text).unwrap_err().to_string();
            assert!(error.ends_with(": a text or number of more than 64 MiB"), "{error}");
        }
    }

    fn read(text: &str) -> Result<Vec<Window>, String> {
        let read = part(Path::new("w.json"), text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(read.windows.into_iter().map(|timed| timed.window).collect())
    }

    fn history(steps: usize) -> String {
        let step = |number| format!("{{\"t\": [{number}], \"logical_expert_load\": [[{number}, 1], [0, 2.5]]}}");
        let steps: Vec<_> = (0..steps).map(step).collect();
        format!("{{\"model\": \"m\", \"load_history\": [{}]}}", steps.join(", "))
    }

    #[test]
    fn a_hundred_steps_are_summed_to_a_window_and_what_is_left_is_one_too() {
        let windows = read(&history(230)).unwrap();
        let sums: Vec<_> = windows.iter().map(|window| &window.counts[..]).collect();
        let of = |first: usize, end: usize| {
            let steps = (end - first) as f64;
            vec![(first..end).sum::<usize>() as f64, steps, 0.0, 2.5 * steps]
        };
        assert_eq!(sums, [of(0, 100), of(100, 200), of(200, 230)]);
        assert_eq!(read(&history(100)).unwrap().len(), 1);
    }

    #[test]
    fn logical_counts_are_one_window() {
        let windows = read("{\"rank\": 0, \"logical_count\": [[0.0, 0.0], [1.0, 2e3]]}\n").unwrap();
        assert_eq!(windows, [Window::new(2, vec![0.0, 0.0, 1.0, 2000.0])]);
    }

    #[test]
    fn counts_by_row_are_a_window_each_without_the_rows_that_were_never_filled() {
        let text = r#"{"rank": 0, "logical_count": [[[5, 6], [0, 0]], [[0, 0], [0, 0]], [[1, 2], [3, 4]]]}"#;
        let read_part = part(Path::new("w.json"), text.as_bytes()).unwrap();
        let loads: Vec<_> = read_part.windows.iter().map(|timed| &timed.window.counts[..]).collect();
        assert_eq!(loads, [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 0.0, 0.0]], "{:?}", read_part.notes);
        assert_eq!(read_part.notes.len(), 2, "{:?}", read_part.notes);
        assert_eq!(read(r#"{"logical_count": [[[0]]]}"#).unwrap_err(), "w.json holds no loads");
    }

    #[test]
    fn lists_and_pandas_tables_are_read() {
        let wanted = [Window::new(2, vec![1.0, 2.0, 3.0, 4.0])];
        assert_eq!(read("[[1, 2], [3, 4]]").unwrap(), wanted);
        assert_eq!(read("[[[1, 2], [3, 4]]]").unwrap(), wanted);
        assert_eq!(read(r#"{"columns": [0, 1], "index": [0, 1], "data": [[1, 2], [3, 4]]}"#).unwrap(), wanted);
        assert!(read(r#"{"data": [[1, 2], [3, 4]]}"#).is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_line_column_and_expert() {
        let cases = [
            (
                r#"{"logical_count": [[1, 2], [3, -4]]}"#,
                "w.json, line 1, column 34 (layer 1, expert 1): -4 is negative",
            ),
            (
                "{\"logical_count\":\n[[1, 1e16]]}",
                "w.json, line 2, column 10 (layer 0, expert 1): 1e16 is larger than the largest load (1e15)",
            ),
            (
                r#"{"load_history": [{"logical_expert_load": [[NaN]]}]}"#,
                "w.json, line 1, column 45 (step 0, layer 0, expert 0): this is not JSON (which has no NaN or \
                 Infinity): expected value",
            ),
            (
                r#"{"logical_count": [[1, "2"]]}"#,
                "w.json, line 1, column 26 (layer 0, expert 1): invalid type: string \"2\", expected a load",
            ),
            (
                r#"{"logical_count": [[[[1]]]]}"#,
                "w.json, line 1, column 23 (row 0, layer 0, expert 0): invalid type: sequence, expected a load",
            ),
            (
                r#"{"logical_count": [[[1, 2]], [[3]]]}"#,
                "w.json, line 1, column 33 (row 1, layer 0): 1 loads, but the first layer has 2",
            ),
            (
                r#"{"logical_count": [[[1], [2]], [[3]]]}"#,
                "w.json, line 1, column 36 (row 1): 1 layers, but the first row has 2",
            ),
            (
                r#"{"logical_count": [[[1], 2]]}"#,
                "w.json, line 1, column 27 (row 0, layer 1): a load, but the first row has layers",
            ),
            (
                r#"{"logical_count": [[1, [2]]]}"#,
                "w.json, line 1, column 25 (layer 0, expert 1): a list, but the first layer has loads",
            ),
            (
                r#"{"logical_count": [[1, 2], [3]]}"#,
                "w.json, line 1, column 30 (layer 1): 1 loads, but the first layer has 2",
            ),
            (
                r#"{"logical_count": [[1, 2], [3, 4, 5]]}"#,
                "w.json, line 1, column 36 (layer 1): 3 loads, but the first layer has 2",
            ),
            (
                r#"{"load_history": [{"logical_expert_load": [[1]]}, {"logical_expert_load": [[1], [2]]}]}"#,
                "w.json, line 1, column 84 (step 1): 2 layers, but the first step has 1",
            ),
            (
                r#"{"load_history": [{"logical_expert_load": [[1]]}, {"load": 1}]}"#,
                "w.json, line 1, column 61 (step 1): no \"logical_expert_load\" among the members [\"load\"]",
            ),
            (
                r#"{"logical_count": [[1, 2], [3"#,
                "w.json, line 1, column 29 (layer 1, expert 1): the file ends too early: EOF while parsing a list",
            ),
            (
                r#"{"a": [[1]], "b": {"logical_count": [[1]]}}"#,
                "w.json, line 1, column 43: no \"load_history\" or \"logical_count\" among the members [\"a\", \"b\"]",
            ),
            (
                r#"{"logical_count": [[1]], "load_history": []}"#,
                "w.json, line 1, column 40: \"load_history\" is not the only member with loads",
            ),
            (r#"[{"0": 1}]"#, "w.json, line 1, column 3 (layer 0): invalid type: map, expected a list of loads"),
            ("null", "w.json, line 1, column 4: invalid type: null, expected an object or a list of layers"),
            (r#"{"load_history": []}"#, "w.json holds no loads"),
            (r#"{"logical_count": [[], []]}"#, "w.json holds no loads"),
            (
                r#"{"logical_count": [[1]]} x"#,
                "w.json, line 1, column 26: this is not JSON (which has no NaN or Infinity): trailing characters",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn a_sum_that_is_too_large_is_named_at_the_step_that_made_it_so() {
        let text = history(3).replace("2.5", "4e14");
        let error = read(&text).unwrap_err();
        assert!(
            error.ends_with(
                "(step 2, layer 1, expert 1): the sum 1200000000000000.0 is larger than the largest load (1e15)"
            ),
            "{error}"
        );
    }
    /// The published trace to the size: 1174 steps of 58 x 256, indented by 2. It is made while it is read, for the
    /// real one is not ours to publish.
    struct Published {
        /// A comma and a step.
        text: Vec<u8>,
        at: usize,
        end: usize,
    }

    impl Published {
        fn new() -> Self {
            let loads: Vec<_> = (0..256).map(|expert| format!("          {}", expert % 16)).collect();
            let layer = format!("        [\n{}\n        ]", loads.join(",\n"));
            let layers = vec![layer; 58].join(",\n");
            let text = format!(",\n    {{\n      \"logical_expert_load\": [\n{layers}\n      ]\n    }}").into_bytes();
            Self { at: 1, end: 1174 * text.len(), text }
        }
    }

    impl Read for Published {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let text = &self.text[self.at % self.text.len()..];
            let length = text.len().min(buffer.len()).min(self.end - self.at);
            buffer[..length].copy_from_slice(&text[..length]);
            self.at += length;
            Ok(length)
        }
    }

    #[test]
    fn a_trace_as_long_as_the_published_one_is_read_in_four_seconds() {
        let steps = Published::new();
        assert!((229e6..239e6).contains(&(steps.end as f64)), "{} bytes", steps.end);
        let text = "{\n  \"load_history\": [".as_bytes().chain(steps).chain("\n  ]\n}\n".as_bytes());
        let clock = ClockId::CLOCK_THREAD_CPUTIME_ID; // other tests run at the same time
        let start = clock.now().unwrap().tv_sec();
        let part = part(Path::new("w.json"), BufReader::with_capacity(1 << 16, text)).unwrap();
        let windows: Vec<Window> = part.windows.into_iter().map(|timed| timed.window).collect();
        let seconds = clock.now().unwrap().tv_sec() - start;
        assert!(seconds <= 4, "{seconds} s");
        assert_eq!(windows.len(), 12);
        assert_eq!((windows[0].layers, windows[0].experts), (58, 256));
        assert_eq!((windows[0].layer(57)[255], windows[11].layer(0)[15]), (1500.0, 74.0 * 15.0));
    }
}
