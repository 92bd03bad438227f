// Client connections over HTTP/1.x: node:http's parser and its limits, and which requests become exchanges.

import { randomUUID } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  ServerResponse,
} from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { hasErrorCode } from "../errors.ts";
import { Http1Connection } from "./http1-connection.ts";
import type { Exchange } from "./exchange.ts";
import { PlainClient } from "./plain-client.ts";
import { type Http1Upgrade, readHttp1Exchange } from "./http1-exchange.ts";
import { refusalHead, REFUSALS } from "./refusal.ts";

export interface Http1Limits {
  readonly headersTimeoutMs: number;
  /** How long a connection without requests is kept. */
  readonly keepAliveMs: number;
  /** Bytes of one request's header. */
  readonly headerBytes: number;
}

export interface Http1Listener extends Disposable {
  /** Reads requests from an accepted connection. */
  accept(socket: Socket, clientAddress: string | undefined): Http1Connection;
}

/** How often slow and silent clients are looked for, at least. */
const MAX_CHECK_MS = 5000;
/** Protocols that would carry further requests past the ingress's eyes. */
const NEVER_TUNNELLED = /^(?:h2c|http|tls)\b/i;

/** The parser for connections that are accepted elsewhere. `carry` takes an exchange to its end and does not reject. */
export function createHttp1Listener(
  limits: Http1Limits,
  carry: (exchange: Exchange) => Promise<void>,
): Http1Listener {
  const connections = new Map<Duplex, Http1Connection>();
  const plain = new Set<PlainClient>();
  const server = createServer(parserOptions(limits));
  server.maxHeadersCount = 0;
  // The time limits of node:http start with this event, and it never listens itself.
  server.emit("listening");
  const take = takeRequests(connections, carry);
  server.on("request", (request, response) => take(request, response, {}));
  server.on("checkContinue", (request, response) =>
    take(request, response, { expectsContinue: true }),
  );
  server.on("upgrade", (request: IncomingMessage, socket, head: Buffer) => {
    if (!(socket instanceof Socket)) return void socket.destroy();
    const protocol = request.headers.upgrade ?? "";
    take(request, undefined, { upgrade: { protocol, socket, head } });
  });
  server.on("connect", (_request, socket) => answerAndClose(socket, "400 Bad Request"));
  server.on("clientError", (error, socket) => {
    const isBusy = connections.get(socket)?.isBusy !== false;
    if (isBusy || hasErrorCode(error, "ECONNRESET")) return void socket.destroy();
    answerAndClose(socket, parseFailureStatus(error));
  });
  const checking = setInterval(
    () => endSilent(plain, limits),
    Math.min(MAX_CHECK_MS, limits.headersTimeoutMs),
  ).unref();
  return {
    accept(socket, clientAddress) {
      const connection = new Http1Connection(socket, clientAddress);
      connections.set(socket, connection);
      const client: PlainClient = new PlainClient(socket, connection, {
        carry,
        handOver(bytes) {
          plain.delete(client);
          server.emit("connection", socket);
          if (bytes.length > 0) socket.unshift(bytes);
        },
      });
      plain.add(client);
      socket.once("close", () => {
        connections.delete(socket);
        plain.delete(client);
      });
      return connection;
    },
    [Symbol.dispose]() {
      clearInterval(checking);
      stopTimers(server);
    },
  };
}

/** Ends the connections on which no request has begun for too long. */
function endSilent(clients: Iterable<PlainClient>, limits: Http1Limits): void {
  const now = performance.now();
  for (const client of clients) {
    const { ms, hasServed } = client.silentMs(now);
    if (ms > (hasServed ? limits.keepAliveMs : limits.headersTimeoutMs)) client.end();
  }
}

/** It never listened, but looks for slow clients at intervals until closed. */
function stopTimers(server: Server): void {
  server.close(() => undefined);
}

function parserOptions({ headersTimeoutMs, keepAliveMs, headerBytes }: Http1Limits): ServerOptions {
  return {
    maxHeaderSize: headerBytes,
    headersTimeout: headersTimeoutMs,
    // Uploads may stream for as long as the microVM lives.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(MAX_CHECK_MS, headersTimeoutMs),
    keepAliveTimeout: keepAliveMs,
    insecureHTTPParser: false,
    shouldUpgradeCallback: ({ headers }) =>
      headers.upgrade !== undefined && !NEVER_TUNNELLED.test(headers.upgrade),
  };
}

interface RequestHints {
  readonly expectsContinue?: boolean;
  readonly upgrade?: Http1Upgrade;
}

function takeRequests(
  connections: ReadonlyMap<Duplex, Http1Connection>,
  carry: (exchange: Exchange) => Promise<void>,
) {
  return (
    request: IncomingMessage,
    given: ServerResponse | undefined,
    { expectsContinue = false, upgrade }: RequestHints,
  ): void => {
    const connection = connections.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    // The parser drops what came in one packet with an upgrade that is not to be: what follows may begin anywhere.
    if (given !== undefined && request.headers.upgrade !== undefined) given.shouldKeepAlive = false;
    connection.enqueue(async () => {
      const response = given ?? upgradeResponse(request);
      const exchange = readHttp1Exchange({
        request,
        response,
        connection,
        clientAddress: connection.clientAddress,
        expectsContinue,
        upgrade,
      });
      if (exchange === undefined) return refuseForGood(response);
      await carry(exchange);
      if (connection.isClosing) closeAfter(request);
    });
  };
}

/** Closes its connection, when it is read to its end: who is cut while sending never sees the answer. */
function closeAfter(request: IncomingMessage): void {
  const close = () => request.socket.destroySoon();
  if (request.complete || request.destroyed) close();
  else request.once("end", close);
}

/** What follows a request that can be read in two ways cannot be trusted either. */
function refuseForGood(response: ServerResponse): void {
  const { status, message, fields } = refusalHead(REFUSALS.badRequest, randomUUID());
  response.shouldKeepAlive = false;
  response.writeHead(status, message, fields);
  response.end(REFUSALS.badRequest.body);
}

function parseFailureStatus(error: Error): string {
  if (hasErrorCode(error, "HPE_HEADER_OVERFLOW")) return "431 Request Header Fields Too Large";
  if (hasErrorCode(error, "ERR_HTTP_REQUEST_TIMEOUT")) return "408 Request Timeout";
  return "400 Bad Request";
}

/** node:http makes none for an upgrade; refusals and ordinary answers of the application need one. */
function upgradeResponse(request: IncomingMessage): ServerResponse {
  const { socket } = request;
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once("finish", () => {
    response.detachSocket(socket);
    socket.destroySoon();
  });
  return response;
}

function answerAndClose(socket: Duplex, statusLine: string): void {
  if (!socket.writable) return void socket.destroy();
  socket.end(`HTTP/1.1 ${statusLine}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  );
}
