// Documents that are well-formed and yet not meant for a parser's good.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { send } from "./raw.ts";
import { startService, type TestService } from "./service.ts";

let service: TestService;
before(async () => {
  service = await startService();
  await service.s3.send(new CreateBucketCommand({ Bucket: "artifacts" }));
});
after(() => service[Symbol.asyncDispose]());

const nested = (depth: number) => "<a>".repeat(depth) + "</a>".repeat(depth);
const OBJECT = "<Object><Key>a</Key></Object>";

for (const [what, document] of [
  ["nests 1,000 elements", `<Delete>${nested(1000)}${OBJECT}</Delete>`],
  ["nests 50,000 elements", `<Delete>${nested(50_000)}${OBJECT}</Delete>`],
  ["has an element __proto__", `<Delete><__proto__><Key>a</Key></__proto__>${OBJECT}</Delete>`],
  ["has an element constructor", `<Delete><constructor>1</constructor>${OBJECT}</Delete>`],
  ["has a root __proto__", `<__proto__>${OBJECT}</__proto__>`],
] as const)
  test(`a document that ${what} is refused as one, not as a failure of the service`, async () => {
    const answer = await send(service.endpoint, {
      method: "POST",
      target: "/artifacts?delete",
      headers: { "content-md5": createHash("md5").update(document).digest("base64") },
      body: Buffer.from(document),
    });
    assert.deepEqual([answer.status, answer.code], [400, "MalformedXML"]);
  });
