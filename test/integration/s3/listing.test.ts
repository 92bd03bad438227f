// Listing and deleting many objects, through the SDK's client.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateBucketCommand,
  DeleteObjectsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  paginateListObjectsV2,
  PutObjectCommand,
  type ListObjectsV2CommandInput,
} from "@aws-sdk/client-s3";
import { startService, type TestService } from "./service.ts";

const Bucket = "artifacts";
const KEYS = ["a b+c", "dir/1", "dir/2", "dir/sub/3", "é/\u{1f600}", "zip"];
let service: TestService;
before(async () => {
  service = await startService();
  await service.s3.send(new CreateBucketCommand({ Bucket }));
  for (const Key of KEYS)
    await service.s3.send(new PutObjectCommand({ Bucket, Key, Body: `<${Key}>` }));
});
after(() => service[Symbol.asyncDispose]());

async function list(rest: Partial<ListObjectsV2CommandInput> = {}) {
  const page = await service.s3.send(new ListObjectsV2Command({ Bucket, ...rest }));
  return {
    ...page,
    keys: page.Contents?.map(({ Key }) => Key) ?? [],
    prefixes: page.CommonPrefixes?.map(({ Prefix }) => Prefix) ?? [],
  };
}

describe("ListObjectsV2", () => {
  it("lists all keys in byte order", async () => {
    const page = await list();
    assert.deepEqual(page.keys, ["a b+c", "dir/1", "dir/2", "dir/sub/3", "zip", "é/\u{1f600}"]);
    assert.equal(page.KeyCount, KEYS.length);
    assert.equal(page.IsTruncated, false);
    assert.equal(page.Contents?.[1]?.Size, 7);
  });

  it("rolls up by delimiter below a prefix", async () => {
    const top = await list({ Delimiter: "/" });
    assert.deepEqual(
      [top.keys, top.prefixes],
      [
        ["a b+c", "zip"],
        ["dir/", "é/"],
      ],
    );
    const below = await list({ Delimiter: "/", Prefix: "dir/" });
    assert.deepEqual([below.keys, below.prefixes], [["dir/1", "dir/2"], ["dir/sub/"]]);
  });

  it("goes on from page to page", async () => {
    const pages = paginateListObjectsV2({ client: service.s3, pageSize: 2 }, { Bucket });
    const keys: (string | undefined)[] = [];
    for await (const { Contents = [], KeyCount = 0 } of pages) {
      assert.ok(KeyCount <= 2);
      keys.push(...Contents.map(({ Key }) => Key));
    }
    assert.deepEqual(keys.sort(), [...KEYS].sort());
  });

  it("starts after a key", async () => {
    assert.deepEqual((await list({ StartAfter: "dir/2" })).keys, [
      "dir/sub/3",
      "zip",
      "é/\u{1f600}",
    ]);
  });

  it("escapes keys when asked to", async () => {
    const { keys } = await list({ EncodingType: "url", Prefix: "a" });
    assert.deepEqual(keys, ["a+b%2Bc"]);
  });

  it("refuses nonsense", async () => {
    const refused = (error: unknown) => error instanceof Error && error.name === "InvalidArgument";
    await assert.rejects(list({ MaxKeys: -1 }), refused);
    await assert.rejects(list({ ContinuationToken: "!" }), refused);
  });
});

describe("ListObjects", () => {
  it("lists in the older version, too", async () => {
    const first = await service.s3.send(new ListObjectsCommand({ Bucket, MaxKeys: 2 }));
    assert.deepEqual([first.IsTruncated, first.NextMarker], [true, "dir/1"]);
    const second = await service.s3.send(
      new ListObjectsCommand({ Bucket, Marker: "dir/1", Delimiter: "/" }),
    );
    assert.deepEqual(
      second.CommonPrefixes?.map(({ Prefix }) => Prefix),
      ["dir/", "é/"],
    );
  });
});

describe("DeleteObjects", () => {
  const remove = (keys: string[], Quiet = false) =>
    service.s3.send(
      new DeleteObjectsCommand({
        Bucket,
        Delete: { Objects: keys.map((Key) => ({ Key })), Quiet },
      }),
    );

  it("deletes what is named and nothing else", async () => {
    const odd = ["x&<y>", "x", "\u0001x"];
    for (const Key of odd) await service.s3.send(new PutObjectCommand({ Bucket, Key, Body: "" }));
    const { Deleted = [], Errors } = await remove(["x&<y>", "never was"]);
    assert.deepEqual(
      Deleted.map(({ Key }) => Key),
      ["x&<y>", "never was"],
    );
    assert.equal(Errors, undefined);
    const { keys } = await list();
    assert.ok(keys.includes("x") && keys.includes("dir/1") && !keys.includes("x&<y>"));
    assert.deepEqual((await remove(["x"], true)).Deleted ?? [], []);
  });

  it("refuses more than a thousand at once", async () => {
    const many = Array.from({ length: 1001 }, (_, n) => `k${n}`);
    await assert.rejects(
      remove(many),
      (error) => error instanceof Error && error.name === "MalformedXML",
    );
  });
});
