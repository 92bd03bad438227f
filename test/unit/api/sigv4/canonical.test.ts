// Canonical requests after the cases of AWS's published test suite, with its key, date and service.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  canonicalHeaderValue,
  canonicalPathOnce,
  canonicalPathTwice,
  canonicalQuery,
  canonicalRequest,
  headerValues,
  parseQuery,
} from "../../../../src/api/sigv4-canonical.ts";
import { verifySignature } from "../../../../src/api/sigv4.ts";

const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

describe("verifySignature", () => {
  it("accepts the published example of a vanilla GET", () => {
    const deps = {
      findKey: (id: string) =>
        id === "AKIDEXAMPLE"
          ? { secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", account: "1" }
          : undefined,
      now: () => Date.UTC(2015, 7, 30, 12, 36, 0),
    };
    const headers = {
      host: "example.amazonaws.com",
      "x-amz-date": "20150830T123600Z",
      authorization:
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    };
    assert.equal(verifySignature(deps, { method: "GET", url: "/", headers }).service, "service");
  });
});

describe("canonicalRequest", () => {
  it("has the six parts of the specification", () => {
    const headers = headerValues(["Host", "h", "My-Header1", "  a   b   c ", "My-Header1", "d"]);
    assert.equal(
      canonicalRequest({
        ...{ method: "GET", path: "/", query: "a=1", headers, payloadHash: EMPTY_SHA256 },
        signedHeaders: ["host", "my-header1"],
      }),
      `GET\n/\na=1\nhost:h\nmy-header1:a b c,d\n\nhost;my-header1\n${EMPTY_SHA256}`,
    );
  });
});

describe("canonicalQuery", () => {
  const cases: Record<string, string> = {
    "": "",
    "Param2=value2&Param1=value1": "Param1=value1&Param2=value2",
    "Param1=value2&Param1=value1": "Param1=value1&Param1=value2",
    "p=1&P=1&_=1": "P=1&_=1&p=1",
    uploads: "uploads=",
    "a&b=&&=c": "=c&a=&b=",
    "a=x=y": "a=x%3Dy",
    "a=b+c": "a=b%20c",
    "a=%e1%88%b4": "a=%E1%88%B4",
    "-._~0AZaz=-._~0AZaz": "-._~0AZaz=-._~0AZaz",
    "a=%2F*'!()": "a=%2F%2A%27%21%28%29",
    // A name that another one begins with sorts by name alone, not by what follows it.
    "a-b=1&a=2": "a=2&a-b=1",
  };
  for (const [query, expected] of Object.entries(cases))
    it(`of "${query}" is "${expected}"`, () => {
      assert.equal(canonicalQuery(parseQuery(query) ?? []), expected);
    });
});

describe("canonical paths", () => {
  const cases: [path: string, once: string, twice: string][] = [
    ["/", "/", "/"],
    ["/a/../b", "/a/../b", "/b"],
    ["/..", "/..", "/"],
    ["/./", "/./", "/"],
    ["//example//", "//example//", "/example/"],
    ["/example space/", "/example%20space/", "/example%20space/"],
    ["/a%20b", "/a%20b", "/a%2520b"],
    ["/a%2Fb", "/a/b", "/a%252Fb"],
    ["/a+b", "/a%2Bb", "/a%2Bb"],
    ["/%7Ea~", "/~a~", "/%257Ea~"],
    ["/\u00e1\u0088\u00b4", "/%E1%88%B4", "/%E1%88%B4"],
  ];
  for (const [path, once, twice] of cases)
    it(`of "${path}" are "${once}" and "${twice}"`, () => {
      assert.equal(canonicalPathOnce(path), once);
      assert.equal(canonicalPathTwice(path), twice);
    });

  it("of a broken escape do not exist", () => {
    assert.equal(canonicalPathOnce("/%4"), undefined);
    assert.equal(parseQuery("a=%G0"), undefined);
  });
});

describe("canonicalHeaderValue", () => {
  it("trims, folds blanks and joins", () => {
    assert.equal(canonicalHeaderValue(["  a  b ", "c\t\td", ""]), "a b,c d,");
  });
});
