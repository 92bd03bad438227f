//! The guest's fixed network: every guest of every image has the same addresses (`src/network/slot.ts`), and what
//! tells them apart is outside, so that a restored clone needs no renumbering.

use crate::error::{AgentError, Context, Result};
use nix::libc::{self, c_ulong};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// The guest's own address.
pub const GUEST_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
/// The slot's end: default route, and the only peer the agent answers.
pub const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 248);
const GATEWAY_MAC: [u8; 6] = [0x06, 0x74, 0x6f, 0x72, 0x70, 0x01];

const INTERFACE: &str = "eth0";
/// The driver finds the device while its module loads; more than a moment means that there is none.
const INTERFACE_WAIT: Duration = Duration::from_secs(5);

/// Settings of the guest's network namespace. The first as engines set it for their containers; the second because the
/// slot has no IPv6 and its discovery would only dirty memory after each restore.
const SETTINGS: [(&str, &str); 3] = [
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv4/ping_group_range", "0 2147483647"),
    ("net/ipv6/conf/eth0/disable_ipv6", "1"),
];

/// Brings up `lo` and `eth0` with address, default route and a permanent neighbour entry for the gateway.
pub fn configure_network() -> Result<()> {
    wait_for_interface()?;
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/{name}");
        fs::write(&path, value).context(|| format!("set {path}"))?;
    }
    let control = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .context(|| "open a control socket".into())?;
    bring_up(&control, "lo")?;
    set_address(&control, libc::SIOCSIFADDR, GUEST_ADDRESS)?;
    set_address(&control, libc::SIOCSIFNETMASK, NETMASK)?;
    bring_up(&control, INTERFACE)?;
    // Without it the first packet after a restore would wait for an answer to ARP.
    add_gateway_neighbour(&control)?;
    add_default_route(&control)
}

fn wait_for_interface() -> Result<()> {
    let path = Path::new("/sys/class/net").join(INTERFACE);
    let deadline = Instant::now() + INTERFACE_WAIT;
    while !path.exists() {
        if Instant::now() >= deadline {
            return Err(AgentError::Failed(format!(
                "No network interface \"{INTERFACE}\" within {} s",
                INTERFACE_WAIT.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn set_address(control: &OwnedFd, request: c_ulong, address: Ipv4Addr) -> Result<()> {
    let mut change = interface_request(INTERFACE);
    change.ifr_ifru.ifru_addr = socket_address(address);
    control_call(control, request, &change).context(|| format!("set {address} on {INTERFACE}"))
}

fn bring_up(control: &OwnedFd, name: &str) -> Result<()> {
    let mut change = interface_request(name);
    change.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    control_call(control, libc::SIOCSIFFLAGS, &change).context(|| format!("bring up {name}"))
}

fn add_gateway_neighbour(control: &OwnedFd) -> Result<()> {
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut entry: libc::arpreq = unsafe { std::mem::zeroed() };
    entry.arp_pa = socket_address(GATEWAY_ADDRESS);
    entry.arp_ha.sa_family = libc::ARPHRD_ETHER;
    for (to, from) in entry.arp_ha.sa_data.iter_mut().zip(GATEWAY_MAC) {
        *to = from as libc::c_char;
    }
    entry.arp_flags = libc::ATF_COM | libc::ATF_PERM;
    entry.arp_dev = interface_name(INTERFACE);
    control_call(control, libc::SIOCSARP, &entry).context(|| "pin the gateway's MAC".into())
}

fn add_default_route(control: &OwnedFd) -> Result<()> {
    // SAFETY: as above.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(GATEWAY_ADDRESS);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    control_call(control, libc::SIOCADDRT, &route).context(|| "add the default route".into())
}

fn control_call<T>(control: &OwnedFd, request: c_ulong, argument: &T) -> nix::Result<()> {
    // SAFETY: each request above is paired with the structure the kernel reads for it.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), request, std::ptr::from_ref(argument)) };
    nix::errno::Errno::result(result).map(drop)
}

fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: as above.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name = interface_name(name);
    request
}

fn interface_name(name: &str) -> [libc::c_char; 16] {
    let mut field = [0; 16];
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    field
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr {
        sa_family: libc::AF_INET as u16,
        sa_data: data,
    }
}
