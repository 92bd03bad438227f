// One client connection over HTTP/2: its streams as exchanges side by side.

import { randomUUID } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { CODE } from "../http2/codes.ts";
import type { RequestHeader } from "../http2/request-header.ts";
import { Http2Session } from "../http2/session.ts";
import type { ServerStream } from "../http2/stream.ts";
import { type ClientConnection, type Exchange, MAX_FIELDS } from "./exchange.ts";
import { HeaderMemory } from "./header-memory.ts";
import { Http2Exchange, readHttp2Request } from "./http2-exchange.ts";
import { Http2Fields } from "./http2-fields.ts";
import { deliverRefusal, type Refusal } from "./refusal.ts";
import { SharedUpstreams } from "./upstreams.ts";

export interface Http2Limits {
  /** How long the client may take over its first frames. */
  readonly prefaceTimeoutMs: number;
  /** How long a session without streams is kept. */
  readonly keepAliveMs: number;
  /** Bytes of one request's header, unpacked. */
  readonly headerBytes: number;
}

/** Carries an exchange to its end; does not reject. */
export type Carry = (exchange: Exchange) => Promise<void>;

const MAX_STREAMS = 128;
/** Exchanges whose stream the client has already given up, but which are not over yet. */
const MAX_ABANDONED = 128;
const STREAM_WINDOW_BYTES = 256 * 1024;
const SESSION_WINDOW_BYTES = 1024 * 1024;

export interface Http2Peer {
  readonly socket: TLSSocket;
  /** Not the peer's, where a balancer stands between. */
  readonly clientAddress: string | undefined;
}

export class Http2Connection implements ClientConnection {
  readonly upstreams = new SharedUpstreams();
  readonly memory = new HeaderMemory();
  readonly #fields = new Http2Fields();
  readonly #session: Http2Session;
  readonly #closed = new AbortController();
  readonly #carry: Carry;
  readonly #clientAddress: string | undefined;
  /** Exchanges that are not over. */
  #count = 0;

  constructor({ socket, clientAddress }: Http2Peer, limits: Http2Limits, carry: Carry) {
    this.#carry = carry;
    this.#clientAddress = clientAddress;
    const windows = {
      streamWindowBytes: STREAM_WINDOW_BYTES,
      windowBytes: SESSION_WINDOW_BYTES,
    };
    const most = { maxStreams: MAX_STREAMS, headerFields: MAX_FIELDS };
    this.#session = new Http2Session(
      socket,
      { ...limits, ...windows, ...most },
      {
        onRequest: (stream, header) => this.#take(stream, header),
        onClose: () => {
          this.#closed.abort(new Error("Client has left"));
          this.upstreams[Symbol.dispose]();
        },
      },
    );
  }

  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** Takes no further streams once the client knows, and ends after the last one. */
  shutDown(): void {
    this.#session.shutDown();
  }

  #take(stream: ServerStream, header: RequestHeader | undefined): void {
    if (this.#count >= MAX_STREAMS + MAX_ABANDONED)
      return this.#session.close(CODE.enhanceYourCalm);
    const client = {
      ...{ connection: this, fields: this.#fields, clientAddress: this.#clientAddress },
    };
    const request = readHttp2Request(header, stream, this.#fields);
    if ("kind" in request) {
      const { method = "" } = header ?? {};
      return refuse(new Http2Exchange(stream, { ...NOTHING, method }, client), request);
    }
    const exchange = new Http2Exchange(stream, request, client);
    this.#count += 1;
    void this.#carry(exchange).then(() => {
      exchange.finish();
      this.#count -= 1;
    });
  }
}

/** Of a request that makes no exchange. */
const NOTHING = {
  ...{ path: "", authority: "", fields: [], expectsContinue: false },
  framing: { kind: "none" },
} as const;

function refuse(exchange: Http2Exchange, refused: Refusal): void {
  void deliverRefusal(exchange.response, refused, randomUUID());
  exchange.discardRest();
}
