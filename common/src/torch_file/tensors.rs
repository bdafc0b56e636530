//! Tensors as a pickle describes them: storages by key, views of them by offset, sizes and strides.

use super::machine::Machine;
use super::values::{
    Checked, Fault, LONGEST_KEY, Objects, Role, Span, Storage, Value, View, damaged, shorten,
};
use tch::Kind;

/// As many dimensions as torch allows.
const MOST_DIMENSIONS: u32 = 64;

/// Bytes of one number.
pub(super) fn width(kind: Kind) -> u64 {
    match kind {
        Kind::Double | Kind::Int64 => 8,
        Kind::Float | Kind::Int => 4,
        Kind::Half | Kind::BFloat16 | Kind::Int16 => 2,
        _ => 1,
    }
}

/// The storage that a persistent id `("storage", type, key, place, count)` names.
pub(super) fn storage(machine: &mut Machine, id: Value) -> Checked<Value> {
    let data = machine.data;
    let items = match id {
        Value::Tuple(span) => span.of(&machine.objects.items),
        _ => &[],
    };
    let (kind, key, count) = match *items {
        [Value::Text(tag), Value::Global(kind), key, _, Value::Int(count)]
        | [Value::Text(tag), Value::Global(kind), key, _, Value::Int(count), Value::None]
            if tag.of(data) == b"storage" =>
        {
            (kind, key, count)
        }
        [Value::Text(tag), _, _, _, _, Value::Tuple(_)] if tag.of(data) == b"storage" => {
            return Err(Fault {
                what: "a storage is part of another one, as before PyTorch 0.4".to_owned(),
                remedy: "load and save it once with a newer PyTorch",
            });
        }
        _ => return damaged("an external object is not a storage of numbers"),
    };
    let (Value::Text(key), Ok(count)) = (key, u64::try_from(count.int())) else {
        return damaged("a storage has no key, or a negative length");
    };
    let Some(Role::Storage(kind)) = machine.objects.globals.get(kind as usize).map(|g| g.role) else {
        return Err(Fault {
            what: format!("storage type {} is not supported", machine.objects.global_name(data, kind)),
            remedy: "save it as float32, float16 or bfloat16",
        });
    };
    let text = key.of(data);
    if text.len() > LONGEST_KEY {
        return damaged(format!("the key of a storage is longer than {LONGEST_KEY} bytes"));
    }
    if let Some(&index) = machine.storages.get(text) {
        let known = &machine.objects.storages[index as usize];
        if known.kind != kind || known.count != count {
            return damaged(format!("storage {:?} is described in two ways", shorten(text)));
        }
        return Ok(Value::Storage(index));
    }
    let index = machine.objects.storages.len() as u32;
    machine.budget.pay(48)?;
    machine.budget.push(&mut machine.objects.storages, Storage { key, kind, count })?;
    machine.storages.insert(text, index);
    Ok(Value::Storage(index))
}

/// `_rebuild_tensor_v2(storage, offset, sizes, strides, …)`.
pub(super) fn rebuild(machine: &mut Machine, arguments: Span) -> Checked<Value> {
    let (storage, offset, sizes, strides) = match *arguments.of(&machine.objects.items) {
        [Value::Storage(storage), Value::Int(offset), Value::Tuple(sizes), Value::Tuple(strides), ..] => {
            (storage, offset, sizes, strides)
        }
        _ => return damaged("a tensor is not made of storage, offset, sizes and strides"),
    };
    let Ok(offset) = u64::try_from(offset.int()) else { return damaged("a tensor's offset is negative") };
    let view = View { storage, offset, sizes, strides };
    check(&machine.objects, &view)?;
    let index = machine.objects.tensors.len() as u32;
    machine.budget.push(&mut machine.objects.tensors, view)?;
    Ok(Value::Tensor(index))
}

/// Sizes or strides as numbers.
pub(super) fn numbers(objects: &Objects, span: Span) -> impl Iterator<Item = Option<u64>> {
    span.of(&objects.items).iter().map(|value| match value {
        Value::Int(n) => u64::try_from(n.int()).ok(),
        _ => None,
    })
}

/// Refuse a view that leaves its storage, or uses a number of it twice.
fn check(objects: &Objects, view: &View) -> Checked<()> {
    let count = objects.storages[view.storage as usize].count;
    if view.sizes.len != view.strides.len || view.sizes.len > MOST_DIMENSIONS {
        return damaged(format!("a tensor has {} sizes and {} strides", view.sizes.len, view.strides.len));
    }
    let (mut elements, mut axes) = (1_u64, [(0_u64, 0_u64); MOST_DIMENSIONS as usize]);
    let mut used = 0;
    for (size, stride) in numbers(objects, view.sizes).zip(numbers(objects, view.strides)) {
        let (Some(size), Some(stride)) = (size, stride) else {
            return damaged("a tensor's size or stride is negative or not a number");
        };
        let Some(product) = elements.checked_mul(size) else {
            return damaged("a tensor has more elements than can be counted");
        };
        elements = product;
        if size != 1 {
            axes[used] = (stride, size);
            used += 1;
        }
    }
    if view.offset > count || elements > count {
        return damaged(format!(
            "a tensor of {elements} elements from {} on does not fit its storage of {count}",
            view.offset
        ));
    }
    if elements == 0 {
        return Ok(());
    }
    let axes = &mut axes[..used];
    axes.sort_unstable();
    // Elements are distinct if each stride steps over all that the smaller ones reach.
    let mut reach = 0_u64;
    for &(stride, size) in axes.iter() {
        if stride <= reach {
            return Err(Fault {
                what: "a tensor's strides overlap, so that it uses the same number twice".to_owned(),
                remedy: "save it after .contiguous()",
            });
        }
        let Some(next) = stride.checked_mul(size - 1).and_then(|n| n.checked_add(reach)) else {
            return damaged("a tensor's strides lead out of its storage");
        };
        reach = next;
    }
    // reach is below 2^64 and offset below count; their sum must not wrap.
    match view.offset.checked_add(reach) {
        Some(last) if last < count => Ok(()),
        _ => damaged(format!("a tensor's strides lead out of its storage of {count} elements")),
    }
}
