//! What the machine says of itself.

use crate::regular_file::{self, SETTINGS};
use std::path::Path;

/// Its name, as its kernel has it; empty where that cannot be read.
pub fn host() -> String {
    read("/proc/sys/kernel/hostname").trim().to_owned()
}

/// `/proc/cpuinfo`; empty where that cannot be read.
pub fn cpuinfo() -> String {
    read("/proc/cpuinfo")
}

fn read(path: &str) -> String {
    regular_file::read_to_string(Path::new(path), SETTINGS).unwrap_or_default()
}
