// The same host, whose calls are spans.

import type { Host } from "../host/host.ts";
import type { Trace } from "../lib/trace.ts";

/** Tells of the operations of `host`. A build has a trace of its own: the request for it may be hours old. */
export function traceHost(trace: Trace, host: Host): Host {
  const microvm = (microvmId: string, vmmId?: string) => ({
    attributes: { "torpor.microvm.id": microvmId, "torpor.vmm.id": vmmId },
  });
  const vmm = (vmmId: string) => ({ attributes: { "torpor.vmm.id": vmmId } });
  return {
    cpuTarget: host.cpuTarget,
    recover: (signal) => host.recover(signal),
    removeImage: (imageRef) => host.removeImage(imageRef),
    ended: (signal) => host.ended(signal),
    shellAccess: (vmmId) => host.shellAccess(vmmId),
    run: (request, signal) =>
      trace("host run", () => host.run(request, signal), microvm(request.microvmId, request.vmmId)),
    resume: (request, signal) =>
      trace(
        "host resume",
        () => host.resume(request, signal),
        microvm(request.microvmId, request.vmmId),
      ),
    suspend: (vmmId, signal) =>
      trace(
        "host suspend",
        async (span) => {
          const result = await host.suspend(vmmId, signal);
          span.set({ "torpor.suspend.written_bytes": result.bytesWritten });
          return result;
        },
        vmm(vmmId),
      ),
    callHook: (call, signal) =>
      trace(`hook ${call.hook}`, () => host.callHook(call, signal), vmm(call.vmmId)),
    terminate: (microvmId) =>
      trace("host terminate", () => host.terminate(microvmId), microvm(microvmId)),
    build: (request, signal) =>
      trace("build", () => host.build(request, signal), {
        kind: "root",
        attributes: {
          "torpor.build.id": request.buildId,
          "torpor.image.arn": request.imageArn,
          "torpor.image.version": request.imageVersion,
        },
      }),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  };
}
