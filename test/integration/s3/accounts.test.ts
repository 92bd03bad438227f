// Buckets are an account's own: another may have one of the same name and sees nothing of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { OTHER_CREDENTIALS, startService } from "./service.ts";

const Bucket = "artifacts";
const Key = "app.zip";

async function textOf(s3: S3Client): Promise<string | undefined> {
  return (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body?.transformToString();
}

test("buckets and objects of two accounts are apart", async () => {
  await using service = await startService();
  const { s3 } = service;
  const other = service.client({ credentials: OTHER_CREDENTIALS });
  await s3.send(new CreateBucketCommand({ Bucket }));
  await s3.send(new PutObjectCommand({ Bucket, Key, Body: "ours" }));
  await assert.rejects(other.send(new HeadBucketCommand({ Bucket })), { name: "NotFound" });
  await assert.rejects(textOf(other), { name: "NoSuchBucket" });
  assert.deepEqual((await other.send(new ListBucketsCommand({}))).Buckets ?? [], []);
  await other.send(new CreateBucketCommand({ Bucket }));
  await assert.rejects(textOf(other), { name: "NoSuchKey" });
  assert.equal((await other.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 0);
  await other.send(new PutObjectCommand({ Bucket, Key, Body: "theirs" }));
  assert.deepEqual([await textOf(s3), await textOf(other)], ["ours", "theirs"]);
  await assert.rejects(other.send(new DeleteBucketCommand({ Bucket })), {
    name: "BucketNotEmpty",
  });
  other.destroy();
});
