// HTTP/2 sessions to applications on behalf of one client connection: one for each VMM and port, cut when the VMM goes
// away, closed when idle or when the client has left.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionRequestOptions,
  connect,
  constants,
} from "node:http2";
import { connect as connectSocket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TrafficLease } from "../microvms/lease.ts";
import { UNCHECKED } from "./upstream-tls.ts";
import { cutWith } from "./upstream.ts";

/** A client uses one port as a rule; the oldest session is closed for the one beyond this. */
const MAX_SESSIONS = 16;
/** Longer than for HTTP/1.1: an end is announced, and a call sent into it is refused, not lost. */
const IDLE_MS = 10_000;
/** Megabytes of headers and frames for one session. */
const SESSION_MEMORY = 16;
const RESPONSE_HEADER_BYTES = 64 * 1024;
const MAX_HEADER_PAIRS = 1000;
const STREAM_WINDOW_BYTES = 256 * 1024;
const SESSION_WINDOW_BYTES = 1024 * 1024;

export interface SessionTarget {
  readonly lease: TrafficLease;
  readonly port: number;
  readonly isTls: boolean;
  /** For TLS. */
  readonly serverName: string;
  readonly connectTimeoutMs: number;
}

export interface SessionRequest {
  readonly fields: readonly string[];
  readonly options: ClientSessionRequestOptions;
}

interface KeptSession {
  readonly session: ClientHttp2Session;
  /** Resolves when the application's settings are there, or never will be. */
  readonly greeting: Promise<void>;
  isGreeted: boolean;
  readonly port: number;
  readonly signal: AbortSignal;
  streams: number;
}

export class UpstreamSessions implements Disposable {
  readonly #kept = new Set<KeptSession>();

  /** Whether a session for the target is there already. */
  has(target: SessionTarget): boolean {
    return this.#find(target) !== undefined;
  }

  /**
   * Whether one stream more may be opened: where the target's session has one already and the application has yet to say
   * how many it takes, it would refuse what is more. False: it never said.
   */
  mayOpen(target: SessionTarget, signal: AbortSignal): true | Promise<boolean> {
    const found = this.#find(target);
    if (found === undefined || found.isGreeted) return true;
    return new Promise((resolve) => {
      const stop = cutWith(signal, () => resolve(false));
      void found.greeting.then(() => {
        stop();
        resolve(found.isGreeted);
      });
    });
  }

  /** Opens a stream on the target's session; certainly on a new one without `mayReuse`. It may still be connecting. */
  request(
    target: SessionTarget,
    { fields, options }: SessionRequest,
    mayReuse: boolean,
  ): ClientHttp2Stream {
    const found = this.#find(target);
    if (found !== undefined && !mayReuse) this.#retire(found);
    const kept = mayReuse && found !== undefined ? found : this.#open(target);
    const stream = kept.session.request(fields, options);
    kept.streams += 1;
    stream.once("close", () => (kept.streams -= 1));
    return stream;
  }

  [Symbol.dispose](): void {
    for (const { session } of this.#kept) session.destroy(undefined, constants.NGHTTP2_CANCEL);
    this.#kept.clear();
  }

  #find({ port, lease }: SessionTarget): KeptSession | undefined {
    return [...this.#kept].find(
      ({ session, port: keptPort, signal }) =>
        keptPort === port && signal === lease.signal && !session.closed && !session.destroyed,
    );
  }

  #open(target: SessionTarget): KeptSession {
    const [oldest] = this.#kept;
    if (oldest !== undefined && this.#kept.size >= MAX_SESSIONS) this.#retire(oldest);
    const session = openSession(target);
    const { signal } = target.lease;
    const kept: KeptSession = {
      ...{ session, port: target.port, signal, streams: 0, isGreeted: false },
      greeting: new Promise((resolve) => {
        session.once("close", resolve);
        session.once("remoteSettings", () => {
          kept.isGreeted = true;
          resolve();
        });
      }),
    };
    this.#kept.add(kept);
    const onGone = () => session.destroy(undefined, constants.NGHTTP2_CANCEL);
    signal.addEventListener("abort", onGone, { once: true });
    session.setTimeout(IDLE_MS, () => {
      // A silent stream is somebody's; a session without one waits for nobody.
      if (kept.streams === 0) session.close();
    });
    session.once("close", () => {
      this.#kept.delete(kept);
      signal.removeEventListener("abort", onGone);
    });
    return kept;
  }

  /** Lets its streams end. */
  #retire(kept: KeptSession): void {
    this.#kept.delete(kept);
    if (!kept.session.destroyed) kept.session.close();
  }
}

function openSession(target: SessionTarget): ClientHttp2Session {
  const { lease, port, isTls, serverName, connectTimeoutMs } = target;
  const place = { host: lease.address, port, noDelay: true };
  const tls = { servername: serverName, ALPNProtocols: ["h2"], ...UNCHECKED };
  const options = {
    createConnection: () => (isTls ? connectTls({ ...place, ...tls }) : connectSocket(place)),
    settings: {
      enablePush: false,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxHeaderListSize: RESPONSE_HEADER_BYTES,
    },
    maxSessionMemory: SESSION_MEMORY,
    maxHeaderListPairs: MAX_HEADER_PAIRS,
    maxSendHeaderBlockLength: RESPONSE_HEADER_BYTES,
    strictSingleValueFields: false,
  };
  const session = connect(`${isTls ? "https" : "http"}://${lease.address}:${port}`, options);
  const timer = setTimeout(() => session.destroy(), connectTimeoutMs);
  session.once("connect", () => {
    clearTimeout(timer);
    // Told of a moment later, when the client or the VMM may be gone.
    if (!session.destroyed) session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  });
  session.once("close", () => clearTimeout(timer));
  // Followed by the close of the session and of its streams, which is what counts.
  session.on("error", () => clearTimeout(timer));
  return session;
}
