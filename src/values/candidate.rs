//! Numbers of candidates and ids of git objects.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The number of a candidate; the seed program is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CandidateId(pub u64);

impl CandidateId {
    pub const SEED: Self = Self(0);

    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("BUG: more candidates than memory")
    }
}

impl fmt::Display for CandidateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not an object id: expected 40 lower-case hexadecimal digits")]
pub struct NotAnId(pub String);

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 20]);

        impl $name {
            pub fn short(&self) -> String {
                self.to_string()[..10].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;

            fn try_from(text: String) -> Result<Self, NotAnId> {
                parse(&text).map(Self).ok_or(NotAnId(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

fn parse(text: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    // hex takes capitals too, and then one id would have several spellings.
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

object_id! {
    /// The id of a commit: a candidate with its ancestors.
    CommitId
}
object_id! {
    /// The id of a tree: the files of a candidate.
    TreeId
}
object_id! {
    /// The id of a blob. Equal programs have equal ids.
    BlobId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_forty_lower_case_digits() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(BlobId::try_from(text.to_owned()).unwrap().to_string(), text);
        assert_eq!(CommitId::try_from(text.to_owned()).unwrap().short(), "0123456789");
        for wrong in ["", "0123", &text.to_uppercase(), &text.replace('0', "g")] {
            assert!(CommitId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
