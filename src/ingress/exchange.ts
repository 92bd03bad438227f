// One request and its response on a client connection, from the ingress's point of view.

import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Framing, requestFraming } from "./headers.ts";
import type { Upstreams } from "./upstreams.ts";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** Origin-form, or `*`. */
  readonly target: string;
  readonly framing: Framing;
  readonly expectsContinue: boolean;
  readonly upstreams: Upstreams;
  /** Set when the client asked for another protocol; the connection is then the exchange's own. */
  readonly upgrade: UpgradeRequest | undefined;
  /** Aborts when the client has left or the service ends. */
  readonly signal: AbortSignal;
  readonly traffic: ByteCount;
}

export interface UpgradeRequest {
  readonly protocol: string;
  readonly socket: Socket;
  /** What the client sent after its request. */
  readonly head: Buffer;
}

/** Body bytes so far. */
export interface ByteCount {
  received: number;
  sent: number;
}

export interface ExchangeInput {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly upstreams: Upstreams;
  readonly expectsContinue: boolean;
  readonly upgrade: UpgradeRequest | undefined;
  readonly signal: AbortSignal;
}

/** Fields beyond this are an attack, not a request; the header's size is bounded by the parser. */
const MAX_FIELDS = 256;

/** The exchange, or undefined when the request could mean different things to different readers. */
export function readExchange(input: ExchangeInput): Exchange | undefined {
  const { request } = input;
  const target = originForm(request);
  const framing = requestFraming(request.rawHeaders);
  const hosts = request.headersDistinct.host ?? [];
  if (target === undefined || framing === undefined || hosts.length > 1) return undefined;
  if (request.rawHeaders.length > MAX_FIELDS * 2) return undefined;
  if (input.upgrade !== undefined && framing.kind !== "none") return undefined;
  return {
    ...input,
    requestId: randomUUID(),
    target,
    framing,
    traffic: { received: 0, sent: 0 },
  };
}

/** The target without the authority of an absolute form, which must then agree with `Host` (RFC 9112, 3.2.2). */
function originForm(request: IncomingMessage): string | undefined {
  const target = request.url ?? "";
  if (target.startsWith("/") || (target === "*" && request.method === "OPTIONS")) return target;
  const absolute = /^https?:\/\/(?<authority>[^/?#]+)(?<rest>.*)$/i.exec(target)?.groups;
  const { authority, rest } = absolute ?? {};
  if (authority === undefined || rest === undefined) return undefined;
  if (authority.toLowerCase() !== request.headers.host?.toLowerCase()) return undefined;
  return rest.startsWith("/") ? rest : `/${rest}`;
}
