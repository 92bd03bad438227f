import assert from "node:assert/strict";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { describe, it } from "node:test";
import { createBodyReader } from "../../../src/api/body.ts";

const LIMITS = { maxBytes: 10, smallBytes: 2, totalBytes: 15, timeoutMs: 60_000 };

/** A request with a body that is framed somehow. */
function incoming(
  headers: Record<string, string> = { "transfer-encoding": "chunked" },
): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  Object.assign(request.headers, headers);
  return request;
}

describe("body reader", () => {
  it("joins the chunks of a body", async () => {
    const request = incoming();
    const read = createBodyReader(LIMITS).read(request);
    request.push("01234");
    request.push("56789");
    request.push(null);
    assert.equal((await read).toString(), "0123456789");
  });

  it("refuses a body over the limit once it has passed", async () => {
    const request = incoming();
    const read = createBodyReader(LIMITS).read(request);
    request.push("0123456789");
    request.push("!");
    request.push(null);
    await assert.rejects(read, {
      code: "VALIDATION_FAILED",
      details: { exception: "RequestEntityTooLargeException" },
    });
    assert.ok(request.readableEnded, "the client has been read to its end");
  });

  it("refuses a body that announces too much even when less comes", async () => {
    const request = incoming({ "content-length": "11" });
    const read = createBodyReader(LIMITS).read(request);
    request.push(null);
    await assert.rejects(read, { details: { exception: "RequestEntityTooLargeException" } });
  });

  it("stops reading a body that never ends", async () => {
    const request = incoming();
    const read = createBodyReader(LIMITS).read(request);
    const chunk = Buffer.alloc(1024 * 1024);
    for (let megabytes = 0; megabytes < 20; megabytes += 1) request.push(chunk);
    await assert.rejects(read, { details: { exception: "RequestEntityTooLargeException" } });
  });

  it("throttles when all bodies together take too much memory, and recovers", async () => {
    const reader = createBodyReader(LIMITS);
    const [first, second, third] = [incoming(), incoming(), incoming()];
    const reads = [reader.read(first), reader.read(second)];
    const refused = assert.rejects(reads[1] ?? Promise.resolve(), { code: "THROTTLED" });
    first.push("0123456789");
    second.push("0123456789");
    second.push(null);
    await refused;
    first.push(null);
    assert.equal((await reads[0])?.length, 10);
    const read = reader.read(third);
    third.push("0123456789");
    third.push(null);
    assert.equal((await read).length, 10);
  });

  it("takes a small body whatever the others hold", async () => {
    const reader = createBodyReader({ ...LIMITS, totalBytes: 0 });
    const request = incoming();
    const read = reader.read(request);
    request.push("01");
    request.push(null);
    assert.equal((await read).toString(), "01");
  });

  it("gives up on a body that does not come", async () => {
    const read = createBodyReader({ ...LIMITS, timeoutMs: 1 }).read(incoming());
    await assert.rejects(read, { details: { exception: "RequestTimeoutException" } });
  });

  it("rejects when the client leaves", async () => {
    const request = incoming();
    const read = createBodyReader(LIMITS).read(request);
    request.push("01");
    request.destroy();
    await assert.rejects(read, /left before/);
  });

  it("does not wait for a body that the request does not frame", async () => {
    const read = createBodyReader(LIMITS).read(incoming({ "content-length": "0" }));
    assert.equal((await read).length, 0);
    assert.equal((await createBodyReader(LIMITS).read(incoming({}))).length, 0);
  });

  it("discards without complaint", async () => {
    const request = incoming();
    const discarded = createBodyReader({ ...LIMITS, timeoutMs: 1 }).discard(request);
    request.push("0".repeat(100));
    await assert.doesNotReject(discarded);
  });
});
