// The smallest DNS server that a stub resolver accepts: answers every A query with one address, by UDP and TCP.

import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { once } from "node:events";

/** Names that start so are answered by UDP with "truncated", which makes the client ask again by TCP. */
export const TCP_ONLY_PREFIX = "long";
const TRUNCATED = 0x02;

export interface DnsResponder extends AsyncDisposable {
  /** Addresses that asked. */
  readonly clients: readonly string[];
}

/** Answers on port 53 of `address` with `answer`. */
export async function startDnsResponder(address: string, answer: string): Promise<DnsResponder> {
  const clients: string[] = [];
  const udp = createSocket("udp4");
  udp.on("message", (query, { address: client, port }) => {
    clients.push(client);
    const isLong = query.toString("latin1", 13).startsWith(TCP_ONLY_PREFIX);
    udp.send(isLong ? truncated(query) : reply(query, answer), port, client);
  });
  const tcp = createServer((socket) => {
    clients.push(socket.remoteAddress ?? "");
    socket.on("error", () => socket.destroy());
    socket.on("data", (data) => {
      const message = reply(data.subarray(2), answer);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.end(Buffer.concat([length, message]));
    });
  });
  udp.bind(53, address);
  tcp.listen(53, address);
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  return {
    clients,
    async [Symbol.asyncDispose]() {
      udp.close();
      tcp.close();
      await once(tcp, "close");
    },
  };
}

function truncated(query: Buffer): Buffer {
  const message = Buffer.from(question(query));
  message[2] = 0x80 | TRUNCATED | 0x01;
  return message;
}

function reply(query: Buffer, answer: string): Buffer {
  const head = Buffer.from(question(query));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  const record = Buffer.from([
    0xc0,
    12,
    0,
    1,
    0,
    1,
    0,
    0,
    0,
    1,
    0,
    4,
    ...answer.split(".").map(Number),
  ]);
  return Buffer.concat([head, record]);
}

/** Header and question, without what may follow (EDNS). */
function question(query: Buffer): Buffer {
  const message = Buffer.from(query.subarray(0, query.indexOf(0, 12) + 5));
  message.writeUInt32BE(0, 8);
  return message;
}
