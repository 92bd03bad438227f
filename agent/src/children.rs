//! Every process the agent starts, and the reaping of every process that ends. PID 1 also inherits orphans, so that
//! one place waits for all and tells the owners.
//!
//! INVARIANTS
//! - `fork` and the entry in the table happen without an await between them, and [`Children::reap`] runs on the same
//!   thread: an exit can never be collected before its owner is known.
//! - A pid in the table is not reaped yet, so that the kernel cannot have given it to another process; signals go to
//!   pids in the table only.

use crate::console::mark_child;
use crate::error::{AgentError, Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use tokio::sync::oneshot;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// Exit code and signal; one of the two is there.
    pub fn split(self) -> (Option<i32>, Option<i32>) {
        match self {
            Self::Code(code) => (Some(code), None),
            Self::Signal(signal) => (None, Some(signal)),
        }
    }
}

/// Where a child's PID namespace comes from.
#[derive(Debug, Clone, Copy)]
pub enum PidNamespace<'a> {
    /// A new one, with the child as its PID 1.
    New,
    /// That of the process behind a pidfd.
    Of(&'a OwnedFd),
}

/// A started process.
#[derive(Debug)]
pub struct Child {
    /// In the guest's own PID namespace.
    pub pid: Pid,
    /// Resolves when it was reaped.
    pub exit: oneshot::Receiver<Exit>,
}

/// The table of processes that are not reaped yet.
#[derive(Debug, Default)]
pub struct Children {
    waiting: RefCell<HashMap<i32, oneshot::Sender<Exit>>>,
}

impl Children {
    /// Forks a child that runs `body` and then exits with 127; `body` is expected to execute a program.
    pub fn spawn(&self, namespace: PidNamespace<'_>, body: impl FnOnce()) -> Result<Child> {
        let own = File::open("/proc/self/ns/pid").context(|| "open the PID namespace".into())?;
        match namespace {
            PidNamespace::New => unshare(CloneFlags::CLONE_NEWPID),
            PidNamespace::Of(process) => setns(process, CloneFlags::CLONE_NEWPID),
        }
        .map_err(ended_or("choose the child's PID namespace"))?;
        // SAFETY: the agent has one thread, so that the child may use the heap and any library.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            mark_child();
            body();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(127) }
        }
        setns(&own, CloneFlags::CLONE_NEWPID).context(|| "return to the PID namespace".into())?;
        match forked.map_err(ended_or("start a process"))? {
            ForkResult::Parent { child } => {
                let (sender, exit) = oneshot::channel();
                self.waiting.borrow_mut().insert(child.as_raw(), sender);
                Ok(Child { pid: child, exit })
            }
            ForkResult::Child => Err(AgentError::Failed("A child outlived its body".into())),
        }
    }

    /// Collects every process that has ended. Call on each SIGCHLD, which may stand for many.
    pub fn reap(&self) {
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(_) => continue,
            };
            if let Some(owner) = self.waiting.borrow_mut().remove(&pid.as_raw()) {
                // An owner that stopped waiting loses nothing.
                let _ = owner.send(exit);
            }
        }
    }

    /// Signals a process unless it was reaped.
    pub fn signal(&self, pid: Pid, signal: Signal) {
        if self.waiting.borrow().contains_key(&pid.as_raw()) {
            // It may have ended a moment ago; it is reaped all the same.
            let _ = kill(pid, signal);
        }
    }

    /// Kills a process and its group unless it was reaped.
    pub fn kill_group(&self, pid: Pid) {
        if self.waiting.borrow().contains_key(&pid.as_raw()) {
            // Before the child made its own group there is none; then it is alone.
            let _ = killpg(pid, Signal::SIGKILL);
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// The kernel says ESRCH or ENOMEM for a PID namespace whose first process has ended.
fn ended_or(action: &'static str) -> impl FnOnce(Errno) -> AgentError {
    move |errno| match errno {
        Errno::ESRCH | Errno::ENOMEM => AgentError::WrongOrder("The app does not run".into()),
        _ => AgentError::System {
            action: action.into(),
            errno,
        },
    }
}
