//! Conversions between the ids of [`candidate`](crate::values::candidate) and git2's.

use git2::Oid;

pub use crate::values::candidate::{BlobId, CommitId, NotAnId, TreeId};

pub(super) trait GitId: Sized {
    fn from_oid(oid: Oid) -> Self;
    fn oid(self) -> Oid;
}

macro_rules! git_id {
    ($($name:ident),*) => {
        $(impl GitId for $name {
            fn from_oid(oid: Oid) -> Self {
                Self(oid.as_bytes().try_into().expect("BUG: ids of git are 20 bytes"))
            }

            fn oid(self) -> Oid {
                Oid::from_bytes(&self.0).expect("BUG: ids of git are 20 bytes")
            }
        })*
    };
}

git_id!(BlobId, CommitId, TreeId);
