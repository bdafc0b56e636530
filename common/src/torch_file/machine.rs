//! The machine that a pickle is a program for: its operands, stack, marks and memo.

use super::values::{Budget, Checked, ESCAPED, Fault, Objects, Role, Span, Value, damaged};
use std::collections::BTreeMap;

/// Deeper than any checkpoint; Python's own pickler stops near it.
pub(super) const DEEPEST: usize = 1000;
/// How far ahead of its last entry a memo may be written: picklers count up.
const MEMO_GAP: usize = 256;

/// One pickle being read.
pub(super) struct Machine<'a> {
    pub(super) data: &'a [u8],
    pub(super) position: usize,
    pub(super) objects: Objects,
    pub(super) budget: &'a mut Budget,
    pub(super) storages: BTreeMap<&'a [u8], u32>,
    pub(super) stack: Vec<Value>,
    pub(super) marks: Vec<u32>,
    pub(super) memo: Vec<Option<Value>>,
    pub(super) globals: BTreeMap<(&'a [u8], &'a [u8]), u32>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(data: &'a [u8], position: usize, budget: &'a mut Budget) -> Self {
        Self {
            data,
            position,
            objects: Objects::default(),
            budget,
            storages: BTreeMap::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            globals: BTreeMap::new(),
        }
    }

    pub(super) fn role(&self, index: u32) -> Role {
        self.objects.globals.get(index as usize).map_or(Role::Opaque, |g| g.role)
    }

    pub(super) fn container(&mut self, dict: bool) -> Checked<Value> {
        let index = self.objects.containers.len() as u32;
        self.budget.push(&mut self.objects.containers, Vec::new())?;
        if !dict {
            return Ok(Value::List(index));
        }
        self.budget.push(&mut self.objects.dictionaries, index)?;
        Ok(Value::Dict(index))
    }

    pub(super) fn byte(&mut self) -> Checked<u8> {
        let Some(&byte) = self.data.get(self.position) else { return truncated() };
        self.position += 1;
        Ok(byte)
    }

    /// The next `length` bytes.
    pub(super) fn span(&mut self, length: u64) -> Checked<Span> {
        if length > (self.data.len() - self.position) as u64 {
            return truncated();
        }
        let (Ok(start), Ok(len)) = (u32::try_from(self.position), u32::try_from(length)) else {
            return damaged("the pickle is longer than 4 GiB");
        };
        self.position += length as usize;
        Ok(Span { start, len })
    }

    /// A little-endian number of up to eight bytes.
    pub(super) fn unsigned(&mut self, width: u64) -> Checked<u64> {
        let span = self.span(width)?;
        Ok(span.of(self.data).iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    /// Bytes after their length.
    pub(super) fn sized(&mut self, width: u64) -> Checked<Span> {
        let length = self.unsigned(width)?;
        self.span(length)
    }

    /// The rest of a line, without its end.
    pub(super) fn line(&mut self) -> Checked<Span> {
        let rest = &self.data[self.position..];
        let Some(length) = rest.iter().position(|&b| b == b'\n') else { return truncated() };
        let span = self.span(length as u64)?;
        self.position += 1;
        Ok(span)
    }

    fn line_text(&mut self) -> Checked<(Span, &str)> {
        let span = self.line()?;
        match std::str::from_utf8(span.of(self.data)) {
            Ok(text) => Ok((span, text)),
            Err(_) => damaged("a text is not UTF-8"),
        }
    }

    /// The literals of protocol 0, one a line.
    pub(super) fn text_literal(&mut self, opcode: u8) -> Checked<Value> {
        let (span, text) = self.line_text()?;
        let parsed = match opcode {
            b'I' if text == "00" || text == "01" => Some(Value::Bool(text == "01")),
            b'I' | b'L' => whole_number(text.trim_end_matches('L')),
            b'F' => text.parse().ok().map(Value::float),
            // Escapes would need a copy; torch has never written them.
            _ if text.contains('\\') => {
                return Err(Fault {
                    what: "a text with an escape, as protocol 0 writes it".to_owned(),
                    remedy: ESCAPED,
                });
            }
            b'V' => Some(Value::Text(span)),
            _ if span.len >= 2 && (text.starts_with('\'') || text.starts_with('"')) => {
                Some(Value::Text(Span { start: span.start + 1, len: span.len - 2 }))
            }
            _ => None,
        };
        parsed.map_or_else(|| damaged("a literal cannot be read"), Ok)
    }

    pub(super) fn push(&mut self, value: Value) -> Checked<()> {
        self.budget.push(&mut self.stack, value)
    }

    /// First index above the last mark.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |&m| m as usize)
    }

    pub(super) fn top(&self) -> Checked<Value> {
        let start = self.below(1)?;
        Ok(self.stack[start])
    }

    pub(super) fn pop(&mut self) -> Checked<Value> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Index of the topmost `count` values.
    pub(super) fn below(&self, count: usize) -> Checked<usize> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.floor() => Ok(start),
            _ => damaged("the pickle takes more objects than it made"),
        }
    }

    /// Index of the values above the last mark, which is taken away.
    pub(super) fn pop_mark(&mut self) -> Checked<usize> {
        match self.marks.pop() {
            Some(mark) => Ok(mark as usize),
            None => damaged("the pickle closes a group it did not open"),
        }
    }

    pub(super) fn drop_to_mark(&mut self) -> Checked<()> {
        let start = self.pop_mark()?;
        self.stack.truncate(start);
        Ok(())
    }

    /// Replace the values from `start` on by a tuple of them.
    pub(super) fn tuple(&mut self, start: usize) -> Checked<()> {
        let items = &mut self.objects.items;
        let span = Span { start: items.len() as u32, len: (self.stack.len() - start) as u32 };
        self.budget.extend(items, &self.stack[start..])?;
        self.stack.truncate(start);
        self.push(Value::Tuple(span))
    }

    /// Move the values from `start` on into the container below them.
    pub(super) fn fill_top(&mut self, start: usize) -> Checked<()> {
        let Some(target) = start.checked_sub(1).filter(|&t| t >= self.floor()) else {
            return damaged("the pickle takes more objects than it made");
        };
        self.fill(self.stack[target], start)
    }

    /// Move the values from `start` on into `target`.
    pub(super) fn fill(&mut self, target: Value, start: usize) -> Checked<()> {
        let items = &self.stack[start..];
        match target {
            Value::Dict(_) if !items.len().is_multiple_of(2) => return damaged("a key has no value"),
            Value::Dict(index) | Value::List(index) => {
                self.budget.extend(&mut self.objects.containers[index as usize], items)?;
            }
            Value::Opaque => {}
            _ => return damaged("adds items to something that holds none"),
        }
        self.stack.truncate(start);
        Ok(())
    }

    pub(super) fn memo_index(&mut self, opcode: u8, text: u8, short: u8) -> Checked<usize> {
        if opcode == text {
            let (_, text) = self.line_text()?;
            return text.parse().or_else(|_| damaged("a reference is not a number"));
        }
        Ok(self.unsigned(if opcode == short { 1 } else { 4 })? as usize)
    }

    /// Remember the topmost value.
    pub(super) fn memoize(&mut self, opcode: u8) -> Checked<()> {
        let index = if opcode == 0x94 { self.memo.len() } else { self.memo_index(opcode, b'p', b'q')? };
        if index > self.memo.len() + MEMO_GAP {
            return damaged(format!("object {index} is numbered out of order"));
        }
        let value = self.top()?;
        while self.memo.len() <= index {
            self.budget.push(&mut self.memo, None)?;
        }
        self.memo[index] = Some(value);
        Ok(())
    }
}

pub(super) fn truncated<T>() -> Checked<T> {
    damaged("the pickle ends in the middle")
}

pub(super) fn too_deep<T>() -> Checked<T> {
    damaged(format!("objects are nested more than {DEEPEST} deep"))
}

/// A decimal number of protocol 0; one beyond 64 bits is never looked into.
fn whole_number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match text.parse() {
        Ok(number) => Some(Value::int(number)),
        Err(_) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => Some(Value::Opaque),
        Err(_) => None,
    }
}
