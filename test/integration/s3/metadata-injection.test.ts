// User metadata in the query of a presigned upload, where it may hold what no header can.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CreateBucketCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { send } from "./raw.ts";
import { startService, type TestService } from "./service.ts";

const Bucket = "artifacts";
let service: TestService;
before(async () => {
  service = await startService();
  await service.s3.send(new CreateBucketCommand({ Bucket }));
});
after(() => service[Symbol.asyncDispose]());

for (const [what, parameter] of [
  ["a line end in its value", "x-amz-meta-a=1%0D%0ASet-Cookie%3A%20b%3D1"],
  ["characters that no header has", "x-amz-meta-a=%E2%82%AC"],
  ["a line end in its name", "x-amz-meta-a%0D%0Ab=1"],
  ["a blank in its name", "x-amz-meta-a%20b=1"],
] as const)
  test(`metadata with ${what} is refused, as it could never be answered`, async () => {
    const target = `/${Bucket}/key?${parameter}`;
    const answer = await send(service.endpoint, { method: "PUT", target, body: Buffer.from("x") });
    assert.deepEqual([answer.status, answer.code], [400, "InvalidArgument"]);
    const { KeyCount } = await service.s3.send(new ListObjectsV2Command({ Bucket }));
    assert.equal(KeyCount, 0);
  });
