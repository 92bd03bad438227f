// The TLS listener of the microVMs' endpoints: connections by HTTP version, start and end. What happens to a request is
// serve.ts's affair and the same for every version.

import type { AddressInfo, Server as NetServer, Socket } from "node:net";
import { createServer, type Server, type TlsOptions, type TLSSocket } from "node:tls";
import { messageOf, ServiceError } from "../errors.ts";
import { AGENT_PORT } from "../guest/protocol.ts";
import type { Traced } from "../lib/trace.ts";
import { MINIMUM_TLS_VERSION, type TlsContexts } from "../tls/contexts.ts";
import { type Exchange, KEEP_ALIVE_SECONDS, MAX_HEADER_BYTES } from "./exchange.ts";
import { addressesIn } from "../lib/cidrs.ts";
import { ClientAddresses, createProxiedFront } from "./front.ts";
import { createHttp1Listener } from "./http1-listener.ts";
import { Http2Connection } from "./http2-connection.ts";
import { createLimiter, type LimiterDeps, NO_LIMITS } from "./limits.ts";
import { serve, type ServeDeps, type ServeOptions } from "./serve.ts";
import { serveTraced } from "./traced.ts";
import { createUpstreamTls, type UpstreamTls } from "./upstream-tls.ts";

export interface IngressDeps extends Omit<ServeDeps, "limiter" | "upstreamTls">, Traced {
  readonly tls: TlsContexts;
  /** What the endpoint of a microVM may carry; as much as the ingress can unless given. */
  readonly limitsOf?: LimiterDeps["limitsOf"];
  /** Finds out which applications speak TLS, by trying, unless given. */
  readonly upstreamTls?: UpstreamTls;
}

export interface IngressOptions {
  /** Port 0 picks a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Guest ports that look closed whatever the token grants; the agent's own unless given. */
  readonly guestPortsRefused?: readonly number[];
  /** Domain that endpoint names end in, beside `localhost`. */
  readonly domain?: string;
  /** Whose connections begin with a PROXY protocol header, in CIDR notation; nobody's unless given. */
  readonly proxyProtocolFrom?: readonly string[];
  /** Proxies whose word about their client counts, in CIDR notation; what clients say passes as it is unless given. */
  readonly forwardedFrom?: readonly string[];
  /** Largest body of a request, in bytes; any size unless given. */
  readonly maxBodyBytes?: number;
  /** How long a connect to the application may take. */
  readonly connectTimeoutMs?: number;
  /** How long a client may take to send a request's header. */
  readonly headersTimeoutMs?: number;
  /** Whether every request is logged at `info` instead of `debug`. */
  readonly hasAccessLog?: boolean;
  /** How long requests in flight may go on when the ingress is disposed. */
  readonly shutdownGraceMs?: number;
}

/** Disposing stops accepting, lets requests in flight end for a while, then cuts them. */
export interface Ingress extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
  /** Client connections that are open now. */
  countConnections(): number;
}

const CONNECT_TIMEOUT_MS = 5000;
const HEADERS_TIMEOUT_MS = 20_000;
const SHUTDOWN_GRACE_MS = 2000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Finds clients that vanished without a word while a stream is silent. */
const TCP_KEEP_ALIVE_MS = 60_000;
const MAX_CONNECTIONS = 10_000;
/** How often the certificate shown to clients that name no server is checked for renewal. */
const RENEWAL_CHECK_MS = 60 * 60 * 1000;

/** A client connection of either version. */
interface OpenConnection {
  /** Ends it now or after what it carries. */
  shutDown(): void;
}

/** Starts the ingress. Rejects SETUP_FAILED when it cannot listen. */
export async function createIngress(given: IngressDeps, options: IngressOptions): Promise<Ingress> {
  const { limitsOf = async () => NO_LIMITS } = given;
  const limiter = createLimiter({ limitsOf, now: () => performance.now() });
  const deps = { ...given, limiter, upstreamTls: given.upstreamTls ?? createUpstreamTls() };
  const serveOptions: ServeOptions = {
    refusedPorts: new Set(options.guestPortsRefused ?? [AGENT_PORT]),
    domains: [...new Set(["localhost", ...(options.domain === undefined ? [] : [options.domain])])],
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    maxBodyBytes: options.maxBodyBytes ?? Number.POSITIVE_INFINITY,
    hasAccessLog: options.hasAccessLog ?? false,
    ...(options.forwardedFrom && {
      forwarded: { isProxy: addressesIn(options.forwardedFrom) },
    }),
  };
  const headersTimeoutMs = options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS;
  const limits = { keepAliveMs: KEEP_ALIVE_SECONDS * 1000, headerBytes: MAX_HEADER_BYTES };
  const { trace } = deps;
  const carry = (exchange: Exchange) =>
    trace === undefined
      ? serve(deps, serveOptions, exchange)
      : serveTraced(trace, deps, serveOptions, exchange);
  const sockets = new Set<Socket>();
  const connections = new Map<Socket, OpenConnection>();
  const http1 = createHttp1Listener({ ...limits, headersTimeoutMs }, carry);
  const server = createServer(tlsOptions(deps.tls));
  const clients = new ClientAddresses();
  const isBalancer = addressesIn(options.proxyProtocolFrom ?? []);
  const front =
    options.proxyProtocolFrom === undefined
      ? server
      : createProxiedFront(server, { isBalancer, timeoutMs: headersTimeoutMs }, clients);
  front.maxConnections = MAX_CONNECTIONS;
  front.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  server.on("secureConnection", (socket: TLSSocket) => {
    const isHttp2 = socket.alpnProtocol === "h2";
    const clientAddress = clients.of(socket);
    // Reset already; what it sent before must not be carried for nobody knows whom.
    if (clientAddress === undefined) return void socket.destroy();
    const http2Limits = { ...limits, prefaceTimeoutMs: headersTimeoutMs };
    const connection = isHttp2
      ? new Http2Connection({ socket, clientAddress }, http2Limits, carry)
      : http1.accept(socket, clientAddress);
    connections.set(socket, connection);
    socket.once("close", () => connections.delete(socket));
  });
  const address = await listen(front, options.listen);
  const renewal = renewDefaultCertificate(server, deps.tls);
  deps.log.info("Ingress listens", address);
  return {
    address,
    countConnections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      clearInterval(renewal);
      const graceMs = options.shutdownGraceMs ?? SHUTDOWN_GRACE_MS;
      await close(front, sockets, connections, graceMs);
      http1[Symbol.dispose]();
    },
  };
}

function tlsOptions(tls: TlsContexts): TlsOptions {
  return {
    ...tls.defaultCredentials(),
    minVersion: MINIMUM_TLS_VERSION,
    ALPNProtocols: ["h2", "http/1.1"],
    SNICallback: (name, done) => done(null, tls.forServerName(name)),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    noDelay: true,
  };
}

async function listen(server: NetServer, { host, port }: IngressOptions["listen"]) {
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
  server: NetServer,
  sockets: ReadonlySet<Socket>,
  connections: ReadonlyMap<Socket, OpenConnection>,
  graceMs: number,
): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const connection of connections.values()) connection.shutDown();
  const cut = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, graceMs);
  await closed;
  clearTimeout(cut);
}
