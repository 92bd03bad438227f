// The header that a load balancer puts before a connection it passes on, so that the client's address is not lost:
// versions 1 (a line of text) and 2 (binary) of the PROXY protocol.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

import { isIP, type Socket } from "node:net";

/** What a header says of the client: its address, or nothing (a health check, a family without addresses). */
export interface ProxiedClient {
  readonly address: string | undefined;
}

export type ProxyHeader =
  | { readonly is: "complete"; readonly client: ProxiedClient; readonly bytes: number }
  | { readonly is: "incomplete" }
  | { readonly is: "malformed" };

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V1_START = Buffer.from("PROXY ");
/** 2.1: the longest line, its end included. */
const V1_MAX_BYTES = 107;
const V2_FIXED_BYTES = 16;
/** Addresses and what may follow them; more is nobody's header. */
const V2_MAX_REST = 2048;
const INCOMPLETE: ProxyHeader = { is: "incomplete" };
const MALFORMED: ProxyHeader = { is: "malformed" };
const UNKNOWN: ProxiedClient = { address: undefined };

/** Reads the header at the beginning of what has arrived. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAs(bytes, SIGNATURE)) return parseVersion2(bytes);
  if (startsAs(bytes, V1_START)) return parseVersion1(bytes);
  return MALFORMED;
}

/** Whether `bytes` begin with `start`, as far as they go. */
function startsAs(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}

function parseVersion1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_MAX_BYTES).indexOf("\r\n");
  if (end === -1) return bytes.length < V1_MAX_BYTES ? INCOMPLETE : MALFORMED;
  const complete = (client: ProxiedClient): ProxyHeader => ({
    ...{ is: "complete", client, bytes: end + 2 },
  });
  const line = bytes.toString("latin1", 0, end);
  if (/^PROXY UNKNOWN( |$)/.test(line)) return complete(UNKNOWN);
  const [, family, address = "", target = "", port, targetPort, ...rest] = line.split(" ");
  const version = family === "TCP4" ? 4 : family === "TCP6" ? 6 : undefined;
  const isRight =
    version !== undefined &&
    [address, target].every((one) => isIP(one) === version) &&
    [port, targetPort].every((one) => /^\d{1,5}$/.test(one ?? "") && Number(one) <= 65535) &&
    rest.length === 0;
  return isRight ? complete({ address }) : MALFORMED;
}

function parseVersion2(bytes: Buffer): ProxyHeader {
  if (bytes.length < V2_FIXED_BYTES) return INCOMPLETE;
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const rest = bytes.readUInt16BE(14);
  const total = V2_FIXED_BYTES + rest;
  if ((command !== 0x20 && command !== 0x21) || rest > V2_MAX_REST) return MALFORMED;
  if (bytes.length < total) return INCOMPLETE;
  const complete = (client: ProxiedClient): ProxyHeader => ({
    ...{ is: "complete", client, bytes: total },
  });
  // LOCAL: the balancer's own connection. What it says of addresses does not count.
  if (command === 0x20) return complete(UNKNOWN);
  const addresses = bytes.subarray(V2_FIXED_BYTES, total);
  switch (family) {
    case 0x11:
      return rest < 12 ? MALFORMED : complete({ address: ipv4(addresses) });
    case 0x21:
      return rest < 36 ? MALFORMED : complete({ address: ipv6(addresses) });
    default:
      return complete(UNKNOWN);
  }
}

function ipv4(bytes: Buffer): string {
  return [...bytes.subarray(0, 4)].join(".");
}

/** In full, as eight groups: for logs and headers, where any right spelling does. */
function ipv6(bytes: Buffer): string {
  return Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(group * 2).toString(16)).join(
    ":",
  );
}

/**
 * Takes the header off a connection; what follows it can then be read as if it had never been there. Rejects when the
 * connection ends first, says something else, or takes longer than `timeoutMs`.
 */
export async function takeProxyHeader(socket: Socket, timeoutMs: number): Promise<ProxiedClient> {
  const { promise, resolve, reject } = Promise.withResolvers<ProxiedClient>();
  let received: Buffer = Buffer.alloc(0);
  const onReadable = () => {
    for (let chunk = read(socket); chunk !== null; chunk = read(socket))
      received = Buffer.concat([received, chunk]);
    const header = parseProxyHeader(received);
    if (header.is === "malformed") return reject(new Error("No PROXY protocol header"));
    if (header.is === "incomplete") return;
    // Before anything else listens: what is left belongs to the TLS hand-shake.
    socket.off("readable", onReadable);
    const left = received.subarray(header.bytes);
    if (left.length > 0) socket.unshift(left);
    resolve(header.client);
  };
  const onEnd = () => reject(new Error("The connection ended before its PROXY protocol header"));
  const timer = setTimeout(() => reject(new Error("No PROXY protocol header in time")), timeoutMs);
  socket.on("readable", onReadable);
  for (const event of ["end", "close", "error"]) socket.once(event, onEnd);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.off("readable", onReadable);
    for (const event of ["end", "close", "error"]) socket.off(event, onEnd);
  }
}

function read(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}
