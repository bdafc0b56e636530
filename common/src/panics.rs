//! Panics as errors, and what every program does around its work.
//!
//! The safe half of `tch` panics where libtorch refuses (out of memory, a shape that does not fit), with a backtrace
//! of some twenty lines in the message. A user gets the first line of it, as for every other error. Every other panic is a
//! bug of ours, and says where it is.

use crate::{Error, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::process::ExitCode;
use std::sync::{Mutex, Once, PoisonError};

/// Turn a panic inside `work` into an error.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    note_places();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(error_of(&*panic)))
}

fn error_of(panic: &(dyn Any + Send)) -> Error {
    let text = message(panic);
    let place = {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = places.iter().position(|(said, _)| said == text);
        noted.map_or_else(|| "an unknown place".to_owned(), |noted| places.swap_remove(noted).1)
    };
    match refusal(text) {
        Some(line) => Error::Torch(line),
        None => Error::Bug { what: text.lines().next().unwrap_or_default().to_owned(), place },
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("unknown reason")
}

/// Messages of panics with their places in the source, until they are caught. What is caught does not know its place, and
/// may come from another thread (rayon's).
static PLACES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// From now on note the place of every panic, before whatever is done now.
fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo| {
            if let Some(place) = info.location() {
                let noted =
                    (message(info.payload()).to_owned(), format!("{}:{}", place.file(), place.line()));
                PLACES.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
            }
            before(info);
        }));
    });
}

/// How the panic of a print begins.
const PRINTING: &str = "failed printing to stdout: ";

/// Do a program's work: every error is one line, and the exit code is 2 where there is any. The text of a panic is
/// reported once, where it is caught.
#[allow(clippy::print_stderr)]
pub fn program(work: impl FnOnce() -> Result<ExitCode, Vec<Error>>) -> ExitCode {
    set_hook(Box::new(|info| tracing::debug!("{info}")));
    let errors = match guarded(|| Ok(work())) {
        Ok(Ok(code)) => return code,
        Ok(Err(errors)) => errors,
        // `extract ... | head`: the reader has seen enough.
        Err(Error::Bug { what, .. }) if what == format!("{PRINTING}Broken pipe (os error 32)") => {
            return ExitCode::SUCCESS;
        }
        Err(Error::Bug { what, .. }) if what.starts_with(PRINTING) => {
            vec![Error::usage(
                what.replacen(PRINTING, "standard output: ", 1),
                "make room, or write elsewhere",
            )]
        }
        Err(error) => vec![error],
    };
    errors.iter().for_each(|e| eprintln!("error: {e}"));
    ExitCode::from(2)
}

/// What libtorch said, up to its first line end, if this is the message of an error of libtorch that `tch` unwrapped: it is
/// in quotes, with line ends written as `\n` and quotes as `\"`; the backtrace follows.
fn refusal(text: &str) -> Option<String> {
    let (_, quoted) = text.split_once("value: Torch(\"")?;
    let (mut line, mut rest) = (String::new(), quoted.chars());
    while let Some(letter) = rest.next() {
        match letter {
            '"' | '\n' => break,
            '\\' => match rest.next() {
                None | Some('n' | 'r') => break,
                Some(escaped) => line.push(escaped),
            },
            letter => line.push(letter),
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_refusal_of_libtorch_is_one_line() {
        let zeros = |shape: [i64; 2]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let error = guarded(|| Ok(zeros([2, 3]).matmul(&zeros([4, 5])))).unwrap_err().to_string();
        assert_eq!(error, "libtorch: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)");
        for (said, line) in [
            (r#"no "kernel" \ here"#, r#"no "kernel" \ here"#),
            ("out of memory\nException raised from x", "out of memory"),
        ] {
            let refused = || Err(tch::TchError::Torch(said.to_owned()));
            let error = guarded::<Tensor>(|| Ok(refused().unwrap())).unwrap_err().to_string();
            assert_eq!(error, format!("libtorch: {line}"));
        }
    }

    #[test]
    fn any_other_panic_is_a_bug_with_its_place() {
        let (error, line) = (guarded::<()>(|| panic!("a {}", "reason\nand more")).unwrap_err(), line!());
        let (text, place) = (error.to_string(), format!("common/src/panics.rs:{line}"));
        assert!(text.contains("bug of signclip") && text.contains("a reason; "), "{text}");
        assert!(text.contains(&place) && !text.contains("libtorch"), "{text}");
        // In a thread of a pool, whose panics continue in the waiting thread.
        let work = || Ok(rayon::join(|| -> u8 { panic!("elsewhere") }, || ()).0);
        let text = guarded(work).unwrap_err().to_string();
        assert!(text.contains("elsewhere") && text.contains("common/src/panics.rs:"), "{text}");
    }
}
