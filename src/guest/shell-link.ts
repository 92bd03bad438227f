// One connection to a shell session of a guest's agent. A session outlives its connections (protocol.ts).

import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { messageOf, ServiceError } from "../errors.ts";
import { errorResponse } from "./messages.ts";

export interface ShellTarget {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
  /** Chosen by the host; no two sessions of a guest have the same. */
  readonly sessionId: string;
  /** Output received so far, to go on with a session; absent for a new one. */
  readonly output?: number;
}

export interface ShellLink {
  /** Frames either way; the caller destroys it. */
  readonly socket: Socket;
  /** Input of this session that the guest has taken over. */
  readonly input: number;
}

/** A shell's start in a guest that is busy, or cold under emulation: the agent's own budget and a margin. */
const OPEN_TIMEOUT_MS = 25_000;
const INPUT_HEADER = "x-torpor-shell-input";

/**
 * Opens a session, or goes on with one. Rejects GUEST_UNREACHABLE, THROTTLED (too many sessions), NOT_FOUND (the session
 * has ended), CONFLICT (the agent is of a time before there were shells) and VMM_FAILED with the agent's message.
 */
export function openShellLink(target: ShellTarget, signal: AbortSignal): Promise<ShellLink> {
  const { address, port, secret, sessionId, output } = target;
  const place = output === undefined ? "" : `&output=${output}`;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(OPEN_TIMEOUT_MS)]);
  const outgoing = httpRequest({
    ...{ host: address, port, agent: false, signal: limit },
    path: `/v1/shell?session=${sessionId}${place}`,
    headers: {
      authorization: `Bearer ${secret}`,
      ...{ connection: "upgrade", upgrade: "torpor-shell" },
    },
  });
  outgoing.end();
  return new Promise((resolve, reject) => {
    outgoing.once("upgrade", (incoming, socket: Socket, head) => {
      const input = Number(incoming.headers[INPUT_HEADER]);
      // The signal was for the opening; from here on the socket is the caller's.
      if (head.length > 0) socket.unshift(head);
      socket.setNoDelay(true);
      if (Number.isSafeInteger(input)) return resolve({ socket, input });
      socket.destroy();
      reject(new ServiceError("VMM_FAILED", `Guest at "${address}" opened a shell senselessly`));
    });
    outgoing.once("response", (incoming) => {
      void refusalOf(incoming).then(reject, reject);
    });
    outgoing.on("error", (error) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const message = `Cannot reach guest at "${address}" for a shell: ${messageOf(error)}`;
      reject(new ServiceError("GUEST_UNREACHABLE", message, { cause: error }));
    });
  });
}

/** In the agent's own words, but for an agent that has none for shells. */
async function refusalOf(incoming: IncomingMessage): Promise<ServiceError> {
  const { statusCode: status = 0 } = incoming;
  const { message } = await readMessage(incoming);
  if (status === 404)
    return new ServiceError(
      "CONFLICT",
      "The image was built by a torpor that had no shells; build a new version of it",
    );
  const code = status === 429 ? "THROTTLED" : status === 410 ? "NOT_FOUND" : "VMM_FAILED";
  return new ServiceError(code, message, { details: { status } });
}

const MESSAGE_LIMIT = 16 * 1024;

async function readMessage(incoming: IncomingMessage): Promise<{ message: string }> {
  let text = "";
  for await (const chunk of incoming) {
    text += String(chunk);
    if (text.length > MESSAGE_LIMIT) break;
  }
  const parsed = errorResponse.safeParse(parseJson(text));
  return parsed.success ? parsed.data : { message: "Guest gave no reason" };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
