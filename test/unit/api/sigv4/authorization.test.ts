import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  createAuthorizationReader,
  readAuthorization,
} from "../../../../src/api/sigv4-authorization.ts";

const digest = (digit: string) => digit.repeat(64);

function header(options: { key?: string; names?: string; signature?: string } = {}): string {
  const { key = "AKIAEXAMPLE", names = "host;x-amz-date", signature = digest("a") } = options;
  const credential = `${key}/20261001/eu-west-1/lambda/aws4_request`;
  return `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
}

describe("createAuthorizationReader", () => {
  it("reads what the plain reader reads, the first time and again", () => {
    const read = createAuthorizationReader();
    const headers = [
      header(),
      header({ signature: digest("b") }),
      header({ key: "AKIAOTHER", signature: digest("b") }),
      header({ names: "host", signature: digest("c") }),
      header({ signature: "short" }),
      header({ signature: digest("A") }),
    ];
    for (const authorization of [...headers, ...headers])
      assert.deepEqual(read(authorization), readAuthorization(authorization));
  });

  it("takes no end of another field for the signature", () => {
    const read = createAuthorizationReader();
    const odd = (end: string) => header({ signature: `ab, Other=Signature=${end}` });
    for (const end of ["a", "b"])
      assert.deepEqual(read(odd(digest(end))), readAuthorization(odd(digest(end))));
    assert.equal(read(odd(digest("b"))).signature, "ab");
  });

  it("refuses what the plain reader refuses, again and again", () => {
    const read = createAuthorizationReader();
    read(header());
    const twice = header({ signature: `${digest("a")}, Signature=${digest("b")}` });
    const names = header({ names: "host;;" });
    for (const authorization of [twice, names, twice, names, "AWS4-X", `Signature=${digest("a")}`])
      assert.throws(() => read(authorization), { code: "ACCESS_DENIED" });
  });

  it("still reads rightly when more kinds of headers came than it remembers", () => {
    const read = createAuthorizationReader();
    for (let number = 0; number < 600; number++) {
      const authorization = header({ key: `AKIA${number}` });
      assert.equal(read(authorization).accessKeyId, `AKIA${number}`);
    }
    assert.equal(read(header({ key: "AKIA0" })).accessKeyId, "AKIA0");
  });
});
