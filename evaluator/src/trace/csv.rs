//! CSV: a window without a header, a line for each layer, integers or floats. Blank lines are skipped.
//!
//! The only file that names the csv crate.

use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};

use crate::window::{LoadsError, MOST_LOADS, Window, checked, quoted, too_many_loads};

/// Reads the `text` of the file at `path`.
pub fn window(path: &Path, text: &[u8]) -> Result<Window, LoadsError> {
    let file = File { path, text };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true) // ragged lines get our own error
        .trim(Trim::All)
        .from_reader(text);
    let (mut experts, mut counts) = (0, Vec::new());
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).expect("BUG: bytes in memory, of any length, can be read") {
        if counts.is_empty() {
            experts = record.len();
        }
        file.read_layer(&record, experts, &mut counts)?;
    }
    if counts.is_empty() {
        return Err(LoadsError::Empty { path: path.to_owned() });
    }
    Ok(Window::new(experts, counts))
}

struct File<'a> {
    path: &'a Path,
    text: &'a [u8],
}

impl File<'_> {
    fn read_layer(&self, record: &ByteRecord, experts: usize, counts: &mut Vec<f64>) -> Result<(), LoadsError> {
        if counts.len() + record.len() > MOST_LOADS {
            return Err(self.invalid(record, "", too_many_loads()));
        }
        for (field, column) in record.iter().zip(1..) {
            let load = load(field).map_err(|problem| self.invalid(record, &format!(", column {column}"), problem));
            counts.push(load?);
        }
        if record.len() != experts {
            let problem = format!("{} loads, but the first layer has {experts}", record.len());
            return Err(self.invalid(record, "", problem));
        }
        Ok(())
    }

    fn invalid(&self, record: &ByteRecord, column: &str, problem: String) -> LoadsError {
        LoadsError::invalid(self.path, format!("line {}{column}", self.line(record)), problem)
    }

    /// The line of a record. The reader's own count stops at the first blank line before it.
    fn line(&self, record: &ByteRecord) -> usize {
        let from = record.position().expect("BUG: a record that was read has a position").byte() as usize;
        let blank = self.text[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        1 + self.text[..from + blank].iter().filter(|byte| **byte == b'\n').count()
    }
}

fn load(field: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(field);
    let load = text.parse().map_err(|_| format!("{:?} is not a number", quoted(&text)))?;
    checked(load, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Window, String> {
        window(Path::new("w.csv"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn integers_and_floats_are_read_with_any_blanks_and_line_ends() {
        let window = read(b"\xef\xbb\xbf1, 2.5 ,3e2\r\n\r\n0,-0,7").unwrap();
        assert_eq!((window.layers, window.experts), (2, 3));
        assert_eq!(window.counts, [1.0, 2.5, 300.0, 0.0, 0.0, 7.0]);
        assert!(window.layer(1)[1].is_sign_positive());
        assert_eq!(read(b"\"1\",\"2.5\"\n").unwrap().counts, [1.0, 2.5]);
        assert_eq!(read(b"1\r2\r").unwrap().counts, [1.0, 2.0]);
    }

    #[test]
    fn an_invalid_load_is_named_with_file_line_and_column() {
        let cases: [(&[u8], &str); 10] = [
            (b"1,2\n3,-4\n", "w.csv, line 2, column 2: -4 is negative"),
            (b"1,NaN\n", "w.csv, line 1, column 2: NaN is not finite"),
            (b"inf,1\n", "w.csv, line 1, column 1: inf is not finite"),
            (b"1,2\n\n3,x\n", "w.csv, line 3, column 2: \"x\" is not a number"),
            (b"1,,2\n", "w.csv, line 1, column 2: \"\" is not a number"),
            (b"1;2\n", "w.csv, line 1, column 1: \"1;2\" is not a number"),
            (b"1,2e15\n", "w.csv, line 1, column 2: 2e15 is larger than the largest load (1e15)"),
            (b"1,2\n3,4,5\n", "w.csv, line 2: 3 loads, but the first layer has 2"),
            (b"1,2\n3\n", "w.csv, line 2: 1 loads, but the first layer has 2"),
            (b"\n\n", "w.csv holds no loads"),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).unwrap_err(), message);
        }
        assert_eq!(read(b"1,\xff\n").unwrap_err(), "w.csv, line 1, column 2: \"\u{fffd}\" is not a number");
    }
}
