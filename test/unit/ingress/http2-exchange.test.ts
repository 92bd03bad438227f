import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHeader } from "../../../src/http2/request-header.ts";
import type { ServerStream } from "../../../src/http2/stream.ts";
import { readHttp2Request } from "../../../src/ingress/http2-exchange.ts";
import { Http2Fields } from "../../../src/ingress/http2-fields.ts";
import { REFUSALS } from "../../../src/ingress/refusal.ts";

const HEADER: RequestHeader = {
  ...{ method: "GET", scheme: "https", path: "/", authority: "a.localhost" },
  ...{ protocol: undefined, fields: [], contentLength: undefined },
};

function read(changes: Partial<RequestHeader>, hasEnded = true, known = new Http2Fields()) {
  const request = readHttp2Request({ ...HEADER, ...changes }, { hasEnded } as ServerStream, known);
  return "kind" in request ? request : { ...request };
}

test("a header that was too large to be read is refused as that", () => {
  const stream = { hasEnded: true } as ServerStream;
  assert.equal(readHttp2Request(undefined, stream, new Http2Fields()), REFUSALS.headerTooLarge);
});

test("the target is a path, or the asterisk of OPTIONS", () => {
  for (const path of ["/", "/a?b", "/\xe9"]) assert.ok("path" in read({ path }), path);
  assert.ok("path" in read({ method: "OPTIONS", path: "*" }));
  for (const path of ["*", "a", "/ b", "https://a/", "/\t", undefined])
    assert.equal(read({ path }), REFUSALS.badRequest, path);
  assert.equal(read({ scheme: "ftp" }), REFUSALS.badRequest);
});

test("a host must say what the authority does", () => {
  assert.ok("path" in read({ fields: ["host", "A.localhost"] }));
  assert.equal(read({ fields: ["host", "b.localhost"] }), REFUSALS.badRequest);
  assert.equal(read({ fields: ["host", "a", "host", "a"], authority: "a" }), REFUSALS.badRequest);
  assert.equal(read({ authority: undefined }), REFUSALS.badRequest);
  const byHost = read({ authority: undefined, fields: ["host", "a.localhost"] });
  assert.equal("authority" in byHost && byHost.authority, "a.localhost");
});

test("fields cross with one Host in front and the crumbs of a cookie joined", () => {
  const fields = ["x-a", "1", "cookie", "a=b", "host", "a.localhost", "cookie", "c=d"];
  const request = read({ fields });
  assert.deepEqual("fields" in request && request.fields, [
    ...["Host", "a.localhost", "x-a", "1", "cookie", "a=b; c=d"],
  ]);
});

test("what is remembered of fields holds for the same list and authority alone", () => {
  const known = new Http2Fields();
  const fields = ["x-a", "1"];
  const first = read({ fields }, true, known);
  const again = read({ fields, path: "/other" }, false, known);
  const elsewhere = read({ fields, authority: "b.localhost" }, true, known);
  assert.ok("fields" in first && "fields" in again && "fields" in elsewhere);
  assert.equal(again.fields, first.fields);
  assert.deepEqual([first.framing.kind, again.framing.kind], ["none", "chunked"]);
  assert.deepEqual(elsewhere.fields.slice(0, 2), ["Host", "b.localhost"]);
});

test("a CONNECT is one of a WebSocket, whose hand-shake is made here", () => {
  const connect = { method: "CONNECT", protocol: "websocket" };
  const key = ["sec-websocket-key", "theirs", "sec-websocket-version", "13"];
  const request = read({ ...connect, fields: key }, false);
  assert.ok("fields" in request);
  assert.equal(request.method, "GET");
  assert.ok(request.webSocketKey !== undefined);
  assert.deepEqual(request.fields, [
    ...["Host", "a.localhost", "sec-websocket-version", "13"],
    ...["Sec-WebSocket-Key", request.webSocketKey],
  ]);
  assert.equal(read(connect, true), REFUSALS.badRequest, "its stream has ended");
  assert.equal(read({ ...connect, protocol: undefined }, false), REFUSALS.badRequest);
  assert.equal(read({ ...connect, protocol: "connect-udp" }, false), REFUSALS.protocolUnknown);
  const length = ["content-length", "1"];
  assert.equal(read({ ...connect, fields: length }, false), REFUSALS.badRequest);
});
