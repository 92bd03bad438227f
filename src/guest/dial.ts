// Connects to a guest. A guest that was restored a moment ago may lose the first packet, and the kernel would send the
// next one a whole second later; one that boots may refuse for a while. So attempts overlap, and the first that connects wins.

import { connect as connectSocket, type Socket } from "node:net";
import { hasErrorCode, ServiceError } from "../errors.ts";

export interface DialTarget {
  readonly address: string;
  readonly port: number;
  /** How long to try. */
  readonly budgetMs: number;
  /** Whether a refusal means "not yet": the guest boots. */
  readonly isPatient: boolean;
}

export interface DialDeps {
  readonly connect: (address: string, port: number) => Socket;
}

/** Another attempt starts after this long without an answer: beyond a cold guest's answer, below the kernel's 1 s. */
const STEP_MS = 250;
/** Pause after a refusal, which is an answer: the guest's agent is about to listen. */
const REFUSED_STEP_MS = 20;
/** An attempt this old would wait for the kernel's ever rarer retransmissions. Also bounds the attempts under way to 4. */
const ATTEMPT_MS = 1000;

/** What connecting to a guest that is not there yet may fail with. */
const NOT_YET = [
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ETIMEDOUT",
] as const;

/** A connected socket, caller destroys. Rejects GUEST_UNREACHABLE when there is none within the budget. */
export function dialGuest(
  target: DialTarget,
  signal: AbortSignal,
  deps: DialDeps = { connect: (address, port) => connectSocket(port, address) },
): Promise<Socket> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const pending = new Map<Socket, NodeJS.Timeout>();
  let next: NodeJS.Timeout | undefined;
  let lastFailure: unknown;

  const drop = (socket: Socket) => {
    clearTimeout(pending.get(socket));
    return pending.delete(socket);
  };
  const onAbort = () => fail(signal.reason);
  const settle = () => {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(next);
    clearTimeout(deadline);
    for (const socket of pending.keys()) {
      drop(socket);
      socket.destroy();
    }
  };
  const fail = (reason: unknown) => {
    settle();
    reject(reason);
  };
  const attempt = () => {
    const socket = deps.connect(target.address, target.port);
    const giveUp = () => {
      if (drop(socket)) socket.destroy();
    };
    pending.set(socket, setTimeout(giveUp, ATTEMPT_MS));
    // Stays on as a guard: a destroyed loser may still report how it ended.
    socket.on("error", (error) => {
      if (!drop(socket)) return;
      lastFailure = error;
      if (target.isPatient && hasErrorCode(error, ...NOT_YET)) attemptIn(REFUSED_STEP_MS);
      else fail(unreachable(target, error));
    });
    socket.once("connect", () => {
      if (!drop(socket)) return;
      settle();
      resolve(socket);
    });
    attemptIn(STEP_MS);
  };
  // One timer for the next attempt, so that refusals hasten it but never multiply.
  const attemptIn = (delayMs: number) => {
    clearTimeout(next);
    next = setTimeout(attempt, delayMs);
  };

  const deadline = setTimeout(() => fail(unreachable(target, lastFailure)), target.budgetMs);
  signal.addEventListener("abort", onAbort, { once: true });
  attempt();
  return promise;
}

function unreachable({ address, budgetMs }: DialTarget, cause: unknown): ServiceError {
  const detail =
    cause instanceof Error ? cause.message : `no connection within ${Math.round(budgetMs)} ms`;
  return new ServiceError(
    "GUEST_UNREACHABLE",
    `Cannot connect to guest at "${address}": ${detail}`,
    {
      cause,
      details: { address },
    },
  );
}
