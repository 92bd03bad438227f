// What a virtual machine monitor must be able to do. A driver turns these calls into one VMM process per microVM;
// nothing above this file knows which program that is. All paths are absolute. All results are plain data but `Vmm`.

export type Accelerator = "kvm" | "tcg";

/** The hardware a guest sees. A snapshot can only be restored on the same hardware, so it is stored with it. */
export interface VmHardware {
  /** Which VMM program made this, its version and machine type, its CPU model: opaque to everyone but the driver. */
  readonly driver: string;
  readonly machine: string;
  readonly accelerator: Accelerator;
  readonly cpuModel: string;
  readonly memoryMiB: number;
  readonly vcpus: number;
}

/** Where a VMM process is put on the host: its own network namespace and user. */
export interface VmPlacement {
  /** Name under `/run/netns`. */
  readonly networkNamespace: string;
  /** Tap device inside that namespace. */
  readonly tapName: string;
  /** Unprivileged user and group the process runs as. */
  readonly uid: number;
  readonly gid: number;
}

export interface VmSpecCommon {
  /** Uuid of this VMM process, from boot or restore to exit. Also on its command line, so that it can be found. */
  readonly vmmId: string;
  /** Existing directory of this VMM alone: sockets, console, stderr. */
  readonly runDir: string;
  readonly placement: VmPlacement;
  /** Read-only, shared: the image's root file system. */
  readonly rootfsPath: string;
  /** Read-write, this VMM's alone. */
  readonly diskPath: string;
}

export interface BootSpec extends VmSpecCommon {
  readonly memoryMiB: number;
  readonly vcpus: number;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** Extra kernel command line words. */
  readonly kernelArguments: readonly string[];
  /** File that becomes the guest's RAM; created by the driver, sparse. */
  readonly memoryPath: string;
}

export interface RestoreSpec extends VmSpecCommon {
  readonly hardware: VmHardware;
  /** The image's RAM file, mapped private: never written. */
  readonly memoryPath: string;
  /** Device state to load. */
  readonly devicesPath: string;
  /** Pages this microVM dirtied before it was suspended; null for a first run. */
  readonly memoryDiffPath: string | null;
}

export interface VmmExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Last lines the VMM wrote to stderr; empty for a clean end, and for a VMM that was adopted. */
  readonly stderrTail: string;
  /** Last lines of the guest's console; kept for a VMM that was booted only. */
  readonly consoleTail: string;
}

export interface MemoryDiffResult {
  /** Bytes of guest memory that differ from the image. */
  readonly dirtyBytes: number;
  /** Bytes written to the diff file. */
  readonly bytesWritten: number;
}

/** `restoring` lasts until the first `resume`; `ended` is final. */
export type VmmStatus = "restoring" | "running" | "paused" | "ended";

/**
 * One VMM process. Disposing it kills the process, waits for its exit and removes its sockets; safe to call twice.
 * The process itself outlives the service unless it is disposed or killed.
 */
export interface Vmm extends AsyncDisposable {
  readonly vmmId: string;
  readonly pid: number;
  readonly hardware: VmHardware;
  /** Settles when the process is gone, whoever ended it. Never rejects. */
  readonly exited: Promise<VmmExit>;
  status(signal: AbortSignal): Promise<VmmStatus>;
  pause(signal: AbortSignal): Promise<void>;
  /** Lets the guest's CPUs run: after a restore, or after a pause. */
  resume(signal: AbortSignal): Promise<void>;
  /** Paused only. Writes the device state (no RAM, no disks) to `devicesPath`, synced. */
  saveDevices(devicesPath: string, signal: AbortSignal): Promise<void>;
  /** Paused and restored from an image only. Writes the pages that differ from the image's RAM file, synced. */
  saveMemoryDiff(memoryDiffPath: string, signal: AbortSignal): Promise<MemoryDiffResult>;
  /** Bytes of host memory that belong to this VMM alone. */
  privateMemoryBytes(): Promise<number>;
}

export interface VmDriver {
  readonly name: string;
  /** Boots a kernel with RAM in `memoryPath`; the guest runs on return. Rejects VMM_FAILED with the last stderr lines. */
  boot(spec: BootSpec, signal: AbortSignal): Promise<Vmm>;
  /** Loads a snapshot; on return the guest is complete but not running: call `resume`. Rejects VMM_FAILED. */
  restore(spec: RestoreSpec, signal: AbortSignal): Promise<Vmm>;
  /** Takes over a VMM that another service process started; undefined when it is gone or not ours. */
  adopt(identity: VmmIdentity, signal: AbortSignal): Promise<Vmm | undefined>;
  /** Ends a VMM process that cannot be adopted, by its identity; resolves when it is gone. */
  reap(identity: VmmIdentity): Promise<void>;
}

/** What a VMM record must hold for another service process to find it. */
export interface VmmIdentity {
  readonly vmmId: string;
  readonly runDir: string;
  readonly memoryPath: string;
  /** Null for a VMM that was booted rather than restored. */
  readonly hardware: VmHardware | null;
}
