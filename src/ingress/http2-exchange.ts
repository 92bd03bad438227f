// An exchange over HTTP/2: one stream of a session. Its bytes go straight to whoever carries it (`direct`) where the body's
// length is known; for everybody else there is a stream of Node, made when first asked for.

import { randomBytes, randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { CODE } from "../http2/codes.ts";
import type { RequestHeader } from "../http2/request-header.ts";
import { StreamDuplex } from "../http2/stream-duplex.ts";
import type { ServerStream, StreamUser } from "../http2/stream.ts";
import {
  type ByteCount,
  type ClientConnection,
  type DirectClient,
  type DirectHead,
  type DirectUser,
  DRAIN_BYTES,
  DRAIN_MS,
  type Exchange,
  type UpgradeRequest,
} from "./exchange.ts";
import { fieldValues, type Framing, type RawHeaders } from "./headers.ts";
import type { Http2Fields, RequestFields } from "./http2-fields.ts";
import { acceptWebSocket, HANDSHAKE_FIELDS, Http2Response } from "./http2-response.ts";
import { PendingBody } from "./pending-body.ts";
import type { KeptChunk } from "./read-buffers.ts";
import { type Refusal, REFUSALS } from "./refusal.ts";
import { webSocketAccept } from "./websocket-accept.ts";

/** What an exchange has of its connection. */
export interface Http2Client {
  readonly connection: ClientConnection;
  readonly fields: Http2Fields;
  readonly clientAddress: string | undefined;
}

const CHUNKED: Framing = { kind: "chunked" };
/** A reader that has more than this before it is slow. */
const FEW_BYTES = 4096;
const ORIGIN_FORM = /^\/[\x21-\x7e\x80-\xff]*$/;

/** What the exchange is to be, or the refusal of a request that could mean different things to different readers. */
export function readHttp2Request(
  header: RequestHeader | undefined,
  { hasEnded }: ServerStream,
  known: Http2Fields,
): Http2Request | Refusal {
  if (header === undefined) return REFUSALS.headerTooLarge;
  const { method, scheme, path = "", protocol } = header;
  const isConnect = method === "CONNECT";
  if (isConnect && protocol === undefined) return REFUSALS.badRequest;
  if (scheme !== "https" && scheme !== "http") return REFUSALS.badRequest;
  if (!ORIGIN_FORM.test(path) && !(path === "*" && method === "OPTIONS"))
    return REFUSALS.badRequest;
  if (isConnect && protocol !== "websocket") return REFUSALS.protocolUnknown;
  const fields = known.request(header);
  if (fields === undefined) return REFUSALS.badRequest;
  if (!isConnect) {
    const { authority, expectsContinue } = fields;
    const framing = fields.framing.kind === "none" && !hasEnded ? CHUNKED : fields.framing;
    return { method, path, authority, fields: fields.fields, framing, expectsContinue };
  }
  if (fields.framing.kind !== "none" || hasEnded) return REFUSALS.badRequest;
  const webSocketKey = randomBytes(16).toString("base64");
  // Towards the application a WebSocket is an upgrade of HTTP/1.1.
  const upgrading = { ...fields, fields: handshakeFields(fields.fields, webSocketKey) };
  return { method: "GET", path, ...upgrading, webSocketKey };
}

export interface Http2Request extends RequestFields {
  readonly method: string;
  readonly path: string;
  /** Set for a WebSocket. */
  readonly webSocketKey?: string;
}

/** The hand-shake of a WebSocket is ours on this side (RFC 8441, 5). */
function handshakeFields(given: RawHeaders, key: string): RawHeaders {
  const fields = given.filter(
    (_text, index) => !HANDSHAKE_FIELDS.has(given[index - (index % 2)] ?? ""),
  );
  fields.push("Sec-WebSocket-Key", key);
  const hasVersion = fieldValues(fields, "sec-websocket-version").length > 0;
  return hasVersion ? fields : [...fields, "Sec-WebSocket-Version", "13"];
}

export class Http2Exchange implements Exchange, DirectClient, StreamUser {
  readonly requestId = randomUUID();
  readonly httpVersion = "2";
  clientAddress: string | undefined;
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  fields: RawHeaders;
  readonly framing: Framing;
  readonly expectsContinue: boolean;
  readonly upgrade: UpgradeRequest | undefined;
  readonly connection: ClientConnection;
  readonly traffic: ByteCount = { received: 0, sent: 0 };
  readonly response: Http2Response;
  readonly #stream: ServerStream;
  readonly #known: Http2Fields;
  readonly #left = new AbortController();
  #isCarried = false;
  #user: DirectUser | undefined;
  #duplex: StreamDuplex | undefined;
  /** Of the body, while nobody takes it; bounded by the stream's window. */
  readonly #pending = new PendingBody();
  /** Nobody takes more of the body until it is asked for. */
  #isHeldBack = true;
  /** The body has come to its end, and nobody has been told. */
  #isEndDue = false;
  /** Bytes that may still be thrown away; undefined while the body is wanted. */
  #discardable: number | undefined;
  #discardTimer: NodeJS.Timeout | undefined;

  /** Takes the stream over. */
  constructor(stream: ServerStream, request: Http2Request, client: Http2Client) {
    this.#stream = stream;
    this.#known = client.fields;
    this.connection = client.connection;
    this.clientAddress = client.clientAddress;
    this.method = request.method;
    this.target = request.path;
    this.authority = request.authority;
    this.fields = request.fields;
    this.framing = request.framing;
    this.expectsContinue = request.expectsContinue;
    this.response = new Http2Response(stream, this);
    const key = request.webSocketKey;
    this.upgrade = key === undefined ? undefined : this.#webSocket(key);
    stream.attach(this);
  }

  get signal(): AbortSignal {
    return this.#left.signal;
  }

  get direct(): DirectClient | undefined {
    const isPlain = this.framing.kind !== "chunked" && this.upgrade === undefined;
    return isPlain && !this.expectsContinue ? this : undefined;
  }

  /** The bodies of both sides. */
  get duplex(): StreamDuplex {
    this.#duplex ??= this.#openDuplex();
    return this.#duplex;
  }

  get body(): Readable {
    return this.duplex;
  }

  trailers(): RawHeaders | undefined {
    return this.#stream.hasEnded ? this.#stream.trailers : undefined;
  }

  /** Whoever carried the exchange is done with it. */
  finish(): void {
    this.#isCarried = true;
  }

  attach(user: DirectUser): void {
    this.#user = user;
    this.resumeBody();
    if (this.#stream.isClosed) user.onClientClose();
  }

  resumeBody(): void {
    this.#isHeldBack = false;
    for (const chunk of this.#pending.take()) this.#pass(chunk);
    // The client may send anew when all that it has sent is taken.
    if (!this.#isHeldBack) this.#stream.resume();
    this.#tellEnd();
  }

  start(head: DirectHead, first: Buffer, isWhole: boolean): boolean {
    const stream = this.#stream;
    const block = this.#known.answer(head, this.requestId);
    this.response.noteStatus(head.status);
    if (isWhole && first.length > 0 && stream.output.respondWhole(block, first)) return true;
    stream.output.respond(block, isWhole && first.length === 0);
    return first.length === 0 || stream.output.write(Buffer.from(first), () => undefined);
  }

  write({ bytes, release }: KeptChunk): boolean {
    return this.#stream.output.write(bytes, release);
  }

  end(): void {
    this.#user = undefined;
    if (!this.#stream.output.hasSentEnd) this.#stream.output.end([], () => undefined);
  }

  /** The request's body still goes where it did. */
  leave(): void {
    return undefined;
  }

  /** Reads on for a while, then tells the client that the rest is not wanted (RFC 9113, 8.1). */
  discardRest(): void {
    const stream = this.#stream;
    this.#user = undefined;
    this.#pending.take();
    this.#isHeldBack = false;
    if (stream.hasEnded || stream.isClosed) return;
    this.#discardable = DRAIN_BYTES;
    this.#discardTimer = setTimeout(() => stream.reset(CODE.noError), DRAIN_MS);
    stream.resume();
  }

  onData(chunk: Buffer): boolean {
    if (this.#discardable !== undefined) return this.#discard(chunk.length);
    this.#pass(chunk);
    return !this.#isHeldBack;
  }

  onEnd(): void {
    clearTimeout(this.#discardTimer);
    this.#isEndDue = true;
    this.#tellEnd();
  }

  onDrain(): void {
    this.#user?.onClientDrain();
    this.#duplex?.onDrain();
  }

  onClose(): void {
    clearTimeout(this.#discardTimer);
    // After a whole response the client has all that it waited for.
    if (!this.#stream.output.hasSentEnd) {
      if (!this.#isCarried) this.#left.abort(new Error("Client has left"));
      this.#user?.onClientClose();
    }
    if (this.#stream.resetCode !== undefined) this.#duplex?.destroy();
  }

  /** Hands the chunk on, or keeps it behind those that nobody takes yet. */
  #pass(chunk: Buffer): void {
    if (this.#isHeldBack) return this.#pending.add(chunk);
    if (this.#user !== undefined) {
      this.traffic.received += chunk.length;
      this.#isHeldBack = !this.#user.onBody(chunk);
    } else if (this.#duplex !== undefined) {
      const hasRoom = this.#duplex.push(chunk);
      // Small chunks for a slow reader are better kept here: it asks for more at its next turn.
      this.#isHeldBack = !hasRoom || this.#duplex.readableLength > FEW_BYTES;
    }
  }

  #tellEnd(): void {
    if (!this.#isEndDue || !this.#pending.isEmpty) return;
    if (this.#user === undefined && this.#duplex === undefined) return;
    this.#isEndDue = false;
    this.#user?.onBodyEnd();
    this.#duplex?.push(null);
  }

  #discard(bytes: number): boolean {
    this.#discardable = (this.#discardable ?? 0) - bytes;
    if (this.#discardable < 0) this.#stream.reset(CODE.noError);
    return true;
  }

  #openDuplex(): StreamDuplex {
    const stream = this.#stream;
    // What is left of the body goes to whoever had its beginning.
    const hasBody = this.#user === undefined;
    const duplex = new StreamDuplex(stream, () => {
      if (this.#user === undefined) this.resumeBody();
    });
    this.#duplex = duplex;
    // Followed by the close, which is what counts.
    duplex.on("error", () => undefined);
    if (hasBody) this.resumeBody();
    else if (stream.hasEnded && !this.#isEndDue) duplex.push(null);
    if (stream.resetCode !== undefined) duplex.destroy();
    return duplex;
  }

  #webSocket(key: string): UpgradeRequest {
    const expected = webSocketAccept(key);
    return {
      protocol: "websocket",
      head: Buffer.alloc(0),
      isAnsweredBy: (fields) => fieldValues(fields, "sec-websocket-accept")[0] === expected,
      accept: ({ fields }) => {
        acceptWebSocket(this.#stream, fields);
        this.response.noteStatus(200);
        return this.duplex;
      },
    };
  }
}
