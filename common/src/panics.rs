//! Panics of tensor operations as errors, and what every program does around its work.
//!
//! The safe half of `tch` panics where libtorch refuses (out of memory, a shape that does not fit), with a backtrace
//! of some twenty lines in the message. A user gets the first line of it, as for every other error.

use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::ExitCode;

/// Turn a panic inside `work` into an error.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("unknown reason");
        Err(Error::Torch(first_line(text)))
    })
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
        Err(Error::Torch(what)) if what == format!("{PRINTING}Broken pipe (os error 32)") => {
            return ExitCode::SUCCESS;
        }
        Err(Error::Torch(what)) if what.starts_with(PRINTING) => {
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

/// The message of an error that `tch` unwrapped, up to its first line end: it is in quotes, with line ends written as
/// `\n` and quotes as `\"`; the backtrace follows.
fn first_line(text: &str) -> String {
    let Some((_, quoted)) = text.split_once("value: Torch(\"") else {
        return text.lines().next().unwrap_or_default().to_owned();
    };
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
    line
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
        let error = guarded::<()>(|| panic!("a {}", "reason")).unwrap_err().to_string();
        assert_eq!(error, "libtorch: a reason");
        for (said, line) in [
            (r#"no "kernel" \ here"#, r#"no "kernel" \ here"#),
            ("out of memory\nException raised from x", "out of memory"),
        ] {
            let refused = || Err(tch::TchError::Torch(said.to_owned()));
            let error = guarded::<Tensor>(|| Ok(refused().unwrap())).unwrap_err().to_string();
            assert_eq!(error, format!("libtorch: {line}"));
        }
    }
}
