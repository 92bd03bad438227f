//! The container's view of the file system, made inside its new namespaces: the overlay as root, fresh kernel file
//! systems, the usual devices, hidden and read-only paths, and the files that name host and resolver.

use crate::error::{Context, Result};
use crate::mounts::{ROOTFS, bind_engine_directories, make_directory, mount_on};
use crate::network::GUEST_ADDRESS;
use crate::protocol::ContainerSpec;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root, symlinkat};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Hidden and read-only paths as container engines have them.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Makes the overlay the root of the calling process, which must have its own mount namespace.
pub fn enter_rootfs(spec: &ContainerSpec) -> Result<()> {
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .context(|| "make the mounts private".into())?;
    if spec.all_capabilities {
        bind_engine_directories()?;
    }
    chdir(ROOTFS).context(|| format!("enter {ROOTFS}"))?;
    // The old root lands on top of the new one and is taken off again: no directory of the image is needed for it.
    pivot_root(".", ".").context(|| "pivot to the container's root".into())?;
    umount2(".", MntFlags::MNT_DETACH).context(|| "leave the guest's root".into())?;
    chdir("/").context(|| "enter the container's root".into())?;
    mount_kernel_views(spec.all_capabilities)?;
    mount_devices(spec.all_capabilities)?;
    if !spec.all_capabilities {
        MASKED_PATHS.iter().try_for_each(|path| mask(path))?;
        READ_ONLY_PATHS
            .iter()
            .try_for_each(|path| write_protect(path))?;
    }
    write_identity_files(spec)
}

fn mount_kernel_views(all_capabilities: bool) -> Result<()> {
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mut system = plain;
    system.set(MsFlags::MS_RDONLY, !all_capabilities);
    mount_on("proc", "/proc", plain, "")?;
    mount_on("sysfs", "/sys", system, "")?;
    mount_on("cgroup2", "/sys/fs/cgroup", system, "")
}

/// With all capabilities the kernel's own device directory, so that loop devices, FUSE and the like are there.
fn mount_devices(all_capabilities: bool) -> Result<()> {
    if all_capabilities {
        mount_on("devtmpfs", "/dev", MsFlags::MS_NOSUID, "")?;
    } else {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME;
        mount_on("tmpfs", "/dev", flags, "mode=0755,size=65536k")?;
        for (name, major, minor) in DEVICES {
            let path = format!("/dev/{name}");
            let mode = Mode::from_bits_truncate(0o666);
            mknod(path.as_str(), SFlag::S_IFCHR, mode, makedev(major, minor))
                .context(|| format!("create {path}"))?;
        }
        link("pts/ptmx", "/dev/ptmx")?;
    }
    for (name, target) in DEVICE_LINKS {
        link(target, &format!("/dev/{name}"))?;
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let closed = quiet | MsFlags::MS_NODEV;
    mount_on(
        "devpts",
        "/dev/pts",
        quiet,
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
    )?;
    mount_on("tmpfs", "/dev/shm", closed, "mode=1777,size=65536k")?;
    mount_on("mqueue", "/dev/mqueue", closed, "")
}

fn link(target: &str, path: &str) -> Result<()> {
    match symlinkat(target, nix::fcntl::AT_FDCWD, path) {
        // The kernel's own device directory outlives the first container that links in it.
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno).context(|| format!("link {path}")),
    }
}

fn mask(path: &str) -> Result<()> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(());
    };
    let (source, kind, flags) = if metadata.is_dir() {
        ("tmpfs", Some("tmpfs"), MsFlags::MS_RDONLY)
    } else {
        ("/dev/null", None, MsFlags::MS_BIND)
    };
    mount(Some(source), path, kind, flags, None::<&str>).context(|| format!("hide {path}"))
}

fn write_protect(path: &str) -> Result<()> {
    if !Path::new(path).exists() {
        return Ok(());
    }
    crate::mounts::bind(path, path)?;
    let flags = MsFlags::MS_BIND
        | MsFlags::MS_REMOUNT
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>)
        .context(|| format!("write-protect {path}"))
}

fn write_identity_files(spec: &ContainerSpec) -> Result<()> {
    make_directory("/etc")?;
    replace_file("/etc/resolv.conf", &resolver_file(&spec.nameservers))?;
    replace_file("/etc/hosts", &hosts_file(&spec.hostname))?;
    replace_file("/etc/hostname", &format!("{}\n", spec.hostname))
}

/// Writes a new file in the place of whatever the image has there; a symlink is replaced, not followed.
fn replace_file(path: &str, content: &str) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context(|| format!("replace {path}"));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    options
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .context(|| format!("write {path}"))
}

fn resolver_file(nameservers: &[String]) -> String {
    nameservers
        .iter()
        .map(|address| format!("nameserver {address}\n"))
        .collect()
}

fn hosts_file(hostname: &str) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    if hostname != "localhost" {
        text.push_str(&format!("{GUEST_ADDRESS}\t{hostname}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolver_file_has_a_line_each() {
        let servers = ["192.0.0.1".to_owned(), "9.9.9.9".to_owned()];
        assert_eq!(
            resolver_file(&servers),
            "nameserver 192.0.0.1\nnameserver 9.9.9.9\n"
        );
        assert_eq!(resolver_file(&[]), "");
    }

    #[test]
    fn hosts_file_names_the_guest_once() {
        assert_eq!(hosts_file("localhost").lines().count(), 2);
        assert!(hosts_file("app").ends_with("192.0.0.2\tapp\n"));
    }

    #[test]
    fn file_replaces_a_symlink_instead_of_following_it() {
        let directory = std::env::temp_dir().join(format!("torpor-rootfs-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (link, target) = (directory.join("link"), directory.join("target"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace_file(link.to_str().unwrap(), "new").unwrap();
        let (at_link, at_target) = (fs::read_to_string(&link), fs::read_to_string(&target));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(
            (at_link.unwrap(), at_target.unwrap()),
            ("new".into(), "old".into())
        );
    }
}
