//! Ctrl-C, and the SIGTERM that Slurm sends before a job's time is over: the first is a request to finish what is in
//! flight, a second Ctrl-C ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a run that was interrupted before everything was done.
pub const EXIT_CODE: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether the run was asked to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

extern "C" fn take(signal: libc::c_int) {
    let again = ASKED.swap(true, Ordering::Relaxed);
    // Launchers repeat SIGTERM; a person who repeats Ctrl-C does not want to wait.
    if again && signal == libc::SIGINT {
        // SAFETY: _exit may be called from a signal handler.
        #[allow(unsafe_code)]
        unsafe {
            libc::_exit(EXIT_CODE.into())
        }
    }
}

/// From here on signals are requests.
pub fn listen() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler touches an atomic and may call _exit, both of which are safe in a signal handler; a
        // sigaction of zeros is a valid value of the C struct.
        #[allow(unsafe_code)]
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = take as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}
