//! A terminal of the container and the shell behind it: the pair comes from the container's own devpts, so that its
//! programs find it under the name that `tty` tells them.

use crate::children::{Child, Children, PidNamespace};
use crate::container::{Container, NAMESPACES, wait_until_executed};
use crate::error::{AgentError, Context, Result};
use crate::process::{
    Process, Streams, join_app_cgroup, make_pipe, prepare, run_child, run_program,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::libc;
use nix::pty::Winsize;
use nix::sched::setns;
use nix::sys::stat::{Mode, fstat, major, minor};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// From fork to the shell.
const START_BUDGET: Duration = Duration::from_secs(20);
/// Device numbers of every `ptmx`.
const PTMX: (u64, u64) = (5, 2);
/// Sets the prompt once, after the init files had their say, and only once: what the user sets later stays.
const PROMPT_ONCE: &str = "PROMPT_COMMAND=unset PROMPT_COMMAND; PS1='λ $ '";
const PROMPT: &str = "PS1=λ $ ";

/// A shell that runs on a terminal.
#[derive(Debug)]
pub struct Terminal {
    /// Our end; does not block.
    pub master: OwnedFd,
    /// The shell, leader of a session of its own.
    pub child: Child,
}

/// Starts root's shell in the container, bash if there is one. It has nothing of the image's environment.
pub async fn start_shell(children: &Children, container: &Container) -> Result<Terminal> {
    let (master, slave) = open_pair(container)?;
    let (failure, failure_end) = make_pipe()?;
    let spec = &container.spec;
    let child = children.spawn(PidNamespace::Of(&container.process), || {
        run_child(&failure_end, || {
            join_app_cgroup()?;
            setns(&container.process, NAMESPACES).context(|| "enter the container".into())?;
            let environment = prepare(&Process {
                args: &[],
                env: &[&shell_environment()],
                working_dir: &spec.working_dir,
                user: "0",
                all_capabilities: spec.all_capabilities,
                streams: Streams::Terminal(&slave),
            })?;
            run_program(&["bash".into(), "-l".into()], &environment)
                .or_else(|_| run_program(&["sh".into()], &environment))
        });
    })?;
    drop((failure_end, slave));
    let child = wait_until_executed(children, child, failure, START_BUDGET).await?;
    Ok(Terminal { master, child })
}

/// Tells the terminal's size; the kernel tells its programs when it changed.
pub fn resize(master: &OwnedFd, columns: u16, rows: u16) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel reads one structure, and it is there.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
    Errno::result(result)
        .map(drop)
        .context(|| "resize the terminal".into())
}

fn shell_environment() -> [String; 3] {
    ["TERM=xterm".into(), PROMPT.into(), PROMPT_ONCE.into()]
}

/// A pair of the container's devpts, wherever its programs have pointed the paths of `/dev`.
fn open_pair(container: &Container) -> Result<(OwnedFd, OwnedFd)> {
    let root = format!("/proc/{}/root", container.pid);
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root =
        open(root.as_str(), flags, Mode::empty()).context(|| "open the container's root".into())?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let master = openat2(&root, "dev/pts/ptmx", how)
        .context(|| "open a terminal of the container".into())?;
    let device = fstat(&master)
        .context(|| "look at the terminal".into())?
        .st_rdev;
    if (major(device), minor(device)) != PTMX {
        return Err(AgentError::Failed(
            "Cannot open a terminal: /dev/pts/ptmx of the container is another device".into(),
        ));
    }
    let unlocked: libc::c_int = 0;
    // SAFETY: the kernel reads one number, and it is there.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &unlocked) };
    Errno::result(result).context(|| "unlock the terminal".into())?;
    let flags = (OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).bits();
    // SAFETY: takes flags; the descriptor it returns is ours alone.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let fd = Errno::result(result).context(|| "open the terminal's other end".into())?;
    // SAFETY: as above.
    Ok((master, unsafe { OwnedFd::from_raw_fd(fd) }))
}
