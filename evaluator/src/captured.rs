//! Captured: the output of a candidate, bounded.

use std::io::Read;

/// The part of the output that is kept as evidence, bytes.
const KEPT: usize = 8 << 10;

#[derive(Debug, Default)]
pub struct Captured {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Everything that was printed.
    pub bytes: u64,
    /// Whether the child has closed its end of the pipe.
    pub is_closed: bool,
}

impl Captured {
    /// Reads what the pipe holds now; never waits.
    pub fn drain(&mut self, pipe: &mut impl Read) {
        let mut buffer = [0; 1 << 16];
        // Bounded, so that a candidate that prints endlessly cannot keep the judge in this loop.
        for _ in 0..64 {
            match pipe.read(&mut buffer) {
                Ok(0) => {
                    self.is_closed = true;
                    return;
                }
                Ok(length) => self.keep(&buffer[..length]),
                Err(_) => return,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = (KEPT / 2).saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend_from_slice(&bytes[room..]);
        let excess = self.tail.len().saturating_sub(KEPT / 2);
        self.tail.drain(..excess);
    }

    pub fn text(&self) -> String {
        let cut = self.bytes - (self.head.len() + self.tail.len()) as u64;
        let gap = if cut > 0 { format!("\n[... {cut} bytes ...]\n") } else { String::new() };
        format!("{}{gap}{}", String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&self.tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_of_the_output_are_kept() {
        let mut captured = Captured::default();
        captured.drain(&mut [b"begin".as_slice(), &vec![b'.'; 100_000], b"end"].concat().as_slice());
        let text = captured.text();
        assert!(text.starts_with("begin") && text.ends_with("end"), "{text}");
        assert!(text.len() < KEPT + 100);
        assert_eq!(captured.bytes, 100_008);
    }
}
