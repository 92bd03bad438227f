// The host's calls to one guest's agent (protocol.ts). One client per VMM; disposing it closes its connections.

import { isServiceError, messageOf, ServiceError } from "../errors.ts";
import { dialGuest } from "./dial.ts";
import { readLines } from "./event-lines.ts";
import {
  type Answer,
  DIAL_BUDGET_MS,
  exchange,
  type Exchange,
  type GuestConnection,
  limitExchange,
  openAnswer,
  openConnection,
} from "./exchange.ts";
import { agentEvent, execResponse, hookResponse, listeningResponse } from "./messages.ts";
import type {
  AgentEvent,
  ExecRequest,
  HookRequest,
  HookResponse,
  RestoredRequest,
  StartRequest,
} from "./protocol.ts";
import { AGENT_PORT } from "./protocol.ts";

export interface GuestAddress {
  /** Slot address. */
  readonly address: string;
  readonly secret: string;
  /** AGENT_PORT unless something between host and guest translates it. */
  readonly port?: number;
}

export interface GuestLogs {
  /** Offset of the first byte; later than asked for when the agent has dropped some. */
  readonly start: number;
  /** Offset to continue from. */
  readonly next: number;
  readonly bytes: Uint8Array;
  /** The bytes as UTF-8; a character cut at either end becomes U+FFFD. */
  readonly text: string;
}

export interface ExecResult {
  /** Null when ended by a signal or the timeout. */
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly timedOut: boolean;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** More than 1 MiB of a stream was dropped. */
  readonly truncated: boolean;
}

/**
 * Every call rejects GUEST_UNREACHABLE for failures of the connection (with `details.address`), VALIDATION_FAILED or
 * CONFLICT with the agent's message, VMM_FAILED when the agent failed or made no sense, and with the signal's reason on abort.
 */
export interface GuestClient extends AsyncDisposable {
  /**
   * Waits for a booting guest until `signal` aborts, at most BOOT_BUDGET_MS, then starts the app. Resolves also when the
   * app could not be started: the first event says which. The clock in `request` is that of the call.
   */
  start(request: StartRequest, signal: AbortSignal): Promise<void>;
  /**
   * First call after a restore; cuts every other connection of the guest, this client's included. Safe to repeat. Retried
   * inside RESTORED_BUDGET_MS. The clock in `request` is that of the call.
   */
  restored(request: RestoredRequest, signal: AbortSignal): Promise<void>;
  /** The app's status, then its changes; ends after the last, rejects when the guest goes away before. */
  events(signal: AbortSignal): AsyncGenerator<AgentEvent, void, undefined>;
  hook(request: HookRequest, signal: AbortSignal): Promise<HookResponse>;
  /** Writes what the guest holds of its disk to the disk. */
  quiesce(signal: AbortSignal): Promise<void>;
  logs(offset: number, signal: AbortSignal): Promise<GuestLogs>;
  /** Runs a program in the app's container. A program that cannot be executed is VALIDATION_FAILED. */
  exec(request: ExecRequest, signal: AbortSignal): Promise<ExecResult>;
  /** Asks the guest to end; it is off within POWEROFF_WAIT_MS or not at all. */
  poweroff(signal: AbortSignal): Promise<void>;
  listening(port: number, signal: AbortSignal): Promise<boolean>;
}

/** From power-on to an agent that listens, the slowest emulated machine included. */
export const BOOT_BUDGET_MS = 180_000;
/** From the request to a running app: more than the agent's START_BUDGET of 20 s. */
const START_TIMEOUT_MS = 30_000;
/** A restored guest that has not answered by then is broken, not slow. */
const RESTORED_BUDGET_MS = 10_000;
/** An answer that the agent has at hand. */
const CALL_TIMEOUT_MS = 10_000;
/** Flushing a disk's worth of dirty pages through an emulated device. */
const QUIESCE_TIMEOUT_MS = 60_000;
/** What a call that carries its own timeout may take beyond it: connecting, and the agent's draining of pipes. */
const MARGIN_MS = DIAL_BUDGET_MS + 2000;
/** More than the agent's TERM_BUDGET, KILL_BUDGET and SYNC_BUDGET together, 9 s. */
export const POWEROFF_WAIT_MS = 15_000;

/** A client for the agent at `address`; connects on the first call. Caller disposes. */
export function createGuestClient({
  address,
  secret,
  port = AGENT_PORT,
}: GuestAddress): GuestClient {
  const connection = openConnection(address, secret, port);
  const post = (path: string, body: unknown, timeoutMs: number, signal: AbortSignal) =>
    exchange(connection, { method: "POST", path, body: () => body, timeoutMs }, signal);
  const get = (path: string, signal: AbortSignal) =>
    exchange(connection, { method: "GET", path, timeoutMs: CALL_TIMEOUT_MS }, signal);
  return {
    start: (request, signal) => start(connection, request, signal),
    restored: (request, signal) => restored(connection, request, signal),
    events: (signal) => events(connection, signal),
    async hook(request, signal) {
      const answer = await post("/v1/hook", request, request.timeoutMs + MARGIN_MS, signal);
      return parse(connection, hookResponse, answer);
    },
    async quiesce(signal) {
      await post("/v1/quiesce", {}, QUIESCE_TIMEOUT_MS, signal);
    },
    async logs(offset, signal) {
      return toLogs(connection, await get(`/v1/logs?offset=${offset}`, signal));
    },
    async exec(request, signal) {
      const answer = await post("/v1/exec", request, request.timeoutMs + MARGIN_MS, signal);
      const { stdout, stderr, ...rest } = parse(connection, execResponse, answer);
      return { ...rest, stdout: fromBase64(stdout), stderr: fromBase64(stderr) };
    },
    async poweroff(signal) {
      await post("/v1/poweroff", {}, CALL_TIMEOUT_MS, signal);
    },
    async listening(port, signal) {
      const answer = await get(`/v1/listening?port=${port}`, signal);
      return parse(connection, listeningResponse, answer).listening;
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

async function start(
  connection: GuestConnection,
  request: StartRequest,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  await dialAhead(connection, BOOT_BUDGET_MS, signal);
  await exchange(
    connection,
    {
      ...{ method: "POST", path: "/v1/start", timeoutMs: START_TIMEOUT_MS },
      body: () => withPresentClock(request, began),
    },
    signal,
  );
}

async function restored(
  connection: GuestConnection,
  request: RestoredRequest,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  for (;;) {
    const restMs = RESTORED_BUDGET_MS - (performance.now() - began);
    await dialAhead(connection, restMs, signal);
    try {
      await exchange(
        connection,
        {
          ...{ method: "POST", path: "/v1/restored", timeoutMs: restMs },
          body: () => withPresentClock(request, began),
        },
        signal,
      );
      return;
    } catch (error) {
      // A connection that broke says nothing of what the agent has done; doing it again is harmless.
      const isOver = performance.now() - began >= RESTORED_BUDGET_MS;
      if (signal.aborted || isOver || !isServiceError(error, "GUEST_UNREACHABLE")) throw error;
      connection.closed.throwIfAborted();
    }
  }
}

async function dialAhead(
  connection: GuestConnection,
  budgetMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { address, port, dialled, closed, pool } = connection;
  // Idle ones lead to an earlier life of the guest, or end with its answer to `restored`.
  for (const idle of Object.values(pool.freeSockets).flat()) idle?.destroy();
  const target = { address, port, budgetMs, isPatient: true };
  dialled.push(await dialGuest(target, AbortSignal.any([signal, closed])));
}

/** The clock as it is now: the request says what it was when the call began. */
function withPresentClock<T extends { readonly clock: { readonly epochMs: number } }>(
  request: T,
  began: number,
): T {
  const epochMs = Math.round(request.clock.epochMs + (performance.now() - began));
  return { ...request, clock: { epochMs } };
}

/** The present status and its one change; more is no agent of ours. */
const EVENT_LINES = 2;
const EVENTS: Exchange = { method: "GET", path: "/v1/events", timeoutMs: CALL_TIMEOUT_MS };

async function* events(
  connection: GuestConnection,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent, void, undefined> {
  const limit = limitExchange(connection, EVENTS, signal);
  const response = await openAnswer(connection, EVENTS, limit.signal).finally(() => {
    // Only the head has a time limit: the stream lasts until the app ends or `signal` aborts.
    limit[Symbol.dispose]();
  });
  try {
    let lines = 0;
    for await (const line of readLines(response)) {
      if (++lines > EVENT_LINES) throw senseless(connection.address);
      yield parseText(connection, agentEvent, line);
    }
  } catch (error) {
    limit.signal.throwIfAborted();
    if (isServiceError(error)) throw error;
    throw new ServiceError(
      "GUEST_UNREACHABLE",
      `Lost the events of guest at "${connection.address}": ${messageOf(error)}`,
      { cause: error, details: { address: connection.address } },
    );
  } finally {
    response.destroy();
  }
}

function toLogs({ address }: GuestConnection, { headers, body }: Answer): GuestLogs {
  const start = Number(headers["x-torpor-log-start"]);
  if (!Number.isSafeInteger(start) || start < 0) throw senseless(address);
  return { start, next: start + body.length, bytes: body, text: body.toString() };
}

interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false };
}

function parse<T>(connection: GuestConnection, schema: Schema<T>, answer: Answer): T {
  return parseText(connection, schema, answer.body.toString());
}

function parseText<T>({ address }: GuestConnection, schema: Schema<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw senseless(address);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw senseless(address);
  return parsed.data;
}

function senseless(address: string): ServiceError {
  return new ServiceError(
    "VMM_FAILED",
    `Guest at "${address}" gave an answer that makes no sense`,
    {
      details: { address },
    },
  );
}

function fromBase64(text: string): Uint8Array {
  return Buffer.from(text, "base64");
}
