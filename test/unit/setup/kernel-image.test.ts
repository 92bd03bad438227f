import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { decompressPayload, findKernelPayload } from "../../../src/setup/kernel-image.ts";

const KERNEL = Buffer.from("the kernel ".repeat(100));
const XZ_MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);

const noXz = async (): Promise<Buffer> => {
  throw new Error("xz was not expected");
};

/** A boot image of two set-up sectors and a payload 64 bytes into the protected-mode part. */
function makeBootImage(payload: Buffer): Buffer {
  const image = Buffer.alloc(3 * 512 + 64);
  image[0x1f1] = 2;
  image.write("HdrS", 0x202, "latin1");
  image.writeUInt32LE(64, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([image, payload]);
}

function withLength(compressed: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(KERNEL.length);
  return Buffer.concat([compressed, length]);
}

describe("findKernelPayload", () => {
  it("finds a zstd payload and leaves out the length behind it", async () => {
    const payload = findKernelPayload(makeBootImage(withLength(zstdCompressSync(KERNEL))));
    assert.equal(payload.compression, "zstd");
    assert.deepEqual(await decompressPayload(payload, noXz), KERNEL);
  });

  it("finds a gzip payload, which ends in its own length", async () => {
    const payload = findKernelPayload(makeBootImage(gzipSync(KERNEL)));
    assert.equal(payload.compression, "gzip");
    assert.deepEqual(await decompressPayload(payload, noXz), KERNEL);
  });

  it("hands an xz payload to the program for it", async () => {
    const compressed = Buffer.concat([XZ_MAGIC, Buffer.from("rest")]);
    const payload = findKernelPayload(makeBootImage(withLength(compressed)));
    const seen: Buffer[] = [];
    const result = await decompressPayload(payload, async (content) => {
      seen.push(Buffer.from(content));
      return KERNEL;
    });
    assert.deepEqual(seen, [compressed]);
    assert.deepEqual(result, KERNEL);
  });

  it("refuses a compression it does not know", () => {
    assert.throws(() => findKernelPayload(makeBootImage(Buffer.from("LZ4 payload"))), {
      code: "SETUP_FAILED",
    });
  });

  it("refuses an image that ends before its payload does", () => {
    const image = makeBootImage(zstdCompressSync(KERNEL));
    assert.throws(() => findKernelPayload(image.subarray(0, image.length - 1)), /cut short/);
  });

  it("refuses what is not a boot image", () => {
    assert.throws(() => findKernelPayload(Buffer.alloc(4096)), /not an x86 boot image/);
  });
});
