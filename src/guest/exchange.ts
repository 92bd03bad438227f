// One HTTP exchange with a guest's agent: bounded in time and size, its failures in words. Knows no route.

import { Agent, type IncomingMessage, request as httpRequest } from "node:http";
import type { Socket } from "node:net";
import { messageOf, ServiceError } from "../errors.ts";
import { dialGuest } from "./dial.ts";
import { errorResponse } from "./messages.ts";
import { AGENT_BODY_LIMIT, AGENT_PORT } from "./protocol.ts";

/** How to reach one guest. Disposing it closes every connection and fails what is under way; safe to call twice. */
export interface GuestConnection extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
  readonly pool: Agent;
  /** At most one: dialled ahead with patience, for the next request that finds no idle connection. */
  readonly dialled: Socket[];
  /** Aborts on disposal. */
  readonly closed: AbortSignal;
}

export interface Exchange {
  readonly method: "GET" | "POST";
  /** With the query. */
  readonly path: string;
  /** Made when a connection is there, so that a clock in it is not as old as the wait. */
  readonly body?: () => unknown;
  /** From asking for a connection to the last byte of the answer. */
  readonly timeoutMs: number;
}

export interface Answer {
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** The agent's own limit is 32 connections; one is held by the events. */
const MAX_SOCKETS = 16;
/** A guest whose agent listens answers within the time of a lost packet or two. */
export const DIAL_BUDGET_MS = 5000;

/** Connects to nothing yet. */
export function openConnection(
  address: string,
  secret: string,
  port = AGENT_PORT,
): GuestConnection {
  const closing = new AbortController();
  const dialled: Socket[] = [];
  const pool = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  pool.createConnection = (_options, callback) => {
    // The other end may have closed one since it was dialled.
    const ready = dialled.splice(0).find((socket) => socket.readyState === "open");
    if (ready !== undefined) return ready;
    const target = { address, port, budgetMs: DIAL_BUDGET_MS, isPatient: false };
    dialGuest(target, closing.signal).then(
      (socket) => callback?.(null, socket),
      // Node's type has no room for the missing socket of a failure.
      (error: unknown) => callback?.(error as Error, undefined as unknown as Socket),
    );
    return undefined;
  };
  return {
    ...{ address, port, secret, pool, dialled },
    closed: closing.signal,
    async [Symbol.asyncDispose]() {
      closing.abort(unreachable(address, "Connection to guest was closed", undefined));
      for (const socket of dialled.splice(0)) socket.destroy();
      pool.destroy();
    },
  };
}

/** Sends the request and reads the whole answer, at most AGENT_BODY_LIMIT. Rejects as `openAnswer` does. */
export async function exchange(
  connection: GuestConnection,
  call: Exchange,
  signal: AbortSignal,
): Promise<Answer> {
  using limit = limitExchange(connection, call, signal);
  const response = await openAnswer(connection, call, limit.signal);
  try {
    return { headers: response.headers, body: await readBody(response) };
  } catch (error) {
    throw failure(connection, call, limit.signal, error);
  }
}

/**
 * Sends the request and resolves when the answer's head is there with status 200; the caller reads or destroys the rest.
 * Rejects GUEST_UNREACHABLE for a failure of the connection, else with the agent's message: VALIDATION_FAILED for
 * bad input, CONFLICT for the wrong time, VMM_FAILED otherwise. When `signal` aborts, rejects with its reason.
 */
export async function openAnswer(
  connection: GuestConnection,
  call: Exchange,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  signal.throwIfAborted();
  let response: IncomingMessage;
  try {
    response = await send(connection, call, signal);
    if (response.statusCode === 200) return response;
  } catch (error) {
    throw failure(connection, call, signal, error);
  }
  throw await refusal(connection, call, signal, response);
}

/**
 * What ends one exchange early: the caller, the end of the connection, or the time limit, each with its own reason.
 * Disposing it lifts the time limit.
 */
export function limitExchange(
  { address, closed }: GuestConnection,
  { method, path, timeoutMs }: Exchange,
  signal: AbortSignal,
): { readonly signal: AbortSignal } & Disposable {
  const late = new AbortController();
  const what = `Guest at "${address}" did not answer ${method} ${routeOf(path)} within ${Math.round(timeoutMs)} ms`;
  const timer = setTimeout(() => late.abort(unreachable(address, what, undefined)), timeoutMs);
  return {
    signal: AbortSignal.any([signal, closed, late.signal]),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > AGENT_BODY_LIMIT) {
      response.destroy();
      throw new ServiceError("VMM_FAILED", "The guest's answer is larger than any should be");
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(
  { address, port, secret, pool }: GuestConnection,
  { method, path, body }: Exchange,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body()));
  // The agent would refuse it and close the connection while most of it is on its way.
  if (payload !== undefined && payload.length > AGENT_BODY_LIMIT) {
    const what = `The request is larger than ${AGENT_BODY_LIMIT} bytes`;
    return Promise.reject(new ServiceError("VALIDATION_FAILED", what));
  }
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      ...{ agent: pool, host: address, port, method, path, signal },
      headers: {
        authorization: `Bearer ${secret}`,
        ...(payload && { "content-type": "application/json", "content-length": payload.length }),
      },
    });
    request.on("error", reject);
    request.on("response", resolve);
    // A guest that answers with something that is no response (101 unasked) makes node end the request without an error.
    request.on("close", () => reject(new Error("the connection ended without an answer")));
    request.end(payload);
  });
}

async function refusal(
  connection: GuestConnection,
  call: Exchange,
  signal: AbortSignal,
  response: IncomingMessage,
): Promise<ServiceError> {
  const status = response.statusCode ?? 0;
  let message = `HTTP status ${status}`;
  try {
    const parsed = errorResponse.safeParse(JSON.parse((await readBody(response)).toString()));
    if (parsed.success) message = parsed.data.message;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw failure(connection, call, signal, error);
  }
  const code =
    status === 400 ? "VALIDATION_FAILED" : status === 409 ? "CONFLICT" : ("VMM_FAILED" as const);
  return new ServiceError(code, message, { details: { status, address: connection.address } });
}

/** The reason of whoever gave up, else the connection's failure. */
function failure(
  { address }: GuestConnection,
  { method, path }: Exchange,
  signal: AbortSignal,
  error: unknown,
): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof ServiceError) return error;
  const what = `Cannot reach guest at "${address}" for ${method} ${routeOf(path)}: ${messageOf(error)}`;
  return unreachable(address, what, error);
}

function unreachable(address: string, message: string, cause: unknown): ServiceError {
  return new ServiceError("GUEST_UNREACHABLE", message, { cause, details: { address } });
}

function routeOf(path: string): string {
  return path.split("?", 1)[0] ?? path;
}
