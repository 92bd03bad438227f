// Uploads in parts, through the SDK's client.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { crc32 } from "node:zlib";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  type CompletedPart,
  type CreateMultipartUploadCommandInput,
} from "@aws-sdk/client-s3";
import { startService, type TestService } from "./service.ts";

const Bucket = "artifacts";
const FIVE_MIB = 5 * 1024 * 1024;
const [FIRST, SECOND] = [Buffer.alloc(FIVE_MIB, "first "), Buffer.from("the second part")];
const WHOLE = Buffer.concat([FIRST, SECOND]);

let service: TestService;
before(async () => {
  service = await startService();
  await service.s3.send(new CreateBucketCommand({ Bucket }));
});
after(() => service[Symbol.asyncDispose]());

const failsAs = (name: string) => (error: unknown) =>
  error instanceof Error && (error.name === name || assert.fail(error));

async function begin(Key: string, rest: Partial<CreateMultipartUploadCommandInput> = {}) {
  const { UploadId } = await service.s3.send(
    new CreateMultipartUploadCommand({ Bucket, Key, ...rest }),
  );
  const upload = { Bucket, Key, UploadId };
  return {
    upload,
    async part(PartNumber: number, Body: Buffer, checksum = {}): Promise<CompletedPart> {
      const {
        ETag,
        $metadata: _,
        ...sums
      } = await service.s3.send(
        new UploadPartCommand({ ...upload, PartNumber, Body, ...checksum }),
      );
      return { PartNumber, ETag, ...sums };
    },
    complete: (Parts: CompletedPart[], more = {}) =>
      service.s3.send(
        new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, ...more }),
      ),
    abort: () => service.s3.send(new AbortMultipartUploadCommand(upload)),
  };
}

async function bodyOf(Key: string, Range?: string): Promise<Buffer> {
  const { Body } = await service.s3.send(new GetObjectCommand({ Bucket, Key, Range }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

const md5 = (data: Buffer) => createHash("md5").update(data).digest();

describe("an upload in parts", () => {
  it("becomes the object of its parts in their order", async () => {
    const { part, complete } = await begin("two", { Metadata: { m: "1" }, ContentType: "x/y" });
    const second = await part(7, SECOND);
    const first = await part(3, FIRST);
    const { ETag } = await complete([first, second]);
    assert.equal(ETag, `"${md5(Buffer.concat([md5(FIRST), md5(SECOND)])).toString("hex")}-2"`);
    assert.ok((await bodyOf("two")).equals(WHOLE));
    const across = await bodyOf("two", `bytes=${FIVE_MIB - 3}-${FIVE_MIB + 2}`);
    assert.deepEqual(across, WHOLE.subarray(FIVE_MIB - 3, FIVE_MIB + 3));
    assert.deepEqual(await bodyOf("two", "bytes=-4"), WHOLE.subarray(-4));
    const head = await service.s3.send(new HeadObjectCommand({ Bucket, Key: "two" }));
    assert.deepEqual([head.ContentType, head.Metadata], ["x/y", { m: "1" }]);
    assert.equal(head.ContentLength, WHOLE.length);
  });

  it("shows nothing before it is complete, and its last version of a part after", async () => {
    const { upload, part, complete } = await begin("again");
    await part(1, Buffer.from("an earlier try"));
    const kept = await part(1, SECOND);
    await assert.rejects(bodyOf("again"), failsAs("NoSuchKey"));
    const { Parts = [] } = await service.s3.send(new ListPartsCommand(upload));
    assert.deepEqual(
      Parts.map(({ PartNumber, Size }) => [PartNumber, Size]),
      [[1, SECOND.length]],
    );
    await complete([kept]);
    assert.ok((await bodyOf("again")).equals(SECOND));
    await assert.rejects(complete([kept]), failsAs("NoSuchUpload"));
  });

  it("drops the parts that are not named", async () => {
    const before = await service.dataFiles();
    const { part, complete } = await begin("named");
    await part(1, FIRST);
    const second = await part(2, SECOND);
    await complete([second]);
    assert.ok((await bodyOf("named")).equals(SECOND));
    assert.equal((await service.dataFiles()).length, before.length + 1);
  });

  it("leaves nothing when it is aborted", async () => {
    const before = (await service.dataFiles()).sort();
    const { upload, part, abort } = await begin("aborted");
    await part(1, FIRST);
    await abort();
    assert.deepEqual((await service.dataFiles()).sort(), before);
    await assert.rejects(part(2, SECOND), failsAs("NoSuchUpload"));
    await assert.rejects(service.s3.send(new ListPartsCommand(upload)), failsAs("NoSuchUpload"));
    await assert.rejects(abort(), failsAs("NoSuchUpload"));
    assert.deepEqual((await service.dataFiles()).sort(), before);
  });

  it("is refused with parts that are wrong", async () => {
    const { part, complete, abort } = await begin("wrong");
    const small = await part(1, SECOND);
    const last = await part(2, SECOND);
    await assert.rejects(complete([small, last]), failsAs("EntityTooSmall"));
    await assert.rejects(complete([last, small]), failsAs("InvalidPartOrder"));
    await assert.rejects(complete([last, last]), failsAs("InvalidPartOrder"));
    await assert.rejects(complete([{ ...last, ETag: '"0"' }]), failsAs("InvalidPart"));
    await assert.rejects(complete([{ ...last, PartNumber: 3 }]), failsAs("InvalidPart"));
    await assert.rejects(complete([]), failsAs("MalformedXML"));
    await assert.rejects(part(0, SECOND), failsAs("InvalidArgument"));
    await assert.rejects(part(10_001, SECOND), failsAs("InvalidArgument"));
    await assert.rejects(complete([last], { MpuObjectSize: 1 }), failsAs("InvalidRequest"));
    await complete([last], { MpuObjectSize: SECOND.length });
    await assert.rejects(abort(), failsAs("NoSuchUpload"));
  });

  it("keeps its bucket from being removed, and is listed there", async () => {
    await service.s3.send(new CreateBucketCommand({ Bucket: "uploads-only" }));
    const begun = ["b", "a", "a"].map((Key) => begin(Key, { Bucket: "uploads-only" }));
    await Promise.all(begun);
    await assert.rejects(
      service.s3.send(new DeleteBucketCommand({ Bucket: "uploads-only" })),
      failsAs("BucketNotEmpty"),
    );
    const seen: (string | undefined)[] = [];
    let marker = {};
    for (;;) {
      const page = await service.s3.send(
        new ListMultipartUploadsCommand({ Bucket: "uploads-only", MaxUploads: 2, ...marker }),
      );
      seen.push(...(page.Uploads?.map(({ Key }) => Key) ?? []));
      if (page.IsTruncated !== true) break;
      marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    }
    assert.deepEqual(seen, ["a", "a", "b"]);
  });
});

describe("checksums of an upload in parts", () => {
  it("are composed of those of the parts", async () => {
    const { part, complete } = await begin("composite", { ChecksumAlgorithm: "SHA256" });
    const sha256 = { ChecksumAlgorithm: "SHA256" };
    const parts = [await part(1, FIRST, sha256), await part(2, SECOND, sha256)];
    const { ChecksumSHA256, ChecksumType } = await complete(parts);
    const digests = [FIRST, SECOND].map((data) => createHash("sha256").update(data).digest());
    const expected = createHash("sha256").update(Buffer.concat(digests)).digest("base64");
    assert.deepEqual([ChecksumSHA256, ChecksumType], [`${expected}-2`, "COMPOSITE"]);
  });

  it("are of the whole when that is wanted", async () => {
    const { part, complete } = await begin("full", {
      ...{ ChecksumAlgorithm: "CRC32", ChecksumType: "FULL_OBJECT" },
    });
    const parts = [await part(1, FIRST), await part(2, SECOND)];
    const whole = Buffer.alloc(4);
    whole.writeUInt32BE(crc32(WHOLE));
    await assert.rejects(
      complete(parts, { ChecksumCRC32: "AAAAAA==", ChecksumType: "FULL_OBJECT" }),
      failsAs("BadDigest"),
    );
    const { ChecksumCRC32 } = await complete(parts, {
      ...{ ChecksumCRC32: whole.toString("base64"), ChecksumType: "FULL_OBJECT" },
    });
    assert.equal(ChecksumCRC32, whole.toString("base64"));
    const { Body } = await service.s3.send(
      new GetObjectCommand({ Bucket, Key: "full", ChecksumMode: "ENABLED" }),
    );
    // The client checks the checksum itself while it reads.
    assert.equal((await Body?.transformToByteArray())?.length, WHOLE.length);
  });

  it("must be of the algorithm that was begun with", async () => {
    const { part, complete, abort } = await begin("mixed", { ChecksumAlgorithm: "SHA1" });
    await assert.rejects(
      part(1, SECOND, { ChecksumAlgorithm: "CRC32" }),
      failsAs("InvalidRequest"),
    );
    const right = await part(1, SECOND, { ChecksumAlgorithm: "SHA1" });
    const wrong = createHash("sha1").update("other").digest("base64");
    await assert.rejects(complete([{ ...right, ChecksumSHA1: wrong }]), failsAs("InvalidPart"));
    await abort();
    await assert.rejects(
      begin("mixed", { ChecksumAlgorithm: "SHA1", ChecksumType: "FULL_OBJECT" }),
      failsAs("InvalidRequest"),
    );
  });
});
