// An exchange over HTTP/1.x: node:http's request and response, and the checks that its parser leaves to us.

import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import {
  type ClientConnection,
  DRAIN_BYTES,
  DRAIN_MS,
  type Exchange,
  type ExchangeResponse,
  MAX_FIELDS,
  type UpgradeHead,
  type UpgradeRequest,
} from "./exchange.ts";
import { requestFraming } from "./headers.ts";
import { earlyHints } from "./plain-heads.ts";

export interface Http1Upgrade {
  readonly protocol: string;
  readonly socket: Socket;
  readonly head: Buffer;
}

export interface Http1ExchangeInput {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: ClientConnection;
  readonly clientAddress: string | undefined;
  readonly expectsContinue: boolean;
  readonly upgrade: Http1Upgrade | undefined;
}

/** The exchange, or undefined when the request could mean different things to different readers. */
export function readHttp1Exchange(input: Http1ExchangeInput): Exchange | undefined {
  const { request, response, upgrade } = input;
  const target = originForm(request);
  const framing = requestFraming(request.rawHeaders);
  const hosts = request.headersDistinct.host ?? [];
  if (target === undefined || framing === undefined || hosts.length > 1) return undefined;
  if (request.rawHeaders.length > MAX_FIELDS * 2) return undefined;
  if (upgrade !== undefined && framing.kind !== "none") return undefined;
  return {
    requestId: randomUUID(),
    httpVersion: request.httpVersion,
    clientAddress: input.clientAddress,
    method: request.method ?? "",
    target,
    authority: request.headers.host,
    fields: request.rawHeaders,
    framing,
    expectsContinue: input.expectsContinue,
    body: request,
    trailers: () => (request.complete ? request.rawTrailers : undefined),
    response: http1Response(request, response),
    connection: input.connection,
    upgrade: upgrade === undefined ? undefined : http1Upgrade(upgrade, response),
    signal: input.connection.signal,
    traffic: { received: 0, sent: 0 },
    discardRest: () => drain(request),
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

function http1Response(request: IncomingMessage, response: ServerResponse): ExchangeResponse {
  return {
    get status() {
      const isUpgraded = response.statusCode === 101;
      return response.headersSent || isUpgraded ? response.statusCode : undefined;
    },
    body: response,
    writeContinue: () => response.writeContinue(),
    writeEarlyHints(link) {
      if (request.httpVersionMinor > 0) response.socket?.write(earlyHints(link), "latin1");
    },
    start({ status, message, fields }) {
      response.sendDate = false;
      response.writeHead(status, message, [...fields]);
    },
    flush: () => response.flushHeaders(),
    end(trailers) {
      response.addTrailers([...trailers]);
      response.end();
    },
    cut: () => void response.destroy(),
  };
}

function http1Upgrade(upgrade: Http1Upgrade, response: ServerResponse): UpgradeRequest {
  const { protocol, head, socket } = upgrade;
  return {
    protocol,
    head,
    // The client checks for itself: the hand-shake is its own.
    isAnsweredBy: () => true,
    accept(answer) {
      response.statusCode = 101;
      response.detachSocket(socket);
      socket.write(switchingProtocols(answer), "latin1");
      return socket;
    },
  };
}

function switchingProtocols({ message, protocol, fields }: UpgradeHead): string {
  const all = [...fields, "Connection", "Upgrade", "Upgrade", protocol];
  const lines = all.flatMap((field, index) =>
    index % 2 === 0 ? [`${field}: ${all[index + 1] ?? ""}`] : [],
  );
  return `HTTP/1.1 101 ${message}\r\n${lines.join("\r\n")}\r\n\r\n`;
}

function drain(request: IncomingMessage): void {
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
