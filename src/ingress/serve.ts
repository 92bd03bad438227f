// The way of one exchange: admitted or refused, a lease on the microVM (which wakes it), forwarded, logged.

import { isServiceError } from "../errors.ts";
import { type Known, whenKnown } from "../lib/known.ts";
import type { Log } from "../lib/log.ts";
import type { TrafficLease } from "../microvms/lease.ts";
import type { Traffic } from "../microvms/traffic.ts";
import { admit, type Admission, type AdmissionRules, type ShellAdmission } from "./admission.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import { type ForwardedRules, forwardedRequest } from "./forwarded.ts";
import { fieldValues } from "./headers.ts";
import type { Limiter } from "./limits.ts";
import type { Pace } from "./pace.ts";
import { deliverRefusal, type Refusal, refusalFor, REFUSALS } from "./refusal.ts";
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
  /** That endpoint names end in. */
  readonly domains: readonly string[];
  readonly connectTimeoutMs: number;
  /** Largest body of a request; Infinity for any size. */
  readonly maxBodyBytes: number;
  /** Whether every exchange is logged at `info` instead of `debug`. */
  readonly hasAccessLog: boolean;
  /** Absent where no proxies are named: what clients say of their origin then passes as it is. */
  readonly forwarded?: ForwardedRules;
}

/** What the exchange has come to; filled in as it becomes known. */
interface Account {
  admission?: Admission | ShellAdmission;
  /** Given back when the answer is over, before a refusal that the client may be slow to read. */
  lease?: TrafficLease;
  /** Whether the application was spoken to by TLS; undefined when it was not got to. */
  isTls?: boolean;
  waitedMs?: number;
  refused?: Refusal;
}

interface Serving {
  readonly deps: ServeDeps;
  readonly options: ServeOptions;
  readonly exchange: Exchange;
  readonly account: Account;
}

/** An exchange that was admitted and is within the limits. */
interface Passing {
  readonly admission: Admission | ShellAdmission;
  readonly subprotocols: Subprotocols;
  readonly pace: Pace | undefined;
}

/** An exchange whose microVM runs. */
interface Reaching extends Passing {
  readonly admission: Admission;
  readonly lease: TrafficLease;
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
  const serving = { deps, options, exchange, account };
  try {
    const refused = await answer(serving);
    account.lease?.[Symbol.dispose]();
    learn(serving, refused);
    if (refused !== undefined && !signal.aborted) await refuse(exchange, refused, account);
  } catch (error) {
    account.lease?.[Symbol.dispose]();
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

function answer(serving: Serving): Known<Refusal | undefined> {
  const { deps, options, exchange, account } = serving;
  const subprotocols = websocketSubprotocols(exchange);
  const { memory } = exchange.connection;
  const { token, port } = memory.asked(exchange.fields);
  const host = memory.host(exchange.authority, options.domains);
  const request = { host, token, port, subprotocols };
  return whenKnown(admit(deps, request, options), (admission) => {
    if (admission.kind === "refused") return admission;
    account.admission = admission;
    const { framing } = exchange;
    if (framing.kind === "length" && Number(framing.bytes) > options.maxBodyBytes)
      return REFUSALS.bodyTooLarge;
    const counting = deps.limiter.count(admission.record, exchange.connection);
    return whenKnown(counting, (counted) =>
      counted.kind === "refused"
        ? counted
        : wake(serving, { admission, subprotocols, pace: counted.pace }),
    );
  });
}

/** The way of an exchange that may pass: a shell, or to the application once its microVM runs. */
function wake(serving: Serving, passing: Passing): Known<Refusal | undefined> {
  const { deps, exchange, account } = serving;
  const { admission, subprotocols } = passing;
  const { microvmId } = admission.record;
  if (admission.kind === "shell") {
    const waited = (waitedMs: number) => void (account.waitedMs = waitedMs);
    return serveShell(deps, exchange, { microvmId, subprotocols, waited });
  }
  const opening = deps.traffic.open(microvmId, exchange.signal);
  const lease = opening instanceof Promise ? leaseOrRefusal(deps, exchange, opening) : opening;
  return whenKnown(lease, (opened) =>
    "kind" in opened
      ? opened
      : reach(serving, { admission, subprotocols, pace: passing.pace, lease: opened }),
  );
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

/** The way to the application. */
function reach(
  { deps, options, exchange, account }: Serving,
  { admission, subprotocols, pace, lease }: Reaching,
): Known<Refusal | undefined> {
  const { record, port } = admission;
  account.lease = lease;
  account.waitedMs = lease.waitedMs;
  const { connectTimeoutMs, maxBodyBytes } = options;
  const asking = deps.upstreamTls.isSpoken({ record, port, lease, connectTimeoutMs });
  return whenKnown(asking, (isTls) => {
    account.isTls = isTls;
    const target = { lease, port, isTls, subprotocols, connectTimeoutMs, pace, maxBodyBytes };
    return forward(exchange, target);
  });
}

/** What the application's answer, or its silence, says about whether it speaks TLS. */
function learn({ deps: { upstreamTls }, exchange, account }: Serving, refused?: Refusal): void {
  const { admission, isTls } = account;
  if (isTls === undefined || admission?.kind !== "admitted") return;
  if (refused === REFUSALS.appConnectFailed) upstreamTls.forget(admission);
  else if (exchange.response.status === 400 && !isTls) upstreamTls.doubt(admission);
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
  await deliverRefusal(response, refused, exchange.requestId);
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
  const microvmId = admission?.record.microvmId;
  const port = admission?.kind === "admitted" ? admission.port : undefined;
  const { status } = response;
  const proxyError = refused?.proxyError;
  const { received: bytesReceived, sent: bytesSent } = traffic;
  deps.observe?.({
    status,
    httpVersion,
    clientAddress,
    proxyError,
    bytesReceived,
    bytesSent,
    microvmId,
    port,
    waitedMs,
  });
  const log = deps.accessLog ?? deps.log;
  const level = options.hasAccessLog ? "info" : "debug";
  if (!log.isOn(level)) return;
  log[level]("Request", {
    requestId,
    clientAddress,
    microvmId,
    port,
    isShell: admission?.kind === "shell" || undefined,
    method,
    httpVersion,
    status,
    proxyError,
    clientLeft: signal.aborted,
    bytesReceived,
    bytesSent,
    waitedMs,
    durationMs: Math.round(durationMs * 10) / 10,
  });
}
