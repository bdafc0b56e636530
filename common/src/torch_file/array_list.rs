//! Pickled lists of NumPy arrays, such as the landmarks that AV-HuBERT's preparation writes.

use super::pickle;
use super::tensors;
use super::values::{ArrayContent, Budget, Checked, DAMAGED, Fault, Objects, Value, damaged, shorten};
use crate::{Error, Result, weight_file};
use std::path::Path;

/// Bytes that copies of arrays may take, however short the file is: the same face in every frame of an hour.
const MOST_COPIED: usize = 128 << 20;

/// An array of a pickled list.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    /// In C order.
    pub values: Vec<f64>,
}

/// The pickled list of NumPy arrays (or `None`) in the file `path`, executing nothing. Errors: anything else, a name that
/// such a list does not need included.
pub fn read_arrays(path: &Path) -> Result<Vec<Option<Array>>> {
    let data = weight_file::map(path)?;
    let mut budget = Budget::for_file(data.len());
    let refuse = |place: String, what: String, remedy: &str| Error::input(path, place, what, remedy);
    let remedy = "write a list of arrays with pickle.dump, or one array with numpy.save";
    // Such a file was made on the spot, and a download does not bring it back.
    let remedy_of = |fault: &Fault| if fault.remedy == DAMAGED { remedy } else { fault.remedy };
    let pickle = pickle::read(&data, 0, &mut budget).map_err(|(at, fault)| {
        let remedy = remedy_of(&fault);
        refuse(format!("pickle byte {at}"), fault.what, remedy)
    })?;
    let Value::List(list) = pickle.root else {
        return Err(refuse(String::new(), "the pickle is not a list".to_owned(), remedy));
    };
    // An array may be in the list more than once, and must not be copied without end.
    let mut left = data.len().max(MOST_COPIED);
    let read = |(number, value): (usize, &Value)| match value {
        Value::None => Ok(None),
        Value::Array(index) => numbers(&data, &pickle.objects, *index, &mut left)
            .map(Some)
            .map_err(|fault| refuse(format!("item {number}"), fault.what, remedy)),
        _ => Err(refuse(
            format!("item {number}"),
            "neither a NumPy array of numbers nor None".to_owned(),
            remedy,
        )),
    };
    pickle.objects.container(list).iter().enumerate().map(read).collect()
}

fn numbers(data: &[u8], objects: &Objects, index: u32, left: &mut usize) -> Checked<Array> {
    let content = objects.arrays.get(index as usize).and_then(|array| array.content);
    let Some(ArrayContent { shape, dtype, fortran, bytes }) = content else {
        return damaged("the content of an array is not understood");
    };
    let shape: Option<Vec<usize>> =
        tensors::numbers(objects, shape).map(|n| usize::try_from(n?).ok()).collect();
    let count =
        shape.as_ref().and_then(|shape| shape.iter().try_fold(1_usize, |n, &axis| n.checked_mul(axis)));
    let (Some(shape), Some(count)) = (shape, count) else { return damaged("an array's shape is not one") };
    if fortran && shape.len() > 2 {
        return damaged("an array of more than two axes is in Fortran order");
    }
    let Some(dtype) = objects.dtypes.get(dtype as usize) else { return damaged("an array has no type") };
    let code = dtype.code.of(data);
    let width = match code {
        b"f8" | b"i8" | b"u8" => 8,
        b"f4" | b"i4" | b"u4" => 4,
        b"i2" | b"u2" => 2,
        b"i1" | b"u1" => 1,
        _ => return damaged(format!("numbers of the type {:?}", shorten(code))),
    };
    let bytes = match bytes {
        Value::Bytes(span) | Value::Text(span) => span.of(data).to_vec(),
        Value::Latin1(span) => {
            let text = std::str::from_utf8(span.of(data)).unwrap_or_default();
            text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>().unwrap_or_default()
        }
        _ => Vec::new(),
    };
    if Some(bytes.len()) != count.checked_mul(width) {
        return damaged(format!("an array of {count} numbers has {} bytes", bytes.len()));
    }
    let Some(rest) = left.checked_sub(bytes.len()) else { return damaged("the same array again and again") };
    *left = rest;
    let number = |bytes: &[u8]| {
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().zip(bytes.iter().rev()) {
            *to = *from;
        }
        if !dtype.big_endian {
            wide[..width].reverse();
        }
        // Little-endian now, in the first bytes; the sign moves up with them.
        let (bits, unused) = (u64::from_le_bytes(wide), 64 - 8 * width as u32);
        match code[0] {
            b'f' if width == 8 => f64::from_bits(bits),
            b'f' => f64::from(f32::from_bits(bits as u32)),
            b'i' => ((bits << unused) as i64 >> unused) as f64,
            _ => bits as f64,
        }
    };
    let values: Vec<f64> = bytes.chunks_exact(width).map(number).collect();
    let values = match shape[..] {
        [rows, columns] if fortran => {
            let row = |row| (0..columns).map(move |column| (row, column));
            (0..rows).flat_map(row).map(|(row, column)| values[column * rows + row]).collect()
        }
        _ => values,
    };
    Ok(Array { shape, values })
}
