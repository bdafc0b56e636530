//! The parts of a file, read from its beginning, and what they tell.

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

use signclip_common::regular_file;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Damage {
    /// The byte where it begins.
    pub(super) byte: u64,
    pub(super) what: &'static str,
    /// What comes before is whole, and nothing comes after.
    pub(super) end: bool,
}

/// What the structure of a file tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Structure {
    /// The first damage.
    pub(super) damage: Option<Damage>,
    /// The file says where it ends, and ends there.
    pub(super) ends: bool,
    /// Number of pictures, where it is known without FFmpeg.
    pub(super) pictures: Option<usize>,
}

impl Structure {
    /// A file that ends where it says.
    pub(super) fn whole() -> Self {
        Self { ends: true, ..Self::default() }
    }

    /// Something else than the next part is at `byte`.
    pub(super) fn foreign(byte: u64) -> Self {
        let what =
            "damaged: something else than the next part of the file is here, and frames may be missing";
        Self { damage: Some(Damage { byte, what, end: false }), ..Self::default() }
    }

    /// Parts before `byte` are missing.
    pub(super) fn missing(byte: u64) -> Self {
        let what = "damaged: parts of the file are missing before this place, or are here twice";
        Self { damage: Some(Damage { byte, what, end: false }), ..Self::default() }
    }

    /// The part that begins at `byte` is not all there.
    pub(super) fn cut_off(byte: u64, what: &'static str) -> Self {
        Self { damage: Some(Damage { byte, what, end: true }), ..Self::default() }
    }
}

/// A file that is read from its beginning, part by part.
pub(super) struct Parts {
    reader: BufReader<File>,
    /// Where the next byte is, and how many there are.
    pub(super) at: u64,
    pub(super) total: u64,
}

impl Parts {
    pub(super) fn open(file: &Path) -> Result<Self> {
        let mut reader = BufReader::new(regular_file::open(file)?);
        let total = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        Ok(Self { reader, at: 0, total })
    }

    /// Fill `bytes` with the next ones. `false`: there are fewer, and nothing is left.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) -> Result<bool> {
        let count = bytes.len() as u64;
        if self.at + count > self.total {
            self.at = self.total;
            return Ok(false);
        }
        self.reader.read_exact(bytes)?;
        self.at += count;
        Ok(true)
    }

    /// The next `N` bytes; `None` where there are fewer, and then nothing is left.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        Ok(self.fill(&mut bytes)?.then_some(bytes))
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<Option<u8>> {
        Ok(self.bytes::<1>()?.map(|[byte]| byte))
    }

    /// Pass over `count` bytes. `false`: there are fewer, and nothing is left.
    pub(super) fn skip(&mut self, count: u64) -> Result<bool> {
        self.go_to(self.at.saturating_add(count))
    }

    /// Continue at `place`. `false`: the file ends before.
    pub(super) fn go_to(&mut self, place: u64) -> Result<bool> {
        let inside = place <= self.total;
        let place = place.min(self.total);
        self.reader.seek_relative(place as i64 - self.at as i64)?;
        self.at = place;
        Ok(inside)
    }
}
