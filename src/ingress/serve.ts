// The way of one exchange: admitted or refused, a lease on the microVM (which wakes it), forwarded, logged.

import { isServiceError } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import type { TrafficLease } from "../microvms/lease.ts";
import type { Traffic } from "../microvms/traffic.ts";
import { admit, type Admission, type AdmissionRules, type ShellAdmission } from "./admission.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import { type ForwardedRules, forwardedRequest } from "./forwarded.ts";
import { fieldValues } from "./headers.ts";
import type { Limiter, WithinLimits } from "./limits.ts";
import { type Refusal, refusalFor, REFUSALS, writeRefusal } from "./refusal.ts";
import { serveShell, type ShellDeps } from "./shell.ts";
import { NO_SUBPROTOCOLS, parseSubprotocols, type Subprotocols } from "./subprotocols.ts";
import type { UpstreamTls } from "./upstream-tls.ts";
import type { Tokens } from "../tokens/tokens.ts";

export interface ServeDeps extends ShellDeps {
  readonly traffic: ShellDeps["traffic"] & Pick<Traffic, "findById">;
  readonly tokens: Pick<Tokens, "open">;
  readonly limiter: Limiter;
  readonly upstreamTls: UpstreamTls;
  /** Where every exchange is logged; `log` unless given. */
  readonly accessLog?: Log;
  /** Told of every exchange that is over. */
  readonly observe?: (fact: ExchangeFact) => void;
}

/** One exchange, once it is over. */
export interface ExchangeFact {
  /** What the client was told; undefined when it left before. */
  readonly status: number | undefined;
  readonly httpVersion: string;
  /** Of the client, as far as it is known; undefined once that is gone. */
  readonly clientAddress: string | undefined;
  /** `x-aws-proxy-error` of a refusal, null for one without; undefined when the application answered. */
  readonly proxyError: string | null | undefined;
  /** Body bytes. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** What the token admitted to; undefined for a refusal before that. */
  readonly microvmId: string | undefined;
  readonly port: number | undefined;
  /** Wait for a start or a wake-up; undefined when it got no further. */
  readonly waitedMs: number | undefined;
}

export interface ServeOptions extends AdmissionRules {
  readonly connectTimeoutMs: number;
  /** Largest body of a request; Infinity for any size. */
  readonly maxBodyBytes: number;
  /** Whether every exchange is logged at `info` instead of `debug`. */
  readonly hasAccessLog: boolean;
  /** Absent where no proxies are named: what clients say of their origin then passes as it is. */
  readonly forwarded?: ForwardedRules;
}

/** Facts for the access log, filled in as they become known. */
interface Account {
  admission?: Admission | ShellAdmission;
  waitedMs?: number;
  refused?: Refusal;
}

/** Carries one exchange to its end, whatever that is. Does not reject. */
export async function serve(
  deps: ServeDeps,
  options: ServeOptions,
  exchange: Exchange,
): Promise<void> {
  const { response, signal } = exchange;
  const startedAt = performance.now();
  const account: Account = {};
  if (options.forwarded !== undefined)
    Object.assign(
      exchange,
      forwardedRequest(exchange.fields, exchange.clientAddress, options.forwarded),
    );
  try {
    const refused = await answer(deps, options, exchange, account);
    if (refused !== undefined && !signal.aborted) await refuse(exchange, refused, account);
  } catch (error) {
    // Cut on one side: what the other has received so far must not look complete.
    if (!signal.aborted && !isServiceError(error, "GUEST_UNREACHABLE")) {
      deps.log.error("Request failed", { requestId: exchange.requestId, error });
    }
    if (response.status !== undefined || signal.aborted) response.cut(cutCode(error));
    else await refuse(exchange, REFUSALS.internal, account);
  }
  exchange.discardRest();
  tell(deps, options, { exchange, account, durationMs: performance.now() - startedAt });
}

async function answer(
  deps: ServeDeps,
  options: ServeOptions,
  exchange: Exchange,
  account: Account,
): Promise<Refusal | undefined> {
  const subprotocols = websocketSubprotocols(exchange);
  const { token, port } = exchange.connection.memory.asked(exchange.fields);
  const request = { authority: exchange.authority, token, port, subprotocols };
  const admission = await admit(deps, request, options);
  if (admission.kind === "refused") return admission;
  account.admission = admission;
  const { framing } = exchange;
  if (framing.kind === "length" && Number(framing.bytes) > options.maxBodyBytes)
    return REFUSALS.bodyTooLarge;
  const counting = deps.limiter.count(admission.record, exchange.connection);
  const counted = counting instanceof Promise ? await counting : counting;
  if (counted.kind === "refused") return counted;
  const { microvmId } = admission.record;
  if (admission.kind === "shell") {
    const waited = (waitedMs: number) => void (account.waitedMs = waitedMs);
    return serveShell(deps, exchange, { microvmId, subprotocols, waited });
  }
  const opening = deps.traffic.open(microvmId, exchange.signal);
  const opened =
    opening instanceof Promise ? await leaseOrRefusal(deps, exchange, opening) : opening;
  if ("kind" in opened) return opened;
  using lease = opened;
  account.waitedMs = lease.waitedMs;
  return await reach({ deps, options, exchange }, { admission, subprotocols, counted, lease });
}

/** Waits for the microVM. Rejects when the client has left, and when the service is at fault. */
async function leaseOrRefusal(
  { log }: ServeDeps,
  { signal, requestId }: Exchange,
  opening: Promise<TrafficLease>,
): Promise<TrafficLease | Refusal> {
  try {
    return await opening;
  } catch (error) {
    if (signal.aborted) throw error;
    const refused = refusalFor(error);
    if (refused === REFUSALS.internal) throw error;
    log.debug("MicroVM takes no request", { requestId, error });
    return refused;
  }
}

interface Serving {
  readonly deps: ServeDeps;
  readonly options: ServeOptions;
  readonly exchange: Exchange;
}

interface Admitted {
  readonly admission: Admission;
  readonly subprotocols: Subprotocols;
  readonly counted: WithinLimits;
  readonly lease: TrafficLease;
}

/** The way to the application, and what its answer says about whether it speaks TLS. */
async function reach(
  { deps: { upstreamTls }, options: { connectTimeoutMs, maxBodyBytes }, exchange }: Serving,
  { admission: { record, port }, subprotocols, counted: { pace }, lease }: Admitted,
): Promise<Refusal | undefined> {
  const asking = upstreamTls.isSpoken({ record, port, lease, connectTimeoutMs });
  const isTls = asking instanceof Promise ? await asking : asking;
  const target = { lease, port, isTls, subprotocols, connectTimeoutMs, pace, maxBodyBytes };
  const refused = await forward(exchange, target);
  if (refused === REFUSALS.appConnectFailed) upstreamTls.forget({ record, port });
  else if (exchange.response.status === 400 && !isTls) upstreamTls.doubt({ record, port });
  return refused;
}

function websocketSubprotocols({ fields, upgrade }: Exchange): Subprotocols {
  return upgrade?.protocol.toLowerCase() === "websocket"
    ? parseSubprotocols(fieldValues(fields, "sec-websocket-protocol").join(", "))
    : NO_SUBPROTOCOLS;
}

/** How the application ended a response that was cut off, for a client that can be told. */
function cutCode(error: unknown): number | undefined {
  const code = isServiceError(error) ? error.details.cutCode : undefined;
  return typeof code === "number" && code !== 0 ? code : undefined;
}

async function refuse(exchange: Exchange, refused: Refusal, account: Account): Promise<void> {
  const { response } = exchange;
  account.refused = refused;
  const over = new Promise<void>((resolve) => {
    if (response.body.writableFinished || response.body.destroyed) resolve();
    response.body.once("finish", resolve);
    response.body.once("close", resolve);
  });
  writeRefusal(response, refused, exchange.requestId);
  await over;
  if (refused.endsConnection === true) exchange.connection.shutDown();
}

interface Ended {
  readonly exchange: Exchange;
  readonly account: Account;
  readonly durationMs: number;
}

/** To the observer and to the access log, which has neither tokens nor paths: both may hold secrets. */
function tell(
  deps: ServeDeps,
  options: ServeOptions,
  { exchange, account, durationMs }: Ended,
): void {
  const { method, response, requestId, traffic, signal, httpVersion, clientAddress } = exchange;
  const { admission, waitedMs, refused } = account;
  const { status } = response;
  const port = admission?.kind === "admitted" ? admission.port : undefined;
  deps.observe?.({
    ...{ status, httpVersion, clientAddress, waitedMs, proxyError: refused?.proxyError },
    ...{ microvmId: admission?.record.microvmId, port },
    ...{ bytesReceived: traffic.received, bytesSent: traffic.sent },
  });
  const level = options.hasAccessLog ? "info" : "debug";
  (deps.accessLog ?? deps.log)[level]("Request", {
    requestId,
    clientAddress,
    microvmId: admission?.record.microvmId,
    port,
    isShell: admission?.kind === "shell" || undefined,
    method,
    httpVersion,
    status,
    proxyError: refused?.proxyError,
    clientLeft: signal.aborted,
    bytesReceived: traffic.received,
    bytesSent: traffic.sent,
    waitedMs,
    durationMs: Math.round(durationMs * 10) / 10,
  });
}
