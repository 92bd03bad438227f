// The way of one exchange: admitted or refused, a lease on the microVM (which wakes it), forwarded, logged.

import { isServiceError } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import type { Traffic } from "../microvms/traffic.ts";
import { admit, type Admission } from "./admission.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import { type Refusal, refusalFor, REFUSALS, writeRefusal } from "./refusal.ts";
import { NO_SUBPROTOCOLS, parseSubprotocols, type Subprotocols } from "./subprotocols.ts";
import type { Tokens } from "../tokens/tokens.ts";

export interface ServeDeps {
  readonly traffic: Pick<Traffic, "findById" | "open">;
  readonly tokens: Pick<Tokens, "open">;
  readonly log: Log;
}

export interface ServeOptions {
  /** Guest ports that look closed whatever the token grants. */
  readonly refusedPorts: ReadonlySet<number>;
  readonly connectTimeoutMs: number;
}

/** Facts for the access log, filled in as they become known. */
interface Account {
  admission?: Admission;
  waitedMs?: number;
}

/** What is read of a request after its answer, so that a client still sending gets to see the answer. */
const DRAIN_BYTES = 1024 * 1024;
const DRAIN_MS = 2000;

/** Carries one exchange to its end, whatever that is. Does not reject. */
export async function serve(
  deps: ServeDeps,
  options: ServeOptions,
  exchange: Exchange,
): Promise<void> {
  const { response, signal } = exchange;
  const startedAt = performance.now();
  const account: Account = {};
  try {
    const refused = await answer(deps, options, exchange, account);
    if (refused !== undefined && !signal.aborted) await refuse(exchange, refused);
  } catch (error) {
    // Cut on one side: what the other has received so far must not look complete.
    if (!signal.aborted && !isServiceError(error, "GUEST_UNREACHABLE")) {
      deps.log.error("Request failed", { requestId: exchange.requestId, error });
    }
    if (response.headersSent || signal.aborted) response.destroy();
    else await refuse(exchange, REFUSALS.internal);
  }
  drain(exchange);
  writeAccessLog(deps.log, exchange, account, performance.now() - startedAt);
}

async function answer(
  deps: ServeDeps,
  options: ServeOptions,
  exchange: Exchange,
  account: Account,
): Promise<Refusal | undefined> {
  const { request, signal } = exchange;
  const subprotocols = websocketSubprotocols(exchange);
  const admission = await admit(
    deps,
    {
      authority: request.headers.host,
      token: headerOf(exchange, "x-aws-proxy-auth"),
      port: headerOf(exchange, "x-aws-proxy-port"),
      subprotocols,
    },
    options.refusedPorts,
  );
  if (admission.kind === "refused") return admission;
  account.admission = admission;
  let opened;
  try {
    opened = await deps.traffic.open(admission.microvmId, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const refused = refusalFor(error);
    if (refused === REFUSALS.internal) throw error;
    deps.log.debug("MicroVM takes no request", { microvmId: admission.microvmId, error });
    return refused;
  }
  using lease = opened;
  account.waitedMs = lease.waitedMs;
  const { port } = admission;
  const { connectTimeoutMs } = options;
  return await forward(exchange, { lease, port, subprotocols, connectTimeoutMs });
}

function websocketSubprotocols({ request, upgrade }: Exchange): Subprotocols {
  return upgrade?.protocol.toLowerCase() === "websocket"
    ? parseSubprotocols(request.headers["sec-websocket-protocol"])
    : NO_SUBPROTOCOLS;
}

/** All values of a field as one, so that a repeated one cannot be read two ways. */
function headerOf({ request }: Exchange, name: string): string | undefined {
  return request.headersDistinct[name]?.join(", ");
}

async function refuse(exchange: Exchange, refused: Refusal): Promise<void> {
  const { response } = exchange;
  const over = new Promise<void>((resolve) => {
    response.once("finish", resolve);
    response.once("close", resolve);
  });
  writeRefusal(response, refused, exchange.requestId);
  await over;
}

function drain({ request }: Exchange): void {
  if (request.complete || request.destroyed) {
    request.resume();
    return;
  }
  let left = DRAIN_BYTES;
  const cut = () => request.socket.destroy();
  const timer = setTimeout(cut, DRAIN_MS);
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) cut();
  });
  request.once("close", () => clearTimeout(timer));
  request.once("end", () => clearTimeout(timer));
  request.resume();
}

function writeAccessLog(log: Log, exchange: Exchange, account: Account, durationMs: number): void {
  const { request, response, requestId, traffic, signal } = exchange;
  log.debug("Request", {
    requestId,
    microvmId: account.admission?.microvmId,
    port: account.admission?.port,
    method: request.method,
    status: response.statusCode,
    clientLeft: signal.aborted,
    bytesReceived: traffic.received,
    bytesSent: traffic.sent,
    waitedMs: account.waitedMs,
    durationMs: Math.round(durationMs * 10) / 10,
  });
}
