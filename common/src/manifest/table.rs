//! Delimited annotation tables: delimiter sniffed from the header, columns found by name, errors with line numbers.

use crate::regular_file::{self, LINES};
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
    let bytes = regular_file::read(path, LINES).map_err(Error::io(path))?;
    let text = decode(path, &bytes)?;
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b'|', b'\t', b',', b';']
        .into_iter()
        .find(|&d| {
            let unquoted = |n: &str| if d == b'|' { n.to_owned() } else { n.replace('"', "") };
            let names: Vec<String> = header.split(d as char).map(|n| unquoted(n).trim().to_owned()).collect();
            columns.iter().all(|c| names.iter().any(|n| n == c))
        })
        .ok_or_else(|| {
            Error::input(
                path,
                "line 1",
                format!("the header does not have all of the columns {}", columns.join(", ")),
                "is this the data set's own annotation file?",
            )
        })?;
    if let Some(line) = open_quote(text, delimiter).filter(|_| delimiter != b'|') {
        return Err(bad(path, line, "a quoted field begins here and is not closed before a delimiter"));
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter != b'|')
        .flexible(true)
        .from_reader(text.as_bytes());
    let names = reader.headers().map_err(|e| bad(path, 1, &e.to_string()))?.clone();
    let mut wanted = Vec::new();
    for column in columns {
        let find = names.iter().position(|n| n.trim() == *column);
        wanted.push(find.ok_or_else(|| bad(path, 1, &format!("no column {column}")))?);
    }
    let mut rows = Vec::new();
    let mut lines = LineCounter { text: text.as_bytes(), at: 0, line: 1 };
    for record in reader.records() {
        // Field counts are checked below and the text is UTF-8, so the reader has nothing to object to.
        let record = record.map_err(|e| bad(path, lines.line, &e.to_string()))?;
        let line = lines.of(record.position().map_or(0, |p| p.byte() as usize));
        if record.len() != names.len() {
            let what = format!("{} fields where the header has {}", record.len(), names.len());
            return Err(bad(path, line, &what));
        }
        let field = |&i: &usize| record.get(i).unwrap_or_default().trim().to_owned();
        rows.push(TableRow { line, fields: wanted.iter().map(field).collect() });
    }
    if rows.is_empty() {
        return Err(Error::input(path, "", "no rows below the header", "is the file complete?"));
    }
    Ok(rows)
}

/// Lines of byte positions that only grow. The reader's own count is off after CRLF and after empty lines.
struct LineCounter<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl LineCounter<'_> {
    /// The line of the record that begins at or, behind line ends, after `begin`.
    fn of(&mut self, begin: usize) -> usize {
        let blank = |b: &&u8| matches!(b, b'\n' | b'\r');
        let begin = begin + self.text[begin..].iter().take_while(blank).count();
        self.line += self.text[self.at..begin].iter().filter(|&&b| b == b'\n').count();
        self.at = begin;
        self.line
    }
}

/// The line where a quoted field begins that ends neither at a delimiter nor at a line end. The reader would take
/// what follows, up to the next quote, into that field, and rows would be missing without a word.
fn open_quote(text: &str, delimiter: u8) -> Option<usize> {
    let mut bytes = text.bytes().peekable();
    let mut line = 1;
    let mut field_begins = true;
    while let Some(byte) = bytes.next() {
        line += usize::from(byte == b'\n');
        if byte != b'"' || !field_begins {
            field_begins = byte == delimiter || byte == b'\n' || byte == b'\r';
            continue;
        }
        let opened = line;
        loop {
            match bytes.next() {
                None => return Some(opened),
                Some(b'"') if bytes.peek() == Some(&b'"') => _ = bytes.next(),
                Some(b'"') => break,
                Some(inside) => line += usize::from(inside == b'\n'),
            }
        }
        if bytes.peek().is_some_and(|&b| b != delimiter && b != b'\n' && b != b'\r') {
            return Some(opened);
        }
        field_begins = false;
    }
    None
}

/// The text of a UTF-8 file, without a byte-order mark.
pub(super) fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(e) => {
            let line = bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            let wide = [[0xFF, 0xFE], [0xFE, 0xFF]].iter().any(|mark| bytes.starts_with(mark));
            let from = if wide { "utf-16" } else { "ENCODING" };
            let hint = if wide { "" } else { " (latin1 for western languages, gb18030 for Chinese)" };
            let remedy = format!("convert it: iconv -f {from} -t utf-8{hint}");
            Err(Error::input(path, format!("line {line}"), "not UTF-8", remedy))
        }
    }
}

fn bad(path: &Path, line: usize, what: &str) -> Error {
    Error::input(path, format!("line {line}"), what, "correct the line, or fetch the file again")
}
