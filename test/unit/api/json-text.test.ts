import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createTexts, jsonOf, JsonText } from "../../../src/api/json-text.ts";

describe("createTexts", () => {
  it("makes the text of a record once, and that of its replacement anew", () => {
    const textOf = createTexts<{ readonly state: string }>();
    let made = 0;
    const ask = (record: { readonly state: string }) =>
      textOf(record, () => {
        made += 1;
        return { state: record.state };
      }).text;
    const [pending, running] = [{ state: "PENDING" }, { state: "RUNNING" }];
    assert.equal(ask(pending), '{"state":"PENDING"}');
    assert.equal(ask(pending), '{"state":"PENDING"}');
    assert.equal(ask(running), '{"state":"RUNNING"}');
    assert.equal(ask({ ...running }), '{"state":"RUNNING"}');
    assert.equal(made, 3);
  });
});

describe("jsonOf", () => {
  it("takes text as it is and makes that of everything else", () => {
    assert.equal(jsonOf(new JsonText('{"a":1}')), '{"a":1}');
    assert.equal(jsonOf({ a: null }), '{"a":null}');
  });
});
