// The one answer that needs no signature, for probes.

import type { Reply } from "../errors.ts";

/** What `GET /health` answers; undefined for any other request. */
export function healthReply(method: string, path: string): Reply | undefined {
  if (path !== "/health" || (method !== "GET" && method !== "HEAD")) return undefined;
  return {
    status: 200,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
    body: JSON.stringify({ status: "ok" }),
  };
}
