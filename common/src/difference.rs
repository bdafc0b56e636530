//! Naming the field in which two settings differ.

use crate::{Result, json};
use serde::Serialize;
use serde_json::Value;

/// [`first`] of two values as JSON. Errors: one of them has no JSON, which must not pass as equal.
pub fn between<T: Serialize>(a: &T, b: &T) -> Result<Option<(String, String, String)>> {
    Ok(first(&json::value(a)?, &json::value(b)?))
}

/// The first field in which `a` and `b` differ, as a dotted path, with both values as text.
pub fn first(a: &Value, b: &Value) -> Option<(String, String, String)> {
    below("", a, b)
}

fn below(place: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
        names.sort();
        names.dedup();
        return names.into_iter().find_map(|name| {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            below(&place, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null))
        });
    }
    (a != b).then(|| (place.to_owned(), a.to_string(), b.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    #[test]
    fn what_cannot_be_compared_is_not_equal() {
        let place = |bytes: &[u8]| (PathBuf::from(OsStr::from_bytes(bytes)), 1);
        assert_eq!(between(&place(b"a"), &place(b"a")).unwrap(), None);
        assert!(between(&place(b"\xff"), &place(b"\xfe")).unwrap_err().to_string().contains("UTF-8"));
    }
}
