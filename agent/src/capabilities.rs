//! Capability sets of container processes: the container engines' default set, or everything.

use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::libc;

/// The engines' default: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW
/// SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP.
pub const DEFAULT_SET: u64 = 0xa804_25fb;

const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Which capabilities a container may ever have.
pub fn bounding_set(all_capabilities: bool, last_capability: u32) -> u64 {
    let known = u64::MAX >> (63 - last_capability.min(63));
    if all_capabilities {
        known
    } else {
        DEFAULT_SET & known
    }
}

/// The highest capability this kernel knows.
pub fn last_capability() -> Result<u32> {
    let file = "/proc/sys/kernel/cap_last_cap";
    let text = std::fs::read_to_string(file).context(|| format!("read {file}"))?;
    Ok(text.trim().parse().unwrap_or(40))
}

/// Removes every capability outside `keep` from the calling process's bounding set.
pub fn limit_bounding_set(keep: u64, last_capability: u32) -> Result<()> {
    for capability in (0..=last_capability).filter(|capability| keep & (1 << capability) == 0) {
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory of ours.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        Errno::result(result).context(|| format!("drop capability {capability}"))?;
    }
    Ok(())
}

/// Makes `set` the calling process's permitted and effective set and empties the inheritable one.
pub fn set_permitted(set: u64) -> Result<()> {
    let header = CapHeader {
        version: VERSION_3,
        pid: 0,
    };
    let half = |bits: u32| CapData {
        effective: bits,
        permitted: bits,
        inheritable: 0,
    };
    let data = [half(set as u32), half((set >> 32) as u32)];
    // SAFETY: header and data outlive the call and have the layout that version 3 asks for.
    let result = unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) };
    Errno::result(result)
        .map(drop)
        .context(|| "set capabilities".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_set_is_the_engines_set() {
        let names = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];
        assert_eq!(
            names.iter().fold(0, |set, bit| set | 1u64 << bit),
            DEFAULT_SET
        );
    }

    #[test]
    fn sets_hold_only_what_the_kernel_knows() {
        assert_eq!(bounding_set(true, 40), (1 << 41) - 1);
        assert_eq!(bounding_set(true, 63), u64::MAX);
        assert_eq!(bounding_set(false, 40), DEFAULT_SET);
        assert_eq!(bounding_set(false, 10), DEFAULT_SET & 0x7ff);
    }
}
