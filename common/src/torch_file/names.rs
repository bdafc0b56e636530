//! Paths of the objects of a checkpoint: `model.encoder.layer_norm.weight`, `optimizer_history[0].num_updates`.

use super::contents::Located;
use super::values::{Budget, Checked, Fault, LONGEST_KEY, Objects, Value, damaged, shorten};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Deeper than any checkpoint keeps tensors.
const DEEPEST: usize = 64;
const LONGEST_PATH: usize = 1024;
const REMEDY: &str = "save only the state_dict, with plain names";

/// A container on the way, and how much of the path leads to it.
struct Step {
    value: Value,
    next: usize,
    path: usize,
}

/// All tensors that can be reached through dictionaries, lists and tuples, by path.
pub(super) fn tensors(
    data: &[u8],
    root: Value,
    objects: &Objects,
    budget: &mut Budget,
) -> Located<BTreeMap<String, u32>> {
    let whole = |fault| ("objects".to_owned(), fault);
    unique_keys(data, objects, budget).map_err(whole)?;
    let mut found = BTreeMap::new();
    let mut path = String::new();
    let mut steps = vec![Step { value: root, next: 0, path: 0 }];
    // An object may be reached on several ways; their number must not explode.
    let values = objects.items.len() + objects.containers.iter().map(Vec::len).sum::<usize>();
    let mut visits = values.saturating_mul(4).saturating_add(1000);
    if let Value::Tensor(tensor) = root {
        found.insert(String::new(), tensor);
    }
    while let Some(step) = steps.last_mut() {
        path.truncate(step.path);
        let Some((key, value)) = child(objects, step.value, step.next) else {
            steps.pop();
            continue;
        };
        step.next += 1;
        visits -= 1;
        if visits == 0 {
            return Err(whole(Fault { what: "its objects contain each other".to_owned(), remedy: REMEDY }));
        }
        if !matches!(value, Value::Tensor(_) | Value::Dict(_) | Value::List(_) | Value::Tuple(_)) {
            continue;
        }
        if !extend(&mut path, key, data) {
            continue;
        }
        let refuse = |what: &str| (shorten(path.as_bytes()), Fault { what: what.to_owned(), remedy: REMEDY });
        if path.len() > LONGEST_PATH {
            return Err(refuse("the path is longer than 1024 bytes"));
        }
        if let Value::Tensor(tensor) = value {
            budget.pay(path.len() + 64).map_err(whole)?;
            if found.insert(path.clone(), tensor).is_some() {
                return Err(refuse("two tensors have this path"));
            }
        } else if steps.len() >= DEEPEST {
            return Err(refuse("objects are nested more than 64 deep"));
        } else {
            steps.push(Step { value, next: 0, path: path.len() });
        }
    }
    Ok(found)
}

/// The object at a path, found step by step; keys that contain dots cannot be reached.
pub(super) fn find(data: &[u8], root: Value, objects: &Objects, path: &str) -> Option<Value> {
    let mut value = root;
    for part in path.split('.') {
        let (key, indices) = part.split_once('[').unwrap_or((part, ""));
        if !key.is_empty() {
            let Value::Dict(index) = value else { return None };
            let mut pairs = objects.container(index).chunks_exact(2);
            value = pairs.find_map(|pair| match pair[0] {
                Value::Text(text) if text.of(data) == key.as_bytes() => Some(pair[1]),
                Value::Int(n) if n.int().to_string() == key => Some(pair[1]),
                _ => None,
            })?;
        }
        for index in indices.split_terminator(']') {
            let index: usize = index.trim_start_matches('[').parse().ok()?;
            value = *match value {
                Value::List(list) => objects.container(list).get(index)?,
                Value::Tuple(span) => span.of(&objects.items).get(index)?,
                _ => return None,
            };
        }
    }
    Some(value)
}

/// The child number `next` of a container: its key (none in lists) and itself.
fn child(objects: &Objects, parent: Value, next: usize) -> Option<(Key, Value)> {
    match parent {
        Value::Dict(index) => {
            let pair = objects.container(index).get(2 * next..2 * next + 2)?;
            Some((Key::Name(pair[0]), pair[1]))
        }
        Value::List(index) => Some((Key::Index(next), *objects.container(index).get(next)?)),
        Value::Tuple(span) => Some((Key::Index(next), *span.of(&objects.items).get(next)?)),
        _ => None,
    }
}

enum Key {
    Name(Value),
    Index(usize),
}

/// Append a key to a path. False for keys that are neither text nor number: what they lead to has no name.
fn extend(path: &mut String, key: Key, data: &[u8]) -> bool {
    let dot = if path.is_empty() { "" } else { "." };
    let written = match key {
        Key::Index(index) => write!(path, "[{index}]"),
        Key::Name(Value::Int(n)) => write!(path, "{dot}{}", n.int()),
        Key::Name(Value::Text(span)) => {
            write!(path, "{dot}{}", String::from_utf8_lossy(span.of(data)))
        }
        Key::Name(_) => return false,
    };
    written.is_ok()
}

/// Refuse a dictionary in which a text is a key twice: which value counts would be a guess.
fn unique_keys(data: &[u8], objects: &Objects, budget: &mut Budget) -> Checked<()> {
    let mut keys: Vec<&[u8]> = Vec::new();
    for &index in &objects.dictionaries {
        keys.clear();
        for pair in objects.container(index).chunks_exact(2) {
            let Value::Text(key) = pair[0] else { continue };
            let key = key.of(data);
            if key.len() > LONGEST_KEY {
                return damaged(format!("key {:?} is longer than {LONGEST_KEY} bytes", shorten(key)));
            }
            budget.push(&mut keys, key)?;
        }
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return damaged(format!("key {:?} is in a dictionary twice", shorten(pair[0])));
        }
    }
    budget.free(keys);
    Ok(())
}
