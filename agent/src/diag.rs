//! Ends TCP connections that a restored guest must not keep: their other ends belong to another life. Loopback stays.
//! Speaks NETLINK_SOCK_DIAG (inet_diag): one dump a family, then one SOCK_DESTROY a socket.

use crate::error::{AgentError, Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const TCP_LISTEN: u32 = 10;
/// Every state but LISTEN, which has no peer.
const CONNECTION_STATES: u32 = !(1 << TCP_LISTEN);

const HEADER_BYTES: usize = 16;
/// `inet_diag_req_v2`
const REQUEST_BYTES: usize = 56;
/// Of `inet_diag_msg`: family, state, timer and retransmissions come before the socket's identity.
const IDENTITY_AT: usize = 4;
/// `inet_diag_sockid`: ports, addresses, interface, cookie.
const IDENTITY_BYTES: usize = 48;
/// The kernel sizes its datagrams by the reader's buffer and starts with less than this.
const RECEIVE_BYTES: usize = 8 * 1024;

/// A socket as the kernel names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    family: u8,
    identity: [u8; IDENTITY_BYTES],
}

/// One message of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Connection(Connection),
    Done,
    /// 0 acknowledges.
    Error(i32),
}

/// Destroys every TCP connection of the guest's network namespace but those over loopback and the one from `except`.
/// Calling it again finds nothing left to do. Returns how many it ended.
pub fn destroy_connections(except: SocketAddr) -> Result<usize> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )
    .context(|| "open a socket to list connections".into())?;
    let mut destroyed = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        for connection in list_connections(&netlink, family as u8)? {
            let is_kept = connection.is_local() || connection.peer() == except;
            if !is_kept && destroy(&netlink, &connection)? {
                destroyed += 1;
            }
        }
    }
    Ok(destroyed)
}

fn list_connections(netlink: &OwnedFd, family: u8) -> Result<Vec<Connection>> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
    let request = encode_request(
        SOCK_DIAG_BY_FAMILY,
        flags as u16,
        family,
        CONNECTION_STATES,
        &[0; IDENTITY_BYTES],
    );
    send(netlink.as_raw_fd(), &request, MsgFlags::empty())
        .context(|| "ask for connections".into())?;
    let mut connections = Vec::new();
    loop {
        for answer in receive(netlink)? {
            match answer {
                Answer::Connection(connection) => connections.push(connection),
                Answer::Done => return Ok(connections),
                Answer::Error(code) => {
                    return Err(Errno::from_raw(code)).context(|| "list connections".into());
                }
            }
        }
    }
}

/// False when the socket was gone before.
fn destroy(netlink: &OwnedFd, connection: &Connection) -> Result<bool> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
    let request = encode_request(
        SOCK_DESTROY,
        flags as u16,
        connection.family,
        CONNECTION_STATES,
        &connection.identity,
    );
    send(netlink.as_raw_fd(), &request, MsgFlags::empty()).context(|| "end a connection".into())?;
    match receive(netlink)?.as_slice() {
        [Answer::Error(0)] => Ok(true),
        [Answer::Error(code)] if Errno::from_raw(*code) == Errno::ENOENT => Ok(false),
        [Answer::Error(code)] => Err(Errno::from_raw(*code))
            .context(|| format!("end connection {:?}", connection.peer())),
        other => Err(AgentError::Failed(format!(
            "Cannot end a connection: the kernel answered {other:?}"
        ))),
    }
}

fn receive(netlink: &OwnedFd) -> Result<Vec<Answer>> {
    let mut buffer = [0; RECEIVE_BYTES];
    // With MSG_TRUNC the length is that of the whole datagram, so that a cut one is noticed.
    let length = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC)
        .context(|| "read the kernel's list of connections".into())?;
    decode_answers(buffer.get(..length).unwrap_or(&[0]))
}

fn encode_request(
    kind: u16,
    flags: u16,
    family: u8,
    states: u32,
    identity: &[u8; IDENTITY_BYTES],
) -> Vec<u8> {
    let total = HEADER_BYTES + REQUEST_BYTES;
    let mut message = Vec::with_capacity(total);
    message.extend((total as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and sender: one question at a time needs neither.
    message.extend([0; 8]);
    message.extend([family, libc::IPPROTO_TCP as u8, 0, 0]);
    message.extend(states.to_ne_bytes());
    message.extend(identity);
    message
}

fn decode_answers(datagram: &[u8]) -> Result<Vec<Answer>> {
    let malformed = || AgentError::Failed("Cannot read the kernel's list of connections".into());
    let mut answers = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let length = u32_at(rest, 0).ok_or_else(malformed)? as usize;
        let kind = u32_at(rest, 4).ok_or_else(malformed)? as u16;
        let payload = rest.get(HEADER_BYTES..length).ok_or_else(malformed)?;
        answers.push(decode_answer(kind, payload).ok_or_else(malformed)?);
        // Messages start at multiples of four; the last may end without its padding.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(answers)
}

fn decode_answer(kind: u16, payload: &[u8]) -> Option<Answer> {
    match i32::from(kind) {
        libc::NLMSG_DONE => Some(Answer::Done),
        libc::NLMSG_ERROR => Some(Answer::Error((u32_at(payload, 0)? as i32).wrapping_neg())),
        _ => Some(Answer::Connection(Connection {
            family: *payload.first()?,
            identity: payload
                .get(IDENTITY_AT..IDENTITY_AT + IDENTITY_BYTES)?
                .try_into()
                .ok()?,
        })),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Connection {
    fn local(&self) -> SocketAddr {
        self.end(0, 4)
    }

    fn peer(&self) -> SocketAddr {
        self.end(2, 20)
    }

    /// Both ends are in this guest: loopback addresses, or one address talking to itself.
    fn is_local(&self) -> bool {
        let (local, peer) = (self.local().ip(), self.peer().ip());
        local.is_loopback() || peer.is_loopback() || local == peer
    }

    /// Ports and addresses are in network order; IPv4 in IPv6 is given as IPv4.
    fn end(&self, port_at: usize, address_at: usize) -> SocketAddr {
        let port = u16::from_be_bytes([self.identity[port_at], self.identity[port_at + 1]]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.identity[address_at..address_at + 16]);
        let address = if i32::from(self.family) == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
        } else {
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        };
        SocketAddr::new(address, port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(local: &str, peer: &str, mapped: bool) -> Connection {
        let mut identity = [0; IDENTITY_BYTES];
        let mut is_v6 = mapped;
        for (text, port_at, address_at) in [(local, 0, 4), (peer, 2, 20)] {
            let end: SocketAddr = text.parse().unwrap();
            identity[port_at..port_at + 2].copy_from_slice(&end.port().to_be_bytes());
            match end.ip() {
                IpAddr::V4(v4) if mapped => identity[address_at..address_at + 16]
                    .copy_from_slice(&v4.to_ipv6_mapped().octets()),
                IpAddr::V4(v4) => {
                    identity[address_at..address_at + 4].copy_from_slice(&v4.octets());
                }
                IpAddr::V6(v6) => {
                    is_v6 = true;
                    identity[address_at..address_at + 16].copy_from_slice(&v6.octets());
                }
            }
        }
        Connection {
            family: if is_v6 { libc::AF_INET6 } else { libc::AF_INET } as u8,
            identity,
        }
    }

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER_BYTES + payload.len()) as u32)
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn request_has_the_kernels_layout() {
        let identity: [u8; IDENTITY_BYTES] = std::array::from_fn(|index| index as u8);
        let request = encode_request(SOCK_DESTROY, 5, libc::AF_INET as u8, 0xffff_fbff, &identity);
        assert_eq!(request.len(), 72);
        assert_eq!(request[0..8], [72, 0, 0, 0, 21, 0, 5, 0]);
        assert_eq!(request[16..24], [2, 6, 0, 0, 0xff, 0xfb, 0xff, 0xff]);
        assert_eq!(request[24..], identity);
    }

    #[test]
    fn listeners_are_not_asked_for() {
        assert_eq!(CONNECTION_STATES & (1 << 10), 0);
        assert_eq!(CONNECTION_STATES & (1 << 1), 2);
    }

    #[test]
    fn dump_is_read_to_its_end() {
        let first = connection("192.0.0.2:1023", "192.0.0.1:4000", false);
        let mut payload = vec![first.family, 1, 0, 0];
        payload.extend(first.identity);
        payload.extend([0; 20]);
        // An attribute whose length is no multiple of four.
        payload.extend([5, 0, 8, 0, 1]);
        let mut dump = message(SOCK_DIAG_BY_FAMILY, &payload);
        dump.extend(message(libc::NLMSG_DONE as u16, &[0; 4]));
        assert_eq!(
            decode_answers(&dump).unwrap(),
            [Answer::Connection(first), Answer::Done]
        );
    }

    #[test]
    fn acknowledgement_and_error_are_told_apart() {
        let acknowledged = message(libc::NLMSG_ERROR as u16, &[0; 20]);
        assert_eq!(decode_answers(&acknowledged).unwrap(), [Answer::Error(0)]);
        let refused = message(libc::NLMSG_ERROR as u16, &(-2i32).to_ne_bytes());
        assert_eq!(decode_answers(&refused).unwrap(), [Answer::Error(2)]);
    }

    #[test]
    fn malformed_answers_are_refused() {
        for bad in [&[1, 2, 3][..], &[0; 16], &[255; 40], &message(20, &[2])] {
            assert!(decode_answers(bad).is_err());
        }
    }

    #[test]
    fn connections_within_the_guest_are_local() {
        for (local, peer, mapped) in [
            ("127.0.0.1:80", "127.0.0.1:4000", false),
            ("127.0.0.1:80", "127.0.0.1:4000", true),
            ("[::1]:80", "[::1]:4000", false),
            ("192.0.0.2:80", "192.0.0.2:4000", false),
        ] {
            assert!(
                connection(local, peer, mapped).is_local(),
                "{local} {mapped}"
            );
        }
    }

    #[test]
    fn connections_to_elsewhere_are_not_local() {
        for (local, peer, mapped) in [
            ("192.0.0.2:1023", "192.0.0.1:4000", false),
            ("192.0.0.2:4000", "93.184.216.34:443", true),
            ("[2001:db8::1]:80", "[2001:db8::2]:4000", false),
        ] {
            let connection = connection(local, peer, mapped);
            assert!(!connection.is_local(), "{local} {mapped}");
            assert_eq!(connection.peer(), peer.parse().unwrap());
        }
    }
}
