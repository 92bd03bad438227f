import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { jsonOf, JsonText, rememberTexts } from "../../../src/api/json-text.ts";

describe("rememberTexts", () => {
  it("makes the text of a record once, and that of its replacement anew", () => {
    let made = 0;
    const textOf = rememberTexts(({ state }: { readonly state: string }) => {
      made += 1;
      return { state };
    });
    const [pending, running] = [{ state: "PENDING" }, { state: "RUNNING" }];
    assert.equal(textOf(pending).text, '{"state":"PENDING"}');
    assert.equal(textOf(pending).text, '{"state":"PENDING"}');
    assert.equal(textOf(running).text, '{"state":"RUNNING"}');
    assert.equal(textOf({ ...running }).text, '{"state":"RUNNING"}');
    assert.equal(made, 3);
  });
});

describe("jsonOf", () => {
  it("takes text as it is and makes that of everything else", () => {
    assert.equal(jsonOf(new JsonText('{"a":1}')), '{"a":1}');
    assert.equal(jsonOf({ a: null }), '{"a":null}');
  });
});
