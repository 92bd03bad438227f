//! Which devices the app's cgroup may open: the container engines' list, enforced by a small BPF program, because root in
//! the container may make any device node, the microVM's disks included.

use crate::error::{Context, Result};
use crate::mounts::APP_CGROUP;
use nix::errno::Errno;
use nix::libc;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// `BPF_DEVCG_ACC_MKNOD` alone
const MAKE_NODE: i32 = 1;
/// `BPF_DEVCG_DEV_CHAR`
const CHARACTER_DEVICE: i32 = 2;

/// Character devices that may be read and written: major, and minor unless all.
const ALLOWED: [(i32, Option<i32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// `struct bpf_insn`: operation, registers (source in the high half), offset, immediate.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Instruction(u8, u8, i16, i32);

/// The head of `union bpf_attr` for loading a program.
#[repr(C)]
struct LoadRequest {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    unused: [u32; 4],
}

/// The head of `union bpf_attr` for attaching one.
#[repr(C)]
struct AttachRequest {
    cgroup: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Limits every process of the app's cgroup, present and future.
pub fn limit_devices() -> Result<()> {
    let cgroup = File::open(APP_CGROUP).context(|| format!("open {APP_CGROUP}"))?;
    let program = load(&device_program()).context(|| "load the device filter".into())?;
    let request = AttachRequest {
        cgroup: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: 0,
    };
    bpf(BPF_PROG_ATTACH, &request)
        .map(drop)
        .context(|| "attach the device filter".into())
}

fn load(program: &[Instruction]) -> nix::Result<OwnedFd> {
    let request = LoadRequest {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        licence: c"Apache-2.0".as_ptr() as u64,
        unused: [0; 4],
    };
    let fd = bpf(BPF_PROG_LOAD, &request)?;
    // SAFETY: the kernel has just made it for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn bpf<T>(command: libc::c_long, request: &T) -> nix::Result<libc::c_long> {
    // SAFETY: the request has the layout that the command reads, and what it points to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, request, size_of::<T>()) };
    Errno::result(result)
}

/// Registers: 0 the verdict, 1 the question, then its type, access, major and minor.
fn device_program() -> Vec<Instruction> {
    const VERDICT: u8 = 0;
    const QUESTION: u8 = 1;
    const KIND: u8 = 2;
    const ACCESS: u8 = 3;
    const MAJOR: u8 = 4;
    const MINOR: u8 = 5;
    let load = |to: u8, offset: i16| Instruction(0x61, to | QUESTION << 4, offset, 0);
    let skip_unless =
        |register: u8, value: i32, count: i16| Instruction(0x55, register, count, value);
    let skip_if = |register: u8, value: i32, count: i16| Instruction(0x15, register, count, value);
    let answer = |verdict: i32| {
        [
            Instruction(0xb7, VERDICT, 0, verdict),
            Instruction(0x95, 0, 0, 0),
        ]
    };
    let mut program = vec![
        load(KIND, 0),
        load(ACCESS, 0),
        Instruction(0x57, KIND, 0, 0xffff),
        Instruction(0x77, ACCESS, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
        skip_unless(ACCESS, MAKE_NODE, 2),
    ];
    program.extend(answer(1));
    program.push(skip_if(KIND, CHARACTER_DEVICE, 2));
    program.extend(answer(0));
    for (major, minor) in ALLOWED {
        program.push(skip_unless(MAJOR, major, 2 + i16::from(minor.is_some())));
        program.extend(minor.map(|minor| skip_unless(MINOR, minor, 2)));
        program.extend(answer(1));
    }
    program.extend(answer(0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn allows(access: u32, kind: u32, major: u32, minor: u32) -> bool {
        let program = device_program();
        let question = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0;
        loop {
            let Instruction(operation, pair, offset, immediate) = program[at];
            let (to, value) = ((pair & 15) as usize, immediate as u64);
            at += 1;
            match operation {
                0x61 => registers[to] = u64::from(question[offset as usize / 4]),
                0x57 => registers[to] &= value,
                0x77 => registers[to] >>= value,
                0xb7 => registers[to] = value,
                0x15 if registers[to] == value => at += offset as usize,
                0x55 if registers[to] != value => at += offset as usize,
                0x15 | 0x55 => {}
                0x95 => return registers[0] == 1,
                other => panic!("operation {other:#x}"),
            }
        }
    }

    #[test]
    fn listed_devices_may_be_used() {
        for (major, minor) in ALLOWED {
            assert!(allows(2, 2, major as u32, minor.unwrap_or(7) as u32));
            assert!(allows(6, 2, major as u32, minor.unwrap_or(7) as u32));
        }
    }

    #[test]
    fn other_devices_may_be_made_but_not_used() {
        for (kind, major, minor) in [(1, 254, 16), (1, 1, 3), (2, 1, 1), (2, 5, 3), (2, 10, 200)] {
            assert!(allows(1, kind, major, minor));
            for access in [2, 4, 6, 3] {
                assert!(
                    !allows(access, kind, major, minor),
                    "{kind} {major}:{minor}"
                );
            }
        }
    }
}
