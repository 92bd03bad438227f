// The same host, timing what it is asked to do.

import type { Host } from "../host/host.ts";
import type { Instruments } from "./metrics.ts";

type Timed = "run" | "suspend" | "resume" | "terminate";

/** Times the operations of `host`. An operation that is given up because the service ends is not counted. */
export function observeHost(instruments: Instruments, host: Host): Host {
  async function timed<T>(
    observe: (outcome: "success" | "failure", seconds: number) => void,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    const seconds = () => (performance.now() - startedAt) / 1000;
    try {
      const result = await work();
      observe("success", seconds());
      return result;
    } catch (error) {
      if (signal?.aborted !== true) observe("failure", seconds());
      throw error;
    }
  }
  const as = (operation: Timed) => (outcome: "success" | "failure", seconds: number) =>
    instruments.hostSeconds.labels(operation, outcome).observe(seconds);

  return {
    cpuTarget: host.cpuTarget,
    recover: (signal) => host.recover(signal),
    removeImage: (imageRef) => host.removeImage(imageRef),
    callHook: (call, signal) => host.callHook(call, signal),
    ended: (signal) => host.ended(signal),
    shellAccess: (vmmId) => host.shellAccess(vmmId),
    run: (request, signal) => timed(as("run"), signal, () => host.run(request, signal)),
    resume: (request, signal) => timed(as("resume"), signal, () => host.resume(request, signal)),
    terminate: (microvmId) => timed(as("terminate"), undefined, () => host.terminate(microvmId)),
    async suspend(vmmId, signal) {
      const result = await timed(as("suspend"), signal, () => host.suspend(vmmId, signal));
      instruments.suspendedBytes.inc(result.bytesWritten);
      return result;
    },
    async build(request, signal) {
      instruments.buildsRunning.inc();
      const observe = (outcome: string, seconds: number) =>
        instruments.buildSeconds.labels(outcome).observe(seconds);
      return timed(observe, signal, () => host.build(request, signal)).finally(() =>
        instruments.buildsRunning.dec(),
      );
    },
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  };
}
