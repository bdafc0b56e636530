//! Mutated copies of real files: no crash, no hang, no memory beyond twice the file.
//! `SIGNCLIP_MUTATIONS` is their number per file.

use super::{golden, keys, real_legacy_file};
use signclip_common::torch_file::TorchFile;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// Counts what the current thread holds; libtorch's own memory is not seen, and is used by `tensor` alone.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Not there any more while a thread ends.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is handed on to the system's allocator unchanged; counting allocates nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that `run` holds at once beyond what was there before.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = run();
    (result, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// Small random numbers, the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// A copy with a few bytes changed, a piece cut out or doubled, or the end missing.
fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    // Half of the changes go where the structure is: near the start, and in the table at the end.
    let place = |random: &mut Random, length: usize| match random.below(4) {
        0 => random.below(length.min(600)),
        1 => length - 1 - random.below(length.min(600)),
        _ => random.below(length),
    };
    for _ in 0..=random.below(6) {
        let at = place(random, copy.len());
        match random.below(10) {
            0 => copy[at] = [0, 0xff, 0x7f, 0x80, b'(', b'.', b'R', b'2', b'h', b'e'][random.below(10)],
            1 => {
                let end = (at + 1 + random.below(16)).min(copy.len());
                copy.drain(at..end);
            }
            2 => {
                let end = (at + 1 + random.below(64)).min(copy.len());
                let piece = copy[at..end].to_vec();
                copy.splice(at..at, piece);
            }
            3 if random.below(8) == 0 => copy.truncate(at),
            4 => {
                let end = (at + 4).min(copy.len());
                copy[at..end].fill(0xff);
            }
            _ => copy[at] = random.below(256) as u8,
        }
        if copy.is_empty() {
            copy.push(0);
        }
    }
    copy
}

#[test]
fn mutated_files_do_no_harm() {
    let rounds: usize = std::env::var("SIGNCLIP_MUTATIONS").map_or(300, |n| n.parse().unwrap());
    let mut samples: Vec<PathBuf> = real_legacy_file().into_iter().collect();
    if let Some((folder, case)) = golden() {
        let files = keys(&case["valid"]).chain(keys(&case["must_reject"]));
        samples.extend(files.map(|(file, _)| folder.join(file)));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated.pt");
    for sample in samples {
        let bytes = fs::read(&sample).unwrap();
        let (mut random, mut opened, mut slowest, mut most) =
            (Random(bytes.len() as u64), 0, 0.0_f64, 0.0_f64);
        // Copies of the large real file are written in full each time: fewer of them in the quick run.
        let rounds = if bytes.len() > 1 << 20 && rounds <= 300 { rounds / 3 } else { rounds };
        for round in 0..rounds {
            let copy = mutated(&bytes, &mut random);
            fs::write(&path, &copy).unwrap();
            let begin = Instant::now();
            let (result, held) = peak(|| TorchFile::open(&path));
            let place = || format!("{}, mutation {round}", sample.display());
            // Small files may take a little more than twice their length.
            let allowed = 2 * copy.len() + (64 << 10);
            assert!(held <= allowed, "{}: {held} bytes of memory", place());
            most = most.max(100.0 * held as f64 / allowed as f64);
            match result {
                Ok(file) => {
                    opened += 1;
                    for name in file.names() {
                        if let Ok(tensor) = file.tensor(name) {
                            assert_eq!(Some(tensor.size()), file.shape(name), "{}: {name}", place());
                        }
                    }
                }
                Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{}: {error}", place()),
            }
            slowest = slowest.max(begin.elapsed().as_secs_f64());
            assert!(slowest < 10.0, "{}: {slowest:.1} s", place());
        }
        let name = sample.file_name().unwrap().to_string_lossy().into_owned();
        println!(
            "{name}: {rounds} mutations, {opened} opened, slowest {slowest:.3} s, memory {most:.0} % of what is allowed"
        );
    }
}
