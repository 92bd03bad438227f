//! Shell sessions: each a shell on a terminal, kept apart from the connection that shows it, which ends with every
//! suspend. A session remembers what was not yet confirmed to have arrived, so that its next connection goes on from
//! the very byte where the last one broke off.
//!
//! INVARIANTS
//! - Bytes are counted from the start of the session, in either direction; no offset ever goes back.
//! - Output is kept until the host confirms it, and the terminal is not read while [`OUTPUT_LIMIT`] bytes are kept: a slow
//!   client slows its programs down.
//! - The newest connection has the session; an older one ends.

use crate::children::Children;
use crate::console::report;
use crate::container::Container;
use crate::error::{AgentError, Result};
use crate::pty::{Terminal, resize, start_shell};
use nix::errno::Errno;
use nix::unistd::{read, write};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// Sessions at once.
pub const SESSION_LIMIT: usize = 16;
/// Output that is kept for a client that has not confirmed it.
const OUTPUT_LIMIT: usize = 256 * 1024;
/// Input that waits for a program to read it.
const INPUT_LIMIT: usize = 64 * 1024;
/// Output that is still read after the shell's end: what the terminal holds by then is far less.
const LAST_OUTPUT_LIMIT: usize = 64 * 1024;
/// How long a session waits for its next connection. Time that the guest spends suspended does not count.
const DETACHED_BUDGET: Duration = Duration::from_secs(60);
/// From the hang-up to the kill of a shell that does not heed it.
const HANGUP_BUDGET: Duration = Duration::from_secs(5);

/// The sessions, by the id that the host gave them.
#[derive(Debug, Default)]
pub struct Shells {
    sessions: RefCell<HashMap<String, Rc<Session>>>,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    state: RefCell<State>,
    /// Rung at every change of the state.
    pub changed: Notify,
}

#[derive(Debug)]
struct State {
    output: VecDeque<u8>,
    /// Offset of the first byte that is kept.
    output_start: u64,
    input: VecDeque<u8>,
    /// Offset one past the last byte that was taken over.
    input_end: u64,
    size: Option<(u16, u16)>,
    has_exited: bool,
    /// The host needs the session no more.
    is_released: bool,
    /// Counts the connections that had the session.
    connection: u64,
    /// Since when no connection has it.
    detached_at: Option<Instant>,
}

/// What a connection has to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Pending {
    /// This input was taken over.
    Received(u64),
    /// Output from the connection's place on.
    Output(Vec<u8>),
    /// All is sent, and no more will come.
    End,
}

impl Shells {
    /// Starts a session. Fails when there are too many, or one with this id.
    pub async fn open(
        self: &Rc<Self>,
        children: &Rc<Children>,
        container: &Container,
        id: &str,
    ) -> Result<Rc<Session>> {
        let session = self.reserve(id)?;
        match start_shell(children, container).await {
            Ok(terminal) => {
                let (shells, children, id) = (Rc::clone(self), Rc::clone(children), id.to_owned());
                let running = Rc::clone(&session);
                tokio::task::spawn_local(async move {
                    run(&children, &running, terminal).await;
                    shells.sessions.borrow_mut().remove(&id);
                });
                Ok(session)
            }
            Err(error) => {
                self.sessions.borrow_mut().remove(id);
                Err(error)
            }
        }
    }

    /// The session of that id, if it was not forgotten.
    pub fn find(&self, id: &str) -> Result<Rc<Session>> {
        let found = self.sessions.borrow().get(id).map(Rc::clone);
        found.ok_or_else(|| AgentError::Gone("The shell session has ended".into()))
    }

    /// Takes the place before the shell starts, so that many at once cannot pass the limit together.
    fn reserve(&self, id: &str) -> Result<Rc<Session>> {
        let mut sessions = self.sessions.borrow_mut();
        if sessions.len() >= SESSION_LIMIT {
            let text = format!("There are {SESSION_LIMIT} shell sessions already");
            return Err(AgentError::TooMany(text));
        }
        if sessions.contains_key(id) {
            return Err(AgentError::WrongOrder("The session exists".into()));
        }
        let session = Rc::new(Session::new());
        sessions.insert(id.to_owned(), Rc::clone(&session));
        Ok(session)
    }
}

impl Session {
    fn new() -> Self {
        Self {
            state: RefCell::new(State {
                output: VecDeque::new(),
                output_start: 0,
                input: VecDeque::new(),
                input_end: 0,
                size: None,
                has_exited: false,
                is_released: false,
                connection: 0,
                detached_at: Some(Instant::now()),
            }),
            changed: Notify::new(),
        }
    }

    /// Gives the session to a new connection that has the output up to `output`; tells which number it has and how much
    /// input was taken over. Fails when that output is not there to go on from.
    pub fn attach(&self, output: u64) -> Result<(u64, u64)> {
        let mut state = self.state.borrow_mut();
        let end = state.output_end();
        if output < state.output_start || output > end {
            return Err(AgentError::Invalid("No such output offset".into()));
        }
        state.confirm(output);
        state.connection += 1;
        state.detached_at = None;
        let attached = (state.connection, state.input_end);
        drop(state);
        self.changed.notify_waiters();
        Ok(attached)
    }

    /// The connection is over; unless a newer one has the session, it waits for the next.
    pub fn detach(&self, connection: u64) {
        let mut state = self.state.borrow_mut();
        if state.connection == connection {
            state.detached_at = Some(Instant::now());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Whether the connection is the newest.
    pub fn has(&self, connection: u64) -> bool {
        self.state.borrow().connection == connection
    }

    /// Takes over what was typed, once there is room for it; false when the connection is not the newest any more.
    pub async fn take_input(&self, connection: u64, bytes: &[u8]) -> bool {
        while self.has(connection) && self.state.borrow().input.len() >= INPUT_LIMIT {
            self.changed.notified().await;
        }
        if !self.has(connection) {
            return false;
        }
        let mut state = self.state.borrow_mut();
        // A shell that has exited reads no more; its input is as good as read.
        if !state.has_exited {
            state.input.extend(bytes);
        }
        state.input_end += bytes.len() as u64;
        drop(state);
        self.changed.notify_waiters();
        true
    }

    /// Drops output that the host has.
    pub fn confirm(&self, offset: u64) {
        self.state.borrow_mut().confirm(offset);
        self.changed.notify_waiters();
    }

    /// Sets the size of the terminal.
    pub fn set_size(&self, columns: u16, rows: u16) {
        self.state.borrow_mut().size = Some((columns, rows));
        self.changed.notify_waiters();
    }

    /// Ends the session: nobody will ask for it again.
    pub fn release(&self) {
        self.state.borrow_mut().is_released = true;
        self.changed.notify_waiters();
    }

    /// What is next for a connection that has confirmed `received` of the input and sent the output up to `sent`.
    pub fn pending(&self, received: u64, sent: u64, limit: usize) -> Option<Pending> {
        let state = self.state.borrow();
        if state.input_end > received {
            return Some(Pending::Received(state.input_end));
        }
        let from = sent.saturating_sub(state.output_start) as usize;
        if from < state.output.len() {
            let bytes = state.output.range(from..).take(limit).copied();
            return Some(Pending::Output(bytes.collect()));
        }
        state.has_exited.then_some(Pending::End)
    }
}

impl State {
    fn output_end(&self) -> u64 {
        self.output_start + self.output.len() as u64
    }

    fn confirm(&mut self, offset: u64) {
        let offset = offset.clamp(self.output_start, self.output_end());
        self.output.drain(..(offset - self.output_start) as usize);
        self.output_start = offset;
    }

    /// When the session is given up unless a connection comes.
    fn deadline(&self) -> Option<Instant> {
        self.detached_at.map(|at| at + DETACHED_BUDGET)
    }
}

/// From a shell that runs to a session that is forgotten.
async fn run(children: &Children, session: &Session, terminal: Terminal) {
    let Terminal { master, mut child } = terminal;
    let mut has_exited = false;
    // SAFETY: the descriptor is owned by the result and lives as long as it.
    match unsafe { AsyncFd::register(master) } {
        Ok(master) => {
            tokio::select! {
                _ = &mut child.exit => {
                    drain(session, &master);
                    has_exited = true;
                }
                () = carry(session, &master) => {}
                () = given_up(session) => {}
            }
            // Closes our end: the kernel hangs up on whoever is left on the terminal.
        }
        Err(error) => report(&format!("shell: {error}")),
    }
    // An exit is told once; asking again would be a fault.
    if !has_exited && timeout(HANGUP_BUDGET, &mut child.exit).await.is_err() {
        children.kill_group(child.pid);
        // It is dying; the reaper tells when it is gone.
        let _ = (&mut child.exit).await;
    }
    session.state.borrow_mut().has_exited = true;
    session.changed.notify_waiters();
    given_up(session).await;
}

/// Carries bytes between terminal and session until nobody has the terminal open.
async fn carry(session: &Session, master: &AsyncFd<OwnedFd>) {
    loop {
        let (has_room, has_input, size) = {
            let mut state = session.state.borrow_mut();
            let has_room = state.output.len() < OUTPUT_LIMIT;
            (has_room, !state.input.is_empty(), state.size.take())
        };
        if let Some((columns, rows)) = size {
            // A terminal that takes no size has ended, and that shows below.
            let _ = resize(master.get_ref(), columns, rows);
        }
        let is_open = tokio::select! {
            ready = master.readable(), if has_room => match ready {
                Ok(mut ready) => match read_some(session, master.get_ref()) {
                    Err(Errno::EAGAIN) => {
                        ready.clear_ready();
                        true
                    }
                    Ok(0) | Err(_) => false,
                    Ok(_) => true,
                },
                Err(_) => false,
            },
            ready = master.writable(), if has_input => match ready {
                Ok(mut ready) => match write_some(session, master.get_ref()) {
                    Err(Errno::EAGAIN) => {
                        ready.clear_ready();
                        true
                    }
                    written => written.is_ok(),
                },
                Err(_) => false,
            },
            () = session.changed.notified() => true,
        };
        if !is_open {
            return;
        }
        // A program that floods its terminal must not keep the agent from its other work.
        tokio::task::yield_now().await;
    }
}

/// Takes over what the terminal holds when the shell has exited.
fn drain(session: &Session, master: &AsyncFd<OwnedFd>) {
    let mut left = LAST_OUTPUT_LIMIT;
    while let Ok(length @ 1..) = read_some(session, master.get_ref()) {
        left = left.saturating_sub(length);
        if left == 0 {
            break;
        }
    }
}

fn read_some(session: &Session, master: &OwnedFd) -> nix::Result<usize> {
    let mut chunk = [0; 8192];
    let length = read(master, &mut chunk)?;
    session.state.borrow_mut().output.extend(&chunk[..length]);
    session.changed.notify_waiters();
    Ok(length)
}

fn write_some(session: &Session, master: &OwnedFd) -> nix::Result<usize> {
    let mut state = session.state.borrow_mut();
    let length = write(master, state.input.as_slices().0)?;
    state.input.drain(..length);
    drop(state);
    session.changed.notify_waiters();
    Ok(length)
}

/// Returns when the host has released the session, or nobody has asked for it in time.
async fn given_up(session: &Session) {
    loop {
        let (is_released, deadline) = {
            let state = session.state.borrow();
            (state.is_released, state.deadline())
        };
        if is_released || deadline.is_some_and(|at| at <= Instant::now()) {
            return;
        }
        match deadline {
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = session.changed.notified() => {}
            },
            None => session.changed.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(session: &Session, bytes: &[u8]) {
        session.state.borrow_mut().output.extend(bytes);
    }

    #[test]
    fn output_is_sent_again_until_it_is_confirmed() {
        let session = Session::new();
        session.attach(0).unwrap();
        shown(&session, b"hello");
        let output = |sent| session.pending(0, sent, 3);
        assert_eq!(output(0), Some(Pending::Output(b"hel".to_vec())));
        assert_eq!(output(3), Some(Pending::Output(b"lo".to_vec())));
        assert_eq!(output(5), None);
        session.confirm(2);
        assert_eq!(output(2), Some(Pending::Output(b"llo".to_vec())));
        session.attach(4).unwrap();
        assert_eq!(output(4), Some(Pending::Output(b"o".to_vec())));
        for gone in [3, 6] {
            assert_eq!(session.attach(gone).unwrap_err().http_status(), 400);
        }
    }

    #[test]
    fn the_end_comes_after_all_output() {
        let session = Session::new();
        shown(&session, b"x");
        session.state.borrow_mut().has_exited = true;
        assert_eq!(
            session.pending(0, 0, 9),
            Some(Pending::Output(b"x".to_vec()))
        );
        assert_eq!(session.pending(0, 1, 9), Some(Pending::End));
    }

    #[test]
    fn input_counts_once_and_only_from_the_newest_connection() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let session = Session::new();
        let (old, _) = session.attach(0).unwrap();
        assert!(runtime.block_on(session.take_input(old, b"ls")));
        assert_eq!(session.pending(0, 0, 9), Some(Pending::Received(2)));
        let (new, received) = session.attach(0).unwrap();
        assert_eq!(received, 2);
        assert!(!runtime.block_on(session.take_input(old, b"!")));
        assert!(runtime.block_on(session.take_input(new, b"\r")));
        assert_eq!(session.state.borrow().input, b"ls\r");
        session.detach(old);
        assert_eq!(session.state.borrow().deadline(), None);
        session.detach(new);
        assert!(session.state.borrow().deadline().is_some());
    }

    #[test]
    fn sessions_are_bounded_and_found_by_their_id() {
        let shells = Shells::default();
        for number in 0..SESSION_LIMIT {
            shells.reserve(&number.to_string()).unwrap();
        }
        assert_eq!(shells.reserve("more").unwrap_err().http_status(), 429);
        assert!(shells.find("3").is_ok());
        assert_eq!(shells.find("more").unwrap_err().http_status(), 410);
    }
}
