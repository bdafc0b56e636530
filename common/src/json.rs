//! Values as JSON. Writing fails where a path is not UTF-8: an empty text in its place would make two different
//! descriptions equal.

use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value;

/// A value as JSON.
pub fn value(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(refused)
}

/// On one line, with its end.
pub fn line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(refused)
}

/// On indented lines, with the end of the last one.
pub fn pretty(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(refused)
}

fn refused(error: serde_json::Error) -> Error {
    let remedy = "JSON holds UTF-8 only: rename what has another name, or link to it";
    Error::usage(format!("this cannot be written as JSON: {error}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    #[test]
    fn a_name_that_is_not_utf8_is_an_error() {
        let bad = Path::new(OsStr::from_bytes(b"/data/\xff"));
        for error in [value(&bad).err(), line(&bad).err(), pretty(&bad).err()] {
            let text = error.expect("an error").to_string();
            assert!(text.contains("UTF-8") && text.contains("; "), "{text}");
        }
        assert_eq!(line(&["a"]).unwrap(), "[\"a\"]\n");
    }
}
