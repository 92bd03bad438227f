// The response on a stream of HTTP/2.

import type { Writable } from "node:stream";
import { CODE } from "../http2/codes.ts";
import { encodeFields } from "../http2/hpack-encoder.ts";
import type { StreamDuplex } from "../http2/stream-duplex.ts";
import type { ServerStream } from "../http2/stream.ts";
import type { ExchangeResponse, ResponseHead } from "./exchange.ts";
import { fieldValues, type RawHeaders } from "./headers.ts";
import { onlyWritable, writableFields } from "./http2-fields.ts";

/** What a hand-shake over HTTP/1.1 has and one over HTTP/2 has not. */
export const HANDSHAKE_FIELDS = new Set(["sec-websocket-key", "sec-websocket-accept"]);
const BODILESS_STATUSES = new Set([204, 205, 304]);
/** Of a response whose trailers say how the call ended; in gRPC-Web the body does. */
const GRPC = /^application\/grpc(?:[+;]|$)/i;
/** How a gRPC client hears of a lost connection: a reset would be read as a fault or as a cancellation of its own. */
const UNAVAILABLE = [
  ...["grpc-status", "14"],
  ...["grpc-message", "Connection to the application was lost"],
];

/** What a response has of its exchange. */
interface Answered {
  readonly method: string;
  readonly duplex: StreamDuplex;
}

export class Http2Response implements ExchangeResponse {
  readonly #stream: ServerStream;
  readonly #exchange: Answered;
  #status: number | undefined;
  #isGrpc = false;

  constructor(stream: ServerStream, exchange: Answered) {
    this.#stream = stream;
    this.#exchange = exchange;
  }

  get status(): number | undefined {
    return this.#stream.output.hasSentHeader ? this.#status : undefined;
  }

  get body(): Writable {
    return this.#exchange.duplex;
  }

  writeContinue(): void {
    this.#stream.output.inform(encodeFields([":status", "100"]));
  }

  writeEarlyHints(link: string | string[]): void {
    const fields = [link].flat().flatMap((value) => ["link", value]);
    this.#stream.output.inform(encodeFields([":status", "103", ...onlyWritable(fields)]));
  }

  start({ status, fields, isEmpty }: ResponseHead): void {
    const block = encodeFields([":status", String(status), ...writableFields(fields)]);
    const isBodiless = this.#exchange.method === "HEAD" || BODILESS_STATUSES.has(status);
    const isEnd = isEmpty === true || isBodiless;
    this.#stream.output.respond(block, isEnd);
    this.#status = status;
    this.#isGrpc = !isEnd && GRPC.test(fieldValues(fields, "content-type")[0] ?? "");
    if (isEnd) this.#exchange.duplex.end();
  }

  /** A header was sent past this. */
  noteStatus(status: number): void {
    this.#status = status;
  }

  /** An HTTP/2 header is not held back. */
  flush(): void {
    return undefined;
  }

  end(trailers: readonly [string, string][]): void {
    if (!this.body.writableEnded) this.#exchange.duplex.endWith(onlyWritable(trailers.flat()));
  }

  cut(code?: number): void {
    const isOpen = !this.#stream.isClosed && !this.#stream.output.hasSentEnd;
    if (code === undefined && this.#isGrpc && isOpen && !this.body.writableEnded)
      return this.#exchange.duplex.endWith(UNAVAILABLE);
    this.#stream.reset(code ?? CODE.internalError);
  }
}

/** Tells the client that its WebSocket was accepted (RFC 8441, 5). */
export function acceptWebSocket(stream: ServerStream, fields: RawHeaders): void {
  const kept = fields.filter(
    (_text, index) => !HANDSHAKE_FIELDS.has((fields[index - (index % 2)] ?? "").toLowerCase()),
  );
  stream.output.respond(encodeFields([":status", "200", ...writableFields(kept)]), false);
}
