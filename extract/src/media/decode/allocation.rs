//! How much memory FFmpeg may ask for at once.

#![expect(unsafe_code, reason = "FFmpeg is a C library")]

use ffmpeg_next::ffi::av_max_alloc;

/// A plane of the largest picture that is accepted takes less. A table of a damaged file may claim 2 GB.
const MOST_AT_ONCE: usize = 512 << 20;

/// Makes FFmpeg refuse larger allocations, in the whole process.
pub(super) fn bound() {
    // SAFETY: sets one atomic number.
    unsafe { av_max_alloc(MOST_AT_ONCE) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg_next::ffi::{av_free, av_malloc};

    #[test]
    fn a_table_of_a_gigabyte_is_refused() {
        bound();
        // SAFETY: what was allocated is freed; null may be freed.
        let there = [1 << 30, 1 << 20].map(|bytes| unsafe {
            let place = av_malloc(bytes);
            av_free(place);
            !place.is_null()
        });
        assert_eq!(there, [false, true]);
    }
}
