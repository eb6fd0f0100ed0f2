//! NPY: a NumPy array, `[layers, experts]` (a window) or `[windows, layers, experts]`, of integers or floats.
//!
//! The header is checked against the length of the file before any memory is allocated.

use std::io::Read;
use std::path::Path;

use crate::array::{Array, described};
use crate::error::LoadsError;
use crate::number::{Bytes, Number};
use crate::recording::{Part, Timed};
use crate::steps::{Order, Steps};
use crate::window::{Window, quoted};

/// No model has more experts in a layer.
const MOST_EXPERTS: f64 = 4096.0;
/// Fewer tokens of layers do not tell ids from counts.
const ENOUGH_TOKENS: usize = 64;

/// The longest header, bytes; NumPy also refuses longer ones.
const LONGEST_HEADER: usize = 10_000;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads `file`, which is `length` bytes long, if that is known. Layers have that many `experts`, if that is known.
pub fn part(path: &Path, file: impl Read, length: Option<u64>, experts: Option<usize>) -> Result<Part, LoadsError> {
    let mut counted = Counted { path, file, at: 0 };
    let header = counted.header()?;
    let array = array(&header).map_err(|problem| LoadsError::invalid(path, "header", problem))?;
    if array.is_empty() {
        return Err(LoadsError::Empty { path: path.to_owned() });
    }
    let promised = array.bytes() + u128::from(counted.at);
    if let Some(length) = length.filter(|length| u128::from(*length) != promised) {
        let problem = format!("{} need a file of {promised} bytes, it has {length}", described(&array));
        return Err(LoadsError::invalid(path, "header", problem));
    }
    let Counted { mut file, .. } = counted;
    if !array.has_rows && !array.is_fortran {
        let window = array.row(path, &mut file, 0)?;
        at_end(path, file, &array)?;
        return Part::new(path, vec![Timed::whole(window)]);
    }
    let mut steps = Steps::default();
    let may_be_ids = array.has_rows && array.number.is_short_integer() && experts != Some(array.experts);
    if may_be_ids && !array.is_fortran {
        let mut routed = Routed::default();
        for row in 0..array.rows {
            let window = array.row(path, &mut file, row)?;
            routed.see(&window);
            steps.add(window, None);
        }
        routed.refuse(path, &array)?;
    } else {
        array.read(path, &mut file, &mut steps)?;
    }
    at_end(path, file, &array)?;
    let (windows, notes) = steps.finish(Order::AsWritten);
    let mut part = Part::new(path, windows)?;
    notes.into_iter().for_each(|note| part.note(note));
    Ok(part)
}

/// Whether an array holds the experts of each token of each layer, as vLLM's `routed_experts`, and not loads.
#[derive(Default)]
struct Routed {
    tokens: usize,
    is_refuted: bool,
}

impl Routed {
    /// Looks at a token: its experts are all different, and few. A layer without experts has zeros.
    fn see(&mut self, token: &Window) {
        for layer in (0..token.layers).filter(|layer| !token.is_zero(*layer)) {
            let ids = token.layer(layer);
            let is_repeated = (1..ids.len()).any(|at| ids[..at].contains(&ids[at]));
            self.is_refuted |= is_repeated || ids.iter().any(|id| *id >= MOST_EXPERTS);
            self.tokens += 1;
        }
    }

    fn refuse(&self, path: &Path, array: &Array) -> Result<(), LoadsError> {
        if self.is_refuted || self.tokens < ENOUGH_TOKENS || array.experts < 2 {
            return Ok(());
        }
        let problem = format!(
            "{} look like the experts of each token, as vLLM's routed_experts, and not like loads: count them for each \
             layer first, with numpy.bincount",
            described(array)
        );
        Err(LoadsError::invalid(path, "array", problem))
    }
}

/// Refuses what follows the array. An archive compares its checksum at the end.
fn at_end(path: &Path, mut file: impl Read, array: &Array) -> Result<(), LoadsError> {
    match file.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(LoadsError::invalid(path, "header", format!("more than {} follow", described(array)))),
        Err(error) => Err(LoadsError::at(path, "end", error)),
    }
}

/// The file and the number of bytes read so far.
struct Counted<'a, R> {
    path: &'a Path,
    file: R,
    at: u64,
}

impl<R: Read> Counted<'_, R> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), LoadsError> {
        let spot = format!("byte {}", self.at + 1);
        self.file.read_exact(buffer).map_err(|error| LoadsError::at(self.path, spot, error))?;
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
}

fn array(header: &str) -> Result<Array, String> {
    let descr = member(header, "descr")?.split([',', '}']).next().unwrap_or_default().trim();
    let unknown = || format!("numbers of type {}, not integers or floats", quoted(descr));
    let text = descr.trim_matches('\'');
    let (order, name) = text.split_at_checked(1).ok_or_else(unknown)?;
    let number = match name {
        "i1" => Number::I8,
        "i2" => Number::I16,
        "i4" => Number::I32,
        "i8" => Number::I64,
        "u1" => Number::U8,
        "u2" => Number::U16,
        "u4" => Number::U32,
        "u8" => Number::U64,
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => return Err(unknown()),
    };
    let order = match order {
        "<" => Bytes::LittleFirst,
        ">" => Bytes::BigFirst,
        "|" if number.size() == 1 => Bytes::LittleFirst,
        _ => return Err(unknown()),
    };
    let fortran = member(header, "fortran_order")?;
    let is_fortran = fortran.starts_with("True");
    if !is_fortran && !fortran.starts_with("False") {
        return Err(format!("fortran_order is {}", quoted(fortran.trim_end())));
    }
    Array::new(number, order, &shape(member(header, "shape")?)?, is_fortran)
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
    use crate::window::Window;

    /// A file as NumPy writes it, of version 1.
    fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
        let padded = format!("{header:<117}\n");
        [MAGIC, b"\x01\x00", &(padded.len() as u16).to_le_bytes(), padded.as_bytes(), numbers].concat()
    }

    fn array_of(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        file(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"), numbers)
    }

    fn read(file: &[u8]) -> Result<Vec<Window>, String> {
        let read = part(Path::new("w.npy"), file, Some(file.len() as u64), None).map_err(|error| error.to_string())?;
        Ok(read.windows.into_iter().map(|timed| timed.window).collect())
    }

    fn f8(numbers: &[f64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn all_types_are_read_as_one_window_or_as_many() {
        let numbers = [0, 1, 2, 3, 120, 5];
        let wanted = Window::new(3, numbers.map(f64::from).to_vec());
        let of = |bytes: &dyn Fn(i32) -> Vec<u8>| numbers.iter().flat_map(|number| bytes(*number)).collect::<Vec<u8>>();
        let half = |number: i32| {
            // The bits of f16 from those of f32, for numbers that it has.
            let bits = (number as f32).to_bits();
            if number == 0 { 0 } else { ((((bits >> 23) - 112) << 10) | (bits >> 13 & 0x3ff)) as u16 }
        };
        let types: [(&str, Vec<u8>); 13] = [
            ("<f2", of(&|number| half(number).to_le_bytes().to_vec())),
            ("<f4", of(&|number| (number as f32).to_le_bytes().to_vec())),
            ("<f8", of(&|number| f64::from(number).to_le_bytes().to_vec())),
            (">f8", of(&|number| f64::from(number).to_be_bytes().to_vec())),
            ("|i1", of(&|number| (number as i8).to_le_bytes().to_vec())),
            ("<i2", of(&|number| (number as i16).to_le_bytes().to_vec())),
            ("<i4", of(&|number| number.to_le_bytes().to_vec())),
            (">i4", of(&|number| number.to_be_bytes().to_vec())),
            ("<i8", of(&|number| i64::from(number).to_le_bytes().to_vec())),
            ("|u1", of(&|number| (number as u8).to_le_bytes().to_vec())),
            (">u2", of(&|number| (number as u16).to_be_bytes().to_vec())),
            ("<u4", of(&|number| (number as u32).to_le_bytes().to_vec())),
            ("<u8", of(&|number| (number as u64).to_le_bytes().to_vec())),
        ];
        for (descr, bytes) in types {
            assert_eq!(read(&array_of(descr, "(2, 3)", &bytes)).unwrap(), slice::from_ref(&wanted), "{descr}");
            let two = [bytes.clone(), bytes].concat();
            assert_eq!(read(&array_of(descr, "(2, 2, 3)", &two)).unwrap(), [wanted.clone(), wanted.clone()], "{descr}");
        }
    }

    #[test]
    fn fortran_order_is_read_with_the_first_dimension_fastest() {
        let header = |shape| format!("{{'descr': '<f8', 'fortran_order': True, 'shape': {shape}, }}");
        let read = |shape, numbers: &[f64]| read(&file(&header(shape), &f8(numbers)));
        assert_eq!(
            read("(2, 3)", &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]).unwrap(),
            [Window::new(3, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])]
        );
        // [[[1, 2]], [[3, 4]]]
        let windows = [Window::new(2, vec![1.0, 2.0]), Window::new(2, vec![3.0, 4.0])];
        assert_eq!(read("(2, 1, 2)", &[1.0, 3.0, 2.0, 4.0]).unwrap(), windows);
        assert_eq!(
            read("(2, 1, 2)", &[1.0, 3.0, 2.0, -4.0]).unwrap_err(),
            "w.npy, window 1, layer 0, expert 1: -4.0 is negative"
        );
    }

    #[test]
    fn a_window_without_any_load_is_dropped_and_noted_unless_it_is_the_only_one() {
        let bytes = array_of("<f8", "(3, 1, 1)", &f8(&[5.0, 0.0, 6.0]));
        let read_part = part(Path::new("w.npy"), &bytes[..], None, None).unwrap();
        assert_eq!(read_part.windows.len(), 2);
        assert_eq!(read_part.notes.len(), 2, "{:?}", read_part.notes);
        assert_eq!(read(&array_of("<f8", "(1, 1)", &f8(&[0.0]))).unwrap().len(), 1);
        assert_eq!(read(&array_of("<f8", "(1, 1, 1)", &f8(&[0.0]))).unwrap_err(), "w.npy holds no loads");
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
                array_of("<f8", "(2, 1, 2)", &f8(&[1.0, 2.0, 3.0, -4.0])),
                "w.npy, window 1, layer 0, expert 1: -4.0 is negative",
            ),
            (array_of("<f8", "(1, 1)", &f8(&[f64::NAN])), "w.npy, window 0, layer 0, expert 0: NaN is not finite"),
            (array_of("<c8", "(1, 1)", b""), "w.npy, header: numbers of type '<c8', not integers or floats"),
            (array_of("|b1", "(1, 1)", b""), "w.npy, header: numbers of type '|b1', not integers or floats"),
            (
                file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }", b""),
                "w.npy, header: numbers of type [('a', not integers or floats",
            ),
            (
                file("{'descr': '<f8', 'fortran_order': Maybe, 'shape': (1, 1), }", b""),
                "w.npy, header: fortran_order is Maybe, 'shape': (1, 1), }",
            ),
            (
                array_of("<f8", "(1000000000000,)", b""),
                "w.npy, header: 1 dimensions, not [layers, experts] or [windows, ...]",
            ),
            (array_of("<f8", "(1000000, 1000000, 1000000)", b""), "w.npy, header: more than 4194304 loads in a window"),
            (
                array_of("<f8", "(18446744073709551615, 2, 2)", b""),
                "w.npy, header: 18446744073709551615 x 2 x 2 numbers of 8 bytes need a file of 590295810358705651808 \
                 bytes, it has 128",
            ),
            (array_of("<f8", "(-1, 2)", b""), "w.npy, header: (-1, 2), } is not a shape"),
            (array_of("<f8", "(0, 2)", b""), "w.npy holds no loads"),
            (array_of("<f8", "(0, 2, 2)", b""), "w.npy holds no loads"),
            (
                array_of("<f8", "(1, 2)", &f8(&[1.0])),
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

    #[test]
    fn the_experts_of_tokens_are_not_taken_for_loads() {
        let array = |experts: usize, id: fn(usize, usize) -> i16| {
            let numbers: Vec<u8> =
                (0..64 * experts).flat_map(|at| id(at / experts, at % experts).to_le_bytes()).collect();
            array_of("<i2", &format!("(32, 2, {experts})"), &numbers)
        };
        // Token t of a layer is routed to experts that are far apart; every second layer is dense.
        let routed = array(4, |token, place| (token * 7 % 64 + 64 * place) as i16);
        let error = read(&routed).unwrap_err();
        assert!(
            error.starts_with("w.npy, array: 32 x 2 x 4 numbers of 2 bytes look like the experts of each token"),
            "{error}"
        );
        // Loads of four experts, if that is what a layer has.
        let with = |experts| part(Path::new("w.npy"), &routed[..], None, experts).map(|part| part.windows.len());
        assert_eq!((with(Some(4)).ok(), with(Some(64)).ok()), (Some(32), None));
        // Counts repeat sooner or later.
        assert_eq!(read(&array(4, |token, place| (token % 5 * place) as i16)).unwrap().len(), 32);
    }
}
