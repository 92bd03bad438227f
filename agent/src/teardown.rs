//! The end of the guest: best effort within budgets, and always a power-off.
//!
//! From `POST /v1/poweroff`: at most TERM_BUDGET + KILL_BUDGET + SYNC_BUDGET, which must stay inside the host's wait
//! for the VMM to exit (`POWEROFF_WAIT_MS` in `src/guest/client.ts`).

use crate::children::Children;
use crate::console::mark_child;
use crate::container::Container;
use crate::mounts::unmount_disks;
use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, fork, sync};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The app's time to end after SIGTERM.
pub const TERM_BUDGET: Duration = Duration::from_secs(3);
/// From SIGKILL until every process is gone.
pub const KILL_BUDGET: Duration = Duration::from_secs(1);
/// From the last process to power-off: unmounting and syncing. A disk that hangs longer is left as it is.
const SYNC_BUDGET: Duration = Duration::from_secs(5);

/// Asks the app to end.
pub fn ask_to_end(children: &Children, container: &Container) {
    children.signal(container.pid, Signal::SIGTERM);
}

/// Kills what is left, unmounts, syncs and powers off.
pub fn shut_down() -> ! {
    kill_everything();
    arm_watchdog();
    unmount_disks();
    sync();
    end_guest()
}

/// Powers off as things are.
pub fn power_off_now() -> ! {
    arm_watchdog();
    end_guest()
}

fn end_guest() -> ! {
    // The last lines are still on their way through the serial port. A closed console has nothing to wait for.
    // SAFETY: waits for the device behind a descriptor number.
    unsafe { nix::libc::tcdrain(2) };
    cut_power()
}

fn cut_power() -> ! {
    // Each returns only when it failed; a reset ends the VMM as well, and PID 1 may not return whatever happens.
    for mode in [RebootMode::RB_POWER_OFF, RebootMode::RB_AUTOBOOT] {
        let _ = reboot(mode);
    }
    loop {
        sleep(Duration::from_secs(1));
    }
}

/// Powers off from another process should this one hang in the kernel.
fn arm_watchdog() {
    // SAFETY: the agent has one thread.
    if let Ok(ForkResult::Child) = unsafe { fork() } {
        mark_child();
        let deadline = Instant::now() + SYNC_BUDGET;
        while let Some(rest) = deadline.checked_duration_since(Instant::now()) {
            sleep(rest);
        }
        cut_power();
    }
}

/// Signals every process but PID 1 and collects them: their open files would keep the disks busy.
fn kill_everything() {
    // ESRCH: there was nobody.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    let deadline = Instant::now() + KILL_BUDGET;
    while Instant::now() < deadline {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            _ => sleep(Duration::from_millis(2)),
        }
    }
}
