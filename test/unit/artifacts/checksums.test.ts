import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import {
  CHECKSUM_ALGORITHMS,
  createChecksum,
  DIGEST_BYTES,
  joinChecksums,
  multipartTypes,
} from "../../../src/artifacts/checksums.ts";
import { joinCrcs, type CrcAlgorithm } from "../../../src/artifacts/crc.ts";

/** Bytes that look random and are the same on every run. */
function bytes(length: number): Buffer {
  let state = 12345;
  return Buffer.from(
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return state >>> 16;
    }),
  );
}

function digestOf(algorithm: (typeof CHECKSUM_ALGORITHMS)[number], ...chunks: Uint8Array[]) {
  const checksum = createChecksum(algorithm);
  for (const chunk of chunks) checksum.update(chunk);
  return checksum.digest();
}

const CRCS: readonly CrcAlgorithm[] = ["CRC32", "CRC32C", "CRC64NVME"];

describe("createChecksum", () => {
  const ofDigits: Record<string, string> = {
    CRC32: "cbf43926",
    CRC32C: "e3069283",
    CRC64NVME: "ae8b14860a799888",
    SHA1: "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    SHA256: "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
  };
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    it(`gives the catalogued ${algorithm} of "123456789"`, () => {
      const digest = digestOf(algorithm, Buffer.from("123456789"));
      assert.equal(digest.toString("hex"), ofDigits[algorithm]);
      assert.equal(digest.length, DIGEST_BYTES[algorithm]);
    });

    it(`gives one ${algorithm} however the bytes are cut`, () => {
      const data = bytes(1000);
      const whole = digestOf(algorithm, data);
      for (const cut of [0, 1, 7, 8, 9, 500, 999, 1000])
        assert.deepEqual(digestOf(algorithm, data.subarray(0, cut), data.subarray(cut)), whole);
    });
  }

  it("gives the CRCs of nothing", () => {
    for (const algorithm of CRCS)
      assert.deepEqual(digestOf(algorithm), Buffer.alloc(DIGEST_BYTES[algorithm]));
  });

  it("gives the CRC32C of RFC 3720's examples", () => {
    assert.equal(digestOf("CRC32C", Buffer.alloc(32)).toString("hex"), "8a9136aa");
    assert.equal(digestOf("CRC32C", Buffer.alloc(32, 0xff)).toString("hex"), "62a8ab43");
  });
});

describe("joinCrcs", () => {
  for (const algorithm of CRCS)
    it(`joins ${algorithm} values as if the pieces were one`, () => {
      const data = bytes(5000);
      for (const cuts of [[0], [1], [2500], [5000], [17, 17, 1000, 4999]]) {
        const bounds = [0, ...cuts, data.length];
        const pieces = bounds.slice(1).map((end, index) => {
          const piece = data.subarray(bounds[index], end);
          return { digest: digestOf(algorithm, piece), sizeBytes: piece.length };
        });
        assert.deepEqual(joinCrcs(algorithm, pieces), digestOf(algorithm, data));
      }
    });

  it("joins pieces too large to be held", () => {
    // Zeroes after zeroes: the CRC of 2^40 of them, by halves.
    const half = joinCrcs("CRC64NVME", [
      { digest: digestOf("CRC64NVME", bytes(3)), sizeBytes: 3 },
      { digest: digestOf("CRC64NVME", Buffer.alloc(1024)), sizeBytes: 1024 },
    ]);
    assert.deepEqual(half, digestOf("CRC64NVME", bytes(3), Buffer.alloc(1024)));
    const far = joinCrcs("CRC64NVME", [
      { digest: half, sizeBytes: 1027 },
      { digest: Buffer.alloc(8), sizeBytes: 2 ** 40 },
    ]);
    assert.equal(far.length, 8);
    assert.notDeepEqual(far, half);
  });
});

describe("joinChecksums", () => {
  const [one, two] = [bytes(10), bytes(20)];
  const part = (algorithm: (typeof CHECKSUM_ALGORITHMS)[number], data: Buffer) => ({
    value: digestOf(algorithm, data).toString("base64"),
    sizeBytes: data.length,
  });

  it("hashes the parts' digests for a composite one", () => {
    const joined = joinChecksums("SHA256", "COMPOSITE", [part("SHA256", one), part("SHA256", two)]);
    const digests = [one, two].map((data) => createHash("sha256").update(data).digest());
    const expected = createHash("sha256").update(Buffer.concat(digests)).digest("base64");
    assert.deepEqual(joined, {
      ...{ algorithm: "SHA256", type: "COMPOSITE", value: `${expected}-2` },
    });
  });

  it("is that of the whole for a full-object one", () => {
    const joined = joinChecksums("CRC32", "FULL_OBJECT", [part("CRC32", one), part("CRC32", two)]);
    assert.equal(joined.value, digestOf("CRC32", one, two).toString("base64"));
  });

  it("offers a full-object one for CRCs alone", () => {
    assert.deepEqual(multipartTypes("CRC64NVME"), ["FULL_OBJECT"]);
    assert.deepEqual(multipartTypes("CRC32"), ["COMPOSITE", "FULL_OBJECT"]);
    assert.deepEqual(multipartTypes("SHA1"), ["COMPOSITE"]);
    assert.throws(() => joinChecksums("SHA1", "FULL_OBJECT", [part("SHA1", one)]), TypeError);
  });
});
