//! SHA-256 of files and byte slices, as lower-case hexadecimal.

use crate::regular_file;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Running checksum.
#[derive(Default)]
pub struct Checksum(Sha256);

impl Checksum {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything seen.
    pub fn hex(self) -> String {
        self.0.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Checksum of a byte slice.
pub fn of(bytes: &[u8]) -> String {
    let mut sum = Checksum::default();
    sum.update(bytes);
    sum.hex()
}

/// Checksum of a file.
pub fn of_file(path: &Path) -> Result<String> {
    let mut file = regular_file::open(path).map_err(Error::io(path))?;
    let mut sum = Checksum::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => return Ok(sum.hex()),
            n => sum.update(&buffer[..n]),
        }
    }
}
