// Whether an application's port speaks TLS. Nobody says so: before the first request the first message of a hand-shake is
// sent on a connection of its own, as the service does it. MicroVMs of one image version begin as copies of one another:
// what was found for one holds for all of them that were not tried themselves, until one of them shows otherwise.
//
// INVARIANTS
// - A microVM never waits for another's answer, and its own counts more: an application that lies to us, now so, now
//   otherwise, costs each of the others one request at most.
// - Where two of a version differ, each is tried by itself.
// - Only an answer is remembered: a port that is closed, or silent, is tried again with the next request.
// - What is remembered is bounded, and no microVM can have another's forgotten.

import { constants } from "node:crypto";
import { connect as connectSocket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls, DEFAULT_CIPHERS } from "node:tls";
import { makeRoom } from "../lib/bounded.ts";
import type { Known } from "../lib/known.ts";
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
  isSpoken(question: TlsQuestion): Known<boolean>;
  /** The application could not be spoken to: its port is tried before the next request. */
  forget(place: Place): void;
  /** The application answered 400, as servers of TLS do to those who speak none. */
  doubt(place: Place): void;
}

/** From the connection to the first byte of an answer. */
const ANSWER_MS = 2000;
/** MicroVMs, and image versions; the oldest are forgotten first. */
const MAX_REMEMBERED = 4096;
/** Of a microVM, where the oldest is forgotten, and of a version, where no more are shared. */
const MAX_PORTS = 64;

type Ports<T> = Map<number, T>;

/** Knows of no port yet. */
export function createUpstreamTls(): UpstreamTls {
  const found = new Map<string, Ports<boolean | "to be tried">>();
  const shared = new Map<string, Ports<boolean | "differs">>();
  const trying = new Map<string, Promise<boolean>>();
  const share = ({ record, port }: Place, isTls: boolean | undefined) => {
    const ports = portsOf(shared, versionOf(record));
    const known = ports.get(port);
    if (known !== undefined && known !== isTls) ports.set(port, "differs");
    else if (isTls !== undefined && ports.size < MAX_PORTS) ports.set(port, isTls);
  };
  const ask = async (question: TlsQuestion): Promise<boolean> => {
    const answer = await tryHello(question);
    if (answer === "closed") return false;
    const isTls = answer === "silent" ? undefined : answer === "tls";
    share(question, isTls);
    if (isTls !== undefined) remember(found, question, isTls);
    return isTls === true;
  };
  return {
    isSpoken(question) {
      const { record, port } = question;
      const own = found.get(record.microvmId)?.get(port);
      if (typeof own === "boolean") return own;
      const others = shared.get(versionOf(record))?.get(port);
      if (own === undefined && typeof others === "boolean") return others;
      const key = `${record.microvmId} ${port}`;
      const asking = trying.get(key) ?? ask(question).finally(() => trying.delete(key));
      trying.set(key, asking);
      return asking;
    },
    forget: (place) => remember(found, place, "to be tried"),
    doubt(place) {
      const own = found.get(place.record.microvmId)?.get(place.port);
      if (own === undefined) remember(found, place, "to be tried");
    },
  };
}

function versionOf({ imageArn, imageVersion }: MicrovmRecord): string {
  return `${imageArn} ${imageVersion}`;
}

function remember<T>(found: Map<string, Ports<T>>, { record, port }: Place, value: T): void {
  const ports = portsOf(found, record.microvmId);
  if (!ports.has(port)) makeRoom(ports, MAX_PORTS);
  ports.set(port, value);
}

function portsOf<T>(map: Map<string, Ports<T>>, key: string): Ports<T> {
  const known = map.get(key);
  if (known !== undefined) return known;
  makeRoom(map, MAX_REMEMBERED);
  const ports: Ports<T> = new Map();
  map.set(key, ports);
  return ports;
}

type Answer = "tls" | "plain" | "silent" | "closed";

/** Sends the first message of a hand-shake and looks at what comes back. Does not reject. */
async function tryHello({ lease, port, connectTimeoutMs }: TlsQuestion): Promise<Answer> {
  const hello = await clientHello();
  return new Promise((resolve) => {
    const socket = connectSocket({ host: lease.address, port, allowHalfOpen: true });
    let answer: Answer = "closed";
    let timer = setTimeout(() => socket.destroy(), connectTimeoutMs);
    const onGone = () => socket.destroy();
    lease.signal.addEventListener("abort", onGone, { once: true });
    if (lease.signal.aborted) onGone();
    const conclude = (spoken: "tls" | "plain") => {
      if (answer === "silent") answer = spoken;
      socket.destroy();
    };
    socket.once("connect", () => {
      answer = "silent";
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), ANSWER_MS);
      // With the end of the connection behind it: a server of HTTP that waits for a whole line need not wait for it.
      socket.end(hello);
    });
    socket.once("data", ([type]: Buffer) => conclude(isTlsRecord(type) ? "tls" : "plain"));
    socket.once("end", () => conclude("plain"));
    socket.on("error", () => conclude("plain"));
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

/**
 * The way to the microVM is the host's own, and its application has no name that an authority could vouch for. Without the
 * key exchange over a finite field of the application's choice, which would keep the ingress busy for a second, and without
 * hand-shakes anew on a connection that has one.
 */
export const UNCHECKED = {
  rejectUnauthorized: false,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  ciphers: `${DEFAULT_CIPHERS}:!kDHE`,
} as const;
