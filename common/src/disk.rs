//! The calls that change what is on the disk. All of `atomic`, `lock` and `store` go through here, so that tests can let the
//! n-th of them fail.

use std::io;

/// Make a call.
pub(crate) fn call<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(test)]
    faults::next(|| {})?;
    make()
}

/// Write `bytes`; one that fails may have written a part of them.
pub(crate) fn write(bytes: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    #[cfg(test)]
    faults::next(|| drop(write(&bytes[..bytes.len() / 2])))?;
    write(bytes)
}

#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::io;

    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(crate) enum Fault {
        None,
        /// The n-th call from now on fails, those behind it succeed: a disk that refused once.
        Once(usize),
        /// The n-th call and all behind it fail: what was on the disk when the process was killed stays.
        From(usize),
    }

    thread_local! {
        static FAULT: Cell<(Fault, usize)> = const { Cell::new((Fault::None, 0)) };
    }

    /// Let calls of this thread fail; tells how many were made since the last time.
    pub(crate) fn set(fault: Fault) -> usize {
        FAULT.replace((fault, 0)).1
    }

    /// Count a call. `half` does a part of what fails first.
    pub(super) fn next(half: impl FnOnce()) -> io::Result<()> {
        let (fault, made) = FAULT.get();
        let made = made + 1;
        FAULT.set((fault, made));
        match fault {
            Fault::Once(n) | Fault::From(n) if made == n => half(),
            Fault::From(n) if made > n => {}
            _ => return Ok(()),
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}
