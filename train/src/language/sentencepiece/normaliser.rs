//! SentencePiece's normalisation: its `normalizer.cc`.

use super::prefixes::Prefixes;
use super::protobuf::NormalizerSpec;

/// What stands for a space.
pub(super) const SPACE: &str = "\u{2581}";

/// How a text is written before it is cut into pieces.
#[derive(Debug)]
pub(super) struct Normaliser {
    charsmap: Option<Charsmap>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    /// Pieces that are never changed.
    verbatim: Prefixes,
}

/// A normalised text.
#[derive(Debug, Default)]
pub(super) struct Normalised {
    pub(super) text: Vec<u8>,
    /// Where each byte comes from, and where the end: a byte of the original text.
    pub(super) origin: Vec<usize>,
}

impl Normalised {
    fn push(&mut self, text: &[u8], origin: usize) {
        self.text.extend_from_slice(text);
        self.origin.resize(self.text.len(), origin);
    }
}

impl Normaliser {
    /// Errors: rules that are damaged or not those of a T5 or mT5.
    pub(super) fn new(spec: NormalizerSpec, verbatim: Prefixes) -> Result<Self, String> {
        if !spec.escape_whitespaces {
            return Err("escape_whitespaces is false, which is not supported".to_owned());
        }
        Ok(Self {
            charsmap: match spec.precompiled_charsmap.as_slice() {
                [] => None,
                blob => Some(Charsmap::parse(blob).ok_or("its precompiled_charsmap is cut off")?),
            },
            add_dummy_prefix: spec.add_dummy_prefix,
            remove_extra_whitespaces: spec.remove_extra_whitespaces,
            verbatim,
        })
    }

    pub(super) fn apply(&self, text: &str) -> Normalised {
        let text = text.as_bytes();
        let mut at = 0;
        while self.remove_extra_whitespaces && at < text.len() {
            let (written, length) = self.first(&text[at..]);
            if written != b" " {
                break;
            }
            at += length;
        }
        let mut out = Normalised::default();
        if at == text.len() {
            out.origin.push(at);
            return out;
        }
        if self.add_dummy_prefix {
            out.push(SPACE.as_bytes(), at);
        }
        let mut behind_space = self.remove_extra_whitespaces;
        while at < text.len() {
            let (mut written, length) = self.first(&text[at..]);
            while let (true, Some(rest)) = (behind_space, written.strip_prefix(b" ")) {
                written = rest;
            }
            for byte in written {
                match byte {
                    b' ' => out.push(SPACE.as_bytes(), at),
                    byte => out.push(&[*byte], at),
                }
            }
            if let Some(last) = written.last() {
                behind_space = self.remove_extra_whitespaces && *last == b' ';
            }
            at += length;
        }
        out.origin.push(at);
        while self.remove_extra_whitespaces && out.text.ends_with(SPACE.as_bytes()) {
            out.text.truncate(out.text.len() - SPACE.len());
            out.origin.truncate(out.text.len() + 1);
        }
        out
    }

    /// How the longest beginning of `text` that there is a rule for is written, and its length; without a rule that of one
    /// character.
    fn first<'t>(&'t self, text: &'t [u8]) -> (&'t [u8], usize) {
        if let Some((length, _)) = self.verbatim.of(text).last() {
            return (&text[..length], length);
        }
        self.charsmap.as_ref().and_then(|map| map.longest(text)).unwrap_or_else(|| {
            let length = character(text);
            (&text[..length], length)
        })
    }
}

/// Length of the first character of `text`, by its first byte.
pub(super) fn character(text: &[u8]) -> usize {
    let length = match text.first() {
        Some(0xC0..0xE0) => 2,
        Some(0xE0..0xF0) => 3,
        Some(0xF0..) => 4,
        _ => 1,
    };
    length.min(text.len())
}

/// Rules of how characters are written: a double array in the format of Darts-clone, whose values are places in a list of
/// texts.
#[derive(Debug)]
struct Charsmap {
    units: Vec<u32>,
    /// Each ends with a zero.
    texts: Vec<u8>,
}

impl Charsmap {
    fn parse(blob: &[u8]) -> Option<Self> {
        let (size, rest) = blob.split_first_chunk()?;
        let (units, texts) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        let (units, []) = units.as_chunks() else { return None };
        Some(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            texts: texts.to_vec(),
        })
    }

    /// How the longest beginning of `text` that has a rule is written, and its length.
    fn longest(&self, text: &[u8]) -> Option<(&[u8], usize)> {
        let unit = |at: usize| self.units.get(at).copied();
        let offset = |unit: u32| ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize;
        let mut found = None;
        let mut at = offset(unit(0)?);
        for (length, byte) in (1..).zip(text) {
            at ^= usize::from(*byte);
            let Some(here) = unit(at) else { break };
            // The label, whose highest bit is set in values.
            if here & (1 << 31 | 0xFF) != u32::from(*byte) {
                break;
            }
            at ^= offset(here);
            if here >> 8 & 1 == 1 {
                found = unit(at).map(|value| ((value & !(1 << 31)) as usize, length));
            }
        }
        let (place, length) = found?;
        let text = self.texts.get(place..)?;
        Some((text.split(|byte| *byte == 0).next()?, length))
    }
}
