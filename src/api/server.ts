// The control plane's one port: it listens, gives every request an id, hands it to the service that its signature
// names, and writes what comes back. Slow, idle and oversized clients end here.

import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { messageOf, ServiceError } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import { createAnswers, type AnswerDeps, type Answers, type ReceivedRequest } from "./answers.ts";
import { createBodyReader, type BodyReader } from "./body.ts";
import { type Reply, wireErrorOf } from "./errors.ts";

/** Answers a request of the artifact store: signature, body and response are its own. */
export type S3Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
) => Promise<void>;

export interface ApiServerDeps extends AnswerDeps {
  readonly s3: S3Handler;
  readonly log: Log;
}

export interface ApiServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly limits?: Partial<ApiLimits>;
}

export interface ApiLimits {
  /** Largest REST or STS body, in bytes. */
  readonly maxBodyBytes: number;
  /** A body up to this size, in bytes, is read however many others are. */
  readonly smallBodyBytes: number;
  /** Memory of all bodies while they are read, in bytes. */
  readonly totalBodyBytes: number;
  /** From the first byte of a request to the end of its headers. */
  readonly headersTimeoutMs: number;
  /** From the end of the headers to the end of a REST or STS body. */
  readonly bodyTimeoutMs: number;
  /** A connection on which nothing moves, unless it waits for an answer of ours. */
  readonly idleTimeoutMs: number;
  /** What running requests get to finish when the server closes. */
  readonly closeTimeoutMs: number;
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
}

const DEFAULT_LIMITS: ApiLimits = {
  maxBodyBytes: 1024 * 1024,
  smallBodyBytes: 64 * 1024,
  totalBodyBytes: 64 * 1024 * 1024,
  headersTimeoutMs: 10_000,
  bodyTimeoutMs: 20_000,
  idleTimeoutMs: 60_000,
  closeTimeoutMs: 5_000,
  maxHeaderBytes: 16 * 1024,
  maxConnections: 4096,
};

/** A listening API server. Disposing it lets running requests finish for `closeTimeoutMs`, then cuts them. */
export interface ApiServer extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
}

/** Starts to listen. Rejects SETUP_FAILED when the address cannot be had. */
export async function createApiServer(
  deps: ApiServerDeps,
  options: ApiServerOptions,
): Promise<ApiServer> {
  const server = new ListeningServer(deps, { ...DEFAULT_LIMITS, ...options.limits });
  await server.listen(options.listen);
  return server;
}

class ListeningServer implements ApiServer {
  readonly #deps: ApiServerDeps;
  readonly #limits: ApiLimits;
  readonly #server: Server;
  readonly #bodies: BodyReader;
  readonly #answers: Answers;
  /** The last response of each connection. */
  readonly #responses = new WeakMap<Socket, ServerResponse>();
  #closing: Promise<void> | undefined;

  constructor(deps: ApiServerDeps, limits: ApiLimits) {
    this.#deps = deps;
    this.#limits = limits;
    this.#answers = createAnswers(deps);
    this.#bodies = createBodyReader({
      maxBytes: limits.maxBodyBytes,
      smallBytes: limits.smallBodyBytes,
      totalBytes: limits.totalBodyBytes,
      timeoutMs: limits.bodyTimeoutMs,
    });
    this.#server = createServer({
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headersTimeoutMs,
      // Uploads to the artifact store may take long; stalled ones are ended by the idle timeout.
      requestTimeout: 0,
      keepAliveTimeout: limits.idleTimeoutMs,
      connectionsCheckingInterval: Math.min(1000, limits.headersTimeoutMs),
    });
    this.#server.maxConnections = limits.maxConnections;
    this.#server.setTimeout(limits.idleTimeoutMs, (socket) => this.#endIdle(socket));
    this.#server.on("request", (request, response) => void this.#serve(request, response));
  }

  get address(): { host: string; port: number } {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  async listen({ host, port }: ApiServerOptions["listen"]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen(port, host, resolve);
    try {
      await promise;
    } catch (error) {
      const message = `Cannot listen on "${host}:${port}": ${messageOf(error)}`;
      throw new ServiceError("SETUP_FAILED", message, { cause: error });
    }
    this.#server.off("error", reject);
    this.#server.on("error", (error) => this.#deps.log.error("API listener failed", { error }));
  }

  /** Never rejects: nothing above could answer. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const requestId = randomUUID();
    const startedAt = performance.now();
    this.#responses.set(socket, response);
    try {
      await this.#respond(request, response, requestId);
    } catch (error) {
      this.#refuse(request, response, requestId, error);
    }
    this.#deps.log.debug("API request answered", {
      requestId,
      method: request.method,
      status: response.statusCode,
      durationMs: Math.round(performance.now() - startedAt),
    });
  }

  async #respond(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
  ): Promise<void> {
    const received = receivedFrom(request, requestId);
    const service = this.#answers.serviceOf(received);
    if (service === "s3") {
      response.setHeader("x-amzn-requestid", requestId);
      if (this.#isLast(request)) response.setHeader("connection", "close");
      return this.#deps.s3(request, response, requestId);
    }
    if (service === undefined) {
      await this.#bodies.discard(request);
      const peer = request.socket.remoteAddress;
      const reply = await this.#answers.answerUnsigned({ ...received, peer });
      return this.#send(request, response, requestId, reply);
    }
    const { method, url, headers } = received;
    const body = await this.#bodies.read(request);
    const signed = { method, url, headers, requestId, service, body };
    this.#send(request, response, requestId, await this.#answers.answer(signed));
  }

  #send(request: IncomingMessage, response: ServerResponse, requestId: string, reply: Reply): void {
    if (response.destroyed) return;
    const fields = ["x-amzn-requestid", requestId];
    for (const [name, value] of Object.entries(reply.headers)) fields.push(name, value);
    // RFC 9110, 8.6: not with a status that has no body.
    if (reply.status !== 204) fields.push("content-length", String(Buffer.byteLength(reply.body)));
    // What was not read of the request cannot be told from the next one.
    if (!request.complete || this.#isLast(request)) fields.push("connection", "close");
    response.writeHead(reply.status, fields);
    response.end(reply.body);
  }

  /** Whether the connection takes no request after this one. */
  #isLast({ headers }: IncomingMessage): boolean {
    // The parser drops what came in one packet with a request to upgrade: what follows may begin anywhere in a request.
    return this.#closing !== undefined || headers.upgrade !== undefined;
  }

  #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    error: unknown,
  ): void {
    if (response.destroyed || response.headersSent) {
      // The client left, or the artifact store had begun its answer: all that is left is to cut it off.
      if (response.headersSent) this.#deps.log.warn("API answer cut off", { requestId, error });
      response.destroy();
      return;
    }
    const wire = wireErrorOf(error);
    const isOurs = wire.status >= 500 && !wire.isPage;
    if (isOurs) this.#deps.log.error("API request failed", { requestId, error });
    else this.#deps.log.debug("API request refused", { requestId, name: wire.name, error });
    const refusal = this.#answers.refusal(receivedFrom(request, requestId), wire);
    this.#send(request, response, requestId, refusal);
  }

  #endIdle(socket: Socket): void {
    const response = this.#responses.get(socket);
    const isOpen = response !== undefined && !response.writableFinished;
    const waitsForUs = isOpen && response.req.complete && response.writableLength === 0;
    if (!waitsForUs) socket.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const cut = setTimeout(() => this.#server.closeAllConnections(), this.#limits.closeTimeoutMs);
    await closed;
    clearTimeout(cut);
  }
}

function receivedFrom(request: IncomingMessage, requestId: string): ReceivedRequest {
  const { method = "", url = "", rawHeaders } = request;
  return { method, url, headers: rawHeaders, requestId };
}
