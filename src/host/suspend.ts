// Putting a running VMM to sleep: its dirty memory and its devices go to disk, then the process ends.

import { isServiceError, messageOf, ServiceError } from "../errors.ts";
import { traced, type Traced } from "../lib/trace.ts";
import type { LaunchedVmm } from "./launch.ts";
import type { SuspendResult } from "./host.ts";
import { abandonSave, beginSave, commitSave, type MicrovmFiles } from "./microvm-files.ts";

/** How long a paused guest may wait for the result of a failed save before it is let go on. */
const UNDO_TIMEOUT_MS = 10_000;

/**
 * Pauses the guest and saves its state under `files.saved`. The VMM is left paused: disposing it is the caller's
 * next step. On rejection nothing is saved and the guest runs on; when even that fails `details.ended` is true.
 */
export async function saveState(
  deps: Traced,
  launched: LaunchedVmm,
  files: MicrovmFiles,
  signal: AbortSignal,
): Promise<SuspendResult> {
  const { vmm } = launched;
  const target = await beginSave(files);
  try {
    await traced(deps, "pause vmm", () => vmm.pause(signal));
    // Both come to their end before anything is undone: neither may write into what is being removed.
    const [memory, devices] = await Promise.allSettled([
      traced(deps, "save memory", () => vmm.saveMemoryDiff(target.memoryDiff, signal)),
      traced(deps, "save devices", () => vmm.saveDevices(target.devices, signal)),
    ]);
    if (memory.status === "rejected") throw memory.reason;
    if (devices.status === "rejected") throw devices.reason;
    await traced(deps, "sync saved state", () => commitSave(files));
    return memory.value;
  } catch (error) {
    const ended = !(await undo(launched, files));
    throw new ServiceError(codeOf(error), `Cannot suspend: ${messageOf(error)}`, {
      cause: error,
      details: { ended },
    });
  }
}

/**
 * Lets the guest run on after a save that failed. What was saved goes first: the rename may have happened although its sync
 * failed, and a state must never be found beside a disk that has moved on. False when the guest cannot run on.
 */
async function undo({ vmm }: LaunchedVmm, files: MicrovmFiles): Promise<boolean> {
  try {
    await abandonSave(files);
    await vmm.resume(AbortSignal.timeout(UNDO_TIMEOUT_MS));
    return true;
  } catch (error) {
    if (isServiceError(error) || isSystemError(error)) return false;
    throw error;
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && "errno" in error;
}

function codeOf(error: unknown) {
  if (error instanceof ServiceError) return error.code;
  const errno = error instanceof Error && "code" in error ? error.code : undefined;
  return errno === "ENOSPC" || errno === "EDQUOT" ? "STORAGE_FULL" : "VMM_FAILED";
}
