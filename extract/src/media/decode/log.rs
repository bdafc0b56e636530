//! What FFmpeg's demuxers and decoders complain about. Where one passes over damage, its log is the only trace of it.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Once;

use ffmpeg_next::ffi::*;

/// Errors that good files cause at their beginning, where they were cut out of longer ones: frames refer to some before.
const REFERENCES: [&str; 4] = [
    "mmco: unref short failure",
    "co located POCs unavailable",
    "reference picture missing during reorder",
    "Missing reference picture",
];

/// Whether an error is about a frame that is referred to and is not there.
pub(super) fn is_about_references(error: &str) -> bool {
    REFERENCES.iter().any(|text| error.starts_with(text))
}

/// Whether an error is about an entry of an index that leads out of it, as in a material exchange file that was cut out of a
/// longer one. Its frames are counted.
pub(super) fn is_about_an_index(error: &str) -> bool {
    error.starts_with("index entry ") && error.ends_with("out of bounds")
}

/// Messages that FFmpeg does not count as errors: it looks for the next good part of the file, or leaves out a frame of a
/// track that is not there, and what lies between is lost.
const SEARCHES: [&CStr; 3] = [c"sync\n", c"freeing incomplete packet", c"Invalid stream "];

thread_local! {
    /// The first error of each context that this thread listens to.
    static HEARD: RefCell<Vec<(usize, Option<String>)>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the first error that one FFmpeg context reports on this thread. Nothing of the log reaches the terminal.
pub(super) struct Listener(usize);

impl Listener {
    /// For a context that has an `AVClass`; null is never heard of.
    pub(super) fn new<T>(context: *mut T) -> Self {
        capture();
        HEARD.with_borrow_mut(|heard| heard.push((context as usize, None)));
        Self(context as usize)
    }

    /// The first error since [`Listener::forget`].
    pub(super) fn error(&self) -> Option<String> {
        HEARD.with_borrow(|heard| heard.iter().find(|(context, _)| *context == self.0)?.1.clone())
    }

    pub(super) fn forget(&self) {
        HEARD.with_borrow_mut(|heard| {
            heard.iter_mut().filter(|(context, _)| *context == self.0).for_each(|(_, error)| *error = None);
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        HEARD.with_borrow_mut(|heard| heard.retain(|(context, _)| *context != self.0));
    }
}

/// Takes FFmpeg's log over, for all threads.
pub(super) fn capture() {
    static ONCE: Once = Once::new();
    // SAFETY: a plain setter; the callback may be called on any thread.
    ONCE.call_once(|| unsafe { av_log_set_callback(Some(hear)) });
}

unsafe extern "C" fn hear(
    context: *mut c_void,
    level: c_int,
    format: *const c_char,
    arguments: *mut __va_list_tag,
) {
    let searches = || {
        // SAFETY: a format is a constant of FFmpeg's, NUL-terminated.
        let format = unsafe { CStr::from_ptr(format) }.to_bytes();
        SEARCHES.iter().any(|start| format.starts_with(start.to_bytes()))
    };
    let harmful = level <= AV_LOG_ERROR as c_int || level <= AV_LOG_DEBUG as c_int && searches();
    if context.is_null() || !harmful {
        return;
    }
    // A thread that is ending has no more to hear.
    let _ = HEARD.try_with(|heard| {
        let Ok(mut heard) = heard.try_borrow_mut() else { return };
        let wanted =
            |(own, error): &&mut (usize, Option<String>)| *own == context as usize && error.is_none();
        let Some((_, error)) = heard.iter_mut().find(wanted) else { return };
        let mut line = [0; 256];
        let mut prefix = 0;
        // SAFETY: format and arguments are FFmpeg's own; at most the given size is written, its NUL included.
        let text = unsafe {
            let size = line.len() as c_int;
            av_log_format_line2(context, level, format, arguments, line.as_mut_ptr(), size, &mut prefix);
            CStr::from_ptr(line.as_ptr()).to_string_lossy()
        };
        *error = Some(text.trim().replace('\n', " "));
    });
}
