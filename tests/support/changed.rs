//! Changed: files and messages with bytes changed, cut, inserted or repeated, for tests of readers.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Pieces to insert at random places.
const PIECES: [&[u8]; 24] = [
    b"-1",
    b"-0",
    b"1e15",
    b"1e16",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"null",
    b"18446744073709551616",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\"",
    b"\n",
    b"\r\n",
    b"\xff",
    b"\0",
    b"\"logical_count\": ",
    b"(1000000000000,)",
    b"18446744073709551615",
    b"'<f8'",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// A change to a file.
#[derive(Clone, Debug)]
pub enum Change {
    Byte(Index, u8),
    Cut(Index, usize),
    End(Index),
    Insert(Index, &'static [u8]),
    Repeat(Index, usize),
}

pub fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), 1..9_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        at().prop_map(Change::End),
        (at(), select(&PIECES[..])).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (at(), 1..40_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

pub fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match change {
            Change::Byte(at, byte) => bytes[at.index(length)] = *byte,
            Change::Cut(at, cut) => drop(bytes.drain(at.index(length)..(at.index(length) + cut).min(length))),
            Change::End(at) => bytes.truncate(at.index(length)),
            Change::Insert(at, piece) => drop(bytes.splice(at.index(length)..at.index(length), piece.iter().copied())),
            Change::Repeat(at, repeated) => {
                let from = at.index(length);
                let again = bytes[from..(from + repeated).min(length)].to_vec();
                drop(bytes.splice(from..from, again));
            }
        }
    }
    bytes
}
