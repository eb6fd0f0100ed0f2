//! Token: the secret that lets a browser or a scraper read. It is drawn for each server, or kept in a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::serve::error::ServeError;
use crate::values::digest::Digest;

/// The fewest characters of a token in a file.
const LEAST: usize = 16;

#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one, of 128 bits.
    pub fn drawn() -> Self {
        Self(hex::encode(rand::random::<[u8; 16]>()))
    }

    /// The one in a file; a new one is written there if there is no file, and only its owner can read it.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds no token.
    pub fn kept_in(path: &Path) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Token { path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Ok(text) => {
                let token = text.trim();
                let is_token = token.len() >= LEAST && token.chars().all(|c| c.is_ascii_alphanumeric());
                let bad = || ServeError::BadToken { path: path.to_owned(), least: LEAST };
                is_token.then(|| Self(token.to_owned())).ok_or_else(bad)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = Self::drawn();
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
                writeln!(file, "{}", token.0).map_err(failed)?;
                Ok(token)
            }
            Err(source) => Err(failed(source)),
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a text is this token. Digests are compared, so that the time tells nothing about the characters.
    pub(super) fn is(&self, text: &str) -> bool {
        Digest::of(self.0.as_bytes()) == Digest::of(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_long_and_no_two_are_equal() {
        let (one, other) = (Token::drawn(), Token::drawn());
        assert!(one.text().len() == 32 && one.is(one.text()));
        assert!(!one.is(other.text()) && !one.is("") && !one.is(&one.text()[..31]));
    }

    #[test]
    fn a_file_keeps_its_token_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = Token::kept_in(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Token::kept_in(&path).unwrap().is(token.text()));
        for text in ["", "short", "not a token but words"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Token::kept_in(&path), Err(ServeError::BadToken { .. })), "{text:?}");
        }
        assert!(matches!(Token::kept_in(folder.path()), Err(ServeError::Token { .. })));
    }
}
