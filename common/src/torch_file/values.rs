//! What a pickle builds, in flat tables: values are 12 bytes, texts stay in the file, nothing is nested in memory.
//!
//! Flat tables are what makes hostile files harmless: dropping and walking them needs no recursion, and every byte
//! they take is paid from a [`Budget`] before it is allocated.

use tch::Kind;

/// Why a file is refused; the caller adds file and place.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

/// Result of the parts of the reader that do not know the file's name.
pub(super) type Checked<T> = std::result::Result<T, Fault>;

/// Longer keys and names are refused: a pickle may use one long text as often as it likes, and comparing all of it each
/// time would take for ever.
pub(super) const LONGEST_KEY: usize = 512;

/// What helps where a file that was downloaded is damaged.
pub(super) const DAMAGED: &str = "download it again";
/// What helps where protocol 0 has written a text with an escape.
pub(super) const ESCAPED: &str = "load it in Python, and save it again with pickle.dump(..., protocol=4)";

/// The file is damaged in this way.
pub(super) fn damaged<T>(what: impl Into<String>) -> Checked<T> {
    Err(Fault { what: what.into(), remedy: DAMAGED })
}

/// `start..start + len`, in the bytes of a pickle or in [`Objects::items`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    /// The part of `table` it stands for; empty if there is none.
    pub(super) fn of<T>(self, table: &[T]) -> &[T] {
        let start = self.start as usize;
        table.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// 64 bits in two halves, without which a [`Value`] would be a third larger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide([u32; 2]);

impl Wide {
    fn new(bits: u64) -> Self {
        Self([bits as u32, (bits >> 32) as u32])
    }

    fn bits(self) -> u64 {
        u64::from(self.0[1]) << 32 | u64::from(self.0[0])
    }

    pub(super) fn int(self) -> i64 {
        self.bits() as i64
    }

    pub(super) fn float(self) -> f64 {
        f64::from_bits(self.bits())
    }
}

/// One object of a pickle.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(Wide),
    /// An integer beyond 64 bits: its little-endian two's complement bytes.
    Long(Span),
    Float(Wide),
    /// UTF-8, checked.
    Text(Span),
    Bytes(Span),
    /// UTF-8 whose letters are bytes.
    Latin1(Span),
    Tuple(Span),
    /// Index into [`Objects::containers`].
    List(u32),
    /// Likewise; keys and values alternate.
    Dict(u32),
    /// Index into [`Objects::globals`].
    Global(u32),
    /// Anything else, never looked into.
    Opaque,
    /// Index into [`Objects::storages`].
    Storage(u32),
    /// Index into [`Objects::tensors`].
    Tensor(u32),
    /// Index into [`Objects::arrays`].
    Array(u32),
    /// Index into [`Objects::dtypes`].
    Dtype(u32),
}

impl Value {
    pub(super) fn int(number: i64) -> Self {
        Self::Int(Wide::new(number as u64))
    }

    pub(super) fn float(number: f64) -> Self {
        Self::Float(Wide::new(number.to_bits()))
    }
}

/// What the reader does with a name that a pickle asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A dictionary by another name.
    Mapping,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
    /// Functions that make arrays of NumPy, its types of numbers, and bytes written as text.
    Reconstruct,
    FromBuffer,
    Dtype,
    Encode,
    /// Harmless and not looked into.
    Opaque,
}

/// A name that a pickle asks for.
#[derive(Debug)]
pub(super) struct Global {
    pub(super) module: Span,
    pub(super) name: Span,
    pub(super) role: Role,
}

/// A run of numbers that tensors are views of.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) key: Span,
    pub(super) kind: Kind,
    pub(super) count: u64,
}

/// A view of a storage; sizes and strides are integers in [`Objects::items`].
#[derive(Debug)]
pub(super) struct View {
    pub(super) storage: u32,
    pub(super) offset: u64,
    pub(super) sizes: Span,
    pub(super) strides: Span,
}

/// An array in the making; without `content` before its state was set, or where that was not understood.
#[derive(Debug, Default)]
pub(super) struct NumpyArray {
    pub(super) content: Option<ArrayContent>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ArrayContent {
    /// Integers in [`Objects::items`].
    pub(super) shape: Span,
    pub(super) dtype: u32,
    pub(super) fortran: bool,
    pub(super) bytes: Value,
}

/// A type of numbers: `f8`, and the order of its bytes.
#[derive(Debug)]
pub(super) struct NumpyType {
    pub(super) code: Span,
    pub(super) big_endian: bool,
}

/// Everything a pickle has built.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// The items of all tuples.
    pub(super) items: Vec<Value>,
    /// Lists, and dictionaries as keys and values in turn.
    pub(super) containers: Vec<Vec<Value>>,
    /// Which containers are dictionaries.
    pub(super) dictionaries: Vec<u32>,
    pub(super) globals: Vec<Global>,
    pub(super) storages: Vec<Storage>,
    pub(super) tensors: Vec<View>,
    pub(super) arrays: Vec<NumpyArray>,
    pub(super) dtypes: Vec<NumpyType>,
}

impl Objects {
    pub(super) fn container(&self, index: u32) -> &[Value] {
        self.containers.get(index as usize).map_or(&[], Vec::as_slice)
    }

    /// `module.name` of a global, cut to a length that fits a line.
    pub(super) fn global_name(&self, data: &[u8], index: u32) -> String {
        self.globals.get(index as usize).map_or_else(String::new, |g| {
            format!("{}.{}", shorten(g.module.of(data)), shorten(g.name.of(data)))
        })
    }
}

/// Bytes of a file as text for a message, not longer than a line.
pub(super) fn shorten(bytes: &[u8]) -> String {
    const LONGEST: usize = 100;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).into_owned();
    if bytes.len() > LONGEST { text + "…" } else { text }
}

/// Memory that may still be taken.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// What may be held at once for a file of `length` bytes: twice the file, and a little for small ones.
    pub(super) fn for_file(length: usize) -> Self {
        Self { left: length.saturating_mul(2).saturating_add(48 << 10) }
    }

    /// For a file of short texts, of which the tables take more than the file does.
    pub(super) fn for_texts(length: usize) -> Self {
        Self::for_file(length.saturating_mul(16))
    }

    pub(super) fn pay(&mut self, bytes: usize) -> Checked<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => return damaged("its objects would take more memory than twice the file"),
        }
        Ok(())
    }

    /// Append to a table; growth is paid for first.
    pub(super) fn push<T>(&mut self, table: &mut Vec<T>, item: T) -> Checked<()> {
        self.reserve(table, 1)?;
        table.push(item);
        Ok(())
    }

    /// Append all of `items` to a table.
    pub(super) fn extend<T: Copy>(&mut self, table: &mut Vec<T>, items: &[T]) -> Checked<()> {
        self.reserve(table, items.len())?;
        table.extend_from_slice(items);
        Ok(())
    }

    /// A table is gone.
    pub(super) fn free<T>(&mut self, table: Vec<T>) {
        self.left += table.capacity() * size_of::<T>();
    }

    fn reserve<T>(&mut self, table: &mut Vec<T>, extra: usize) -> Checked<()> {
        let free = table.capacity() - table.len();
        if extra > free {
            let more = (extra - free).max(table.capacity() / 2).max(2);
            // While a table moves, the old and the new one are both there.
            let old = table.capacity();
            self.pay((old + more) * size_of::<T>())?;
            table.reserve_exact(free + more);
            self.left += old * size_of::<T>();
        }
        Ok(())
    }
}
