import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSubprotocols } from "../../../src/ingress/subprotocols.ts";

test("parseSubprotocols takes ours out in any order and keeps the application's", () => {
  assert.deepEqual(
    parseSubprotocols(
      "chat, lambda-microvms.port.9000,lambda-microvms.authentication.T , lambda-microvms, v2",
    ),
    { hasMarker: true, token: "T", port: "9000", foreign: ["chat", "v2"] },
  );
});

test("parseSubprotocols reads neither token nor port without the marker, and still removes them", () => {
  assert.deepEqual(
    parseSubprotocols("lambda-microvms.authentication.T, lambda-microvms.port.1, chat"),
    {
      hasMarker: false,
      token: undefined,
      port: undefined,
      foreign: ["chat"],
    },
  );
});

test("parseSubprotocols leaves names that only look similar to the application", () => {
  const { foreign } = parseSubprotocols("lambda-microvms2, lambda-microvms.other, Lambda-microvms");
  assert.deepEqual(foreign, ["lambda-microvms2", "lambda-microvms.other", "Lambda-microvms"]);
});

test("parseSubprotocols finds nothing in no header", () => {
  const nothing = { hasMarker: false, token: undefined, port: undefined, foreign: [] };
  assert.deepEqual(parseSubprotocols(undefined), nothing);
  assert.deepEqual(parseSubprotocols(" , "), nothing);
});
