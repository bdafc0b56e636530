//! Arrays of NumPy as a pickle describes them: by `_reconstruct` and a state, or by `_frombuffer`. Nothing is called:
//! type, shape and bytes are noted, and read when they are asked for.

use super::machine::Machine;
use super::values::{ArrayContent, Checked, NumpyArray, NumpyType, Objects, Span, Value};

/// `_reconstruct(ndarray, (0,), b"b")`: an array without content.
pub(super) fn reconstruct(machine: &mut Machine) -> Checked<Value> {
    add(machine, NumpyArray::default())
}

/// `_frombuffer(bytes, dtype, shape, order)`.
pub(super) fn from_buffer(machine: &mut Machine, arguments: Span) -> Checked<Value> {
    let content = match *arguments.of(&machine.objects.items) {
        [bytes, Value::Dtype(dtype), Value::Tuple(shape), Value::Text(order), ..] => {
            Some(ArrayContent { shape, dtype, fortran: order.of(machine.data) == b"F", bytes })
        }
        _ => None,
    };
    add(machine, NumpyArray { content })
}

fn add(machine: &mut Machine, array: NumpyArray) -> Checked<Value> {
    let index = machine.objects.arrays.len() as u32;
    machine.budget.push(&mut machine.objects.arrays, array)?;
    Ok(Value::Array(index))
}

/// `dtype("f8", False, True)`; anything but a text makes something opaque.
pub(super) fn dtype(machine: &mut Machine, arguments: Span) -> Checked<Value> {
    let Some(&Value::Text(code)) = arguments.of(&machine.objects.items).first() else {
        return Ok(Value::Opaque);
    };
    let index = machine.objects.dtypes.len() as u32;
    machine.budget.push(&mut machine.objects.dtypes, NumpyType { code, big_endian: false })?;
    Ok(Value::Dtype(index))
}

/// `encode(text, "latin1")`: bytes as protocol 2 writes them.
pub(super) fn encode(machine: &Machine, arguments: Span) -> Value {
    match *arguments.of(&machine.objects.items) {
        [Value::Text(text), Value::Text(coding)] if coding.of(machine.data) == b"latin1" => {
            Value::Latin1(text)
        }
        _ => Value::Opaque,
    }
}

/// `__setstate__` of an array: (version, shape, dtype, whether in Fortran order, bytes).
pub(super) fn set_array(objects: &mut Objects, index: u32, state: Value) {
    let Value::Tuple(state) = state else { return };
    if let [_, Value::Tuple(shape), Value::Dtype(dtype), Value::Bool(fortran), bytes] =
        *state.of(&objects.items)
        && let Some(array) = objects.arrays.get_mut(index as usize)
    {
        array.content = Some(ArrayContent { shape, dtype, fortran, bytes });
    }
}

/// `__setstate__` of a type: (version, order of bytes, …).
pub(super) fn set_dtype(objects: &mut Objects, data: &[u8], index: u32, state: Value) {
    let Value::Tuple(state) = state else { return };
    if let [_, Value::Text(order), ..] = *state.of(&objects.items)
        && let Some(dtype) = objects.dtypes.get_mut(index as usize)
    {
        dtype.big_endian = order.of(data) == b">";
    }
}
