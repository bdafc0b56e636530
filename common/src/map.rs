//! Files mapped into memory. One that somebody shortens meanwhile ends the program with a line that names it.
//!
//! The system answers the use of a page that the file has lost with a signal, SIGBUS, which would end the program without a
//! word. Checking lengths cannot help: the file may be shortened at any moment after.

#![expect(unsafe_code, reason = "memory maps, and a signal handler that must not allocate")]

use crate::regular_file;
use memmap2::{Mmap, UncheckedAdvice};
use std::io::Result;
use std::ops::Deref;
use std::path::Path;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Exit code of a program that cannot use its input any further.
const UNUSABLE: i32 = 2;

/// A file's content. Its owner promises that the file is only replaced by rename or appended to.
pub(crate) struct Map {
    bytes: Mmap,
    place: &'static Place,
}

impl Map {
    /// Map the whole file. Errors: those of [`regular_file::open`], and of the system.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = regular_file::open(path)?;
        // SAFETY: files that are mapped are replaced by rename (a new inode), or grow behind what is used. Where somebody
        // else changes one, its bytes change, which every reader checks or survives; where it is shortened, `Place` helps.
        let bytes = unsafe { Mmap::map(&file) }?;
        let place = Place::take(&bytes, path);
        Ok(Self { bytes, place })
    }

    /// Give back the memory of a range that is not needed again soon; it is read from the file when it is.
    pub(crate) fn release(&self, begin: usize, end: usize) {
        // SAFETY: the map is of a file and read-only, so that dropped pages come back as they were. Only whole pages are
        // dropped; where the system refuses, they stay.
        let _ = unsafe { self.bytes.unchecked_advise_range(UncheckedAdvice::DontNeed, begin, end - begin) };
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.place.leave();
    }
}

/// Where a map lies, and what to say if its file is shortened. Places are never freed, as the handler may look at any of
/// them at any time; one that is left is taken again.
struct Place {
    taken: AtomicBool,
    begin: AtomicUsize,
    end: AtomicUsize,
    /// The line, in a box of its own.
    line: AtomicPtr<String>,
    next: *const Place,
}

// SAFETY: `next` is written before the place is published and never again; all else is atomic.
unsafe impl Sync for Place {}

/// The latest place; each knows the one before it.
static LATEST: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

fn places() -> impl Iterator<Item = &'static Place> {
    // SAFETY: published places are valid and never freed.
    let place = |place: *const Place| unsafe { place.as_ref() };
    std::iter::successors(place(LATEST.load(Ordering::Acquire)), move |before| place(before.next))
}

impl Place {
    fn take(bytes: &[u8], path: &Path) -> &'static Self {
        static WATCH: Once = Once::new();
        WATCH.call_once(watch);
        let free = |place: &&Self| {
            place.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let place = places().find(free).unwrap_or_else(Self::publish);
        let path = path.display().to_string().replace(char::is_control, " ");
        let line = format!(
            "error: {path}: became shorter while it was read, or its disk failed; let nobody write to it, and copy or \
             make it again\n"
        );
        place.line.store(Box::into_raw(Box::new(line)), Ordering::Release);
        let begin = bytes.as_ptr() as usize;
        // Whole pages are mapped.
        place.end.store(begin + bytes.len().next_multiple_of(4096), Ordering::Release);
        place.begin.store(begin, Ordering::Release);
        place
    }

    fn publish() -> &'static Self {
        let place: &'static mut Self = Box::leak(Box::new(Self {
            taken: AtomicBool::new(true),
            begin: AtomicUsize::new(usize::MAX),
            end: AtomicUsize::new(0),
            line: AtomicPtr::new(ptr::null_mut()),
            next: ptr::null(),
        }));
        let mut latest = LATEST.load(Ordering::Acquire);
        loop {
            place.next = latest;
            match LATEST.compare_exchange(latest, place, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return place,
                Err(other) => latest = other,
            }
        }
    }

    fn leave(&self) {
        self.begin.store(usize::MAX, Ordering::Release);
        self.end.store(0, Ordering::Release);
        // SAFETY: made by `take`; the handler looks only at lines of maps that are in use, and this one is not any more.
        drop(unsafe { Box::from_raw(self.line.swap(ptr::null_mut(), Ordering::AcqRel)) });
        self.taken.store(false, Ordering::Release);
    }
}

/// Handle SIGBUS from here on.
fn watch() {
    // SAFETY: a handler with the signature that SA_SIGINFO asks for, which calls nothing that a handler may not; all
    // fields of the structure are set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = shortened;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
    }
}

extern "C" fn shortened(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the system hands over a valid structure. `write`, `_exit` and `signal` may be called in a handler. The line
    // belongs to a map that is in use: its memory was just touched.
    unsafe {
        let address = (*info).si_addr() as usize;
        let holds = |place: &&Place| {
            (place.begin.load(Ordering::Acquire)..place.end.load(Ordering::Acquire)).contains(&address)
        };
        if let Some(line) = places().find(holds).and_then(|place| place.line.load(Ordering::Acquire).as_ref())
        {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
            libc::_exit(UNUSABLE);
        }
        // Not one of ours: what touched it is run again and ends the program as it would have.
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::process::Command;

    /// The child half of [`a_shortened_file_is_named`].
    #[test]
    fn child_reads_a_file_that_is_shortened() {
        let Some(path) = std::env::var_os("MAP_TEST_FILE") else { return };
        let path = Path::new(&path);
        // Places are taken again.
        drop(Map::open(path).expect("mapped"));
        let (map, other) = (Map::open(path).expect("mapped"), Map::open(path).expect("mapped"));
        assert_eq!((map[9000], other[9000]), (7, 7));
        drop(other);
        File::options().write(true).open(path).expect("opened").set_len(100).expect("shortened");
        assert_eq!(map[50], 7);
        assert_eq!(map[9000], 7, "never gets here");
    }

    #[test]
    fn a_shortened_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weights.bin");
        std::fs::write(&path, [7; 10_000]).expect("written");
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--exact", "map::tests::child_reads_a_file_that_is_shortened", "--nocapture"]);
        let output = child.env("MAP_TEST_FILE", &path).output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let line = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(line.contains("weights.bin: became shorter") && line.contains("; "), "{said}");
    }
}
