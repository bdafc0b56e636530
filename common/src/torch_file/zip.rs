//! The zip layout of PyTorch 1.6 and later: a pickle and raw storages, uncompressed, in one archive.
//!
//! Only the table of an archive is read, as places in the mapped file. General zip libraries keep several hundred
//! bytes per entry, which a table of tiny entries turns into many times the file.

use super::contents::{Contents, Located, at_byte, number};
use super::pickle;
use super::tensors::width;
use super::values::{Budget, Checked, Fault, LONGEST_KEY, Objects, damaged, shorten};
use std::cell::Cell;
use std::ops::Range;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// Whether the bytes begin as a zip archive does.
pub(super) fn is_zip(data: &[u8]) -> bool {
    data.starts_with(LOCAL)
}

/// Read the whole file: the pickle, and where each storage lies.
pub(super) fn read(data: &[u8], budget: &mut Budget) -> Located<Contents> {
    let records = table(data, budget).map_err(|fault| ("archive table".to_owned(), fault))?;
    let find = |name: &[u8]| {
        let index = records.binary_search_by(|r| r.name(data).cmp(name)).ok()?;
        Some(&records[index])
    };
    let mut pickles = records.iter().filter(|r| r.name(data).ends_with(b"/data.pkl"));
    let (Some(main), None) = (pickles.next(), pickles.next()) else {
        return Err(("archive table".to_owned(), not_torch("has no single data.pkl inside")));
    };
    let name = main.name(data);
    let root = &name[..name.len() - b"data.pkl".len()];
    if root.len() > LONGEST_KEY {
        return Err(("archive table".to_owned(), not_torch("has a folder name without end")));
    }
    let within = |fault| (shorten(name), fault);
    let order = find(&[root, b"byteorder"].concat());
    if let Some(order) = order {
        let range = order.payload(data).map_err(within)?;
        if &data[range] != b"little" {
            let fault = Fault {
                what: "its numbers are not little-endian".to_owned(),
                remedy: "save it on a machine of the usual byte order",
            };
            return Err((shorten(order.name(data)), fault));
        }
    }
    let pickle_range = main.payload(data).map_err(within)?;
    let pickle = pickle::read(&data[pickle_range.clone()], 0, budget)
        .map_err(|(at, fault)| at_byte("data.pkl", at, fault))?;
    if pickle.end != pickle_range.len() {
        let fault = not_torch("has more than one pickle in data.pkl");
        return Err(at_byte("data.pkl", pickle.end, fault));
    }
    let storages = locate(data, root, &pickle_range, &pickle.objects, budget, find)?;
    Ok(Contents { pickle: pickle_range, root: pickle.root, objects: pickle.objects, storages })
}

/// Where the storages lie, each in its record `data/KEY`.
fn locate<'a>(
    data: &[u8],
    root: &[u8],
    pickle: &Range<usize>,
    objects: &Objects,
    budget: &mut Budget,
    find: impl Fn(&[u8]) -> Option<&'a Record>,
) -> Located<Vec<Range<usize>>> {
    let mut storages = Vec::new();
    for storage in &objects.storages {
        let key = storage.key.of(&data[pickle.clone()]);
        let place = || format!("data/{}", shorten(key));
        let located = || -> Checked<Range<usize>> {
            let record = find(&[root, b"data/", key].concat());
            let Some(record) = record else { return damaged("this storage is missing") };
            let range = record.payload(data)?;
            if storage.count.checked_mul(width(storage.kind)) != Some(range.len() as u64) {
                return damaged(format!(
                    "the storage has {} bytes, but should hold {} numbers of {}",
                    range.len(),
                    storage.count,
                    width(storage.kind)
                ));
            }
            Ok(range)
        };
        let range = located().map_err(|fault| (place(), fault))?;
        budget.push(&mut storages, range).map_err(|fault| (place(), fault))?;
    }
    Ok(storages)
}

/// One entry of the table.
struct Record {
    name_start: usize,
    name_length: u16,
    compressed: bool,
    header: usize,
    size: usize,
    crc: u32,
    /// Whether the checksum has been compared: hostile files name one record many times.
    sound: Cell<bool>,
}

impl Record {
    fn name<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.name_start..self.name_start + usize::from(self.name_length)]
    }

    /// Its bytes, after the local header; their checksum must be right.
    fn payload(&self, data: &[u8]) -> Checked<Range<usize>> {
        if self.compressed {
            return Err(not_torch("is compressed inside"));
        }
        let header = data.get(self.header..).filter(|h| h.starts_with(LOCAL));
        let lengths = header.and_then(|h| Some(number(h, 26, 2)? + number(h, 28, 2)?));
        let begin = lengths.and_then(|n| self.header.checked_add(30)?.checked_add(n as usize));
        let range = begin.and_then(|begin| Some(begin..begin.checked_add(self.size)?));
        let Some(range) = range.filter(|r| r.end <= data.len()) else {
            return damaged(format!("record {:?} leads out of the file", shorten(self.name(data))));
        };
        // PyTorch can be told to write no checksums; then the field is 0.
        if self.crc != 0 && !self.sound.get() && crc32fast::hash(&data[range.clone()]) != self.crc {
            return damaged(format!("record {:?} differs from its checksum", shorten(self.name(data))));
        }
        self.sound.set(true);
        Ok(range)
    }
}

/// All entries, sorted by name; no name twice.
fn table(data: &[u8], budget: &mut Budget) -> Checked<Vec<Record>> {
    let Some((mut at, count)) = directory(data) else {
        return damaged("the archive has no end record: it is cut short");
    };
    let mut records = Vec::new();
    for _ in 0..count {
        let Some((record, length)) = entry(data, at) else {
            return damaged(format!("no valid entry at byte {at}"));
        };
        budget.push(&mut records, record)?;
        at += length;
    }
    records.sort_unstable_by(|a, b| a.name(data).cmp(b.name(data)));
    if let Some(pair) = records.windows(2).find(|pair| pair[0].name(data) == pair[1].name(data)) {
        return damaged(format!("record {:?} is there twice", shorten(pair[0].name(data))));
    }
    Ok(records)
}

/// Where the table begins, and its number of entries.
fn directory(data: &[u8]) -> Option<(usize, u64)> {
    const COMMENT: usize = 0xffff;
    let first = data.len().saturating_sub(22 + COMMENT);
    let end = (first..=data.len().checked_sub(22)?).rev().find(|&at| data[at..].starts_with(END))?;
    let record = &data[end..];
    let (count, begin) = (number(record, 10, 2)?, number(record, 16, 4)?);
    let locator = end.checked_sub(20).map(|at| &data[at..end]).filter(|l| l.starts_with(LOCATOR_64));
    let Some(locator) = locator else { return Some((usize::try_from(begin).ok()?, count)) };
    let record = data.get(usize::try_from(number(locator, 8, 8)?).ok()?..)?;
    let record = record.starts_with(END_64).then_some(record)?;
    Some((usize::try_from(number(record, 48, 8)?).ok()?, number(record, 32, 8)?))
}

/// The entry at a byte of the table, and its length there.
fn entry(data: &[u8], at: usize) -> Option<(Record, usize)> {
    let bytes = data.get(at..).filter(|b| b.starts_with(CENTRAL))?;
    let (name, extra, comment) = (number(bytes, 28, 2)?, number(bytes, 30, 2)?, number(bytes, 32, 2)?);
    let length = 46 + (name + extra + comment) as usize;
    let whole = bytes.get(..length)?;
    let encrypted = number(whole, 8, 2)? & 1 != 0;
    let (packed, size, header) = (number(whole, 20, 4)?, number(whole, 24, 4)?, number(whole, 42, 4)?);
    // Numbers too large for their field are in an extra field, in this order.
    let mut wide = wide_numbers(&whole[46 + name as usize..46 + (name + extra) as usize]);
    let mut widen = |n: u64| if n == 0xffff_ffff { wide.next() } else { Some(n) };
    let (size, packed, header) = (widen(size)?, widen(packed)?, widen(header)?);
    let record = Record {
        name_start: at + 46,
        name_length: name as u16,
        compressed: encrypted || number(whole, 10, 2)? != 0 || packed != size,
        header: usize::try_from(header).ok()?,
        size: usize::try_from(size).ok()?,
        crc: number(whole, 16, 4)? as u32,
        sound: Cell::new(false),
    };
    Some((record, length))
}

/// The numbers of the zip64 extra field.
fn wide_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let (Some(tag), Some(length)) = (number(extra, 0, 2), number(extra, 2, 2)) {
        let Some(field) = extra.get(4..4 + length as usize) else { break };
        if tag == 1 {
            found = field;
            break;
        }
        extra = &extra[4 + length as usize..];
    }
    found.chunks_exact(8).filter_map(|chunk| number(chunk, 0, 8))
}

fn not_torch(what: &str) -> Fault {
    Fault { what: format!("the archive {what}"), remedy: "give a file that torch.save wrote" }
}
