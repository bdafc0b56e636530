//! Delimited annotation tables: delimiter sniffed from the header, columns found by name, errors with line numbers.

use crate::{Error, Result};
use std::path::Path;

/// One row: line number in the file and the wanted columns in the order asked for.
pub(super) struct TableRow {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// Read `columns` of a delimited table. `|`-separated files are read without quoting, as PHOENIX14T's are; tab, comma
/// and semicolon follow the usual double-quote rules.
pub(super) fn read(path: &Path, columns: &[&str]) -> Result<Vec<TableRow>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let text = decode(path, &bytes)?;
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b'|', b'\t', b',', b';']
        .into_iter()
        .find(|&d| {
            let names: Vec<&str> = header.split(d as char).map(|n| n.trim().trim_matches('"')).collect();
            columns.iter().all(|c| names.contains(c))
        })
        .ok_or_else(|| {
            Error::input(
                path,
                "line 1",
                format!("the header lacks some of the columns {}", columns.join(", ")),
                "is this the data set's own annotation file?",
            )
        })?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter != b'|')
        .flexible(true)
        .from_reader(text.as_bytes());
    let names = reader.headers().map_err(|e| bad(path, 1, &e.to_string()))?.clone();
    let find = |column: &&str| names.iter().position(|n| n.trim() == *column).unwrap_or(usize::MAX);
    let wanted: Vec<usize> = columns.iter().map(find).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record =
            record.map_err(|e| bad(path, e.position().map_or(0, |p| p.line() as usize), &e.to_string()))?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        if record.len() != names.len() {
            return Err(bad(
                path,
                line,
                &format!("{} fields where the header has {}", record.len(), names.len()),
            ));
        }
        let field = |&i: &usize| record.get(i).unwrap_or_default().trim().to_owned();
        rows.push(TableRow { line, fields: wanted.iter().map(field).collect() });
    }
    if rows.is_empty() {
        return Err(Error::input(path, "", "no rows below the header", "is the file complete?"));
    }
    Ok(rows)
}

/// The text of a UTF-8 file, without a byte-order mark.
fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(e) => {
            let line = bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            Err(Error::input(
                path,
                format!("line {line}"),
                "not UTF-8",
                "convert it, for example: iconv -f latin1 -t utf-8",
            ))
        }
    }
}

fn bad(path: &Path, line: usize, what: &str) -> Error {
    Error::input(path, format!("line {line}"), what, "correct the line, or fetch the file again")
}
