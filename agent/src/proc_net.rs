//! Reads `/proc/net/tcp` and `/proc/net/tcp6`: who listens in the guest's network namespace.

use crate::error::{Context, Result};

const LISTEN: &str = "0A";

/// Whether any process of the guest listens on the TCP port, on any address of either family.
pub fn is_listening(port: u16) -> Result<bool> {
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match std::fs::read_to_string(table) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            read => read.context(|| format!("read {table}"))?,
        };
        if has_listener(&text, port) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a table in the format of `/proc/net/tcp` has a listener on `port`.
pub fn has_listener(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit_once(':'));
        let state = fields.nth(1);
        state == Some(LISTEN)
            && local.and_then(|(_, digits)| u16::from_str_radix(digits, 16).ok()) == Some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 020000C0:03FF 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1235 1 0 20 4 30 10 -1
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
";

    #[test]
    fn listener_is_found_in_either_table() {
        assert!(has_listener(TCP, 1023));
        assert!(has_listener(TCP6, 80));
    }

    #[test]
    fn connection_is_no_listener() {
        assert!(!has_listener(TCP, 8080));
    }

    #[test]
    fn malformed_tables_have_no_listener() {
        assert!(!has_listener("", 80));
        assert!(!has_listener(
            "head\nx\n 0: zz:00zz 0 0A\n 1: 0050 x 0A\n",
            80
        ));
    }

    #[test]
    fn real_table_shows_a_real_listener() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_listening(port).unwrap());
        drop(listener);
        assert!(!is_listening(port).unwrap());
    }
}
