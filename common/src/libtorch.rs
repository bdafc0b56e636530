//! The libtorch that this program was started with: where it is, its version, its CUDA half.

use crate::regular_file::{self, SETTINGS};
use std::path::{Path, PathBuf};

/// The folder that `libtorch_cpu.so` was loaded from: `torch/lib` of a Python environment, or `.libtorch/lib`.
pub fn libraries() -> PathBuf {
    let maps = regular_file::read_to_string(Path::new("/proc/self/maps"), SETTINGS).unwrap_or_default();
    libraries_in(&maps).unwrap_or(Path::new(".libtorch/lib")).to_path_buf()
}

/// By `/proc/self/maps`, whose lines end in the path of a mapped file, the only part with a slash.
fn libraries_in(maps: &str) -> Option<&Path> {
    let cpu_half = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    Path::new(&cpu_half[cpu_half.find('/')?..]).parent()
}

/// Its version, as 2.13.0, by the headers that come with it; with a question mark for what they do not say.
pub fn version() -> String {
    let header = libraries().with_file_name("include/torch/headeronly/version.h");
    let header = regular_file::read_to_string(&header, SETTINGS).unwrap_or_default();
    let number = |part: &str| {
        let line = header.lines().find(|l| l.starts_with(&format!("#define TORCH_VERSION_{part} ")));
        line.and_then(|l| l.split_whitespace().last()).unwrap_or("?")
    };
    ["MAJOR", "MINOR", "PATCH"].map(number).join(".")
}

/// `libtorch_cuda.so`. Errors: where it was looked for.
pub fn cuda_half() -> Result<PathBuf, String> {
    let candidates = cuda_candidates(&libraries());
    candidates
        .iter()
        .find(|candidate| candidate.is_file())
        .cloned()
        .ok_or_else(|| candidates.map(|candidate| candidate.display().to_string()).join(", "))
}

/// A Python torch keeps it beside the CPU half. In `.libtorch` it has a folder of its own, where the linker does not see it.
/// Either way it knows by its own rpath where the libraries of the nvidia wheels are.
fn cuda_candidates(libraries: &Path) -> [PathBuf; 2] {
    [libraries.join("libtorch_cuda.so"), libraries.with_file_name("cuda").join("libtorch_cuda.so")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_may_be_below_a_folder_with_a_space() {
        let maps = "7f1c00000000-7f1c00021000 rw-p 00000000 00:00 0 \n\
            7f1c2a000000-7f1c2b000000 r--p 00000000 fe:00 1835 /home/a b/my  env/.libtorch/lib/libtorch_cpu.so\n";
        assert_eq!(libraries_in(maps), Some(Path::new("/home/a b/my  env/.libtorch/lib")));
        assert_eq!(libraries_in("7ffd0000-7ffd1000 r-xp 00000000 00:00 0 [vdso]"), None);
    }

    #[test]
    fn the_cuda_half_is_beside_the_cpu_half_or_in_its_own_folder() {
        let [wheel, own] = cuda_candidates(Path::new("/v/site-packages/torch/lib"));
        assert_eq!(wheel, Path::new("/v/site-packages/torch/lib/libtorch_cuda.so"));
        assert_eq!(own, Path::new("/v/site-packages/torch/cuda/libtorch_cuda.so"));
    }
}
