//! Programs that this one starts. They end with it, however it ends: nobody wants a training that runs on after the table it
//! was for was stopped, and that keeps the next one from its folder.

use shared_child::SharedChild;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;
use signclip_common::{Error, Result};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

static RUNNING: Mutex<Vec<Arc<SharedChild>>> = Mutex::new(Vec::new());

/// Exit code of a program that Ctrl-C or SIGTERM ended.
const INTERRUPTED: i32 = 130;

/// From here on Ctrl-C and SIGTERM kill what [`run`] has started (no program of this project loses anything by that),
/// do `also`, and end this program.
pub fn end_on_interrupt(also: impl FnOnce() + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Error::io("catching signals"))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_none() {
            return;
        }
        // Held to the end, so that nothing is started any more.
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let killed: Vec<_> = running.iter().map(|child| child.kill()).collect();
        for (child, killed) in running.iter().zip(killed) {
            if let Err(e) = killed.and_then(|()| child.wait()) {
                tracing::debug!("process {}: {e}", child.id());
            }
        }
        also();
        // Without the destructors of libtorch, whose kernels may be at work.
        exit(INTERRUPTED);
    });
    Ok(())
}

/// Let `command` be killed when the thread that starts it ends, which waits for it: when this program is killed.
fn end_with_this(command: &mut Command) {
    let own = std::process::id();
    // SAFETY: between fork and exec these calls touch no memory of this program and take no lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // This program may have ended before.
            match libc::getppid() == own as libc::pid_t {
                true => Ok(()),
                false => Err(std::io::Error::from_raw_os_error(libc::ESRCH)),
            }
        });
    }
}

/// Run a program to its end; returns how it ended, and its standard output where that is piped.
pub fn run(command: &mut Command) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let running = || RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    end_with_this(command);
    let child = {
        let mut running = running();
        let child = Arc::new(SharedChild::spawn(command)?);
        running.push(Arc::clone(&child));
        child
    };
    let mut said = Vec::new();
    let read = child.take_stdout().map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut said));
    let status = child.wait();
    running().retain(|other| !Arc::ptr_eq(other, &child));
    read?;
    Ok((status?, said))
}
