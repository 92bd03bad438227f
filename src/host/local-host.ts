// The host on this machine: keeps what runs, and turns the control plane's calls into the steps of the files beside
// it. One entry per VMM; the entry goes when the VMM does, whoever ended it.

import { rm } from "node:fs/promises";
import { messageOf, ServiceError } from "../errors.ts";
import { AGENT_PORT } from "../guest/protocol.ts";
import { createEventQueue } from "../lib/event-queue.ts";
import { syncDirectory } from "../lib/files.ts";
import { runBuild, type BuildDeps } from "./build.ts";
import { cpuTargetOf } from "./cpu-target.ts";
import { callHook } from "./hooks.ts";
import type { Host, HookCall, ResumeRequest, RunningVmm, RunRequest, VmmEnded } from "./host.ts";
import { builtImageFiles, readManifest, removeImageFiles } from "./image-files.ts";
import { launchVmm, type LaunchDeps, type LaunchedVmm, type LaunchRequest } from "./launch.ts";
import {
  createMicrovmFiles,
  dropStaleState,
  hasSavedState,
  markUsed,
  microvmFiles,
  unmarkUsed,
} from "./microvm-files.ts";
import { recoverHost } from "./recover.ts";
import { saveState } from "./suspend.ts";
import { watchVmm } from "./watch.ts";

export interface LocalHostDeps extends LaunchDeps, BuildDeps {
  readonly microvmsDir: string;
}

/** A VMM this host keeps, and what is being done to it. */
interface Kept {
  readonly microvmId: string;
  readonly imageRef: string;
  readonly launched: LaunchedVmm;
  /** Stops watching: the end that follows is our own doing. */
  readonly unwatch: () => void;
}

/** The host on this machine. Disposing it forgets the VMMs and lets them run on. */
export function createLocalHost(deps: LocalHostDeps): Host {
  const kept = new Map<string, Kept>();
  const ended = createEventQueue<VmmEnded>();
  const filesOf = (microvmId: string) => microvmFiles(deps.microvmsDir, microvmId);

  function keep(microvmId: string, imageRef: string, launched: LaunchedVmm): RunningVmm {
    const { vmmId } = launched.vmm;
    const unwatch = watchVmm(launched, (reason) => {
      kept.delete(vmmId);
      void (async () => launched[Symbol.asyncDispose]())()
        .catch((error: unknown) => deps.log.error("Cannot clean up after a VMM", { vmmId, error }))
        .finally(() => ended.push({ microvmId, vmmId, reason }));
    });
    kept.set(vmmId, { microvmId, imageRef, launched, unwatch });
    return { microvmId, vmmId, address: launched.slot.address };
  }

  function requireKept(vmmId: string): Kept {
    const entry = kept.get(vmmId);
    if (entry !== undefined) return entry;
    throw new ServiceError("VMM_FAILED", `VMM "${vmmId}" is not running`, {
      details: { ended: true },
    });
  }

  /** Ends a VMM on purpose. */
  async function end(vmmId: string): Promise<void> {
    const entry = kept.get(vmmId);
    kept.delete(vmmId);
    entry?.unwatch();
    await entry?.launched[Symbol.asyncDispose]();
  }

  async function launch(
    request: RunRequest,
    paths: Pick<LaunchRequest, "devicesPath" | "memoryDiffPath" | "beforeGuestRuns"> | undefined,
    signal: AbortSignal,
  ): Promise<RunningVmm> {
    const { microvmId, vmmId, imageRef, egress } = request;
    const image = builtImageFiles(deps.imagesDir, imageRef);
    const manifest = await readManifest(image);
    const files = filesOf(microvmId);
    if (paths === undefined) await createMicrovmFiles(files, image.disk, signal);
    const launched = await launchVmm(
      deps,
      {
        ...{ vmmId, microvmId, imageRef, image, manifest, egress },
        diskPath: files.disk,
        ...(paths ?? { devicesPath: image.devices, memoryDiffPath: null }),
      },
      signal,
    );
    return keep(microvmId, imageRef, launched);
  }

  async function resume(request: ResumeRequest, signal: AbortSignal): Promise<RunningVmm> {
    const files = filesOf(request.microvmId);
    if (!(await hasSavedState(files))) {
      throw new ServiceError(
        "VMM_FAILED",
        `Cannot resume microVM "${request.microvmId}": its saved state is missing`,
        { details: { ended: true } },
      );
    }
    try {
      const running = await launch(
        request,
        {
          // The state moves to `used` before the guest runs; QEMU has read both files by then.
          devicesPath: files.saved.devices,
          memoryDiffPath: files.saved.memoryDiff,
          beforeGuestRuns: () => markUsed(files),
        },
        signal,
      );
      await dropStaleState(files);
      return running;
    } catch (error) {
      const guestRan = error instanceof ServiceError && error.details["guestRan"] === true;
      if (!guestRan) await unmarkUsed(files);
      throw new ServiceError(
        error instanceof ServiceError ? error.code : "VMM_FAILED",
        `Cannot resume microVM "${request.microvmId}": ${messageOf(error)}`,
        { cause: error, details: { ended: guestRan } },
      );
    }
  }

  return {
    cpuTarget: cpuTargetOf(process.arch),
    async recover(signal) {
      const recovered = await recoverHost(deps, signal);
      for (const { microvmId, imageRef, launched } of recovered.running) {
        keep(microvmId, imageRef, launched);
      }
      return {
        running: recovered.running.map(({ microvmId, launched }) => ({
          microvmId,
          vmmId: launched.vmm.vmmId,
          address: launched.slot.address,
        })),
        suspended: recovered.suspended,
      };
    },
    build: (request, signal) => runBuild(deps, request, signal),
    removeImage: (imageRef) => removeImageFiles(deps.imagesDir, imageRef),
    run: (request, signal) => launch(request, undefined, signal),
    async suspend(vmmId, signal) {
      const entry = requireKept(vmmId);
      const result = await saveState(deps, entry.launched, filesOf(entry.microvmId), signal);
      // From here on the microVM is its files. A VMM that does not go away is paused for good: it is reported, not waited for.
      await end(vmmId).catch((error: unknown) => {
        deps.log.error("Cannot end a suspended VMM", { vmmId, error });
      });
      return result;
    },
    resume,
    async callHook(call: HookCall, signal) {
      const answer = await callHook(requireKept(call.vmmId).launched.guest, call, signal);
      if (answer.outcome === "answered" && answer.status === 200) return;
      const what =
        answer.outcome === "answered"
          ? `HTTP status ${answer.status}`
          : answer.outcome === "timeout"
            ? `no answer in ${call.timeoutMs} ms`
            : answer.reason;
      throw new ServiceError("HOOK_FAILED", `The /${call.hook} hook failed: ${what}`, {
        details: { ...answer },
      });
    },
    async shellAccess(vmmId) {
      const { slot, agentSecret } = requireKept(vmmId).launched;
      return { address: slot.address, port: AGENT_PORT, secret: agentSecret };
    },
    async terminate(microvmId) {
      for (const [vmmId, entry] of kept) if (entry.microvmId === microvmId) await end(vmmId);
      await rm(filesOf(microvmId).directory, { recursive: true, force: true });
      await syncDirectory(deps.microvmsDir);
    },
    ended: (signal) => ended.read(signal),
    async [Symbol.asyncDispose]() {
      for (const entry of kept.values()) {
        entry.unwatch();
        await entry.launched.guest[Symbol.asyncDispose]();
      }
      kept.clear();
    },
  };
}
