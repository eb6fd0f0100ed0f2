//! Kind: what a file is, by its first bytes, and by its name where the bytes leave it open.

use crate::error::LoadsError;
use crate::source::{Source, UTF8_MARK};
use crate::window::quoted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Csv,
    Json,
    JsonLines,
    Npy,
    /// What `torch.save` and `numpy.savez` write.
    Zip,
    Safetensors,
}

/// First bytes of files that hold no loads, or not so that they could be read, and what they are.
const FOREIGN: [(&[u8], &str); 10] = [
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it first"),
    (b"BZh", "packed with bzip2: unpack it first"),
    (b"\xfd7zXZ\x00", "packed with xz: unpack it first"),
    (b"\x80\x02\x8a\x0a\x6c\xfc", "written by torch.save in its old format: load and save it again with a newer torch"),
    (b"\x80", "a Python pickle, which could run code: save the loads with torch.save, as .npy or as JSON"),
    (b"\x89HDF", "an HDF5 file: save the loads as .npy"),
    (b"PAR1", "a Parquet file: save the loads as .npy or CSV"),
    (b"\x7fELF", "a program"),
    (b"%PDF", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: export it as CSV"),
];

/// The first bytes that a message quotes, if they are no text.
const QUOTED: usize = 8;

impl Kind {
    /// What a file is, and what to tell about its name.
    pub fn of(source: &Source) -> Result<(Self, Option<String>), LoadsError> {
        if source.start.is_empty() {
            return Err(LoadsError::Empty { path: source.name.clone() });
        }
        let named = Self::named(&source.extension());
        let unknown = |seen| LoadsError::UnknownFormat { path: source.name.clone(), seen };
        let is = match Self::by_bytes(source).map_err(unknown)? {
            Some(kind) => kind,
            // The reader will name the byte at which the file stops being one.
            None => named.ok_or_else(|| unknown(seen(&source.start)))?,
        };
        let remark = match named {
            Some(named) if named == is || named == Self::JsonLines && is == Self::Json => None,
            _ => Some(format!("read as {}, which its name does not say", is.description())),
        };
        Ok((is, remark))
    }

    pub fn named(extension: &str) -> Option<Self> {
        Some(match extension {
            "csv" | "tsv" => Self::Csv,
            "json" => Self::Json,
            "jsonl" | "ndjson" => Self::JsonLines,
            "npy" => Self::Npy,
            "npz" | "pt" | "pth" => Self::Zip,
            "safetensors" => Self::Safetensors,
            _ => return None,
        })
    }

    fn description(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::JsonLines => "JSON lines",
            Self::Npy => "a NumPy array",
            Self::Zip => "an archive of torch.save or numpy.savez",
            Self::Safetensors => "safetensors",
        }
    }

    /// What the first bytes say.
    ///
    /// # Errors
    /// What the file is, if it is something that holds no loads.
    fn by_bytes(source: &Source) -> Result<Option<Self>, String> {
        let start = &source.start[..];
        // First, since the length that begins it may look like anything.
        if let [_, _, _, _, _, 0, 0, 0, b'{', ..] = start {
            return Ok(Some(Self::Safetensors));
        }
        if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err((*what).to_owned());
        }
        Ok(match start {
            _ if start.starts_with(b"\x93NUMPY") => Some(Self::Npy),
            _ if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") => Some(Self::Zip),
            [a, 0, b, 0, ..] if a.is_ascii_graphic() && b.is_ascii_graphic() => {
                return Err("UTF-16 without a byte order mark: save it as UTF-8".to_owned());
            }
            [0, a, 0, b, ..] if a.is_ascii_graphic() && b.is_ascii_graphic() => {
                return Err("UTF-16 without a byte order mark: save it as UTF-8".to_owned());
            }
            _ => Self::by_text(source),
        })
    }

    fn by_text(source: &Source) -> Option<Self> {
        let narrow: Vec<u8>;
        let start = if source.is_utf16() {
            // Only ASCII matters here.
            narrow = source.start[2..].iter().copied().filter(|byte| *byte != 0).collect();
            &narrow[..]
        } else {
            source.start.strip_prefix(UTF8_MARK).unwrap_or(&source.start)
        };
        let text = start.trim_ascii_start();
        let extension = source.extension();
        match text.first()? {
            b'{' if is_lines(text) => Some(Self::JsonLines),
            b'{' | b'[' => Some(Self::Json),
            _ if Self::named(&extension).is_some() => None,
            // `.txt`, `.dat` and no extension at all: only what looks like numbers.
            b'0'..=b'9' | b'-' | b'.' | b'"' if !text.contains(&0) => Some(Self::Csv),
            _ => None,
        }
    }
}

/// Whether a text of JSON holds a document a line, as vLLM writes.
fn is_lines(text: &[u8]) -> bool {
    let has = |name: &[u8]| text.windows(name.len()).any(|bytes| bytes == name);
    has(b"\"record_type\"") || has(b"\"expert_load\"") || has(b"\"p2l_map\"")
}

/// First bytes in words.
fn seen(start: &[u8]) -> String {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(line) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\t' && c != '\r') => {
            format!("it begins with {:?}", quoted(text.trim()))
        }
        _ => {
            let bytes: Vec<String> = start.iter().take(QUOTED).map(|byte| format!("{byte:02x}")).collect();
            format!("it begins with the bytes {}", bytes.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::LoadsAt;

    fn kind(name: &str, content: &[u8]) -> Result<(Kind, bool), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("content");
        fs::write(&path, content).unwrap();
        let source = Source::open(&LoadsAt { name: name.into(), at: path }).map_err(|error| error.to_string())?;
        Kind::of(&source).map(|(kind, remark)| (kind, remark.is_some())).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_file_is_decides_and_a_name_that_says_otherwise_is_noted() {
        let numpy = b"\x93NUMPY\x01\x00";
        let cases: [(&str, &[u8], Kind, bool); 12] = [
            ("w.csv", b"1,2\n", Kind::Csv, false),
            ("w.txt", b"1,2\n", Kind::Csv, true),
            ("w", b" [[1]]", Kind::Json, true),
            ("w.csv", b"{\"logical_count\": 1}", Kind::Json, true),
            ("w.json", b"x", Kind::Json, false),
            ("w.jsonl", b"{\"record_type\": 1}", Kind::JsonLines, false),
            ("w.json", b"{\"expert_load\": 1}", Kind::JsonLines, true),
            ("w.json", b"\xef\xbb\xbf{}", Kind::Json, false),
            ("w.json", b"\xff\xfe{\x00}\x00", Kind::Json, false),
            ("w.npy.gz", numpy, Kind::Npy, false),
            ("w.pt", numpy, Kind::Npy, true),
            ("w.npy", b"PK\x03\x04", Kind::Zip, true),
        ];
        for (name, content, wanted, remark) in cases {
            assert_eq!(kind(name, content), Ok((wanted, remark)), "{name}");
        }
    }

    #[test]
    fn what_holds_no_loads_is_named() {
        let cases: [(&str, &[u8], &str); 7] = [
            ("w.md", b"# Loads\n", "unknown format of loads: w.md: it begins with \"# Loads\""),
            ("w", b"\x00\x01\x02", "unknown format of loads: w: it begins with the bytes 00 01 02"),
            (
                "w.pt",
                b"\x80\x04\x95",
                "unknown format of loads: w.pt: a Python pickle, which could run code: save the loads with torch.save, \
                 as .npy or as JSON",
            ),
            (
                "w.csv",
                b"1\x00,\x00",
                "unknown format of loads: w.csv: UTF-16 without a byte order mark: save it as UTF-8",
            ),
            ("w.csv", b"\x28\xb5\x2f\xfd", "unknown format of loads: w.csv: packed with zstd: unpack it first"),
            ("w.csv", b"", "w.csv holds no loads"),
            ("w.csv.gz", b"\x1f\x8b\x08", "w.csv.gz, gzip: the file ends too early"),
        ];
        for (name, content, message) in cases {
            assert_eq!(kind(name, content).unwrap_err(), message);
        }
    }
}
