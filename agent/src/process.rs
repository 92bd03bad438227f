//! The last steps of a process of the container, between `fork` and `execve`, and how their failure is told.
//! Runs in the child, which is alone: errors go through a pipe that a successful `execve` closes.

use crate::capabilities::{bounding_set, last_capability, limit_bounding_set, set_permitted};
use crate::error::{AgentError, Context, Result};
use crate::program::{build_environment, c_strings, candidates, lookup};
use crate::users::{Identity, resolve_user};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, execve, fchown, pipe2, setgroups, setresgid, setresuid, setsid, write};
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

/// Open files of a process: soft as programs expect it, hard as container engines have it.
const OPEN_FILES: (u64, u64) = (1024, 524_288);
/// Largest `/etc/passwd` and `/etc/group` that are read.
const ACCOUNT_FILE_LIMIT: u64 = 1024 * 1024;
/// Longest error text a child sends.
pub const FAILURE_LIMIT: usize = 4096;

/// What to execute, and as whom, once the namespaces are entered.
#[derive(Debug)]
pub struct Process<'a> {
    /// Program and arguments; never empty.
    pub args: &'a [String],
    /// Lists of `NAME=value`; later ones win.
    pub env: &'a [&'a [String]],
    /// Created when missing.
    pub working_dir: &'a str,
    /// As the OCI image says it.
    pub user: &'a str,
    /// Lifts the default set of capabilities.
    pub all_capabilities: bool,
    /// What it reads and writes.
    pub streams: Streams<'a>,
}

/// The standard streams of a process.
#[derive(Debug, Clone, Copy)]
pub enum Streams<'a> {
    /// No input; output and error.
    Output(&'a OwnedFd, &'a OwnedFd),
    /// All three, and the controlling terminal.
    Terminal(&'a OwnedFd),
}

/// Runs `steps` in a child; returns only when one failed, after its reason went into `failure`.
pub fn run_child(failure: &OwnedFd, steps: impl FnOnce() -> Result<Infallible>) {
    let Err(error) = steps();
    let text = error.to_string();
    let end = text.len().min(FAILURE_LIMIT);
    // Nobody is left to tell if the parent is gone.
    let _ = write(failure, &text.as_bytes()[..end]);
}

/// A pipe whose ends no program inherits.
pub fn make_pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).context(|| "make a pipe".into())
}

/// Becomes the program. The caller is in the container's namespaces and root already.
pub fn execute(process: &Process<'_>) -> Result<Infallible> {
    let environment = prepare(process)?;
    run_program(process.args, &environment)
}

/// Everything but the program itself; its environment.
pub fn prepare(process: &Process<'_>) -> Result<Vec<String>> {
    reset_signals()?;
    start_session()?;
    umask(Mode::from_bits_truncate(0o022));
    set_limits()?;
    let identity = resolve_user(
        process.user,
        &read_account_file("/etc/passwd")?,
        &read_account_file("/etc/group")?,
    )?;
    enter_working_dir(process.working_dir)?;
    match process.streams {
        Streams::Output(out, err) => connect_output((out, err), &identity)?,
        Streams::Terminal(terminal) => connect_terminal(terminal, &identity)?,
    }
    let environment = build_environment(process.env, &identity.home)?;
    take_identity(&identity, process.all_capabilities)?;
    Ok(environment)
}

/// Dispositions that the agent set must not be inherited: an ignored SIGPIPE breaks shells' pipelines.
fn reset_signals() -> Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGPIPE, Signal::SIGCHLD] {
        // SAFETY: installs no handler.
        unsafe { sigaction(signal, &default) }.context(|| format!("reset {signal}"))?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .context(|| "unblock signals".into())
}

fn start_session() -> Result<()> {
    setsid().map(drop).context(|| "start a session".into())
}

fn set_limits() -> Result<()> {
    let (soft, hard) = OPEN_FILES;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).context(|| "limit open files".into())?;
    // The kernel derives a small default from the memory at boot; the guest's cgroup is the limit that counts.
    setrlimit(Resource::RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY)
        .context(|| "lift the limit of processes".into())
}

/// Empty when there is none, as in an image from scratch. Anything but a plain file is refused: a FIFO would block.
fn read_account_file(path: &str) -> Result<String> {
    let mut options = OpenOptions::new();
    let file = match options.read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(String::new());
        }
        opened => opened.context(|| format!("open {path}"))?,
    };
    let is_plain = file
        .metadata()
        .context(|| format!("read {path}"))?
        .is_file();
    if !is_plain {
        return Err(AgentError::Failed(format!(
            "Cannot read {path}: not a plain file"
        )));
    }
    let mut bytes = Vec::new();
    file.take(ACCOUNT_FILE_LIMIT)
        .read_to_end(&mut bytes)
        .context(|| format!("read {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn enter_working_dir(path: &str) -> Result<()> {
    let absolute = format!("/{}", path.trim_start_matches('/'));
    fs::create_dir_all(&absolute)
        .and_then(|()| std::env::set_current_dir(&absolute))
        .context(|| format!("enter working directory \"{absolute}\""))
}

/// The pipes are given to the user, so that a program may open `/dev/stdout` again.
fn connect_output(output: (&OwnedFd, &OwnedFd), identity: &Identity) -> Result<()> {
    let null = open(
        "/dev/null",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .context(|| "open /dev/null".into())?;
    connect_streams([&null, output.0, output.1])?;
    for end in [output.0, output.1] {
        fchown(end, Some(Uid::from_raw(identity.uid)), None)
            .context(|| "hand over the output pipe".into())?;
    }
    Ok(())
}

/// The caller leads a session that has no terminal yet.
fn connect_terminal(terminal: &OwnedFd, identity: &Identity) -> Result<()> {
    connect_streams([terminal; 3])?;
    // SAFETY: takes a number.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) };
    Errno::result(result).context(|| "take the terminal".into())?;
    fchown(terminal, Some(Uid::from_raw(identity.uid)), None)
        .context(|| "hand over the terminal".into())
}

fn connect_streams(streams: [&OwnedFd; 3]) -> Result<()> {
    for (from, to) in streams.into_iter().zip(0..) {
        // SAFETY: the child has one thread and replaces its own standard descriptors.
        let result = unsafe { libc::dup2(from.as_raw_fd(), to) };
        Errno::result(result).context(|| "connect the standard streams".into())?;
    }
    Ok(())
}

fn take_identity(identity: &Identity, all_capabilities: bool) -> Result<()> {
    let last = last_capability()?;
    let bounding = bounding_set(all_capabilities, last);
    limit_bounding_set(bounding, last)?;
    let groups: Vec<_> = identity.groups.iter().map(|&gid| gid.into()).collect();
    setgroups(&groups).context(|| "set the supplementary groups".into())?;
    let (uid, gid) = (identity.uid.into(), identity.gid.into());
    setresgid(gid, gid, gid).context(|| format!("become group {gid}"))?;
    setresuid(uid, uid, uid).context(|| format!("become user {uid}"))?;
    // Any other user lost its capabilities with the change of ids.
    if uid.is_root() {
        set_permitted(bounding)?;
    }
    Ok(())
}

/// Becomes the program, last of all; the reason on failure.
pub fn run_program(args: &[String], environment: &[String]) -> Result<Infallible> {
    let program = &args[0];
    let path = lookup(environment, "PATH").unwrap_or_default();
    let (argv, envp) = (c_strings(args)?, c_strings(environment)?);
    close_others()?;
    let mut failure = Errno::ENOENT;
    for candidate in candidates(program, path) {
        // Bare names skip what is no program, as shells do; a denied one is remembered over a missing one.
        if !program.contains('/') && fs::metadata(&candidate).is_ok_and(|file| file.is_dir()) {
            continue;
        }
        let file = CString::new(candidate.as_str())
            .map_err(|_| AgentError::Invalid("args may not hold NUL".into()))?;
        match execve(&file, &argv, &envp) {
            Ok(never) => return Ok(never),
            Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) if !program.contains('/') => {
                if let Some(found) = interpreter_missing(&candidate) {
                    return Err(found);
                }
                failure = if failure == Errno::EACCES {
                    failure
                } else {
                    errno
                };
            }
            Err(Errno::EACCES) if !program.contains('/') => failure = Errno::EACCES,
            Err(errno) => {
                return Err(interpreter_missing(&candidate)
                    .filter(|_| errno == Errno::ENOENT)
                    .unwrap_or_else(|| cannot_execute(program, errno.desc())));
            }
        }
    }
    match failure {
        Errno::EACCES => Err(cannot_execute(program, failure.desc())),
        _ => Err(cannot_execute(program, "not found in PATH")),
    }
}

/// A program that is there but "not found" asks for a loader or interpreter that is not.
fn interpreter_missing(candidate: &str) -> Option<AgentError> {
    let metadata = fs::metadata(candidate).ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        .then(|| cannot_execute(candidate, "its interpreter or loader is missing"))
}

fn cannot_execute(program: &str, reason: &str) -> AgentError {
    AgentError::Invalid(format!("Cannot execute \"{program}\": {reason}"))
}

/// Nothing but the standard streams is inherited.
fn close_others() -> Result<()> {
    // SAFETY: marks descriptors of this process only; they stay usable until the program starts.
    let result =
        unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
    Errno::result(result)
        .map(drop)
        .context(|| "close the agent's files".into())
}

/// Puts the calling process into the app's cgroup. A nested engine may have made it an inner node, which takes no
/// processes; then the caller stays outside.
pub fn join_app_cgroup() -> Result<()> {
    let file = format!("{}/cgroup.procs", crate::mounts::APP_CGROUP);
    match fs::write(&file, "0") {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(()),
        written => written.context(|| "join the app's cgroup".into()),
    }
}
