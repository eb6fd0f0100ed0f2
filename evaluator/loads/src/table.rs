//! CSV: a window, a line for each layer, integers or floats, as people, pandas, Excel, R, NumPy and PowerShell write
//! them: with or without header and index column, separated by commas, semicolons, tabs or blanks; or a line for each
//! expert, with the columns layer, expert and count. Blank lines and comments (`#`) are skipped.
//!
//! The only file that names the csv crate.

use std::collections::BTreeMap;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};
use packevolve_contract::topology::Topology;

use crate::error::LoadsError;
use crate::recording::{Part, Timed};
use crate::window::{MOST_LOADS, Window, checked, quoted, too_many_loads};

/// A row 0, 1, 2... of at least this many numbers is a header or an index, no loads.
const COUNTING: usize = 8;

/// Names of a column that numbers the layers.
const LAYER: [&str; 4] = ["layer", "layer_id", "layer_idx", "layers"];
/// Names of a column that numbers rows.
const INDEX: [&str; 4] = ["", "index", "row", "unnamed: 0"];
const EXPERT: [&str; 3] = ["expert", "expert_id", "expert_idx"];
const COUNT: [&str; 5] = ["count", "counts", "load", "tokens", "logical_count"];

/// Reads the `text` of the file at `path`. The wanted shape decides what would else be open.
pub fn part(path: &Path, text: &[u8], wanted: Option<&Topology>) -> Result<Part, LoadsError> {
    let file = File::new(path, text);
    let records = file.records()?;
    let Some(first) = records.first() else { return Err(LoadsError::Empty { path: path.to_owned() }) };
    if let Some(columns) = long(first) {
        return file.long(&records[1..], columns);
    }
    let columns = records.get(1).unwrap_or(first).len();
    let counts = counting(first);
    let header = if is_header(first) {
        Header::Names
    } else if counts && is_line_too_many(records.len(), columns, wanted) {
        Header::Numbers
    } else {
        Header::None
    };
    let layers = if header == Header::None { &records[..] } else { &records[1..] };
    if layers.is_empty() {
        return Err(LoadsError::Empty { path: path.to_owned() });
    }
    let index = file.index(header, first, layers, wanted);
    let window = file.window(layers, usize::from(index != Index::None))?;
    let mut part = Part::new(path, vec![Timed::whole(window)])?;
    if header == Header::Numbers {
        part.note("the first line counts 0, 1, 2...: read as a header");
    }
    match index {
        Index::Guessed => part.note("the first column counts up: read as an index"),
        Index::Layers(ids) => part.layer_ids = Some(ids),
        Index::Named | Index::None => {}
    }
    Ok(part)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    None,
    Names,
    /// 0, 1, 2..., as pandas writes without an index.
    Numbers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Index {
    None,
    Named,
    Guessed,
    Layers(Vec<usize>),
}

struct File<'a> {
    path: &'a Path,
    text: &'a [u8],
    /// The bytes that separate fields.
    delimiter: u8,
    /// Where the records begin.
    begin: usize,
}

impl<'a> File<'a> {
    fn new(path: &'a Path, text: &'a [u8]) -> Self {
        let mut lines = text.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')).peekable();
        // Excel's own directive.
        let directive = lines.peek().and_then(|line| line.trim_ascii().strip_prefix(b"sep="));
        if let Some([delimiter]) = directive {
            return Self { path, text, delimiter: *delimiter, begin: lines.peek().map_or(0, |line| line.len()) };
        }
        let is_content = |line: &&[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"#");
        let line = lines.find(is_content).unwrap_or_default().trim_ascii();
        let delimiter = [b'\t', b';', b',', b' '].into_iter().find(|delimiter| line.contains(delimiter));
        Self { path, text, delimiter: delimiter.unwrap_or(b','), begin: 0 }
    }

    fn records(&self) -> Result<Vec<ByteRecord>, LoadsError> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true) // ragged lines get our own error
            .trim(Trim::All)
            .delimiter(self.delimiter)
            .comment(Some(b'#'))
            .from_reader(&self.text[self.begin..]);
        let (mut records, mut fields) = (Vec::new(), 0);
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).expect("BUG: bytes in memory, of any length, can be read") {
            if self.delimiter == b' ' {
                // Blanks may be many.
                let position = record.position().cloned();
                record = record.iter().filter(|field| !field.is_empty()).collect();
                record.set_position(position);
            }
            // Excel writes lines of nothing but separators below a table.
            if record.len() > 1 && record.iter().all(<[u8]>::is_empty) {
                continue;
            }
            fields += record.len();
            if fields > 2 * MOST_LOADS {
                return Err(self.invalid(&record, "", too_many_loads()));
            }
            records.push(record.clone());
        }
        Ok(records)
    }

    fn index(&self, header: Header, first: &ByteRecord, layers: &[ByteRecord], wanted: Option<&Topology>) -> Index {
        let columns = layers[0].len();
        let numbers: Option<Vec<usize>> = layers.iter().map(|record| number(record.get(0)?)).collect();
        let counts_up = || {
            numbers
                .as_ref()
                .is_some_and(|numbers| numbers.len() > 1 && numbers.windows(2).all(|two| two[0] + 1 == two[1]))
        };
        let name = if header == Header::Names { first.get(0).map(lower) } else { None };
        match name {
            // R writes no name for the column of names.
            Some(_) if first.len() + 1 == columns => Index::Named,
            Some(name) if LAYER.contains(&&name[..]) => numbers.map_or(Index::Named, Index::Layers),
            Some(name) if INDEX.contains(&&name[..]) => Index::Named,
            Some(_) => Index::None,
            None if !counts_up() || columns < 2 => Index::None,
            None => match wanted {
                Some(wanted) if columns == wanted.experts + 1 => Index::Guessed,
                Some(_) => Index::None,
                None if layers.len() >= COUNTING => Index::Guessed,
                None => Index::None,
            },
        }
    }

    fn window(&self, layers: &[ByteRecord], from: usize) -> Result<Window, LoadsError> {
        let experts = layers[0].len().saturating_sub(from);
        let mut counts = Vec::new();
        for record in layers {
            if counts.len() + record.len() > MOST_LOADS {
                return Err(self.invalid(record, "", too_many_loads()));
            }
            for column in from..record.len() {
                counts.push(self.load(record, column)?);
            }
            if record.len() - from.min(record.len()) != experts {
                let problem =
                    format!("{} loads, but the first layer has {experts}", record.len() - from.min(record.len()));
                return Err(self.invalid(record, "", problem));
            }
        }
        if counts.is_empty() {
            return Err(LoadsError::Empty { path: self.path.to_owned() });
        }
        Ok(Window::new(experts, counts))
    }

    /// Reads a line for each expert.
    fn long(&self, records: &[ByteRecord], columns: [usize; 3]) -> Result<Part, LoadsError> {
        let mut loads = BTreeMap::new();
        for record in records {
            let id = |column: usize| {
                let field = record.get(column).unwrap_or_default();
                number(field).ok_or_else(|| {
                    let problem = format!("{:?} is not a number of a layer or an expert", shown(field));
                    self.invalid(record, &format!(", column {}", column + 1), problem)
                })
            };
            let (layer, expert) = (id(columns[0])?, id(columns[1])?);
            if loads.insert((layer, expert), self.load(record, columns[2])?).is_some() {
                return Err(self.invalid(record, "", format!("expert {expert} of layer {layer} for the second time")));
            }
        }
        let mut ids: Vec<usize> = loads.keys().map(|(layer, _)| *layer).collect();
        ids.dedup();
        let experts = loads.keys().map(|(_, expert)| expert + 1).max().unwrap_or_default();
        if ids.len().checked_mul(experts).is_none_or(|loads| loads > MOST_LOADS) {
            return Err(LoadsError::invalid(self.path, "all lines", too_many_loads()));
        }
        if loads.is_empty() {
            return Err(LoadsError::Empty { path: self.path.to_owned() });
        }
        let of_layer = |layer: usize| {
            let loads = &loads;
            (0..experts).map(move |expert| loads.get(&(layer, expert)).copied().unwrap_or_default())
        };
        let missing = ids.len() * experts - loads.len();
        if missing > loads.len() {
            let problem = format!("{} layers of {experts} experts have only {} lines", ids.len(), loads.len());
            return Err(LoadsError::invalid(self.path, "all lines", problem));
        }
        let counts: Vec<f64> = ids.iter().flat_map(|layer| of_layer(*layer)).collect();
        let mut part = Part::new(self.path, vec![Timed::whole(Window::new(experts, counts))])?;
        if missing > 0 {
            part.note(format!("{missing} experts have no line and count as 0"));
        }
        part.layer_ids = Some(ids);
        Ok(part)
    }

    fn load(&self, record: &ByteRecord, column: usize) -> Result<f64, LoadsError> {
        let field = record.get(column).unwrap_or_default();
        let load = if self.delimiter == b';' && is_grouped(field) {
            Err(format!("{:?} may be a fraction or thousands: export it without separators", shown(field)))
        } else {
            load(field)
        };
        load.map_err(|problem| self.invalid(record, &format!(", column {}", column + 1), problem))
    }

    fn invalid(&self, record: &ByteRecord, column: &str, problem: String) -> LoadsError {
        LoadsError::invalid(self.path, format!("line {}{column}", self.line(record)), problem)
    }

    /// The line of a record. The reader's own count stops at the first blank line before it.
    fn line(&self, record: &ByteRecord) -> usize {
        let from = self.begin + record.position().map_or(0, |position| position.byte() as usize);
        let rest = &self.text[from..];
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        1 + self.text[..from + blank].iter().filter(|byte| **byte == b'\n').count()
    }
}

fn load(field: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(field);
    let hint = if field.contains(&b',') { " (write it without commas)" } else { "" };
    let load = text.parse().map_err(|_| format!("{:?} is not a number{hint}", quoted(&text)))?;
    checked(load, text)
}

fn is_number(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|text| text.parse::<f64>().is_ok())
}

fn number(field: &[u8]) -> Option<usize> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn lower(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim().to_lowercase()
}

fn shown(field: &[u8]) -> String {
    quoted(&String::from_utf8_lossy(field))
}

/// Whether all fields but perhaps the first are names; the first may be empty, and then the others may be numbers.
fn is_header(record: &ByteRecord) -> bool {
    let is_name = |field: &[u8]| !is_number(field) && field.iter().any(u8::is_ascii_alphabetic) && field.is_ascii();
    let first = record.get(0).unwrap_or_default();
    match lower(first) {
        name if record.len() > 1 && (INDEX.contains(&&name[..]) || LAYER.contains(&&name[..])) => {
            let rest = || record.iter().skip(1);
            rest().all(is_name) || rest().enumerate().all(|(at, field)| number(field) == Some(at))
        }
        _ => record.iter().all(is_name),
    }
}

/// Whether a record is 0, 1, 2...
fn counting(record: &ByteRecord) -> bool {
    record.len() > 1 && record.iter().enumerate().all(|(at, field)| number(field) == Some(at))
}

/// Whether a first line of 0, 1, 2... is a header rather than a layer.
fn is_line_too_many(lines: usize, columns: usize, wanted: Option<&Topology>) -> bool {
    match wanted {
        Some(wanted) => lines != wanted.layers && (lines == wanted.layers + 1 || columns >= COUNTING),
        None => columns >= COUNTING,
    }
}

/// The columns of layer, expert and count in a header of three names.
fn long(header: &ByteRecord) -> Option<[usize; 3]> {
    let names: Vec<String> = header.iter().map(lower).collect();
    let column = |known: &[&str]| names.iter().position(|name| known.contains(&&name[..]));
    let columns = [column(&LAYER)?, column(&EXPERT)?, column(&COUNT)?];
    (names.len() == 3).then_some(columns)
}

/// Whether a number is written with a point before each three digits.
fn is_grouped(field: &[u8]) -> bool {
    let mut groups = field.split(|byte| *byte == b'.');
    let first = groups.next().unwrap_or_default();
    let (mut rest, are_digits) = (groups.peekable(), |group: &[u8]| group.iter().all(u8::is_ascii_digit));
    (1..=3).contains(&first.len())
        && !first.starts_with(b"0")
        && are_digits(first)
        && rest.peek().is_some()
        && rest.all(|group| group.len() == 3 && are_digits(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_part(text: &[u8]) -> Result<Part, String> {
        part(Path::new("w.csv"), text, None).map_err(|error| error.to_string())
    }

    fn read(text: &[u8]) -> Result<Window, String> {
        read_part(text).map(|part| part.windows[0].window.clone())
    }

    #[test]
    fn integers_and_floats_are_read_with_any_blanks_and_line_ends() {
        let window = read(b"1, 2.5 ,3e2\r\n\r\n0,-0,7").unwrap();
        assert_eq!((window.layers, window.experts), (2, 3));
        assert_eq!(window.counts, [1.0, 2.5, 300.0, 0.0, 0.0, 7.0]);
        assert!(window.layer(1)[1].is_sign_positive());
        assert_eq!(read(b"\"1\",\"2.5\"\n").unwrap().counts, [1.0, 2.5]);
        assert_eq!(read(b"1\r2\r").unwrap().counts, [1.0, 2.0]);
    }

    #[test]
    fn headers_indices_and_separators_of_other_programs_are_read() {
        let cases: [(&str, &str); 14] = [
            ("pandas", ",0,1,2\n0,7,8,9\n1,4,5,6\n"),
            ("pandas with names", ",e0,e1,e2\n0,7,8,9\n1,4,5,6\n"),
            ("pandas without index", "e0,e1,e2\n7,8,9\n4,5,6\n"),
            ("pandas with a named index", "layer,0,1,2\n3,7,8,9\n4,4,5,6\n"),
            ("Excel in German", "e0;e1;e2\r\n7;8;9\r\n4;5;6\r\n;;\r\n"),
            ("Excel's directive", "sep=;\r\n7;8;9\r\n4;5;6\r\n"),
            ("Excel's tabs", "7\t8\t9\r\n4\t5\t6\r\n"),
            (
                "PowerShell 5",
                "#TYPE System.Object\r\n\"e0\",\"e1\",\"e2\"\r\n\"7\",\"8\",\"9\"\r\n\"4\",\"5\",\"6\"\r\n",
            ),
            ("R", "\"V1\",\"V2\",\"V3\"\n\"1\",7,8,9\n\"2\",4,5,6\n"),
            ("R with row names", "\"\",\"V1\",\"V2\",\"V3\"\n\"1\",7,8,9\n\"2\",4,5,6\n"),
            ("numpy.savetxt", "7.000000000000000000e+00 8 9\n4 5 6\n"),
            ("a comment", "# loads\n7,8,9\n4,5,6\n"),
            ("names of layers", "layer,a,b,c\nlayer_3,7,8,9\nlayer_4,4,5,6\n"),
            ("a line for each expert", "layer_id,expert_id,count\n3,0,7\n3,1,8\n3,2,9\n4,0,4\n4,1,5\n4,2,6\n"),
        ];
        for (name, text) in cases {
            assert_eq!(read(text.as_bytes()), Ok(Window::new(3, vec![7.0, 8.0, 9.0, 4.0, 5.0, 6.0])), "{name}");
        }
    }

    #[test]
    fn columns_that_number_layers_are_kept() {
        let ids = |text: &str| read_part(text.as_bytes()).unwrap().layer_ids;
        assert_eq!(ids("layer,0,1\n3,7,8\n4,4,5\n"), Some(vec![3, 4]));
        assert_eq!(ids(",0,1\n3,7,8\n4,4,5\n"), None);
        assert_eq!(ids("layer_id,expert_id,count\n3,1,7\n5,0,8\n"), Some(vec![3, 5]));
        let sparse = read_part(b"layer_id,expert_id,count\n3,1,7\n5,0,8\n").unwrap();
        assert_eq!(sparse.windows[0].window, Window::new(2, vec![0.0, 7.0, 8.0, 0.0]));
        assert_eq!(sparse.notes[0].text, "2 experts have no line and count as 0");
    }

    #[test]
    fn numbers_that_only_count_are_a_header_or_an_index_where_that_is_certain() {
        let line = |from: usize| (from..from + 8).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        let with_header = format!("{}\n{}\n", line(0), line(5));
        let header = read_part(with_header.as_bytes()).unwrap();
        assert_eq!((header.windows[0].window.layers, header.notes.len()), (1, 1));
        let wanted = |layers, experts| Topology { layers, experts, ..Topology::deepseek_v3() };
        let layers = |text: &str, layers: usize, experts: usize| {
            let part = part(Path::new("w.csv"), text.as_bytes(), Some(&wanted(layers, experts))).unwrap();
            (part.windows[0].window.layers, part.windows[0].window.experts)
        };
        assert_eq!(layers(&with_header, 2, 8), (2, 8));
        assert_eq!(layers(&with_header, 1, 8), (1, 8));
        assert_eq!(read(b"0,1\n5,6\n").unwrap().layers, 2);
        assert_eq!(layers("0,1\n5,6\n", 1, 2), (1, 2));
        // An index without a header.
        let index: String = (0..8).map(|layer| format!("{layer},9,9\n")).collect();
        assert_eq!(read(index.as_bytes()).unwrap().experts, 2);
        assert_eq!(layers(&index, 8, 3), (8, 3));
        assert_eq!(layers("0,9,9\n1,9,9\n", 2, 2), (2, 2));
        assert_eq!(read(b"0,9,9\n1,9,9\n").unwrap().experts, 3);
    }

    #[test]
    fn an_invalid_load_is_named_with_file_line_and_column() {
        let cases: [(&[u8], &str); 14] = [
            (b"1,2\n3,-4\n", "w.csv, line 2, column 2: -4 is negative"),
            (b"1,NaN\n", "w.csv, line 1, column 2: NaN is not finite"),
            (b"inf,1\n", "w.csv, line 1, column 1: inf is not finite"),
            (b"1,2\n\n3,x\n", "w.csv, line 3, column 2: \"x\" is not a number"),
            (b"1,,2\n", "w.csv, line 1, column 2: \"\" is not a number"),
            (b"1,5;2\n", "w.csv, line 1, column 1: \"1,5\" is not a number (write it without commas)"),
            (
                b"e0;e1\n1.234;2\n",
                "w.csv, line 2, column 1: \"1.234\" may be a fraction or thousands: export it without separators",
            ),
            (b"sep=;\n1;2\n3;x", "w.csv, line 3, column 2: \"x\" is not a number"),
            (b"1,2e15\n", "w.csv, line 1, column 2: 2e15 is larger than the largest load (1e15)"),
            (b"1,2\n3,4,5\n", "w.csv, line 2: 3 loads, but the first layer has 2"),
            (b"1,2\n3\n", "w.csv, line 2: 1 loads, but the first layer has 2"),
            (b"\n\n", "w.csv holds no loads"),
            (b"e0,e1\n", "w.csv holds no loads"),
            (b"layer,expert,count\n0,1,2\n0,1,3\n", "w.csv, line 3: expert 1 of layer 0 for the second time"),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).unwrap_err(), message);
        }
        assert_eq!(read(b"1,\xff\n").unwrap_err(), "w.csv, line 1, column 2: \"\u{fffd}\" is not a number");
    }
}
