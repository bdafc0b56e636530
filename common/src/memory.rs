//! How the C library's allocator, which libtorch uses on the CPU, deals with the operating system.

/// Keep freed memory for the next allocation instead of giving it back. A training step and a decoding step allocate
/// the same sizes again and again; by default glibc returns each large block, and the kernel clears its pages anew:
/// a sixth of the time of a step. And let libtorch put tensors of 2 MiB and more on huge pages, which makes decoding, most
/// of which is reading weights, a few percent faster where they are that large (Flan-T5 base). To be called first thing
/// by programs that train or search, before there is another thread.
pub fn keep() {
    if std::env::var_os("THP_MEM_ALLOC_ENABLE").is_none() {
        // SAFETY: no other thread reads or writes the environment yet.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("THP_MEM_ALLOC_ENABLE", "1");
        }
    }
    // SAFETY: mallopt only sets two numbers of the allocator.
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
