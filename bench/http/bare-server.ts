// The floor of the API: Node's HTTP server with nothing behind it. It reads a request and answers the bytes it was told
// to. A message sets the answer.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface BareAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

let answer: BareAnswer = { status: 503, headers: {}, body: new Uint8Array() };

const server = createServer((request, response) => {
  request.resume();
  request.once("end", () => {
    response.writeHead(answer.status, answer.headers);
    response.end(answer.body);
  });
});
process.on("message", (message: BareAnswer) => {
  answer = message;
  process.send?.("set");
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.send?.({ port });
});
