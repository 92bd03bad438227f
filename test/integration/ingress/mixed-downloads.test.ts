// Buffers go round among the connections to applications: whatever clients do meanwhile, each gets its own body.

import assert from "node:assert/strict";
import { connect } from "node:http2";
import { Agent, request } from "node:https";
import { Readable } from "node:stream";
import { test } from "node:test";
import { ENDPOINT_HOST, type Harness, startHarness } from "./harness.ts";

const BODY_BYTES = 2 * 1024 * 1024;
const PIECE_BYTES = 9 * 1024;
const CLIENTS = 12;
const DOWNLOADS = 4;

/** A body that is one character, that of the path; in pieces of which several wait for a slow client at once. */
async function* piecesOf(character: string) {
  for (let left = BODY_BYTES; left > 0; left -= PIECE_BYTES) {
    yield Buffer.alloc(Math.min(left, PIECE_BYTES), character);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Reads as a client does that is in no hurry, or gives up midway; throws for a byte of somebody else's. */
async function check(body: Readable, character: string, isPatient: boolean): Promise<void> {
  const expected = character.charCodeAt(0);
  let length = 0;
  for await (const chunk of body) {
    const bytes = chunk as Buffer;
    const strange = bytes.findIndex((byte) => byte !== expected);
    assert.equal(strange, -1, `byte ${length + strange} of ${character} is another's`);
    length += bytes.length;
    if (!isPatient && length > BODY_BYTES / 3) return;
    if (length % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(length, BODY_BYTES);
}

async function downloadByHttp1(harness: Harness, character: string): Promise<void> {
  const { host, port } = harness.ingress.address;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const headers = { host: ENDPOINT_HOST, ...(await harness.credentials()) };
  for (let count = 0; count < DOWNLOADS; count += 1) {
    const response = await new Promise<Readable>((resolve, reject) => {
      request({
        ...{ host, port, agent, headers, path: `/${character}`, ca: harness.caCertificate },
        servername: ENDPOINT_HOST,
      })
        .once("response", resolve)
        .once("error", reject)
        .end();
    });
    await check(response, character, count % 2 === 0);
  }
  agent.destroy();
}

async function downloadByHttp2(harness: Harness, character: string): Promise<void> {
  const { host, port } = harness.ingress.address;
  const ca = harness.caCertificate;
  const session = connect(`https://${host}:${port}`, { servername: ENDPOINT_HOST, ca });
  const credentials = await harness.credentials();
  for (let count = 0; count < DOWNLOADS; count += 1) {
    const fields = { ":path": `/${character}`, ":authority": ENDPOINT_HOST, ...credentials };
    const streams = [session.request(fields), session.request(fields)];
    await Promise.all(streams.map((stream) => check(stream, character, count % 2 === 0)));
  }
  session.destroy();
}

test("many downloads at once, some of them given up, do not mix", async () => {
  await using harness = await startHarness({
    app: (incoming, response) => {
      response.setHeader("Content-Length", BODY_BYTES);
      Readable.from(piecesOf(incoming.url?.at(1) ?? "?")).pipe(response);
    },
  });
  const characters = Array.from({ length: CLIENTS }, (_, index) =>
    String.fromCharCode("a".charCodeAt(0) + index),
  );
  await Promise.all(
    characters.map((character, index) =>
      index % 2 === 0 ? downloadByHttp1(harness, character) : downloadByHttp2(harness, character),
    ),
  );
});
