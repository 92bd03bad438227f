// The TLS listener of the microVMs' endpoints: connections, HTTP/1.1 parsing limits, start and end. What happens to a
// request is serve.ts's affair and the same for every HTTP version.

import { randomUUID } from "node:crypto";
import { type IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import { type AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { AGENT_PORT } from "../guest/protocol.ts";
import { MINIMUM_TLS_VERSION, type TlsContexts } from "../tls/contexts.ts";
import { ClientConnection } from "./connection.ts";
import { readExchange, type UpgradeRequest } from "./exchange.ts";
import { REFUSALS, writeRefusal } from "./refusal.ts";
import { serve, type ServeDeps, type ServeOptions } from "./serve.ts";

export interface IngressDeps extends ServeDeps {
  readonly tls: TlsContexts;
}

export interface IngressOptions {
  /** Port 0 picks a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Guest ports that look closed whatever the token grants; the agent's own unless given. */
  readonly guestPortsRefused?: readonly number[];
  /** How long a connect to the application may take. */
  readonly connectTimeoutMs?: number;
  /** How long a client may take to send a request's header. */
  readonly headersTimeoutMs?: number;
  /** How long requests in flight may go on when the ingress is disposed. */
  readonly shutdownGraceMs?: number;
}

/** Disposing stops accepting, lets requests in flight end for a while, then cuts them. */
export interface Ingress extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
}

const CONNECT_TIMEOUT_MS = 5000;
const HEADERS_TIMEOUT_MS = 20_000;
const SHUTDOWN_GRACE_MS = 2000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Between requests of a client; longer than the usual 60 s of load balancers, which then close first. */
const KEEP_ALIVE_MS = 75_000;
/** Finds clients that vanished without a word while a stream is silent. */
const TCP_KEEP_ALIVE_MS = 60_000;
/** Token and cookies fit many times over. */
const REQUEST_HEADER_LIMIT = 32 * 1024;
const MAX_CONNECTIONS = 10_000;
/** How often the certificate shown to clients that name no server is checked for renewal. */
const RENEWAL_CHECK_MS = 60 * 60 * 1000;
/** Protocols that would carry further requests past the ingress's eyes. */
const NEVER_TUNNELLED = /^(?:h2c|http|tls)\b/i;

/** Starts the ingress. Rejects SETUP_FAILED when it cannot listen. */
export async function createIngress(deps: IngressDeps, options: IngressOptions): Promise<Ingress> {
  const serveOptions: ServeOptions = {
    refusedPorts: new Set(options.guestPortsRefused ?? [AGENT_PORT]),
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
  };
  const sockets = new Set<Socket>();
  const connections = new Map<Duplex, ClientConnection>();
  const server = createServer(listenerOptions(deps.tls, options));
  server.maxConnections = MAX_CONNECTIONS;
  server.maxHeadersCount = 0;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("secureConnection", (socket: TLSSocket) => {
    connections.set(socket, new ClientConnection(socket));
    socket.once("close", () => connections.delete(socket));
  });
  const accept = acceptRequests({ deps, serveOptions, connections, server });
  server.on("request", (request, response) => accept(request, response, {}));
  server.on("checkContinue", (request, response) =>
    accept(request, response, { expectsContinue: true }),
  );
  server.on("upgrade", (request: IncomingMessage, socket, head: Buffer) => {
    if (!(socket instanceof Socket)) return void socket.destroy();
    const protocol = request.headers.upgrade ?? "";
    accept(request, undefined, { upgrade: { protocol, socket, head } });
  });
  server.on("connect", (_request, socket) => answerAndClose(socket, "400 Bad Request"));
  server.on("clientError", (error, socket) => {
    const isBusy = connections.get(socket)?.isBusy !== false;
    if (isBusy || hasErrorCode(error, "ECONNRESET")) return void socket.destroy();
    answerAndClose(socket, parseFailureStatus(error));
  });
  const address = await listen(server, options.listen);
  const renewal = renewDefaultCertificate(server, deps.tls);
  deps.log.info("Ingress listens", address);
  return {
    address,
    async [Symbol.asyncDispose]() {
      clearInterval(renewal);
      const graceMs = options.shutdownGraceMs ?? SHUTDOWN_GRACE_MS;
      await close(server, sockets, connections, graceMs);
    },
  };
}

function listenerOptions(tls: TlsContexts, options: IngressOptions): ServerOptions {
  const { key, cert } = tls.defaultCredentials();
  return {
    key,
    cert,
    minVersion: MINIMUM_TLS_VERSION,
    ALPNProtocols: ["http/1.1"],
    SNICallback: (name, done) => done(null, tls.forServerName(name)),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    maxHeaderSize: REQUEST_HEADER_LIMIT,
    headersTimeout: options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
    // Uploads may stream for as long as the microVM lives.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(5000, options.headersTimeoutMs ?? 5000),
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    noDelay: true,
    insecureHTTPParser: false,
    shouldUpgradeCallback: ({ headers }) =>
      headers.upgrade !== undefined && !NEVER_TUNNELLED.test(headers.upgrade),
  };
}

interface AcceptContext {
  readonly deps: IngressDeps;
  readonly serveOptions: ServeOptions;
  readonly connections: ReadonlyMap<Duplex, ClientConnection>;
  readonly server: Server;
}

interface AcceptHints {
  readonly expectsContinue?: boolean;
  readonly upgrade?: UpgradeRequest;
}

function acceptRequests({ deps, serveOptions, connections, server }: AcceptContext) {
  return (
    request: IncomingMessage,
    given: ServerResponse | undefined,
    { expectsContinue = false, upgrade }: AcceptHints,
  ): void => {
    const connection = connections.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    connection.enqueue(async () => {
      const response = given ?? upgradeResponse(request);
      const exchange = readExchange({
        request,
        response,
        upstreams: connection.upstreams,
        expectsContinue,
        upgrade,
        signal: connection.signal,
      });
      if (exchange === undefined) {
        response.shouldKeepAlive = false;
        return writeRefusal(response, REFUSALS.badRequest, randomUUID());
      }
      await serve(deps, serveOptions, exchange);
      if (!server.listening) request.socket.destroySoon();
    });
  };
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

async function listen(server: Server, { host, port }: IngressOptions["listen"]) {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new ServiceError(
          "SETUP_FAILED",
          `Cannot listen on "${host}:${port}" for the ingress: ${messageOf(error)}`,
          { cause: error },
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  const bound = server.address() as AddressInfo;
  return { host: bound.address, port: bound.port };
}

function renewDefaultCertificate(server: Server, tls: TlsContexts): NodeJS.Timeout {
  let shown = tls.defaultCredentials();
  const renew = () => {
    const current = tls.defaultCredentials();
    if (current === shown) return;
    shown = current;
    server.setSecureContext({ ...current, minVersion: MINIMUM_TLS_VERSION });
  };
  return setInterval(renew, RENEWAL_CHECK_MS).unref();
}

async function close(
  server: Server,
  sockets: ReadonlySet<Socket>,
  connections: ReadonlyMap<Duplex, ClientConnection>,
  graceMs: number,
): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const [socket, connection] of connections) {
    if (!connection.isBusy) socket.destroy();
  }
  const cut = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, graceMs);
  await closed;
  clearTimeout(cut);
}
