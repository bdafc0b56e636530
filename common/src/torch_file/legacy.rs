//! The layout before PyTorch 1.6: five pickles in a row, then the storages.

use super::contents::{Contents, Located, at_byte, number};
use super::pickle::{self, Pickle, long};
use super::tensors::width;
use super::values::{Budget, Checked, Fault, Objects, Span, Value, damaged, shorten};
use std::collections::BTreeMap;
use std::ops::Range;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i64 = 1001;

/// Whether the bytes begin as such a file does: a pickle of the magic number.
pub(super) fn is_legacy(data: &[u8]) -> bool {
    data.starts_with(&[0x80]) && data.get(2) == Some(&0x8a)
}

/// Read the whole file.
pub(super) fn read(data: &[u8], budget: &mut Budget) -> Located<Contents> {
    let mut at = 0;
    let mut next = |part: &str| -> Located<Pickle> {
        let pickle = pickle::read(data, at, budget).map_err(|(at, fault)| at_byte(part, at, fault))?;
        at = pickle.end;
        Ok(pickle)
    };
    let head = |fault| ("header".to_owned(), fault);
    match next("magic number")?.root {
        Value::Long(span) if long(span.of(data)) == Some(MAGIC) => {}
        _ => return Err(head(not_torch())),
    }
    match next("protocol number")?.root {
        Value::Int(n) if n.int() == PROTOCOL => {}
        _ => return Err(head(not_torch())),
    }
    let system = next("system description")?;
    if is_big_endian(data, &system) {
        let fault = Fault {
            what: "its numbers are not little-endian".to_owned(),
            remedy: "save it on a machine of the usual byte order",
        };
        return Err(head(fault));
    }
    let main = next("object")?;
    let keys = next("storage list")?;
    let storages =
        locate(data, &keys, &main.objects, budget).map_err(|fault| ("storages".to_owned(), fault))?;
    Ok(Contents { pickle: 0..data.len(), root: main.root, objects: main.objects, storages })
}

fn is_big_endian(data: &[u8], system: &Pickle) -> bool {
    let Value::Dict(index) = system.root else { return false };
    let said = |pair: &&[Value]| matches!(pair[0], Value::Text(key) if key.of(data) == b"little_endian");
    let pair = system.objects.container(index).chunks_exact(2).find(said);
    pair.is_some_and(|pair| !matches!(pair[1], Value::Bool(true)))
}

/// Where the storages lie: in the order of the list, each a count and the numbers.
fn locate(data: &[u8], keys: &Pickle, objects: &Objects, budget: &mut Budget) -> Checked<Vec<Range<usize>>> {
    let Value::List(list) = keys.root else { return damaged("the list of storages is not a list") };
    budget.pay(objects.storages.len() * (48 + size_of::<Range<usize>>()))?;
    let index_of: BTreeMap<&[u8], usize> =
        objects.storages.iter().enumerate().map(|(index, s)| (s.key.of(data), index)).collect();
    let mut places = vec![None; objects.storages.len()];
    let mut at = keys.end;
    for key in keys.objects.container(list) {
        let key = match *key {
            Value::Text(span) => span,
            _ => Span { start: 0, len: 0 },
        };
        let name = shorten(key.of(data));
        let Some(&index) = index_of.get(key.of(data)) else {
            return damaged(format!("storage {name:?} belongs to no tensor"));
        };
        let storage = &objects.storages[index];
        if number(data, at, 8) != Some(storage.count) {
            return damaged(format!("storage {name:?} does not begin with its length, {}", storage.count));
        }
        let begin = at + 8;
        let bytes = storage.count.checked_mul(width(storage.kind));
        let end = bytes.and_then(|n| usize::try_from(n).ok()).and_then(|n| begin.checked_add(n));
        let Some(end) = end.filter(|&end| end <= data.len()) else {
            return damaged(format!("storage {name:?} continues beyond the end of the file"));
        };
        if places[index].replace(begin..end).is_some() {
            return damaged(format!("storage {name:?} is listed twice"));
        }
        at = end;
    }
    let mut ranges = Vec::with_capacity(places.len());
    for (place, storage) in places.into_iter().zip(&objects.storages) {
        let Some(range) = place else {
            return damaged(format!("storage {:?} is missing", shorten(storage.key.of(data))));
        };
        ranges.push(range);
    }
    Ok(ranges)
}

fn not_torch() -> Fault {
    Fault {
        what: "a pickle, but not one of torch.save".to_owned(),
        remedy: "give a .pt, .pth or .safetensors file of weights",
    }
}
