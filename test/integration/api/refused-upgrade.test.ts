// Requests after one that asks for an upgrade: the parser loses what came in the same packet, so that the rest of a
// request, its body for example, would be read as another request.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { type Harness, startHarness } from "./harness.ts";

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
const HEAD = `POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: ${HIDDEN.length}\r\n\r\n`;

for (const protocol of ["h2c", "websocket"])
  test(`the body of a request after an upgrade to ${protocol} is not read as a request`, async () => {
    const socket = connect(harness.port, "127.0.0.1");
    socket.on("error", () => undefined);
    let answers = "";
    socket.on("data", (chunk: Buffer) => (answers += chunk.toString("latin1")));
    const fields = `Host: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
    socket.write(`GET /health HTTP/1.1\r\n${fields}\r\n${HEAD}`);
    await once(socket, "data");
    socket.end(HIDDEN);
    await once(socket, "close");
    assert.deepEqual(answers.match(/^HTTP\/1\.1 \d+|^connection: close/gim), [
      "HTTP/1.1 200",
      "connection: close",
    ]);
  });
