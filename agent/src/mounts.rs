//! The guest's own mounts: kernel file systems, a root that can be pivoted away from, the two disks and their overlay.

use crate::console::report;
use crate::error::{AgentError, Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, chroot};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// The overlay that becomes the container's root.
pub const ROOTFS: &str = "/rootfs";
/// The microVM's own disk.
pub const DISK: &str = "/disk";
/// cgroup of the app and of everything run in its container.
pub const APP_CGROUP: &str = "/sys/fs/cgroup/app";
const LOWER: &str = "/lower";

const IMAGE_DEVICE: &str = "/dev/vda";
const DISK_DEVICE: &str = "/dev/vdb";
/// The driver finds both while its module loads. Well inside the host's time for a boot.
const DEVICE_WAIT: Duration = Duration::from_secs(10);

/// Where nested container engines keep their layers: overlayfs cannot be the upper layer of an overlay, so these are
/// plain directories of the disk.
const ENGINE_DIRECTORIES: [&str; 3] = [
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
];

/// Mounts proc, sys, dev and cgroup2 on the initramfs.
pub fn mount_kernel_file_systems() -> Result<()> {
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount_on("proc", "/proc", plain | MsFlags::MS_NODEV, "")?;
    mount_on("sysfs", "/sys", plain | MsFlags::MS_NODEV, "")?;
    mount_on("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=0755")?;
    mount_on("cgroup2", "/sys/fs/cgroup", plain | MsFlags::MS_NODEV, "")
}

/// Replaces the initramfs as root by a tmpfs over it, because `pivot_root` cannot leave an initramfs.
pub fn leave_initramfs() -> Result<()> {
    let root = "/newroot";
    mount_on("tmpfs", root, MsFlags::MS_NODEV, "mode=0755,size=1m")?;
    for directory in ["proc", "sys", "dev"] {
        let target = format!("{root}/{directory}");
        make_directory(&target)?;
        move_mount(&format!("/{directory}"), &target)?;
    }
    chdir(root).context(|| format!("enter {root}"))?;
    move_mount(".", "/")?;
    chroot(".").context(|| "make the tmpfs the root".into())?;
    chdir("/").context(|| "enter the root".into())
}

/// Gives the app's cgroup every controller the kernel has.
pub fn make_app_cgroup() -> Result<()> {
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .context(|| "read the cgroup controllers".into())?;
    for controller in controllers.split_whitespace() {
        let control = "/sys/fs/cgroup/cgroup.subtree_control";
        if let Err(error) = fs::write(control, format!("+{controller}")) {
            report(&format!("cgroup controller {controller}: {error}"));
        }
    }
    make_directory(APP_CGROUP)
}

/// Mounts the image (read-only) and the microVM's disk, and the overlay of the two on [`ROOTFS`].
pub fn mount_disks() -> Result<()> {
    wait_for_device(IMAGE_DEVICE)?;
    wait_for_device(DISK_DEVICE)?;
    mount_image()?;
    make_directory(DISK)?;
    // The host makes the file system on zeros, so that its lazy initialisation would only dirty the disk.
    mount(
        Some(DISK_DEVICE),
        DISK,
        Some("ext4"),
        MsFlags::MS_NOATIME,
        Some("discard,noinit_itable"),
    )
    .context(|| format!("mount {DISK_DEVICE} as ext4"))?;
    for directory in ["upper", "work", "engines"] {
        make_directory(&format!("{DISK}/{directory}"))?;
    }
    // xino keeps one device number for files of both layers: `find -xdev` and `tar --one-file-system` rely on it.
    let layers = format!("lowerdir={LOWER},upperdir={DISK}/upper,workdir={DISK}/work,xino=auto");
    mount_on("overlay", ROOTFS, MsFlags::MS_NOATIME, &layers)
}

/// Puts nested engines' directories on the disk itself. A directory the image filled stays as it is.
pub fn bind_engine_directories() -> Result<()> {
    for directory in ENGINE_DIRECTORIES {
        let target = format!("{ROOTFS}{directory}");
        make_directory(&target)?;
        if !is_empty(&target)? {
            report(&format!(
                "{directory} is not empty in the image: left on the overlay"
            ));
            continue;
        }
        let source = format!("{DISK}/engines/{}", directory.replace('/', "-"));
        make_directory(&source)?;
        bind(&source, &target)?;
    }
    Ok(())
}

/// Writes everything that the guest holds of its disk's content to the disk.
pub fn sync_disk() -> Result<()> {
    let disk = File::open(DISK).context(|| format!("open {DISK}"))?;
    // SAFETY: takes a descriptor that is open during the call.
    let result = unsafe { libc::syncfs(disk.as_raw_fd()) };
    Errno::result(result)
        .map(drop)
        .context(|| "write the disk's content".into())
}

/// Unmounts what holds data, so that the disk is clean. Reports what it cannot do.
pub fn unmount_disks() {
    for target in [ROOTFS, DISK] {
        match umount2(target, MntFlags::empty()) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => report(&format!("unmount {target}: {}", errno.desc())),
        }
    }
}

/// Mounts a file system that needs no device, creating the mount point.
pub fn mount_on(kind: &str, target: &str, flags: MsFlags, options: &str) -> Result<()> {
    make_directory(target)?;
    mount(Some(kind), target, Some(kind), flags, Some(options))
        .context(|| format!("mount {kind} on {target}"))
}

/// Makes `source` visible at `target` too.
pub fn bind(source: &str, target: &str) -> Result<()> {
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .context(|| format!("bind {source} to {target}"))
}

/// Creates a directory and its parents.
pub fn make_directory(path: &str) -> Result<()> {
    fs::create_dir_all(path).context(|| format!("create {path}"))
}

fn move_mount(source: &str, target: &str) -> Result<()> {
    let flags = MsFlags::MS_MOVE;
    mount(Some(source), target, None::<&str>, flags, None::<&str>)
        .context(|| format!("move mount {source} to {target}"))
}

fn mount_image() -> Result<()> {
    make_directory(LOWER)?;
    let mut failure = Errno::ENODEV;
    for kind in ["erofs", "ext4"] {
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOATIME;
        match mount(Some(IMAGE_DEVICE), LOWER, Some(kind), flags, None::<&str>) {
            Ok(()) => return Ok(()),
            Err(errno) => failure = errno,
        }
    }
    Err(failure).context(|| format!("mount {IMAGE_DEVICE} as erofs or ext4"))
}

fn wait_for_device(device: &str) -> Result<()> {
    let deadline = Instant::now() + DEVICE_WAIT;
    while !Path::new(device).exists() {
        if Instant::now() >= deadline {
            let seconds = DEVICE_WAIT.as_secs();
            return Err(AgentError::Failed(format!(
                "No device {device} within {seconds} s"
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn is_empty(directory: &str) -> Result<bool> {
    let mut entries = fs::read_dir(directory).context(|| format!("read {directory}"))?;
    Ok(entries.next().is_none())
}
