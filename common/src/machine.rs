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

/// Bytes of memory that a program can take without pushing out others; `None` where that cannot be read.
pub fn available_memory() -> Option<u64> {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn read(path: &str) -> String {
    regular_file::read_to_string(Path::new(path), SETTINGS).unwrap_or_default()
}
