// QEMU's command line, as pure functions: the same hardware must come out for the boot that a snapshot is taken from
// and for every restore of it.

import { GUEST_NETWORK } from "../../network/slot.ts";
import type { BootSpec, RestoreSpec, VmHardware, VmPlacement, VmSpecCommon } from "../driver.ts";

export const QEMU_PROGRAM = "qemu-system-x86_64";

/** Files of one VMM, in its run directory. */
export interface VmmFiles {
  readonly control: string;
  readonly incoming: string;
  /** Where QEMU itself, unprivileged, can write device state. */
  readonly devices: string;
}

/** Names the files in `runDir`. */
export function vmmFiles(runDir: string): VmmFiles {
  return {
    control: `${runDir}/qmp.sock`,
    incoming: `${runDir}/incoming.sock`,
    devices: `${runDir}/devices`,
  };
}

/** QEMU's version as `major.minor`, from the first line of `--version`. */
export function parseQemuVersion(text: string): string | undefined {
  return /^QEMU emulator version (\d+\.\d+)/.exec(text)?.[1];
}

/** The hardware of a new image on this QEMU. The machine type is versioned: a newer QEMU still offers it. */
export function newHardware(
  qemuVersion: string,
  accelerator: VmHardware["accelerator"],
  size: { readonly memoryMiB: number; readonly vcpus: number },
): VmHardware {
  return {
    driver: "qemu",
    machine: `pc-q35-${qemuVersion}`,
    accelerator,
    // cx16 off: QEMU 7.2's emulation of cmpxchg16b on one CPU corrupts the flags, and the guest kernel's allocator
    // uses it on every allocation.
    cpuModel: accelerator === "kvm" ? "host,migratable=on" : "max,cx16=off",
    ...size,
  };
}

/** Arguments that boot a kernel with RAM shared with `spec.memoryPath`, so that the file is the RAM. */
export function bootArguments(spec: BootSpec, hardware: VmHardware): string[] {
  return [
    ...commonArguments(spec, hardware, "share=on"),
    ...["-kernel", spec.kernelPath, "-initrd", spec.initramfsPath],
    ...["-append", kernelCommandLine(hardware, spec.kernelArguments)],
    // The console goes to whoever started this VMM: its end explains a build that failed before the agent answered.
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
  ];
}

/** Arguments that wait for device state on a socket, with RAM mapped privately from the image's file, and do not run. */
export function restoreArguments(spec: RestoreSpec): string[] {
  const files = vmmFiles(spec.runDir);
  return [
    ...commonArguments(spec, spec.hardware, "share=off,reserve=off"),
    // A guest writes to its console as much as it likes; the ring keeps the last part in memory and never grows.
    ...["-chardev", "ringbuf,id=console,size=65536", "-serial", "chardev:console"],
    ...["-S", "-incoming", `unix:${files.incoming}`],
  ];
}

/** The command that runs QEMU where `placement` says: inside the slot's network namespace. */
export function placedCommand(placement: VmPlacement, args: readonly string[]): string[] {
  const namespace = `--net=/run/netns/${placement.networkNamespace}`;
  return ["nsenter", namespace, "--", QEMU_PROGRAM, ...args];
}

function commonArguments(
  spec: VmSpecCommon & { memoryPath: string },
  hardware: VmHardware,
  sharing: string,
): string[] {
  const { placement } = spec;
  const { memoryMiB, vcpus } = hardware;
  return [
    ...["-name", `torpor-${spec.vmmId}`],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none"],
    // What a guest without a keyboard, a SATA disk or a speaker does not need is off: each device left on
    // is probed by the kernel at boot and is attack surface afterwards.
    ...[
      "-machine",
      `${hardware.machine},memory-backend=ram,dump-guest-core=off,mem-merge=off,` +
        "usb=off,sata=off,smbus=off,vmport=off,smm=off,hpet=off,graphics=off",
    ],
    ...["-accel", hardware.accelerator === "kvm" ? "kvm" : "tcg,thread=multi,tb-size=128"],
    ...["-cpu", hardware.cpuModel, "-smp", String(vcpus), "-m", `${memoryMiB}M`],
    ...[
      "-object",
      `memory-backend-file,id=ram,size=${memoryMiB}M,mem-path=${escape(spec.memoryPath)},${sharing}`,
    ],
    // The device state file holds devices only: no configuration section, no run state (docs/devel/migration).
    ...[
      "-global",
      "migration.send-configuration=off",
      "-global",
      "migration.store-global-state=off",
    ],
    ...disk("rootfs", spec.rootfsPath, "read-only=on,force-share=on", "0x2"),
    ...disk("disk", spec.diskPath, "discard=unmap", "0x3"),
    ...["-netdev", `tap,id=net,ifname=${placement.tapName},script=no,downscript=no,vhost=off`],
    ...["-device", `virtio-net-pci,netdev=net,mac=${GUEST_NETWORK.guestMac},romfile=,addr=0x4`],
    ...["-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng,addr=0x5"],
    // A fresh value at every start: the kernel sees that it was restored and reseeds before any user code runs.
    ...["-device", "vmgenid,guid=auto"],
    ...["-qmp", `unix:${escape(vmmFiles(spec.runDir).control)},server=on,wait=off`],
    // Files and the tap are opened as root, then QEMU gives up root for good and may start no program.
    ...["-runas", `${placement.uid}:${placement.gid}`],
    ...["-sandbox", "on,obsolete=deny,spawn=deny,resourcecontrol=deny"],
  ];
}

function disk(name: string, file: string, options: string, address: string): string[] {
  const path = escape(file);
  return [
    ...[
      "-blockdev",
      `driver=raw,node-name=${name},${options},file.driver=file,file.filename=${path},file.locking=off`,
    ],
    // Out of room the guest stops and tries again (driver.ts); any other error is the guest's to handle.
    ...["-device", `virtio-blk-pci,drive=${name},num-queues=1,addr=${address},werror=enospc`],
  ];
}

function kernelCommandLine(hardware: VmHardware, extra: readonly string[]): string {
  const words = ["console=ttyS0", "quiet", "loglevel=4", "reboot=t", "tsc=reliable"];
  // A kernel that went wrong ends the VM at once instead of leaving a guest that only looks alive.
  words.push("oops=panic", "panic=-1");
  // Huge pages would turn one written byte into 2 MiB of dirty memory to save at suspend.
  words.push("transparent_hugepage=madvise", "random.trust_cpu=on");
  // Emulated CPUs do not speculate, so the kernel's defences against it only cost time there.
  if (hardware.accelerator === "tcg") words.push("mitigations=off", "no_timer_check");
  return [...words, ...extra].join(" ");
}

/** QEMU option values end at a comma unless it is doubled. */
function escape(value: string): string {
  return value.replaceAll(",", ",,");
}
