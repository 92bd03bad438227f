//! Runs a program inside the container, with bounded time and output.

use crate::children::{Child, Children, PidNamespace};
use crate::container::{Container, NAMESPACES, open_reader, wait_until_executed};
use crate::error::{AgentError, Context, Result};
use crate::process::{Process, Streams, execute, join_app_cgroup, make_pipe, run_child};
use crate::protocol::{EXEC_OUTPUT_LIMIT, ExecRequest, ExecResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sched::setns;
use nix::unistd::Pid;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::timeout;

/// How long output is awaited after the program ended: programs it left behind may hold its pipes for ever.
const DRAIN_BUDGET: Duration = Duration::from_millis(300);

/// Kills the program's process group when the request is given up.
struct KillOnDrop<'a>(&'a Children, Pid);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.0.kill_group(self.1);
    }
}

/// One output stream, cut at [`EXEC_OUTPUT_LIMIT`].
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    is_cut: bool,
}

/// Runs the program to its end or its timeout. Fails when it cannot be executed or the app has ended.
pub async fn run_exec(
    children: &Children,
    container: &Container,
    request: &ExecRequest,
) -> Result<ExecResponse> {
    let limit = Duration::from_millis(request.timeout_ms);
    let started = Instant::now();
    let (failure, failure_end) = make_pipe()?;
    let (stdout, stdout_end) = make_pipe()?;
    let (stderr, stderr_end) = make_pipe()?;
    let spec = &container.spec;
    let child = children.spawn(PidNamespace::Of(&container.process), || {
        run_child(&failure_end, || {
            join_app_cgroup()?;
            setns(&container.process, NAMESPACES).context(|| "enter the container".into())?;
            execute(&Process {
                args: &request.args,
                env: &[&spec.env, &request.env],
                working_dir: request.working_dir.as_deref().unwrap_or(&spec.working_dir),
                user: request.user.as_deref().unwrap_or(&spec.user),
                all_capabilities: spec.all_capabilities,
                streams: Streams::Output(&stdout_end, &stderr_end),
            })
        });
    })?;
    drop((failure_end, stdout_end, stderr_end));
    let _guard = KillOnDrop(children, child.pid);
    let child = wait_until_executed(children, child, failure, limit).await?;
    let rest = limit.saturating_sub(started.elapsed());
    follow(children, child, (stdout, stderr), rest).await
}

/// Collects output until the program ends or `limit` is over.
async fn follow(
    children: &Children,
    mut child: Child,
    streams: (OwnedFd, OwnedFd),
    limit: Duration,
) -> Result<ExecResponse> {
    let (mut stdout, mut stderr) = (open_reader(streams.0)?, open_reader(streams.1)?);
    let (mut out, mut err) = (Output::default(), Output::default());
    let (timed_out, exit) = {
        let mut outputs = pin!(async {
            tokio::join!(
                collect(&mut stdout, &mut out),
                collect(&mut stderr, &mut err)
            );
        });
        let mut is_drained = false;
        let ended = timeout(limit, async {
            loop {
                tokio::select! {
                    () = &mut outputs, if !is_drained => is_drained = true,
                    exit = &mut child.exit => return exit,
                }
            }
        });
        let (timed_out, exit) = match ended.await {
            Ok(exit) => (false, exit),
            Err(_) => {
                children.kill_group(child.pid);
                (true, child.exit.await)
            }
        };
        if !is_drained {
            // What came so far is the answer.
            let _ = timeout(DRAIN_BUDGET, outputs).await;
        }
        (timed_out, exit)
    };
    let exit = exit.map_err(|_| AgentError::Failed("The program was lost".into()))?;
    let (exit_code, signal) = exit.split();
    Ok(ExecResponse {
        exit_code: exit_code.filter(|_| !timed_out),
        signal,
        timed_out,
        stdout: STANDARD.encode(&out.bytes),
        stderr: STANDARD.encode(&err.bytes),
        truncated: out.is_cut || err.is_cut,
    })
}

/// Reads to the end, keeping the first bytes only, so that the program never blocks on a full pipe.
async fn collect(pipe: &mut pipe::Receiver, output: &mut Output) {
    let mut chunk = [0; 8192];
    // A failed read of a pipe is its end.
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let kept = length.min(EXEC_OUTPUT_LIMIT - output.bytes.len());
        output.bytes.extend_from_slice(&chunk[..kept]);
        output.is_cut |= kept < length;
    }
}
