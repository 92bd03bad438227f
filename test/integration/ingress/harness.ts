// An ingress on loopback between real clients and an application that is an HTTP server of the test.

import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { request as httpsRequest, type RequestOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { connect, type TLSSocket } from "node:tls";
import {
  createIngress,
  type Ingress,
  type IngressDeps,
  type IngressOptions,
} from "../../../src/ingress/server.ts";
import type { ServeDeps } from "../../../src/ingress/serve.ts";
import type { UpstreamTls } from "../../../src/ingress/upstream-tls.ts";
import { ServiceError } from "../../../src/errors.ts";
import { createLog, type Log } from "../../../src/lib/log.ts";
import type { Trace } from "../../../src/lib/trace.ts";
import type { MicrovmRecord } from "../../../src/microvms/records.ts";
import type { TrafficLease } from "../../../src/microvms/lease.ts";
import type { Traffic } from "../../../src/microvms/traffic.ts";
import { openAuthority } from "../../../src/tls/authority.ts";
import { createTlsContexts, type TlsContextsDeps } from "../../../src/tls/contexts.ts";
import { createTokens } from "../../../src/tokens/jwe-tokens.ts";
import { openTokenKeys } from "../../../src/tokens/keys.ts";
import type { TokenClaims, Tokens } from "../../../src/tokens/tokens.ts";

export const MICROVM_ID = "microvm-0f4a1a6e-6ad2-3c4d-9e1f-0123456789ab";
export const ENDPOINT_ID = "7b0e7c57-64b6-4a3e-8f52-a1b2c3d4e5f6";
export const REGION = "us-east-1";
export const ENDPOINT_HOST = `${ENDPOINT_ID}.lambda-microvm.${REGION}.localhost`;

export interface FakeLease {
  readonly microvmId: string;
  readonly vmm: AbortController;
  disposals: number;
}

/** MicroVMs at a given address; every lease is kept for inspection. */
export class FakeTraffic implements Traffic {
  readonly records = new Map<string, MicrovmRecord>();
  readonly leases: FakeLease[] = [];
  /** Every activity noted beside the leases. */
  readonly activity: string[] = [];
  vmm = new AbortController();
  address = "127.0.0.1";
  /** Of microVMs that are elsewhere. */
  readonly addresses = new Map<string, string>();
  /** Called before a lease is given; may wait or reject. */
  beforeOpen: (signal: AbortSignal) => Promise<void> = async () => undefined;

  findByEndpoint(endpointId: string): Promise<MicrovmRecord | undefined> {
    const records = [...this.records.values()];
    return Promise.resolve(records.find((record) => record.endpointId === endpointId));
  }

  findById(microvmId: string): Promise<MicrovmRecord | undefined> {
    return Promise.resolve(this.records.get(microvmId));
  }

  async open(microvmId: string, signal: AbortSignal): Promise<TrafficLease> {
    await this.beforeOpen(signal);
    signal.throwIfAborted();
    const lease: FakeLease = { microvmId, vmm: this.vmm, disposals: 0 };
    this.leases.push(lease);
    return {
      vmmId: "vmm-1",
      address: this.addresses.get(microvmId) ?? this.address,
      signal: this.vmm.signal,
      waitedMs: 0,
      [Symbol.dispose]: () => void (lease.disposals += 1),
    };
  }

  whenRunning(microvmId: string, signal: AbortSignal): Promise<TrafficLease> {
    return this.open(microvmId, signal);
  }

  noteActivity(microvmId: string): void {
    this.activity.push(microvmId);
  }
}

export function microvmRecord(changes: Partial<MicrovmRecord> = {}): MicrovmRecord {
  return {
    account: "000000000000",
    region: REGION,
    microvmId: MICROVM_ID,
    endpointId: ENDPOINT_ID,
    imageName: "app",
    imageArn: `arn:aws:lambda:${REGION}:000000000000:microvm-image:app`,
    imageVersion: "1.0",
    state: "RUNNING",
    desired: "RUNNING",
    stateReason: null,
    executionRoleArn: null,
    ingressNetworkConnectors: [
      `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:HTTP_INGRESS`,
    ],
    egressNetworkConnectors: [],
    idlePolicy: null,
    maximumDurationInSeconds: 28800,
    runHookPayload: null,
    logging: null,
    startedAt: 0,
    suspendedAt: null,
    terminatedAt: null,
    vmmId: "vmm-1",
    ...changes,
  };
}

export interface Harness extends AsyncDisposable {
  readonly ingress: Ingress;
  readonly traffic: FakeTraffic;
  readonly tokens: Tokens;
  readonly app: Server;
  readonly appPort: number;
  readonly caCertificate: string;
  readonly caFile: string;
  readonly logLines: string[];
  /** Moves on with `clock.now`. */
  readonly clock: { now: number };
  token(claims?: Partial<TokenClaims>): Promise<string>;
  /** Header with a token for the application's port, and that port. */
  credentials(): Promise<Record<string, string>>;
  /** A TLS connection to the ingress. */
  connect(): Promise<TLSSocket>;
}

export interface HarnessOptions extends Partial<IngressOptions> {
  readonly app?: RequestListener;
  readonly observe?: ServeDeps["observe"];
  readonly trace?: Trace;
  /** MicroVMs of other making than the harness's. */
  readonly openFrom?: ServeDeps["traffic"];
  readonly accessLog?: Log;
  readonly own?: TlsContextsDeps["own"];
  readonly shellAccess?: ServeDeps["shellAccess"];
  readonly limitsOf?: IngressDeps["limitsOf"];
  /** Whether the application's ports are tried for TLS; unless set they are taken not to speak it. */
  readonly triesTls?: boolean;
}

const NO_TLS: UpstreamTls = {
  isSpoken: async () => false,
  forget: () => undefined,
  doubt: () => undefined,
};

export async function startHarness({
  app,
  observe,
  trace,
  openFrom,
  accessLog,
  own,
  limitsOf,
  triesTls = false,
  shellAccess = () => Promise.reject(new ServiceError("VMM_FAILED", "No shells here")),
  ...options
}: HarnessOptions = {}): Promise<Harness> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(path.join(tmpdir(), "torpor-ingress-"));
  stack.defer(() => rm(directory, { recursive: true }));
  const clock = { now: Date.now() };
  const logLines: string[] = [];
  const log: Log = createLog("debug", (line) => logLines.push(line));
  const deps = { now: () => clock.now, log };
  const authority = await openAuthority(deps, path.join(directory, "keys"));
  const tls = createTlsContexts({ authority, now: deps.now, ...(own && { own }) }, REGION);
  const keys = await openTokenKeys(deps, path.join(directory, "keys"));
  const tokens = createTokens({ keys, now: deps.now });
  const traffic = new FakeTraffic();
  traffic.records.set(MICROVM_ID, microvmRecord());
  const server = await startApp(app ?? ((_request, response) => response.end("hello")));
  stack.defer(() => stopApp(server));
  const listenOn = { host: "127.0.0.1", port: 0 };
  const ingress = stack.use(
    await createIngress(
      {
        ...{ traffic: openFrom ?? traffic, tokens, tls, log, shellAccess },
        ...(observe && { observe }),
        ...(trace && { trace }),
        ...(accessLog && { accessLog }),
        ...(limitsOf && { limitsOf }),
        ...(!triesTls && { upstreamTls: NO_TLS }),
      },
      { listen: listenOn, shutdownGraceMs: 200, ...options },
    ),
  );
  const appPort = (server.address() as AddressInfo).port;
  const owned = stack.move();
  const token: Harness["token"] = (claims = {}) =>
    tokens.mint({
      microvmId: MICROVM_ID,
      ports: [{ allPorts: {} }],
      expiresAt: clock.now + 60_000,
      ...claims,
    });
  return {
    ingress,
    traffic,
    tokens,
    app: server,
    appPort,
    caCertificate: authority.caCertificate,
    caFile: authority.caFile,
    logLines,
    clock,
    token,
    credentials: async () => ({
      "x-aws-proxy-auth": await token({ ports: [{ port: appPort }] }),
      "x-aws-proxy-port": String(appPort),
    }),
    async connect() {
      const socket = connect({
        ...ingress.address,
        servername: ENDPOINT_HOST,
        ca: authority.caCertificate,
      });
      await once(socket, "secureConnect");
      return socket;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startApp(listener: RequestListener): Promise<Server> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function stopApp(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly rawHeaders: string[];
  readonly body: string;
  readonly trailers: IncomingMessage["trailers"];
}

export interface ClientRequestInput extends RequestOptions {
  readonly body?: string;
}

/** One request on a connection of its own. */
export async function fetchOnce(harness: Harness, input: ClientRequestInput = {}): Promise<Reply> {
  const { body, headers, ...options } = input;
  const outgoing = httpsRequest({
    ...harness.ingress.address,
    servername: ENDPOINT_HOST,
    ca: harness.caCertificate,
    agent: false,
    ...options,
    headers: { host: ENDPOINT_HOST, ...(headers as Record<string, string>) },
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  return readReply(incoming);
}

export async function readReply(incoming: IncomingMessage): Promise<Reply> {
  const body = await text(incoming);
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    rawHeaders: incoming.rawHeaders,
    body,
    trailers: incoming.trailers,
  };
}

/** A session of HTTP/2 with the ingress. */
export async function openSession(harness: Harness): Promise<ClientHttp2Session & AsyncDisposable> {
  const { host, port } = harness.ingress.address;
  const session = connectHttp2(`https://${host}:${port}`, {
    servername: ENDPOINT_HOST,
    ca: harness.caCertificate,
  });
  session.on("error", () => undefined);
  await once(session, "remoteSettings");
  return Object.assign(session, {
    [Symbol.asyncDispose]: async () => void (await Promise.resolve(session.destroy())),
  });
}

/** Waits for what other code brings about, checking often; fails after two seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 2000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Reads from a socket until the text has arrived. */
export async function readUntil(socket: TLSSocket, wanted: string): Promise<string> {
  let received = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    received += (chunk as Buffer).toString("latin1");
    if (received.includes(wanted)) return received;
  }
  throw new Error(`Connection ended before "${wanted}": ${received}`);
}
