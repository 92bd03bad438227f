// Single objects, through the SDK's client.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketLocationCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  PutObjectCommand,
  type GetObjectCommandInput,
} from "@aws-sdk/client-s3";
import { startService, type TestService } from "./service.ts";

const Bucket = "artifacts";
let service: TestService;
before(async () => {
  service = await startService();
  await service.s3.send(new CreateBucketCommand({ Bucket }));
});
after(() => service[Symbol.asyncDispose]());

const put = (Key: string, Body: string | Buffer, rest = {}) =>
  service.s3.send(new PutObjectCommand({ Bucket, Key, Body, ...rest }));
const get = (Key: string, rest: Partial<GetObjectCommandInput> = {}) =>
  service.s3.send(new GetObjectCommand({ Bucket, Key, ...rest }));
const textOf = async (Key: string, rest: Partial<GetObjectCommandInput> = {}) =>
  (await get(Key, rest)).Body?.transformToString();

const failsAs = (name: string, status: number) => (error: unknown) => {
  assert.ok(error instanceof Error && "$metadata" in error, String(error));
  assert.equal(error.name, name);
  assert.equal((error.$metadata as { httpStatusCode: number }).httpStatusCode, status);
  return true;
};

describe("buckets", () => {
  it("are made, found, listed, located and removed", async () => {
    const { s3 } = service;
    await s3.send(new CreateBucketCommand({ Bucket: "other.bucket-1" }));
    await s3.send(new HeadBucketCommand({ Bucket: "other.bucket-1" }));
    const { Buckets = [] } = await s3.send(new ListBucketsCommand());
    assert.deepEqual(
      Buckets.map(({ Name }) => Name),
      [Bucket, "other.bucket-1"],
    );
    const { LocationConstraint } = await s3.send(new GetBucketLocationCommand({ Bucket }));
    assert.equal(LocationConstraint, "eu-west-1");
    await s3.send(new DeleteBucketCommand({ Bucket: "other.bucket-1" }));
    await assert.rejects(
      s3.send(new HeadBucketCommand({ Bucket: "other.bucket-1" })),
      failsAs("NotFound", 404),
    );
  });

  it("are the owner's once, except that the classic region makes no fuss", async () => {
    await assert.rejects(
      service.s3.send(new CreateBucketCommand({ Bucket })),
      failsAs("BucketAlreadyOwnedByYou", 409),
    );
    const classic = service.client({ region: "us-east-1" });
    await classic.send(new CreateBucketCommand({ Bucket }));
    classic.destroy();
  });

  it("with content are not removed", async () => {
    await put("keeps-the-bucket", "x");
    await assert.rejects(
      service.s3.send(new DeleteBucketCommand({ Bucket })),
      failsAs("BucketNotEmpty", 409),
    );
  });

  it("with names that S3 does not have are refused", async () => {
    for (const name of ["ab", "Upper", "a..b", "-ab", "1.2.3.4", "under_score", "a".repeat(64)])
      await assert.rejects(
        service.s3.send(new CreateBucketCommand({ Bucket: name })),
        failsAs("InvalidBucketName", 400),
      );
  });

  it("that do not exist hold nothing", async () => {
    const missing = { Bucket: "missing-bucket", Key: "k" };
    const noBucket = failsAs("NoSuchBucket", 404);
    await assert.rejects(service.s3.send(new GetObjectCommand(missing)), noBucket);
    await assert.rejects(
      service.s3.send(new PutObjectCommand({ ...missing, Body: "x" })),
      noBucket,
    );
    await assert.rejects(service.s3.send(new DeleteObjectCommand(missing)), noBucket);
  });
});

describe("an object", () => {
  it("comes back as it was put, with what was said about it", async () => {
    const body = Buffer.from(Array.from({ length: 300_000 }, (_, n) => n % 251));
    const said = {
      ContentType: "application/zip",
      CacheControl: "no-cache",
      ContentDisposition: 'attachment; filename="a.zip"',
      ContentEncoding: "gzip",
      ContentLanguage: "de",
      Metadata: { one: "1", two: "zwei  Wörter" },
    };
    const { ETag } = await put("said", body, said);
    assert.equal(ETag, `"${createHash("md5").update(body).digest("hex")}"`);
    const object = await get("said");
    assert.deepEqual(Buffer.from((await object.Body?.transformToByteArray()) ?? []), body);
    const head = await service.s3.send(new HeadObjectCommand({ Bucket, Key: "said" }));
    for (const answer of [object, head]) {
      const { ContentType, CacheControl, ContentDisposition } = answer;
      const { ContentEncoding, ContentLanguage, Metadata } = answer;
      assert.deepEqual(
        {
          ContentType,
          CacheControl,
          ContentDisposition,
          ContentEncoding,
          ContentLanguage,
          Metadata,
        },
        said,
      );
      assert.equal(answer.ETag, ETag);
      assert.equal(answer.ContentLength, body.length);
      assert.ok(Math.abs((answer.LastModified?.getTime() ?? 0) - Date.now()) < 60_000);
    }
  });

  it("may be empty", async () => {
    await put("empty", "");
    const { ContentLength, ETag } = await get("empty");
    assert.equal(ContentLength, 0);
    assert.equal(ETag, '"d41d8cd98f00b204e9800998ecf8427e"');
    assert.equal(await textOf("empty"), "");
  });

  it("is replaced as a whole, and the old bytes go", async () => {
    await put("replaced", "old", { Metadata: { old: "1" }, ContentType: "text/old" });
    const before = await service.dataFiles();
    await put("replaced", "new!");
    const { Metadata, ContentType, Body } = await get("replaced");
    assert.equal(await Body?.transformToString(), "new!");
    assert.deepEqual(Metadata, {});
    assert.notEqual(ContentType, "text/old");
    assert.equal((await service.dataFiles()).length, before.length);
  });

  it("is gone after its deletion, which may be repeated", async () => {
    await put("deleted", "x");
    const before = await service.dataFiles();
    await service.s3.send(new DeleteObjectCommand({ Bucket, Key: "deleted" }));
    await service.s3.send(new DeleteObjectCommand({ Bucket, Key: "deleted" }));
    await assert.rejects(get("deleted"), failsAs("NoSuchKey", 404));
    await assert.rejects(
      service.s3.send(new HeadObjectCommand({ Bucket, Key: "deleted" })),
      failsAs("NotFound", 404),
    );
    assert.equal((await service.dataFiles()).length, before.length - 1);
  });

  const keys = [
    "../../etc/passwd",
    "a/../b",
    "./.",
    "..",
    "/leading",
    "a//b",
    "trailing/",
    "sp ace+plus",
    "per%cent%2F%00",
    "quo'te\"s<&>()!*~",
    "ünï/cödé/\u{1f600}",
    "CASE",
    "case",
    "?query=#fragment",
    "\u0001control\r\n",
    "k".repeat(1024),
  ];
  it("keeps apart whatever its key looks like", async () => {
    for (const key of keys) await put(key, `content of ${key}`);
    for (const key of keys) assert.equal(await textOf(key), `content of ${key}`, key);
    for (const name of await service.dataFiles()) assert.match(name, /^[0-9a-f-]{36}$/);
    for (const key of keys) await service.s3.send(new DeleteObjectCommand({ Bucket, Key: key }));
    for (const key of keys) await assert.rejects(get(key), failsAs("NoSuchKey", 404));
  });

  it("has a key of at most 1024 bytes", async () => {
    await assert.rejects(put("é".repeat(513), "x"), failsAs("KeyTooLongError", 400));
  });

  it("has at most 2 KiB of metadata", async () => {
    const Metadata = { big: "x".repeat(2048) };
    await assert.rejects(put("metadata", "x", { Metadata }), failsAs("MetadataTooLarge", 400));
  });
});

describe("reading an object", () => {
  before(() => put("digits", "0123456789", { ChecksumAlgorithm: "SHA256" }));

  it("gives ranges", async () => {
    for (const [Range, text, ContentRange] of [
      ["bytes=2-4", "234", "bytes 2-4/10"],
      ["bytes=7-", "789", "bytes 7-9/10"],
      ["bytes=-2", "89", "bytes 8-9/10"],
      ["bytes=0-99", "0123456789", "bytes 0-9/10"],
    ] as const) {
      const part = await get("digits", { Range });
      assert.equal(part.$metadata.httpStatusCode, 206);
      assert.equal(part.ContentRange, ContentRange);
      assert.equal(part.ContentLength, text.length);
      assert.equal(await part.Body?.transformToString(), text);
    }
    await assert.rejects(get("digits", { Range: "bytes=10-" }), failsAs("InvalidRange", 416));
  });

  it("depends on conditions", async () => {
    const { ETag = "" } = await service.s3.send(new HeadObjectCommand({ Bucket, Key: "digits" }));
    assert.equal(await textOf("digits", { IfMatch: ETag }), "0123456789");
    assert.equal(await textOf("digits", { IfNoneMatch: '"x"' }), "0123456789");
    await assert.rejects(get("digits", { IfMatch: '"x"' }), failsAs("PreconditionFailed", 412));
    await assert.rejects(
      get("digits", { IfNoneMatch: ETag }),
      // The client has no name for an answer that is not an error.
      failsAs("Unknown", 304),
    );
  });

  it("takes other response headers from the query", async () => {
    const { ContentType, ContentDisposition } = await get("digits", {
      ResponseContentType: "text/plain",
      ResponseContentDisposition: "inline",
    });
    assert.equal(ContentType, "text/plain");
    assert.equal(ContentDisposition, "inline");
    await assert.rejects(
      get("digits", { ResponseContentType: "a\r\nb: c" }),
      failsAs("InvalidArgument", 400),
    );
  });

  it("gives the checksum when it is wanted, of the whole only", async () => {
    const { ChecksumSHA256 } = await get("digits", { ChecksumMode: "ENABLED" });
    assert.equal(ChecksumSHA256, createHash("sha256").update("0123456789").digest("base64"));
    const part = await get("digits", { ChecksumMode: "ENABLED", Range: "bytes=0-1" });
    assert.equal(part.ChecksumSHA256, undefined);
  });
});

describe("writing an object", () => {
  it("can be limited to new ones", async () => {
    await put("only-once", "1", { IfNoneMatch: "*" });
    await assert.rejects(
      put("only-once", "2", { IfNoneMatch: "*" }),
      failsAs("PreconditionFailed", 412),
    );
    assert.equal(await textOf("only-once"), "1");
  });

  it("can be limited to a known version", async () => {
    const { ETag = "" } = await put("versioned", "1");
    await put("versioned", "2", { IfMatch: ETag });
    await assert.rejects(
      put("versioned", "3", { IfMatch: ETag }),
      failsAs("PreconditionFailed", 412),
    );
    assert.equal(await textOf("versioned"), "2");
  });

  it("leaves nothing of a refused one", async () => {
    const before = await service.dataFiles();
    await assert.rejects(put("only-once", "2", { IfNoneMatch: "*" }));
    assert.deepEqual((await service.dataFiles()).sort(), before.sort());
  });
});

describe("copying an object", () => {
  before(() => put("source ü+1", "copied", { ContentType: "text/a", Metadata: { a: "1" } }));
  const CopySource = `/${Bucket}/${encodeURIComponent("source ü+1")}`;

  it("copies bytes and what was said about them", async () => {
    const { CopyObjectResult } = await service.s3.send(
      new CopyObjectCommand({ Bucket, Key: "copy", CopySource }),
    );
    const { Body, ContentType, Metadata, ETag } = await get("copy");
    assert.equal(await Body?.transformToString(), "copied");
    assert.equal(CopyObjectResult?.ETag, ETag);
    assert.deepEqual([ContentType, Metadata], ["text/a", { a: "1" }]);
    await service.s3.send(new DeleteObjectCommand({ Bucket, Key: "copy" }));
    assert.equal(await textOf("source ü+1"), "copied");
  });

  it("can say other things about them, in place too", async () => {
    await put("in-place", "stays", { Metadata: { a: "1" } });
    const inPlace = { Bucket, Key: "in-place", CopySource: `${Bucket}/in-place` };
    await assert.rejects(
      service.s3.send(new CopyObjectCommand(inPlace)),
      failsAs("InvalidRequest", 400),
    );
    await service.s3.send(
      new CopyObjectCommand({ ...inPlace, MetadataDirective: "REPLACE", Metadata: { b: "2" } }),
    );
    assert.deepEqual((await get("in-place")).Metadata, { b: "2" });
    assert.equal(await textOf("in-place"), "stays");
  });

  it("refuses a source that is not there or not as expected", async () => {
    const copy = (rest: object) =>
      service.s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource, ...rest }));
    await assert.rejects(copy({ CopySource: `${Bucket}/missing` }), failsAs("NoSuchKey", 404));
    await assert.rejects(copy({ CopySource: "missing/k" }), failsAs("NoSuchBucket", 404));
    await assert.rejects(copy({ CopySourceIfMatch: '"x"' }), failsAs("PreconditionFailed", 412));
  });
});
