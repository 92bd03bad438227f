// A load of HTTP/1.1 requests over kept connections: each sends a request, waits for the whole answer and sends the
// next. Requests are bytes made beforehand and answers are read no further than their length, so that one core can ask
// faster than the servers under test answer.

import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface Load {
  readonly port: number;
  readonly connections: number;
  /** Whole requests, taken in turn. */
  readonly requests: readonly Uint8Array[];
  /** Answers of another status end the load. */
  readonly expectedStatus: number;
  readonly durationMs: number;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Loads a server on 127.0.0.1. Rejects when an answer is not the expected one. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const latencies: number[] = [];
  const next = takingTurns(load.requests);
  const startedAt = performance.now();
  const until = startedAt + load.durationMs;
  keepAwake(until);
  await Promise.all(
    Array.from({ length: load.connections }, () => askRepeatedly(load, next, until, latencies)),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const sorted = Float64Array.from(latencies).sort();
  const rank = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
  return { requestsPerSecond: latencies.length / seconds, p50Ms: rank(0.5), p99Ms: rank(0.99) };
}

/** A core that sleeps is dear to wake, in a virtual machine above all, and the server that writes to it would pay. */
function keepAwake(until: number): void {
  if (performance.now() < until) setImmediate(keepAwake, until);
}

function takingTurns(requests: readonly Uint8Array[]): () => Uint8Array {
  let turn = 0;
  return () => {
    const request = requests[turn++ % requests.length];
    if (request === undefined) throw new RangeError("A load needs requests");
    return request;
  };
}

async function askRepeatedly(
  load: Load,
  next: () => Uint8Array,
  until: number,
  latencies: number[],
): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port: load.port, noDelay: true });
  await once(socket, "connect");
  try {
    await new Promise<void>((resolve, reject) => {
      let sentAt = 0;
      const ask = () => {
        sentAt = performance.now();
        socket.write(next());
      };
      onAnswers(socket, load.expectedStatus, (error) => {
        if (error !== undefined) return reject(error);
        const now = performance.now();
        latencies.push(now - sentAt);
        if (now >= until) resolve();
        else ask();
      });
      ask();
    });
  } finally {
    socket.destroy();
  }
}

/** Calls `onAnswer` at the end of each answer; they come one at a time. */
function onAnswers(
  socket: Socket,
  expectedStatus: number,
  onAnswer: (error?: Error) => void,
): void {
  const begin = Buffer.from(`HTTP/1.1 ${expectedStatus} `);
  let head: Buffer = Buffer.alloc(0);
  let missing = 0;
  const fail = (what: string) => onAnswer(new Error(what));
  socket.on("data", (chunk: Buffer) => {
    if (missing > 0) {
      missing -= chunk.length;
      if (missing === 0) onAnswer();
      return;
    }
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end === -1) return;
    const text = head.toString("latin1", 0, end);
    const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
    if (!head.subarray(0, begin.length).equals(begin) || length === undefined)
      return fail(`Unexpected answer: ${head.toString("latin1", 0, 1000)}`);
    missing = Number(length) - (head.length - end - 4);
    head = Buffer.alloc(0);
    if (missing === 0) onAnswer();
  });
  socket.on("error", (error) => onAnswer(error));
  socket.on("close", () => fail("The server closed the connection"));
}
