//! Event files as TensorBoard reads them: scalars over steps.
//!
//! A file is a sequence of records: length (8 bytes), masked CRC-32C of the length, an `Event` message, masked CRC-32C
//! of the message; all little-endian. The few fields that are used are written by hand
//! (`tensorboard/compat/proto/event.proto` and `summary.proto`).

use signclip_common::regular_file;
use signclip_common::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folder of the event files in a run's folder.
pub const FOLDER: &str = "tensorboard";

pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Begin a file in the run's folder for a run that has done `steps` updates. TensorBoard drops what earlier files
    /// say of what came after them, and keeps a validation after exactly these.
    pub fn create(folder: &Path, steps: u64) -> Result<Self> {
        let folder = folder.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        // TensorBoard takes the files of a folder in the order of their names.
        let name = format!("events.out.tfevents.{:020}.signclip.{}", nanoseconds(), std::process::id());
        let path = folder.join(name);
        let file = regular_file::create_new(&path).map_err(Error::io(&path))?;
        let mut events = Self { file, path };
        events.event(0, &field(3, &Value::Bytes(b"brain.Event:2")))?;
        // SessionLog { status: START } drops its own step too. Without earlier files it drops nothing.
        events.event(steps + 1, &field(7, &Value::Bytes(&field(1, &Value::Varint(1)))))?;
        Ok(events)
    }

    /// Values after `steps` updates, by name: `loss/total`.
    pub fn scalars(&mut self, steps: u64, values: &[(&str, f64)]) -> Result<()> {
        let value = |(tag, value): &(&str, f64)| {
            let mut message = field(1, &Value::Bytes(tag.as_bytes()));
            message.extend(field(2, &Value::Fixed32((*value as f32).to_le_bytes())));
            field(1, &Value::Bytes(&message))
        };
        let summary: Vec<u8> = values.iter().flat_map(value).collect();
        self.event(steps, &field(5, &Value::Bytes(&summary)))
    }

    fn event(&mut self, step: u64, what: &[u8]) -> Result<()> {
        let mut event = field(1, &Value::Fixed64((nanoseconds() as f64 * 1e-9).to_le_bytes()));
        event.extend(field(2, &Value::Varint(step)));
        event.extend(what);
        self.file.write_all(&record(&event)).map_err(Error::io(&self.path))
    }
}

fn nanoseconds() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos())
}

/// A field of a protobuf message.
enum Value<'v> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'v [u8]),
    Fixed32([u8; 4]),
}

fn field(number: u8, value: &Value) -> Vec<u8> {
    let (wire, content) = match value {
        Value::Varint(n) => (0, varint(*n)),
        Value::Fixed64(bytes) => (1, bytes.to_vec()),
        Value::Bytes(bytes) => (2, [varint(bytes.len() as u64), bytes.to_vec()].concat()),
        Value::Fixed32(bytes) => (5, bytes.to_vec()),
    };
    [vec![number << 3 | wire], content].concat()
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

/// An event with its lengths and checksums.
fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let masked = |bytes: &[u8]| crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    [&length, masked(&length).as_slice(), event, &masked(event)].concat()
}

/// CRC-32C (Castagnoli), bit by bit: a few hundred bytes a step.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// RFC 3720, B.4.
    #[test]
    fn checksums_of_the_standard() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    /// The fields of a message as (number, content), in their order; numbers of a fixed width as their bytes.
    fn fields(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut fields = Vec::new();
        while let Some((&key, rest)) = bytes.split_first() {
            let number = |rest: &mut &[u8]| {
                let mut n = 0;
                for shift in (0..).step_by(7) {
                    let (&byte, after) = rest.split_first().expect("a whole number");
                    (n, *rest) = (n | u64::from(byte & 0x7f) << shift, after);
                    if byte < 0x80 {
                        return n;
                    }
                }
                n
            };
            let mut rest = rest;
            let length = match key & 7 {
                0 => {
                    fields.push((key >> 3, number(&mut rest).to_le_bytes().to_vec()));
                    0
                }
                1 => 8,
                2 => number(&mut rest) as usize,
                _ => 4,
            };
            if key & 7 != 0 {
                fields.push((key >> 3, rest[..length].to_vec()));
            }
            bytes = &rest[length..];
        }
        fields
    }

    #[test]
    fn what_is_written_is_read_back() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let mut events = EventFile::create(folder.path(), 300)?;
        events.scalars(300, &[("loss/total", 2.5), ("loss/vt", -0.125)])?;
        let bytes = std::fs::read(&events.path).map_err(Error::io(&events.path))?;
        let (mut rest, mut messages) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes")) as usize;
            let message = &rest[12..12 + length];
            let unmask = |at: usize| {
                let masked = u32::from_le_bytes(rest[at..at + 4].try_into().expect("4 bytes"));
                masked.wrapping_sub(0xa282_ead8).rotate_left(15)
            };
            assert_eq!((unmask(8), unmask(12 + length)), (crc32c(&rest[..8]), crc32c(message)));
            messages.push(fields(message));
            rest = &rest[16 + length..];
        }
        let step = |n: u64| (2, n.to_le_bytes().to_vec());
        assert!(messages.iter().all(|m| m[0].0 == 1 && m[0].1.len() == 8), "a time");
        assert_eq!(messages[0][1..], [step(0), (3, b"brain.Event:2".to_vec())]);
        assert_eq!(messages[1][1], step(301));
        assert_eq!(fields(&messages[1][2].1), [(1, 1_u64.to_le_bytes().to_vec())]);
        assert_eq!(messages[2][1], step(300));
        assert_eq!(messages[2][2].0, 5);
        let scalars: BTreeMap<String, f32> = fields(&messages[2][2].1)
            .iter()
            .map(|(_, value)| {
                let value = fields(value);
                let number = f32::from_le_bytes(value[1].1.as_slice().try_into().expect("4 bytes"));
                (String::from_utf8_lossy(&value[0].1).into_owned(), number)
            })
            .collect();
        assert_eq!(scalars, BTreeMap::from([("loss/total".to_owned(), 2.5), ("loss/vt".to_owned(), -0.125)]));
        Ok(())
    }
}
