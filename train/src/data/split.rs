//! The name of a split.

use signclip_common::{Error, Result};

/// A split is the name of a folder, not a way to one. `name` is the flag or field that gives it.
pub fn check_split(name: &str, split: &str) -> Result<()> {
    if split.contains(['/', '\\']) || ["", ".", ".."].contains(&split) {
        return Err(Error::usage(
            format!("{name} {split:?} is not a split"),
            "give the name of one: train, dev or test",
        ));
    }
    Ok(())
}
