// A client that resets its connection right after its request: the request has arrived, but whose it is cannot be asked
// any more. It must not reach the application with the address that the client claims, nor without any.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { ENDPOINT_HOST, startHarness } from "./harness.ts";

const ATTEMPTS = 20;

test("a client that is gone when it is looked at has claimed nothing", async () => {
  const seen: unknown[] = [];
  await using harness = await startHarness({
    ...{ forwardedFrom: ["192.0.2.0/24"], hasAccessLog: true },
    app(request, response) {
      seen.push(request.headers["x-forwarded-for"]);
      response.end();
    },
  });
  const credentials = Object.entries(await harness.credentials());
  const fields = credentials.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const request = `POST / HTTP/1.1\r\nHost: ${ENDPOINT_HOST}\r\n${fields}X-Forwarded-For: 1.1.1.1\r\nContent-Length: 0\r\n\r\n`;
  const ca = harness.caCertificate;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const socket = connectPlain(harness.ingress.address);
    const tls = connectTls({ socket, ca, servername: ENDPOINT_HOST });
    for (const end of [socket, tls]) end.on("error", () => undefined);
    tls.once("secureConnect", () => {
      tls.write(request);
      socket.resetAndDestroy();
    });
    await once(socket, "close");
  }
  await delay(200);
  assert.deepEqual(
    seen.filter((address) => address !== "127.0.0.1"),
    [],
  );
  const lines = harness.logLines.filter((line) => line.includes('"message":"Request"'));
  assert.ok(lines.every((line) => line.includes('"clientAddress":"127.0.0.1"')));
  assert.equal(harness.ingress.countConnections(), 0);
});
