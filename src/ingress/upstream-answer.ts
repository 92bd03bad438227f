// Reads an answer by node:http's parser although the request went out without it: the parser's own request goes nowhere.

import { request as httpRequest } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Exchange } from "./exchange.ts";
import { http1Response, relayInformation, RESPONSE_HEADER_LIMIT } from "./upstream-http1.ts";
import { cutWith, type UpstreamResponse } from "./upstream.ts";

export interface AnswerReader {
  push(chunk: Buffer): void;
  /** The application's connection is no more. */
  end(error: Error | undefined): void;
}

export interface AnswerReaderHooks {
  onAnswer(answer: UpstreamResponse): void;
  /** There will be no answer. */
  onFailure(): void;
}

/** Reads the answer to the exchange's request from what is pushed; `socket` is held back and, in the end, closed. */
export function readAnswer(
  exchange: Exchange,
  socket: Socket,
  hooks: AnswerReaderHooks,
): AnswerReader {
  const received = new Duplex({
    read: () => void socket.resume(),
    write: (_chunk, _encoding, done) => done(),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  const outgoing = httpRequest({
    createConnection: () => received,
    method: exchange.method,
    headers: ["Host", exchange.authority ?? ""],
    maxHeaderSize: RESPONSE_HEADER_LIMIT,
  });
  const stop = cutWith(exchange.signal, () => outgoing.destroy(new Error("Request was cut")));
  outgoing.once("response", (incoming) =>
    hooks.onAnswer(
      http1Response(incoming, {
        release: () => void socket.destroy(),
        cut: () => void outgoing.destroy(),
      }),
    ),
  );
  relayInformation(exchange, outgoing);
  // Stays for the life of the request: after the answer's header a failure shows on the answer's own stream.
  outgoing.on("error", hooks.onFailure);
  outgoing.once("close", () => {
    stop();
    hooks.onFailure();
  });
  outgoing.end();
  return {
    push(chunk) {
      if (!received.push(chunk)) socket.pause();
    },
    end(error) {
      if (error === undefined) received.push(null);
      else received.destroy(error);
    },
  };
}
