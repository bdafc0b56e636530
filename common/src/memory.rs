//! How the C library's allocator, which libtorch uses on the CPU, deals with the operating system.

/// For programs that load a model of many gigabytes; to be called first thing. Large blocks are given back when they are
/// freed, so that what was needed while loading does not stay behind in gaps: with [`keep`] alone Flan-T5-XL holds 1.2 GiB
/// more than its weights.
pub fn start() {
    map_from(1 << 20);
}

/// From now on keep freed memory for the next allocation instead of giving it back; to be called once everything is
/// loaded. A training step and a decoding step allocate the same sizes again and again; by default glibc returns each
/// large block, and the kernel clears its pages anew: a sixth of the time of a step.
pub fn keep() {
    map_from(1 << 30);
}

/// Blocks of this many bytes and more get a mapping of their own, which goes when they are freed.
#[cfg(target_env = "gnu")]
fn map_from(bytes: libc::c_int) {
    // SAFETY: mallopt only sets two numbers of the allocator.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// Other C libraries have no such setting.
#[cfg(not(target_env = "gnu"))]
fn map_from(_bytes: i32) {}
