// Whether an application's port speaks TLS. Nobody says so: before the first request the first message of a hand-shake is
// sent on a connection of its own, as the service does it. MicroVMs of one image version begin as copies of one another:
// what was found for one holds for all of them, until one of them shows otherwise.
//
// INVARIANTS
// - Only an answer is remembered: a port that is closed, or silent, is tried again with the next request.
// - What is remembered is bounded, the oldest is forgotten first, and one is tried at a time for a kind.

import { connect as connectSocket, isIP } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { TrafficLease } from "../microvms/lease.ts";
import type { MicrovmRecord } from "../microvms/records.ts";

export interface TlsQuestion {
  readonly record: MicrovmRecord;
  readonly lease: TrafficLease;
  readonly port: number;
  readonly connectTimeoutMs: number;
}

type Place = Pick<TlsQuestion, "record" | "port">;

export interface UpstreamTls {
  /** Takes at most two seconds longer than a connect. False for a port that answers nothing. */
  isSpoken(question: TlsQuestion): Promise<boolean>;
  /** The application could not be spoken to. */
  forget(place: Place): void;
  /** The application answered 400, as servers of TLS do to those who speak none. */
  doubt(place: Place): void;
}

/** From the connection to the first byte of an answer. */
const ANSWER_MS = 2000;
const MAX_REMEMBERED = 4096;

/** Knows of no port yet. */
export function createUpstreamTls(): UpstreamTls {
  const known = new Map<string, boolean>();
  /** Ports of single microVMs that were tried themselves. */
  const tried = new Map<string, true>();
  const trying = new Map<string, Promise<boolean>>();
  const ask = async (question: TlsQuestion): Promise<boolean> => {
    const answer = await tryHello(question);
    if (answer === "none") return false;
    remember(known, kindOf(question), answer === "tls");
    remember(tried, placeOf(question), true);
    return answer === "tls";
  };
  const forget = (place: Place) => {
    known.delete(kindOf(place));
    tried.delete(placeOf(place));
  };
  return {
    async isSpoken(question) {
      const kind = kindOf(question);
      const answer = known.get(kind) ?? trying.get(kind);
      if (answer !== undefined) return answer;
      const asking = ask(question).finally(() => trying.delete(kind));
      trying.set(kind, asking);
      return asking;
    },
    forget,
    doubt(place) {
      if (!tried.has(placeOf(place))) forget(place);
    },
  };
}

function kindOf({ record: { imageArn, imageVersion }, port }: Place): string {
  return `${imageArn} ${imageVersion} ${port}`;
}

function placeOf({ record: { microvmId }, port }: Place): string {
  return `${microvmId} ${port}`;
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  const [oldest] = map.keys();
  if (map.size >= MAX_REMEMBERED && oldest !== undefined) map.delete(oldest);
  map.set(key, value);
}

/** `none` for a port that is closed or silent. Does not reject. */
async function tryHello({
  lease,
  port,
  connectTimeoutMs,
}: TlsQuestion): Promise<"tls" | "plain" | "none"> {
  const hello = await clientHello();
  return new Promise((resolve) => {
    const socket = connectSocket({ host: lease.address, port, allowHalfOpen: true });
    let answer: "tls" | "plain" | "none" = "none";
    let timer = setTimeout(() => socket.destroy(), connectTimeoutMs);
    const onGone = () => socket.destroy();
    lease.signal.addEventListener("abort", onGone, { once: true });
    if (lease.signal.aborted) onGone();
    let isConnected = false;
    const conclude = (spoken: "tls" | "plain") => {
      if (answer === "none") answer = spoken;
      socket.destroy();
    };
    socket.once("connect", () => {
      isConnected = true;
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), ANSWER_MS);
      // With the end of the connection behind it: a server of HTTP that waits for a whole line need not wait for it.
      socket.end(hello);
    });
    socket.once("data", ([type]: Buffer) => conclude(isTlsRecord(type) ? "tls" : "plain"));
    socket.once("end", () => conclude("plain"));
    socket.on("error", () => {
      if (isConnected) conclude("plain");
    });
    socket.once("close", () => {
      clearTimeout(timer);
      lease.signal.removeEventListener("abort", onGone);
      resolve(answer);
    });
  });
}

/** What a client of TLS says first. */
async function clientHello(): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      resolve(chunk);
      done();
    },
  });
  const client = connectTls({ socket: wire, ...UNCHECKED });
  client.on("error", () => undefined);
  const hello = await promise;
  client.destroy();
  return hello;
}

/** Whether this begins a record with an alert or a hand-shake (RFC 8446, 5.1); no text begins so. */
function isTlsRecord(type: number | undefined): boolean {
  return type === 0x15 || type === 0x16;
}

/** The way to the microVM is the host's own, and its application has no name that an authority could vouch for. */
export const UNCHECKED = { rejectUnauthorized: false } as const;

/** What an application is told that it is asked for: the host without its port; nothing when that is an address. */
export function serverNameOf(authority: string | undefined): string {
  const host = authority?.replace(/:\d*$/, "") ?? "";
  return isIP(host) !== 0 || host.startsWith("[") ? "" : host;
}
