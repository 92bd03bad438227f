//! What the agent knows: the secret, the container, its log and its status. One thread, so cells instead of locks.

use crate::children::{Children, Exit};
use crate::console::report;
use crate::container::{Container, start_container};
use crate::error::{AgentError, Result};
use crate::events::StatusReceiver;
use crate::logs::LogRing;
use crate::protocol::{AppStatus, ContainerSpec, LOG_BYTES};
use crate::shell::Shells;
use crate::teardown::{KILL_BUDGET, TERM_BUDGET, ask_to_end};
use hyper::header::HeaderValue;
use nix::sys::signal::Signal;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

/// From the app's end to power-off: the host reads the last event and log meanwhile.
const FAREWELL: Duration = Duration::from_secs(2);
/// For the last output after the last process: the pipe is closed by then.
const DRAIN_BUDGET: Duration = Duration::from_secs(1);

/// The agent's state.
#[derive(Debug)]
pub struct Agent {
    /// Every process it started.
    pub children: Rc<Children>,
    /// The app's output.
    pub log: RefCell<LogRing>,
    /// The shells in the container.
    pub shells: Rc<Shells>,
    secret: OnceCell<String>,
    container: OnceCell<Rc<Container>>,
    status: watch::Sender<Option<AppStatus>>,
    poweroff: Notify,
}

impl Agent {
    /// An agent that was not started.
    #[expect(clippy::new_without_default, reason = "it is made once, in main")]
    pub fn new() -> Self {
        Self {
            children: Rc::default(),
            log: RefCell::new(LogRing::new(LOG_BYTES)),
            shells: Rc::default(),
            secret: OnceCell::new(),
            container: OnceCell::new(),
            status: watch::Sender::new(None),
            poweroff: Notify::new(),
        }
    }

    /// Takes the secret of the first start; a second start is refused.
    pub fn claim(&self, secret: String) -> Result<()> {
        self.secret
            .set(secret)
            .map_err(|_| AgentError::WrongOrder("The guest was started before".into()))
    }

    /// Refuses a caller without the secret.
    pub fn authorise(&self, header: Option<&HeaderValue>) -> Result<()> {
        let Some(secret) = self.secret.get() else {
            return Err(AgentError::WrongOrder("The guest was not started".into()));
        };
        let given = header
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .unwrap_or_default();
        if is_same(given, secret.as_bytes()) {
            Ok(())
        } else {
            Err(AgentError::Unauthorized)
        }
    }

    /// Starts the app unless what came before failed. Whatever happens is told by the status.
    pub async fn start_app(self: &Rc<Self>, prepared: Result<()>, spec: ContainerSpec) {
        let started = match prepared {
            Ok(()) => start_container(&self.children, spec).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(started) => {
                let pid = started.container.pid.as_raw();
                // Only a start that was claimed gets here, and only once.
                let _ = self.container.set(Rc::new(started.container));
                self.status.send_replace(Some(AppStatus::Running { pid }));
                let pump = spawn_local(Rc::clone(self).pump_output(started.output));
                spawn_local(Rc::clone(self).watch_app(started.exit, pump));
            }
            Err(error) => {
                let reason = error.to_string();
                report(&format!("app not started: {reason}"));
                self.status.send_replace(Some(AppStatus::Failed { reason }));
            }
        }
    }

    /// The container, if its app runs.
    pub fn running_container(&self) -> Result<Rc<Container>> {
        match (&*self.status.borrow(), self.container.get()) {
            (Some(AppStatus::Running { .. }), Some(container)) => Ok(Rc::clone(container)),
            _ => Err(AgentError::WrongOrder("The app does not run".into())),
        }
    }

    /// A view of the app's status that is told of changes.
    pub fn follow_status(&self) -> StatusReceiver {
        self.status.subscribe()
    }

    /// Makes [`Agent::wait_for_end`] end the app.
    pub fn request_poweroff(&self) {
        self.poweroff.notify_one();
    }

    /// Returns when the guest is to power off: a while after the app's end, or on request.
    pub async fn wait_for_end(&self) {
        tokio::select! {
            () = self.app_ended() => {
                tokio::select! {
                    () = sleep(FAREWELL) => {}
                    () = self.poweroff.notified() => {}
                }
            }
            () = self.poweroff.notified() => self.end_app().await,
        }
    }

    async fn end_app(&self) {
        let Some(container) = self.container.get() else {
            return;
        };
        ask_to_end(&self.children, container);
        if timeout(TERM_BUDGET, self.app_ended()).await.is_err() {
            self.children.signal(container.pid, Signal::SIGKILL);
            // What does not die now is left to the teardown.
            let _ = timeout(KILL_BUDGET, self.app_ended()).await;
        }
    }

    async fn app_ended(&self) {
        let mut status = self.status.subscribe();
        // The sender lives as long as the agent.
        let _ = status
            .wait_for(|status| status.as_ref().is_some_and(AppStatus::is_final))
            .await;
    }

    async fn pump_output(self: Rc<Self>, mut output: pipe::Receiver) {
        let mut chunk = [0; 8192];
        // A failed read of a pipe is its end.
        while let Ok(length @ 1..) = output.read(&mut chunk).await {
            self.log.borrow_mut().push(&chunk[..length]);
        }
    }

    async fn watch_app(self: Rc<Self>, exit: oneshot::Receiver<Exit>, pump: JoinHandle<()>) {
        // The reaper answers for every child; losing one counts as killed.
        let exit = exit.await.unwrap_or(Exit::Signal(Signal::SIGKILL as i32));
        // Output that comes later than this is not the last anybody waits for.
        let _ = timeout(DRAIN_BUDGET, pump).await;
        let (exit_code, signal) = exit.split();
        self.status.send_replace(Some(AppStatus::Exited {
            exit_code,
            signal,
            last_output: self.log.borrow().tail(),
        }));
    }
}

/// Takes as long for a wrong secret as for the right one.
fn is_same(given: &[u8], secret: &[u8]) -> bool {
    let difference = given
        .iter()
        .zip(secret)
        .fold(0, |difference, (a, b)| difference | (a ^ b));
    given.len() == secret.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "00112233445566778899aabbccddeeff";

    fn status_of(agent: &Agent, header: Option<&str>) -> u16 {
        let value = header.map(|text| HeaderValue::from_str(text).unwrap());
        agent
            .authorise(value.as_ref())
            .map_or_else(|error| error.http_status(), |()| 200)
    }

    #[test]
    fn calls_before_the_start_are_out_of_order() {
        assert_eq!(status_of(&Agent::new(), Some("Bearer ")), 409);
    }

    #[test]
    fn only_the_secret_of_the_first_start_is_good() {
        let agent = Agent::new();
        agent.claim(SECRET.into()).unwrap();
        assert_eq!(agent.claim("f".repeat(32)).unwrap_err().http_status(), 409);
        assert_eq!(status_of(&agent, Some(&format!("Bearer {SECRET}"))), 200);
        let wrong = [
            None,
            Some(""),
            Some(SECRET),
            Some("Bearer "),
            Some("Bearer 0011"),
            Some("Bearer ffffffffffffffffffffffffffffffff"),
            Some("Bearer 00112233445566778899aabbccddeeff0"),
        ];
        for header in wrong {
            assert_eq!(status_of(&agent, header), 401, "{header:?}");
        }
    }

    #[test]
    fn nothing_runs_before_the_start() {
        assert_eq!(
            Agent::new().running_container().unwrap_err().http_status(),
            409
        );
    }
}
