//! CSV: a window without a header, a line for each layer, integers or floats. Blank lines are skipped.

use std::path::Path;

use crate::window::{LoadsError, MOST_LOADS, Window, checked, quoted, too_many_loads};

/// Reads the `text` of the file at `path`.
pub fn window(path: &Path, text: &[u8]) -> Result<Window, LoadsError> {
    let text = String::from_utf8_lossy(text);
    let lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    let (mut experts, mut counts) = (0, Vec::new());
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let before = counts.len();
        for (field, column) in line.split(',').zip(1..) {
            let spot = || format!("line {number}, column {column}");
            counts.push(load(field).map_err(|problem| LoadsError::invalid(path, spot(), problem))?);
        }
        let found = counts.len() - before;
        if before == 0 {
            experts = found;
        }
        let problem = match found {
            _ if counts.len() > MOST_LOADS => too_many_loads(),
            _ if found != experts => format!("{found} loads, but the first layer has {experts}"),
            _ => continue,
        };
        return Err(LoadsError::invalid(path, format!("line {number}"), problem));
    }
    if counts.is_empty() {
        return Err(LoadsError::Empty { path: path.to_owned() });
    }
    Ok(Window::new(experts, counts))
}

fn load(field: &str) -> Result<f64, String> {
    // Some programs quote every field.
    let text = field.trim().trim_matches('"');
    let load = text.parse().map_err(|_| format!("{:?} is not a number", quoted(text)))?;
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
        assert_eq!(read(b"\"1\", \"2.5\"\n").unwrap().counts, [1.0, 2.5]);
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
