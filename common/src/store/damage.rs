//! What is said of a store's file that cannot be used.

use crate::Error;
use std::path::Path;

/// What to do about a file that is whole and says something else than the format wants: it is more likely of another
/// program, or of another version of this one, than damaged.
pub(super) const NOT_OURS: &str = "if another program or another version of this one made the store, write what cache/README.md lists; \
    else the file is damaged: move the folder away and extract again";

/// A store file that cannot be trusted.
pub(super) fn damaged(path: &Path, place: &str, what: &str) -> Error {
    Error::input(
        path,
        place,
        what,
        "the store is damaged here; move the split's folder away and extract again",
    )
}
