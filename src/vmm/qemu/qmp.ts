// QMP, QEMU's control protocol: one JSON object a line over a Unix socket; greeting first, then capabilities, then
// commands answered in order, events in between (docs/interop/qmp-spec in QEMU's source).

import { once } from "node:events";
import net from "node:net";
import { hasErrorCode, ServiceError } from "../../errors.ts";

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface QmpClient extends AsyncDisposable {
  /** Sends a command and resolves with its `return`. Rejects VMM_FAILED with QEMU's own words, or when the socket closes. */
  execute(command: string, args: Record<string, unknown>, signal: AbortSignal): Promise<unknown>;
  /** Resolves with the first event for which `match` is true, from now on. */
  waitForEvent(match: (event: QmpEvent) => boolean, signal: AbortSignal): Promise<QmpEvent>;
  /** Has every event from now on given to `listener`; one listener. */
  onEvent(listener: (event: QmpEvent) => void): void;
  /** Settles when the connection is gone. Never rejects. */
  readonly closed: Promise<void>;
}

/** Longest wait for one command to be answered; all of ours answer within milliseconds on a healthy host. */
export const QMP_COMMAND_TIMEOUT_MS = 10_000;
/** How long to wait between attempts while QEMU has not made its socket yet. */
const CONNECT_RETRY_MS = 2;
/** Longest line QEMU may send; its longest answer here is a few kilobytes. */
const LINE_LIMIT = 1024 * 1024;

/**
 * Connects to QEMU's socket, waiting for it to appear until `signal` aborts, and negotiates. QEMU serves one client
 * at a time: a second connection waits until the first is gone.
 */
export async function connectQmp(socketPath: string, signal: AbortSignal): Promise<QmpClient> {
  const socket = await connectWhenReady(socketPath, signal);
  const client = createClient(socket);
  try {
    await client.greeting(signal);
    await client.execute("qmp_capabilities", {}, signal);
    return client;
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
}

async function connectWhenReady(socketPath: string, signal: AbortSignal): Promise<net.Socket> {
  for (;;) {
    signal.throwIfAborted();
    const socket = net.connect(socketPath);
    try {
      await once(socket, "connect", { signal });
      return socket;
    } catch (error) {
      socket.destroy();
      if (!hasErrorCode(error, "ENOENT", "ECONNREFUSED")) throw error;
      await new Promise((resolve) => setTimeout(resolve, CONNECT_RETRY_MS));
    }
  }
}

type Waiter = { readonly match: (event: QmpEvent) => boolean } & PromiseWithResolvers<QmpEvent>;

function createClient(socket: net.Socket) {
  const greeted = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const commands = new Map<number, PromiseWithResolvers<unknown>>();
  const waiters = new Set<Waiter>();
  let listener: ((event: QmpEvent) => void) | undefined;
  let nextId = 1;
  let rest = "";

  const fail = () => {
    const error = new ServiceError("VMM_FAILED", "Lost the control connection to the VMM");
    greeted.reject(error);
    for (const pending of commands.values()) pending.reject(error);
    for (const waiter of waiters) waiter.reject(error);
    commands.clear();
    waiters.clear();
    closed.resolve();
  };
  greeted.promise.catch(ignoreRejection);

  const onMessage = (message: Record<string, unknown>) => {
    if ("QMP" in message) greeted.resolve();
    else if (typeof message["event"] === "string") {
      const event = { event: message["event"], data: eventData(message["data"]) };
      for (const waiter of waiters) if (waiter.match(event)) waiter.resolve(event);
      listener?.(event);
    } else if (typeof message["id"] === "number") {
      const pending = commands.get(message["id"]);
      commands.delete(message["id"]);
      if ("error" in message) pending?.reject(qmpError(message["error"]));
      else pending?.resolve(message["return"]);
    }
  };

  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_LIMIT) socket.destroy();
    for (const line of lines) {
      const message = parseMessage(line);
      // A QEMU that makes no sense was taken over or is broken: it is not listened to any further.
      if (message === undefined) socket.destroy();
      else onMessage(message);
    }
  });
  // An error is always followed by close, which is where the pending calls are failed.
  socket.on("error", ignoreRejection);
  socket.on("close", fail);
  socket.unref();

  return {
    closed: closed.promise,
    onEvent(given: (event: QmpEvent) => void) {
      listener = given;
    },
    greeting: (signal: AbortSignal) => within(greeted.promise, signal),
    async execute(command: string, args: Record<string, unknown>, signal: AbortSignal) {
      if (socket.destroyed) throw new ServiceError("VMM_FAILED", "The VMM is gone");
      const id = nextId++;
      const pending = Promise.withResolvers<unknown>();
      commands.set(id, pending);
      socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
      try {
        return await within(pending.promise, signal, `VMM command "${command}"`);
      } finally {
        commands.delete(id);
      }
    },
    async waitForEvent(match: (event: QmpEvent) => boolean, signal: AbortSignal) {
      const waiter: Waiter = { match, ...Promise.withResolvers<QmpEvent>() };
      waiters.add(waiter);
      try {
        return await within(waiter.promise, signal, "VMM event");
      } finally {
        waiters.delete(waiter);
      }
    },
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed.promise;
    },
  } satisfies QmpClient & { greeting(signal: AbortSignal): Promise<void> };
}

/** Waits for `promise`, the signal or QMP_COMMAND_TIMEOUT_MS, whichever is first. The socket keeps the loop alive meanwhile. */
async function within<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  what = "VMM greeting",
): Promise<T> {
  signal.throwIfAborted();
  const ended = Promise.withResolvers<never>();
  const onAbort = () => ended.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => {
    ended.reject(
      new ServiceError("VMM_FAILED", `${what} had no answer in ${QMP_COMMAND_TIMEOUT_MS} ms`),
    );
  }, QMP_COMMAND_TIMEOUT_MS);
  try {
    return await Promise.race([promise, ended.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    promise.catch(ignoreRejection);
  }
}

/** A message, `{}` for an empty line, undefined for anything else. */
function parseMessage(line: string): Record<string, unknown> | undefined {
  if (line.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(line);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function eventData(data: unknown): QmpEvent["data"] {
  return typeof data === "object" && data !== null ? (data as QmpEvent["data"]) : {};
}

function qmpError(error: unknown): ServiceError {
  const description =
    typeof error === "object" && error !== null && "desc" in error ? String(error.desc) : "unknown";
  return new ServiceError("VMM_FAILED", `VMM refused: ${description}`);
}

function ignoreRejection(): void {
  // Whoever awaits the promise sees the failure; this keeps an unawaited one from ending the process.
}
