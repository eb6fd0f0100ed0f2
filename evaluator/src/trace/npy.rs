//! NPY: a NumPy array, `[layers, experts]` (a window) or `[windows, layers, experts]`, of f4, f8, i4 or i8.
//!
//! C order and little endian, as machines that serve models write it. The header is checked against the length of the
//! file before any memory is allocated.

use std::io::{self, Read};
use std::path::Path;

use crate::window::{LoadsError, MOST_LOADS, Window, checked, quoted, too_many_loads};

/// The longest header, bytes; NumPy also refuses longer ones.
const LONGEST_HEADER: usize = 10_000;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads `file`, which is `length` bytes long.
pub fn windows(path: &Path, file: impl Read, length: u64) -> Result<Vec<Window>, LoadsError> {
    let mut bytes = Bytes { path, file, at: 0 };
    let header = bytes.header()?;
    let array = Array::new(&header).map_err(|problem| LoadsError::invalid(path, "header", problem))?;
    if array.loads == 0 {
        return Err(LoadsError::Empty { path: path.to_owned() });
    }
    let Array { size, windows, layers, experts, loads, .. } = array;
    let promised = windows as u128 * (loads * size) as u128 + u128::from(bytes.at);
    if promised != u128::from(length) {
        let array = format!("{windows} x {layers} x {experts} numbers of {size} bytes");
        let problem = format!("{array} need a file of {promised} bytes, it has {length}");
        return Err(LoadsError::invalid(path, "header", problem));
    }
    (0..array.windows).map(|window| bytes.window(&array, window)).collect()
}

/// The file and the number of bytes read so far.
struct Bytes<'a, R> {
    path: &'a Path,
    file: R,
    at: u64,
}

impl<R: Read> Bytes<'_, R> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), LoadsError> {
        self.file.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                LoadsError::invalid(self.path, format!("byte {}", self.at + 1), "the file ends too early")
            }
            _ => LoadsError::Read { path: self.path.to_owned(), error },
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    /// Reads the header: a Python dict.
    fn header(&mut self) -> Result<String, LoadsError> {
        let mut start = [0; 8];
        self.fill(&mut start)?;
        if !start.starts_with(MAGIC) {
            return Err(LoadsError::invalid(self.path, "byte 1", "this is not a NumPy array"));
        }
        let mut length = [0; 4];
        // The length has two bytes in version 1, and four in later versions.
        self.fill(if start[6] == 1 { &mut length[..2] } else { &mut length })?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST_HEADER {
            let problem = format!("a header of {length} bytes, more than {LONGEST_HEADER}");
            return Err(LoadsError::invalid(self.path, "byte 9", problem));
        }
        let mut header = vec![0; length];
        self.fill(&mut header)?;
        Ok(String::from_utf8_lossy(&header).into_owned())
    }

    fn window(&mut self, array: &Array, window: usize) -> Result<Window, LoadsError> {
        let mut bytes = vec![0; array.experts * array.size];
        let mut counts = Vec::with_capacity(array.loads);
        for layer in 0..array.layers {
            self.fill(&mut bytes)?;
            for (number, expert) in bytes.chunks_exact(array.size).zip(0..) {
                let load = (array.read)(number);
                let spot = || format!("window {window}, layer {layer}, expert {expert}");
                let load = checked(load, format_args!("{load:?}"));
                counts.push(load.map_err(|problem| LoadsError::invalid(self.path, spot(), problem))?);
            }
        }
        Ok(Window::new(array.experts, counts))
    }
}

fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("BUG: a number of another size")
}

#[derive(Debug)]
struct Array {
    /// Of a number, bytes.
    size: usize,
    read: fn(&[u8]) -> f64,
    windows: usize,
    layers: usize,
    experts: usize,
    /// In a window.
    loads: usize,
}

impl Array {
    fn new(header: &str) -> Result<Self, String> {
        let descr = member(header, "descr")?.split([',', '}']).next().unwrap_or_default().trim();
        let (size, read): (usize, fn(&[u8]) -> f64) = match descr.trim_matches('\'') {
            "<f4" => (4, |bytes| f32::from_le_bytes(sized(bytes)).into()),
            "<f8" => (8, |bytes| f64::from_le_bytes(sized(bytes))),
            "<i4" => (4, |bytes| i32::from_le_bytes(sized(bytes)).into()),
            // Exact up to the largest load.
            "<i8" => (8, |bytes| i64::from_le_bytes(sized(bytes)) as f64),
            _ => return Err(format!("numbers of type {}, not '<f4', '<f8', '<i4' or '<i8'", quoted(descr))),
        };
        if !member(header, "fortran_order")?.starts_with("False") {
            return Err("an array in Fortran order, not in C order".to_owned());
        }
        let (windows, layers, experts) = match shape(member(header, "shape")?)?[..] {
            [layers, experts] => (1, layers, experts),
            [windows, layers, experts] => (windows, layers, experts),
            ref other => return Err(format!("{} dimensions, not [layers, experts] or [windows, ...]", other.len())),
        };
        let loads = if windows == 0 { Some(0) } else { layers.checked_mul(experts) };
        match loads {
            Some(loads) if loads <= MOST_LOADS => Ok(Self { size, read, windows, layers, experts, loads }),
            _ => Err(too_many_loads()),
        }
    }
}

/// The text after `'name':` in the dict.
fn member<'a>(header: &'a str, name: &str) -> Result<&'a str, String> {
    let quoted = format!("'{name}':");
    header.split_once(&quoted).map(|(_, value)| value.trim_start()).ok_or_else(|| format!("no {name}"))
}

/// The numbers of a tuple such as `(12, 58, 256)`.
fn shape(value: &str) -> Result<Vec<usize>, String> {
    let numbers = value.strip_prefix('(').and_then(|value| value.split_once(')')).map(|(numbers, _)| numbers);
    let parsed = numbers.map(|numbers| {
        let numbers = numbers.split(',').map(str::trim).filter(|number| !number.is_empty());
        numbers.map(str::parse).collect::<Result<Vec<usize>, _>>()
    });
    match parsed {
        Some(Ok(shape)) => Ok(shape),
        _ => Err(format!("{} is not a shape", quoted(value.trim_end()))),
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    /// A file as NumPy writes it, of version 1.
    fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
        let padded = format!("{header:<117}\n");
        [MAGIC, b"\x01\x00", &(padded.len() as u16).to_le_bytes(), padded.as_bytes(), numbers].concat()
    }

    fn array(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        file(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"), numbers)
    }

    fn read(file: &[u8]) -> Result<Vec<Window>, String> {
        windows(Path::new("w.npy"), file, file.len() as u64).map_err(|error| error.to_string())
    }

    fn f8(numbers: &[f64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn the_four_types_are_read_as_one_window_or_as_many() {
        let numbers = [0, 1, 2, 3, 1 << 30, 5];
        let wanted = Window::new(3, numbers.map(f64::from).to_vec());
        let f4 = numbers.map(|number| (number as f32).to_le_bytes()).concat();
        let i4 = numbers.map(i32::to_le_bytes).concat();
        let i8 = numbers.map(|number| i64::from(number).to_le_bytes()).concat();
        for (descr, bytes) in [("<f4", f4), ("<i4", i4), ("<i8", i8), ("<f8", f8(&wanted.counts))] {
            assert_eq!(read(&array(descr, "(2, 3)", &bytes)).unwrap(), slice::from_ref(&wanted), "{descr}");
            let two = [bytes.clone(), bytes].concat();
            assert_eq!(read(&array(descr, "(2, 2, 3)", &two)).unwrap(), [wanted.clone(), wanted.clone()], "{descr}");
        }
    }

    #[test]
    fn the_header_may_be_of_a_later_version_and_in_any_order() {
        let header = b"{'shape': (1, 1), 'fortran_order': False, 'descr': '<f8'}\n";
        let length = (header.len() as u32).to_le_bytes();
        let file = [MAGIC, b"\x02\x00", &length, header, &f8(&[7.0])].concat();
        assert_eq!(read(&file).unwrap(), [Window::new(1, vec![7.0])]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            (
                array("<f8", "(2, 1, 2)", &f8(&[1.0, 2.0, 3.0, -4.0])),
                "w.npy, window 1, layer 0, expert 1: -4.0 is negative",
            ),
            (array("<f8", "(1, 1)", &f8(&[f64::NAN])), "w.npy, window 0, layer 0, expert 0: NaN is not finite"),
            (array("<f2", "(1, 1)", b""), "w.npy, header: numbers of type '<f2', not '<f4', '<f8', '<i4' or '<i8'"),
            (array(">f8", "(1, 1)", b""), "w.npy, header: numbers of type '>f8', not '<f4', '<f8', '<i4' or '<i8'"),
            (
                file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }", b""),
                "w.npy, header: numbers of type [('a', not '<f4', '<f8', '<i4' or '<i8'",
            ),
            (
                file("{'descr': '<f8', 'fortran_order': True, 'shape': (1, 1), }", b""),
                "w.npy, header: an array in Fortran order, not in C order",
            ),
            (
                array("<f8", "(1000000000000,)", b""),
                "w.npy, header: 1 dimensions, not [layers, experts] or [windows, ...]",
            ),
            (array("<f8", "(1000000, 1000000, 1000000)", b""), "w.npy, header: more than 4194304 loads in a window"),
            (
                array("<f8", "(18446744073709551615, 2, 2)", b""),
                "w.npy, header: 18446744073709551615 x 2 x 2 numbers of 8 bytes need a file of 590295810358705651808 \
                 bytes, it has 128",
            ),
            (array("<f8", "(-1, 2)", b""), "w.npy, header: (-1, 2), } is not a shape"),
            (array("<f8", "(0, 2)", b""), "w.npy holds no loads"),
            (array("<f8", "(0, 2, 2)", b""), "w.npy holds no loads"),
            (
                array("<f8", "(1, 2)", &f8(&[1.0])),
                "w.npy, header: 1 x 1 x 2 numbers of 8 bytes need a file of 144 bytes, it has 136",
            ),
            (file("{}", b""), "w.npy, header: no descr"),
            (MAGIC.to_vec(), "w.npy, byte 1: the file ends too early"),
            (b"PK\x03\x04 an archive".to_vec(), "w.npy, byte 1: this is not a NumPy array"),
            (
                [MAGIC, b"\x02\x00\xff\xff\xff\xff"].concat(),
                "w.npy, byte 9: a header of 4294967295 bytes, more than 10000",
            ),
            ([MAGIC, b"\x01\x00\x40\x00{"].concat(), "w.npy, byte 11: the file ends too early"),
        ];
        for (file, message) in cases {
            assert_eq!(read(&file).unwrap_err(), message);
        }
    }
}
