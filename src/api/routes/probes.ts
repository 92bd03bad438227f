// The answers that need no signature, for programs that watch a service: whether it lives, whether it can do its work,
// and its metrics for those who may read them.

import type { Reply } from "../errors.ts";

export interface Probes {
  /** Why the service cannot do its work now; empty when it can. */
  unready(): Promise<readonly string[]>;
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  mayReadMetrics(peer: string | undefined): boolean;
}

export interface ProbeRequest {
  readonly method: string;
  readonly path: string;
  /** Address of the client. */
  readonly peer: string | undefined;
}

/** What `/health`, `/ready` and `/metrics` answer; undefined for any other request. */
export async function probeReply(
  probes: Probes | undefined,
  { method, path, peer }: ProbeRequest,
): Promise<Reply | undefined> {
  if (method !== "GET" && method !== "HEAD") return undefined;
  switch (path) {
    case "/health":
      return jsonReply(200, { status: "ok" });
    case "/ready": {
      const reasons = (await probes?.unready()) ?? [];
      if (reasons.length === 0) return jsonReply(200, { status: "ready" });
      return jsonReply(503, { status: "unready", reasons });
    }
    case "/metrics": {
      // To others it is not there: they are asked for a signature, as for anything else.
      if (probes?.mayReadMetrics(peer) !== true) return undefined;
      const { contentType, text } = await probes.metrics();
      return { status: 200, headers: headersOf(contentType), body: text };
    }
    default:
      return undefined;
  }
}

function jsonReply(status: number, content: object): Reply {
  return { status, headers: headersOf("application/json"), body: JSON.stringify(content) };
}

function headersOf(contentType: string): Record<string, string> {
  return { "content-type": contentType, "cache-control": "no-store" };
}
