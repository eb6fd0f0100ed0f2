//! Ids: names of objects in the archive, a type for each kind, so that a commit is not taken for a blob.

use std::fmt;
use std::str::FromStr;

use git2::Oid;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Text that is no id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no object id: 40 lower-case hexadecimal digits are")]
pub struct InvalidId(String);

fn parse(text: &str) -> Result<Oid, InvalidId> {
    let invalid = || InvalidId(text.to_owned());
    // git2 takes fewer digits too, and capitals.
    if text.len() != 40 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(invalid());
    }
    Oid::from_str(text).map_err(|_| invalid())
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Oid);

        impl $name {
            pub(super) fn from_oid(oid: Oid) -> Self {
                Self(oid)
            }

            pub(super) fn oid(self) -> Oid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

typed_id! {
    /// A commit: a candidate. 40 hexadecimal digits in text and in JSON.
    CommitId
}

typed_id! {
    /// A tree: the files of a candidate.
    TreeId
}

typed_id! {
    /// A blob: bytes, such as a program, a proposal or evidence.
    BlobId
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn ids_are_forty_hex_digits_in_text_and_in_json() {
        let id: CommitId = HEX.parse().unwrap();
        assert_eq!(id.to_string(), HEX);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{HEX}\""));
        assert_eq!(serde_json::from_str::<CommitId>(&json).unwrap(), id);
    }

    #[test]
    fn other_text_is_no_id() {
        for text in ["", "0123", &HEX[1..], &format!("{HEX}0"), &HEX.to_uppercase(), &HEX.replace('0', "g")] {
            assert_eq!(text.parse::<BlobId>(), Err(InvalidId(text.to_owned())));
        }
    }
}
