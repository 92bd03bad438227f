import assert from "node:assert/strict";
import { test } from "node:test";
import { isTrailer, RequestHeaderReader } from "../../../src/http2/request-header.ts";

const LINE = [":method", "GET", ":scheme", "https", ":path", "/", ":authority", "localhost"];

const read = (pseudo: readonly string[], fields: readonly string[] = []) =>
  new RequestHeaderReader().read({ pseudo, fields, isTooLarge: false });
/** The request line with one of its fields otherwise. */
const lineWith = (name: string, value?: string) => {
  const others = LINE.filter((_text, index) => LINE[index - (index % 2)] !== name);
  return value === undefined ? others : [...others, name, value];
};

test("a well-formed header is read into its parts", () => {
  const fields = ["x-a", "b", "content-length", "12", "te", "trailers"];
  assert.deepEqual(read(LINE, fields), {
    ...{ method: "GET", scheme: "https", path: "/", authority: "localhost", protocol: undefined },
    ...{ fields, contentLength: 12 },
  });
});

test("a request line has each field once and no other", () => {
  for (const name of [":method", ":scheme", ":path"])
    assert.equal(read(lineWith(name)), undefined, `no ${name}`);
  assert.ok(read(lineWith(":authority")), "a Host may stand for it");
  for (const name of [":method", ":scheme", ":path", ":authority"])
    assert.equal(read([...LINE, name, "a"]), undefined, `two of ${name}`);
  assert.equal(read([...LINE, ":status", "200"]), undefined);
  assert.equal(read([...LINE, ":x", "y"]), undefined);
  assert.equal(read([...LINE, ":protocol", "websocket"]), undefined, "only with CONNECT");
});

test("values of a request line hold nothing that would end it", () => {
  for (const value of ["", "GET / X", "G\r\nX: y", "G\0"])
    assert.equal(read(lineWith(":method", value)), undefined, JSON.stringify(value));
  for (const value of ["", "/\r\nX: y", "/\0", " /", "/ "])
    assert.equal(read(lineWith(":path", value)), undefined, JSON.stringify(value));
});

test("CONNECT names an authority, and a path only with a protocol", () => {
  const connect = [":method", "CONNECT", ":authority", "localhost:80"];
  assert.equal(read(connect)?.method, "CONNECT");
  assert.equal(read([...connect, ":path", "/"]), undefined);
  assert.equal(read([...connect, ":scheme", "https"]), undefined);
  assert.equal(read([":method", "CONNECT"]), undefined);
  const webSocket = [...lineWith(":method", "CONNECT"), ":protocol", "websocket"];
  assert.equal(read(webSocket)?.protocol, "websocket");
  assert.equal(read([...connect, ":protocol", "websocket"]), undefined);
});

test("regular fields are lower case, clean, and none of HTTP/1.1's own", () => {
  const bad = [
    ["X-A", "b"],
    ["x a", "b"],
    ["", "b"],
    [":path", "/late"],
    ["x-a", "b\r\nx: y"],
    ["x-a", "b\0"],
    ["x-a", "\x7f"],
    ["x-a", " b"],
    ["x-a", "b\t"],
    ["connection", "close"],
    ["keep-alive", "timeout=1"],
    ["proxy-connection", "close"],
    ["transfer-encoding", "chunked"],
    ["upgrade", "h2c"],
    ["te", "gzip"],
    ["content-length", "-1"],
    ["content-length", "1,1"],
    ["content-length", "1", "content-length", "1"],
  ];
  for (const fields of bad) assert.equal(read(LINE, fields), undefined, fields.join(": "));
  for (const value of ["", "b", "b c", "b\tc", "\xe9", "a".repeat(30_000)])
    assert.ok(read(LINE, ["x-a", value]), JSON.stringify(value.slice(0, 10)));
});

test("the same list of fields is judged as before, another anew", () => {
  const reader = new RequestHeaderReader();
  const [good, bad] = [
    ["content-length", "1"],
    ["connection", "close"],
  ];
  for (const [fields, length] of [
    ...[[good, 1] as const, [good, 1] as const, [bad, undefined] as const],
    ...[[bad, undefined] as const, [good, 1] as const],
  ])
    assert.equal(
      reader.read({ pseudo: LINE, fields, isTooLarge: false })?.contentLength,
      length,
      fields.join(": "),
    );
  assert.equal(reader.read({ pseudo: [], fields: good, isTooLarge: false }), undefined);
});

test("trailers are regular fields alone", () => {
  const isOne = (pseudo: string[], fields: string[]) =>
    isTrailer({ pseudo, fields, isTooLarge: false });
  assert.ok(isOne([], ["x-sum", "1"]));
  assert.ok(isOne([], []));
  assert.ok(!isOne([":path", "/"], []));
  assert.ok(!isOne([], ["x-sum", "1", ":path", "/"]));
  assert.ok(!isOne([], ["X-Sum", "1"]));
});
