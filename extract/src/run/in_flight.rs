//! Which clips a run is at work on, so that the next one can say over which clips a run has died, and pass over one that
//! kills every run.
//!
//! Each reader has a place of fixed size in `.working-<rank>`, which needs no more than a write in memory for each clip, as
//! what a dead process has written is not lost. A crash (a fault in a library, say) marks the place of the thread that
//! crashed, or all places where that thread is not a reader. A process that is killed from outside can mark nothing: its
//! clips are named and never blamed, unless the system says that it has killed because memory ran out.
//!
//! Many innocent clips are in flight when one crashes a thread of FFmpeg or fills the memory, and the next run would begin
//! with the same ones. So a clip that was marked is tried again alone: only if the run dies once more is it that clip's fault.

#![expect(unsafe_code, reason = "signal handlers")]

use serde::{Deserialize, Serialize};
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result, atomic};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes of a place: a mark, the clip's id, a line end. The first place says since when the system has not killed.
const PLACE: u64 = 4096;
const AT_WORK: u8 = b' ';
const CRASHED: u8 = b'!';
const IDLE: u8 = 0;

/// Deaths after which a clip is passed over: the first among others, the second alone.
const MOST_DEATHS: u32 = 2;

/// Readers that fit into [`BUSY`].
const MOST_READERS: usize = 1024;

/// `deaths-<rank>.json`: how often a run has died over a clip. One that a run survives is taken out.
#[derive(Default, Serialize, Deserialize)]
struct Deaths {
    clips: BTreeMap<String, u32>,
}

/// The record of one rank's readers.
pub struct InFlight {
    file: File,
    path: PathBuf,
    deaths: Mutex<Deaths>,
    deaths_path: PathBuf,
    /// Held for reading by clips that may be worked on at once, for writing by one that is to be alone.
    turns: RwLock<()>,
}

/// The right to work on a clip, until it is dropped.
pub enum Turn<'r> {
    Alone(RwLockWriteGuard<'r, ()>),
    Beside(RwLockReadGuard<'r, ()>),
}

impl InFlight {
    /// Look at what the last run of `rank` left behind in the split folder `folder`, and begin a new record. A process at a
    /// time may do so, the one that has the rank's lock.
    pub fn begin(folder: &Path, rank: u32) -> Result<Self> {
        let path = folder.join(format!(".working-{rank:05}"));
        let deaths_path = folder.join(format!("deaths-{rank:05}.json"));
        let mut deaths = read_deaths(&deaths_path)?;
        let left = match regular_file::read(&path, SETTINGS) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        let killed = killed_for_memory(&left);
        let clips: Vec<(String, bool)> =
            left.chunks(PLACE as usize).skip(1).filter_map(|place| clip_of(place, killed)).collect();
        if !clips.is_empty() {
            let names: Vec<&str> = clips.iter().map(|(id, _)| id.as_str()).collect();
            tracing::warn!("the last run ended in the middle of {}", names.join(", "));
            for (id, _) in clips.iter().filter(|(_, guilty)| *guilty) {
                *deaths.clips.entry(id.clone()).or_default() += 1;
            }
            write_deaths(&deaths_path, &deaths)?;
        }
        let file = regular_file::create(&path).map_err(Error::io(&path))?;
        let first = memory_kills().unwrap_or_default();
        file.set_len(0).and_then(|()| file.write_all_at(first.as_bytes(), 0)).map_err(Error::io(&path))?;
        Ok(Self { file, path, deaths: Mutex::new(deaths), deaths_path, turns: RwLock::new(()) })
    }

    fn deaths(&self) -> MutexGuard<'_, Deaths> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blame these clips no more: they are stored, or to be tried again.
    pub fn forgive<'c>(&self, clips: impl Iterator<Item = &'c str>) -> Result<()> {
        let mut deaths = self.deaths();
        let before = deaths.clips.len();
        clips.for_each(|id| _ = deaths.clips.remove(id));
        if deaths.clips.len() == before { Ok(()) } else { write_deaths(&self.deaths_path, &deaths) }
    }

    /// Whether runs have died over this clip too often to try it again.
    pub fn is_deadly(&self, id: &str) -> bool {
        self.deaths().clips.get(id).is_some_and(|&deaths| deaths >= MOST_DEATHS)
    }

    /// Whether a run has died in the middle of this clip and, perhaps, of innocent others.
    pub fn is_suspect(&self, id: &str) -> bool {
        self.deaths().clips.contains_key(id) && !self.is_deadly(id)
    }

    /// Wait until this clip may be worked on: a suspect only while no other is.
    pub fn turn(&self, id: &str) -> Turn<'_> {
        match self.is_suspect(id) {
            true => Turn::Alone(self.turns.write().unwrap_or_else(PoisonError::into_inner)),
            false => Turn::Beside(self.turns.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// From here on a crash marks the places of this record.
    pub fn watch(&self) {
        static HANDLERS: Once = Once::new();
        BUSY.iter().for_each(|busy| busy.store(false, Ordering::SeqCst));
        RECORD.store(self.file.as_raw_fd(), Ordering::SeqCst);
        HANDLERS.call_once(handle_crashes);
    }

    /// Work on a clip as reader number `reader`. A record that cannot be written is not a reason to stop.
    pub fn work<T>(&self, reader: usize, id: &str, work: impl FnOnce() -> T) -> T {
        let place = (reader as u64 + 1) * PLACE;
        if reader >= MOST_READERS || id.len() as u64 > PLACE - 2 {
            return work();
        }
        let write = |bytes: &[u8]| {
            if let Err(e) = self.file.write_all_at(bytes, place) {
                tracing::debug!("{}: {e}", self.path.display());
            }
        };
        write(&[&[AT_WORK], id.as_bytes(), b"\n"].concat());
        OWN.set(reader);
        BUSY[reader].store(true, Ordering::SeqCst);
        let result = work();
        BUSY[reader].store(false, Ordering::SeqCst);
        OWN.set(NOBODY);
        write(&[IDLE]);
        if self.is_suspect(id)
            && let Err(e) = self.forgive([id].into_iter())
        {
            tracing::debug!("{e}");
        }
        result
    }

    /// The run has come to its end, whatever that was.
    pub fn finish(self) {
        RECORD.store(NO_RECORD, Ordering::SeqCst);
        if let Err(e) = std::fs::remove_file(&self.path) {
            tracing::debug!("{}: {e}", self.path.display());
        }
    }
}

fn read_deaths(path: &Path) -> Result<Deaths> {
    match regular_file::read(path, SETTINGS) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| {
            Error::input(path, "", e.to_string(), "delete it: the clips in it are merely tried again")
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Deaths::default()),
        Err(e) => Err(Error::io(path)(e)),
    }
}

fn write_deaths(path: &Path, deaths: &Deaths) -> Result<()> {
    if deaths.clips.is_empty() {
        return match std::fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path)(e)),
            _ => Ok(()),
        };
    }
    let text = serde_json::to_string_pretty(deaths)
        .map_err(|e| Error::usage(format!("{}: {e}", path.display()), "this is a bug; please report it"))?;
    atomic::write(path, (text + "\n").as_bytes())
}

/// The clip of a place that was in use, and whether the run died by it. `killed`: the system killed because memory ran out.
fn clip_of(place: &[u8], killed: bool) -> Option<(String, bool)> {
    let (mark, rest) = place.split_first()?;
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let id = String::from_utf8(rest[..end].to_vec()).ok()?;
    match *mark {
        AT_WORK => Some((id, killed)),
        CRASHED => Some((id, true)),
        _ => None,
    }
}

/// Whether the system has killed because memory ran out since the record `left` was begun.
fn killed_for_memory(left: &[u8]) -> bool {
    let split = |line: &str| {
        let (boot, kills) = line.trim_end_matches(['\n', '\0']).split_once(' ')?;
        Some((boot.to_owned(), kills.parse::<u64>().ok()?))
    };
    let line = left.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let before = std::str::from_utf8(line).ok().and_then(split);
    let now = memory_kills().and_then(|line| split(&line));
    before.zip(now).is_some_and(|(before, now)| before.0 == now.0 && before.1 < now.1)
}

/// This boot of the machine, and how many processes it has killed because memory ran out: "e0f3… 2".
fn memory_kills() -> Option<String> {
    let read = |path: &str| regular_file::read_to_string(Path::new(path), SETTINGS).ok();
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let counters = read("/proc/vmstat")?;
    let kills = counters.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    Some(format!("{} {kills}\n", boot.trim()))
}

const NO_RECORD: i32 = -1;
const NOBODY: usize = usize::MAX;

/// The file of the record in use.
static RECORD: AtomicI32 = AtomicI32::new(NO_RECORD);
/// Which readers are at work.
static BUSY: [AtomicBool; MOST_READERS] = [const { AtomicBool::new(false) }; MOST_READERS];

thread_local! {
    /// Number of the reader that this thread is, while it is at work.
    static OWN: Cell<usize> = const { Cell::new(NOBODY) };
}

/// Signals of a crash, and what was done about each before. SIGBUS is not among them: a file was shortened that is mapped.
const CRASHES: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGABRT, libc::SIGILL, libc::SIGFPE];
static BEFORE: [AtomicPtr<libc::sigaction>; 4] = [const { AtomicPtr::new(ptr::null_mut()) }; 4];

fn handle_crashes() {
    for (&signal, before) in CRASHES.iter().zip(&BEFORE) {
        // SAFETY: a handler that calls nothing but `pwrite`, `sigaction` and `raise`, which a handler may; a sigaction of
        // zeros is a valid value of the C struct. Where it cannot be set, crashes are as they were.
        unsafe {
            let old = Box::leak(Box::new(std::mem::zeroed()));
            libc::sigaction(signal, ptr::null(), old);
            before.store(old, Ordering::SeqCst);
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = mark;
            action.sa_sigaction = handler as usize;
            // The stack may be what has overflowed.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

extern "C" fn mark(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let own = OWN.try_with(Cell::get).unwrap_or(NOBODY);
    let guilty =
        |reader: usize| if own == NOBODY { BUSY[reader].load(Ordering::SeqCst) } else { reader == own };
    let record = RECORD.load(Ordering::SeqCst);
    for reader in (0..MOST_READERS).filter(|&reader| record != NO_RECORD && guilty(reader)) {
        let place = (reader as u64 + 1) * PLACE;
        // SAFETY: one byte of a constant is written; a file that was closed meanwhile refuses.
        unsafe { libc::pwrite(record, [CRASHED].as_ptr().cast(), 1, place as libc::off_t) };
    }
    // SAFETY: the system hands over a valid structure; the old actions are never freed.
    unsafe {
        if (*info).si_code > 0 {
            // What has failed is run again, and the handler of before has it: that of Rust names a stack that overflowed.
            let at = CRASHES.iter().position(|&crash| crash == signal).unwrap_or_default();
            libc::sigaction(signal, BEFORE[at].load(Ordering::SeqCst), ptr::null_mut());
        } else {
            // Sent, by `abort` for example.
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_run_leaves() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let folder = folder.path();
        let begin = || InFlight::begin(folder, 0);
        // A run that dies in the middle of two clips, with these marks.
        let dies = |marks: [u8; 2]| -> Result<()> {
            let run = begin()?;
            let places = marks.iter().zip(["a", "b"]).map(|(&mark, id)| {
                let mut place = [&[mark], id.as_bytes(), b"\n"].concat();
                place.resize(PLACE as usize, 0);
                place
            });
            let places = places.collect::<Vec<_>>().concat();
            run.file.write_all_at(&places, PLACE).map_err(Error::io(&run.path))
        };
        dies([AT_WORK, AT_WORK])?;
        dies([AT_WORK, CRASHED])?;
        let run = begin()?;
        assert!(run.is_suspect("b") && !run.is_suspect("a"), "only the one that crashed");
        // Survived alone: it was another's fault.
        run.work(0, "b", || ());
        assert!(!run.is_suspect("b"));
        drop(run);
        dies([CRASHED, CRASHED])?;
        dies([CRASHED, IDLE])?;
        let run = begin()?;
        assert!(run.is_deadly("a") && !run.is_suspect("a"));
        assert!(run.is_suspect("b") && !run.is_deadly("b"));
        let alone = run.turn("b");
        assert!(run.turns.try_read().is_err(), "no clip beside it");
        drop(alone);
        let (beside, another) = (run.turn("c"), run.turn("d"));
        assert!(run.turns.try_write().is_err(), "no suspect beside others");
        drop((beside, another));
        run.forgive(["a", "b"].into_iter())?;
        run.finish();
        assert!(!begin()?.is_deadly("a"));
        assert!(!folder.join("deaths-00000.json").exists());
        // The system has killed since.
        let [boot, kills] = [memory_kills(), Some("x 5\n".to_owned())].map(|line| line.unwrap_or_default());
        if let Some((boot, count)) =
            boot.trim().split_once(' ').and_then(|(b, c)| Some((b, c.parse::<u64>().ok()?)))
        {
            assert!(!killed_for_memory(format!("{boot} {count}\n").as_bytes()));
            assert!(count == 0 || killed_for_memory(format!("{boot} {}\n", count - 1).as_bytes()));
        }
        assert!(!killed_for_memory(kills.as_bytes()), "another boot");
        Ok(())
    }
}
