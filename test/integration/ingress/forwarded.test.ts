// What an application learns of its client when proxies are named, over both HTTP versions.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { json } from "node:stream/consumers";
import { test } from "node:test";
import { ENDPOINT_HOST, fetchOnce, startHarness } from "./harness.ts";

const CLAIM = { "x-forwarded-for": "1.2.3.4", forwarded: "for=1.2.3.4" };

/** An application that tells which fields it got. */
const start = (forwardedFrom: string[]) =>
  startHarness({
    ...{ forwardedFrom, hasAccessLog: true },
    app: (request, response) => response.end(JSON.stringify(request.headers)),
  });

test("a client that is no proxy cannot say where it comes from", async () => {
  await using harness = await start(["192.0.2.0/24"]);
  const headers = { ...(await harness.credentials()), ...CLAIM };
  const seen = JSON.parse((await fetchOnce(harness, { headers })).body) as Record<string, string>;
  assert.equal(seen["x-forwarded-for"], "127.0.0.1");
  assert.equal(seen["x-forwarded-proto"], "https");
  assert.equal(seen["forwarded"], undefined);
});

test("a proxy's client is told to the application and to the access log", async () => {
  await using harness = await start(["127.0.0.0/8"]);
  const headers = { ...(await harness.credentials()), ...CLAIM };
  const seen = JSON.parse((await fetchOnce(harness, { headers })).body) as Record<string, string>;
  assert.equal(seen["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
  const line = harness.logLines.findLast((one) => one.includes('"message":"Request"')) ?? "{}";
  assert.equal((JSON.parse(line) as Record<string, unknown>)["clientAddress"], "1.2.3.4");
});

test("HTTP/2 is no way around it", async () => {
  await using harness = await start(["192.0.2.0/24"]);
  const { host, port } = harness.ingress.address;
  const options = { ca: harness.caCertificate, servername: ENDPOINT_HOST };
  const session = connect(`https://${host}:${port}`, options);
  const credentials = await harness.credentials();
  const stream = session.request({ ":authority": ENDPOINT_HOST, ...credentials, ...CLAIM });
  const seen = (await json(stream)) as Record<string, string>;
  assert.equal(seen["x-forwarded-for"], "127.0.0.1");
  session.close();
  await once(session, "close");
});
