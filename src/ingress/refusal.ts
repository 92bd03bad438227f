// The answers that the ingress gives by itself instead of the application's.

import { STATUS_CODES } from "node:http";
import { isServiceError } from "../errors.ts";
import type { ExchangeResponse } from "./exchange.ts";
import { REQUEST_ID_HEADER } from "./headers.ts";

export interface Refusal {
  readonly kind: "refused";
  readonly status: number;
  readonly body: string;
  /** Value of `x-aws-proxy-error`; null where the original is not known to send it. */
  readonly proxyError: string | null;
  /** After how long the same request may pass; absent where waiting does not help. */
  readonly retryAfterSeconds?: number;
  /** The client's connection takes no more requests. */
  readonly endsConnection?: boolean;
}

/** A client needs no token to be refused: it may not have its connection kept by giving a refusal no room. */
const TAKEN_WITHIN_MS = 10_000;

const refusal = (status: number, body: string, proxyError: string | null): Refusal => ({
  kind: "refused",
  status,
  body,
  proxyError,
});

export const REFUSALS = {
  missingAuthentication: refusal(403, "Request missing authentication", "UNAUTHORIZED"),
  tokenFailed: refusal(403, "Token authentication failed", "UNAUTHORIZED"),
  portDenied: refusal(403, "Access to port denied", "UNAUTHORIZED"),
  badRequest: refusal(400, "Bad request", null),
  bodyTooLarge: refusal(413, "Request body too large", null),
  headerTooLarge: refusal(431, "Request header too large", null),
  protocolUnknown: refusal(501, "Protocol not supported", null),
  appConnectFailed: refusal(502, "", "APP_CONNECT_FAILED"),
  /** As recorded for a shell's token over plain HTTPS. */
  shellUnreachable: refusal(502, "", "APP_CONNECT_FAILED"),
  microvmConnectFailed: refusal(502, "", "MICROVM_CONNECT_FAILED"),
  tooManyConnections: {
    ...refusal(429, "Too many connections to this MicroVM", null),
    ...{ retryAfterSeconds: 1, endsConnection: true },
  },
  tooManyRequests: {
    ...refusal(429, "Too many requests to this MicroVM", null),
    retryAfterSeconds: 1,
  },
  internal: refusal(500, "Internal server error", null),
} as const satisfies Record<string, Refusal>;

/** The refusal of a port that is no port. `given` is shortened: it came from the client. */
export function invalidPort(given: string): Refusal {
  return refusal(400, `Invalid x-aws-proxy-port: ${given.slice(0, 32)}`, null);
}

/**
 * The refusal for a failure to reach the microVM: 502, which clients in the field retry for half a minute after a
 * launch or a wake-up; 503 for a request that could have passed had it waited longer, which the original does not do.
 */
export function refusalFor(error: unknown): Refusal {
  const retryAfterSeconds = isServiceError(error) ? error.details.retryAfterSeconds : undefined;
  if (typeof retryAfterSeconds === "number")
    return { ...refusal(503, "", "MICROVM_CONNECT_FAILED"), retryAfterSeconds };
  const isExpected = (
    [
      "NOT_FOUND",
      "CONFLICT",
      "VMM_FAILED",
      "NO_CAPACITY",
      "STORAGE_FULL",
      "GUEST_UNREACHABLE",
      "HOOK_FAILED",
      "THROTTLED",
    ] as const
  ).some((code) => isServiceError(error, code));
  return isExpected ? REFUSALS.microvmConnectFailed : REFUSALS.internal;
}

/** The status line and fields of the refusal. */
export function refusalHead(refused: Refusal, requestId: string) {
  const { status, body, proxyError, retryAfterSeconds } = refused;
  const fields = [
    ...["content-type", "text/plain"],
    ...["content-length", String(Buffer.byteLength(body))],
    ...["cache-control", "private, no-store"],
    ...[REQUEST_ID_HEADER, requestId],
  ];
  if (proxyError !== null) fields.push("x-aws-proxy-error", proxyError);
  if (retryAfterSeconds !== undefined) fields.push("retry-after", String(retryAfterSeconds));
  return { status, message: STATUS_CODES[status] ?? "", fields, isEmpty: body === "" };
}

/** Writes the refusal as the whole response, and waits until the client has taken it: whoever does not is cut. */
export async function deliverRefusal(
  response: ExchangeResponse,
  refused: Refusal,
  requestId: string,
): Promise<void> {
  const { body } = response;
  const over = new Promise<void>((resolve) => {
    if (body.writableFinished || body.destroyed) resolve();
    body.once("finish", resolve);
    body.once("close", resolve);
  });
  const timer = setTimeout(() => response.cut(), TAKEN_WITHIN_MS);
  response.start(refusalHead(refused, requestId));
  if (refused.body !== "" && !body.writableEnded) body.write(refused.body);
  response.end([]);
  await over;
  clearTimeout(timer);
}
