//! The boot sequence. Whatever fails here is told on the console, and the guest powers off.

use nix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{LocalSet, spawn_local};
use torpor_agent::agent::Agent;
use torpor_agent::api::serve;
use torpor_agent::console::{fatal, install_panic_hook, open_console, report};
use torpor_agent::error::{Context, Result};
use torpor_agent::modules::load_modules;
use torpor_agent::mounts::{
    leave_initramfs, make_app_cgroup, mount_disks, mount_kernel_file_systems,
};
use torpor_agent::network::{GUEST_ADDRESS, configure_network};
use torpor_agent::protocol::AGENT_PORT;
use torpor_agent::teardown::shut_down;

fn main() {
    if std::process::id() != 1 {
        eprintln!("torpor-agent: runs as PID 1 of a guest only");
        std::process::exit(2);
    }
    install_panic_hook();
    match boot().and_then(|()| run()) {
        Ok(()) => shut_down(),
        Err(error) => fatal(&error.to_string()),
    }
}

fn boot() -> Result<()> {
    mount_kernel_file_systems()?;
    open_console();
    load_modules();
    leave_initramfs()?;
    configure_network()?;
    mount_disks()?;
    make_app_cgroup()
}

/// Serves the host until the guest is to power off.
fn run() -> Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "start the runtime".into())?;
    LocalSet::new().block_on(&runtime, async {
        let address = SocketAddr::from((GUEST_ADDRESS, AGENT_PORT));
        let listener = TcpListener::bind(address)
            .await
            .context(|| format!("listen on {address}"))?;
        let child_exits = signal(SignalKind::child()).context(|| "wait for children".into())?;
        report(&format!("listening {} ms after boot", uptime_ms()));
        let agent = Rc::new(Agent::new());
        spawn_local(reap(Rc::clone(&agent), child_exits));
        spawn_local(serve(Rc::clone(&agent), listener));
        agent.wait_for_end().await;
        Ok(())
    })
}

async fn reap(agent: Rc<Agent>, mut child_exits: Signal) {
    loop {
        agent.children.reap();
        child_exits.recv().await;
    }
}

fn uptime_ms() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |now| now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000)
}
