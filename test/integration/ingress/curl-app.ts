// An application with a way of answering for each thing that curl can be asked to do.

import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { gzipSync } from "node:zlib";

const LETTERS = "abcdefghijklmnopqrstuvwxyz".repeat(40);
/** What the client said of the message, and not of its connection. */
const TOLD = /^(?:accept|accept-encoding|content-.*|cookie|if-.*|range|referer|x-empty)$/;

export class CurlApp {
  /** `go` has an open `/events` tell its next one. */
  readonly events = new EventEmitter<{ go: [] }>();
  /** Requests that have asked whether they may send their body. */
  expecting = 0;

  readonly answer = (request: IncomingMessage, response: ServerResponse): void => {
    void this.#answer(request, response).catch(() => response.destroy());
  };

  /** Refuses some bodies before they are sent. */
  refuseOn(server: Server): void {
    server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      this.expecting += 1;
      const status = /^\/refuse\/(\d+)$/.exec(request.url ?? "")?.[1];
      if (status !== undefined) return void response.writeHead(Number(status)).end("refused");
      response.writeContinue();
      this.answer(request, response);
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { headers, method, url = "" } = request;
    switch (url) {
      case "/trailers":
        response.writeHead(200, { trailer: "x-digest" });
        response.write("a body");
        response.addTrailers({ "x-digest": "of it" });
        return void response.end();
      case "/events":
        return this.#tellEvents(response);
      case "/nothing":
        return void response.writeHead(204, { "x-app": "nothing" }).end();
      case "/cached": {
        const isKnown = headers["if-none-match"] === '"one"';
        response.writeHead(isKnown ? 304 : 200, { etag: '"one"' });
        return void response.end(isKnown ? undefined : "fresh");
      }
      case "/letters":
        return answerRange(headers.range, response);
      case "/packed":
        if (headers["accept-encoding"]?.includes("gzip") !== true)
          return void response.end(LETTERS);
        return void response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(LETTERS));
      case "/moved":
        return void response.writeHead(307, { location: "/echo" }).end();
      default: {
        const digest = createHash("sha256");
        await pipeline(request, digest);
        const told = Object.entries(headers).filter(([name]) => TOLD.test(name));
        told.sort(([one], [other]) => one.localeCompare(other));
        response.writeHead(200, [
          ...["content-type", "application/json"],
          ...["set-cookie", "a=1", "set-cookie", "b=2"],
        ]);
        const body = digest.digest("hex");
        response.end(JSON.stringify({ method, url, told: Object.fromEntries(told), body }));
      }
    }
  }

  async #tellEvents(response: ServerResponse): Promise<void> {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const name of ["first", "second"]) {
      const isWanted = once(this.events, "go");
      response.write(`data: ${name}\n\n`);
      await isWanted;
    }
    response.end();
  }
}

function answerRange(range: string | undefined, response: ServerResponse): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  const total = LETTERS.length;
  if (from === undefined || to === undefined) {
    response.writeHead(200, { "content-length": total, "accept-ranges": "bytes" }).end(LETTERS);
    return;
  }
  if (Number(from) >= total) {
    response.writeHead(416, { "content-range": `bytes */${total}` }).end();
    return;
  }
  response.writeHead(206, { "content-range": `bytes ${from}-${to}/${total}` });
  response.end(LETTERS.slice(Number(from), Number(to) + 1));
}
