//! The pickle machine: protocols 0 to 5 as checkpoints use them, building [`Objects`] and executing nothing.

use super::arrays;
use super::globals;
use super::machine::{DEEPEST, Machine, too_deep, truncated};
use super::tensors;
use super::values::{Budget, Checked, Fault, Objects, Role, Span, Value, damaged, shorten};

/// A complete pickle.
pub(super) struct Pickle {
    pub(super) root: Value,
    pub(super) objects: Objects,
    /// Where the bytes after it begin.
    pub(super) end: usize,
}

/// Read the pickle that begins at `start`. On failure: where, and why.
pub(super) fn read(data: &[u8], start: usize, budget: &mut Budget) -> Result<Pickle, (usize, Fault)> {
    let mut machine = Machine::new(data, start, budget);
    loop {
        let at = machine.position;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                let Machine { objects, stack, memo, position, budget, .. } = machine;
                budget.free(stack);
                budget.free(memo);
                return Ok(Pickle { root, objects, end: position });
            }
            Err(fault) => return Err((at, fault)),
        }
    }
}

impl Machine<'_> {
    /// Carry out one opcode; the root once the pickle ends.
    fn step(&mut self) -> Checked<Option<Value>> {
        let opcode = self.byte()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            b'(' => {
                if self.marks.len() >= DEEPEST {
                    return too_deep();
                }
                self.budget.push(&mut self.marks, self.stack.len() as u32)?;
            }
            b'0' if self.marks.last().is_some_and(|&m| m as usize == self.stack.len()) => {
                self.marks.pop();
            }
            b'0' => drop(self.pop()?),
            b'1' => self.drop_to_mark()?,
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool(opcode == 0x88))?,
            b'K' | b'M' => {
                let n = self.unsigned(if opcode == b'K' { 1 } else { 2 })?;
                self.push(Value::int(n as i64))?;
            }
            b'J' => {
                let n = self.unsigned(4)? as u32;
                self.push(Value::int(i64::from(n as i32)))?;
            }
            0x8a | 0x8b => {
                let span = self.sized(if opcode == 0x8a { 1 } else { 4 })?;
                let value = small_long(span.of(self.data)).map_or(Value::Long(span), Value::int);
                self.push(value)?;
            }
            b'I' | b'L' | b'F' | b'S' | b'V' => {
                let value = self.text_literal(opcode)?;
                self.push(value)?;
            }
            b'G' => {
                let span = self.span(8)?;
                let bytes = span.of(self.data).iter().fold(0, |bits, &b| bits << 8 | u64::from(b));
                self.push(Value::float(f64::from_bits(bytes)))?;
            }
            b'X' | 0x8c | 0x8d | b'U' | b'T' => {
                let span = self.sized(match opcode {
                    0x8c | b'U' => 1,
                    0x8d => 8,
                    _ => 4,
                })?;
                let valid = std::str::from_utf8(span.of(self.data)).is_ok();
                match (valid, matches!(opcode, b'U' | b'T')) {
                    (true, _) => self.push(Value::Text(span))?,
                    // The byte strings of Python 2.
                    (false, true) => self.push(Value::Bytes(span))?,
                    (false, false) => return damaged("a text is not UTF-8"),
                }
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                let span = self.sized(match opcode {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                })?;
                self.push(Value::Bytes(span))?;
            }
            b')' => self.tuple(self.stack.len())?,
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start = self.below(count)?;
                self.tuple(start)?;
            }
            b't' => {
                let start = self.pop_mark()?;
                self.tuple(start)?;
            }
            b']' | b'}' => {
                if self.marks.is_empty() && self.stack.len() > DEEPEST {
                    return too_deep();
                }
                let value = self.container(opcode == b'}')?;
                self.push(value)?;
            }
            b'l' | b'd' => {
                let start = self.pop_mark()?;
                let value = self.container(opcode == b'd')?;
                self.fill(value, start)?;
                self.push(value)?;
            }
            b'a' | b's' => {
                let start = self.below(if opcode == b'a' { 1 } else { 2 })?;
                self.fill_top(start)?;
            }
            b'e' | b'u' | 0x90 => {
                let start = self.pop_mark()?;
                self.fill_top(start)?;
            }
            0x8f => self.push(Value::Opaque)?,
            0x91 => {
                self.drop_to_mark()?;
                self.push(Value::Opaque)?;
            }
            b'p' | b'q' | b'r' | 0x94 => self.memoize(opcode)?,
            b'g' | b'h' | b'j' => {
                let index = self.memo_index(opcode, b'g', b'h')?;
                match self.memo.get(index).copied().flatten() {
                    Some(value) => self.push(value)?,
                    None => return damaged(format!("refers to object {index}, which is not there")),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = tensors::storage(self, id)?;
                self.push(storage)?;
            }
            0x80 => {
                let protocol = self.byte()?;
                if protocol > 5 {
                    return damaged(format!("pickle protocol {protocol} is unknown (0 to 5 are)"));
                }
            }
            0x95 => {
                let length = self.unsigned(8)?;
                if length > (self.data.len() - self.position) as u64 {
                    return truncated();
                }
            }
            _ => self.call(opcode)?,
        }
        Ok(None)
    }

    /// The opcodes by which Python would import, make or call something.
    fn call(&mut self, opcode: u8) -> Checked<()> {
        match opcode {
            b'c' | b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let global = self.global(module, name)?;
                if opcode == b'c' {
                    return self.push(Value::Global(global));
                }
                self.drop_to_mark()?;
                let made = self.instance(Value::Global(global))?;
                self.push(made)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return damaged("a name that is asked for is not text");
                };
                let global = self.global(module, name)?;
                self.push(Value::Global(global))
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.reduce(callable, arguments)?;
                self.push(made)
            }
            0x81 | 0x92 => {
                self.pop()?;
                if opcode == 0x92 {
                    self.pop()?;
                }
                let class = self.pop()?;
                let made = self.instance(class)?;
                self.push(made)
            }
            b'o' => {
                let start = self.pop_mark()?;
                let class = self.stack.get(start).copied();
                self.stack.truncate(start);
                let made = self.instance(class.unwrap_or(Value::None))?;
                self.push(made)
            }
            b'b' => {
                let state = self.pop()?;
                match self.top()? {
                    Value::Opaque | Value::Dict(_) => Ok(()),
                    Value::Array(index) => {
                        arrays::set_array(&mut self.objects, index, state);
                        Ok(())
                    }
                    Value::Dtype(index) => {
                        arrays::set_dtype(&mut self.objects, self.data, index, state);
                        Ok(())
                    }
                    _ => damaged("sets the state of something that has none"),
                }
            }
            other => damaged(format!("pickle opcode 0x{other:02x} is not one a checkpoint needs")),
        }
    }

    fn global(&mut self, module: Span, name: Span) -> Checked<u32> {
        let key = (module.of(self.data), name.of(self.data));
        if let Some(&index) = self.globals.get(&key) {
            return Ok(index);
        }
        let role = globals::role(key.0, key.1)?;
        let index = self.objects.globals.len() as u32;
        self.budget.pay(64)?;
        self.budget.push(&mut self.objects.globals, super::values::Global { module, name, role })?;
        self.globals.insert(key, index);
        Ok(index)
    }

    /// What a class makes: a dictionary, or something opaque.
    fn instance(&mut self, class: Value) -> Checked<Value> {
        match class {
            Value::Global(index) => match self.role(index) {
                Role::Mapping => self.container(true),
                Role::Opaque | Role::Dtype => Ok(Value::Opaque),
                _ => damaged("makes an instance of something that is not a class"),
            },
            _ => damaged("makes an instance of something that is not a class"),
        }
    }

    fn reduce(&mut self, callable: Value, arguments: Value) -> Checked<Value> {
        let (Value::Global(index), Value::Tuple(arguments)) = (callable, arguments) else {
            return damaged("calls something that is not a name with a tuple of arguments");
        };
        let first = arguments.of(&self.objects.items).first().copied();
        match self.role(index) {
            Role::Opaque => Ok(Value::Opaque),
            Role::Reconstruct => arrays::reconstruct(self),
            Role::FromBuffer => arrays::from_buffer(self, arguments),
            Role::Dtype => arrays::dtype(self, arguments),
            Role::Encode => Ok(arrays::encode(self, arguments)),
            Role::RebuildTensor => tensors::rebuild(self, arguments),
            Role::RebuildParameter => match first {
                Some(Value::Tensor(tensor)) => Ok(Value::Tensor(tensor)),
                _ => damaged("a parameter is not made of a tensor"),
            },
            Role::Storage(_) => damaged(format!(
                "calls {}, which is only a type",
                shorten(self.objects.global_name(self.data, index).as_bytes())
            )),
            Role::Mapping => {
                let dict = self.container(true)?;
                // Python 2 hands over the pairs as a list of lists.
                if let (Value::Dict(target), Some(Value::List(pairs))) = (dict, first) {
                    for i in 0..self.objects.container(pairs).len() {
                        let pair = match self.objects.container(pairs)[i] {
                            Value::List(pair) => self.objects.container(pair),
                            Value::Tuple(pair) => pair.of(&self.objects.items),
                            _ => &[],
                        };
                        let &[key, value] = pair else { return damaged("a dictionary is not made of pairs") };
                        let table = &mut self.objects.containers[target as usize];
                        self.budget.extend(table, &[key, value])?;
                    }
                }
                Ok(dict)
            }
        }
    }
}

/// A two's complement number of up to eight bytes.
fn small_long(bytes: &[u8]) -> Option<i64> {
    let number = long(bytes)?;
    i64::try_from(number).ok()
}

/// A little-endian two's complement number of up to sixteen bytes.
pub(super) fn long(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > 16 {
        return None;
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut whole = [if negative { 0xff } else { 0 }; 16];
    whole[..bytes.len()].copy_from_slice(bytes);
    Some(i128::from_le_bytes(whole))
}
