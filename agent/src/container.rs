//! Starts the user's container: one process that is PID 1 of its own namespaces and shares the guest's network.

use crate::children::{Child, Children, Exit, PidNamespace};
use crate::devices::limit_devices;
use crate::error::{AgentError, Context, Result};
use crate::process::{
    FAILURE_LIMIT, Process, Streams, execute, join_app_cgroup, make_pipe, run_child,
};
use crate::protocol::ContainerSpec;
use crate::rootfs::enter_rootfs;
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, sethostname};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// From fork to the first program. Must stay inside the host's time for `POST /v1/start` (`START_TIMEOUT_MS`).
const START_BUDGET: Duration = Duration::from_secs(20);

/// Every namespace of the container but that of PIDs, which a child gets from its parent.
pub const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWCGROUP);

/// A container whose program was started.
#[derive(Debug)]
pub struct Container {
    /// Of its first process, in the guest's own PID namespace.
    pub pid: Pid,
    /// A pidfd of that process: names its namespaces whatever happens to the number.
    pub process: OwnedFd,
    /// What it was started with.
    pub spec: ContainerSpec,
}

/// A container and what comes out of it.
#[derive(Debug)]
pub struct Started {
    /// To run further programs in.
    pub container: Container,
    /// Resolves when its first process ended and with it all others.
    pub exit: oneshot::Receiver<Exit>,
    /// Standard output and error of all its processes.
    pub output: pipe::Receiver,
}

/// Starts the container; on return its program runs. The error says which step failed.
pub async fn start_container(children: &Children, spec: ContainerSpec) -> Result<Started> {
    if !spec.all_capabilities {
        limit_devices()?;
    }
    let (failure, failure_end) = make_pipe()?;
    let (output, output_end) = make_pipe()?;
    let child = children.spawn(PidNamespace::New, || {
        run_child(&failure_end, || {
            join_app_cgroup()?;
            unshare(NAMESPACES).context(|| "make the container's namespaces".into())?;
            sethostname(&spec.hostname).context(|| "set the hostname".into())?;
            enter_rootfs(&spec)?;
            execute(&Process {
                args: &spec.args,
                env: &[&spec.env],
                working_dir: &spec.working_dir,
                user: &spec.user,
                all_capabilities: spec.all_capabilities,
                streams: Streams::Output(&output_end, &output_end),
            })
        });
    })?;
    drop((failure_end, output_end));
    let process = open_pidfd(child.pid)?;
    let child = wait_until_executed(children, child, failure, START_BUDGET).await?;
    Ok(Started {
        container: Container {
            pid: child.pid,
            process,
            spec,
        },
        exit: child.exit,
        output: open_reader(output)?,
    })
}

/// Waits until the child has executed its program. If it could not, collects it and fails with its reason.
pub async fn wait_until_executed(
    children: &Children,
    mut child: Child,
    failure: OwnedFd,
    budget: Duration,
) -> Result<Child> {
    let mut reason = Vec::new();
    let mut reader = open_reader(failure)?.take(FAILURE_LIMIT as u64);
    let read = timeout(budget, reader.read_to_end(&mut reason)).await;
    let reason = match read {
        Ok(Ok(0)) => return Ok(child),
        Ok(Ok(_)) => AgentError::Invalid(String::from_utf8_lossy(&reason).into_owned()),
        Ok(Err(error)) => AgentError::Failed(format!("Cannot follow the start: {error}")),
        Err(_) => AgentError::Failed(format!(
            "The program was not started within {} ms",
            budget.as_millis()
        )),
    };
    children.kill_group(child.pid);
    // It is dead or dying; the reaper tells when it is gone.
    let _ = (&mut child.exit).await;
    Err(reason)
}

/// Makes a pipe's read end readable without blocking.
pub fn open_reader(end: OwnedFd) -> Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(end).context(|| "read from a pipe".into())
}

fn open_pidfd(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: takes two numbers; the descriptor it returns is ours alone.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = Errno::result(result).context(|| "open a handle of the app's process".into())?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
