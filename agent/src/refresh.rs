//! Wall clock and kernel randomness from the host: at start and after every restore, before user code relies on either.

use crate::error::{AgentError, Context, Result};
use crate::protocol::{Clock, ENTROPY_BYTES};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::errno::Errno;
use nix::libc;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs::File;
use std::os::fd::AsRawFd;

/// `_IOW('R', 0x03, int[2])`
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
/// `_IO('R', 0x07)`
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// The kernel's `rand_pool_info` with its buffer.
#[repr(C)]
struct RandPoolInfo {
    entropy_bits: i32,
    size: i32,
    bytes: [u8; ENTROPY_BYTES],
}

/// Decodes what the host sends as randomness.
pub fn decode_entropy(text: &str) -> Result<[u8; ENTROPY_BYTES]> {
    STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            AgentError::Invalid(format!("entropy must be {ENTROPY_BYTES} bytes in base64"))
        })
}

/// Sets the wall clock.
pub fn set_clock(clock: &Clock) -> Result<()> {
    let seconds = i64::try_from(clock.epoch_ms / 1000)
        .map_err(|_| AgentError::Invalid("clock.epochMs is out of range".into()))?;
    let nanoseconds = (clock.epoch_ms % 1000) as i64 * 1_000_000;
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(seconds, nanoseconds))
        .context(|| "set the clock".into())
}

/// Mixes `entropy` into the kernel's generator and makes it take a new key at once.
pub fn reseed(entropy: [u8; ENTROPY_BYTES]) -> Result<()> {
    let device = File::open("/dev/urandom").context(|| "open /dev/urandom".into())?;
    let info = RandPoolInfo {
        entropy_bits: ENTROPY_BYTES as i32 * 8,
        size: ENTROPY_BYTES as i32,
        bytes: entropy,
    };
    // SAFETY: the kernel reads `size` bytes behind the two numbers, and they are there.
    let added = unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &info) };
    Errno::result(added).context(|| "add entropy".into())?;
    // SAFETY: takes no argument.
    let reseeded = unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG) };
    Errno::result(reseeded)
        .map(drop)
        .context(|| "reseed the generator".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_must_have_its_exact_size() {
        assert_eq!(decode_entropy(&STANDARD.encode([7; 64])).unwrap(), [7; 64]);
        for bad in [
            STANDARD.encode([7; 63]),
            STANDARD.encode([7; 65]),
            "?".into(),
        ] {
            assert_eq!(decode_entropy(&bad).unwrap_err().http_status(), 400);
        }
    }
}
