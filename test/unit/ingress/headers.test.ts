import assert from "node:assert/strict";
import { test } from "node:test";
import {
  requestFraming,
  requestHeaders,
  responseHeaders,
  trailerFields,
} from "../../../src/ingress/headers.ts";

const NONE = { kind: "none" } as const;

test("requestHeaders keeps end-to-end fields with their order, spelling and repetitions", () => {
  const raw = ["Host", "a:1", "X-B", "1", "x-b", "2", "Cookie", "c", "X-Forwarded-For", "1.2.3.4"];
  assert.deepEqual(requestHeaders({ raw, framing: NONE, requestId: "id" }), [
    ...raw,
    "x-amzn-requestid",
    "id",
  ]);
});

test("requestHeaders removes every x-aws-proxy field and the client's own request id", () => {
  const raw = [
    "X-AWS-Proxy-Auth",
    "secret",
    "x-aws-proxy-anything",
    "1",
    "X-Amzn-RequestId",
    "mine",
  ];
  assert.deepEqual(requestHeaders({ raw, framing: NONE, requestId: "id" }), [
    "x-amzn-requestid",
    "id",
  ]);
});

test("requestHeaders removes what belongs to the connection, listed fields included", () => {
  const raw = [
    "Connection",
    "close, X-Hop",
    "Keep-Alive",
    "5",
    "Proxy-Connection",
    "x",
    "Upgrade",
    "h2c",
  ];
  raw.push(
    "X-Hop",
    "1",
    "Connection",
    "HTTP2-Settings",
    "HTTP2-Settings",
    "AAA",
    "Proxy-Authorization",
    "p",
  );
  assert.deepEqual(requestHeaders({ raw, framing: NONE, requestId: "id" }), [
    "x-amzn-requestid",
    "id",
  ]);
});

test("requestHeaders does not let Connection remove what gives the message its meaning", () => {
  const raw = [
    "Connection",
    "host, authorization, cookie, x-amzn-requestid",
    "Host",
    "h",
    "Authorization",
    "a",
  ];
  assert.deepEqual(requestHeaders({ raw, framing: NONE, requestId: "id" }), [
    "Host",
    "h",
    "Authorization",
    "a",
    "x-amzn-requestid",
    "id",
  ]);
});

test("requestHeaders frames the body anew and passes on only the willingness to take trailers", () => {
  const raw = ["Transfer-Encoding", "Chunked", "TE", "gzip;q=1, trailers", "Trailer", "X-Sum"];
  assert.deepEqual(requestHeaders({ raw, framing: { kind: "chunked" }, requestId: "id" }), [
    "Trailer",
    "X-Sum",
    "TE",
    "trailers",
    "x-amzn-requestid",
    "id",
    "Transfer-Encoding",
    "chunked",
  ]);
  const framing = { kind: "length", bytes: "3" } as const;
  assert.deepEqual(requestHeaders({ raw: ["content-length", "3"], framing, requestId: "id" }), [
    "x-amzn-requestid",
    "id",
    "Content-Length",
    "3",
  ]);
});

test("requestHeaders asks for an upgrade with the application's own sub-protocols only", () => {
  const raw = [
    "Connection",
    "Upgrade",
    "Upgrade",
    "websocket",
    "Sec-WebSocket-Protocol",
    "lambda-microvms, chat",
  ];
  const fields = ["x-amzn-requestid", "id", "Connection", "Upgrade", "Upgrade", "websocket"];
  const upgrade = { protocol: "websocket", subprotocols: ["chat"] };
  assert.deepEqual(requestHeaders({ raw, framing: NONE, requestId: "id", upgrade }), [
    ...fields,
    "Sec-WebSocket-Protocol",
    "chat",
  ]);
  const none = { protocol: "websocket", subprotocols: [] };
  assert.deepEqual(requestHeaders({ raw, framing: NONE, requestId: "id", upgrade: none }), fields);
});

test("responseHeaders keeps repeated fields and leaves the connection's own out", () => {
  const raw = [
    "Set-Cookie",
    "a",
    "Set-Cookie",
    "b",
    "Connection",
    "close",
    "Keep-Alive",
    "timeout=5",
  ];
  raw.push("Content-Length", "3", "x-aws-proxy-error", "FORGED", "X-Amzn-RequestId", "app");
  assert.deepEqual(responseHeaders(raw, "id"), [
    "Set-Cookie",
    "a",
    "Set-Cookie",
    "b",
    "Content-Length",
    "3",
    "x-amzn-requestid",
    "id",
  ]);
});

test("responseHeaders promises no trailers for a message of known length", () => {
  const id = ["x-amzn-requestid", "id"];
  assert.deepEqual(responseHeaders(["Trailer", "X", "Transfer-Encoding", "chunked"], "id"), [
    "Trailer",
    "X",
    ...id,
  ]);
  assert.deepEqual(responseHeaders(["Trailer", "X", "Content-Length", "3"], "id"), [
    "Content-Length",
    "3",
    ...id,
  ]);
});

test("trailerFields drops fields that would change the message they follow", () => {
  const raw = [
    "X-Sum",
    "1",
    "Content-Length",
    "9",
    "Transfer-Encoding",
    "chunked",
    "Host",
    "evil",
    "x-aws-proxy-auth",
    "t",
  ];
  assert.deepEqual(trailerFields([...raw, "X-Sum", "2"]), [
    ["X-Sum", "1"],
    ["X-Sum", "2"],
  ]);
});

test("requestFraming reads one unambiguous framing", () => {
  assert.deepEqual(requestFraming([]), NONE);
  assert.deepEqual(requestFraming(["content-length", "12"]), { kind: "length", bytes: "12" });
  assert.deepEqual(requestFraming(["Transfer-Encoding", "Chunked"]), { kind: "chunked" });
});

test("requestFraming refuses framings that readers could understand differently", () => {
  const cases = [
    ["content-length", "1", "transfer-encoding", "chunked"],
    ["content-length", "1", "content-length", "1"],
    ["content-length", "1, 1"],
    ["content-length", "+1"],
    ["content-length", "0x1"],
    ["transfer-encoding", "chunked", "transfer-encoding", "identity"],
    ["transfer-encoding", "gzip, chunked"],
    ["transfer-encoding", "xchunked"],
  ];
  for (const raw of cases) assert.equal(requestFraming(raw), undefined, raw.join(" "));
});
