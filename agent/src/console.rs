//! The guest's serial console: the only way to tell of a failure before the API answers.

use crate::teardown;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set in every forked child: it may end itself but never the guest.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Makes the console the agent's standard output and error, once `/dev` is there.
pub fn open_console() {
    // Without a console there is nowhere to complain to, and the agent works all the same.
    if let Ok(console) = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")
    {
        for fd in 0..=2 {
            // SAFETY: both descriptors are open and the standard ones belong to nobody else.
            unsafe { nix::libc::dup2(console.as_raw_fd(), fd) };
        }
    }
}

/// Writes one line to the console.
pub fn report(message: &str) {
    eprintln!("torpor-agent: {}", message.replace('\n', " "));
}

/// Reports why the guest cannot go on and powers it off.
pub fn fatal(message: &str) -> ! {
    report(&format!("fatal: {message}"));
    teardown::power_off_now()
}

/// Turns a panic into a reported power-off, because the kernel panics when PID 1 ends. A forked child only ends itself.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        if IS_CHILD.load(Ordering::Relaxed) {
            report(&format!("child: {info}"));
            // SAFETY: ends this process without running the parent's exit handlers.
            unsafe { nix::libc::_exit(127) }
        }
        fatal(&info.to_string())
    }));
}

/// Called first in every forked child.
pub fn mark_child() {
    IS_CHILD.store(true, Ordering::Relaxed);
}
