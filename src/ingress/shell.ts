// A WebSocket that asks for a shell: refused with a status while that is possible, then a session until its end.

import { randomUUID } from "node:crypto";
import { isServiceError } from "../errors.ts";
import { openShellLink, type ShellLink } from "../guest/shell-link.ts";
import type { Log } from "../lib/log.ts";
import type { Traffic } from "../microvms/traffic.ts";
import type { Exchange, UpgradeRequest } from "./exchange.ts";
import { fieldValues, REQUEST_ID_HEADER } from "./headers.ts";
import { type Refusal, refusalFor, REFUSALS } from "./refusal.ts";
import { ShellSession } from "./shell-session.ts";
import { MARKER, type Subprotocols } from "./subprotocols.ts";
import { webSocketAccept } from "./websocket-accept.ts";

/** Where the shells of a VMM are asked for. */
export interface ShellAccess {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
}

export interface ShellDeps {
  readonly traffic: Pick<Traffic, "open" | "whenRunning" | "noteActivity">;
  /** Rejects VMM_FAILED for a VMM that runs no more. */
  readonly shellAccess: (vmmId: string) => Promise<ShellAccess>;
  readonly log: Log;
}

export interface ShellRequest {
  readonly microvmId: string;
  readonly subprotocols: Subprotocols;
  /** Told how long the microVM took to run. */
  readonly waited: (waitedMs: number) => void;
}

const PATHS = new Set(["/", "/shell"]);

/** Carries a shell to its end. Resolves with a refusal when there is none to be had and the client was told nothing yet. */
export async function serveShell(
  deps: ShellDeps,
  exchange: Exchange,
  request: ShellRequest,
): Promise<Refusal | undefined> {
  const handshake = handshakeOf(exchange);
  if (handshake === undefined) return REFUSALS.appConnectFailed;
  const { microvmId, subprotocols } = request;
  const sessionId = randomUUID();
  let opened: { readonly link: ShellLink; readonly gone: AbortSignal };
  try {
    // Awake while it is asked for the shell; open, a shell keeps no microVM awake.
    using lease = await deps.traffic.open(microvmId, exchange.signal);
    request.waited(lease.waitedMs);
    const access = await deps.shellAccess(lease.vmmId);
    const link = await openShellLink({ ...access, sessionId }, exchange.signal);
    opened = { link, gone: lease.signal };
  } catch (error) {
    if (exchange.signal.aborted) throw error;
    const refused = shellRefusalFor(error);
    if (refused === REFUSALS.internal) throw error;
    deps.log.info("No shell", { microvmId, requestId: exchange.requestId, error });
    return refused;
  }
  const client = handshake.upgrade.accept({
    message: "Switching Protocols",
    protocol: "websocket",
    fields: [
      ...[REQUEST_ID_HEADER, exchange.requestId, "Sec-WebSocket-Accept", handshake.accept],
      ...(subprotocols.hasMarker ? ["Sec-WebSocket-Protocol", MARKER] : []),
    ],
  });
  const { signal, traffic: counts } = exchange;
  const session = new ShellSession(deps, { microvmId, sessionId, client, counts });
  await session.run(opened, handshake.upgrade.head, signal);
  return undefined;
}

interface Handshake {
  readonly upgrade: UpgradeRequest;
  /** `Sec-WebSocket-Accept`. */
  readonly accept: string;
}

function handshakeOf({ upgrade, target, fields }: Exchange): Handshake | undefined {
  if (upgrade?.protocol.toLowerCase() !== "websocket") return undefined;
  if (!PATHS.has(target.split("?", 1)[0] ?? "")) return undefined;
  const [key, ...more] = fieldValues(fields, "sec-websocket-key");
  if (key === undefined || more.length > 0) return undefined;
  if (fieldValues(fields, "sec-websocket-version").join() !== "13") return undefined;
  return { upgrade, accept: webSocketAccept(key) };
}

/** As for requests, but that an old image and too many sessions are said in words. */
function shellRefusalFor(error: unknown): Refusal {
  if (isServiceError(error, "CONFLICT") && error.message.startsWith("The image"))
    return { ...REFUSALS.appConnectFailed, body: error.message };
  if (isServiceError(error, "THROTTLED"))
    return { ...REFUSALS.appConnectFailed, status: 429, body: error.message };
  return refusalFor(error);
}
