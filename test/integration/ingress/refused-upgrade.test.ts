// Requests after one for an upgrade that is never made: the parser loses what came in the same packet, so that the rest
// of a request, its body for example, would be read as another request.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { startHarness } from "./harness.ts";

test("the body of a request after a refused upgrade is not read as a request", async () => {
  const seen: string[] = [];
  await using harness = await startHarness({
    app(request, response) {
      seen.push(request.url ?? "");
      response.end("seen");
    },
  });
  const credentials = Object.entries(await harness.credentials());
  const fields = credentials.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = `HTTP/1.1\r\nHost: localhost\r\n${fields}`;
  const hidden = `GET /hidden ${head}\r\n`;
  const socket = await harness.connect();
  socket.on("error", () => undefined);
  socket.write(
    `GET /first ${head}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n` +
      `POST /second ${head}Content-Length: ${hidden.length}\r\n\r\n`,
  );
  await once(socket, "data");
  socket.end(hidden);
  if (!socket.closed) await once(socket, "close");
  assert.ok(!seen.includes("/hidden"), seen.join());
});
