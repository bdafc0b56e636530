//! Naming the field in which two settings differ.

use serde_json::Value;

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
